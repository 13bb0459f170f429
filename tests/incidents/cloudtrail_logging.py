"""Trails that are stopped, deleted, narrowed, or made to send elsewhere."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from support import HERE, MALLORY, ME, REGION, Incident, call, incident

ID = "cloudtrail-logging"
TRAIL = HERE.arn("cloudtrail", "trail/audit")
DATA = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::lake/"]}
EVERYTHING: Any = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [DATA]}
TERRAFORM = f"arn:aws:iam::{ME}:role/terraform"


def bucket(name: str) -> None:
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    statement = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:PutObject"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": f"arn:aws:s3:::{name}/*"}]}
    boto3.client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps(policy))


def trail(**more: Any) -> dict[str, Any]:
    """A trail as it should be: all Regions, validated, encrypted, with data events and tags."""
    bucket("audit-logs")
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    cloudtrail = boto3.client("cloudtrail")
    options: dict[str, Any] = {
        "Name": "audit",
        "S3BucketName": "audit-logs",
        "S3KeyPrefix": "trails",
        "IsMultiRegionTrail": True,
        "EnableLogFileValidation": True,
        "KmsKeyId": key,
        "TagsList": [{"Key": "owner", "Value": "security"}],
    }
    cloudtrail.create_trail(**options | more)
    cloudtrail.put_event_selectors(TrailName="audit", EventSelectors=[EVERYTHING])
    cloudtrail.start_logging(Name="audit")
    return found()


def found() -> dict[str, Any]:
    """All that the account shows of the trail; nothing when it is not there."""
    cloudtrail = boto3.client("cloudtrail")
    try:
        shown = cloudtrail.get_trail(Name=TRAIL)["Trail"]
    except cloudtrail.exceptions.TrailNotFoundException:
        return {}
    selectors = cloudtrail.get_event_selectors(TrailName=TRAIL)
    return {
        "trail": shown,
        "logging": cloudtrail.get_trail_status(Name=TRAIL)["IsLogging"],
        "selectors": selectors.get("EventSelectors") or selectors.get("AdvancedEventSelectors"),
        "tags": cloudtrail.list_tags(ResourceIdList=[TRAIL])["ResourceTagList"][0]["TagsList"],
    }


def build(event: Mapping[str, Any], spoil: Callable[[], object], **more: Any) -> Incident:
    good = trail()
    return Incident(
        guardrail=ID, event=event, target=TRAIL, spoil=spoil, safe=lambda: found() == good, known=True, **more
    )


def stop() -> None:
    boto3.client("cloudtrail").stop_logging(Name="audit")


def update(**changes: Any) -> None:
    boto3.client("cloudtrail").update_trail(Name="audit", **changes)


def select(*selectors: Any) -> None:
    boto3.client("cloudtrail").put_event_selectors(TrailName="audit", EventSelectors=list(selectors))


def delete() -> None:
    boto3.client("cloudtrail").delete_trail(Name="audit")  # moto deletes by name only, AWS by ARN too


@incident(ID, "StopLogging")
def stopped() -> Incident:
    return build(call("cloudtrail", "StopLogging", {"name": "audit"}), stop)


@incident(ID, "StopLogging--first-sight")
def stopped_unknown() -> Incident:
    trail()
    event = call("cloudtrail", "StopLogging", {"name": TRAIL})
    return Incident(ID, event, TRAIL, stop, lambda: bool(found()["logging"]))


@incident(ID, "DeleteTrail")
def deleted() -> Incident:
    return build(call("cloudtrail", "DeleteTrail", {"name": TRAIL}), delete)


@incident(ID, "DeleteTrail--first-sight")
def deleted_unknown() -> Incident:
    trail()
    event = call("cloudtrail", "DeleteTrail", {"name": "audit"})
    return Incident(ID, event, TRAIL, delete, lambda: bool(found()), outcome="escalated")


@incident(ID, "DeleteTrail--bucket-too")
def deleted_with_bucket() -> Incident:
    def spoil() -> None:
        delete()
        boto3.client("s3").delete_bucket(Bucket="audit-logs")

    return build(call("cloudtrail", "DeleteTrail", {"name": "audit"}), spoil, outcome="escalated")


@incident(ID, "UpdateTrail")
def one_region() -> Incident:
    changes = {"isMultiRegionTrail": False, "includeGlobalServiceEvents": False, "enableLogFileValidation": False}
    event = call("cloudtrail", "UpdateTrail", {"name": "audit"} | changes, responseElements={"trailARN": TRAIL})
    return build(event, lambda: update(**{name[0].upper() + name[1:]: value for name, value in changes.items()}))


@incident(ID, "UpdateTrail--bucket-and-key")
def elsewhere() -> Incident:
    bucket("mallory-logs")
    request = {"name": TRAIL, "s3BucketName": "mallory-logs", "s3KeyPrefix": "", "kmsKeyId": ""}
    return build(
        call("cloudtrail", "UpdateTrail", request, responseElements={"trailARN": TRAIL}),
        lambda: update(S3BucketName="mallory-logs", S3KeyPrefix="", KmsKeyId=""),
        shared={"baseline_principals": [TERRAFORM]},
    )


@incident(ID, "PutEventSelectors")
def blinded() -> Incident:
    blank = {"readWriteType": "ReadOnly", "includeManagementEvents": False, "excludeManagementEventSources": []}
    resources = [{"type": "AWS::S3::Object", "values": []}, {"type": "AWS::Lambda::Function", "values": []}]
    request = {"trailName": "audit", "eventSelectors": [blank | {"dataResources": resources}]}
    event = call("cloudtrail", "PutEventSelectors", request, responseElements={"trailARN": TRAIL})
    return build(event, lambda: select({"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False}))


@incident(ID, "PutEventSelectors--no-kms")
def no_kms() -> Incident:
    """Nobody saw the trail before: it then gets all management events and keeps its data events."""
    trail()
    narrow = EVERYTHING | {"ExcludeManagementEventSources": ["kms.amazonaws.com"]}
    request = {"trailName": TRAIL, "eventSelectors": [{"excludeManagementEventSources": ["kms.amazonaws.com"]}]}
    event = call("cloudtrail", "PutEventSelectors", request)
    return Incident(ID, event, TRAIL, lambda: select(narrow), lambda: found()["selectors"] == [EVERYTHING])


@incident(ID, "PutEventSelectors--advanced")
def advanced() -> Incident:
    management = {"Field": "eventCategory", "Equals": ["Management"]}
    fields: list[Any] = [management, {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]}]

    def spoil() -> None:
        boto3.client("cloudtrail").put_event_selectors(
            TrailName="audit", AdvancedEventSelectors=[{"Name": "Management events selector", "FieldSelectors": fields}]
        )

    said = [{"field": "eventSource", "notEquals": ["kms.amazonaws.com"]}]
    request = {"trailName": TRAIL, "advancedEventSelectors": [{"fieldSelectors": said}]}
    return build(call("cloudtrail", "PutEventSelectors", request, actor=MALLORY), spoil)
