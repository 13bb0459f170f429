"""Lambda's own entries: the environment that the template gives, a context, and what comes back. On moto."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest
from holdfast import telemetry
from holdfast.event import BadEvent, Place
from holdfast.guardrail import wired
from holdfast.world import World
from holdfast_cli import project
from support import ME, REGION, account, call, canary, heard, items, look, make_bucket, make_rule

GUARDRAIL = "s3-public-access-block"
UNITS = {("Remediated", "Count"), ("Delay", "Seconds")}


@dataclass
class Context:
    """As much of Lambda's context as is used."""

    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(autouse=True)
def _function(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    environment = {
        "POWERTOOLS_SERVICE_NAME": GUARDRAIL,
        "AWS_REGION": REGION,
        "HOLDFAST_ACCOUNT": ME,
        "HOLDFAST_PARTITION": "aws",
        "HOLDFAST_TABLE": "holdfast",
        "HOLDFAST_TOPIC": f"arn:aws:sns:{REGION}:{ME}:security",
        "HOLDFAST_SHARED": '{"mode": "enforce", "break_glass_arns": [""]}',
        "HOLDFAST_SETTINGS": '{"account_level": false}',
        "HOLDFAST_SWEEP_HOURS": "24",
        "HOLDFAST_GUARDRAILS": f"{GUARDRAIL}=calls",
        "HOLDFAST_CANARY": "/holdfast-canary",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wired.cache_clear()
    telemetry.metrics.clear_metrics()  # what other tests in this process counted
    with account():
        yield


def test_an_event_comes_in_and_its_outcome_goes_out(capsys: pytest.CaptureFixture[str]) -> None:
    make_bucket()
    boto3.client("s3").delete_public_access_block(Bucket="lake")
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"}, eventTime="2026-01-01T00:00:00Z")
    assert project.load(GUARDRAIL).handler(event, Context()) == {"arn:aws:s3:::lake": "remediated"}
    assert [message["outcome"] for message in heard()] == ["remediated"]
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [found["Remediated"] for found in metrics] == [[1.0]]
    assert metrics[0]["Delay"] > [0.0]
    (declared,) = metrics[0]["_aws"]["CloudWatchMetrics"]
    assert {(metric["Name"], metric["Unit"]) for metric in declared["Metrics"]} == UNITS


def test_an_event_that_seems_to_come_before_its_call_has_no_delay(capsys: pytest.CaptureFixture[str]) -> None:
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"}, eventTime="2999-01-01T00:00:00Z")
    project.load(GUARDRAIL).handler(event, Context())
    assert '"Delay":[0.0]' in capsys.readouterr().out


def test_the_world_is_as_the_template_says() -> None:
    made = World.of(os.environ | {"HOLDFAST_RECORD_DAYS": "30", "HOLDFAST_ROLE": "arn:aws:iam::123456789012:role/x"})
    assert (made.guardrail, made.ledger.table, made.ledger.days, made.bus) == (GUARDRAIL, "holdfast", 30, "default")
    assert made.here == Place(ME, REGION, "aws", "arn:aws:iam::123456789012:role/x")
    usual = World.of(os.environ)
    assert (usual.ledger.days, usual.here.role) == (400, "")


def test_the_log_tells_what_came_of_an_event(caplog: pytest.LogCaptureFixture) -> None:
    make_bucket()
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"}, id="event-7")
    project.load(GUARDRAIL).handler(event, Context())
    (done,) = (vars(entry) for entry in caplog.records if entry.message == "done")
    told = {"event": "DeleteBucketPublicAccessBlock", "event_id": "event-7"}
    assert told | {"outcomes": {"arn:aws:s3:::lake": "remediated"}} == {
        name: done[name] for name in (*told, "outcomes")
    }


def test_what_can_not_be_understood_is_raised() -> None:
    with pytest.raises(BadEvent):
        project.load(GUARDRAIL).handler({"detail": {}}, Context())


def test_a_guardrail_that_is_off_says_so(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Else one write to Parameter Store would silence all without a trace."""
    boto3.client("ssm").put_parameter(Name="/holdfast/settings", Value='{"mode": "off"}', Type="String")
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"})
    assert project.load(GUARDRAIL).handler(event, Context()) == {}
    (counted,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line)
    assert counted["Off"] == [1.0]
    assert [vars(entry)["event_id"] for entry in caplog.records if entry.message == "off"] == ["event-1"]


def test_a_guardrail_that_lacks_a_setting_says_which(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "s3-vpc-only-policy")
    monkeypatch.setenv("HOLDFAST_SETTINGS", "{}")
    event = call("s3", "DeleteBucketPolicy", {"bucketName": "lake"})
    assert project.load("s3-vpc-only-policy").handler(event, Context()) == {}
    (lacks,) = (vars(entry)["lacks"] for entry in caplog.records if entry.message == "off" and hasattr(entry, "lacks"))
    assert lacks == "s3-vpc-only-policy: required: buckets"


def test_a_canary_is_answered_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert project.load(GUARDRAIL).handler(canary(), Context()) == {}
    (counted,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line)
    assert counted["Canary"] == [1.0]
    assert [item["answered"] for item in items() if item["guardrail"] == GUARDRAIL] == ["1767225600"]


def test_another_accounts_thing_is_named_in_the_log_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    theirs = "arn:aws:kms:eu-west-1:999999999999:key/1111aaaa-22bb-33cc-44dd-5555eeee6666"
    event = look(GUARDRAIL, theirs)
    assert project.load(GUARDRAIL).handler(event, Context()) == {}
    assert [vars(entry)["target"] for entry in caplog.records if entry.message == "not ours"] == [theirs]


def test_an_event_on_another_accounts_thing_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    theirs = [{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::lake", "accountId": "999999999999"}]
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"}, resources=theirs)
    assert project.load(GUARDRAIL).handler(event, Context()) == {}
    (left,) = (vars(entry) for entry in caplog.records if entry.message == "not ours")
    assert (left["owner"], left["event_id"]) == ("999999999999", "event-1")


def test_a_tick_of_the_watch_asks_for_the_sweep_and_sends_canaries(capsys: pytest.CaptureFixture[str]) -> None:
    make_rule("calls")
    assert project.watch().handler({}, Context()) == {"looks": 0, "digests": 0, "sweeps": 1, "canaries": 1}
    assert {(item["guardrail"], item["target"]) for item in items()} == {("watch", "#sweep"), ("watch", "#canary")}
    metrics = next(json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line)
    assert (metrics["SilentGuardrails"], metrics["SilentTrail"]) == ([0.0], [0.0])


def test_the_watch_looks_at_the_rule_that_the_stack_names(caplog: pytest.LogCaptureFixture) -> None:
    project.watch().handler({}, Context())
    (entry,) = (vars(entry) for entry in caplog.records if entry.message == "silent")
    assert (entry["silent"], entry["rules"]) == ([], {GUARDRAIL: "calls"})


def test_the_watch_hears_of_its_own_call(capsys: pytest.CaptureFixture[str]) -> None:
    event = call("ssm", "PutParameter", {"name": "/holdfast-canary"}, eventTime="2026-01-01T00:00:00Z")
    assert project.watch().handler(event, Context()) == {}
    (item,) = items()
    assert (item["guardrail"], item["answered"]) == ("watch", "1767225600")
    assert '"Delay"' in capsys.readouterr().out
