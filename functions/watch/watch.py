"""The minute's tick: what is due is looked at again, and when its hour has come, everything; and is everybody alive?

It asks the ledger for pages that are due (crashed runs, deferred fixes, exemptions that expire) and puts looks on the
bus, where the guardrails' own rules pick them up. A sweep that a guardrail did not finish is asked for again.

Every quarter of an hour it sends canaries: one over the bus, which every guardrail answers with a mark in the ledger,
and a call that changes nothing, which CloudTrail must tell of. No canary passes a guardrail's rule for calls, so that
rule is looked at. Who was not heard of by the next time, or hears nothing, is counted, and alarms watch that.
It decides nothing else and touches no resource but its own parameter.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from holdfast import ApiCall, Event, Value, telemetry, unless
from holdfast.digest import digest
from holdfast.event import API_CALL
from holdfast.guardrail import canary, looks, sweep, wired
from holdfast.ledger import SURVEY, WATCH, Clock, Mark, Round, now
from holdfast.world import World

# A look that keeps failing comes back after this many seconds, not at every tick: Lambda retries it meanwhile.
ASK_AGAIN = 300
CANARY_EVERY = 900
SWEEP_AGAIN = 3600  # seconds for which an unfinished sweep is asked for; then its events lie in a dead-letter queue
SKEW = 60  # seconds by which the clocks of AWS's services may differ


class Plan(Value):
    """What the stack decides: how often to sweep, who must answer, and the parameter whose writing is the canary.

    `rules` has the name of the rule for calls of every guardrail.
    """

    sweep_seconds: int
    rules: Mapping[str, str]
    parameter: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Plan":
        return cls(
            int(environment["HOLDFAST_SWEEP_HOURS"]) * 3600,
            dict(pair.split("=") for pair in environment["HOLDFAST_GUARDRAILS"].split()),
            environment["HOLDFAST_CANARY"],
        )


def tick(world: World, plan: Plan) -> dict[str, int]:
    """One minute's work. Returns how many looks, digests, sweeps and canaries were asked for.

    A part that fails keeps no other from being done. Raises all errors in an ExceptionGroup when the rest is done.
    """
    done, errors = dict.fromkeys(("looks", "digests", "sweeps", "canaries"), 0), list[Exception]()
    for name, part in parts(world, plan):
        try:
            done[name] += part()
        except Exception as error:
            telemetry.logger.exception("failed", extra={"part": name})
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"{len(errors)} parts of a tick failed", errors)
    return done


def parts(world: World, plan: Plan) -> Iterator[tuple[str, Callable[[], int]]]:
    """What may be due, by name. First what takes a fixed time, since there may be many pages."""
    yield "canaries", partial(canaries_if_due, world, plan)
    yield "sweeps", partial(sweep_if_due, world, plan.sweep_seconds)
    due: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for guardrail, target, seen in world.ledger.due(now()):
        due[guardrail][target] = seen
    for guardrail, targets in due.items():
        if SURVEY in targets:
            del targets[SURVEY]
            yield "digests", partial(tell_digest, guardrail, world)
        yield "looks", partial(look_again, guardrail, targets, world)


def look_again(guardrail: str, targets: Mapping[str, int], world: World) -> int:
    """Asked for first, postponed after: a tick that dies in between asks twice rather than late."""
    for call in looks(guardrail, targets, world.bus):
        world.aws.apply(call)
    for target, seen in targets.items():
        world.ledger.postpone(guardrail, target, seen, now() + ASK_AGAIN)
    return len(targets)


def tell_digest(guardrail: str, world: World) -> int:
    call = digest(guardrail, world.here, world.ledger.standing(guardrail), world.topic)
    if call:
        world.aws.apply(call)
    world.ledger.end_survey(guardrail)
    return 1


def sweep_if_due(world: World, seconds: int) -> int:
    """Asked for first, noted after: a tick that dies in between sweeps twice rather than never."""
    if now() < world.ledger.round(Clock.SWEEP).next:
        return 0
    world.aws.apply(sweep(world.bus))
    world.ledger.set_round(Clock.SWEEP, Round(now(), now() + seconds))
    return 1


def canaries_if_due(world: World, plan: Plan) -> int:
    """Counts who did not answer the last ones or hears no calls, and sends the next.

    A rule that can't be read hears nothing, as far as anybody knows; why is raised when the rest is done.
    """
    last = world.ledger.round(Clock.CANARY)
    if now() < last.next:
        return 0
    marks = {name: world.ledger.marked(name) for name in (*plan.rules, WATCH)}
    deaf, errors = dict[str, str](), list[Exception]()
    for name, rule in plan.rules.items():
        try:
            deaf |= {} if starts_something(rule, world) else {name: rule}
        except (ClientError, BotoCoreError) as error:
            deaf[name] = rule
            errors.append(error)
    note_silence([name for name, marked in marks.items() if marked[Mark.ANSWERED] < last.last - SKEW], deaf)
    sweep_again({name: marks[name][Mark.SWEPT] for name in plan.rules}, world)
    send_canaries(world, plan.parameter)
    if errors:
        raise ExceptionGroup(f"{len(errors)} rules could not be read", errors)
    return 1


def starts_something(rule: str, world: World) -> bool:
    """False for a rule that is gone, off, or leads nowhere."""
    events = world.aws.client("events")
    found = unless("ResourceNotFoundException", events.describe_rule, Name=rule)
    is_on = found is not None and found["State"].startswith("ENABLED")
    return is_on and bool(events.list_targets_by_rule(Rule=rule)["Targets"])


def note_silence(silent: Collection[str], deaf: Mapping[str, str]) -> None:
    """Also when nobody is silent: where nothing is counted, nobody listens, and the alarms say so."""
    telemetry.count("silentGuardrails", len({*silent, *deaf} - {WATCH}))
    telemetry.count("silentTrail", int(WATCH in silent))
    if silent or deaf:
        telemetry.logger.error("silent", extra={"silent": silent, "rules": deaf})


def sweep_again(swept: Mapping[str, int], world: World) -> None:
    """Asks those whose last sweep died in the middle, or never came: from when that is sure until it is no use."""
    asked = world.ledger.round(Clock.SWEEP).last
    if not CANARY_EVERY <= now() - asked < SWEEP_AGAIN:
        return
    for guardrail in (name for name, at in swept.items() if at < asked - SKEW):
        world.aws.apply(sweep(world.bus, guardrail))
        telemetry.count("sweepsAgain")


def send_canaries(world: World, parameter: str) -> None:
    """The clock is set in between: a call that can't be made is silence, and must not keep the others from being sent.

    The value is always the same; Parameter Store keeps the last hundred versions (Systems Manager API, PutParameter).
    """
    world.aws.apply(canary(world.bus))
    world.ledger.set_round(Clock.CANARY, Round(now(), now() + CANARY_EVERY))
    written = {"Name": parameter, "Value": "canary", "Type": "String", "Tier": "Standard", "Overwrite": True}
    world.aws.apply(ApiCall("ssm", "put_parameter", written))


def hear(raw: Mapping[str, Any], world: World) -> None:
    """CloudTrail has told of the canary's call."""
    event = Event.parse(raw, world.here)
    telemetry.delay(event.time)
    world.ledger.mark(WATCH, Mark.ANSWERED, min(int(event.epoch), now()))


def handler(raw: Mapping[str, Any], context: Any) -> dict[str, int]:
    """Lambda's entry: the canary's call, or else a tick, whose event says nothing that matters."""
    world = wired()
    try:
        if raw.get("detail-type") == API_CALL:
            hear(raw, world)
            return {}
        done = tick(world, Plan.of(os.environ))
        telemetry.logger.info("tick", extra=done)
        for name, number in done.items():
            if number:  # a metric costs by the hour in which it is sent
                telemetry.count(name, number)
        return done
    finally:
        telemetry.flush()
