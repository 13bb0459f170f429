"""The one door to AWS. It opens inward only, unless the engine itself makes a planned call."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import botocore
import botocore.hooks
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from holdfast.event import Arn, Place
from holdfast.model import ApiCall

if TYPE_CHECKING:  # boto3's stubs type every client; at run time botocore alone makes them
    from boto3.session import Session as TypedClients
else:
    TypedClients = object

AMAZON_ROOTS = Path(__file__).with_name("amazon.pem")  # put there when the layer is built
P = ParamSpec("P")
T = TypeVar("T")

# What a person has to do where S3 answers AccessDenied; with ExpectedBucketOwner it does so for another's bucket, too.
SHUT_OUT = (
    "Something denies Holdfast's role: the bucket's policy, or one of the organisation. Take that out. "
    "(Or the bucket is another account's by now.)"
)
OTHER_REGION = "PermanentRedirect"  # S3's own code for it; `Region` beside it in the error is where the bucket is
NO_BUCKET = frozenset({"NoSuchBucket", OTHER_REGION})  # for a guardrail: not there, or not here
READS = ("Get", "List", "Describe", "Head", "Lookup", "Query")
_planned: ContextVar[bool] = ContextVar("planned", default=False)


class WriteRefused(RuntimeError):
    """Something other than a planned call tried to change the account."""


class Rejected(RuntimeError):
    """A batch call answered 200 and took only some of its entries (EventBridge API, PutEvents)."""


class Aws(TypedClients):
    """Clients that read, typed like boto3's: `aws.client("kms").describe_key(…)`.

    Any operation that is not a read is refused with WriteRefused; only `apply` makes writes. S3 calls carry
    ExpectedBucketOwner, so that a bucket which was deleted and made again by somebody else is never touched; for one
    that is in another Region than the client they raise ClientError, OTHER_REGION.
    """

    def __init__(self, here: Place, config: Config | None = None) -> None:
        # One host for all buckets is one connection; a host for each would be a TLS handshake for each.
        addressing: Any = {"addressing_style": os.environ.get("HOLDFAST_S3_ADDRESSING") or "path"}
        self.here = here
        self.session = _session()
        self.session.register("before-call", self._inward_only)
        self.session.register("provide-client-params.s3", self._own_buckets_only)
        self.session.register("before-sign.s3", _here_only)
        defaults = Config(
            retries={"mode": "adaptive", "total_max_attempts": 4},
            connect_timeout=2,
            read_timeout=10,
            # What botocore would put together anew, twice for every call, is a tenth of what an event costs.
            user_agent=f"holdfast Botocore/{botocore.__version__}",
            s3=addressing,
        )
        self._config = defaults.merge(config) if config else defaults
        # When the ledger hangs, or the settings of which there is a copy, there must be time left for the fix.
        brief = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
        self._brief = self._config.merge(brief)
        self._clients: dict[tuple[str, str], Any] = {}
        self._roots = roots(here.partition)
        if not TYPE_CHECKING:
            self.client = self._client

    def apply(self, call: ApiCall) -> Any:
        """Makes a planned call. Raises ClientError and BotoCoreError as botocore does, and Rejected."""
        with _outward():
            answer = getattr(self._client(call.service, call.region), call.operation)(**call.parameters)
        if answer.get("FailedEntryCount"):
            raise Rejected(f"{call.operation}: {answer['Entries']}")
        return answer

    def make_ready(self, services: Iterable[str]) -> None:
        for service in services:
            self._client(service)

    def _client(self, service: str, region: str = "") -> Any:
        key = (service, region or self.here.region)
        if key not in self._clients:
            config = self._brief if service in ("dynamodb", "ssm") else self._config
            self._clients[key] = self.session.create_client(*key, config=config, verify=self._roots)
        return self._clients[key]

    def _inward_only(self, **happening: Any) -> None:
        model = happening["model"]
        if not (_planned.get() or model.name.startswith(READS)):
            raise WriteRefused(f"{model.service_model.service_name}:{model.name} is not a read and was not planned")

    def _own_buckets_only(self, **happening: Any) -> Any:
        shape, params = happening["model"].input_shape, happening["params"]
        takes_owner = shape is not None and "ExpectedBucketOwner" in shape.members
        # Directory buckets answer 501 NotImplemented to the header (S3 API, GetBucketEncryption).
        if not takes_owner or str(params.get("Bucket", "")).endswith("--x-s3"):
            return params
        return {"ExpectedBucketOwner": self.here.account, **params}


def _here_only(**happening: Any) -> None:
    """By itself botocore follows a bucket to its Region; there another stack's settings and exemptions hold."""
    there = happening["request"].context.get("signing", {}).get("region", happening["region_name"])
    if there != happening["region_name"]:
        error: Any = {"Code": OTHER_REGION, "Message": f"the bucket is in {there}", "Region": there}
        raise ClientError({"Error": error}, happening["operation_name"])


def _session() -> botocore.session.Session:
    """Its clients send events by the names they have now.

    By itself a session looks for 65 former names of services in the name of every event that it sends for the first
    time, and an operation's first call sends a dozen.
    """
    events = botocore.hooks.HierarchicalEmitter()
    session = botocore.session.Session(event_hooks=events)
    session.register_component("event_emitter", events)
    return session


def roots(partition: str) -> str | None:
    """The certificates that AWS's endpoints go back to, where they do; None leaves the choice to botocore.

    These five (https://www.amazontrust.com/repository/) load much faster than all 140. AWS_CA_BUNDLE goes first.
    """
    ours = partition in ("aws", "aws-us-gov") and not os.environ.get("AWS_CA_BUNDLE") and AMAZON_ROOTS.exists()
    return str(AMAZON_ROOTS) if ours else None


@contextmanager
def _outward() -> Iterator[None]:
    token = _planned.set(True)
    try:
        yield
    finally:
        _planned.reset(token)


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def unless(codes: str, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The answer, or None where AWS says one of `codes`: `unless("NoSuchBucketPolicy", s3.get_bucket_policy, …)`."""
    try:
        return ask(*args, **kwargs)
    except ClientError as error:
        if error_code(error) in codes.split():
            return None
        raise


def buckets(aws: Aws) -> Iterator[Arn]:
    """Every general purpose bucket of this Region (S3 API, ListBuckets)."""
    for page in aws.client("s3").get_paginator("list_buckets").paginate(BucketRegion=aws.here.region):
        for bucket in page["Buckets"]:
            yield aws.here.bucket(bucket["Name"])
