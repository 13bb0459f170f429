"""Every new object in every bucket is encrypted with the algorithm and key that the account chose.

Why: since 2023 every bucket has some encryption, so "is encrypted" always passes. What goes wrong is the algorithm, the
key (a foreign one makes the data somebody else's to read or to lose), and the bucket key, without which many small
files throttle KMS: the classic outage of a data lake.

Restored: algorithm, key and bucket key, and with `block_sse_c` the refusal of customer-provided keys (SSE-C). Only what
is wrong is changed: an accepted key and a stronger algorithm stay, and what S3 answers for blocked encryption types is
carried back. A key may be named by the ARN of an alias, and is the one to which that leads at each look; by a bare id
or alias it means another to each account that writes, and is refused. Where a key is refused and the settings name
none, even if they ask for SSE-S3 only, S3's AWS-managed key takes its place, so that KMS still records every use.
Buckets that take a load balancer's or Redshift's logs, and `sse_s3_buckets`, need no more than SSE-S3, and go back to
it from a refused key, since those logs would be lost under KMS; so do those that take CloudWatch's logs (flow logs, for
one) where there is no `key_arn`.

Can't: put a bucket under a key of the settings that is missing, in another Region, closed to Holdfast, or off for more
than ten minutes (S3 would accept it, and every later upload might fail); see, before the next sweep, that an alias was
led to another key; see who delivers logs in a policy that Holdfast may not read; keep whoever may write that policy
from SSE-S3; know that a bucket will take logs before its policy says so; change a directory bucket, whose key is chosen
once for its life. The AWS-managed key is not for buckets that other accounts use (S3 user guide, "Using encryption for
cross-account operations") or that take S3's access logs or CloudFront's legacy ones. `sse_s3_buckets` are for all of
these.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from holdfast import (
    NO_BUCKET,
    SHUT_OUT,
    ApiCall,
    Arn,
    Aws,
    BucketPattern,
    Case,
    Event,
    Guardrail,
    Misshapen,
    Value,
    Violation,
    buckets,
    unless,
)
from holdfast.delivery import SSE_S3_ONLY, VENDED, admits
from holdfast.keys import ENCRYPTS, MISSING, PASSING, look_up

Algorithm = Literal["AES256", "aws:kms", "aws:kms:dsse"]
KeyArn = Annotated[str, r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+"]
STRENGTH = ("AES256", "aws:kms", "aws:kms:dsse")
DIRECTORY = "s3express"
PATIENCE = 600  # seconds: kms-key-deletion brings a key back within seconds, or in five minutes where KMS has it wait
KEEPS_KEY = "A directory bucket keeps its first key: make a new one, move the data, delete this."
ANYBODYS = ", which names no account and means another key to each"
CHOOSE_KEY = "A directory bucket gets its key once, and this one has none: choose it (aws s3api put-bucket-encryption)."


class Settings(Value):
    """`key_arn` goes with the KMS algorithms; without it S3's own AWS-managed key does, or any key of
    this account that is there for encryption.

    `accepted_key_arns` are as good. `sse_s3_buckets` (name patterns) need no more than SSE-S3.
    """

    algorithm: Algorithm = "aws:kms"
    key_arn: KeyArn | None = None
    accepted_key_arns: tuple[KeyArn, ...] = ()
    bucket_key: bool = True
    block_sse_c: bool = False
    sse_s3_buckets: tuple[BucketPattern, ...] = ()

    def __post_init__(self) -> None:
        if self.algorithm == "AES256" and self.key_arn:
            raise Misshapen("key_arn goes with aws:kms or aws:kms:dsse, not with AES256")


class Bucket(Value):
    """`key` is empty for S3's own. `takes_logs` and `key_fault` are read only where the rule is not as wanted.

    `takes_logs`: its policy admits a delivery of logs that KMS would spoil. `key_fault`: why the key in the settings
    can't be used. `unusable`: the bucket's own key, one of this account, is none that S3 can use. `meant`: the ARN of
    the key to which the alias leads that `key` is.
    """

    name: str
    algorithm: str
    key: str
    bucket_key: bool
    blocked: tuple[str, ...]
    unusable: bool = False
    takes_logs: bool = False
    key_fault: str = ""
    meant: str = ""


def targets(event: Event) -> Iterable[Arn]:
    return [event.bucket()]


def read(case: Case[Bucket, Settings], aws: Aws) -> Bucket:
    s3, name = aws.client("s3"), case.target.name
    answer = unless("ServerSideEncryptionConfigurationNotFoundError", s3.get_bucket_encryption, Bucket=name)
    rule: Any = answer["ServerSideEncryptionConfiguration"]["Rules"][0] if answer else {}
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    bucket = Bucket(
        name,
        default.get("SSEAlgorithm", "AES256"),
        default.get("KMSMasterKeyID", ""),
        rule.get("BucketKeyEnabled", False),
        tuple(rule.get("BlockedEncryptionTypes", {}).get("EncryptionType", ())),
    )
    is_alias = ":alias/" in bucket.key
    if by_account(bucket.key, case) and (is_alias or accepted(bucket, required(bucket, case.settings)[1], case)):
        found = look_up(bucket.key, aws)
        # what state it is in is for kms-key-deletion to mend
        unusable = found.state == MISSING or found.spec != ENCRYPTS
        bucket = replace(bucket, unusable=unusable, meant=found.arn if is_alias else "")
    if not any(faults(bucket, case)) or case.target.service == DIRECTORY:
        return bucket
    policy = unless("NoSuchBucketPolicy AccessDenied", s3.get_bucket_policy, Bucket=name)
    takers = SSE_S3_ONLY if case.settings.key_arn else SSE_S3_ONLY | VENDED
    takes_logs = policy is not None and admits(takers, policy["Policy"], case.target)
    return replace(bucket, takes_logs=takes_logs, key_fault=key_fault(case, aws))


def key_fault(case: Case[Bucket, Settings], aws: Aws) -> str:
    """Why S3 could not use the key of the settings, which it doesn't check itself (S3 API, PutBucketEncryption)."""
    arn = case.settings.key_arn
    if arn is None:
        return ""
    if Arn(arn).region != case.here.region:
        return f"in {Arn(arn).region}, not in {case.here.region}"
    return look_up(arn, aws).fault


def evaluate(bucket: Bucket, case: Case[Bucket, Settings]) -> Violation | None:
    wrong = list(faults(bucket, case))
    if not wrong:
        return None
    what = f"default encryption of {bucket.name} falls short: {'; '.join(wrong)}"
    if case.target.service == DIRECTORY:
        keyless = bucket.algorithm == "AES256"
        return Violation(what, todo=CHOOSE_KEY if keyless else KEEPS_KEY)
    goal = mended(bucket, case)
    if bucket.key_fault and goal.key not in ("", bucket.key):
        todo = f"The key in the settings can't be used ({bucket.key_fault}): correct {goal.key}."
        waits = bucket.key_fault in PASSING and case.waited < PATIENCE and case.escalated != what
        return Violation(what, todo=todo, later=60 if waits else 0)
    return Violation(what, fix=(put(goal),), undo=(put(bucket),))


def faults(bucket: Bucket, case: Case[Bucket, Settings]) -> Iterator[str]:
    wanted, (algorithm, key) = case.settings, required(bucket, case.settings)
    if strength(bucket.algorithm) < strength(algorithm):
        yield f"the algorithm is {bucket.algorithm}, not {algorithm}"
    if bucket.algorithm != "AES256" and not accepted(bucket, key, case):
        bare = bucket.key and ":" not in bucket.key
        yield f"the key is {bucket.key or 'the AWS-managed one'}{ANYBODYS if bare else ''}"
    if case.target.service == DIRECTORY:
        return  # it always has a bucket key, and knows no SSE-C (S3 user guide, "Data protection and encryption")
    if bucket.algorithm == "aws:kms" and algorithm != "AES256" and bucket.bucket_key != wanted.bucket_key:
        yield f"the bucket key is {'on' if bucket.bucket_key else 'off'}"
    if wanted.block_sse_c and "SSE-C" not in bucket.blocked:
        yield "customer-provided keys (SSE-C) are allowed"


def mended(bucket: Bucket, case: Case[Bucket, Settings]) -> Bucket:
    """The bucket as the fix leaves it: no weaker than it was, unless it has to be on SSE-S3."""
    settings, (least, key) = case.settings, required(bucket, case.settings)
    algorithm = least
    if accepted(bucket, key, case):
        algorithm, key = max(bucket.algorithm, least, key=strength), bucket.key
    elif not on_sse_s3(bucket, settings):
        known = bucket.algorithm if bucket.algorithm in STRENGTH else "aws:kms"  # another may take no key
        algorithm = max(known, least, key=strength)
    bucket_key = bucket.bucket_key and algorithm == bucket.algorithm
    if algorithm == "aws:kms" and (least != "AES256" or key != bucket.key):
        bucket_key = settings.bucket_key
    blocked = tuple({*bucket.blocked, "SSE-C"} - {"NONE"}) if settings.block_sse_c else bucket.blocked
    return replace(bucket, algorithm=algorithm, key=key, bucket_key=bucket_key, blocked=blocked)


def on_sse_s3(bucket: Bucket, wanted: Settings) -> bool:
    return bucket.takes_logs or is_listed(bucket, wanted)


def is_listed(bucket: Bucket, wanted: Settings) -> bool:
    return any(fnmatchcase(bucket.name, pattern) for pattern in wanted.sse_s3_buckets)


def required(bucket: Bucket, wanted: Settings) -> tuple[str, str]:
    """The least algorithm for this bucket, and the key that goes with it."""
    if on_sse_s3(bucket, wanted):
        return "AES256", ""
    if wanted.algorithm == "aws:kms:dsse" and bucket.name.endswith("--x-s3"):
        return "aws:kms", wanted.key_arn or ""  # directory buckets know no DSSE
    return wanted.algorithm, wanted.key_arn or ""


def strength(algorithm: str) -> int:
    """An algorithm that S3 may invent later is not called weak."""
    return STRENGTH.index(algorithm) if algorithm in STRENGTH else len(STRENGTH)


def accepted(bucket: Bucket, wanted: str, case: Case[Bucket, Settings]) -> bool:
    """A key is judged by what can't resolve to another account's: an id or an alias means whatever the caller has.

    Where none is wanted, those of this account do, among them the AWS-managed one, which S3 leaves out or gives the ARN
    of its alias; nobody can move that (KMS API, CreateAlias). S3 takes any text for a key (S3 API,
    PutBucketEncryption), and then no upload works.
    """
    key, named = bucket.meant or bucket.key, case.settings.key_arn
    if key in (named, *case.settings.accepted_key_arns):
        return True
    if named and key == Arn(named).name:  # an id is looked for in the account of whoever writes
        return Arn(named).account == case.here.account
    managed = ("", case.here.arn("kms", "alias/aws/s3"))
    by_grant = named and not is_listed(bucket, case.settings)  # a grant waives the algorithm, not the key
    return not wanted and (key in managed or (not by_grant and by_account(key, case) and not bucket.unusable))


def by_account(key: str, case: Case[Bucket, Settings]) -> bool:
    """True for the ARN of a key of this account and Region, or of an alias that may lead to one.

    Aliases under `aws/` lead to keys that AWS manages for other services.
    """
    if key in (case.settings.key_arn, *case.settings.accepted_key_arns):
        return False
    here = f"{case.here.partition}:kms:{case.here.region}:{case.here.account}"
    return re.fullmatch(rf"arn:{here}:(key/[\w-]+|alias/(?!aws/)[\w/-]+)", key, re.ASCII) is not None


def put(bucket: Bucket) -> ApiCall:
    default = {"SSEAlgorithm": bucket.algorithm} | ({"KMSMasterKeyID": bucket.key} if bucket.key else {})
    rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket.bucket_key}
    if bucket.blocked:
        rule["BlockedEncryptionTypes"] = {"EncryptionType": sorted(bucket.blocked)}
    parameters = {"Bucket": bucket.name, "ServerSideEncryptionConfiguration": {"Rules": [rule]}}
    return ApiCall("s3", "put_bucket_encryption", parameters)


handler = Guardrail(
    severity="high",
    services=("s3",),
    covers=(r"arn:{partition}:s3:::[\w.-]+", r"arn:{partition}:s3express:{region}:{account}:bucket/[\w.-]+"),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    inventory=buckets,
    missing=NO_BUCKET,
    stuck={"AccessDenied": SHUT_OUT},
)
