"""Who sees from outside what Holdfast does: users with rights of their own, none of which Holdfast knows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast_cli.demo.stage import Stage
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.identity import Identity
from holdfast_cli.local_cloud.server import ACCOUNT
from holdfast_cli.local_cloud.waiting import wait_until

READS = ["s3:Get*", "kms:DescribeKey", "ec2:DescribeVpcEndpoints", "cloudtrail:Get*"]
PATIENCE = 60.0


def rights(*statements: tuple[list[str], str]) -> dict[str, Any]:
    allowed = [{"Effect": "Allow", "Action": actions, "Resource": resource} for actions, resource in statements]
    return {"Version": "2012-10-17", "Statement": allowed}


@dataclass
class Listener:
    """A queue of somebody's own, and the user who may read it and nothing else."""

    user: Identity
    queue: str
    heard: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, cloud: LocalCloud, name: str, sender: str) -> "Listener":
        arn = f"arn:aws:sqs:{cloud.region}:{ACCOUNT}:{name}"
        sends = {"Principal": {"Service": sender}, "Action": "sqs:SendMessage", "Resource": arn, "Effect": "Allow"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [sends]})
        cloud.client("sqs").create_queue(QueueName=name, Attributes={"Policy": policy})
        may = ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"]
        return cls(cloud.user(f"{name}-reader", rights((may, arn))), arn)

    def first(self, what: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first that fits of what has come or will come. Raises TimedOut, naming `what`."""

        def found() -> dict[str, Any] | None:
            self._receive()
            return next(filter(wanted, self.heard), None)

        return wait_until(found, what, PATIENCE)

    def _receive(self) -> None:
        sqs, name = self.user.client("sqs"), self.queue.rpartition(":")[2]
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            self.heard.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


class Auditing(Stage):
    """The stage as the auditor sees it: everything is read with that user's rights."""

    def root(self, service: str) -> Any:
        return self.people["auditor"].client(service)


@dataclass(frozen=True)
class Witnesses:
    """`oncall` has subscribed to the topic, `builder` has a rule on the bus, `auditor` reads account and ledger."""

    oncall: Listener
    builder: Listener
    auditor: Identity
    ledger: str
    view: Auditing

    @classmethod
    def of(cls, stage: Stage, outputs: Mapping[str, str]) -> "Witnesses":
        cloud, ledger = stage.cloud, outputs["LedgerName"]
        oncall = Listener.of(cloud, "oncall", "sns.amazonaws.com")
        cloud.client("sns").subscribe(TopicArn=outputs["TopicArn"], Protocol="sqs", Endpoint=oncall.queue)
        builder = Listener.of(cloud, "builder", "events.amazonaws.com")
        pattern = {"source": ["holdfast"], "detail-type": ["Holdfast Record"]}
        cloud.client("events").put_rule(Name="builder", EventPattern=json.dumps(pattern))
        cloud.client("events").put_targets(Rule="builder", Targets=[{"Id": "1", "Arn": builder.queue}])
        table = f"arn:aws:dynamodb:{cloud.region}:{ACCOUNT}:table/{ledger}"
        auditor = cloud.user("auditor", rights((READS, "*"), (["dynamodb:GetItem"], table)))
        view = Auditing(cloud, stage.vpc, stage.key, {"auditor": auditor})
        return cls(oncall, builder, auditor, ledger, view)

    def message(self, what: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """A message on the topic, by its envelope."""
        found = self.oncall.first(f"message: {what}", lambda sent: wanted(json.loads(sent["Message"])))
        told: dict[str, Any] = json.loads(found["Message"])
        return told

    def event(self, id: str) -> dict[str, Any]:
        """The event on the bus about a record."""
        return self.builder.first(f"event about {id}", lambda event: bool(event["detail"]["id"] == id))

    def page(self, guardrail: str, target: str) -> dict[str, Any]:
        """What the ledger has under a key."""
        key = {"guardrail": {"S": guardrail}, "target": {"S": target}}
        found = self.auditor.client("dynamodb").get_item(TableName=self.ledger, Key=key, ConsistentRead=True)
        item: dict[str, Any] = found.get("Item", {})
        return item

    def closed(self, guardrail: str, target: str, id: str) -> dict[str, Any]:
        """The closed record; the target's page is free again."""
        key = f"{target}#record#{id}"
        item = wait_until(lambda: self.page(f"{guardrail}#history", key), f"record {id}", PATIENCE)
        wait_until(lambda: "open" not in self.page(guardrail, target), f"the end of {id}", PATIENCE)
        record: dict[str, Any] = json.loads(item["record"]["S"])
        return record
