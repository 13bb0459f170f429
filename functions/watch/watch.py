"""The minute's tick: what is due is looked at again, and when its hour has come, everything.

It asks the ledger for pages that are due (crashed runs, deferred fixes, exemptions that expire) and puts looks on the
bus, where the guardrails' own rules pick them up. It decides nothing and touches no resource.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from holdfast import telemetry
from holdfast.digest import digest
from holdfast.guardrail import looks, sweep, wired
from holdfast.ledger import SURVEY, now
from holdfast.world import World

# A look that keeps failing comes back after this many seconds, not at every tick: Lambda retries it meanwhile.
ASK_AGAIN = 300


def tick(world: World, sweep_seconds: int) -> dict[str, int]:
    """One minute's work. Returns how many looks, digests and sweeps were asked for."""
    due: defaultdict[str, dict[str, int]] = defaultdict(dict)
    surveyed = []
    for guardrail, target, seen in world.ledger.due(now()):
        if target == SURVEY:
            surveyed.append(guardrail)
        else:
            due[guardrail][target] = seen
    for guardrail, targets in due.items():
        look_again(guardrail, targets, world)
    sweeps = sweep_if_due(world, sweep_seconds)
    for guardrail in surveyed:
        tell_digest(guardrail, world)
    return {"looks": sum(map(len, due.values())), "digests": len(surveyed), "sweeps": sweeps}


def look_again(guardrail: str, targets: Mapping[str, int], world: World) -> None:
    """Asked for first, postponed after: a tick that dies in between asks twice rather than late."""
    for call in looks(guardrail, targets, world.bus):
        world.aws.apply(call)
    for target, seen in targets.items():
        world.ledger.postpone(guardrail, target, seen, now() + ASK_AGAIN)


def tell_digest(guardrail: str, world: World) -> None:
    call = digest(guardrail, world.here, world.ledger.standing(guardrail), world.topic)
    if call:
        world.aws.apply(call)
    world.ledger.end_survey(guardrail)


def sweep_if_due(world: World, seconds: int) -> int:
    """Asked for first, noted after: a tick that dies in between sweeps twice rather than never."""
    if now() < world.ledger.next_sweep():
        return 0
    world.aws.apply(sweep(world.bus))
    world.ledger.set_next_sweep(now() + seconds)
    return 1


def handler(raw: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Lambda's entry; the event says nothing that matters."""
    done = tick(wired(), int(os.environ["HOLDFAST_SWEEP_HOURS"]) * 3600)
    telemetry.logger.info("tick", extra=done)
    for name, number in done.items():
        if number:  # a metric costs by the hour in which it is sent
            telemetry.count(name, number)
    telemetry.flush()
    return done
