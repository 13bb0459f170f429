"""What Holdfast says to itself over the bus, word for word: the template's rules match it, and a run parses it."""

import json
from typing import Any

import pytest
from holdfast.guardrail import BATCH, ENTRIES, canary, is_lambda, looks, sweep
from holdfast.model import ApiCall

BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/default"


def said(call: ApiCall) -> list[tuple[str, Any]]:
    assert (call.service, call.operation) == ("events", "put_events")
    entries = call.parameters["Entries"]
    assert {(entry["Source"], entry["EventBusName"], len(entry)) for entry in entries} == {("holdfast", BUS, 4)}
    return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in entries]


def test_a_sweep_and_a_canary_name_whom_they_ask() -> None:
    assert said(sweep(BUS)) == [("Holdfast Sweep", {"guardrail": "*"})]
    assert said(sweep(BUS, "toy")) == [("Holdfast Sweep", {"guardrail": "toy"})]
    assert said(canary(BUS)) == [("Holdfast Canary", {"guardrail": "*"})]


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, BATCH * ENTRIES, BATCH * ENTRIES + 1])
def test_looks_are_asked_for_in_batches_that_the_bus_takes(count: int) -> None:
    """EventBridge API, PutEvents: ten entries a call."""
    targets = [f"arn:aws:s3:::lake-{number}" for number in range(count)]
    calls = [said(call) for call in looks("toy", iter(targets), BUS)]
    entries = [entry for call in calls for entry in call]
    assert {kind for kind, _ in entries} <= {"Holdfast Look"}
    assert [target for _, detail in entries for target in detail["targets"]] == targets
    assert all(detail.keys() == {"guardrail", "targets"} and detail["guardrail"] == "toy" for _, detail in entries)
    assert all(0 < len(detail["targets"]) <= BATCH for _, detail in entries)
    assert len(calls) == -(-count // (BATCH * ENTRIES))


def test_it_is_lambda_where_a_function_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda developer guide, "Defined runtime environment variables"."""
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    assert not is_lambda()
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "holdfast")
    assert is_lambda()
