"""The template's patterns, put to a real matcher: they are accepted, match their samples, and leave the rest alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from holdfast_cli import project, template
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.transform import transform
from support import call, canary, look, sweep

SAMPLES = sorted(project.EVENTS.glob("*/*.json"))
RULES = {
    name: template.resolved(resource["Properties"]["EventPattern"], {"Canary": "/holdfast-canary"})
    for name, resource in transform(project.TEMPLATE)["Resources"].items()
    if resource["Type"] == "AWS::Events::Rule"
}


@pytest.fixture(scope="module")
def events() -> Iterator[Any]:
    with LocalCloud() as cloud:
        yield cloud.client("events")


def section(guardrail: str) -> str:
    return guardrail.replace("-", "").replace("_", "").lower()


def answering(events: Any, event: dict[str, Any]) -> list[str]:
    """The rules that match an event, by the matcher behind TestEventPattern."""
    whole = {"time": "2026-01-01T00:00:00Z", "resources": [], "version": "0"} | event
    return [
        name.lower()
        for name, pattern in RULES.items()
        if events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(whole))["Result"]
    ]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_starts_its_guardrail_or_nothing(events: Any, sample: Path) -> None:
    found = answering(events, json.loads(sample.read_text()))
    if sample.parent.name == "ignored":
        assert found == [] or "foreign" in sample.stem
    else:
        assert f"{section(sample.parent.name)}calls" in found


@pytest.mark.parametrize("guardrail", project.guardrails())
def test_a_look_starts_one_guardrail_and_a_sweep_or_a_canary_all(events: Any, guardrail: str) -> None:
    assert answering(events, look(guardrail, "arn:aws:s3:::lake")) == [f"{section(guardrail)}looks"]
    assert f"{section(guardrail)}looks" in answering(events, sweep())
    assert f"{section(guardrail)}looks" in answering(events, canary())


def test_only_the_watchs_own_call_starts_the_watch(events: Any) -> None:
    assert answering(events, call("ssm", "PutParameter", {"name": "/holdfast-canary"})) == ["watchcanary"]
    assert answering(events, call("ssm", "PutParameter", {"name": "/holdfast/settings"})) == []
