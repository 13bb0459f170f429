"""Trails on moto: runs that die, the clock, other Regions, other accounts, and what stands in the way."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import time_machine
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from holdfast.visit import Delivery
from holdfast.world import World
from holdfast_cli import project
from incidents.cloudtrail_logging import EVERYTHING, TERRAFORM, TRAIL, bucket, delete, found, stop, trail, update
from support import FAR_FUTURE, HERE, ME, REGION, Result, account, call, heard, items, look, records, run, sweep, world

ID = "cloudtrail-logging"
ELSEWHERE = HERE.arn("cloudtrail", "trail/far", "us-east-1")
THEIRS = f"arn:aws:cloudtrail:{REGION}:999999999999:trail/organisation"
ROLE = f"arn:aws:iam::{ME}:role/trail-to-logs"
LOGS = {
    "CloudWatchLogsLogGroupArn": f"arn:aws:logs:{REGION}:{ME}:log-group:trail:*",
    "CloudWatchLogsRoleArn": ROLE,
}
TOPIC = {"SnsTopicName": "trail"}
RATE: Any = {"InsightType": "ApiCallRateInsight"}
DELETED = call("cloudtrail", "DeleteTrail", {"name": "audit"})
STOPPED = call("cloudtrail", "StopLogging", {"name": "audit"})

Hooks = dict[str, Callable[..., Any]]


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    with account():
        yield


def registered(hooks: Hooks) -> Callable[[World], None]:
    def register(here: World) -> None:
        for name, hook in hooks.items():
            here.aws.session.register(name, hook)

    return register


def hooked(event: dict[str, Any], hooks: Hooks, delivery: str = "delivery-1", **shared: Any) -> Result:
    """One invocation with botocore's hooks set: AWS as moto is not, or a run that dies."""
    here, calls = world(ID, **shared), []
    session: Any = here.aws.session
    session.register("before-call", lambda model, **_: calls.append(model.name))
    registered(hooks)(here)
    return Result(project.load(ID).handler.handle(event, here, Delivery(delivery, FAR_FUTURE)), calls)


def answering(answer: dict[str, Any]) -> Callable[..., Any]:
    """Instead of moto's: what botocore reads from AWS' answer."""
    return lambda **_: (AWSResponse("", 200, HTTPHeaders(), None), answer)


def refusing(code: str) -> Callable[..., Any]:
    return lambda **_: (AWSResponse("", 400, HTTPHeaders(), None), {"Error": {"Code": code, "Message": "no"}})


def refusing_with(code: str, *parameters: str) -> Callable[..., Any]:
    """Only calls that carry one of these."""
    refused = refusing(code)
    return lambda params, **_: refused() if {*parameters} & json.loads(params["body"]).keys() else None


def dies(**_: Any) -> None:
    raise EndpointConnectionError(endpoint_url="https://cloudtrail")


def insights_are_shown(parsed: dict[str, Any], **_: Any) -> None:
    """moto never says that a trail has Insights (CloudTrail API, Trail, HasInsightSelectors)."""
    parsed.get("Trail", {})["HasInsightSelectors"] = True


def named_topics(params: dict[str, Any], **_: Any) -> None:
    """moto takes a topic by its name only (CloudTrail API, UpdateTrail: "the name or ARN")."""
    if "SnsTopicName" in params:
        params["SnsTopicName"] = params["SnsTopicName"].rpartition(":")[2]


TOPICS: Hooks = {"before-parameter-build.cloudtrail": named_topics}
INSIGHTS: Hooks = {"after-call.cloudtrail.GetTrail": insights_are_shown}


def known(**more: Any) -> dict[str, Any]:
    """The trail as it should be, of which Holdfast has a baseline."""
    good = trail(**more)
    run(ID, look(ID, TRAIL))
    heard()
    return good


def test_a_bucket_that_is_another_accounts_by_now_is_told_by_the_clock() -> None:
    known()
    assert run(ID, look(ID, TRAIL)).outcome == "compliant"
    theirs: Hooks = {"before-call.s3.GetBucketPolicy": refusing("AccessDenied")}
    asked = hooked(look(ID, TRAIL), theirs)
    assert (asked.outcome, asked.writes) == ("escalated", [])
    (message,) = heard()
    assert "can't be shown to be" in message["what"]
    assert hooked(look(ID, TRAIL), theirs, "d2").outcome == "escalated"
    assert (heard(), hooked(STOPPED, theirs, "d3").outcome) == ([], "compliant")


def test_the_message_names_the_blind_interval() -> None:
    known()
    stop()
    run(ID, STOPPED)
    (message,) = heard()
    stopped_at = message["found"]["stopped_at"]
    assert stopped_at
    assert f"Between {stopped_at} and its restart" in message["todo"]
    assert message["left"]["started_at"] >= stopped_at
    assert (message["left"]["stopped_at"], stopped_at in message["what"]) == ("", False)


@pytest.mark.parametrize("dying", ["StartLogging", "PutEventSelectors", "PutInsightSelectors", "UpdateTrail"])
def test_a_trail_that_a_dead_run_made_is_finished_by_the_next_look(dying: str) -> None:
    boto3.client("sns").create_topic(Name="trail")
    good = trail(**TOPIC)
    boto3.client("cloudtrail").put_insight_selectors(TrailName="audit", InsightSelectors=[RATE])
    hooked(look(ID, TRAIL), INSIGHTS)
    delete()
    with pytest.raises(ExceptionGroup):
        hooked(DELETED, INSIGHTS | TOPICS | {f"before-call.cloudtrail.{dying}": dies})
    assert found() != {}
    result = hooked(DELETED, INSIGHTS | TOPICS)
    assert (result.outcome, found()) == ("remediated", good)
    selectors = boto3.client("cloudtrail").get_insight_selectors(TrailName="audit")["InsightSelectors"]
    assert selectors == [RATE]
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_a_trail_deleted_again_comes_back_again() -> None:
    good = known()
    for delivery in ("one", "two"):
        delete()
        run(ID, DELETED, delivery=delivery)
        assert found() == good


def test_the_clock_finds_what_no_event_told() -> None:
    good = known()
    run(ID, sweep())
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=2)):  # what the first sweep finds was so before
        delete()
        assert run(ID, sweep(id="sweep-2")).outcomes == {TRAIL: "remediated"}
        stop()
        assert run(ID, sweep(id="sweep-3")).outcomes == {TRAIL: "remediated"}
    assert found() == good


def test_the_clock_reads_little_and_only_what_is_at_home_here() -> None:
    known()
    boto3.client("cloudtrail", "us-east-1").create_trail(Name="far", S3BucketName="audit-logs", IsMultiRegionTrail=True)
    result = run(ID, sweep())
    assert result.outcomes == {TRAIL: "compliant"}
    ours = [name for name in result.calls if "Trail" in name or "Tags" in name or "Selectors" in name]
    assert sorted(ours) == ["GetEventSelectors", "GetTrail", "GetTrailStatus", "ListTags", "ListTrails"]


def test_a_trail_is_mended_in_its_home_region() -> None:
    bucket("audit-logs")
    far = boto3.client("cloudtrail", "us-east-1")
    far.create_trail(Name="far", S3BucketName="audit-logs", IsMultiRegionTrail=True)
    result = run(ID, call("cloudtrail", "StopLogging", {"name": ELSEWHERE}))
    assert result.outcomes == {ELSEWHERE: "remediated"}
    assert far.get_trail_status(Name="far")["IsLogging"]
    (message,) = heard()
    assert [planned["region"] for planned in message["calls"]] == ["us-east-1"]


def test_a_change_that_may_be_meant_is_audited_and_told_once() -> None:
    known()
    bucket("other-logs")
    update(S3BucketName="other-logs")
    event = call("cloudtrail", "UpdateTrail", {"name": "audit", "s3BucketName": "other-logs"})
    assert (run(ID, event).outcome, found()["trail"]["S3BucketName"]) == ("audited", "other-logs")
    (message,) = heard()
    assert [planned["operation"] for planned in message["calls"]] == ["update_trail"]
    assert "baseline_principals" in message["reason"]
    assert (run(ID, sweep()).outcomes, heard()) == ({TRAIL: "audited"}, [])


def test_a_weakened_trail_that_also_sends_elsewhere_is_mended_and_needs_a_person() -> None:
    known()
    bucket("other-logs")
    update(S3BucketName="other-logs", EnableLogFileValidation=False)
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"})
    assert run(ID, event).outcome == "escalated"
    assert (found()["trail"]["LogFileValidationEnabled"], found()["trail"]["S3BucketName"]) == (True, "other-logs")
    (message,) = heard()
    assert "its bucket is other-logs, not audit-logs" in message["todo"]


def test_what_a_principal_with_a_say_changed_is_the_new_baseline() -> None:
    known()
    bucket("other-logs")
    shared: Any = {"baseline_principals": [TERRAFORM]}
    update(S3BucketName="other-logs")
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"}, actor=TERRAFORM)
    assert run(ID, event, **shared).outcome == "exempt"
    delete()
    assert run(ID, DELETED, delivery="delivery-2", **shared).outcome == "remediated"
    assert found()["trail"]["S3BucketName"] == "other-logs"


def test_a_trail_that_somebody_else_deleted_after_a_change_with_a_say_comes_back() -> None:
    """Events are late: the change is looked at when the trail is gone already."""
    good = known()
    shared: Any = {"baseline_principals": [TERRAFORM]}
    delete()
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"}, actor=TERRAFORM)
    assert run(ID, event, **shared).outcome == "remediated"
    assert found() == good


def test_a_trail_that_a_principal_with_a_say_deleted_stays_deleted_and_may_come_back() -> None:
    known()
    shared: Any = {"baseline_principals": [TERRAFORM]}
    delete()
    event = call("cloudtrail", "DeleteTrail", {"name": "audit"}, actor=TERRAFORM)
    assert run(ID, event, **shared).outcome == "exempt"
    assert run(ID, sweep(), **shared).outcomes == {TRAIL: "compliant"}
    assert found() == {}
    cloudtrail = boto3.client("cloudtrail")
    cloudtrail.create_trail(Name="audit", S3BucketName="audit-logs")
    cloudtrail.start_logging(Name="audit")
    run(ID, sweep(id="sweep-2"), **shared)
    delete()
    assert run(ID, DELETED, delivery="delivery-2", **shared).outcome == "remediated"


def test_what_somebody_has_added_to_a_trail_is_kept_from_then_on() -> None:
    known(EnableLogFileValidation=False)
    update(EnableLogFileValidation=True)
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"})
    assert run(ID, event).outcome == "compliant"
    update(EnableLogFileValidation=False)
    assert run(ID, event, delivery="delivery-2").outcome == "remediated"
    assert found()["trail"]["LogFileValidationEnabled"]


def remove_bucket() -> None:
    boto3.client("s3").delete_bucket(Bucket="audit-logs")


def remove_policy() -> None:
    boto3.client("s3").delete_bucket_policy(Bucket="audit-logs")


def disable_key() -> None:
    kms = boto3.client("kms")
    kms.disable_key(KeyId=kms.list_keys()["Keys"][0]["KeyId"])


def lose_key() -> None:
    kms = boto3.client("kms")
    kms.schedule_key_deletion(KeyId=kms.list_keys()["Keys"][0]["KeyId"], PendingWindowInDays=7)


@pytest.mark.parametrize(
    ("break_", "told"),
    [
        (remove_bucket, "bucket audit-logs is missing"),
        (remove_policy, "lets CloudTrail not write"),
        (disable_key, "not enabled"),
        (lose_key, "not enabled"),
    ],
)
def test_a_trail_is_not_made_where_it_could_not_write(break_: Callable[[], None], told: str) -> None:
    known()
    delete()
    break_()
    result = run(ID, DELETED)
    assert (result.outcome, result.writes) == ("escalated", [])
    (message,) = heard()
    assert told in message["todo"]
    assert (run(ID, sweep()).outcomes, heard()) == ({TRAIL: "escalated"}, [])


def test_a_bucket_that_is_gone_is_not_restored() -> None:
    known()
    bucket("other-logs")
    update(S3BucketName="other-logs")
    remove_bucket()
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"})
    result = run(ID, event, baseline_principals=[TERRAFORM])
    assert (result.outcome, result.writes) == ("escalated", [])
    assert "bucket audit-logs is missing" in heard()[0]["todo"]


def test_a_trail_is_made_again_once_the_obstacle_is_gone() -> None:
    good = known()
    delete()
    remove_policy()
    run(ID, DELETED)
    boto3.client("s3").put_bucket_policy(Bucket="audit-logs", Policy='{"Version": "2012-10-17", "Statement": []}')
    assert run(ID, sweep()).outcomes == {TRAIL: "remediated"}
    assert found() == good


def test_another_accounts_bucket_gets_no_logs() -> None:
    """S3 denies access where ExpectedBucketOwner is another; moto doesn't look at it."""
    known()
    delete()
    result = hooked(DELETED, {"before-call.s3.GetBucketPolicy": refusing("AccessDenied")})
    assert (result.outcome, found()) == ("escalated", {})
    assert "another account's" in heard()[0]["todo"]


@pytest.mark.parametrize(
    ("settings", "outcome", "logs"), [({"cloudwatch_role_arn": ROLE}, "remediated", LOGS), ({}, "escalated", {})]
)
def test_a_trail_gets_its_log_group_back_if_the_role_may_be_passed(
    settings: dict[str, str], outcome: str, logs: dict[str, str]
) -> None:
    known(**LOGS)
    delete()
    assert run(ID, DELETED, settings).outcome == outcome
    shown = found()
    assert (shown["logging"], shown["selectors"]) == (True, [EVERYTHING])
    assert {name: shown["trail"][name] for name in LOGS if name in shown["trail"]} == logs
    assert ("cloudwatch_role_arn" in heard()[0]["todo"]) == (outcome == "escalated")


def test_a_stopped_trail_of_this_accounts_organisation_is_left_to_its_people() -> None:
    """In the management account, too: what it records of all accounts is not for one account's stack to change."""
    trail(IsOrganizationTrail=True)
    run(ID, sweep("first"))
    stop()
    result = run(ID, call("cloudtrail", "StopLogging", {"name": "audit"}), delivery="delivery-2")
    assert (result.outcome, result.writes) == ("escalated", [])
    assert "Only its organisation's management account" in heard()[0]["todo"]


def of_the_organisation(status: Callable[..., Any]) -> Hooks:
    """What a member account is shown: its list has the trail, and of that only the status (or not even that)."""
    listed = {"Trails": [{"TrailARN": THEIRS, "Name": "organisation", "HomeRegion": REGION}]}
    return {
        "before-call.cloudtrail.ListTrails": answering(listed),
        "before-call.cloudtrail.GetTrailStatus": status,
    }


def test_a_stopped_trail_of_the_organisation_is_told_once_to_a_person() -> None:
    hooked(sweep("sweep-0"), of_the_organisation(answering({"IsLogging": True})))
    hooks = of_the_organisation(answering({"IsLogging": False, "StopLoggingTime": datetime(2026, 1, 1, tzinfo=UTC)}))
    result = hooked(sweep(), hooks)
    assert (result.outcomes, result.writes) == ({THEIRS: "escalated"}, [])
    (message,) = heard()
    assert "management account, 999999999999" in message["todo"]
    assert not {"GetTrail", "ListTags", "GetEventSelectors"} & {*result.calls}
    assert (hooked(sweep("sweep-2"), hooks).outcomes, heard()) == ({THEIRS: "escalated"}, [])


def test_a_trail_of_the_organisation_that_is_deleted_is_told() -> None:
    hooked(sweep(), of_the_organisation(answering({"IsLogging": True})))
    result = hooked(sweep("sweep-2"), of_the_organisation(refusing("TrailNotFoundException")))
    assert result.outcomes == {THEIRS: "escalated"}
    assert "it was deleted" in heard()[0]["what"]


def test_a_trail_of_the_organisation_that_is_not_shown_is_left_alone() -> None:
    result = hooked(sweep(), of_the_organisation(refusing("CloudTrailARNInvalidException")))
    assert (result.outcomes, heard()) == ({THEIRS: "compliant"}, [])


def test_tags_that_only_aws_can_set_are_not_given_to_a_new_trail() -> None:
    known(TagsList=[{"Key": "aws:cloudformation:stack-name", "Value": "base"}, {"Key": "owner", "Value": "security"}])
    delete()
    run(ID, DELETED)
    (message,) = heard()  # moto's trail has kept its tags over its deletion
    assert message["calls"][0]["parameters"]["TagsList"] == [{"Key": "owner", "Value": "security"}]


@pytest.mark.parametrize("code", project.load(ID).STUCK)
def test_what_aws_refuses_until_a_person_acts_is_told_once_and_made_after_that(code: str) -> None:
    good = known()
    delete()
    refused: Hooks = {"before-call.cloudtrail.CreateTrail": refusing(code)}
    assert (hooked(DELETED, refused).outcome, found()) == ("escalated", {})
    (message,) = heard()
    assert project.load(ID).STUCK[code] in message["todo"]
    assert (hooked(sweep(), refused, "delivery-2").outcomes, heard()) == ({TRAIL: "escalated"}, [])
    assert run(ID, DELETED, delivery="delivery-3").outcome == "remediated"
    assert found() == good


def test_a_trail_is_on_though_the_rest_of_its_fix_is_refused() -> None:
    known()
    update(KmsKeyId="")
    stop()
    refused: Hooks = {"before-call.cloudtrail.UpdateTrail": refusing("InsufficientEncryptionPolicyException")}
    result = hooked(STOPPED, refused, baseline_principals=[TERRAFORM])
    assert (result.outcome, found()["logging"]) == ("escalated", True)


GONE = [(TOPIC, "InsufficientSnsTopicPolicyException"), (LOGS, "InvalidCloudWatchLogsLogGroupArnException")]
PASSED = {"cloudwatch_role_arn": ROLE}


@pytest.mark.parametrize("owners", [[], [TERRAFORM]])
@pytest.mark.parametrize(("way", "code"), GONE)
def test_a_topic_or_log_group_that_is_gone_kept_a_deleted_trail_away(
    way: dict[str, str], code: str, owners: list[str]
) -> None:
    boto3.client("sns").create_topic(Name="trail")
    good = known(**way)
    delete()
    refused = registered(TOPICS | {"before-call.cloudtrail": refusing_with(code, *way)})
    assert run(ID, DELETED, PASSED, hook=refused, baseline_principals=owners).outcome == "escalated"
    shown = found()
    assert (shown["logging"], shown["selectors"]) == (True, [EVERYTHING])
    (message,) = heard()
    assert project.load(ID).STUCK[code] in message["todo"]
    again = run(ID, look(ID, TRAIL), PASSED, hook=refused, delivery="delivery-2", baseline_principals=owners)
    assert (again.outcome, heard()) == ("escalated", [])
    mended = registered(TOPICS)
    last = run(ID, look(ID, TRAIL), PASSED, hook=mended, delivery="delivery-3", baseline_principals=owners)
    assert (last.outcome, found()) == ("remediated", good)


@pytest.mark.parametrize(
    ("way", "code"),
    [
        *GONE,
        ({"KmsKeyId": ""}, "InsufficientEncryptionPolicyException"),
        ({"S3KeyPrefix": "other"}, "InsufficientS3BucketPolicyException"),
    ],
)
def test_one_way_of_sending_that_was_refused_kept_a_trail_narrow(way: dict[str, str], code: str) -> None:
    for name in ("trail", "other"):
        boto3.client("sns").create_topic(Name=name)
    good = known(**TOPIC, **LOGS)
    others = {"SnsTopicName": "other", "CloudWatchLogsLogGroupArn": f"arn:aws:logs:{REGION}:{ME}:log-group:other:*"}
    update(**way | {name: other for name, other in others.items() if name in way})
    update(IsMultiRegionTrail=False, EnableLogFileValidation=False)
    owners: Any = {"baseline_principals": [TERRAFORM]}
    refused = registered(TOPICS | {"before-call.cloudtrail.UpdateTrail": refusing_with(code, *way)})
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"})
    assert run(ID, event, PASSED, hook=refused, **owners).outcome == "escalated"
    assert {found()["trail"][name] for name in ("IsMultiRegionTrail", "LogFileValidationEnabled")} == {True}
    last = run(ID, look(ID, TRAIL), PASSED, hook=registered(TOPICS), delivery="delivery-2", **owners)
    assert (last.outcome, found()) == ("remediated", good)


def test_a_throttled_topic_is_added_later_to_the_trail_that_was_made_again() -> None:
    boto3.client("sns").create_topic(Name="trail")
    good = known(**TOPIC)
    delete()
    throttled: Hooks = {"before-call.cloudtrail.UpdateTrail": refusing("ThrottlingException")}
    assert (hooked(DELETED, throttled).outcome, found()["logging"]) == ("deferred", True)
    assert hooked(look(ID, TRAIL), TOPICS, "delivery-2").outcome == "remediated"
    assert found() == good


@pytest.mark.parametrize("code", ["ThrottlingException", "ConflictException"])
def test_a_fix_that_has_to_wait_is_deferred_and_then_made(code: str) -> None:
    good = known()
    delete()
    assert hooked(DELETED, {"before-call.cloudtrail.CreateTrail": refusing(code)}).outcome == "deferred"
    assert found() == {}
    assert [item["pending"] for item in items() if "open" in item] == ["pending"]
    assert run(ID, look(ID, TRAIL), delivery="delivery-2").outcome == "remediated"
    assert found() == good
    assert [record["outcome"] for record in records()] == ["remediated"]


@pytest.mark.parametrize("call_", ["s3.GetBucketPolicy", "kms.DescribeKey"])
@pytest.mark.parametrize("code", ["SlowDown", "ThrottlingException", "InvalidAccessKeyId"])
def test_a_stopped_trail_is_started_though_its_bucket_or_key_can_not_be_looked_at(call_: str, code: str) -> None:
    """Whoever floods DescribeKey must not keep the recorder off."""
    trail()
    run(ID, sweep())
    update(S3KeyPrefix="other")
    stop()
    hooked(STOPPED, {f"before-call.{call_}": refusing(code)}, delivery="d1", baseline_principals=[TERRAFORM])
    assert found()["logging"]
