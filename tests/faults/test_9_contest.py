"""An attacker breaks a thing again at once, each time that it is put right, and goes on for a day.

What Holdfast writes to the thing is bounded: so many fixes an hour, and one a minute from then on. Each break ends put
right or waiting for the next minute. People get one escalation, and in the end the time that the thing was unsafe.
"""

import time
from typing import Any

import boto3
import support
from support import Incident, account, call, look, make_bucket, still_open

from faults.harness import DAY, MINUTE, Ended, Figure, clock, deliver, many, tick, world

ID, TARGET = "s3-default-encryption", "arn:aws:s3:::lake"
PER_HOUR = 60
WEAK: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


def test_a_thousand_reverts_are_few_writes_and_one_escalation(figure: Figure) -> None:
    breaks, every = many(150, 1_000), 5
    with account(), clock() as moving:
        make_bucket()
        runs: list[Ended] = []
        for number in range(breaks):
            boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration=WEAK)
            event = call("s3", "PutBucketEncryption", {"bucketName": "lake"}, id=f"event-{number}")
            runs.append(one(event, f"delivery-{number}"))
            moving.shift(every)
            runs += ticked(number) if number % (MINUTE // every) == 0 else []
        while still_open():
            moving.shift(MINUTE)
            runs += ticked(breaks)
        assert algorithm() == "aws:kms"
        told = [message["outcome"] for message in support.heard()]
        moving.shift(DAY)
        runs += ticked(breaks + 1)
        (last,) = support.heard()
    writes = sum(made.model.name == "PutBucketEncryption" for run in runs for made in run.line.calls)
    figure("reverts", breaks)
    figure("writes to the bucket", writes)
    assert {ended for run in runs for ended in run.outcomes.values()} <= {"remediated", "deferred", "compliant"}
    assert writes <= PER_HOUR * (1 + breaks * every // 3600) + breaks * every // MINUTE + 1
    assert told == ["remediated", "remediated", "escalated"]
    assert last["outcome"] == "compliant"
    assert f"put right {writes} times" in last["what"]


def one(event: dict[str, Any], id: str) -> Ended:
    return deliver(Incident(ID, event, TARGET, lambda: None, lambda: True, {"algorithm": "aws:kms"}), id=id)


def ticked(number: int) -> list[Ended]:
    tick(world("watch"), 365 * DAY)
    return [one(look(ID, TARGET, id=f"look-{number}-{time.time()}"), f"look-{number}-{time.time()}")]


def algorithm() -> str:
    rule = boto3.client("s3").get_bucket_encryption(Bucket="lake")["ServerSideEncryptionConfiguration"]["Rules"][0]
    return rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
