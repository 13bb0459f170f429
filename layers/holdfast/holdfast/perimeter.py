"""What there is to know of a bucket before its policy is written: who calls it and how, and what S3 would refuse."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from holdfast.aws import Aws, error_code, unless
from holdfast.delivery import LOAD_BALANCERS, SERVICES
from holdfast.event import Arn, Place, listed, mapping
from holdfast.policy import Document, Request, Statement, are_narrow, denial, dump, load, network, public_grants

LIMIT = 20 * 1024  # bytes of a policy: S3 API, PutBucketPolicy
INTERNET = "cloudfront.amazonaws.com"
DENIED = ("AccessDenied", "AllAccessDisabled", "MethodNotAllowed")


def request(bucket: Arn, who: str, principal: str, action: str, **context: str) -> Request:
    """A call over TLS, as an ordinary caller outside every VPC makes it, with what `context` changes."""
    ordinary: dict[str, str | None] = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}
    ordinary |= {"aws:principalisawsservice": "false", "aws:viaawsservice": "false"}
    ordinary |= {"aws:sourcevpc": None, "aws:sourcevpce": None, "aws:vpceorgid": None}
    ordinary["aws:principalservicename"] = principal if ".amazonaws.com" in principal else None
    if principal.startswith("arn:"):
        ordinary |= {"aws:principalarn": principal, "aws:principalaccount": principal.split(":")[4]}
    on_object = action.endswith(("Object", "ObjectVersion"))
    resource = f"{bucket}/data/part-0" if on_object else str(bucket)
    return Request(who, principal, action, resource, ordinary | {f"aws:{key}": value for key, value in context.items()})


def strangers(
    here: Place,
    organization: str | None,
    distributions: Sequence[str],
    deliverers: Iterable[str],
    insiders: Mapping[str, list[str]],
) -> dict[str, dict[str, Any]]:
    """By Sid, the condition that holds for services which act for others than the organisation.

    The perimeter lets services through, for whomever they act: IAM user guide, "Forward access sessions" and "The
    confused deputy problem". CloudFront acts for the internet, whosever its distribution is. Without an organisation
    nobody knows which other accounts are the company's.
    """
    internet: dict[str, Any] = {"StringEquals": {"aws:PrincipalServiceName": INTERNET}}
    if distributions:
        internet["ArnNotEqualsIfExists"] = {"aws:SourceArn": list(distributions)}
    if not organization:
        return {"HoldfastCloudFront": internet}
    return {
        "HoldfastCloudFront": internet,
        "HoldfastForwarded": {
            "Bool": {"aws:ViaAWSService": "true"},
            "StringNotEqualsIfExists": {"aws:PrincipalAccount": [here.account], "aws:PrincipalOrgID": [organization]},
            "ArnNotLikeIfExists": insiders,
        },
        "HoldfastServices": {
            "Bool": {"aws:PrincipalIsAWSService": "true"},
            "Null": {"aws:SourceAccount": "false"},
            "StringNotEqualsIfExists": {
                "aws:SourceAccount": [here.account, *deliverers],
                "aws:SourceOrgID": [organization],
            },
        },
    }


def services(
    bucket: Arn, here: Place, caller: str, organization: str | None, distributions: Iterable[str]
) -> Iterator[Request]:
    """What services of AWS's must still be able to do, also for a caller of this account.

    A distribution that the settings name is taken for one of the organisation, which only AWS can tell.
    """
    as_one = {"principalisawsservice": "true"}
    for service in SERVICES:
        yield request(bucket, service, service, "s3:PutObject", **as_one, sourceaccount=here.account)
    for distribution in distributions:
        source = as_one | {"sourcearn": distribution, "sourceaccount": Arn(distribution).account}
        source |= {"sourceorgid": organization} if organization else {}
        yield request(bucket, distribution, INTERNET, "s3:GetObject", **source)
    yield request(bucket, "Athena and others on a caller's behalf", caller, "s3:GetObject", viaawsservice="true")


def locked_out(requests: Iterable[Request], before: Document, after: Document) -> list[str]:
    """Who surely got in before must surely get in after; where that was unsure, the new policy is not to blame."""
    was, will = denial(before), denial(after)
    worse = {(False, None), (False, True), (None, True)}
    return sorted({each.who for each in requests if (was(each), will(each)) in worse})


def cut_off(bucket: Arn, before: Document, after: Document) -> str:
    """What is told of those whom the owner lets replicate or deliver logs into the bucket, but not the new policy.

    They work in no VPC, under a role or, for load balancers, as an account of AWS's. They are no reason not to write:
    an attacker may have put them there.
    """
    out = locked_out(_deliverers(bucket, before), before, after)
    return (
        f"The fix keeps {', '.join(out)} from delivering: if that is not meant, the settings must name it."
        if out
        else ""
    )


def _deliverers(bucket: Arn, policy: Document) -> Iterator[Request]:
    for grant in policy["Statement"]:
        named = listed(mapping(grant.get("Principal")).get("AWS")) if grant.get("Effect") == "Allow" else ()
        replicates = any(str(action).lower().startswith("s3:replicate") for action in listed(grant.get("Action")))
        for who in map(str, named):
            arn = f"arn:{bucket.partition}:iam::{who}:root" if who.isdecimal() else who
            if replicates or LOAD_BALANCERS.intersection(arn.split(":")):
                yield request(bucket, who, arn, "s3:ReplicateObject" if replicates else "s3:PutObject")


class Unreadable(ValueError):
    """What must be known of a bucket can't be; its arguments say what, and what to do. A `read` takes it."""


def policy_of(bucket: Arn, aws: Aws) -> Document | None:
    """None where there is none. Raises Unreadable also for one that can't be told for sure."""
    what = f"the policy of {bucket.name} can't be read by Holdfast"
    try:
        answer = unless("NoSuchBucketPolicy", aws.client("s3").get_bucket_policy, Bucket=bucket.name)
        return load(answer["Policy"]) if answer else None
    except ClientError as error:
        raise _unreadable(what, way_out(bucket, aws.here), error) from error
    except ValueError as error:
        why = str(error).encode("ascii", "backslashreplace").decode()[:500]
        raise Unreadable(
            what, f"Put it right, or delete it: AWS could read it in another way than we do. {why}"
        ) from error


def replication_role(bucket: Arn, aws: Aws) -> str:
    """Whose role replicates the bucket, while a rule is enabled. Raises Unreadable.

    Only a literal role of our own account: to exempt it must not be a way for others, or for a pattern.
    """
    ask = aws.client("s3").get_bucket_replication
    try:
        answer = unless("ReplicationConfigurationNotFoundError", ask, Bucket=bucket.name)
    except ClientError as error:
        what = f"the replication of {bucket.name} can't be read by Holdfast"
        todo = (
            "Its role must still get in, so nothing is written until Holdfast may call s3:GetReplicationConfiguration."
        )
        raise _unreadable(what, todo, error) from error
    found: Mapping[str, Any] = answer["ReplicationConfiguration"] if answer else {"Rules": []}
    role = found["Role"] if any(rule["Status"] == "Enabled" for rule in found["Rules"]) else ""
    return role if re.fullmatch(rf"arn:[\w-]+:iam::{aws.here.account}:role/[\w+=,.@/-]+", role) else ""


def _unreadable(what: str, todo: str, error: ClientError) -> Exception:
    return Unreadable(what, f"{todo} (AWS said: {error})") if error_code(error) in DENIED else error


def newcomer(role: str, insiders: Iterable[str], ours: Iterable[Statement]) -> str:
    """What is told of a replication's role when our statements let it in for the first time.

    Whoever may put a replication chooses the role, and nobody hears of it before the policy is looked at.
    """
    if not role or list(insiders).count(role) > 1 or any(json.dumps(role) in dump(dict(each)) for each in ours):
        return ""
    return f"The fix lets {role} in from everywhere, since the bucket replicates under it: see that this is meant."


def excess(networks: Sequence[str]) -> str:
    """What is wrong with networks that are let in. Of IPv6 a provider's whole allocation is not yet too much."""
    if wrong := [each for each in networks if not network(each)]:
        return f"{', '.join(wrong)}: no address, and no network"
    return "" if are_narrow(networks, 16) else "as good as everything: in all, more than a /8, or a /16 of IPv6"


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


def way_out(bucket: Arn, here: Place) -> str:
    """S3 API, PutBucketPolicy: the account's root user may always; IAM user guide, "Perform a privileged task"."""
    return (
        "It denies Holdfast's role (or the bucket is another account's by now). Whoever else may change it takes that "
        "out. The account's root user always may: "
        f"aws s3api delete-bucket-policy --bucket {bucket.name}; or, from the organisation's management account, "
        f"the same in the session of: aws sts assume-root --target-principal {here.account} "
        f"--task-policy-arn arn=arn:{here.partition}:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    )
