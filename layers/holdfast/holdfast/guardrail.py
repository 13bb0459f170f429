"""A guardrail, declared; and the Lambda handler that every one of them is."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from functools import cache
from itertools import chain, islice
from typing import Any, Generic

from holdfast import shape, telemetry
from holdfast.aws import Aws
from holdfast.event import CANARY, LOOK, SWEEP, Arn, BadEvent, Event, Place
from holdfast.ledger import Mark, now
from holdfast.model import ApiCall, Case, Outcome, Settings, Severity, State, Violation
from holdfast.settings import Choices, choose
from holdfast.value import Value
from holdfast.visit import Delivery, Visit
from holdfast.world import World

BATCH = 50  # targets of one look: a minute's work for one function
ENTRIES = 10  # events of one call: EventBridge API, PutEvents
EVERYONE = "*"
REMEMBERED = 20_000  # targets of a sweep that are looked at once for sure: a few MB
SURVEY_LASTS = 6 * 3600 + 600  # seconds: by then Lambda has given up on the last look of the first sweep


class NotOurs(ValueError):
    """A record of another account: never acted on."""


class Unfinished(RuntimeError):
    """There was no time for all, and not all that is left was asked for: Lambda must bring the event again."""


class NoSettings(Value):
    """For a guardrail that leaves nothing to decide."""


class Guardrail(Value, Generic[State, Settings], kw_only=True):
    """What a guardrail is made of; an instance is its Lambda handler.

    services   those that it calls at every event: in Lambda their clients are there before the first one
    covers     patterns of the ARNs that a target may have, with {partition}, {region} and {account} for ours
    targets    what a call touched: where to look, never what to believe
    related    what to look at in the place of something touched, where that alone says nothing
    read       the live state; None when the thing is gone
    evaluate   the decision
    gone       the decision when nothing is there
    inventory  everything it covers
    settings   a Value; a field without a default is required, and without it the guardrail is off
    baseline   the State class, if the last known good state is kept
    missing    error codes by which AWS says, to `read` or to the fix, that the target is not there
    later      errors by which AWS says that the fix can't be made yet, and in how many seconds to look again
    stuck      errors by which AWS refuses the look or the fix until a person has done something, and what that is
               (both by code, or by `Code: part of the message` where the code says too little)
    defensive  events that are left alone when one of `responder_principals` made them
    lost       whether a state that was read says that the thing is gone
    safer      whether a state that was found becomes the baseline though nobody with a say made it so
    made_by    whether a call of this name can have made what was found of the baseline (None: none is known)
    """

    severity: Severity
    services: tuple[str, ...]
    covers: tuple[str, ...]
    targets: Callable[[Event], Iterable[Arn]]
    read: Callable[[Case[State, Settings], Aws], State | None]
    evaluate: Callable[[State, Case[State, Settings]], Violation | None]
    inventory: Callable[[Aws], Iterable[Arn]]
    settings: type[Settings]
    gone: Callable[[Case[State, Settings]], Violation | None] = lambda case: None
    related: Callable[[Arn, Aws], Iterable[Arn]] = lambda target, aws: (target,)
    baseline: type[State] | None = None
    missing: frozenset[str] = frozenset()
    later: Mapping[str, int] = field(default_factory=dict)
    stuck: Mapping[str, str] = field(default_factory=dict)
    defensive: frozenset[str] = frozenset()
    lost: Callable[[State], bool] = lambda found: False
    safer: Callable[[State, State], bool] = lambda found, baseline: False
    made_by: Callable[[str, State, State | None], bool] = lambda call, found, baseline: True

    def __post_init__(self) -> None:
        if is_lambda():
            wired().make_ready(self.services)

    def __call__(self, raw: dict[str, Any], context: Any) -> dict[str, str]:
        """Lambda's entry. Returns the outcome by target."""
        try:
            return self.handle(raw, wired(), Delivery.of(context))
        finally:
            telemetry.flush()

    def handle(self, raw: Mapping[str, Any], world: World, delivery: Delivery) -> dict[str, str]:
        """Guards every target of an event. One bad target doesn't keep the others from being guarded.

        Raises NotOurs, BadEvent, Misshapen and (settings can't be read) ClientError or BotoCoreError before anything is
        looked at; then, together in an ExceptionGroup, whatever went wrong with single targets.
        """
        _must_be_ours(raw, world.here)
        event = Event.parse(raw, world.here)
        if event.name == CANARY and not event.is_call:
            return self._answer(event, world)
        if _is_failed(raw):
            return {}
        if event.owner not in ("", world.here.account):
            telemetry.logger.info("not ours", extra={"owner": event.owner, "event_id": event.id})
            return {}
        choices, settings = self.choices(world)
        if settings is None or choices.mode(world.guardrail) == "off":
            telemetry.logger.info("off", extra={"event_id": event.id})
            telemetry.count("off")
            return {}
        telemetry.delay(event.time if event.is_call else "")

        def visit(target: Arn) -> Outcome:
            return Visit(self, world, event, target, choices, settings, delivery).outcome()

        return self._guard_all(self._in_time(self.hints(event, world), event, world, delivery), event, visit)

    def _answer(self, event: Event, world: World) -> dict[str, str]:
        """Rule, permission and function are alive; whether the guardrail is on is not asked."""
        world.ledger.mark(world.guardrail, Mark.ANSWERED, min(int(event.epoch), now()))
        telemetry.count("canary")
        return {}

    def choices(self, world: World) -> tuple[Choices, Settings | None]:
        """What people decided, and the guardrail's settings; None when it lacks a required one, and so is off."""
        parameters, stale = world.parameters.read()
        if stale:
            telemetry.logger.warning("settings are stale", extra={"why": stale})
            telemetry.count("staleSettings")
        choices = choose(world.guardrail, world.defaults, parameters)
        try:
            return choices, shape.parse(self.settings, choices.own, world.guardrail)
        except shape.Lacking as lacking:
            telemetry.logger.warning("off", extra={"lacks": str(lacking)})
            return choices, None

    def hints(self, event: Event, world: World) -> Iterable[Arn]:
        """Where to look. Raises BadEvent for what a call touched if this guardrail has no such targets."""
        if event.is_call:
            touched = [found for target in self.targets(event) for found in self.related(target, world.aws)]
            return list(self._ours(touched, world, is_call=True))
        if event.name == LOOK:
            return list(self._ours(event.looks_at or (), world))
        return self._everything(world)

    def _everything(self, world: World) -> Iterator[Arn]:
        """For a sweep; too much for one function goes back to the bus in batches.

        It is marked when all of it is there, or was looked at: until then the watch asks again.
        """
        begun, targets = now(), self._covered(world)
        first = list(islice(targets, BATCH + 1))
        world.ledger.begin_survey(world.guardrail, begun + SURVEY_LASTS)
        if len(first) <= BATCH:
            yield from first
        else:
            _ask(chain(first, targets), world)
        world.ledger.mark(world.guardrail, Mark.SWEPT, begun)

    def _covered(self, world: World) -> Iterator[Arn]:
        """What the ledger knows, which may be gone, and what is there; each once, as far as memory is kept for that."""
        known: set[str] = set()
        for target in map(Arn, world.ledger.known(world.guardrail)):
            if self.fits(target, world.here):
                if len(known) < REMEMBERED:
                    known.add(target)
                yield target
        yield from (target for target in self.inventory(world.aws) if target not in known)

    def _in_time(self, targets: Iterable[Arn], event: Event, world: World, delivery: Delivery) -> Iterator[Arn]:
        """As much as there is time for; the rest goes back to the bus, so that each run gets further.

        Once for all of Lambda's attempts: looks that are slow and fail would multiply. An attempt after that fails if
        it gets no further. What is left of a call is looked at without its actor: better than not before Lambda tries
        again.
        """
        remaining = iter(targets)
        for target in remaining:
            yield target
            if delivery.is_ending and (rest := next(remaining, None)):
                handed_on = world.ledger.was_handed_on(world.guardrail, delivery.id)
                if not handed_on:
                    _ask(chain([rest], remaining), world)
                    world.ledger.hand_on(world.guardrail, delivery.id)
                if event.is_call or handed_on:
                    raise Unfinished(f"{event.name} touched more than there was time for")
                return

    def _ours(self, targets: Iterable[Arn], world: World, *, is_call: bool = False) -> Iterator[Arn]:
        """Of others only what a sweep has seen, as the trail of an organisation is shown to its members."""
        for target in dict.fromkeys(targets):
            foreign = target.account not in ("", world.here.account)
            if self.fits(target, world.here) or (foreign and world.ledger.is_known(world.guardrail, target)):
                yield target
            elif foreign:
                telemetry.logger.info("not ours", extra={"target": target})
            elif is_call:
                raise BadEvent(f"{world.guardrail} does not guard {target[:200]}")
            else:  # anybody may ask for a look, and one that is none must not keep the others from being looked at
                telemetry.logger.warning("not guarded", extra={"target": target[:200]})

    def fits(self, target: Arn, here: Place) -> bool:
        """True for the one way in which a thing that this guardrail covers is written.

        Memory, exemptions and settings go by the ARN: a thing with two names would escape them under one.
        """
        ours = {"partition": here.partition, "region": here.region, "account": here.account}
        return any(re.fullmatch(pattern.format(**ours), target) for pattern in self.covers)

    def _guard_all(self, targets: Iterable[Arn], event: Event, visit: Callable[[Arn], Outcome]) -> dict[str, str]:
        outcomes: dict[str, str] = {}
        errors: list[Exception] = []
        for target in targets:
            try:
                outcomes[target] = visit(target).value
            except Exception as error:  # the other targets are guarded all the same, then all are raised
                telemetry.logger.exception("failed", extra={"target": target})
                errors.append(error)
            telemetry.count(outcomes.get(target, "failed"))
        telemetry.logger.info("done", extra={"event": event.name, "event_id": event.id, "outcomes": outcomes})
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(errors) + len(outcomes)} targets failed", errors)
        return outcomes


def looks(guardrail: str, targets: Iterable[str], bus: str) -> Iterator[ApiCall]:
    """Asks for another look at each target: PutEvents calls, which the guardrail's own rule answers."""
    remaining = iter(targets)
    batches = iter(lambda: list(islice(remaining, BATCH)), [])
    entries = (_entry(LOOK, {"guardrail": guardrail, "targets": batch}, bus) for batch in batches)
    for chunk in iter(lambda: list(islice(entries, ENTRIES)), []):
        yield ApiCall("events", "put_events", {"Entries": chunk})


def _ask(targets: Iterable[str], world: World) -> None:
    for call in looks(world.guardrail, targets, world.bus):
        world.aws.apply(call)


def sweep(bus: str, guardrail: str = EVERYONE) -> ApiCall:
    """Asks every guardrail, or one, to look at everything it covers."""
    return ApiCall("events", "put_events", {"Entries": [_entry(SWEEP, {"guardrail": guardrail}, bus)]})


def canary(bus: str) -> ApiCall:
    """Asks every guardrail to answer."""
    return ApiCall("events", "put_events", {"Entries": [_entry(CANARY, {"guardrail": EVERYONE}, bus)]})


def _entry(kind: str, detail: dict[str, Any], bus: str) -> dict[str, str]:
    return {"Source": "holdfast", "DetailType": kind, "EventBusName": bus, "Detail": shape.text(detail)}


def _must_be_ours(raw: Mapping[str, Any], here: Place) -> None:
    """A rule on a shared bus, or somebody who may invoke us, could hand over another account's record."""
    if not isinstance(raw, Mapping):
        raise BadEvent("not an event")
    detail = raw.get("detail")
    recipient = detail.get("recipientAccountId") if isinstance(detail, Mapping) else None
    for account in (raw.get("account"), recipient):
        if account is not None and str(account) != here.account:
            raise NotOurs(f"an event of account {str(account)[:20]}, not {here.account}")


def _is_failed(raw: Mapping[str, Any]) -> bool:
    """The rule drops failed calls; one that comes by another way changed nothing either."""
    return bool(raw["detail"].get("errorCode"))


@cache
def wired() -> World:
    """Made once and kept: clients and settings outlive an invocation."""
    return World.of(os.environ)


def is_lambda() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ
