"""Data buckets answer only to the company's VPCs, and every bucket only over TLS.

Why: a bucket policy is one call away from handing a data lake to another network or account, and stolen credentials
work from everywhere unless the bucket asks where a request comes from.

Restored: our statements (in data buckets `HoldfastVpcOnly` and `HoldfastCloudFront`, and with `organization_id`
`HoldfastForwarded` and `HoldfastServices`; `HoldfastTls`, `HoldfastTlsVersion`) are merged into the owner's policy by
Sid; all other statements stay. Whether one is missing or means less is judged by what it denies, not by its text.
Nothing is written unless an offline evaluation has shown that all who got in and must get in still do: Holdfast,
break-glass, log delivery, queries through Athena, the listed service roles, the bucket's replication role, each allowed
VPC, and an administrator who changes the policy.

Can't: repair a policy that denies Holdfast's own role, that would outgrow 20 KB, or that S3 refuses because it is
public while BlockPublicPolicy is on, or names a principal that is gone; give a bucket that is a website TLS; know
whether a bucket is meant to replicate: the role of an enabled rule gets in from everywhere, and that is told; let in
whoever replicates into a data bucket or delivers a load balancer's logs, unless the settings name it (told where the
policy does); shut out AWS's services (Athena, for one) where they act for other accounts and a policy lets them in,
without `organization_id`; keep a bucket's administrators from a lifecycle that deletes; guard directory buckets.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Annotated, Any, Literal

from holdfast import (
    NO_BUCKET,
    ApiCall,
    Arn,
    Aws,
    BucketPattern,
    Case,
    Event,
    Guardrail,
    Lacking,
    Misshapen,
    PrincipalArn,
    Value,
    Violation,
    buckets,
)
from holdfast.perimeter import (
    LIMIT,
    Unreadable,
    blocks_public,
    cut_off,
    doubts,
    excess,
    is_website,
    locked_out,
    newcomer,
    policy_of,
    replication_role,
    request,
    services,
    strangers,
    way_out,
)
from holdfast.policy import Document, Request, Statement, covers, denial, dump, merge

VPC, TLS, TLS_VERSION = "HoldfastVpcOnly", "HoldfastTls", "HoldfastTlsVersion"
ADMINISTRATION = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")  # ours: the first two
DATA = (
    "s3:GetObject*",
    "s3:PutObject*",
    "s3:DeleteObject*",
    "s3:ListBucket*",
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "s3:RestoreObject",
    "s3:UpdateObjectEncryption",
    "s3:Replicate*",
)


class Settings(Value):
    """Who may reach the data `buckets` (name patterns).

    Requests from `vpc_ids` of this Region or from any VPC of `organization_id` (one of the two is required), from
    `allowed_source_ips` (in all no more than a /8, or a /16 of IPv6), by `service_role_arns` (Glue, EMR, Redshift and
    the like work outside the VPCs, under roles), by load balancers of `log_delivery_accounts`, and by
    `cloudfront_distributions` (of the organisation, if one is set), which hand out to the internet what they may read.
    What is refused to others are `deny_actions`, never the administration of the policy itself. `tls_buckets` (name
    patterns) answer only to `minimum_tls` or better.
    """

    buckets: tuple[BucketPattern, ...]
    vpc_ids: tuple[Annotated[str, r"vpc-[0-9a-f]{8,17}"], ...] = ()
    organization_id: Annotated[str, r"o-[a-z0-9]{10,32}"] | None = None
    service_role_arns: tuple[PrincipalArn, ...] = ()
    log_delivery_accounts: tuple[Annotated[str, r"\d{12}"], ...] = ()
    cloudfront_distributions: tuple[Annotated[str, r"arn:aws[\w-]*:cloudfront::\d{12}:distribution/\w+"], ...] = ()
    allowed_source_ips: tuple[Annotated[str, r"[0-9a-fA-F.:]+(/\d{1,3})?"], ...] = ()
    deny_actions: tuple[Annotated[str, r"s3:[A-Za-z*?]+"], ...] = DATA
    tls_buckets: tuple[BucketPattern, ...] = ("*",)
    minimum_tls: Literal["1.2", "1.3"] = "1.2"

    def __post_init__(self) -> None:
        if not (self.vpc_ids or self.organization_id):
            raise Lacking("required: vpc_ids or organization_id")
        if not self.buckets:
            raise Lacking("required: buckets")
        if why := excess(self.allowed_source_ips):
            raise Misshapen(f"allowed_source_ips: {why}")
        if not self.deny_actions:
            raise Misshapen("deny_actions: none")
        for pattern in self.deny_actions:
            if any(fnmatchcase(action.lower(), pattern.lower()) for action in ADMINISTRATION):
                raise Misshapen(f"deny_actions: {pattern} would keep administrators from repairing the policy")


class Bucket(Value):
    """`policy` is None where there is none; `unreadable` says what can't be read, and what to do.

    The last two are read only where something is to be written: whether the bucket is a website, and whether
    BlockPublicPolicy is on.
    """

    name: str
    policy: dict[str, Any] | None = None
    replication_role: str = ""
    unreadable: tuple[str, ...] = ()
    website: bool = False
    blocks_public: bool = False


Known = Case[Bucket, Settings]


def targets(event: Event) -> Iterable[Arn]:
    return [event.bucket()]


def read(case: Known, aws: Aws) -> Bucket:
    target, name = case.target, case.target.name
    try:
        policy = policy_of(target, aws)
        bucket = Bucket(name, policy, replication_role(target, aws) if is_data(name, case.settings) else "")
    except Unreadable as error:
        return Bucket(name, unreadable=error.args)
    if not faults(bucket, case):
        return bucket
    return replace(bucket, website=is_website(name, aws), blocks_public=blocks_public(name, aws))


def is_data(name: str, settings: Settings) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in settings.buckets)


def evaluate(bucket: Bucket, case: Known) -> Violation | None:
    if bucket.unreadable:
        what, todo = bucket.unreadable
        return Violation(what, todo=todo) if required(bucket, case) else None
    wrong = faults(bucket, case)
    if not wrong and is_shut_to_us(standing(bucket), case):
        return Violation(f"the policy of {bucket.name} denies Holdfast's role", todo=way_out(case.target, case.here))
    if not wrong:
        return None
    what = f"the policy of {bucket.name} {', '.join(wrong.values())}"
    ours = [statement for statement in required(bucket, case) if not (bucket.website and is_tls(statement))]
    if not {statement["Sid"] for statement in ours} & wrong.keys():
        return Violation(what, todo="A website's endpoint has no TLS: put CloudFront before it, or set tls_buckets.")
    merged = merge(standing(bucket), ours)
    what += doubts(merged) if bucket.blocks_public else ""
    if why := hopeless(bucket, merged, case):
        return Violation(what, todo=why)
    name = {"Bucket": bucket.name}
    mine = (each for each in standing(bucket)["Statement"] if each.get("Sid") == VPC)
    news = newcomer(bucket.replication_role, insiders(bucket, case), mine)
    before = ApiCall("s3", "put_bucket_policy", name | {"Policy": dump(bucket.policy)}) if bucket.policy else None
    return Violation(
        what,
        fix=(ApiCall("s3", "put_bucket_policy", name | {"Policy": dump(merged)}),),
        undo=(before or ApiCall("s3", "delete_bucket_policy", name),),
        todo=" ".join(filter(None, (news, cut_off(case.target, standing(bucket), merged)))),
    )


def standing(bucket: Bucket) -> Document:
    return bucket.policy or {"Version": "2012-10-17", "Statement": []}


def is_tls(statement: Statement) -> bool:
    return statement["Sid"] in (TLS, TLS_VERSION)


def faults(bucket: Bucket, case: Known) -> dict[str, str]:
    """By Sid, what of ours is missing or means less; or bears our Sid and denies more than the settings say."""
    found, wrong = standing(bucket)["Statement"], {}
    for statement in required(bucket, case):
        sid = statement["Sid"]
        ours = [each for each in found if each.get("Sid") == sid]
        if not covers(found, statement):
            wrong[sid] = f"{'weakens' if ours else 'lacks'} {sid}"
        elif any(each.get("Effect") != "Deny" or not covers([statement], each) for each in ours):
            wrong[sid] = f"says something else than the settings in {sid}"
    return wrong


def required(bucket: Bucket, case: Known) -> list[Statement]:
    settings = case.settings
    wanted = []
    if is_data(bucket.name, settings):
        inside = {"aws:PrincipalArn": list(dict.fromkeys(insiders(bucket, case)))}
        tests = {VPC: outside(settings) | {"ArnNotLikeIfExists": inside}}
        known = (settings.organization_id, settings.cloudfront_distributions, settings.log_delivery_accounts)
        tests |= strangers(case.here, *known, inside)
        wanted += [deny(case, sid, list(settings.deny_actions), test) for sid, test in tests.items()]
    if any(fnmatchcase(bucket.name, pattern) for pattern in settings.tls_buckets):
        wanted.append(deny(case, TLS, ["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}))
        wanted.append(deny(case, TLS_VERSION, ["s3:*"], {"NumericLessThan": {"s3:TlsVersion": settings.minimum_tls}}))
    return wanted


def deny(case: Known, sid: str, actions: list[str], condition: dict[str, Any]) -> Statement:
    arn = str(case.target)
    where = {"Action": actions, "Resource": [arn, f"{arn}/*"], "Condition": condition}
    return {"Sid": sid, "Effect": "Deny", "Principal": "*"} | where


def outside(settings: Settings) -> dict[str, Any]:
    """The condition that holds for whoever is in no VPC of ours, but for those who must get in all the same."""
    strings = {
        "aws:SourceVpc": list(settings.vpc_ids),
        "aws:VpceOrgID": [settings.organization_id] if settings.organization_id else [],
        "aws:PrincipalAccount": list(settings.log_delivery_accounts),
    }
    addresses = {"aws:SourceIp": list(settings.allowed_source_ips)}
    tests = {
        "StringNotEqualsIfExists": {key: values for key, values in strings.items() if values},
        "NotIpAddressIfExists": addresses if settings.allowed_source_ips else {},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"},
    }
    return {operator: keys for operator, keys in tests.items() if keys}


def insiders(bucket: Bucket, case: Known) -> Iterator[str]:
    """Roles and users who get in from everywhere: IAM user guide, "aws:PrincipalArn" (of a session, its role)."""
    here = case.here
    yield from (role for role in (here.role, bucket.replication_role) if role)
    yield from (*case.shared.break_glass_arns, *case.settings.service_role_arns)
    yield f"arn:{here.partition}:iam::{here.account}:role/aws-service-role/*"


def hopeless(bucket: Bucket, merged: Document, case: Known) -> str:
    """Why the merged policy is not written; empty if it can be."""
    if is_shut_to_us(merged, case):
        return way_out(case.target, case.here)
    if (size := len(dump(merged).encode())) > LIMIT:
        return f"With our statements it would have {size} bytes, more than S3's {LIMIT}: shorten it."
    if shut := locked_out(protected(bucket, case), standing(bucket), merged):
        return f"It would lock out {', '.join(shut)}, so nothing was written: change the policy or the settings."
    return ""


def is_shut_to_us(policy: Document, case: Known) -> bool:
    """Only if it is sure: else one statement that can't be judged would disarm us, and S3 has the last word anyway."""
    role, denies = case.here.role, denial(policy)
    return any(denies(request(case.target, role, role, action)) for action in ADMINISTRATION[:2] if role)


def protected(bucket: Bucket, case: Known) -> Iterator[Request]:
    """All who must still get in after a write of ours."""
    here, settings, call = case.here, case.settings, partial(request, case.target)
    admin = f"arn:{here.partition}:iam::{here.account}:role/administrator"
    yield from (call("the policy's administrators", admin, action) for action in ADMINISTRATION)
    for arn in insiders(bucket, case):
        yield call(arn, arn.replace("*", "somebody").replace("?", "x"), "s3:GetObject")
    somebody = f"arn:{here.partition}:iam::{here.account}:role/somebody"
    yield from services(case.target, here, somebody, settings.organization_id, settings.cloudfront_distributions)
    for vpc in settings.vpc_ids:
        yield from (call(vpc, somebody, f"s3:{verb}Object", sourcevpc=vpc) for verb in ("Get", "Put"))
    for network in settings.allowed_source_ips:
        yield call(network, somebody, "s3:GetObject", sourceip=network.partition("/")[0])
    if settings.organization_id:
        yield call(settings.organization_id, somebody, "s3:GetObject", vpceorgid=settings.organization_id)


handler = Guardrail(
    severity="critical",
    services=("s3",),
    covers=(r"arn:{partition}:s3:::[\w.-]+",),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    inventory=buckets,
    missing=NO_BUCKET,
    stuck={
        "AccessDenied": "S3 refused the merged policy: it is public, which is blocked; or the old one denies Holdfast "
        "(then as root: aws s3api delete-bucket-policy, or aws sts assume-root with S3UnlockBucketPolicy).",
        "MalformedPolicy": "S3 refused the merged policy: a statement of the owner's may name somebody who is gone.",
    },
)
