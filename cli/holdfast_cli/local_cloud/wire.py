"""Which API operation an HTTP request is, told from the service models that botocore carries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

_SCOPE = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_READ = re.compile(r"(BatchGet|Check|Describe|Estimate|Filter|Get|Head|List|Lookup|Preview|Search|Select|Simulate)")
# What never reaches a rule in AWS either: CloudTrail writes no record, a read-only one, or a data event.
_SILENT = re.compile(
    r"sts:|xray:|events:(PutEvents|Test)|logs:(PutLogEvents|StartQuery|Test)|cloudwatch:PutMetricData"
    r"|sqs:(Send|Receive|Delete|Change)Message|sns:Publish|lambda:Invoke|kinesis:PutRecord|firehose:PutRecord"
    r"|dynamodb:((Put|Update|Delete)Item|Batch|Transact|Execute|Query|Scan)|s3:(DeleteObjects|WriteGetObject)"
    r"|kms:(Encrypt|Decrypt|ReEncrypt|GenerateDataKey|GenerateMac|GenerateRandom|Sign|Verify|DeriveShared)"
    r"|cloudformation:(Validate|Detect)"
)
_GLOBAL = {"account", "cloudfront", "iam", "organizations", "route53"}
_MODEL_OF = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}


@dataclass(frozen=True)
class Exchange:
    """One HTTP request and its answer, as they crossed the wire (header names in lower case)."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes
    client: str = "127.0.0.1"

    @cached_property
    def fields(self) -> dict[str, str]:
        """The query string, and the form a query-protocol client posts."""
        form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        posted = self.body.decode() if form else ""
        return dict(parse_qsl(self.query, keep_blank_values=True) + parse_qsl(posted, keep_blank_values=True))

    @property
    def failed(self) -> bool:
        """Whether AWS would have put an errorCode into the record."""
        return self.status > 300


class Scope(NamedTuple):
    """What a signature says: the maker's access key, the service, and the Region where its events appear."""

    key: str
    region: str
    service: str


@dataclass(frozen=True)
class Operation:
    """An API operation, the protocol it was called in, and the labels its path carried."""

    service: str
    model: OperationModel
    protocol: str
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """The operation's name in the API: not always CloudTrail's (`records.event_name`)."""
        return self.model.name


def scope(exchange: Exchange) -> Scope | None:
    """Who signed for what; None for an unsigned or presigned request, which no guardrail cares about."""
    found = _SCOPE.search(exchange.headers.get("authorization", ""))
    if found is None:
        return None
    region = "us-east-1" if found["service"] in _GLOBAL else found["region"]
    return Scope(found["key"], region, found["service"])


def changing_call(exchange: Exchange, service: str) -> Operation | None:
    """The operation that a request means, or None if it is a read, a data event, or unknown to botocore."""
    if exchange.method in ("GET", "HEAD", "OPTIONS"):
        return None
    control = service == "s3" and exchange.path.startswith("/v20180820/")
    try:
        model = service_model(_MODEL_OF.get(service, "s3control" if control else service))
    except UnknownServiceError:
        return None
    operation = _operation(exchange, model, service)
    if operation is None or _READ.match(operation.name) or _SILENT.match(f"{model.service_name}:{operation.name}"):
        return None
    return operation


@cache
def service_model(name: str) -> ServiceModel:
    """botocore's description of a service (`kms`, `s3control`, …)."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), service_name=name)


def _operation(exchange: Exchange, model: ServiceModel, service: str) -> Operation | None:
    named = _named(exchange)
    if named is None:
        return _rest_operation(exchange, model, service)
    name, protocol = named
    if name not in model.operation_names:
        return None
    protocol = "ec2" if service == "ec2" else protocol
    return Operation(service, model.operation_model(name), protocol, {})


def _named(exchange: Exchange) -> tuple[str, str] | None:
    """The operation's name and protocol, where the protocol has the request name its operation."""
    if target := exchange.headers.get("x-amz-target"):
        return target.rpartition(".")[2], "json"
    if exchange.headers.get("smithy-protocol"):
        return exchange.path.rpartition("/")[2], "smithy-rpc-v2-cbor"
    if action := exchange.fields.get("Action"):
        return action, "query"
    return None


class _Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    flags: frozenset[str]
    operation: str


@cache
def _routes(model: ServiceModel) -> tuple[_Route, ...]:
    """The paths of a REST service, those with more fixed query flags first (`/{Bucket}?policy` before `/{Bucket}`).

    Operations on an object (`{Key+}`) are left out: S3 has them as data events.
    """
    routes = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        if "{Key+}" not in path:
            pattern = re.sub(r"\\{(\w+)(?:\\\+)?\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/")))
            flags = frozenset(flag.partition("=")[0] for flag in query.split("&") if flag)
            routes.append(_Route(http["method"], re.compile(pattern), flags, name))
    return tuple(sorted(routes, key=lambda route: -len(route.flags)))


def _rest_operation(exchange: Exchange, model: ServiceModel, service: str) -> Operation | None:
    for route in _routes(model):
        found = route.path.fullmatch(exchange.path.rstrip("/"))
        if found and route.method == exchange.method and route.flags <= exchange.fields.keys():
            labels = {name: unquote(value) for name, value in found.groupdict().items()}
            operation = model.operation_model(route.operation)
            return Operation(service, operation, model.metadata["protocol"], labels)
    return None
