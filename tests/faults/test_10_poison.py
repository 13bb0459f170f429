"""Thousands of events, a tenth of them poison, delivered as Lambda does: three attempts, then the dead-letter queue.

Every event has an end that is accounted for: an outcome, or a place in the queue. Poison ends in the queue, all else
doesn't, and what was broken is mended though poison came before and after.
"""

import random
from collections import Counter
from typing import Any

import boto3
from holdfast.visit import Delivery
from holdfast_cli import project
from support import account, call, make_bucket

from faults.harness import Figure, clock, many, run, world

GUARDRAIL = "s3-public-access-block"
POISON: tuple[Any, ...] = (
    {"bucketName": ["*"]},
    {"bucketName": {"items": []}},
    {"bucketName": "a b"},
    {"bucket": None},
    None,
)
ATTEMPTS, BUCKETS = 3, 20


def test_every_event_has_an_end(figure: Figure) -> None:
    lot, ends, dead = random.Random(10), Counter[str](), list[int]()  # noqa: S311 - not for secrets
    with account(), clock():
        for number in range(BUCKETS):
            make_bucket(f"lake-{number}")
        guard, here = project.load(GUARDRAIL).handler, world(GUARDRAIL)
        number_of_events = many(200, 10_000)
        for number in range(number_of_events):
            poisoned = number % 10 == 0
            request = lot.choice(POISON) if poisoned else {"bucketName": f"lake-{lot.randrange(BUCKETS)}"}
            event = call("s3", "DeleteBucketPublicAccessBlock", request, id=f"event-{number}")
            for _ in range(ATTEMPTS):
                ended = run(lambda: guard.handle(event, here, Delivery(str(number), 2_000_000_000)))  # noqa: B023
                if not ended.failed:
                    break
            else:
                dead.append(number)
            ends.update(ended.outcomes.values())
            figure("events")
        assert ends.total() + len(dead) == number_of_events
        assert dead == list(range(0, number_of_events, 10))
        assert (ends["remediated"], ends["compliant"]) == (BUCKETS, number_of_events * 9 // 10 - BUCKETS)
        assert all(is_closed(f"lake-{number}") for number in range(BUCKETS))


def is_closed(name: str) -> bool:
    found = boto3.client("s3").get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    return all(found.values())
