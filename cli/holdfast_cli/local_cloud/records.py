"""The CloudTrail record of one API call, from what crossed the wire."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .shapes import error, request_parameters, response_elements
from .wire import Exchange, Operation, Scope

_S3_NAMES = {
    "DeletePublicAccessBlock": "DeleteBucketPublicAccessBlock",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketLifecycleConfiguration": "PutBucketLifecycle",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
_LAMBDA_V2 = re.compile(r"UpdateFunction|AddPermission|RemovePermission|TagResource|UntagResource")
_LAMBDA_LAST_DATED = "2018-10-31"
# These answer nothing in the API; since 2024 CloudTrail has the key's ARN there.
_KMS_ANSWERS_KEY = {"DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation"}


@dataclass(frozen=True)
class Caller:
    """Who made a call: the ARN, the unique id, and for a role's session the role's own ARN, id and start."""

    account: str
    arn: str
    principal_id: str
    key: str
    role_arn: str = ""
    role_id: str = ""
    since: float = 0.0


def record(exchange: Exchange, operation: Operation, scope: Scope, caller: Caller) -> dict[str, Any]:
    """The record, as CloudTrail 1.11 writes it."""
    requested = request_parameters(exchange, operation, scope.region, caller.account)
    answered = response_elements(exchange, operation)
    key = _kms_key(operation, scope, caller, requested, answered)
    if key and operation.name in _KMS_ANSWERS_KEY and not exchange.failed:
        answered = {"keyId": key}
    failure = _failure(exchange, operation) if exchange.failed else {}
    return {
        "eventVersion": "1.11",
        "userIdentity": _identity(caller),
        "eventTime": _utc(time.time()),
        "eventSource": f"{operation.service}.amazonaws.com",
        "eventName": event_name(operation),
        "awsRegion": scope.region,
        "sourceIPAddress": exchange.client,
        "userAgent": exchange.headers.get("user-agent", ""),
        **failure,
        "requestParameters": None if _forgets_request(operation, failure) else requested,
        "responseElements": answered,
        "requestID": exchange.answer_headers.get("x-amzn-requestid", str(uuid.uuid4())),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        **_resources(operation, caller, requested, key, failure),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": caller.account,
        "eventCategory": "Management",
    }


def event_name(operation: Operation) -> str:
    """CloudTrail's name: the API's, but for S3 and for the older part of Lambda (`DeleteFunction20150331`)."""
    name, service = operation.name, operation.model.service_model.service_name
    if service == "s3control":
        return name.replace("PublicAccessBlock", "AccountPublicAccessBlock")
    if service == "lambda":
        version = operation.model.http["requestUri"].split("/")[1]
        suffix = version.replace("-", "") + ("v2" if _LAMBDA_V2.match(name) else "")
        return name + suffix if version <= _LAMBDA_LAST_DATED else name
    return _S3_NAMES.get(name, name) if service == "s3" else name


def _identity(caller: Caller) -> dict[str, Any]:
    known = {"principalId": caller.principal_id, "arn": caller.arn, "accountId": caller.account}
    signed = {"accessKeyId": caller.key}
    name = caller.arn.rpartition("/")[2]
    if caller.role_arn:
        return {"type": "AssumedRole", **known, **signed, "sessionContext": _session(caller)}
    if ":user/" in caller.arn:
        return {"type": "IAMUser", **known, **signed, "userName": name}
    return {"type": "Root", **known, **signed}


def _session(caller: Caller) -> dict[str, Any]:
    issuer = {
        "type": "Role",
        "principalId": caller.role_id,
        "arn": caller.role_arn,
        "accountId": caller.account,
        "userName": caller.role_arn.rpartition("/")[2],
    }
    return {"sessionIssuer": issuer, "attributes": {"creationDate": _utc(caller.since), "mfaAuthenticated": "false"}}


def _failure(exchange: Exchange, operation: Operation) -> dict[str, str]:
    code, message = error(exchange, operation)
    code = "AccessDenied" if code == "AccessDeniedException" else code
    prefix = "Client." if operation.service == "ec2" else ""
    return {"errorCode": prefix + code, "errorMessage": message}


def _forgets_request(operation: Operation, failure: Mapping[str, str]) -> bool:
    """A denied call's parameters are null, but EC2 and S3 keep them; KMS forgets them too for an unknown key."""
    if operation.service in ("ec2", "s3"):
        return False
    code = failure.get("errorCode")
    return code == "AccessDenied" or (operation.service == "kms" and code == "NotFoundException")


def _kms_key(operation: Operation, scope: Scope, caller: Caller, requested: Any, answered: Any) -> str | None:
    """The ARN of the key a KMS call is about; callers name it by id or ARN, CloudTrail by ARN."""
    if operation.service != "kms":
        return None
    created = (answered or {}).get("keyMetadata", {}).get("arn")
    named = created or (requested or {}).get("keyId") or (requested or {}).get("targetKeyId")
    if not named or "alias/" in named:
        return None
    return str(named) if named.startswith("arn:") else f"arn:aws:kms:{scope.region}:{caller.account}:key/{named}"


def _resources(
    operation: Operation, caller: Caller, requested: Any, key: str | None, failure: Mapping[str, str]
) -> dict[str, list[dict[str, str]]]:
    """The `resources` of a record: keys, and buckets but for their creation; none for a failed call."""
    bucket = requested.get("bucketName") if operation.service == "s3" else None
    if failure or operation.name == "CreateBucket" or not (key or bucket):
        return {}
    arn, kind = (key, "AWS::KMS::Key") if key else (f"arn:aws:s3:::{bucket}", "AWS::S3::Bucket")
    return {"resources": [{"accountId": caller.account, "type": kind, "ARN": str(arn)}]}


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
