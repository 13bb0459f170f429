"""The recorder is on: every trail records all management events, and one that is deleted comes back.

Why: events reach EventBridge only while a trail records them. Who stops, deletes or narrows the trail blinds every
guardrail, silently, and that may be the last event anybody sees: so the clock looks too, every five minutes.

Restored at once: logging; management events, if writes to any service (KMS and the RDS Data API too) go unrecorded; all
Regions, global services and log file validation, once a trail had them; data events and Insights, if none are left. A
deleted trail is made again from its baseline. Another bucket, prefix, key, topic, log group or selector is put back
once `baseline_principals` says who may change them; until then it is only audited. All in the trail's home Region.

Can't: change an organisation's trail, which is the management account's; restore a trail whose bucket, bucket policy
or key is missing or closed, or whose bucket is another account's; repair a bucket that refuses log files; attach a log
group whose role is not `cloudwatch_role_arn`: the trail is then made without it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from holdfast import ApiCall, Arn, Aws, BadEvent, Case, Event, Guardrail, Violation, first, unless

TRAIL = re.compile(r"trail/[A-Za-z0-9][A-Za-z0-9._-]{1,126}[A-Za-z0-9]")

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
LOGS = ("CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn")
READ_AS = {"EnableLogFileValidation": "LogFileValidationEnabled", "SnsTopicName": "SnsTopicARN"}
UNSET = {"RecursiveLogging": True}

# What a trail without selectors records (CloudTrail API, PutEventSelectors).
ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True}
ALL_ADVANCED = {"Name": "Management events", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}
# Why CloudTrail refuses a fix (CloudTrail API, CreateTrail and UpdateTrail), and what to do.
STUCK = {
    "TrailAlreadyExistsException": "Another trail has its name (aws cloudtrail list-trails): delete that one.",
    "MaximumNumberOfTrailsExceededException": "The Region has all the trails it may have: delete one.",
    "S3BucketDoesNotExistException": "Make its bucket again.",
    "InsufficientS3BucketPolicyException": "Let CloudTrail write to its bucket.",
    "InsufficientEncryptionPolicyException": "Let CloudTrail use its key.",
    "InsufficientSnsTopicPolicyException": "Let CloudTrail publish to its topic, or make the topic again.",
    "InvalidCloudWatchLogsLogGroupArnException": "Make its log group again, and let its role write there.",
    "InvalidCloudWatchLogsRoleArnException": "Let CloudTrail assume the role for its log group.",
}
HISTORY = "The event history has the management events of 90 days, trail or not: aws cloudtrail lookup-events."


@dataclass(frozen=True)
class Settings:
    """`cloudwatch_role_arn` is the one role that may be passed to CloudTrail, for a trail's CloudWatch log group."""

    cloudwatch_role_arn: Annotated[str, r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+"] | None = None


@dataclass(frozen=True)
class Trail:
    """A trail; `covers`, `sends` and `selectors` under the names that the API takes.

    `tags` lacks those that only AWS can set. `stopped_at` is empty while it is logging. `exists` is False for what is
    left of a deleted trail: its baseline. `obstacle` says why it can't be restored, and is read only when that matters.
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


def targets(event: Event) -> Iterable[Arn]:
    """The answer has the ARN where there is an answer; callers give names or ARNs."""
    named = str(first(event.response.get("trailARN")) or event.text("name", "trailName"))
    arn = Arn(named) if named.startswith("arn:") else event.arn("cloudtrail", f"trail/{named}")
    if arn.service != "cloudtrail" or not TRAIL.fullmatch(arn.resource):
        raise BadEvent(f"{event.name} on something that is no trail: {arn[:100]}")
    return [arn]


def read(case: Case[Trail, Settings], aws: Aws) -> Trail | None:
    # A member account may not be shown its organisation's trail: the ARN is then called invalid.
    return unless("TrailNotFoundException CloudTrailARNInvalidException", live, case, aws) or remains(case, aws)


def live(case: Case[Trail, Settings], aws: Aws) -> Trail:
    """A member account sees no more of its organisation's trail than its status."""
    status: Any = aws.client("cloudtrail", case.target.region).get_trail_status(Name=case.target)
    seen = Trail(
        case.target,
        logging=status["IsLogging"],
        organisation=True,
        started_at=stamp(status.get("StartLoggingTime")),
        stopped_at="" if status["IsLogging"] else stamp(status.get("StopLoggingTime")),
        delivery_error=status.get("LatestDeliveryError", ""),
    )
    return seen if case.target.account != case.here.account else detailed(seen, case, aws)


def detailed(seen: Trail, case: Case[Trail, Settings], aws: Aws) -> Trail:
    cloudtrail, known = aws.client("cloudtrail", case.target.region), case.baseline
    trail: Any = cloudtrail.get_trail(Name=seen.arn)["Trail"]
    tagged = cloudtrail.list_tags(ResourceIdList=[seen.arn])["ResourceTagList"]
    insights: Any = cloudtrail.get_insight_selectors(TrailName=seen.arn) if trail.get("HasInsightSelectors") else {}
    found = replace(
        seen,
        organisation=trail.get("IsOrganizationTrail", False),
        covers={name: trail.get(READ_AS.get(name, name), False) for name in COVERS},
        sends={name: trail.get(READ_AS.get(name, name), UNSET.get(name, "")) for name in SENDS},
        selectors=chosen(cloudtrail.get_event_selectors(TrailName=seen.arn)),
        insights=tuple(tidy(insights.get("InsightSelectors", ()))),
        tags=tuple(tag for one in tagged for tag in one.get("TagsList", ()) if not tag["Key"].startswith("aws:")),
    )
    if known is None or not known.exists or known.organisation or found.sends == known.sends:
        return found
    return replace(found, obstacle=obstacle(known, aws))


def stamp(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time else ""


def chosen(answer: Any) -> dict[str, Any]:
    """A trail has selectors of one kind, or none yet."""
    kind = next((kind for kind in ("EventSelectors", "AdvancedEventSelectors") if answer.get(kind)), "EventSelectors")
    return {kind: tidy(answer.get(kind) or [ALL])}


def tidy(selectors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Their order means nothing, and an empty list in one the same as none."""
    kept = [{name: value for name, value in selector.items() if value != []} for selector in selectors]
    return sorted(kept, key=lambda selector: json.dumps(selector, sort_keys=True))


def remains(case: Case[Trail, Settings], aws: Aws) -> Trail | None:
    """A deleted trail, as it can be made again, and whether it can."""
    known = case.baseline
    if known is None or not known.exists:
        return None
    without = dict.fromkeys(withheld(known, case), "")
    why = "" if known.organisation else obstacle(known, aws)
    return replace(known, exists=False, logging=False, sends={**known.sends, **without}, obstacle=why)


def obstacle(known: Trail, aws: Aws) -> str:
    """Why CloudTrail could not, or should not, send where it sent. S3 denies access to another account's bucket."""
    s3, bucket, key = aws.client("s3"), known.sends["S3BucketName"], known.sends["KmsKeyId"]
    absent = "NoSuchBucket NoSuchBucketPolicy AccessDenied"
    if unless(absent, s3.get_bucket_policy, Bucket=bucket) is None:
        return f"bucket {bucket} is missing, another account's, closed to Holdfast, or lets CloudTrail not write"
    if not key:
        return ""
    kms = aws.client("kms", Arn(key).region if key.startswith("arn:") else "")
    found: Any = unless("NotFoundException AccessDeniedException", kms.describe_key, KeyId=key)
    usable = found and found["KeyMetadata"].get("KeyState") == "Enabled"
    return "" if usable else f"key {key} is missing, not enabled, or closed to Holdfast"


def evaluate(trail: Trail, case: Case[Trail, Settings]) -> Violation | None:
    known = case.baseline if case.baseline and case.baseline.exists else None
    if not trail.exists and known is None:
        return None  # that it is gone is the last known good state
    must = mended(trail, known)
    wrong, changed = [*faults(trail, must)], [*drift(trail, must, known)]
    if not (wrong or changed):
        return None
    what = f"trail {case.target.name}: {'; '.join(wrong + changed)}"
    if trail.organisation or (known and known.organisation):
        return Violation(what, todo=f"Only its organisation's management account, {case.target.account}, can mend it.")
    owned = bool(case.shared.baseline_principals)
    goal = restored(trail, must, known, case) if known and (owned or not wrong) else must
    audited = "" if owned or not changed else f"Only audited until baseline_principals is set: {'; '.join(changed)}."
    return Violation(
        what,
        fix=tuple(calls(trail, goal, case)),
        undo=tuple(calls(goal, trail, case)),
        todo=" ".join([*advice(trail, known, case), audited if wrong else ""]).strip(),
        audit_only="" if wrong else audited,
    )


def mended(trail: Trail, known: Trail | None) -> Trail:
    """The trail without what is wrong whoever did it: it is there, and whatever was configured is recorded again."""
    selectors, had = trail.selectors, known.covers if known else {}
    if known and (blind(selectors) or (bare(selectors) and not bare(known.selectors))):
        selectors = known.selectors
    lost = known is not None and any(insight not in trail.insights for insight in known.insights)
    there = trail.exists or not trail.obstacle
    return replace(
        trail,
        exists=there,
        logging=there,
        covers={name: on or had.get(name, False) for name, on in trail.covers.items()},
        selectors=widened(selectors) if blind(selectors) else selectors,
        insights=known.insights if known and lost else trail.insights,
    )


def blind(selectors: Mapping[str, Any]) -> bool:
    """True if management calls that write go unrecorded. A call is recorded if any selector matches it."""
    left_out = [*omissions(selectors)]
    return not left_out or bool(frozenset.intersection(*left_out))


def omissions(selectors: Mapping[str, Any]) -> Iterator[frozenset[str]]:
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


def bare(selectors: Mapping[str, Any]) -> bool:
    """True if no selector records anything but management events."""
    data = [data for basic in selectors.get("EventSelectors", ()) for data in basic.get("DataResources", ())]
    fields = [f for advanced in selectors.get("AdvancedEventSelectors", ()) for f in advanced["FieldSelectors"]]
    categories = {category for f in fields if f["Field"] == "eventCategory" for category in f.get("Equals", ())}
    return not any(resource.get("Values") for resource in data) and categories <= {"Management"}


def widened(selectors: Mapping[str, Any]) -> dict[str, Any]:
    """The same and all management events, for want of a baseline. Only five basic selectors fit on a trail."""
    if "AdvancedEventSelectors" in selectors:
        return {"AdvancedEventSelectors": tidy([*selectors["AdvancedEventSelectors"], ALL_ADVANCED])}
    narrow, *others = selectors["EventSelectors"]
    return {"EventSelectors": tidy([{**narrow, **ALL, "ExcludeManagementEventSources": []}, *others])}


def faults(trail: Trail, must: Trail) -> Iterator[str]:
    if not trail.logging:
        yield "it is stopped" if trail.exists else "it was deleted"
    if blind(trail.selectors):
        yield "management events go unrecorded"
    elif trail.selectors != must.selectors:
        yield "it records nothing but management events"
    if trail.insights != must.insights:
        yield "Insights are off"
    yield from (COVERS[name] for name, on in trail.covers.items() if on != must.covers[name])
    if trail.delivery_error:
        yield "its log files can't be delivered"


def drift(trail: Trail, must: Trail, known: Trail | None) -> Iterator[str]:
    """What differs from the baseline and may be meant."""
    if known is None:
        return
    if known.organisation and not trail.organisation:
        yield "it is no longer the organisation's"
    for name, then in known.sends.items():
        if trail.sends[name] != then:
            yield f"its {SENDS[name]} is {trail.sends[name] or 'none'}, not {then or 'none'}"
    if must.selectors != known.selectors and not blind(known.selectors):
        yield "its event selectors were changed"


def restored(trail: Trail, must: Trail, known: Trail, case: Case[Trail, Settings]) -> Trail:
    """As it was; what can't be restored stays as it is."""
    staying = SENDS if trail.obstacle else withheld(known, case)
    selectors = must.selectors if blind(known.selectors) else known.selectors
    return replace(must, selectors=selectors, sends={**known.sends, **{n: trail.sends[n] for n in staying}})


def withheld(known: Trail, case: Case[Trail, Settings]) -> Iterable[str]:
    """A role is passed to CloudTrail only if the settings name it, and a log group takes a role."""
    return () if known.sends.get("CloudWatchLogsRoleArn", "") in ("", case.settings.cloudwatch_role_arn) else LOGS


def calls(now: Trail, then: Trail, case: Case[Trail, Settings]) -> Iterator[ApiCall]:
    """From one state to the other. Recording comes first: whatever else may fail, it is on."""
    if now.exists and not then.exists:
        yield call("delete_trail", case, Name=case.target.name)
        return
    if then.exists and not now.exists:
        yield create(then, case)
        now = replace(then, logging=False, selectors={"EventSelectors": [ALL]}, insights=())
    if then.logging and not now.logging:
        yield call("start_logging", case, Name=now.arn)
    if then.selectors != now.selectors:
        yield call("put_event_selectors", case, TrailName=now.arn, **then.selectors)
    if changed := differences(now, then):
        yield call("update_trail", case, Name=now.arn, **changed)
    if then.insights != now.insights:
        yield call("put_insight_selectors", case, TrailName=now.arn, InsightSelectors=list(then.insights))
    if now.logging and not then.logging:
        yield call("stop_logging", case, Name=now.arn)


def create(trail: Trail, case: Case[Trail, Settings]) -> ApiCall:
    sent = {name: value for name, value in trail.sends.items() if value != ""}
    tagged = {"TagsList": list(trail.tags)} if trail.tags else {}
    return call("create_trail", case, Name=case.target.name, **trail.covers, **sent, **tagged)


def differences(now: Trail, then: Trail) -> dict[str, Any]:
    """What UpdateTrail must be told; a log group only together with its role."""
    was, wanted = {**now.covers, **now.sends}, {**then.covers, **then.sends}
    changed = {name for name in wanted if wanted[name] != was[name]}
    return {name: wanted[name] for name in wanted if name in changed or (name in LOGS and changed & set(LOGS))}


def call(operation: str, case: Case[Trail, Settings], **parameters: Any) -> ApiCall:
    home = case.target.region
    return ApiCall("cloudtrail", operation, parameters, "" if home == case.here.region else home)


def advice(trail: Trail, known: Trail | None, case: Case[Trail, Settings]) -> Iterator[str]:
    if not trail.logging:
        since = trail.stopped_at or "its creation" if trail.exists else "its deletion"
        yield f"Between {since} and its restart it recorded nothing. {HISTORY}"
    elif blind(trail.selectors):
        yield f"Since its selectors were changed it recorded too little. {HISTORY}"
    if trail.delivery_error:
        yield f"S3 answers {trail.delivery_error}: let CloudTrail write to the bucket and use the key."
    if trail.obstacle:
        yield f"It can't be as it was: {trail.obstacle}. Mend that, and the next look restores it."
    if known and any(trail.sends[name] != known.sends[name] for name in withheld(known, case)):
        yield f"Its log group needs a role that cloudwatch_role_arn does not name: {known.sends[LOGS[1]]}."


def gone(case: Case[Trail, Settings]) -> Violation | None:
    """Without a baseline nobody knows how to make it again."""
    if case.baseline is not None:
        return None
    what = f"trail {case.target.name}: it was deleted"
    return Violation(what, todo=f"How it was isn't known: make it anew. {HISTORY}")


def safer(found: Trail, baseline: Trail) -> bool:
    """A trail that covers more and else is as it was, or that is there again."""
    more = all(found.covers.get(name, False) >= on for name, on in baseline.covers.items())
    same = replace(baseline, covers=found.covers, started_at=found.started_at) == found
    return found.exists and (not baseline.exists or (more and same and found.covers != baseline.covers))


def inventory(aws: Aws) -> Iterator[Arn]:
    """The trails at home in this Region, those of the organisation too."""
    for page in aws.client("cloudtrail").get_paginator("list_trails").paginate():
        yield from (Arn(trail["TrailARN"]) for trail in page["Trails"] if trail["HomeRegion"] == aws.here.region)


handler = Guardrail(
    severity="critical",
    services=("cloudtrail",),
    covers=(r"arn:{partition}:cloudtrail:[\w-]+:{account}:trail/[\w.-]+",),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    gone=gone,
    inventory=inventory,
    baseline=Trail,
    missing=frozenset({"TrailNotFoundException"}),
    later={"ThrottlingException": 30, "ConflictException": 60},
    stuck=STUCK,
    safer=safer,
)
