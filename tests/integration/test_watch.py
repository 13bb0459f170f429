"""The minute's tick: due pages, digests, sweeps. On moto, with a queue that hears the bus."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import time_machine
from holdfast.guardrail import SURVEY_LASTS
from holdfast.ledger import Ledger, now
from holdfast.world import World
from holdfast_cli import project
from support import HERE, ME, REGION, account, call, heard, items, make_bucket, run, sweep, world

GUARDRAIL = "s3-default-encryption"
OTHER = "kms-key-deletion"
CANARY = "/holdfast-canary"
SETTINGS = {"algorithm": "aws:kms", "bucket_key": False}
DAY = 86_400


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    with account(), time_machine.travel(1_800_000_000, tick=False):
        boto3.client("sqs").create_queue(QueueName="bus")
        boto3.client("events").put_rule(Name="all", EventPattern='{"source": ["holdfast"]}')
        boto3.client("events").put_targets(Rule="all", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:{ME}:bus"}])
        yield


def asked() -> list[tuple[str, Any]]:
    """What was put on the bus since the last time, but for canaries: detail-type and detail."""
    return [(event["detail-type"], event["detail"]) for event in heard_on_bus() if "Canary" not in event["detail-type"]]


def heard_on_bus() -> list[dict[str, Any]]:
    sqs, found = boto3.client("sqs"), []
    url = sqs.get_queue_url(QueueName="bus")["QueueUrl"]
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def watch() -> World:
    return world("watch")


def tick(seconds: int = DAY) -> dict[str, int]:
    plan = project.watch().Plan(seconds, (GUARDRAIL, OTHER), CANARY)
    done: dict[str, int] = project.watch().tick(watch(), plan)
    return done


def ledger() -> Ledger:
    return watch().ledger


def test_the_first_tick_sweeps_and_the_next_not_before_its_hour() -> None:
    assert tick()["sweeps"] == 1
    assert asked() == [("Holdfast Sweep", {"guardrail": "*"})]
    assert tick()["sweeps"] == 0
    with time_machine.travel(1_800_000_000 + DAY, tick=False):
        assert tick()["sweeps"] == 1


def test_a_page_that_is_due_is_looked_at_and_not_again_at_once() -> None:
    tick()
    asked()
    make_bucket()
    exempting = {"resource": "arn:aws:s3:::lake", "owner": "o", "reason": "r", "expires": "2027-01-16T00:00Z"}
    name = f"/holdfast/exemptions/{GUARDRAIL}/a"
    boto3.client("ssm").put_parameter(Name=name, Value=json.dumps(exempting), Type="String")
    assert run(GUARDRAIL, call("s3", "CreateBucket", {"bucketName": "lake"}), SETTINGS).outcome == "exempt"
    asked()
    assert tick() == {"looks": 0, "digests": 0, "sweeps": 0, "canaries": 0}
    with time_machine.travel("2027-01-16T00:00:02Z", tick=False):
        assert tick(400 * DAY)["looks"] == 1
        assert ("Holdfast Look", {"guardrail": GUARDRAIL, "targets": ["arn:aws:s3:::lake"]}) in asked()
        assert tick(400 * DAY)["looks"] == 0


def test_what_the_first_sweep_found_is_told_in_one_digest_when_it_is_over() -> None:
    make_bucket("old-a")
    make_bucket("old-b")
    assert set(run(GUARDRAIL, sweep(), SETTINGS).outcomes.values()) == {"audited"}
    assert heard() == []
    assert tick()["digests"] == 0
    with time_machine.travel(1_800_000_000 + SURVEY_LASTS, tick=False):
        assert tick()["digests"] == 1
        assert tick()["digests"] == 0
    (digest,) = heard()
    assert digest["what"] == "2 were broken before Holdfast came; 0 baselines were taken at first sight"
    assert [line.partition(": ")[0] for line in digest["broken"]] == [
        "arn:aws:s3:::old-a",
        "arn:aws:s3:::old-b",
    ]


def test_many_due_pages_go_in_batches() -> None:
    table = boto3.client("dynamodb")
    for number in range(120):
        table.put_item(
            TableName="holdfast",
            Item={
                "guardrail": {"S": "x"},
                "target": {"S": str(HERE.arn("ssm", f"parameter/{number}"))},
                "due": {"N": str(now())},
                "pending": {"S": "pending"},
            },
        )
    assert tick()["looks"] == 120
    sizes = [len(detail["targets"]) for kind, detail in asked() if kind == "Holdfast Look"]
    assert sorted(sizes) == [20, 50, 50]


def test_a_page_that_somebody_wrote_meanwhile_is_not_postponed() -> None:
    ledger().begin_survey("x", now())
    ledger().postpone("x", "#survey", seen=1, until=2)
    (item,) = items()
    assert item["due"] == str(now())


def test_a_sweep_knows_what_is_gone_but_not_what_has_moved() -> None:
    table = boto3.client("dynamodb")
    for target, baseline in {"here": {"moved_to": ""}, "moved": {"moved_to": "elsewhere"}}.items():
        item = {"guardrail": {"S": "x"}, "target": {"S": target}, "baseline": {"S": json.dumps(baseline)}}
        table.put_item(TableName="holdfast", Item=item)
    assert list(ledger().known("x")) == ["here"]
