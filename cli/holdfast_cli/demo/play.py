"""Plays the incidents and says how each ended."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holdfast import shape
from holdfast.event import role_of
from holdfast.model import Record

from holdfast_cli.demo.incidents import INCIDENTS, Incident
from holdfast_cli.demo.stage import NotInTime, Stage, until

QUIET = 0.8  # seconds in which an event that no rule may answer must stay unanswered


@dataclass(frozen=True)
class Played:
    """How an incident ended. `seconds` is the time from the call to the resource being right, seen from outside."""

    incident: Incident
    target: str
    rule: str
    outcome: str
    seconds: float | None
    safe: bool
    record: Record | None = None
    failure: str = ""

    @property
    def as_expected(self) -> bool:
        return self.outcome == self.incident.outcome and self.safe

    def plain(self) -> dict[str, Any]:
        """For machines."""
        return {
            "title": self.incident.title,
            "guardrail": self.incident.guardrail,
            "target": self.target,
            "rule": self.rule,
            "expected": self.incident.outcome,
            "outcome": self.outcome,
            "seconds_to_fix": None if self.seconds is None else round(self.seconds, 3),
            "as_expected": self.as_expected,
            "record": shape.plain(self.record),
            "failure": self.failure,
        }


def play(stage: Stage) -> Iterator[Played]:
    """One after the other; one that fails doesn't keep the rest from being played.

    All things are made first: what Holdfast does to a new bucket must be over before somebody breaks it.
    """
    targets = [incident.arrange(stage) for incident in INCIDENTS]
    stage.settle()
    for incident, target in zip(INCIDENTS, targets, strict=True):
        try:
            yield _play(incident, stage, target)
        except NotInTime as error:
            yield Played(incident, target, "", "nothing", None, False, failure=str(error))


def _play(incident: Incident, stage: Stage, target: str) -> Played:
    incident.decide(stage)
    called = time.monotonic()
    incident.act(stage, target)
    if incident.outcome == "ignored":
        return _ignored(incident, stage, target)
    fixed = None
    if incident.outcome == "remediated":
        fixed = until(lambda: incident.safe(stage, target), f"{incident.title}: the fix") - called
    message = stage.message(lambda told: _tells(told, incident, target, role_of(stage.people[incident.who].arn)))
    if message is None:
        raise NotInTime(f"{incident.title}: nobody was told")
    record = shape.parse(Record, {name: value for name, value in message.items() if name != "id"})
    safe = incident.safe(stage, target)
    return Played(incident, target, _rule(incident, stage), record.outcome, fixed, safe, record)


def _tells(message: dict[str, Any], incident: Incident, target: str, who: str) -> bool:
    """Making the thing was an incident of its own, perhaps: the message wanted is about what this person did."""
    return (message["target"], message["guardrail"], message["actor"]["arn"]) == (target, incident.guardrail, who)


def _ignored(incident: Incident, stage: Stage, target: str) -> Played:
    """The failed call reaches the bus as CloudTrail writes it, and no rule of ours answers."""
    seen = stage.event(lambda event: event["detail"]["userIdentity"]["arn"] == stage.people[incident.who].arn)
    told = stage.message(lambda message: message["target"] == target, QUIET)
    outcome = "ignored" if seen and not told else "nothing" if not seen else told["outcome"]  # type: ignore[index]
    rule = f"none: errorCode {seen['detail']['errorCode']}" if seen else ""
    return Played(incident, target, rule, outcome, None, incident.safe(stage, target))


def _rule(incident: Incident, stage: Stage) -> str:
    section = incident.guardrail.replace("-", "")
    return next((rule for logical, rule in stage.rules.items() if logical.lower() == f"{section}calls"), "")


def as_json(played: list[Played]) -> str:
    return json.dumps([each.plain() for each in played], indent=2)
