"""A thousand keys are scheduled for deletion at once, and KMS cancels five a second.

All keys are recovered, by runs and by the watch, long before the first could be deleted; until then the backlog can be
read off the ledger, and it falls with every minute. Each run has a time of its own, as functions at once have.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import support
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from incidents import kms_key_deletion as keys
from support import Incident, account, still_open

from faults.harness import (
    DAY,
    MINUTE,
    NOWHERE,
    START,
    Call,
    Ended,
    Fault,
    Figure,
    clock,
    deliver,
    many,
    refusal,
    run,
    tick,
    world,
)

QUOTA = 5  # KMS developer guide, "Request quotas": CancelKeyDeletion


class Quota(Fault):
    """So many cancellations in every second of the clock, whoever asks."""

    def __init__(self) -> None:
        self.used: Counter[int] = Counter()
        self.refused = False

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        second = int(time.time())
        self.refused = self.used[second] >= QUOTA
        self.used[second] += not self.refused
        if self.refused:
            request.url = NOWHERE

    def behind(self, call: Call) -> AWSResponse | None:
        return refusal(call.model, 400, "ThrottlingException") if self.refused else None


def test_all_keys_are_recovered_at_the_pace_of_the_quota(figure: Figure) -> None:
    quota = Quota()

    def plan(call: Call) -> Fault | None:
        return quota if call.name == "CancelKeyDeletion" else None

    with account(), clock() as moving:
        ids = [keys.key() for _ in range(many(30, 1_000))]
        for id in ids:
            keys.schedule(id)

        def at_once(events: Sequence[Mapping[str, Any]]) -> list[Ended]:
            """Each begins now, and sleeps by itself."""
            now, runs = time.time(), []
            for number, event in enumerate(events):
                one = Incident(keys.ID, event, "", lambda: None, lambda: True)
                runs.append(deliver(one, plan=plan, id=f"{now}-{number}"))
                moving.move_to(now)
            return runs

        at_once([keys.scheduled(id) for id in ids])
        backlog = [len(still_open())]
        while backlog[-1] and time.time() < START + DAY:
            moving.shift(MINUTE)
            here = world("watch")
            at_once(run(lambda: tick(here, 2 * DAY)).line.bus)  # noqa: B023
            backlog.append(len(still_open()))
        figure("keys", len(ids))
        figure("minutes until all were recovered", len(backlog) - 1)
        assert max(quota.used.values()) == QUOTA
        assert 0 < backlog[0] < len(ids)
        assert backlog == sorted(backlog, reverse=True)
        assert {keys.state(id) for id in ids} == {"Enabled"}
        assert Counter(message["outcome"] for message in support.heard()) == {"remediated": len(ids)}
