"""The account in which the incidents happen: the deployed stack, its people, and ears on its topic and bus."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from holdfast_cli import project
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.identity import Identity

STACK = "holdfast"
PATIENCE = 60.0  # seconds until something that should happen counts as not happening
LAYER = project.ROOT / ".build" / "layer"

ENGINEER = ["s3:*", "kms:*", "ec2:*", "cloudtrail:*"]
NOBODY = ["s3:ListAllMyBuckets"]


class NotInTime(RuntimeError):
    """Something that should have happened on the stage did not."""


def until(done: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
    """Waits for something that is coming; returns the moment (time.monotonic). Raises NotInTime."""
    limit = time.monotonic() + patience
    while not done():
        if time.monotonic() > limit:
            raise NotInTime(f"not within {patience:.0f} s: {what}")
        time.sleep(0.01)
    return time.monotonic()


@dataclass
class Stage:
    """Who is there, and what they work with. `heard` and `seen` are messages and bus events nobody asked for yet."""

    cloud: LocalCloud
    vpc: str
    key: str
    people: dict[str, Identity] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def parameters(self) -> Mapping[str, str]:
        """The stack's parameters."""
        return {
            "Mode": "enforce",
            "Architecture": "x86_64",
            "EncryptionAlgorithm": "aws:kms",
            "EncryptionKeyArn": self.key,
            "VpcIds": self.vpc,
            "DataBuckets": "data-*",
        }

    def root(self, service: str) -> Any:
        return self.cloud.client(service)

    def message(self, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any] | None:
        """The next message on the topic that fits; None if there is none in time."""
        return self._await(self.heard, "heard", wanted, patience)

    def event(self, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any] | None:
        """The next event on the bus that fits; None if there is none in time."""
        return self._await(self.seen, "seen", wanted, patience)

    def _await(
        self, waiting: list[dict[str, Any]], queue: str, wanted: Callable[[dict[str, Any]], bool], patience: float
    ) -> dict[str, Any] | None:
        until = time.monotonic() + patience
        while True:
            if found := next(filter(wanted, waiting), None):
                waiting.remove(found)
                return found
            if time.monotonic() > until:
                return None
            waiting += self._received(queue)

    def settle(self) -> None:
        """Waits until nobody is told anything any more."""
        while self._received("heard"):
            continue

    def _received(self, queue: str) -> list[dict[str, Any]]:
        sqs = self.root("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        batch = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        for message in batch:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        bodies = [json.loads(message["Body"]) for message in batch]
        return [json.loads(body["Message"]) if "Message" in body else body for body in bodies]

    def reload(self, guardrail: str) -> None:
        """A changed configuration gives a function new processes, which read the settings now, not in a minute."""
        self.root("lambda").update_function_configuration(FunctionName=f"{STACK}-{guardrail}", Timeout=59)
        self.wake(guardrail)

    def wake(self, guardrail: str) -> None:
        """A look at nothing: the function's process is there when the incident comes."""
        look = {"detail-type": "Holdfast Look", "source": "holdfast", "detail": {"guardrail": guardrail, "targets": []}}
        self.root("lambda").invoke(FunctionName=f"{STACK}-{guardrail}", Payload=json.dumps(look))


@contextmanager
def stage(tell: Callable[[str], object]) -> Iterator[Stage]:
    """An account with Holdfast deployed, enforcing. `tell` is given each step of the set-up, for a progress line."""
    tell("starting an AWS account on this machine")
    with LocalCloud() as cloud:
        bare = build(cloud)
        tell("deploying template.yaml: functions, rules, roles")
        outputs = cloud.deploy(STACK, project.TEMPLATE, bare.parameters, LAYER)
        tell("waking the functions")
        furnish(bare, outputs["TopicArn"])
        yield bare


def build(cloud: LocalCloud) -> Stage:
    """What the stack's parameters name: a VPC and a key."""
    vpc = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    key = cloud.client("kms").create_key(Description="the lake's key")["KeyMetadata"]["Arn"]
    return Stage(cloud, vpc, key)


def furnish(bare: Stage, topic: str) -> None:
    """What the incidents need once the stack is deployed: ears, an exemption, functions that are awake, people."""
    bare.rules = {name: id for name, id in bare.cloud.resources(STACK).items() if name.endswith("Calls")}
    _listen(bare.cloud, topic)
    _exempt_website(bare.cloud)
    with ThreadPoolExecutor() as pool:
        list(pool.map(bare.wake, project.guardrails()))
    _people(bare)


def _exempt_website(cloud: LocalCloud) -> None:
    value = {"resource": "arn:aws:s3:::company-website", "owner": "web team", "reason": "it is our public website"}
    cloud.client("ssm").put_parameter(
        Name="/holdfast/exemptions/s3-public-access-block/website",
        Value=json.dumps(value | {"expires": "2099-12-31"}),
        Type="String",
    )


def _listen(cloud: LocalCloud, topic: str) -> None:
    """A queue on the topic, as a ticket system would have; and one on the bus, to see what CloudTrail delivers."""
    heard, seen = _queue(cloud, "heard"), _queue(cloud, "seen")
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard)
    pattern = {"detail-type": ["AWS API Call via CloudTrail"], "detail": {"errorCode": [{"exists": True}]}}
    cloud.client("events").put_rule(Name="demo-failed-calls", EventPattern=json.dumps(pattern))
    cloud.client("events").put_targets(Rule="demo-failed-calls", Targets=[{"Id": "1", "Arn": seen}])


def _queue(cloud: LocalCloud, name: str) -> str:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    services = {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}
    sends = {"Effect": "Allow", "Principal": services, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sends]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return arn


def _people(stage: Stage) -> None:
    """An engineer whose keys were stolen, a deploy role gone wrong, an intern who may do nothing."""
    stage.people = {
        "mallory": stage.cloud.user("mallory", _may(ENGINEER)),
        "deploy": stage.cloud.role("etl-deploy", _may(ENGINEER)),
        "intern": stage.cloud.user("intern", _may(NOBODY)),
    }


def _may(actions: list[str]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
