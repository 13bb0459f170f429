"""Every watched call of every guardrail, from the attacker's act to the account put right, on moto."""

import importlib
import json
import os
import pkgutil
from collections.abc import Iterator

import incidents
import pytest
from holdfast_cli import project
from support import INCIDENTS, SETTINGS_CALL, Incident, account, exempt, heard, items, look, records, still_open

for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

CALLS = project.ROOT / "docs/calls.json"
CASES = [pytest.param(build, id=f"{g}-{name}") for g, builds in INCIDENTS.items() for name, build in builds.items()]


@pytest.fixture(params=CASES)
def incident(request: pytest.FixtureRequest) -> Iterator[Incident]:
    with account():
        built: Incident = request.param()
        if built.known:
            built.run(look(built.guardrail, built.target))
        yield built


def test_a_compliant_target_is_left_alone(incident: Incident) -> None:
    result = incident.run()
    assert (set(result.outcomes.values()), result.writes, heard()) == ({"compliant"}, [], [])


def test_a_violation_ends_as_promised_and_is_told_once(incident: Incident) -> None:
    incident.spoil()
    result = incident.run()
    assert result.outcomes[incident.target] == incident.outcome
    assert incident.safe() == (incident.outcome == "remediated")
    assert [(m["outcome"], m["target"]) for m in heard()] == [(incident.outcome, incident.target)]
    assert [record["outcome"] for record in records()] == [incident.outcome]
    assert not still_open()


def test_a_fix_makes_the_calls_that_its_page_lists(incident: Incident, request: pytest.FixtureRequest) -> None:
    """`make calls` writes down what is made; whoever makes it more has to say so in a diff."""
    incident.spoil()
    made = [call for call in incident.run().calls if call != SETTINGS_CALL]
    listed: dict[str, dict[str, list[str]]] = json.loads(CALLS.read_text())
    name = request.node.callspec.id.removeprefix(f"{incident.guardrail}-")
    if os.environ.get("HOLDFAST_CALLS") == "write":
        listed.setdefault(incident.guardrail, {})[name] = made
        CALLS.write_text(json.dumps(listed, indent=1) + "\n")
    assert listed[incident.guardrail].get(name) == made


def test_no_page_lists_calls_of_what_is_gone() -> None:
    listed = json.loads(CALLS.read_text())
    assert {guardrail: set(names) for guardrail, names in listed.items()} == {g: set(INCIDENTS[g]) for g in INCIDENTS}


def test_an_exempt_target_is_only_told(incident: Incident) -> None:
    exempt(incident.guardrail, incident.target)
    incident.spoil()
    result = incident.run()
    assert (result.outcome, result.writes) == ("exempt", [])
    assert [m["outcome"] for m in heard()] == ["exempt"]


def test_audit_mode_says_what_it_would_do_and_does_nothing(incident: Incident) -> None:
    incident.spoil()
    result = incident.run(mode="audit")
    assert result.writes == []
    (message,) = heard()
    assert message["outcome"] == ("audited" if incident.outcome == "remediated" else incident.outcome)
    assert bool(message["calls"]) == (incident.outcome == "remediated")


def test_a_duplicate_changes_and_tells_nothing(incident: Incident) -> None:
    incident.spoil()
    incident.run()
    heard()
    again = incident.run(delivery="delivery-2")
    assert (again.writes, heard(), len(records())) == ([], [], 1)


def test_a_stale_event_on_a_target_that_is_right_again_changes_nothing(incident: Incident) -> None:
    incident.spoil()
    incident.run()
    before = items()
    stale = dict(incident.event) | {"detail": {**incident.event["detail"], "eventTime": "2020-01-01T00:00:00Z"}}
    assert incident.run(stale, delivery="delivery-3").writes == []
    assert items() == before


def test_off_means_off(incident: Incident) -> None:
    incident.spoil()
    result = incident.run(modes={incident.guardrail: "off"})
    assert (result.outcomes, result.writes, heard()) == ({}, [], [])


def test_a_failed_call_starts_nothing(incident: Incident) -> None:
    failed = dict(incident.event) | {"detail": {**incident.event["detail"], "errorCode": "AccessDenied"}}
    incident.spoil()
    assert incident.run(failed).outcomes == {}
