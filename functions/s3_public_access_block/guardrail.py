"""No bucket and no account loses its Block Public Access.

Why: the four settings stand between one wrong bucket policy or ACL and the whole internet. Whoever takes data out
switches them off first.

Restored: all four settings, on every bucket by itself: S3 applies the stricter of bucket and account, but a bucket that
leans on its account is open once that one's block falls. The account's own block is restored with `account_level`, else
only watched. Buckets in `public_buckets` are left alone, and so are directory buckets, which have no such settings.

Can't: change the account's block where an organisation's S3 policy rules; it is compliant if what is effective is. Nor
see at once that the account's block was changed through another Region's endpoint: such a call is told of in that
Region only (AWS Config says the like of its rule s3-account-level-public-access-blocks), here the next sweep finds it.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

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
    Owner,
    Place,
    Reason,
    Value,
    Violation,
    buckets,
    unless,
)

FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
NONE_SET = "NoSuchPublicAccessBlockConfiguration"


class PublicBucket(Value):
    """A bucket (name pattern) that is meant to be public: who answers for it, and why."""

    bucket: BucketPattern
    owner: Owner
    reason: Reason


class Settings(Value):
    """With `account_level` the account's block is restored too, which no public bucket would survive."""

    account_level: bool = False
    public_buckets: tuple[PublicBucket, ...] = ()

    def __post_init__(self) -> None:
        if self.account_level and self.public_buckets:
            raise Misshapen("account_level would close public_buckets: S3 applies the stricter of account and bucket")


class Block(Value):
    """The settings that are on; of the account those that are effective.

    `ruled`: an organisation's S3 policy rules the account (read only where it matters).
    """

    on: tuple[str, ...]
    ruled: bool = False


def targets(event: Event) -> Iterable[Arn]:
    """Records of the account's own settings may carry a bucketName that means nothing."""
    return [account(event.place) if "Account" in event.name else event.bucket()]


def account(place: Place) -> Arn:
    """The account's settings are one thing for all Regions."""
    return place.arn("s3", "account", region="")


def read(case: Case[Block, Settings], aws: Aws) -> Block:
    if not case.target.account:
        return block(unless(NONE_SET, aws.client("s3").get_public_access_block, Bucket=case.target.name))
    found = block(unless(NONE_SET, aws.client("s3control").get_public_access_block, AccountId=case.here.account))
    return Block(found.on, ruled=found.on != FLAGS and case.settings.account_level and ruled(aws))


def block(answer: Any) -> Block:
    flags = answer["PublicAccessBlockConfiguration"] if answer else {}
    return Block(tuple(flag for flag in FLAGS if flags.get(flag)))


def ruled(aws: Aws) -> bool:
    """S3 then answers 403 to whoever changes the account's settings (S3 control API, PutPublicAccessBlock)."""
    none = "AWSOrganizationsNotInUseException EffectivePolicyNotFoundException AccessDeniedException"
    answer: Any = unless(none, aws.client("organizations").describe_effective_policy, PolicyType="S3_POLICY")
    return answer is not None and "public_access_block_configuration" in answer["EffectivePolicy"]["PolicyContent"]


def evaluate(block: Block, case: Case[Block, Settings]) -> Violation | None:
    off = [flag for flag in FLAGS if flag not in block.on]
    if not off or meant_public(case):
        return None
    what = f"Block Public Access of {'the account' if case.target.account else case.target.name} lacks {', '.join(off)}"
    if block.ruled:
        return Violation(what, todo="An S3 policy of the organisation rules this account: change that policy.")
    service, whose = whose_settings(case)
    undo = put(service, whose, block.on) if block.on else ApiCall(service, "delete_public_access_block", whose)
    watched = case.target.account and not case.settings.account_level
    reason = "account_level is off: the account's own block is only watched" if watched else ""
    return Violation(what, fix=(put(service, whose, FLAGS),), undo=(undo,), audit_only=reason)


def meant_public(case: Case[Block, Settings]) -> bool:
    """The account is never meant to be."""
    entries = () if case.target.account else case.settings.public_buckets
    return any(fnmatchcase(case.target.name, entry.bucket) for entry in entries)


def whose_settings(case: Case[Block, Settings]) -> tuple[str, dict[str, str]]:
    """The API and its argument: those of bucket and account differ in nothing else."""
    if case.target.account:
        return "s3control", {"AccountId": case.here.account}
    return "s3", {"Bucket": case.target.name}


def put(service: str, whose: dict[str, str], on: Iterable[str]) -> ApiCall:
    flags = {flag: flag in on for flag in FLAGS}
    return ApiCall(service, "put_public_access_block", {**whose, "PublicAccessBlockConfiguration": flags})


def inventory(aws: Aws) -> Iterator[Arn]:
    yield account(aws.here)
    yield from buckets(aws)


handler = Guardrail(
    severity="critical",
    services=("s3",),
    covers=(r"arn:{partition}:s3:::[\w.-]+", r"arn:{partition}:s3::{account}:account"),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    inventory=inventory,
    missing=NO_BUCKET,
    stuck={"AccessDenied": SHUT_OUT},
)
