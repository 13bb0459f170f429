"""What there is to know of a bucket before its policy is written: who calls it and how, and what S3 would refuse."""

import re
from collections.abc import Iterable

from holdfast.aws import Aws, unless
from holdfast.event import Arn
from holdfast.policy import Document, Request, denial, public_grants

LIMIT = 20 * 1024  # bytes of a policy: S3 API, PutBucketPolicy
LOG_DELIVERY = ("cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com", "logging.s3.amazonaws.com")


def request(bucket: Arn, who: str, principal: str, action: str, **context: str) -> Request:
    """A call over TLS, as an ordinary caller outside every VPC makes it, with what `context` changes."""
    ordinary: dict[str, str | None] = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}
    ordinary |= {"aws:principalisawsservice": "false", "aws:viaawsservice": "false"}
    ordinary |= {"aws:sourcevpc": None, "aws:sourcevpce": None, "aws:vpceorgid": None}
    if principal.startswith("arn:"):
        ordinary |= {"aws:principalarn": principal, "aws:principalaccount": principal.split(":")[4]}
    on_object = action.endswith(("Object", "ObjectVersion"))
    resource = f"{bucket}/data/part-0" if on_object else str(bucket)
    return Request(who, principal, action, resource, ordinary | {f"aws:{key}": value for key, value in context.items()})


def locked_out(requests: Iterable[Request], before: Document, after: Document) -> list[str]:
    """Who surely got in before must surely get in after; where that was unsure, the new policy is not to blame."""
    was, will = denial(before), denial(after)
    worse = {(False, None), (False, True), (None, True)}
    return sorted({each.who for each in requests if (was(each), will(each)) in worse})


def replication_role(bucket: str, aws: Aws) -> str:
    """Only a literal role of our own account: to exempt it must not be a way for others, or for a pattern."""
    ask = aws.client("s3").get_bucket_replication
    answer = unless("ReplicationConfigurationNotFoundError", ask, Bucket=bucket)
    role = answer["ReplicationConfiguration"]["Role"] if answer else ""
    return role if re.fullmatch(rf"arn:[\w-]+:iam::{aws.here.account}:role/[\w+=,.@/-]+", role) else ""


def is_website(bucket: str, aws: Aws) -> bool:
    """False also where that may not be read: a denied question must not keep a policy broken."""
    ask = aws.client("s3").get_bucket_website
    return unless("NoSuchWebsiteConfiguration AccessDenied", ask, Bucket=bucket) is not None


def blocks_public(bucket: str, aws: Aws) -> bool:
    """False also where that may not be read: S3 itself will tell."""
    ask = aws.client("s3").get_public_access_block
    answer = unless("NoSuchPublicAccessBlockConfiguration AccessDenied", ask, Bucket=bucket)
    return bool(answer and answer["PublicAccessBlockConfiguration"].get("BlockPublicPolicy"))


def doubts(policy: Document) -> str:
    """Which statements may be why S3 refuses the policy as public. Only S3 knows: it is asked all the same.

    Else a statement that merely looks public would keep us from ever writing again.
    """
    named = ", ".join(str(grant.get("Sid", "one without Sid")) for grant in public_grants(policy))[:200]
    return f"; S3, which blocks public policies here, may take it for one ({named})" if named else ""


def unlock(bucket: str) -> str:
    """S3 API, PutBucketPolicy: the account's root user may always; IAM user guide, "Perform a privileged task"."""
    return (
        f"Only the account's root user can change it: aws s3api delete-bucket-policy --bucket {bucket}; or, from the "
        "organisation's management account, the same in a session of: aws sts assume-root --target-principal ACCOUNT "
        "--task-policy-arn arn=arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy."
    )
