"""An account in memory (moto), and what tests do to it: make things, break them, hand the event to a guardrail."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.loaders import Loader, create_loader
from holdfast import Aws, Place
from holdfast.aws import READS
from holdfast.guardrail import Guardrail
from holdfast.ledger import Ledger
from holdfast.settings import Defaults, Parameters
from holdfast.visit import Delivery
from holdfast.world import World
from holdfast_cli import project
from moto import mock_aws

ME: Final = "123456789012"
REGION: Final = "eu-west-1"
HERE = Place(ME, REGION, "aws", f"arn:aws:iam::{ME}:role/holdfast/guardrail")
MALLORY = f"arn:aws:iam::{ME}:user/mallory"
# What the layer holds of botocore's service models, so that a call that is not among them fails. Read once.
LAYER_DATA = str(project.ROOT / ".build/layer/python/botocore/data")
LAYER_MODELS = Loader([LAYER_DATA], include_default_search_paths=False)
# In Lambda they are botocore's own. For any others it takes old rules of endpoints, which know no directory buckets.
LAYER_MODELS.BUILTIN_DATA_PATH = LAYER_DATA
ALL_MODELS = create_loader()
FAR_FUTURE = 4_000_000_000
SETTINGS_CALL = "GetParametersByPath"
ENGINE_WRITES = {"UpdateItem", "TransactWriteItems", "PutEvents", "Publish"}


def call(
    service: str,
    name: str,
    request: Mapping[str, Any] | None,
    *,
    actor: str = MALLORY,
    id: str = "event-1",
    **more: Any,
) -> dict[str, Any]:
    """A CloudTrail call in its EventBridge envelope, made when it is run. `more` are further fields of the record."""
    detail = {
        "eventVersion": "1.11",
        "eventID": id,
        "eventName": name,
        "eventSource": f"{service}.amazonaws.com",
        "awsRegion": REGION,
        "recipientAccountId": ME,
        "requestParameters": request,
        "responseElements": None,
        "userIdentity": {"type": "IAMUser", "arn": actor, "accountId": ME},
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2",
    } | more
    return envelope(detail)


def envelope(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": f"envelope-{detail['eventID']}",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws." + detail["eventSource"].split(".")[0],
        "account": ME,
        "time": "2026-01-01T00:00:03Z",
        "region": REGION,
        "resources": [],
        "detail": detail,
    }


def look(guardrail: str, *targets: str, id: str = "look-1") -> dict[str, Any]:
    detail = {"guardrail": guardrail, "targets": list(targets)}
    return {"id": id, "source": "holdfast", "detail-type": "Holdfast Look", "account": ME, "region": REGION} | {
        "detail": detail
    }


def sweep(id: str = "sweep-1") -> dict[str, Any]:
    detail = {"guardrail": "*"}
    return {"id": id, "source": "holdfast", "detail-type": "Holdfast Sweep", "account": ME, "region": REGION} | {
        "detail": detail
    }


def canary(time: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    canary = {"id": "canary-1", "source": "holdfast", "detail-type": "Holdfast Canary", "account": ME, "region": REGION}
    return canary | {"time": time, "detail": {"guardrail": "*"}}


@contextmanager
def account() -> Iterator[None]:
    """Everything inside happens in a new account with Holdfast's table and topic, and a queue that hears the topic."""
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName="holdfast",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "guardrail", "AttributeType": "S"},
                {"AttributeName": "target", "AttributeType": "S"},
                {"AttributeName": "pending", "AttributeType": "S"},
                {"AttributeName": "due", "AttributeType": "N"},
            ],
            KeySchema=[
                {"AttributeName": "guardrail", "KeyType": "HASH"},
                {"AttributeName": "target", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "due",
                    "KeySchema": [
                        {"AttributeName": "pending", "KeyType": "HASH"},
                        {"AttributeName": "due", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
        topic = boto3.client("sns").create_topic(Name="security")["TopicArn"]
        boto3.client("sqs").create_queue(QueueName="heard")
        boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ME}:heard")
        yield


def record_files(folder: Path) -> list[Path]:
    """What may hold records; notes beside them, and what a system leaves in folders, do not."""
    kinds = re.compile(r"[^.].*\.(json|jsonl|ndjson|log|cloudtrail)(\.gz)?")
    return sorted(path for path in folder.rglob("*") if kinds.fullmatch(path.name) and path.is_file())


def make_bucket(name: str = "lake") -> None:
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def make_rule(name: str) -> None:
    """One that passes calls to a function."""
    events, function = boto3.client("events"), f"arn:aws:lambda:{REGION}:{ME}:function:of-{name}"
    events.put_rule(Name=name, EventPattern='{"source": ["aws.kms"]}')
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": function}])


@dataclass(frozen=True)
class Result:
    """How a run ended: outcome by target, and the AWS operations it called, in order."""

    outcomes: dict[str, str]
    calls: list[str]

    @property
    def outcome(self) -> str:
        """The only outcome."""
        (only,) = self.outcomes.values()
        return only

    @property
    def writes(self) -> list[str]:
        """What it changed in the account, without the engine's own book-keeping and messages."""
        return [name for name in self.calls if not name.startswith(READS) and name not in ENGINE_WRITES]


def world(guardrail: str, settings: Mapping[str, Any] | None = None, **shared: Any) -> World:
    """The guardrail's world in the account. It enforces, unless `mode` says otherwise."""
    aws = Aws(HERE, Config(retries={"mode": "standard", "max_attempts": 1}))
    aws.session.register_component("data_loader", LAYER_MODELS)
    defaults = Defaults({"mode": "enforce"} | shared, settings or {})
    topic = f"arn:aws:sns:{REGION}:{ME}:security"
    return World(guardrail, aws, Ledger(aws, "holdfast"), topic, defaults, Parameters(aws))


def at_home(here: World, bucket: str, region: str) -> None:
    """S3 as it is for a bucket of another Region: 301 with where it is (S3 API, "Error responses"). moto knows all."""

    def moved(**happening: Any) -> Any:
        request = happening["request"]
        if f"/{bucket}" not in request.url or f".{region}." in request.url:
            return None
        headers: Any = HTTPHeaders()
        headers["x-amz-bucket-region"] = region
        answer: Any = AWSResponse(request.url, 301, headers, None)
        answer._content = b"<Error><Code>PermanentRedirect</Code></Error>"
        return answer

    here.aws.session.register("before-send.s3", moved)


def run(
    guardrail: str,
    event: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    *,
    delivery: str = "delivery-1",
    ends: int = FAR_FUTURE,
    handler: Guardrail[Any, Any] | None = None,
    hook: Callable[[World], object] | None = None,
    **shared: Any,
) -> Result:
    """One invocation of the guardrail's function, with a world of its own as after a cold start.

    `hook` may spoil that world before the event comes.
    """
    here = world(guardrail, settings, **shared)
    if handler:  # it is no guardrail that is deployed
        here.aws.session.register_component("data_loader", ALL_MODELS)
    calls: list[str] = []

    def note(**happening: Any) -> None:
        calls.append(happening["model"].name)

    here.aws.session.register("before-call", note)
    if hook:
        hook(here)
    guard = handler or project.load(guardrail).handler
    return Result(guard.handle(_timed(event), here, Delivery(delivery, ends)), calls)


def _timed(event: Mapping[str, Any]) -> dict[str, Any]:
    made = {"eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {**event, "detail": {**made, **event["detail"]}}


def heard() -> list[dict[str, Any]]:
    """The messages that went out since the last time, as their JSON envelopes."""
    sqs, found = boto3.client("sqs"), []
    url = sqs.get_queue_url(QueueName="heard")["QueueUrl"]
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            found.append(json.loads(json.loads(message["Body"])["Message"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def items() -> list[dict[str, Any]]:
    """The ledger: every item with its JSON read."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName="holdfast")
    scanned = [item for page in pages for item in page["Items"]]
    return [{name: _value(name, next(iter(v.values()))) for name, v in item.items()} for item in scanned]


def _value(name: str, value: Any) -> Any:
    return (
        json.loads(value) if name in ("open", "baseline", "allowed", "told", "contest", "record", "version") else value
    )


def records() -> list[dict[str, Any]]:
    return [item["record"] for item in items() if "record" in item]


def still_open() -> list[dict[str, Any]]:
    return [item["open"] for item in items() if "open" in item]


def exempt(guardrail: str, resource: str, **more: str) -> None:
    value = {"resource": resource, "owner": "data team", "reason": "a test", "expires": "2099-12-31"} | more
    name = f"/holdfast/exemptions/{guardrail}/test"
    boto3.client("ssm").put_parameter(Name=name, Value=json.dumps(value), Type="String", Overwrite=True)


@dataclass(frozen=True)
class Incident:
    """One watched call, and what comes of it.

    Building one makes the thing as it should be (inside `account()`). `spoil` is what the attacker does; `event` is
    what CloudTrail then writes; `safe` says whether the thing is as it should be. `outcome` is what enforcing leads to.
    With `known` Holdfast looked at the target before, so that it has a baseline.
    """

    guardrail: str
    event: Mapping[str, Any]
    target: str
    spoil: Callable[[], object]
    safe: Callable[[], bool]
    settings: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = "remediated"
    known: bool = False

    def run(self, event: Mapping[str, Any] | None = None, *, delivery: str = "delivery-1", **shared: Any) -> Result:
        arguments = {**self.shared, **shared}
        return run(self.guardrail, event or self.event, self.settings, delivery=delivery, **arguments)


INCIDENTS: dict[str, dict[str, Callable[[], Incident]]] = {}


def incident(guardrail: str, name: str) -> Callable[[Callable[[], Incident]], Callable[[], Incident]]:
    """Registers the builder of an incident. `name` begins with the event's name; a variant follows after two dashes."""

    def register(build: Callable[[], Incident]) -> Callable[[], Incident]:
        INCIDENTS.setdefault(guardrail, {})[name] = build
        return build

    return register
