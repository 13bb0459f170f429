"""Trails: what blinds them, what is done about it, and what a person must do."""

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.session import get_session
from botocore.validate import validate_parameters
from holdfast import ApiCall, Arn, BadEvent, Case, Event, Misshapen, Place, SharedSettings, Violation
from holdfast import trail as trails
from holdfast.shape import parse, plain
from holdfast_cli import project
from support import HERE, MALLORY, ME, REGION, account, call, run

ID = "cloudtrail-logging"
guardrail = project.load(ID)
Trail, Settings = guardrail.Trail, guardrail.Settings

TARGET = HERE.arn("cloudtrail", "trail/audit")
ELSEWHERE = HERE.arn("cloudtrail", "trail/audit", "us-east-1")
THEIRS = Arn(f"arn:aws:cloudtrail:{REGION}:999999999999:trail/organisation")
ROLE = f"arn:aws:iam::{ME}:role/trail-to-logs"
KEY = f"arn:aws:kms:{REGION}:{ME}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
LOGS = {
    "CloudWatchLogsLogGroupArn": f"arn:aws:logs:{REGION}:{ME}:log-group:trail:*",
    "CloudWatchLogsRoleArn": ROLE,
}
NO_LOGS = dict.fromkeys(LOGS, "")
TOPIC = {"SnsTopicName": f"arn:aws:sns:{REGION}:{ME}:trail"}
SENDS = {
    "S3BucketName": "audit-logs",
    "S3KeyPrefix": "trails",
    "KmsKeyId": KEY,
    "SnsTopicName": "",
    **NO_LOGS,
    "RecursiveLogging": True,
}
COVERS = {"IsMultiRegionTrail": True, "IncludeGlobalServiceEvents": True, "EnableLogFileValidation": True}
ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True}
DATA = {"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::lake/"]}]}
NO_KMS = {"ExcludeManagementEventSources": ["kms.amazonaws.com"]}
NO_RDS = {"ExcludeManagementEventSources": ["rdsdata.amazonaws.com"]}
RATE, ERRORS = {"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight"}
OWNERS = (f"arn:aws:iam::{ME}:role/terraform",)


def basic(*selectors: Any) -> dict[str, Any]:
    return {"EventSelectors": list(selectors)}


def advanced(*selectors: tuple[tuple[str, str, list[str]], ...]) -> dict[str, Any]:
    """Each selector as its conditions: field, operator, values."""
    fields = [[{"Field": name, how: values} for name, how, values in conditions] for conditions in selectors]
    return {"AdvancedEventSelectors": [{"FieldSelectors": conditions} for conditions in fields]}


MANAGEMENT = ("eventCategory", "Equals", ["Management"])
OBJECTS = (("eventCategory", "Equals", ["Data"]), ("resources.type", "Equals", ["AWS::S3::Object"]))
NETWORK = (("eventCategory", "Equals", ["NetworkActivity"]), ("eventSource", "Equals", ["kms.amazonaws.com"]))
WITHOUT_KMS = ("eventSource", "NotEquals", ["kms.amazonaws.com"])

GOOD = Trail(
    TARGET,
    logging=True,
    covers=COVERS,
    sends=SENDS,
    selectors=basic(ALL | DATA),
    insights=(RATE,),
    tags=({"Key": "owner", "Value": "security"},),
    started_at="2026-01-01T00:00:00Z",
)


def sending(**changes: Any) -> dict[str, Any]:
    return {"sends": SENDS | changes}


def covering(**changes: Any) -> dict[str, Any]:
    return {"covers": COVERS | changes}


def judge(
    trail: Any, baseline: Any = GOOD, *, owners: tuple[str, ...] = (), role: str | None = None, here: Place = HERE
) -> Violation | None:
    shared = SharedSettings(baseline_principals=owners)
    found: Violation | None = guardrail.evaluate(trail, Case(Arn(trail.arn), Settings(role), shared, baseline, here))
    return found


def judged(trail: Any, baseline: Any = GOOD, **more: Any) -> Violation:
    violation = judge(trail, baseline, **more)
    assert violation is not None
    return violation


def api(operation: str, **parameters: Any) -> ApiCall:
    return ApiCall("cloudtrail", operation, parameters)


START, STOP = api("start_logging", Name=TARGET), api("stop_logging", Name=TARGET)


def select(selectors: dict[str, Any]) -> ApiCall:
    return api("put_event_selectors", TrailName=TARGET, **selectors)


def update(**changes: Any) -> ApiCall:
    return api("update_trail", Name=TARGET, **changes)


def insight(*selectors: Any) -> ApiCall:
    return api("put_insight_selectors", TrailName=TARGET, InsightSelectors=list(selectors))


@pytest.mark.parametrize(
    ("request_", "response", "target"),
    [
        ({"name": "audit"}, None, TARGET),
        ({"name": str(TARGET)}, None, TARGET),
        ({"name": ["audit"]}, None, TARGET),
        ({"trailName": "audit", "eventSelectors": []}, None, TARGET),
        ({"name": None, "trailName": "audit"}, None, TARGET),
        ({"name": "audit"}, {"trailARN": str(TARGET)}, TARGET),
        ({}, {"trailARN": str(TARGET)}, TARGET),
        (None, {"name": "audit", "trailARN": str(TARGET)}, TARGET),
        ({"name": "audit"}, {"omitted": True}, TARGET),
        ({"name": str(ELSEWHERE)}, None, ELSEWHERE),
        ({"name": "a.b-c_1"}, None, HERE.arn("cloudtrail", "trail/a.b-c_1")),
    ],
)
def test_the_trail_is_found_however_it_was_named(request_: Any, response: Any, target: Arn) -> None:
    event = Event.parse(call("cloudtrail", "UpdateTrail", request_, responseElements=response), HERE)
    assert list(guardrail.targets(event)) == [target]


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {},
        {"omitted": True},
        {"name": ""},
        {"name": None},
        {"name": {"content": ""}},
        {"name": "a b"},
        {"name": "audit/*"},
        {"name": "x"},
        {"name": "-audit"},
        {"name": f"arn:aws:cloudtrail:{REGION}:{ME}:eventdatastore/1234"},
        {"name": f"arn:aws:s3:::{ME}"},
        {"name": f"arn:aws:kms:{REGION}:{ME}:trail/audit"},
        {"name": f"arn:aws:cloudtrail:{REGION}:{ME}:trail/a/b"},
        {"name": f"arn:aws:cloudtrail:{REGION}:{ME}:trail/*"},
    ],
)
def test_an_event_that_names_no_trail_is_refused(request_: Any) -> None:
    event = Event.parse(call("cloudtrail", "StopLogging", request_), HERE)
    with pytest.raises(BadEvent):
        list(guardrail.targets(event))


def test_the_call_tells_the_region_of_a_bare_name() -> None:
    event = Event.parse(call("cloudtrail", "StopLogging", {"name": "audit"}, awsRegion="us-east-1"), HERE)
    assert list(guardrail.targets(event)) == [ELSEWHERE]


def test_another_accounts_trail_is_dropped() -> None:
    with account():
        assert run(ID, call("cloudtrail", "StopLogging", {"name": str(THEIRS)})).outcomes == {}


@pytest.mark.parametrize(
    ("selectors", "blind"),
    [
        (basic(ALL), False),
        (basic({}), False),
        (basic({"DataResources": []}), False),
        (basic(ALL | {"ReadWriteType": "WriteOnly"}), False),
        (basic(ALL | {"ReadWriteType": "ReadOnly"}), True),
        (basic(ALL | {"IncludeManagementEvents": False}), True),
        (basic({"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False}), True),
        (basic(ALL | NO_KMS), True),
        (basic(ALL | NO_RDS), True),
        (basic(ALL | {"ExcludeManagementEventSources": []}), False),
        (basic(ALL | NO_KMS, ALL | NO_RDS), False),
        (basic(ALL | NO_KMS, ALL | {"ReadWriteType": "ReadOnly"}), True),
        (basic(ALL | NO_KMS, {"ReadWriteType": "WriteOnly"}), False),
        (basic(ALL | {"IncludeManagementEvents": False} | DATA, ALL), False),
        (basic(), True),
        (advanced((MANAGEMENT,)), False),
        (advanced((MANAGEMENT, ("readOnly", "Equals", ["false"]))), False),
        (advanced((MANAGEMENT, ("readOnly", "Equals", ["false", "true"]))), False),
        (advanced((MANAGEMENT, ("readOnly", "Equals", ["true"]))), True),
        (advanced((MANAGEMENT, WITHOUT_KMS)), True),
        (advanced((MANAGEMENT, ("eventSource", "NotEquals", ["rdsdata.amazonaws.com"]))), True),
        (advanced((MANAGEMENT, ("eventSource", "NotEquals", []))), False),
        (advanced((MANAGEMENT, WITHOUT_KMS), (MANAGEMENT,)), False),
        (advanced((MANAGEMENT, WITHOUT_KMS), (MANAGEMENT, ("readOnly", "Equals", ["true"]))), True),
        (advanced((MANAGEMENT, ("eventSource", "Equals", ["ec2.amazonaws.com"]))), True),
        (advanced((MANAGEMENT, ("eventSource", "StartsWith", ["s3"]))), True),
        (advanced((MANAGEMENT, ("eventName", "NotEquals", ["StopLogging"]))), True),
        (advanced((MANAGEMENT, ("userIdentity.arn", "NotEquals", [MALLORY]))), True),
        (advanced((MANAGEMENT, ("sessionCredentialFromConsole", "Equals", ["true"]))), True),
        (advanced((MANAGEMENT, ("readOnly", "Equals", ["true"]), ("readOnly", "Equals", ["false"]))), True),
        (advanced(OBJECTS), True),
        (advanced((("eventCategory", "Equals", ["Data"]),)), True),
        (advanced(OBJECTS, (MANAGEMENT,)), False),
        (advanced((("readOnly", "Equals", ["false"]),)), True),
        ({"AdvancedEventSelectors": [{"FieldSelectors": []}]}, True),
        (
            {
                "AdvancedEventSelectors": [
                    {
                        "FieldSelectors": [
                            {"Field": "eventCategory", "Equals": ["Management"], "NotEquals": []},
                            {
                                "Field": "eventSource",
                                "NotEquals": ["kms.amazonaws.com"],
                                "Equals": ["s3.amazonaws.com"],
                            },
                        ]
                    }
                ]
            },
            True,
        ),
    ],
)
def test_a_trail_is_blind_unless_every_management_call_that_writes_is_recorded(
    selectors: dict[str, Any], blind: bool
) -> None:
    assert guardrail.blind(selectors) == blind


@pytest.mark.parametrize(
    ("changes", "what", "fix", "undo"),
    [
        ({"logging": False}, "it is stopped", [START], [STOP]),
        (
            {"selectors": basic(ALL | NO_KMS)},
            "management events go unrecorded",
            [select(GOOD.selectors)],
            [select(basic(ALL | NO_KMS))],
        ),
        (
            {"selectors": advanced((MANAGEMENT, WITHOUT_KMS))},
            "management events go unrecorded",
            [select(GOOD.selectors)],
            [select(advanced((MANAGEMENT, WITHOUT_KMS)))],
        ),
        (
            {"selectors": basic(ALL)},
            "Data events go unrecorded",
            [select(GOOD.selectors)],
            [select(basic(ALL))],
        ),
        (
            {"selectors": basic(ALL | {"DataResources": [{"Type": "AWS::S3::Object", "Values": []}]})},
            "Data events go unrecorded",
            [select(GOOD.selectors)],
            [select(basic(ALL | {"DataResources": [{"Type": "AWS::S3::Object", "Values": []}]}))],
        ),
        (
            {"selectors": advanced((MANAGEMENT,))},
            "Data events go unrecorded",
            [select(GOOD.selectors)],
            [select(advanced((MANAGEMENT,)))],
        ),
        ({"insights": ()}, "Insights are off", [insight(RATE)], [insight()]),
        ({"insights": (ERRORS,)}, "Insights are off", [insight(RATE)], [insight(ERRORS)]),
        (
            covering(IsMultiRegionTrail=False, IncludeGlobalServiceEvents=False),
            "it covers one Region only; it leaves out global services",
            [update(IsMultiRegionTrail=True, IncludeGlobalServiceEvents=True)],
            [update(IsMultiRegionTrail=False, IncludeGlobalServiceEvents=False)],
        ),
        (
            covering(EnableLogFileValidation=False),
            "log file validation is off",
            [update(EnableLogFileValidation=True)],
            [update(EnableLogFileValidation=False)],
        ),
        (
            {"logging": False, "selectors": basic(ALL | NO_KMS)} | covering(EnableLogFileValidation=False),
            "it is stopped; management events go unrecorded; log file validation is off",
            [START, select(GOOD.selectors), update(EnableLogFileValidation=True)],
            [select(basic(ALL | NO_KMS)), update(EnableLogFileValidation=False), STOP],
        ),
    ],
)
@pytest.mark.parametrize("owners", [(), OWNERS])
def test_what_blinds_is_always_mended(
    changes: dict[str, Any], what: str, fix: list[ApiCall], undo: list[ApiCall], owners: tuple[str, ...]
) -> None:
    violation = judged(replace(GOOD, **changes), owners=owners)
    assert violation.what == f"trail audit is amiss: {what}"
    assert (list(violation.fix), list(violation.undo), violation.audit_only) == (fix, undo, "")


@pytest.mark.parametrize(
    ("left", "gone"),
    [
        (advanced((MANAGEMENT,), NETWORK), "Data events go unrecorded"),
        (advanced((MANAGEMENT,), OBJECTS), "NetworkActivity events go unrecorded"),
        (advanced((MANAGEMENT,)), "Data events go unrecorded; NetworkActivity events go unrecorded"),
        (basic(ALL | DATA), "NetworkActivity events go unrecorded"),
    ],
)
def test_a_selector_of_one_category_hid_that_all_of_another_were_gone(left: dict[str, Any], gone: str) -> None:
    whole = advanced((MANAGEMENT,), OBJECTS, NETWORK)
    violation = judged(replace(GOOD, selectors=left), replace(GOOD, selectors=whole))
    assert violation.what == f"trail audit is amiss: {gone}"
    assert (violation.fix, violation.audit_only) == ((select(whole),), "")


@pytest.mark.parametrize("owners", [(), OWNERS])
def test_a_topic_or_log_group_that_was_taken_off_is_put_back_at_once(owners: tuple[str, ...]) -> None:
    """A trail is made again without them first: a run may have died, or been throttled, before it added them."""
    violation = judged(GOOD, replace(GOOD, sends=SENDS | LOGS | TOPIC), owners=owners, role=ROLE)
    lost = "it lost its topic; it lost its log group; it lost its role for its log group"
    assert violation.what == f"trail audit is amiss: {lost}"
    assert (violation.fix, violation.audit_only) == ((update(**LOGS), update(**TOPIC)), "")
    other = judged(replace(GOOD, **sending(SnsTopicName="other")), replace(GOOD, sends=SENDS | TOPIC))
    assert (other.fix, bool(other.audit_only)) == ((update(**TOPIC),), True)


def test_one_way_of_sending_that_is_refused_kept_the_rest_of_the_trail_as_it_was() -> None:
    known = replace(GOOD, sends=SENDS | LOGS | TOPIC)
    moved = {"S3BucketName": "mallory", "S3KeyPrefix": "", "KmsKeyId": "", "SnsTopicName": "x"}
    trail = replace(
        GOOD,
        logging=False,
        insights=(),
        selectors=basic(ALL | NO_KMS),
        **covering(IsMultiRegionTrail=False),
        **sending(**moved, RecursiveLogging=False),
    )
    assert judged(trail, known, owners=OWNERS, role=ROLE).fix == (
        START,
        select(GOOD.selectors),
        update(IsMultiRegionTrail=True),
        insight(RATE),
        update(S3BucketName="audit-logs", S3KeyPrefix="trails"),
        update(KmsKeyId=KEY),
        update(RecursiveLogging=True),
        update(**LOGS),
        update(**TOPIC),
    )


def test_a_key_that_takes_anothers_place_goes_with_its_bucket() -> None:
    """They must be in one Region (CloudTrail API, KmsKeyNotFoundException)."""
    theirs = sending(S3BucketName="mallory", KmsKeyId="theirs")
    assert judged(replace(GOOD, **theirs), owners=OWNERS).fix == (update(S3BucketName="audit-logs", KmsKeyId=KEY),)
    assert judged(replace(GOOD, **sending(KmsKeyId="theirs")), owners=OWNERS).fix == (update(KmsKeyId=KEY),)


@pytest.mark.parametrize(
    "trail",
    [
        GOOD,
        replace(GOOD, insights=(RATE, ERRORS)),
        replace(GOOD, tags=()),
        replace(GOOD, started_at="2027-01-01T00:00:00Z"),
    ],
)
def test_a_trail_that_records_all_it_should_is_compliant(trail: Any) -> None:
    assert judge(trail) is None


def test_more_than_the_baseline_had_is_compliant() -> None:
    assert judge(GOOD, replace(GOOD, covers=dict.fromkeys(COVERS, False))) is None


@pytest.mark.parametrize(
    ("selectors", "wanted"),
    [
        (basic(ALL | NO_KMS | DATA), basic(ALL | DATA)),
        (basic({"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False} | DATA), basic(ALL | DATA)),
        (
            advanced((MANAGEMENT, WITHOUT_KMS), OBJECTS),
            advanced((MANAGEMENT, WITHOUT_KMS), OBJECTS, (MANAGEMENT,)),
        ),
    ],
)
def test_without_a_baseline_management_events_are_added_and_nothing_is_lost(
    selectors: dict[str, Any], wanted: dict[str, Any]
) -> None:
    (fix,) = judged(replace(GOOD, selectors=selectors), None).fix
    ((kind, expected),) = wanted.items()
    found = [{name: value for name, value in selector.items() if name != "Name"} for selector in fix.parameters[kind]]
    assert sorted(map(plain_text, found)) == sorted(map(plain_text, expected))


def plain_text(value: Any) -> str:
    return json.dumps({"ExcludeManagementEventSources": []} | value, sort_keys=True)


def test_a_baseline_that_is_blind_itself_is_not_restored() -> None:
    (fix,) = judged(replace(GOOD, selectors=basic(ALL | NO_KMS)), replace(GOOD, selectors=basic(ALL | NO_RDS))).fix
    assert not guardrail.blind(fix.parameters)


def test_the_first_of_five_selectors_is_widened() -> None:
    """CloudTrail takes no sixth."""
    narrow = [ALL | NO_KMS | {"DataResources": [{"Type": "AWS::S3::Object", "Values": [f"b{i}"]}]} for i in range(5)]
    (fix,) = judged(replace(GOOD, selectors=basic(*narrow)), None).fix
    assert len(fix.parameters["EventSelectors"]) == 5
    assert not guardrail.blind(fix.parameters)


DRIFT = [
    (sending(S3BucketName="mallory"), "its bucket is mallory, not audit-logs", update(S3BucketName="audit-logs")),
    (sending(S3KeyPrefix=""), "its prefix is none, not trails", update(S3KeyPrefix="trails")),
    (sending(KmsKeyId=""), f"its key is none, not {KEY}", update(KmsKeyId=KEY)),
    (sending(SnsTopicName="arn:aws:sns:eu-west-1:1:x"), None, update(SnsTopicName="")),
    (sending(RecursiveLogging=False), "its recursive logging is none, not True", update(RecursiveLogging=True)),
    (sending(**LOGS), None, update(**NO_LOGS)),
    (
        {
            "selectors": basic(
                ALL | {"DataResources": [{"Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda"]}]}
            )
        },
        "its event selectors were changed",
        select(GOOD.selectors),
    ),
    ({"selectors": advanced((MANAGEMENT,), OBJECTS)}, "its event selectors were changed", select(GOOD.selectors)),
]


@pytest.mark.parametrize(("changes", "what", "fix"), DRIFT)
def test_what_may_be_meant_is_only_audited_until_somebody_has_a_say(
    changes: dict[str, Any], what: str | None, fix: ApiCall
) -> None:
    violation = judged(replace(GOOD, **changes))
    assert what is None or violation.what == f"trail audit is amiss: {what}"
    assert (violation.fix, "baseline_principals" in violation.audit_only) == ((fix,), True)


@pytest.mark.parametrize(("changes", "what", "fix"), DRIFT)
def test_what_nobody_with_a_say_changed_is_put_back(changes: dict[str, Any], what: str | None, fix: ApiCall) -> None:
    violation = judged(replace(GOOD, **changes), owners=OWNERS)
    assert (violation.fix, violation.audit_only) == ((fix,), "")


def test_what_blinds_is_mended_at_once_and_the_rest_is_named() -> None:
    violation = judged(replace(GOOD, logging=False, **sending(S3BucketName="mallory")))
    assert violation.what == "trail audit is amiss: it is stopped; its bucket is mallory, not audit-logs"
    assert (violation.fix, violation.audit_only) == ((START,), "")
    assert "baseline_principals is set: its bucket is mallory" in violation.todo


def test_nothing_is_drift_without_a_baseline() -> None:
    assert judge(replace(GOOD, **sending(S3BucketName="mallory")), None) is None


OBSTACLE = "bucket audit-logs is missing, another account's, or closed to Holdfast"


def test_a_bucket_that_is_not_ours_is_not_restored() -> None:
    moved = replace(GOOD, obstacle=OBSTACLE, **sending(S3BucketName="mallory", KmsKeyId=""))
    violation = judged(moved, owners=OWNERS)
    assert violation.fix == ()
    assert OBSTACLE in violation.todo


def test_what_blinds_is_mended_though_the_bucket_is_not_ours() -> None:
    moved = replace(GOOD, logging=False, obstacle=OBSTACLE, **sending(S3BucketName="mallory"))
    violation = judged(moved, owners=OWNERS)
    assert violation.fix == (START,)
    assert OBSTACLE in violation.todo


@pytest.mark.parametrize(
    ("role", "fix"),
    [(ROLE, (update(**LOGS),)), (None, ()), (f"arn:aws:iam::{ME}:role/other", ())],
)
def test_a_log_group_comes_back_only_with_a_role_that_may_be_passed(role: str | None, fix: tuple[ApiCall, ...]) -> None:
    baseline = replace(GOOD, sends=SENDS | LOGS)
    violation = judged(GOOD, baseline, owners=OWNERS, role=role)
    assert violation.fix == fix
    assert ("cloudwatch_role_arn" in violation.todo) == (not fix)


def test_a_log_group_is_always_given_with_its_role() -> None:
    baseline = replace(GOOD, sends=SENDS | LOGS)
    other = SENDS | LOGS | {"CloudWatchLogsLogGroupArn": "arn:aws:logs:eu-west-1:1:log-group:x:*"}
    assert judged(replace(GOOD, sends=other), baseline, owners=OWNERS, role=ROLE).fix == (update(**LOGS),)


def remains(**changes: Any) -> Any:
    return replace(GOOD, exists=False, logging=False, **changes)


def created(**changes: Any) -> ApiCall:
    sends = {name: value for name, value in (SENDS | changes).items() if value != ""}
    tags = [{"Key": "owner", "Value": "security"}]
    return api("create_trail", Name="audit", **COVERS, **sends, TagsList=tags)


def test_a_deleted_trail_is_made_again_as_it_was() -> None:
    violation = judged(remains())
    assert violation.what == "trail audit is amiss: it was deleted"
    assert violation.fix == (created(), START, select(GOOD.selectors), insight(RATE))
    assert violation.undo == (api("delete_trail", Name="audit"),)
    assert "Between its deletion and its restart it recorded nothing" in violation.todo
    assert violation.audit_only == ""


@pytest.mark.parametrize("owners", [(), OWNERS])
def test_a_topic_or_log_group_that_is_gone_kept_a_deleted_trail_away(owners: tuple[str, ...]) -> None:
    whole = replace(GOOD, sends=SENDS | LOGS | TOPIC)
    fix = judged(remains(sends=whole.sends), whole, role=ROLE, owners=owners).fix
    assert fix == (created(), START, select(GOOD.selectors), insight(RATE), update(**LOGS), update(**TOPIC))


@pytest.mark.parametrize("owners", [(), OWNERS])
def test_a_deleted_trail_is_made_again_without_a_log_group_rather_than_not(owners: tuple[str, ...]) -> None:
    violation = judged(remains(), replace(GOOD, sends=SENDS | LOGS), owners=owners)
    assert violation.fix[:2] == (created(), START)
    assert "cloudwatch_role_arn" in violation.todo


def test_a_trail_without_tags_selectors_or_insights_is_made_again_plainly() -> None:
    plainest = replace(GOOD, tags=(), insights=(), selectors=basic(ALL))
    violation = judged(replace(plainest, exists=False, logging=False), plainest)
    assert [c.operation for c in violation.fix] == ["create_trail", "start_logging"]
    assert "TagsList" not in violation.fix[0].parameters


def test_a_deleted_trail_is_not_made_again_where_it_could_not_write() -> None:
    violation = judged(remains(obstacle=OBSTACLE))
    assert (violation.what, violation.fix) == ("trail audit is amiss: it was deleted", ())
    assert OBSTACLE in violation.todo


def test_a_deletion_that_is_the_baseline_stands() -> None:
    assert judge(remains(), remains()) is None


def test_a_deletion_of_a_trail_nobody_knew_needs_a_person() -> None:
    violation = guardrail.gone(Case(TARGET, Settings(), SharedSettings(), None, HERE))
    assert (violation.fix, bool(violation.todo)) == ((), True)


@pytest.mark.parametrize(
    ("trail", "baseline"),
    [
        (replace(GOOD, logging=False, organisation=True), None),
        (replace(GOOD, exists=False, logging=False, organisation=True), replace(GOOD, organisation=True)),
        (GOOD, replace(GOOD, organisation=True)),
        (Trail(THEIRS, logging=False, organisation=True), None),
    ],
)
def test_an_organisations_trail_is_its_management_accounts_to_mend(trail: Any, baseline: Any) -> None:
    violation = judged(trail, baseline, owners=OWNERS)
    assert (violation.fix, "management account" in violation.todo) == ((), True)


def test_log_files_that_are_refused_need_a_person() -> None:
    violation = judged(replace(GOOD, delivery_error="log files: AccessDenied"))
    assert (violation.what, violation.fix) == ("trail audit is amiss: not all that it records can be delivered", ())
    assert violation.todo == (
        "CloudTrail was refused (log files: AccessDenied): let it write to the bucket and use the key."
    )
    told = judged(replace(GOOD, delivery_error="digests: AccessDenied, log group: ResourceNotFound")).todo
    assert told == (
        "CloudTrail was refused (digests: AccessDenied, log group: ResourceNotFound): let it write to the bucket and "
        "use the key. Make its log group again, and let its role write there."
    )


def shown(status: dict[str, str], **trail: Any) -> Any:
    """An account that shows one trail, and how its delivery goes."""
    whole = {**SENDS, **COVERS, "LogFileValidationEnabled": True, "SnsTopicARN": "", **trail}
    cloudtrail = SimpleNamespace(
        get_trail_status=lambda **_: {"IsLogging": True, **status},
        get_trail=lambda **_: {"Trail": whole},
        list_tags=lambda **_: {"ResourceTagList": []},
        get_event_selectors=lambda **_: {},
    )
    return SimpleNamespace(here=HERE, client=lambda *_: cloudtrail)


def answering(code: str, message: str = "Access Denied") -> Any:
    """An account in which S3 answers so when it is asked for the policy of this account's bucket; None: it shows it."""

    def get_bucket_policy(**_: Any) -> Any:
        if code == "down":
            raise EndpointConnectionError(endpoint_url="https://s3")
        if code:
            raise ClientError({"Error": {"Code": code, "Message": message}}, "GetBucketPolicy")

    return SimpleNamespace(here=HERE, client=lambda *_: SimpleNamespace(get_bucket_policy=get_bucket_policy))


DENIED = "User: x is not authorized to perform: s3:GetBucketPolicy with an explicit deny in a resource-based policy"


@pytest.mark.parametrize(
    ("was", "code", "message", "owned"),
    [
        (None, "", "", True),
        (None, "AccessDenied", "Access Denied", False),
        (None, "NoSuchBucketPolicy", "", None),
        (True, "", "", True),
        (True, "AccessDenied", "Access Denied", False),
        (True, "MethodNotAllowed", "", False),
        (True, "NoSuchBucket", "", False),
        (True, "NoSuchBucketPolicy", "", True),
        (True, "AccessDenied", DENIED, True),
        (True, "SlowDown", "", True),
        (True, "down", "", True),
        (False, "", "", False),
    ],
)
def test_whose_a_bucket_is_is_asked_unless_it_never_was_ours(
    was: bool | None, code: str, message: str, owned: bool | None
) -> None:
    assert trails.owned(GOOD, replace(GOOD, owned=was), answering(code, message)) == owned


def test_another_bucket_is_asked_after_anew_and_none_is_not() -> None:
    moved = replace(GOOD, **sending(S3BucketName="archive"))
    assert trails.owned(moved, replace(GOOD, owned=False), answering("")) is True
    assert trails.owned(GOOD, None, answering("AccessDenied")) is False
    assert trails.owned(Trail(THEIRS, logging=True), None, answering("AccessDenied")) is None


@pytest.mark.parametrize("owners", [(), OWNERS])
def test_a_bucket_that_another_account_made_again_under_its_name_went_untold(owners: tuple[str, ...]) -> None:
    violation = judged(replace(GOOD, owned=False), replace(GOOD, owned=True), owners=owners)
    said = "trail audit is amiss: its bucket is not, or can't be shown to be, this account's any more"
    assert (violation.what, violation.fix, violation.audit_only) == (said, (), "")
    assert violation.todo == (
        "See whose it is: aws s3api head-bucket --bucket audit-logs --expected-bucket-owner 123456789012. Send the "
        "trail to one of yours, or let Holdfast call s3:GetBucketPolicy on it."
    )


@pytest.mark.parametrize("was", [None, False])
def test_a_bucket_that_was_never_shown_to_be_ours_is_nobodys_business(was: bool | None) -> None:
    assert judge(replace(GOOD, owned=False), replace(GOOD, owned=was)) is None
    elsewhere = replace(GOOD, owned=False, **sending(S3BucketName="mallory"))
    assert judged(elsewhere, replace(GOOD, owned=True)).what.endswith("amiss: its bucket is mallory, not audit-logs")


def test_whose_a_bucket_is_becomes_known_by_itself_once() -> None:
    shown_ours, other = replace(GOOD, owned=True), replace(GOOD, owned=False)
    assert guardrail.safer(shown_ours, GOOD)
    assert guardrail.safer(other, GOOD)
    assert not guardrail.safer(GOOD, shown_ours)
    assert not guardrail.safer(other, shown_ours)
    assert not guardrail.safer(replace(shown_ours, tags=()), GOOD)


DELIVERY = {
    "LatestDeliveryError": "AccessDenied",
    "LatestDigestDeliveryError": "NoSuchBucket",
    "LatestCloudWatchLogsDeliveryError": "ResourceNotFound",
}


@pytest.mark.parametrize(
    ("trail", "told"),
    [
        (LOGS, "log files: AccessDenied, digests: NoSuchBucket, log group: ResourceNotFound"),
        ({}, "log files: AccessDenied, digests: NoSuchBucket"),
        (LOGS | {"LogFileValidationEnabled": False}, "log files: AccessDenied, log group: ResourceNotFound"),
    ],
)
def test_digests_and_log_groups_that_are_refused_went_unseen(trail: dict[str, Any], told: str) -> None:
    """But for those that it sends to no more: their last error may stand for ever."""
    assert guardrail.live(TARGET, shown(DELIVERY, **trail)).delivery_error == told
    assert guardrail.live(TARGET, shown({}, **trail)).delivery_error == ""
    assert guardrail.live(THEIRS, shown({"LatestDigestDeliveryError": "x"})).delivery_error == "digests: x"


@pytest.mark.parametrize(
    ("stopped_at", "told"), [("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z"), ("", "its creation")]
)
def test_the_blind_interval_is_told_but_is_no_part_of_what_is_wrong(stopped_at: str, told: str) -> None:
    violation = judged(replace(GOOD, logging=False, stopped_at=stopped_at))
    assert f"Between {told} and its restart it recorded nothing" in violation.todo
    assert violation.what == "trail audit is amiss: it is stopped"


def test_calls_are_made_in_the_home_region() -> None:
    far = replace(GOOD, arn=ELSEWHERE, logging=False)
    assert [c.region for c in judged(far).fix] == ["us-east-1"]
    assert [c.region for c in judged(far, here=Place(ME, "us-east-1")).fix] == [""]


def everything_planned() -> Iterator[ApiCall]:
    states = [(replace(GOOD, **changes), GOOD) for changes, *_ in DRIFT]
    states += [(replace(GOOD, logging=False, insights=(), selectors=advanced((MANAGEMENT, WITHOUT_KMS))), GOOD)]
    states += [(remains(sends=SENDS | LOGS | TOPIC), replace(GOOD, sends=SENDS | LOGS | TOPIC))]
    for state, known in states:
        violation = judged(state, known, owners=OWNERS, role=ROLE)
        yield from (*violation.fix, *violation.undo)


def test_every_planned_call_is_plain_json_that_cloudtrail_takes() -> None:
    model: Any = get_session().get_service_model("cloudtrail")
    names = {"".join(part.title() for part in c.operation.split("_")): c for c in everything_planned()}
    assert len(names) == 7
    for name, planned in names.items():
        validate_parameters(planned.parameters, model.operation_model(name).input_shape)
        assert plain(planned.parameters) == planned.parameters


@pytest.mark.parametrize(
    ("changes", "is_safer"),
    [
        ({}, False),
        (covering(EnableLogFileValidation=True), True),
        (covering(EnableLogFileValidation=True) | {"started_at": "2027-01-01T00:00:00Z"}, True),
        (covering(EnableLogFileValidation=True, IsMultiRegionTrail=False), False),
        (covering(EnableLogFileValidation=True) | sending(KmsKeyId=""), False),
        (covering(EnableLogFileValidation=True) | {"tags": ()}, False),
        (sending(KmsKeyId="other"), False),
    ],
)
def test_only_a_trail_that_covers_more_becomes_the_baseline_by_itself(changes: dict[str, Any], is_safer: bool) -> None:
    baseline = replace(GOOD, covers=COVERS | {"EnableLogFileValidation": False})
    assert guardrail.safer(replace(baseline, **changes), baseline) == is_safer


def test_a_trail_that_is_there_again_replaces_the_baseline_of_a_deleted_one() -> None:
    assert guardrail.safer(GOOD, remains())
    assert not guardrail.safer(remains(), GOOD)


def test_a_baseline_survives_its_way_through_the_ledger() -> None:
    assert parse(Trail, plain(GOOD)) == GOOD


@pytest.mark.parametrize("role", ["", "trail-to-logs", f"arn:aws:iam::{ME}:role/*", f"arn:aws:sts::{ME}:role/x", 7])
def test_the_role_must_be_one_roles_arn(role: Any) -> None:
    with pytest.raises(Misshapen, match="cloudwatch_role_arn"):
        parse(Settings, {"cloudwatch_role_arn": role})


def test_the_role_may_be_left_out() -> None:
    assert parse(Settings, {}) == Settings(None)
    assert parse(Settings, {"cloudwatch_role_arn": ROLE}) == Settings(ROLE)


def test_a_trail_that_becomes_the_organisations_is_still_this_accounts_to_mend() -> None:
    """CloudTrail API, UpdateTrail: the organisation's management account may make it so."""
    moved = replace(GOOD, organisation=True)
    told = judged(moved, GOOD, owners=OWNERS)
    assert (told.fix, "it is now the organisation's" in told.what) == ((), True)
    assert "--no-is-organization-trail" in told.todo
    assert START in judged(replace(moved, logging=False), GOOD, owners=OWNERS).fix


def test_what_is_no_trail_is_named_in_the_refusal_but_not_without_end() -> None:
    event = Event.parse(call("cloudtrail", "StopLogging", {"name": "a/" + "b" * 200}), HERE)
    with pytest.raises(BadEvent) as refused:
        list(guardrail.targets(event))
    arn = HERE.arn("cloudtrail", "trail/a/" + "b" * 200)
    assert str(refused.value) == f"StopLogging on something that is no trail: {arn[:100]}"


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Ask")


def raising(error: Exception) -> Any:
    def ask(**_: Any) -> Any:
        raise error

    return ask


class Stage:
    """An account without the trail, or with one that sends elsewhere; its bucket and its key answer as told."""

    here = HERE

    def __init__(
        self, *, there: bool = False, bucket: Any = lambda **_: {}, state: str | Exception = "Enabled"
    ) -> None:
        self.regions: list[str] = []
        absent = raising(refusal("TrailNotFoundException"))
        self.trail = shown({}, S3BucketName="mallory").client() if there else SimpleNamespace(get_trail_status=absent)
        self.s3 = SimpleNamespace(get_bucket_policy=bucket)
        told = raising(state) if isinstance(state, Exception) else lambda **_: {"KeyMetadata": {"KeyState": state}}
        self.kms = SimpleNamespace(describe_key=told)

    def client(self, service: str, region: str | None = None) -> Any:
        if service == "kms":
            assert region is not None
            self.regions.append(region)
        return {"cloudtrail": self.trail, "s3": self.s3, "kms": self.kms}[service]

    def read(self, known: Any) -> Any:
        return guardrail.read(Case(TARGET, Settings(), SharedSettings(), known, HERE, event="DeleteTrail"), self)


@pytest.mark.parametrize("known", [GOOD, replace(GOOD, sends=SENDS | LOGS, obstacle="then")])
def test_what_is_left_of_a_deleted_trail_is_its_baseline_without_what_may_not_be_passed(known: Any) -> None:
    assert Stage().read(known) == replace(GOOD, exists=False, logging=False)
    assert Stage().read(None) is None


@pytest.mark.parametrize(
    ("sends", "state", "says", "regions"),
    [
        (SENDS, "Enabled", "", [REGION]),
        (SENDS, "PendingDeletion", f"key {KEY} is missing, not enabled, or closed to Holdfast", [REGION]),
        (SENDS, refusal("NotFoundException"), f"key {KEY} is missing, not enabled, or closed to Holdfast", [REGION]),
        (
            SENDS,
            refusal("AccessDeniedException"),
            f"key {KEY} is missing, not enabled, or closed to Holdfast",
            [REGION],
        ),
        (SENDS | {"KmsKeyId": KEY.replace(REGION, "us-east-1")}, "Enabled", "", ["us-east-1"]),
        (SENDS | {"KmsKeyId": "alias/trail"}, "Enabled", "", [""]),
        (SENDS | {"KmsKeyId": ""}, "Enabled", "", []),
    ],
)
def test_a_key_that_can_not_be_used_is_named(sends: dict[str, Any], state: Any, says: str, regions: list[str]) -> None:
    stage = Stage(state=state)
    assert (stage.read(replace(GOOD, sends=sends)).obstacle, stage.regions) == (says, regions)


@pytest.mark.parametrize("error", [refusal("SlowDown"), EndpointConnectionError(endpoint_url="https://s3")])
def test_a_bucket_that_can_not_be_looked_at_keeps_no_trail_from_recording(error: Exception) -> None:
    found = Stage(there=True, bucket=raising(error)).read(GOOD)
    assert found.obstacle == f"its bucket or key can't be looked at ({error})"
    assert found.sends["S3BucketName"] == "mallory"
    with pytest.raises(type(error)):
        Stage(bucket=raising(error)).read(GOOD)


def test_what_an_operator_reads_is_whole() -> None:
    moved = sending(S3BucketName="mallory", S3KeyPrefix="x", SnsTopicName="t")
    known = replace(GOOD, sends=SENDS | {"S3KeyPrefix": ""})
    said = "its bucket is mallory, not audit-logs; its prefix is x, not none; its topic is t, not none"
    audited = f"Only audited until baseline_principals is set: {said}."
    violation = judged(replace(GOOD, **moved), known)
    assert (violation.audit_only, violation.todo) == (audited, "")
    violation = judged(replace(GOOD, logging=False, stopped_at="then", **moved), known)
    history = "The event history has the management events of 90 days, trail or not: aws cloudtrail lookup-events."
    assert violation.todo == f"Between then and its restart it recorded nothing. {history} {audited}"
    assert judged(replace(GOOD, **covering(EnableLogFileValidation=False))).todo == ""


def test_a_trail_that_the_organisation_takes_or_gives_back_is_told_in_full() -> None:
    taken, given = judged(replace(GOOD, organisation=True)), judged(GOOD, replace(GOOD, organisation=True))
    assert taken.what == "trail audit is amiss: it is now the organisation's"
    assert taken.todo == (
        f"Make it this account's again: aws cloudtrail update-trail --name {TARGET} --no-is-organization-trail"
    )
    assert given.what == "trail audit is amiss: it is no longer the organisation's"
    assert given.todo == f"Only its organisation's management account, {ME}, can mend it."


def test_selectors_that_were_blind_before_are_not_put_back_with_the_rest() -> None:
    known = replace(GOOD, selectors=basic(ALL | NO_KMS))
    violation = judged(replace(GOOD, **sending(S3BucketName="mallory")), known, owners=OWNERS)
    assert violation.fix == (update(S3BucketName="audit-logs"),)


@pytest.mark.parametrize(
    ("name", "found", "known", "can"),
    [
        ("UpdateTrail", replace(GOOD, **sending(S3BucketName="mallory")), GOOD, True),
        ("DeleteTrail", replace(GOOD, **sending(S3BucketName="mallory")), GOOD, True),
        ("StopLogging", replace(GOOD, **sending(S3BucketName="mallory")), GOOD, False),
        ("StopLogging", replace(GOOD, organisation=True), GOOD, False),
        ("StopLogging", replace(GOOD, logging=False), GOOD, True),
        ("StopLogging", replace(GOOD, **sending(S3BucketName="mallory")), None, True),
        ("StopLogging", replace(GOOD, **sending(S3BucketName="mallory")), remains(), True),
    ],
)
def test_only_some_calls_lead_a_trail_elsewhere(name: str, found: Any, known: Any, can: bool) -> None:
    assert guardrail.made_by(name, found, known) == can


def test_the_inventory_is_the_trails_at_home_here() -> None:
    pages = [{"Trails": [{"TrailARN": str(arn), "HomeRegion": arn.region}]} for arn in (TARGET, ELSEWHERE, THEIRS)]
    trails = {"list_trails": SimpleNamespace(paginate=lambda: pages)}
    clients = {"cloudtrail": SimpleNamespace(get_paginator=trails.__getitem__)}
    found = list(guardrail.inventory(SimpleNamespace(here=HERE, client=clients.__getitem__)))
    assert found == [TARGET, THEIRS]
    assert all(isinstance(arn, Arn) for arn in found)
