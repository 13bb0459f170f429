"""Decisions of s3-default-encryption, as tables."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import boto3
import pytest
import time_machine
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from holdfast import Arn, Aws, Case, Event, Misshapen, SharedSettings, shape
from holdfast.world import World
from holdfast_cli import project
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from support import HERE, ME, REGION, account, call, heard, items, look, make_bucket, run, sweep, world

guardrail = project.load("s3-default-encryption")
KEY = f"arn:aws:kms:{REGION}:{ME}:key/1111aaaa-22bb-33cc-44dd-5555eeee6666"
OTHER = KEY.replace("1111aaaa", "9999ffff")
FOREIGN = KEY.replace(ME, "999999999999")
MANAGED = f"arn:aws:kms:{REGION}:{ME}:alias/aws/s3"
ALIAS = f"arn:aws:kms:{REGION}:{ME}:alias/team/data"
THEIR_ALIAS, FAR_ALIAS = ALIAS.replace(ME, "999999999999"), ALIAS.replace(REGION, "us-east-1")
EBS = MANAGED.replace("aws/s3", "aws/ebs")
BARE = ", which names no account and means another key to each"
KEYS = (
    "",
    KEY,
    OTHER,
    FOREIGN,
    MANAGED,
    MANAGED.replace(ME, "999999999999"),
    "alias/mine",
    ALIAS,
    KEY.rpartition("/")[2],
)
SSE_S3 = guardrail.Bucket("lake", "AES256", "", False, ())
KMS = guardrail.Bucket("lake", "aws:kms", KEY, True, ())
OK = AWSResponse("https://example.com", 200, HTTPHeaders(), None)
SHOWN = {"KeyState": "Enabled", "Arn": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"}  # as KMS always does


def decide(bucket: Any, target: str = "arn:aws:s3:::lake", **settings: Any) -> Any:
    given = shape.parse(guardrail.Settings, {"algorithm": "aws:kms", "key_arn": KEY} | settings)
    return guardrail.evaluate(bucket, Case(Arn(target), given, SharedSettings(), None, HERE))


def rule(violation: Any) -> Any:
    (call_,) = violation.fix
    return call_.parameters["ServerSideEncryptionConfiguration"]["Rules"][0]


@pytest.mark.parametrize(
    ("bucket", "settings"),
    [
        (KMS, {}),
        (replace(KMS, key=OTHER), {"accepted_key_arns": [OTHER]}),
        (replace(KMS, key=KEY.rpartition("/")[2]), {}),
        (replace(KMS, algorithm="aws:kms:dsse", bucket_key=False), {}),
        (replace(KMS, bucket_key=False), {"bucket_key": False}),
        (replace(KMS, blocked=("SSE-C",)), {"block_sse_c": True}),
        (SSE_S3, {"sse_s3_buckets": ["la*"]}),
        (replace(SSE_S3, takes_logs=True), {}),
        (SSE_S3, {"algorithm": "AES256", "key_arn": None}),
        (KMS, {"algorithm": "AES256", "key_arn": None}),
        (replace(KMS, key=""), {"key_arn": None}),
        (replace(KMS, key=""), {"algorithm": "AES256", "key_arn": None}),
        (replace(KMS, algorithm="aws:fsx", key=KEY), {}),
        (replace(KMS, key=MANAGED), {"key_arn": None}),
        (replace(KMS, key=MANAGED), {"algorithm": "AES256", "key_arn": None}),
        (replace(KMS, key=FOREIGN), {"key_arn": FOREIGN, "sse_s3_buckets": ["lake"]}),
        (replace(KMS, key=FOREIGN, takes_logs=True), {"key_arn": FOREIGN}),
        (replace(KMS, key=ALIAS, meant=KEY), {}),
        (replace(KMS, key=ALIAS, meant=OTHER), {"accepted_key_arns": [OTHER]}),
        (replace(KMS, key=ALIAS, meant=OTHER), {"key_arn": None}),
        (replace(KMS, key=ALIAS, meant=OTHER), {"algorithm": "AES256", "key_arn": None}),
        (replace(KMS, key=ALIAS, meant=OTHER), {"sse_s3_buckets": ["lake"]}),
        (replace(KMS, key=ALIAS), {"key_arn": None}),
    ],
)
def test_what_is_as_strong_as_wanted_is_compliant(bucket: Any, settings: dict[str, Any]) -> None:
    assert decide(bucket, **settings) is None


@pytest.mark.parametrize(
    ("bucket", "settings", "what"),
    [
        (SSE_S3, {}, "the algorithm is AES256, not aws:kms"),
        (KMS, {"algorithm": "aws:kms:dsse"}, "the algorithm is aws:kms, not aws:kms:dsse"),
        (replace(KMS, key=OTHER), {}, f"the key is {OTHER}"),
        (replace(KMS, key=FOREIGN), {}, f"the key is {FOREIGN}"),
        (replace(KMS, key=""), {}, "the key is the AWS-managed one"),
        (replace(KMS, key="alias/mine"), {}, f"the key is alias/mine{BARE}"),
        (replace(KMS, key=MANAGED), {}, f"the key is {MANAGED}"),
        (replace(KMS, key="alias/aws/s3"), {"key_arn": None}, f"the key is alias/aws/s3{BARE}"),
        (replace(KMS, key=OTHER.rpartition("/")[2]), {"key_arn": None}, f"the key is {OTHER.rpartition('/')[2]}{BARE}"),
        (replace(KMS, key=ALIAS, meant=OTHER), {}, f"the key is {ALIAS}"),
        (replace(KMS, key=ALIAS), {}, f"the key is {ALIAS}"),
        (replace(KMS, key=ALIAS, unusable=True), {"key_arn": None}, f"the key is {ALIAS}"),
        (replace(KMS, key=THEIR_ALIAS), {"key_arn": None}, f"the key is {THEIR_ALIAS}"),
        (replace(KMS, key=FAR_ALIAS), {"key_arn": None}, f"the key is {FAR_ALIAS}"),
        (replace(KMS, key=EBS), {"key_arn": None}, f"the key is {EBS}"),
        (replace(KMS, key=ALIAS, meant=OTHER, takes_logs=True), {}, f"the key is {ALIAS}"),
        (replace(KMS, key=FOREIGN), {"algorithm": "AES256", "key_arn": None}, f"the key is {FOREIGN}"),
        (replace(KMS, key="alias/mine"), {"algorithm": "AES256", "key_arn": None}, f"the key is alias/mine{BARE}"),
        (replace(KMS, bucket_key=False), {}, "the bucket key is off"),
        (KMS, {"bucket_key": False}, "the bucket key is on"),
        (KMS, {"block_sse_c": True}, "customer-provided keys (SSE-C) are allowed"),
        (replace(KMS, blocked=("NONE",)), {"block_sse_c": True}, "customer-provided keys (SSE-C) are allowed"),
    ],
)
def test_what_is_weaker_or_somebody_elses_is_a_violation(bucket: Any, settings: dict[str, Any], what: str) -> None:
    violation = decide(bucket, **settings)
    assert violation.what == f"default encryption of lake falls short: {what}"
    assert violation.fix


@pytest.mark.parametrize(
    ("bucket", "settings", "algorithm", "key", "bucket_key"),
    [
        (replace(KMS, bucket_key=False), {"key_arn": None}, "aws:kms", KEY, True),
        (replace(KMS, key=ALIAS, meant=KEY, bucket_key=False), {}, "aws:kms", ALIAS, True),
        (replace(KMS, key=ALIAS, meant=OTHER), {}, "aws:kms", KEY, True),
        (replace(KMS, key=MANAGED, bucket_key=False), {"key_arn": None}, "aws:kms", MANAGED, True),
        (replace(KMS, key=OTHER, bucket_key=False), {"accepted_key_arns": [OTHER]}, "aws:kms", OTHER, True),
        (replace(KMS, key=OTHER), {"algorithm": "aws:kms:dsse", "key_arn": None}, "aws:kms:dsse", OTHER, False),
        (replace(KMS, algorithm="aws:kms:dsse", key=FOREIGN), {}, "aws:kms:dsse", KEY, True),
        (replace(KMS, algorithm="aws:fsx", key=FOREIGN), {}, "aws:kms", KEY, True),
        (replace(KMS, key=FOREIGN), {"key_arn": None}, "aws:kms", "", True),
        (replace(KMS, key=FOREIGN, bucket_key=False), {"algorithm": "AES256", "key_arn": None}, "aws:kms", "", True),
        (replace(KMS, key=FOREIGN), {"sse_s3_buckets": ["lake"]}, "AES256", "", False),
        (SSE_S3, {"block_sse_c": True, "sse_s3_buckets": ["lake"]}, "AES256", "", False),
        (replace(SSE_S3, bucket_key=True), {"block_sse_c": True, "sse_s3_buckets": ["lake"]}, "AES256", "", True),
        (replace(SSE_S3, bucket_key=True), {"algorithm": "aws:kms:dsse"}, "aws:kms:dsse", KEY, False),
        (replace(KMS, takes_logs=True), {"block_sse_c": True}, "aws:kms", KEY, True),
        (
            replace(KMS, bucket_key=False),
            {"algorithm": "AES256", "key_arn": None, "block_sse_c": True},
            "aws:kms",
            KEY,
            False,
        ),
        (
            replace(KMS, algorithm="aws:kms:dsse", key=OTHER, bucket_key=False),
            {"accepted_key_arns": [OTHER], "block_sse_c": True},
            "aws:kms:dsse",
            OTHER,
            False,
        ),
    ],
)
def test_a_fix_changes_only_what_is_wrong(
    bucket: Any, settings: dict[str, Any], algorithm: str, key: str, bucket_key: bool
) -> None:
    fixed = after(decide(bucket, **settings), bucket)
    assert (fixed.algorithm, fixed.key, fixed.bucket_key) == (algorithm, key, bucket_key)


def after(violation: Any, bucket: Any) -> Any:
    """The bucket as S3 would have it after the fix."""
    found = rule(violation)
    default = found["ApplyServerSideEncryptionByDefault"]
    blocked = tuple(found.get("BlockedEncryptionTypes", {}).get("EncryptionType", ()))
    key = default.get("KMSMasterKeyID", "")
    meant = bucket.meant if key == bucket.key else ""
    rule_ = {"algorithm": default["SSEAlgorithm"], "key": key, "bucket_key": found["BucketKeyEnabled"]}
    return replace(bucket, **rule_, blocked=blocked, meant=meant)


def any_settings(algorithm: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.none() if algorithm == "AES256" else st.sampled_from((None, KEY, FOREIGN))
    return st.fixed_dictionaries(
        {
            "algorithm": st.just(algorithm),
            "key_arn": keys,
            "accepted_key_arns": st.lists(st.sampled_from((OTHER, FOREIGN)), unique=True),
            "bucket_key": st.booleans(),
            "block_sse_c": st.booleans(),
            "sse_s3_buckets": st.sampled_from(([], ["lake"])),
        }
    )


SETTINGS = st.sampled_from(guardrail.STRENGTH).flatmap(any_settings)
BUCKETS = st.builds(
    guardrail.Bucket,
    st.just("lake"),
    st.sampled_from(guardrail.STRENGTH),
    st.sampled_from(KEYS),
    st.booleans(),
    st.sampled_from(((), ("NONE",), ("SSE-C",))),
    st.booleans(),
).map(lambda bucket: replace(bucket, key="" if bucket.algorithm == "AES256" else bucket.key))


@given(BUCKETS, SETTINGS)
def test_a_fixed_bucket_is_compliant_no_weaker_and_keeps_an_accepted_key(bucket: Any, settings: dict[str, Any]) -> None:
    violation = decide(bucket, **settings)
    if violation is None:
        return
    fixed, refused = after(violation, bucket), "the key is" in violation.what
    assert decide(fixed, **settings) is None
    if not (refused and (bucket.takes_logs or settings["sse_s3_buckets"])):
        assert guardrail.strength(fixed.algorithm) >= guardrail.strength(bucket.algorithm)
    if bucket.algorithm != "AES256" and not refused:
        assert fixed.key == bucket.key
    assert fixed.key in (("",) if fixed.algorithm == "AES256" else (bucket.key, settings["key_arn"], ""))
    (undo,) = violation.undo
    assert after(replace(violation, fix=(undo,)), fixed) == bucket


def test_the_fix_carries_back_what_s3_says_of_blocked_types() -> None:
    assert rule(decide(replace(SSE_S3, blocked=("SSE-C",)))) == {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
        "BucketKeyEnabled": True,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }


def test_types_are_blocked_only_where_that_is_wanted() -> None:
    assert "BlockedEncryptionTypes" not in rule(decide(SSE_S3))


def test_all_that_is_wrong_is_told_in_one_sentence() -> None:
    assert decide(replace(KMS, key=OTHER, bucket_key=False)).what == (
        f"default encryption of lake falls short: the key is {OTHER}; the bucket key is off"
    )


def test_blocking_sse_c_replaces_s3s_word_for_nothing() -> None:
    fixed = rule(decide(replace(KMS, blocked=("NONE",)), block_sse_c=True))
    assert fixed["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}


def test_a_key_under_dsse_knows_no_bucket_key() -> None:
    assert rule(decide(SSE_S3, algorithm="aws:kms:dsse"))["BucketKeyEnabled"] is False


def test_undo_is_what_was_there() -> None:
    (undo,) = decide(replace(KMS, key=FOREIGN, bucket_key=False, blocked=("NONE",))).undo
    assert undo.parameters["Bucket"] == "lake"
    assert undo.parameters["ServerSideEncryptionConfiguration"]["Rules"] == [
        {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": FOREIGN},
            "BucketKeyEnabled": False,
            "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]},
        }
    ]


def test_a_key_that_cannot_be_used_is_never_written() -> None:
    violation = decide(replace(SSE_S3, key_fault="Disabled"))
    assert (violation.fix, KEY in violation.todo) == ((), True)
    assert violation.what == "default encryption of lake falls short: the algorithm is AES256, not aws:kms"


@pytest.mark.parametrize(
    ("fault", "later"),
    [
        ("Disabled", 60),
        ("PendingDeletion", 60),
        ("PendingReplicaDeletion", 60),
        ("Creating", 60),
        ("Updating", 60),
        ("Unavailable", 60),
        ("PendingImport", 0),
        ("Disabled, RSA_2048", 0),
        ("missing", 0),
        ("closed to Holdfast", 0),
        ("in us-east-1, not in eu-west-1", 0),
    ],
)
def test_only_a_key_that_may_come_back_by_itself_is_waited_for(fault: str, later: int) -> None:
    violation = decide(replace(SSE_S3, key_fault=fault))
    assert (violation.later, violation.fix) == (later, ())
    assert violation.todo == f"The key in the settings can't be used ({fault}): correct {KEY}."


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(1_800_000_000, tick=False) as clock, account():
        make_bucket()
        yield clock


PUT = call("s3", "PutBucketEncryption", {"bucketName": "lake"})
LOOK = look("s3-default-encryption", "arn:aws:s3:::lake")


class Ours:
    """The key of the settings, off, and a bucket that just then was put under a foreign one."""

    def __init__(self) -> None:
        key = boto3.client("kms").create_key()["KeyMetadata"]
        self.id, self.arn, self.runs = key["KeyId"], key["Arn"], 0
        self.switch("disable_key")
        encrypt(FOREIGN)

    def switch(self, operation: str) -> None:
        getattr(boto3.client("kms"), operation)(KeyId=self.id)

    def guard(self, event: dict[str, Any], **shared: Any) -> tuple[str, list[str]]:
        """How it ended, and of what people were told."""
        self.runs += 1
        settings = {"algorithm": "aws:kms", "key_arn": self.arn}
        result = run("s3-default-encryption", event, settings, delivery=f"delivery-{self.runs}", **shared)
        return result.outcome, [message["outcome"] for message in heard()]


def encrypt(key: str) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}
    boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration=rules)


def key_of_lake() -> Any:
    found: Any = boto3.client("s3").get_bucket_encryption(Bucket="lake")["ServerSideEncryptionConfiguration"]
    return found["Rules"][0]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")


def due() -> int:
    (page,) = [item for item in items() if item["target"] == "arn:aws:s3:::lake" and "rev" in item]
    return int(page.get("due", 0))


def test_a_foreign_key_written_while_ours_was_off_for_a_moment_does_not_stay_until_the_sweep(clock: Any) -> None:
    ours = Ours()
    assert ours.guard(PUT) == ("deferred", [])
    assert due() == 1_800_000_060
    ours.switch("enable_key")
    clock.shift(60)
    assert ours.guard(LOOK) == ("remediated", ["remediated"])
    assert key_of_lake() == ours.arn
    assert due() == 0


def test_a_key_that_stays_off_is_told_of_once_and_not_waited_for_again(clock: Any) -> None:
    ours = Ours()
    assert ours.guard(PUT) == ("deferred", [])
    for _ in range(9):
        clock.shift(60)
        assert ours.guard(LOOK) == ("deferred", [])
    clock.shift(60)
    assert ours.guard(LOOK) == ("escalated", ["escalated"])
    for event in (sweep(), LOOK, PUT | {"id": "another"}):
        clock.shift(86_400)
        assert ours.guard(event) == ("escalated", [])
        assert due() == 0
    ours.switch("enable_key")
    assert ours.guard(sweep()) == ("remediated", ["remediated"])
    assert key_of_lake() == ours.arn


def test_another_key_after_that_was_told_is_waited_for_anew(clock: Any) -> None:
    ours = Ours()
    ours.guard(PUT)
    clock.shift(600)
    assert ours.guard(LOOK) == ("escalated", ["escalated"])
    encrypt(FOREIGN.replace("9999", "8888"))
    assert ours.guard(PUT) == ("deferred", [])


def test_in_audit_mode_and_for_what_was_so_before_nothing_is_waited_for(clock: Any) -> None:
    ours = Ours()
    assert ours.guard(sweep()) == ("audited", [])
    assert ours.guard(PUT, mode="audit") == ("audited", [])
    assert due() == 0


@pytest.mark.parametrize("lead", ["", "elsewhere", "nowhere"])
@pytest.mark.parametrize("settings", [{"algorithm": "AES256"}, {"algorithm": "aws:kms"}, {"key_arn": True}])
def test_a_key_of_ours_under_the_arn_of_an_alias_is_left_alone_and_judged_by_where_that_leads(
    settings: dict[str, Any], lead: str
) -> None:
    """The AWS-managed key in its place would shut out other accounts, which the key's own policy lets in."""
    with account():
        make_bucket()
        kms = boto3.client("kms")
        key, other = (kms.create_key()["KeyMetadata"] for _ in range(2))
        if lead != "nowhere":
            kms.create_alias(AliasName="alias/team/data", TargetKeyId=(other if lead else key)["KeyId"])
        encrypt(ALIAS)
        named = bool(settings.get("key_arn"))
        given = {"algorithm": "aws:kms", "key_arn": key["Arn"]} if named else settings
        fine = not lead or (lead == "elsewhere" and not named)
        assert run("s3-default-encryption", PUT, given).outcome == ("compliant" if fine else "remediated")
        assert key_of_lake() == (ALIAS if fine else key["Arn"] if named else None)


def test_a_key_that_is_not_written_anew_may_have_a_fault() -> None:
    closed = replace(KMS, key_fault="closed to Holdfast")
    assert decide(replace(closed, bucket_key=False)).fix
    assert decide(replace(closed, key=FOREIGN, takes_logs=True)).fix


def test_a_balancers_bucket_is_freed_from_a_foreign_key_without_ours() -> None:
    fixed = rule(decide(replace(KMS, key=FOREIGN, takes_logs=True)))
    assert fixed["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_a_grant_to_a_load_balancer_does_not_let_any_key_of_the_account_pass() -> None:
    by_grant = replace(KMS, key=OTHER, takes_logs=True)
    assert rule(decide(by_grant))["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert decide(by_grant, key_arn=None) is None, "without a key in the settings any of the account does"
    assert decide(replace(by_grant, key="")) is None
    assert decide(replace(KMS, key=OTHER), sse_s3_buckets=["lake"]) is None


def test_the_bare_id_of_another_accounts_key_is_not_that_key() -> None:
    """S3 API, ServerSideEncryptionByDefault: it is looked for in the account of whoever writes."""
    bare = replace(KMS, key=FOREIGN.rpartition("/")[2])
    assert rule(decide(bare, key_arn=FOREIGN))["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == FOREIGN


FAST = "fast--euw1-az1--x-s3"
FAST_ARN = f"arn:aws:s3express:{REGION}:{ME}:bucket/{FAST}"


def test_a_directory_bucket_under_another_key_is_escalated() -> None:
    violation = decide(replace(KMS, name=FAST, key=OTHER), FAST_ARN)
    assert (violation.fix, "make a new one" in violation.todo) == ((), True)


def test_a_directory_bucket_without_a_key_is_not_to_be_thrown_away() -> None:
    violation = decide(replace(SSE_S3, name=FAST), FAST_ARN)
    assert violation.fix == ()
    assert violation.what == f"default encryption of {FAST} falls short: the algorithm is AES256, not aws:kms"
    assert "choose it" in violation.todo


def test_of_a_directory_bucket_nothing_is_asked_that_it_can_not_have() -> None:
    assert decide(replace(KMS, name=FAST), FAST_ARN, block_sse_c=True, bucket_key=False) is None


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(Misshapen, match="key_arn goes with"):
        shape.parse(guardrail.Settings, {"algorithm": "AES256", "key_arn": KEY})


DELIVERY = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::127311923021:root"},
    "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::lake/logs/AWSLogs/123456789012/*",
}


def without(*elements: str) -> dict[str, Any]:
    return {name: value for name, value in DELIVERY.items() if name not in elements}


@pytest.mark.parametrize(
    ("statement", "admits"),
    [
        (DELIVERY, True),
        (DELIVERY | {"Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}}, True),
        (DELIVERY | {"Principal": {"Service": "logdelivery.elb.amazonaws.com"}}, True),
        (DELIVERY | {"Principal": {"Service": "redshift.amazonaws.com"}}, True),
        (DELIVERY | {"Principal": {"AWS": ["arn:aws:iam::1:root", "156460612806"]}}, True),
        (DELIVERY | {"Effect": "Deny"}, False),
        (DELIVERY | {"Principal": "*"}, False),
        (without("Principal") | {"NotPrincipal": {"AWS": "127311923021"}}, False),
        (DELIVERY | {"Action": ["s3:GetObject", "s3:putobject"]}, True),
        (DELIVERY | {"Action": "S3:Put*"}, True),
        (DELIVERY | {"Action": "s3:*"}, True),
        (DELIVERY | {"Action": "*"}, True),
        (DELIVERY | {"Action": "s3:GetBucketLocation"}, False),
        (DELIVERY | {"Action": "s3:PutObjectAcl"}, False),
        (without("Action") | {"NotAction": "s3:DeleteObject"}, False),
        (DELIVERY | {"Resource": ["arn:aws:s3:::other/*", "arn:aws:s3:::lake/*"]}, True),
        (DELIVERY | {"Resource": "arn:aws:s3:::la?e/*"}, True),
        (DELIVERY | {"Resource": "arn:aws:s3:::lake*"}, True),
        (DELIVERY | {"Resource": "*"}, True),
        (DELIVERY | {"Resource": "arn:aws:s3:::lake"}, False),
        (DELIVERY | {"Resource": "arn:aws:s3:::other/*"}, False),
        (DELIVERY | {"Resource": "arn:aws:s3:::lakeside/*"}, False),
        (without("Resource") | {"NotResource": "arn:aws:s3:::other/*"}, False),
    ],
)
def test_a_load_balancers_delivery_is_seen_in_a_policy(statement: dict[str, Any], admits: bool) -> None:
    lake = HERE.bucket("lake")
    assert guardrail.admits(guardrail.SSE_S3_ONLY, json.dumps({"Statement": statement}), lake) is admits
    among = json.dumps({"Statement": [{"Effect": "Deny"}, statement]})
    assert guardrail.admits(guardrail.SSE_S3_ONLY, among, lake) is admits


@pytest.mark.parametrize(("settings", "outcome"), [({}, "compliant"), ({"key_arn": KEY}, "escalated")])
def test_a_bucket_of_flow_logs_is_not_put_under_the_key_that_makes_them_unreadable(
    settings: dict[str, Any], outcome: str
) -> None:
    """CloudWatch Logs user guide, "Amazon S3 bucket server-side encryption": they are readable under a key of ours."""
    flow = DELIVERY | {"Principal": {"Service": "delivery.logs.amazonaws.com"}}
    with account():
        make_bucket()
        policy = json.dumps({"Version": "2012-10-17", "Statement": [flow]})
        boto3.client("s3").put_bucket_policy(Bucket="lake", Policy=policy)
        event = call("s3", "DeleteBucketEncryption", {"bucketName": "lake"})
        assert run("s3-default-encryption", event, {"algorithm": "aws:kms", **settings}).outcome == outcome


@pytest.mark.parametrize(
    "policy",
    ["", "[]", "null", "{}", '{"Statement": ["x", null, 1]}', '{"Statement": {"Effect": "Allow", "Principal": [1]}}'],
)
def test_an_odd_policy_admits_nobody(policy: str) -> None:
    assert not guardrail.admits(guardrail.SSE_S3_ONLY, policy, HERE.bucket("lake"))


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ({}, ("AES256", "", False, ())),
        ({"BucketKeyEnabled": True}, ("AES256", "", True, ())),
        ({"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}, ("AES256", "", False, ())),
        ({"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}, ("AES256", "", False, ("SSE-C",))),
        (
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": OTHER}},
            ("aws:kms", OTHER, False, ()),
        ),
    ],
)
def test_what_s3_leaves_out_is_its_own_default(rule: dict[str, Any], seen: tuple[Any, ...]) -> None:
    """S3 API, GetBucketEncryption: no element of a rule is required."""
    here = world("s3-default-encryption")
    said = {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}
    here.aws.session.register("before-call.s3.GetBucketEncryption", cast(Any, lambda **_: (OK, said)))
    here.aws.session.register("before-call.s3.GetBucketPolicy", cast(Any, lambda **_: (OK, {"Policy": "{}"})))
    here.aws.session.register("before-call.kms.DescribeKey", cast(Any, lambda **_: (OK, {"KeyMetadata": SHOWN})))
    settings = guardrail.Settings(algorithm="aws:kms:dsse")
    case: Case[Any, Any] = Case(Arn("arn:aws:s3:::lake"), settings, SharedSettings(), None, HERE)
    assert guardrail.read(case, here.aws) == guardrail.Bucket("lake", *seen)


@pytest.mark.parametrize(("key", "fine"), [(KEY, True), (OTHER, False)])
def test_a_directory_bucket_needs_no_dsse_which_it_does_not_know(key: str, fine: bool) -> None:
    """S3 user guide, "Data protection and encryption" of directory buckets."""
    name = "lake--euw1-az1--x-s3"
    given = shape.parse(guardrail.Settings, {"algorithm": "aws:kms:dsse", "key_arn": KEY})
    target = Arn(f"arn:aws:s3express:{REGION}:{ME}:bucket/{name}")
    case: Case[Any, Any] = Case(target, given, SharedSettings(), None, HERE)
    assert (guardrail.evaluate(guardrail.Bucket(name, "aws:kms", key, True, ()), case) is None) is fine


UNUSABLE: dict[str, Any] = {
    "not there": ("NotFoundException", True),
    "no name of a key": ("InvalidArnException", True),
    "for signatures": ({"KeySpec": "RSA_2048"}, True),
    "about to be deleted, which another guardrail mends": ({"KeyState": "PendingDeletion"}, False),
    "closed to Holdfast": ("AccessDeniedException", False),
    "no text that KMS takes": ("ValidationException", True),
}


@pytest.mark.parametrize(("found", "refused"), UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms"])
def test_a_key_of_this_account_that_s3_cannot_use_is_refused(found: Any, refused: bool, algorithm: str) -> None:
    """S3 takes any text for a key, and then no upload works (S3 API, PutBucketEncryption)."""
    here = world("s3-default-encryption")
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": OTHER}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
    said = {"ServerSideEncryptionConfiguration": {"Rules": rules}}
    answer = (OK, {"KeyMetadata": SHOWN | found}) if isinstance(found, dict) else denied(found)()
    here.aws.session.register("before-call.s3.GetBucketEncryption", cast(Any, lambda **_: (OK, said)))
    here.aws.session.register("before-call.s3.GetBucketPolicy", cast(Any, lambda **_: (OK, {"Policy": "{}"})))
    here.aws.session.register("before-call.kms.DescribeKey", cast(Any, lambda **_: answer))
    settings = shape.parse(guardrail.Settings, {"algorithm": algorithm})
    case: Case[Any, Any] = Case(Arn("arn:aws:s3:::lake"), settings, SharedSettings(), None, HERE)
    violation = guardrail.evaluate(guardrail.read(case, here.aws), case)
    assert (violation is not None) is refused
    if violation:
        assert violation.what == f"default encryption of lake falls short: the key is {OTHER}"
        (rule,) = violation.fix[0].parameters["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms"}


def denied(code: str) -> Any:
    refusal = AWSResponse("https://example.com", 403, HTTPHeaders(), None)
    return cast(Any, lambda **_: (refusal, {"Error": {"Code": code, "Message": "no"}}))


def test_a_policy_or_key_that_is_closed_to_holdfast_does_not_keep_the_bucket_from_being_looked_at() -> None:
    here = world("s3-default-encryption")
    said: Any = {"ServerSideEncryptionConfiguration": {"Rules": [{}]}}
    here.aws.session.register("before-call.s3.GetBucketEncryption", cast(Any, lambda **_: (OK, said)))
    here.aws.session.register("before-call.s3.GetBucketPolicy", denied("AccessDenied"))
    here.aws.session.register("before-call.kms.DescribeKey", denied("AccessDeniedException"))
    settings = guardrail.Settings(algorithm="aws:kms", key_arn=KEY)
    case: Case[Any, Any] = Case(Arn("arn:aws:s3:::lake"), settings, SharedSettings(), None, HERE)
    found = guardrail.read(case, here.aws)
    assert found == replace(SSE_S3, key_fault="closed to Holdfast")
    assert guardrail.evaluate(found, case).todo == (
        f"The key in the settings can't be used (closed to Holdfast): correct {KEY}."
    )


def test_a_denied_policy_does_not_keep_the_fix_from_being_made() -> None:
    with account():
        make_bucket()
        event = call("s3", "PutBucketEncryption", {"bucketName": "lake"})

        def deny(here: World) -> None:
            here.aws.session.register("before-call.s3.GetBucketPolicy", denied("AccessDenied"))

        assert run("s3-default-encryption", event, {"algorithm": "aws:kms"}, hook=deny).outcome == "remediated"


@pytest.mark.parametrize(
    "fault", ["", "missing", "Disabled", "Enabled, RSA_2048", "Disabled, RSA_2048", "in us-east-1"]
)
def test_the_key_of_the_settings_is_looked_at_before_it_is_used(fault: str) -> None:
    with mock_aws():
        make_bucket()
        kms = boto3.client("kms")
        spec = "RSA_2048" if "RSA" in fault else "SYMMETRIC_DEFAULT"
        usage = "SIGN_VERIFY" if "RSA" in fault else "ENCRYPT_DECRYPT"
        arn = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]  # type: ignore[arg-type]
        if fault.startswith("Disabled"):
            kms.disable_key(KeyId=arn.rpartition("/")[2])  # moto takes no ARN here, where KMS does
        arn = KEY if fault == "missing" else arn.replace(REGION, "us-east-1") if fault.startswith("in ") else arn
        settings = guardrail.Settings(algorithm="aws:kms", key_arn=arn)
        case: Case[Any, Any] = Case(Arn("arn:aws:s3:::lake"), settings, SharedSettings(), None, HERE)
        found = guardrail.read(case, Aws(HERE))
        assert found.key_fault == (fault and f"{fault}, not in {REGION}" if "in us" in fault else fault)


def test_a_compliant_bucket_costs_one_call() -> None:
    with mock_aws():
        make_bucket()
        rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration=rules)
        aws, calls = Aws(HERE), []
        aws.session.register("before-call", lambda **happening: calls.append(happening["model"].name))
        settings = guardrail.Settings(algorithm="AES256")
        guardrail.read(Case(Arn("arn:aws:s3:::lake"), settings, SharedSettings(), None, HERE), aws)
        assert calls == ["GetBucketEncryption"]


def test_the_target_is_the_bucket_also_of_a_directory_bucket() -> None:
    raw = call("s3express", "CreateBucket", {"bucketName": "fast--euw1-az1--x-s3"})
    assert guardrail.targets(Event.parse(raw, HERE)) == [f"arn:aws:s3express:{REGION}:{ME}:bucket/fast--euw1-az1--x-s3"]
