"""Six events on one thing in every order: the call itself, its duplicate, a stale and a future one, another's, a look.

However they come, the thing is mended by one run, it is told once, and the rest find it right and say nothing. Only
where the stale one comes first, and must not believe a baseline that was first seen after it, is a person asked first.
"""

import random
from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from support import ME, Incident, look, records

from faults import harness
from faults.harness import LARGE, Figure, begun, timed

INCIDENTS = harness.few()
STALE = 2
ORDERS = list(permutations(range(6)))


def events(incident: Incident) -> list[Mapping[str, Any]]:
    """All but the look are of the call that broke it, or say so."""
    itself = timed(incident.event)
    detail = itself["detail"]
    another = {"userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{ME}:user/eve", "accountId": ME}}
    varied: tuple[Mapping[str, Any], ...] = (
        {"eventTime": "2020-01-01T00:00:00Z"},
        {"eventTime": "2099-01-01T00:00:00Z"},
        another,
    )
    others = [{**itself, "detail": {**detail, "eventID": f"other-{n}", **more}} for n, more in enumerate(varied)]
    return [itself, itself, *others, look(incident.guardrail, incident.target)]


@pytest.mark.parametrize("name", INCIDENTS)
def test_every_order_ends_the_same(name: str, figure: Figure) -> None:
    orders = ORDERS if LARGE else random.Random(name).sample(ORDERS, 3)  # noqa: S311 - not for secrets
    for order in orders:
        with begun(INCIDENTS[name]) as scene:
            scene.long_known()
            scene.incident.spoil()
            given = events(scene.incident)
            runs = [scene.deliver(given[which], id=f"{place}-{which}") for place, which in enumerate(order)]
            figure("orders")
            assert not [run.error for run in runs if run.failed], order
            assert scene.settled, (order, scene.summary)
            assert len([run for run in runs if run.line.changes]) == (scene.incident.outcome == "remediated"), order
            assert len(scene.told) == len(records()) <= 1 + (order[0] == STALE), (order, scene.summary)
