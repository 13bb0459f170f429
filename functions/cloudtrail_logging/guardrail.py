"""The recorder is on: every trail records all management events, and one that is deleted comes back.

Why: events reach EventBridge only while a trail records them. Who stops, deletes or narrows the trail blinds every
guardrail, silently, and that may be the last event anybody sees: so the clock looks too, every five minutes.

Restored at once: logging; management events, if writes to any service (KMS and the RDS Data API too) go unrecorded; all
Regions, global services and log file validation, once a trail had them; data and network activity events, Insights,
topic and log group, if none are left. A deleted trail is made again from its baseline. Another bucket, prefix, key,
topic, log group or selector is put back once `baseline_principals` says who may change them; until then it is only
audited. All in the trail's home Region. Recording waits for no topic or log group.

Told: a bucket that was this account's and is no more, or can't be shown to be; CloudTrail sends by name.

Can't: change an organisation's trail, which is the management account's; restore a trail whose bucket, bucket policy
or key is missing or closed, or whose bucket is another account's; repair a bucket that refuses log files; attach a log
group whose role is not `cloudwatch_role_arn`: the trail is then made without it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any

from botocore.exceptions import BotoCoreError, ClientError
from holdfast import Arn, Aws, BadEvent, Case, Event, Guardrail, Value, Violation, first, unless
from holdfast.trail import (
    BESIDE,
    COVERS,
    LOGS,
    SENDS,
    Trail,
    beyond,
    blind,
    bucket_policy,
    calls,
    known_owned,
    live,
    owned,
    widened,
)

TRAIL = re.compile(r"trail/[A-Za-z0-9][A-Za-z0-9._-]{1,126}[A-Za-z0-9]")

# Why CloudTrail refuses a fix (CloudTrail API, CreateTrail and UpdateTrail), and what to do.
STUCK = {
    "TrailAlreadyExistsException": "Another trail has its name (aws cloudtrail list-trails): delete that one.",
    "MaximumNumberOfTrailsExceededException": "The Region has all the trails it may have: delete one.",
    "S3BucketDoesNotExistException": "Make its bucket again.",
    "InsufficientS3BucketPolicyException": "Let CloudTrail write to its bucket.",
    "InsufficientEncryptionPolicyException": "Let CloudTrail use its key.",
    "InsufficientSnsTopicPolicyException": "Let CloudTrail publish to its topic, or make the topic again.",
    "InvalidSnsTopicNameException": "Let CloudTrail publish to its topic, or make the topic again.",
    "KmsKeyNotFoundException": "See that its key and its topic's are there, in their Regions.",
    "InvalidCloudWatchLogsLogGroupArnException": "Make its log group again, and let its role write there.",
    "InvalidCloudWatchLogsRoleArnException": "Let CloudTrail assume the role for its log group.",
}
HISTORY = "The event history has the management events of 90 days, trail or not: aws cloudtrail lookup-events."


class Settings(Value):
    """`cloudwatch_role_arn` is the one role that may be passed to CloudTrail, for a trail's CloudWatch log group."""

    cloudwatch_role_arn: Annotated[str, r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+"] | None = None


Known = Case[Trail, Settings]


def targets(event: Event) -> Iterable[Arn]:
    """The answer has the ARN where there is an answer; callers give names or ARNs."""
    named = str(first(event.response.get("trailARN")) or event.text("name", "trailName"))
    arn = Arn(named) if named.startswith("arn:") else event.arn("cloudtrail", f"trail/{named}")
    if arn.service != "cloudtrail" or not TRAIL.fullmatch(arn.resource):
        raise BadEvent(f"{event.name} on something that is no trail: {arn[:100]}")
    return [arn]


def read(case: Known, aws: Aws) -> Trail | None:
    """The trail; or, of a deleted one, the baseline as it can be made again. With what is in the way of either."""
    # A member account may not be shown its organisation's trail: the ARN is then called invalid.
    found = unless("TrailNotFoundException CloudTrailARNInvalidException", live, case.target, aws)
    known = baseline(case)
    if found:  # after a call recording comes first
        found = replace(found, owned=known_owned(found, known) if case.event else owned(found, known, aws))
    if known is None:
        return found
    if found is None:
        without = dict.fromkeys(withheld(known, case), "")
        found = replace(known, exists=False, logging=False, sends={**known.sends, **without}, obstacle="")
    elif found.sends == known.sends:
        return found
    if known.organisation:
        return found
    try:
        return replace(found, obstacle=obstacle(known, aws))
    except (ClientError, BotoCoreError) as error:
        if not found.exists:
            raise
        return replace(found, obstacle=f"its bucket or key can't be looked at ({error})")  # recording comes first


def baseline(case: Known) -> Trail | None:
    """How the trail was; None also where the last known good state is that there is none."""
    return case.baseline if case.baseline and case.baseline.exists else None


def obstacle(known: Trail, aws: Aws) -> str:
    """Why CloudTrail could not, or should not, send where it sent. S3 denies access to another account's bucket."""
    bucket, key = known.sends["S3BucketName"], known.sends["KmsKeyId"]
    absent = "NoSuchBucket NoSuchBucketPolicy AccessDenied"
    if unless(absent, bucket_policy, bucket, aws) is None:
        return f"bucket {bucket} is missing, another account's, closed to Holdfast, or lets CloudTrail not write"
    if not key:
        return ""
    kms = aws.client("kms", Arn(key).region if key.startswith("arn:") else "")
    found: Any = unless("NotFoundException AccessDeniedException", kms.describe_key, KeyId=key)
    usable = found and found["KeyMetadata"].get("KeyState") == "Enabled"
    return "" if usable else f"key {key} is missing, not enabled, or closed to Holdfast"


def evaluate(trail: Trail, case: Known) -> Violation | None:
    known = baseline(case)
    if not trail.exists and known is None:
        return None  # that it is gone is the last known good state
    must = mended(trail, known, case)
    wrong, changed = [*faults(trail, must)], [*drift(trail, must, known)]
    if not (wrong or changed):
        return None
    what = f"trail {case.target.name} is amiss: {'; '.join(wrong + changed)}"
    if (known or trail).organisation:
        return Violation(what, todo=f"Only its organisation's management account, {case.target.account}, can mend it.")
    owned = bool(case.shared.baseline_principals)
    goal = restored(must, known, case) if known and (owned or not wrong) else must
    audited = "" if owned or not changed else f"Only audited until baseline_principals is set: {'; '.join(changed)}."
    return Violation(
        what,
        fix=tuple(calls(trail, goal, case.here)),
        undo=tuple(calls(goal, trail, case.here)),
        todo=" ".join([*advice(trail, known, case), audited if wrong else ""]).strip(),
        audit_only="" if wrong else audited,
    )


def mended(trail: Trail, known: Trail | None, case: Known) -> Trail:
    """The trail without what is wrong whoever did it: it is there, and whatever was configured is recorded again."""
    selectors, had = trail.selectors, known.covers if known else {}
    if known and (blind(selectors) or beyond(known.selectors) - beyond(selectors)):
        selectors = known.selectors
    sent = {n: known.sends.get(n, "") for n in BESIDE if n not in withheld(known, case)} if known else {}
    lost = known is not None and any(insight not in trail.insights for insight in known.insights)
    there = trail.exists or not trail.obstacle
    return replace(
        trail,
        exists=there,
        logging=there,
        covers={name: on or had.get(name, False) for name, on in trail.covers.items()},
        sends={name: value or sent.get(name, value) for name, value in trail.sends.items()},
        selectors=widened(selectors) if blind(selectors) else selectors,
        insights=known.insights if known and lost else trail.insights,
        owned=known_owned(trail, known),
    )


def faults(trail: Trail, must: Trail) -> Iterator[str]:
    if not trail.logging:
        yield "it is stopped" if trail.exists else "it was deleted"
    if blind(trail.selectors):
        yield "management events go unrecorded"
    else:
        yield from (f"{kind} events go unrecorded" for kind in sorted(beyond(must.selectors) - beyond(trail.selectors)))
    if trail.insights != must.insights:
        yield "Insights are off"
    yield from (COVERS[name] for name, on in trail.covers.items() if on != must.covers[name])
    yield from (f"it lost its {SENDS[name]}" for name, then in must.sends.items() if trail.sends[name] != then)
    if trail.delivery_error:
        yield "not all that it records can be delivered"
    if must.owned and trail.owned is False:
        yield "its bucket is not, or can't be shown to be, this account's any more"


def drift(trail: Trail, must: Trail, known: Trail | None) -> Iterator[str]:
    """What differs from the baseline and may be meant."""
    if known is None:
        return
    if known.organisation != trail.organisation:
        yield "it is now the organisation's" if trail.organisation else "it is no longer the organisation's"
    for name, then in known.sends.items():
        if must.sends[name] != then:
            yield f"its {SENDS[name]} is {trail.sends[name] or 'none'}, not {then or 'none'}"
    if must.selectors != known.selectors and not blind(known.selectors):
        yield "its event selectors were changed"


def restored(must: Trail, known: Trail, case: Known) -> Trail:
    """As it was; what can't be restored stays as it is."""
    staying = SENDS if must.obstacle else withheld(known, case)
    selectors = must.selectors if blind(known.selectors) else known.selectors
    return replace(must, selectors=selectors, sends={**known.sends, **{n: must.sends[n] for n in staying}})


def withheld(known: Trail, case: Known) -> Iterable[str]:
    """A role is passed to CloudTrail only if the settings name it, and a log group takes a role."""
    return () if known.sends.get("CloudWatchLogsRoleArn", "") in ("", case.settings.cloudwatch_role_arn) else LOGS


def advice(trail: Trail, known: Trail | None, case: Known) -> Iterator[str]:
    if not trail.logging:
        since = trail.stopped_at or "its creation" if trail.exists else "its deletion"
        yield f"Between {since} and its restart it recorded nothing. {HISTORY}"
    elif blind(trail.selectors):
        yield f"Since its selectors were changed it recorded too little. {HISTORY}"
    if trail.delivery_error:
        yield f"CloudTrail was refused ({trail.delivery_error}): let it write to the bucket and use the key."
        if "log group" in trail.delivery_error:
            yield STUCK["InvalidCloudWatchLogsLogGroupArnException"]
    if trail.owned is False and known_owned(trail, known):
        asked = f"--bucket {trail.sends['S3BucketName']} --expected-bucket-owner {case.here.account}"
        yield f"See whose it is: aws s3api head-bucket {asked}."
        yield "Send the trail to one of yours, or let Holdfast call s3:GetBucketPolicy on it."
    if trail.obstacle:
        yield f"It can't be as it was: {trail.obstacle}. Mend that, and the next look restores it."
    if known and trail.organisation and not known.organisation:
        yield f"Make it this account's again: aws cloudtrail update-trail --name {trail.arn} --no-is-organization-trail"
    if known and any(trail.sends[name] != known.sends[name] for name in withheld(known, case)):
        yield f"Its log group needs a role that cloudwatch_role_arn does not name: {known.sends[LOGS[1]]}."


def gone(case: Known) -> Violation | None:
    """Without a baseline nobody knows how to make it again."""
    if case.baseline is not None:
        return None
    what = f"trail {case.target.name} is amiss: it was deleted"
    return Violation(what, todo=f"How it was isn't known: make it anew. {HISTORY}")


def safer(found: Trail, baseline: Trail) -> bool:
    """A trail that covers more, or whose bucket was asked after, and else is as it was; or that is there again."""
    more = all(found.covers.get(name, False) >= on for name, on in baseline.covers.items())
    learnt = baseline.owned is None and found.owned is not None
    asked = found.owned if learnt else baseline.owned
    same = replace(baseline, covers=found.covers, started_at=found.started_at, owned=asked) == found
    return found.exists and (not baseline.exists or (more and same and (learnt or found.covers != baseline.covers)))


def made_by(call: str, found: Trail, known: Trail | None) -> bool:
    """Only UpdateTrail, or a deletion before it was made again, leads a trail elsewhere."""
    if call in ("UpdateTrail", "DeleteTrail") or known is None or not known.exists:
        return True
    return (found.sends, found.organisation) == (known.sends, known.organisation)


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
    lost=lambda found: not found.exists,
    safer=safer,
    made_by=made_by,
)
