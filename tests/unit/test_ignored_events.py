"""Events that must start nothing, or change nothing: failed calls, other accounts' records, other kinds of event."""

import copy
import json
from typing import Any

import pytest
from holdfast import BadEvent
from holdfast.guardrail import NotOurs
from holdfast.visit import Delivery
from holdfast_cli import project, rules
from support import FAR_FUTURE, ME, REGION, world

PATHS = sorted((project.EVENTS / "ignored").glob("*.json"))
SAMPLES = {path.stem: json.loads(path.read_text()) for path in PATHS}


def named(beginning: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith(beginning)])


def handled(guardrail: str, event: dict[str, Any]) -> dict[str, str]:
    answer: dict[str, str] = project.load(guardrail).handler.handle(event, world(guardrail), Delivery("d", FAR_FUTURE))
    return answer


def watchers(event: dict[str, Any]) -> list[str]:
    """The guardrails that the call would start, had it succeeded."""
    succeeded = copy.deepcopy(event)
    succeeded["detail"].pop("errorCode", None)
    return rules.starts(succeeded)


@named("failed-")
def test_a_failed_call_starts_nothing_and_is_passed_over_if_it_comes_all_the_same(name: str) -> None:
    event = SAMPLES[name]
    assert rules.starts(event) == []
    for guardrail in project.guardrails():
        assert handled(guardrail, event) == {}


def test_the_failed_samples_would_start_something_had_they_succeeded() -> None:
    idle = {name for name in SAMPLES if name.startswith("failed-") and not watchers(SAMPLES[name])}
    assert idle == set()


@named("foreign-")
def test_another_accounts_record_is_refused(name: str) -> None:
    event = SAMPLES[name]
    assert rules.starts(event) != []
    for guardrail in project.guardrails():
        with pytest.raises(NotOurs):
            handled(guardrail, event)


@named("read-only-")
def test_a_read_only_call_starts_nothing(name: str) -> None:
    assert rules.starts(SAMPLES[name]) == []


@pytest.mark.parametrize("name", ["service-event-DeleteKey", "console-sign-in"])
def test_another_kind_of_event_starts_nothing_and_fails_loudly_if_it_comes_all_the_same(name: str) -> None:
    event = SAMPLES[name]
    assert rules.starts(event) == []
    for guardrail in project.guardrails():
        with pytest.raises(BadEvent):
            handled(guardrail, event)


@named("")
def test_a_sample_is_a_whole_envelope_of_our_place(name: str) -> None:
    event = SAMPLES[name]
    assert event.keys() >= {
        "version",
        "id",
        "detail-type",
        "source",
        "account",
        "time",
        "region",
        "resources",
        "detail",
    }
    assert event["region"] == event["detail"]["awsRegion"] == REGION
    assert (event["account"] == ME) == (not name.startswith("foreign-account"))
