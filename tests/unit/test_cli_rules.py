"""The matcher of event patterns, as far as the template uses them."""

import json
from typing import Any

import pytest
from holdfast_cli import events, project, rules, template
from support import call

PATTERN = {
    "source": ["aws.s3", "aws.s3express"],
    "detail": {"eventName": ["CreateBucket"], "errorCode": [{"exists": False}]},
}


def event(**detail: Any) -> dict[str, Any]:
    return {"source": "aws.s3", "detail": {"eventName": "CreateBucket"} | detail}


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (event(), []),
        (event(errorCode="AccessDenied"), ["detail.errorCode"]),
        (event(errorCode=None), ["detail.errorCode"]),  # null is a value, to EventBridge
        (event(eventName="DeleteBucket"), ["detail.eventName"]),
        (event(eventName="createbucket"), ["detail.eventName"]),
        (event(eventName=["DeleteBucket", "CreateBucket"]), []),
        (event() | {"source": "aws.kms"}, ["source"]),
        ({"source": "aws.s3express"}, ["detail.eventName"]),
        ({"source": "aws.s3", "detail": "text"}, ["detail.eventName"]),
        ({}, ["source", "detail.eventName"]),
    ],
)
def test_it_names_the_fields_that_do_not_fit(found: dict[str, Any], wrong: list[str]) -> None:
    assert rules.mismatches(PATTERN, found) == wrong
    assert rules.matches(PATTERN, found) == (not wrong)


@pytest.mark.parametrize(
    ("pattern", "found", "fits"),
    [
        ({"a": [1]}, {"a": 1}, True),
        ({"a": [1]}, {"a": "1"}, False),
        ({"a": [True]}, {"a": 1}, False),
        ({"a": [None]}, {"a": None}, True),
        ({"a": [None]}, {}, False),
        ({"a": [{"exists": True}]}, {"a": ""}, True),
        ({"a": [{"exists": True}]}, {"a": {"b": 1}}, False),
        ({"a": [{"exists": False}]}, {"a": {"b": 1}}, True),
    ],
)
def test_values_are_compared_with_their_type(pattern: dict[str, Any], found: dict[str, Any], fits: bool) -> None:
    assert rules.matches(pattern, found) is fits


def test_an_operator_it_does_not_know_is_not_guessed() -> None:
    with pytest.raises(rules.UnknownOperator, match="prefix"):
        rules.matches({"source": [{"prefix": "aws."}]}, {"source": "aws.s3"})


def test_an_event_starts_the_guardrails_that_watch_it() -> None:
    assert "s3-default-encryption" in rules.starts(call("s3", "PutBucketEncryption", {"bucketName": "b"}))
    assert rules.starts(call("s3", "GetBucketEncryption", {"bucketName": "b"})) == []


def test_a_look_starts_its_own_guardrail_and_a_sweep_starts_all() -> None:
    look = {"source": "holdfast", "detail-type": "Holdfast Look", "detail": {"guardrail": "s3-default-encryption"}}
    sweep = {"source": "holdfast", "detail-type": "Holdfast Sweep", "detail": {"guardrail": "*"}}
    assert rules.starts(look) == ["s3-default-encryption"]
    assert rules.starts(sweep) == [section.guardrail for section in template.functions()]


def test_it_says_who_would_be_started_instead() -> None:
    said = rules.why_not("s3-default-encryption", call("kms", "DisableKey", {"keyId": "k"}))
    assert "DisableKey" in said
    assert "kms-key-deletion" in said


RECORD = call("s3", "PutBucketEncryption", {"bucketName": "b"}, eventTime="2026-01-01T00:00:00Z")["detail"]


def test_a_bare_record_is_put_into_the_envelope_that_eventbridge_would_give_it() -> None:
    made = events.envelope(RECORD)
    assert made == call("s3", "PutBucketEncryption", {"bucketName": "b"}) | {
        "id": RECORD["eventID"],
        "time": RECORD["eventTime"],
        "detail": RECORD,
    }


@pytest.mark.parametrize(
    ("kind", "detail_type"),
    [
        ("AwsApiCall", "AWS API Call via CloudTrail"),
        (None, "AWS API Call via CloudTrail"),
        ("AwsServiceEvent", "AWS Service Event via CloudTrail"),
        ("AwsConsoleSignIn", "AWS Console Sign In via CloudTrail"),
        ("AwsVpceEvent", "AWS Network Activity Event via CloudTrail"),
    ],
)
def test_the_detail_type_follows_the_kind_of_record(kind: str | None, detail_type: str) -> None:
    assert events.envelope(RECORD | {"eventType": kind})["detail-type"] == detail_type


def test_a_null_error_code_means_success() -> None:
    assert rules.starts(events.envelope(RECORD | {"errorCode": None})) != []
    assert rules.starts(events.envelope(RECORD | {"errorCode": "AccessDenied"})) == []


def test_every_ignored_sample_that_is_a_record_finds_its_own_detail_type_again() -> None:
    for path in (project.EVENTS / "ignored").glob("*.json"):
        sample = json.loads(path.read_text())
        assert events.envelope(sample["detail"])["detail-type"] == sample["detail-type"]
