"""A trail of CloudTrail: how it is read, what its selectors record, and the calls that make it another.

Sources: CloudTrail API, and CloudTrail user guide, "Logging management events".
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from holdfast.aws import OTHER_REGION, Aws, error_code
from holdfast.event import Arn, Place
from holdfast.model import ApiCall
from holdfast.value import Value

# CloudTrail API, UpdateTrail: what a trail covers, with what it means if that is off, and where and how it sends.
COVERS = {
    "IsMultiRegionTrail": "it covers one Region only",
    "IncludeGlobalServiceEvents": "it leaves out global services",
    "EnableLogFileValidation": "log file validation is off",
}
SENDS = {
    "S3BucketName": "bucket",
    "S3KeyPrefix": "prefix",
    "KmsKeyId": "key",
    "SnsTopicName": "topic",
    "CloudWatchLogsLogGroupArn": "log group",
    "CloudWatchLogsRoleArn": "role for its log group",
    "RecursiveLogging": "recursive logging",
}
PLACE = ("S3BucketName", "S3KeyPrefix")
LOGS = ("CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn")
BESIDE = (*LOGS, "SnsTopicName")  # a trail records without them
READ_AS = {"EnableLogFileValidation": "LogFileValidationEnabled", "SnsTopicName": "SnsTopicARN"}
UNSET = {"RecursiveLogging": True}
# CloudTrail API, GetTrailStatus: what it could not deliver, and the setting without which it no longer tries to.
DELIVERS = {
    "LatestDeliveryError": ("log files", "S3BucketName"),
    "LatestDigestDeliveryError": ("digests", "LogFileValidationEnabled"),
    "LatestCloudWatchLogsDeliveryError": ("log group", "CloudWatchLogsLogGroupArn"),
}
# What S3 says of a bucket that is gone, or another account's (S3 API, GetBucketPolicy; S3 user guide, "Verifying bucket
# ownership with bucket owner condition").
REFUSED = ("NoSuchBucket", "AccessDenied", "MethodNotAllowed")

# What a trail without selectors records (CloudTrail API, PutEventSelectors).
ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True}
ALL_ADVANCED = {"Name": "Management events", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}


class Trail(Value):
    """A trail; `covers`, `sends` and `selectors` under the names that the API takes.

    `tags` lacks those that only AWS can set. `stopped_at` is empty while it is logging. `exists` is False for what is
    left of a deleted trail: its baseline. `obstacle` says why it can't be restored, and is read only when that matters.
    `owned` is whether the bucket was shown to be this account's: None where nobody has asked.
    """

    arn: str
    logging: bool
    organisation: bool = False
    covers: Mapping[str, bool] = field(default_factory=dict)
    sends: Mapping[str, Any] = field(default_factory=dict)
    selectors: Mapping[str, Any] = field(default_factory=lambda: {"EventSelectors": [ALL]})
    insights: tuple[Any, ...] = ()
    tags: tuple[Any, ...] = ()
    started_at: str = ""
    stopped_at: str = ""
    delivery_error: str = ""
    exists: bool = True
    obstacle: str = ""
    owned: bool | None = None


def live(arn: Arn, aws: Aws) -> Trail:
    """A member account sees no more of its organisation's trail than its status."""
    status: Any = aws.client("cloudtrail", arn.region).get_trail_status(Name=arn)
    seen = Trail(
        arn,
        logging=status["IsLogging"],
        organisation=True,
        started_at=_stamp(status.get("StartLoggingTime")),
        stopped_at="" if status["IsLogging"] else _stamp(status.get("StopLoggingTime")),
        delivery_error=_undelivered(status, [way for _, way in DELIVERS.values()]),
    )
    return seen if arn.account != aws.here.account else _detailed(seen, status, arn, aws)


def _undelivered(status: Mapping[str, Any], ways: Collection[str]) -> str:
    return ", ".join(
        f"{what}: {status[error]}" for error, (what, way) in DELIVERS.items() if way in ways and status.get(error)
    )


def _detailed(seen: Trail, status: Mapping[str, Any], arn: Arn, aws: Aws) -> Trail:
    cloudtrail = aws.client("cloudtrail", arn.region)
    trail: Any = cloudtrail.get_trail(Name=arn)["Trail"]
    tagged = cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    insights: Any = cloudtrail.get_insight_selectors(TrailName=arn) if trail.get("HasInsightSelectors") else {}
    return replace(
        seen,
        organisation=trail.get("IsOrganizationTrail", False),
        covers={name: trail.get(READ_AS.get(name, name), False) for name in COVERS},
        sends={name: trail.get(READ_AS.get(name, name), UNSET.get(name, "")) for name in SENDS},
        selectors=_chosen(cloudtrail.get_event_selectors(TrailName=arn)),
        insights=tuple(tidy(insights.get("InsightSelectors", ()))),
        delivery_error=_undelivered(status, [name for name, on in trail.items() if on]),
        tags=tuple(tag for one in tagged for tag in one.get("TagsList", ()) if not tag["Key"].startswith("aws:")),
    )


def known_owned(trail: Trail, known: Trail | None) -> bool | None:
    """What the baseline says of the bucket, if it is still that one."""
    same = known is not None and known.sends.get("S3BucketName") == trail.sends.get("S3BucketName")
    return known.owned if known and same else None


def owned(trail: Trail, known: Trail | None, aws: Aws) -> bool | None:
    """Asks S3 for the bucket as this account's, unless it never was.

    A refusal by a policy says so to callers of the same account (IAM user guide, "Troubleshoot access denied error
    messages"). Any other answer than a refusal leaves it at what was known: recording comes first.
    """
    was, bucket = known_owned(trail, known), trail.sends.get("S3BucketName")
    if was is False or not bucket:
        return was
    try:
        bucket_policy(bucket, aws)
    except ClientError as error:
        refused = error_code(error) in REFUSED and "explicit deny" not in str(error)
        return False if refused else was
    except BotoCoreError:
        return was
    return True


def bucket_policy(bucket: str, aws: Aws) -> Any:
    """GetBucketPolicy's answer; a trail's bucket may be in any Region."""
    try:
        return aws.client("s3").get_bucket_policy(Bucket=bucket)
    except ClientError as error:
        if error_code(error) != OTHER_REGION:
            raise
        there: Any = error.response["Error"]
        return aws.client("s3", there["Region"]).get_bucket_policy(Bucket=bucket)


def _stamp(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time else ""


def _chosen(answer: Any) -> dict[str, Any]:
    """A trail has selectors of one kind, or none yet."""
    kind = next((kind for kind in ("EventSelectors", "AdvancedEventSelectors") if answer.get(kind)), "EventSelectors")
    return {kind: tidy(answer.get(kind) or [ALL])}


def tidy(selectors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Their order means nothing, and an empty list in one the same as none."""
    kept = [{name: value for name, value in selector.items() if value != []} for selector in selectors]
    return sorted(kept, key=lambda selector: json.dumps(selector, sort_keys=True))


def blind(selectors: Mapping[str, Any]) -> bool:
    """True if management calls that write go unrecorded. A call is recorded if any selector matches it."""
    left_out = [*_omissions(selectors)]
    return not left_out or bool(frozenset.intersection(*left_out))


def _omissions(selectors: Mapping[str, Any]) -> Iterator[frozenset[str]]:
    """Of each selector that hides no other management calls that write, the event sources that it leaves out.

    On management events trails take three conditions, of which all must hold (CloudTrail API, AdvancedFieldSelector).
    Any other counts as one that hides something.
    """
    for basic in selectors.get("EventSelectors", ()):
        if basic.get("IncludeManagementEvents", True) and basic.get("ReadWriteType", "All") != "ReadOnly":
            yield frozenset(basic.get("ExcludeManagementEventSources", ()))
    for advanced in selectors.get("AdvancedEventSelectors", ()):
        fields = advanced["FieldSelectors"]
        hides = {(f["Field"], how): f[how] for f in fields for how in f if how != "Field" and f[how]}
        omitted = hides.pop(("eventSource", "NotEquals"), ())
        management = "Management" in hides.pop(("eventCategory", "Equals"), ())
        writes = "false" in hides.pop(("readOnly", "Equals"), ("false",))
        if management and writes and not hides and len({f["Field"] for f in fields}) == len(fields):
            yield frozenset(omitted)


def beyond(selectors: Mapping[str, Any]) -> frozenset[str]:
    """The categories of events, but for management events, of which any selector records something."""
    data = [data for basic in selectors.get("EventSelectors", ()) for data in basic.get("DataResources", ())]
    fields = [f for advanced in selectors.get("AdvancedEventSelectors", ()) for f in advanced["FieldSelectors"]]
    categories = {category for f in fields if f["Field"] == "eventCategory" for category in f.get("Equals", ())}
    basic = {"Data"} if any(resource.get("Values") for resource in data) else set()
    return frozenset(categories | basic) - {"Management"}


def widened(selectors: Mapping[str, Any]) -> dict[str, Any]:
    """The same and all management events, for want of a baseline. Only five basic selectors fit on a trail."""
    if "AdvancedEventSelectors" in selectors:
        return {"AdvancedEventSelectors": tidy([*selectors["AdvancedEventSelectors"], ALL_ADVANCED])}
    narrow, *others = selectors["EventSelectors"]
    return {"EventSelectors": tidy([{**narrow, **ALL, "ExcludeManagementEventSources": []}, *others])}


def calls(now: Trail, then: Trail, here: Place) -> Iterator[ApiCall]:
    """From one state to the other. Recording comes first: whatever else may fail, it is on.

    A trail is made without what it can do without, and whither it sends comes last, each way by itself: CloudTrail
    refuses the whole call for one topic that is gone, and what UpdateTrail isn't told stays as it is.
    """
    arn = Arn(then.arn)

    def call(operation: str, **parameters: Any) -> ApiCall:
        return ApiCall("cloudtrail", operation, parameters, "" if arn.region == here.region else arn.region)

    if now.exists and not then.exists:
        yield call("delete_trail", Name=arn.name)
        return
    if then.exists and not now.exists:
        now = replace(then, sends={name: "" if name in BESIDE else value for name, value in then.sends.items()})
        yield call("create_trail", **_creation(now))
        now = replace(now, logging=False, selectors={"EventSelectors": [ALL]}, insights=())
    if then.logging and not now.logging:
        yield call("start_logging", Name=arn)
    if then.selectors != now.selectors:
        yield call("put_event_selectors", TrailName=arn, **then.selectors)
    if covers := _changed(now.covers, then.covers):
        yield call("update_trail", Name=arn, **covers)
    if then.insights != now.insights:
        yield call("put_insight_selectors", TrailName=arn, InsightSelectors=list(then.insights))
    yield from (call("update_trail", Name=arn, **way) for way in _ways(now.sends, then.sends))
    if now.logging and not then.logging:
        yield call("stop_logging", Name=arn)


def _creation(trail: Trail) -> dict[str, Any]:
    sent = {name: value for name, value in trail.sends.items() if value != ""}
    tagged = {"TagsList": list(trail.tags)} if trail.tags else {}
    return {"Name": Arn(trail.arn).name, **trail.covers, **sent, **tagged}


def _changed(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value != was[name]}


def _ways(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What each UpdateTrail must be told, the gravest first; a log group only together with its role.

    Another key goes with its bucket, for it must be in the bucket's Region (CloudTrail API, KmsKeyNotFoundException).
    """
    changed = _changed(was, wanted)
    stored = [(*PLACE, "KmsKeyId")] if was.get("KmsKeyId") else [PLACE, ("KmsKeyId",)]
    for names in (*stored, ("RecursiveLogging",), LOGS, ("SnsTopicName",)):
        if any(name in changed for name in names):
            yield {name: wanted[name] for name in names if name in changed or names is LOGS}
