"""Every new object in every bucket is encrypted with the algorithm and key that the account chose.

Why: since 2023 every bucket has some encryption, so "is encrypted" always passes. What goes wrong is the algorithm, the
key (a foreign one makes the data somebody else's to read or to lose), and the bucket key, without which many small
files throttle KMS: the classic outage of a data lake.

Restored: algorithm, key and bucket key, and with `block_sse_c` the refusal of customer-provided keys (SSE-C). What S3
answers for blocked encryption types is carried back. Stronger than required is compliant. Buckets that take a load
balancer's logs, and `sse_s3_buckets`, may stay on SSE-S3, since those logs would be lost under KMS.

Can't: use a key from the settings that is missing, disabled or in another Region (S3 would accept it, and every later
upload would fail); change a directory bucket, whose key is chosen once for its life.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from holdfast import (
    ApiCall,
    Arn,
    Aws,
    Case,
    Event,
    Guardrail,
    Misshapen,
    Value,
    Violation,
    buckets,
    listed,
    mapping,
    unless,
)

Algorithm = Literal["AES256", "aws:kms", "aws:kms:dsse"]
KeyArn = Annotated[str, r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+"]
STRENGTH = ("AES256", "aws:kms", "aws:kms:dsse")
DIRECTORY = "s3express"

# Elastic Load Balancing user guide, "Enable access logs": the service, and in older Regions one of its accounts.
BALANCERS = frozenset(
    "logdelivery.elasticloadbalancing.amazonaws.com 127311923021 033677994240 027434742980 797873946194 098369216593 "
    "754344448648 589379963580 718504428378 383597477331 600734575887 114774131450 783225319266 582318560864 "
    "985666609251 054676820928 156460612806 652711504416 635631232127 009996457667 897822967062 076674570225 "
    "507241528517 048591011584 190560391635".split()
)


class Settings(Value):
    """`key_arn` goes with the KMS algorithms; without it S3's own AWS-managed key does, or any key of this account.

    `accepted_key_arns` are as good. `sse_s3_buckets` (name patterns) need no more than SSE-S3.
    """

    algorithm: Algorithm = "aws:kms"
    key_arn: KeyArn | None = None
    accepted_key_arns: tuple[KeyArn, ...] = ()
    bucket_key: bool = True
    block_sse_c: bool = False
    sse_s3_buckets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.algorithm == "AES256" and self.key_arn:
            raise Misshapen("key_arn goes with aws:kms or aws:kms:dsse, not with AES256")


class Bucket(Value):
    """`key` is empty for S3's own. The last two are read only where the rule is not as wanted.

    `balanced`: its policy lets a load balancer deliver logs. `key_fault`: why the key in the settings can't be used.
    """

    name: str
    algorithm: str
    key: str
    bucket_key: bool
    blocked: tuple[str, ...]
    balanced: bool = False
    key_fault: str = ""


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
    if not any(faults(bucket, case)) or case.target.service == DIRECTORY:
        return bucket
    policy = unless("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=name)
    balanced = policy is not None and admits_balancer(policy["Policy"])
    return replace(bucket, balanced=balanced, key_fault=key_fault(case, aws))


def admits_balancer(policy: str) -> bool:
    """True if the policy names a load balancer's log delivery as a principal of an Allow."""
    statements = listed(json.loads(policy).get("Statement"))
    named = (mapping(s.get("Principal")).values() for s in statements if s.get("Effect") == "Allow")
    principals = {part for values in named for value in listed(list(values)) for part in str(value).split(":")}
    return bool(principals & BALANCERS)


def key_fault(case: Case[Bucket, Settings], aws: Aws) -> str:
    """Why S3 could not use the key of the settings, which it doesn't check itself (S3 API, PutBucketEncryption)."""
    arn = case.settings.key_arn
    if arn is None:
        return ""
    if Arn(arn).region != case.here.region:
        return f"in {Arn(arn).region}, not in {case.here.region}"
    key = unless("NotFoundException", aws.client("kms").describe_key, KeyId=arn)
    if key is None:
        return "missing"
    state, spec = key["KeyMetadata"].get("KeyState", ""), key["KeyMetadata"].get("KeySpec", "SYMMETRIC_DEFAULT")
    return "" if (state, spec) == ("Enabled", "SYMMETRIC_DEFAULT") else f"{state}, {spec}"


def evaluate(bucket: Bucket, case: Case[Bucket, Settings]) -> Violation | None:
    wrong = list(faults(bucket, case))
    if not wrong:
        return None
    what = f"default encryption of {bucket.name}: {'; '.join(wrong)}"
    if case.target.service == DIRECTORY:
        return Violation(
            what, todo="A directory bucket keeps its first key: make a new one, move the data, delete this."
        )
    algorithm, key = required(bucket, case.settings)
    if key and bucket.key_fault:
        return Violation(what, todo=f"The key in the settings can't be used ({bucket.key_fault}): correct {key}.")
    blocked = tuple({*bucket.blocked, "SSE-C"} - {"NONE"}) if case.settings.block_sse_c else bucket.blocked
    bucket_key = algorithm == "aws:kms" and case.settings.bucket_key
    return Violation(
        what,
        fix=(put(bucket.name, algorithm, key, bucket_key, blocked),),
        undo=(put(bucket.name, bucket.algorithm, bucket.key, bucket.bucket_key, bucket.blocked),),
    )


def faults(bucket: Bucket, case: Case[Bucket, Settings]) -> Iterator[str]:
    wanted, (algorithm, key) = case.settings, required(bucket, case.settings)
    if strength(bucket.algorithm) < strength(algorithm):
        yield f"the algorithm is {bucket.algorithm}, not {algorithm}"
    if bucket.algorithm != "AES256" and not accepted(bucket.key, key, case):
        yield f"the key is {bucket.key or 'the AWS-managed one'}"
    if bucket.algorithm == "aws:kms" and algorithm != "AES256" and bucket.bucket_key != wanted.bucket_key:
        yield f"the bucket key is {'on' if bucket.bucket_key else 'off'}"
    if wanted.block_sse_c and "SSE-C" not in bucket.blocked:
        yield "customer-provided keys (SSE-C) are allowed"


def required(bucket: Bucket, wanted: Settings) -> tuple[str, str]:
    """Algorithm and key for this bucket."""
    if bucket.balanced or any(fnmatchcase(bucket.name, pattern) for pattern in wanted.sse_s3_buckets):
        return "AES256", ""
    if wanted.algorithm == "aws:kms:dsse" and bucket.name.endswith("--x-s3"):
        return "aws:kms", wanted.key_arn or ""  # directory buckets know no DSSE
    return wanted.algorithm, wanted.key_arn or ""


def strength(algorithm: str) -> int:
    """An algorithm that S3 may invent later is not called weak."""
    return STRENGTH.index(algorithm) if algorithm in STRENGTH else len(STRENGTH)


def accepted(key: str, wanted: str, case: Case[Bucket, Settings]) -> bool:
    """A key is judged by what can't resolve to another account's: an id or an alias means whatever the caller has.

    S3 takes any text for a key (S3 API, PutBucketEncryption), and then no upload works.
    """
    if key in (wanted, *case.settings.accepted_key_arns):
        return True
    if wanted:
        return key == Arn(wanted).name
    return key == "" or re.fullmatch(re.escape(case.here.arn("kms", "key/")) + r"[\w-]+", key) is not None


def put(name: str, algorithm: str, key: str, bucket_key: bool, blocked: tuple[str, ...]) -> ApiCall:
    default = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key} if key else {})
    rule: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}
    if blocked:
        rule["BlockedEncryptionTypes"] = {"EncryptionType": sorted(blocked)}
    configuration = {"Rules": [rule]}
    return ApiCall("s3", "put_bucket_encryption", {"Bucket": name, "ServerSideEncryptionConfiguration": configuration})


handler = Guardrail(
    severity="high",
    services=("s3",),
    covers=(r"arn:{partition}:s3:::[\w.-]+", r"arn:{partition}:s3express:{region}:{account}:bucket/[\w.-]+"),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    inventory=buckets,
    missing=frozenset({"NoSuchBucket"}),
)
