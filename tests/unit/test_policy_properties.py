"""Bucket policies of all sorts, merged: judged by an evaluator that shares nothing with policy.py (tests/iam.py)."""

import json
import random
from typing import Any

from holdfast import Arn, Case, SharedSettings, shape
from holdfast.policy import merge
from holdfast_cli import project
from hypothesis import given, settings
from hypothesis import strategies as st
from iam import Call, Json, aslist, denied
from support import HERE, ME

guardrail = project.load("s3-vpc-only-policy")

BUCKET = "arn:aws:s3:::lake"
OBJECT = f"{BUCKET}/raw/part-0"
VPC, OTHER_VPC = "vpc-0a1b2c3d4e5f60718", "vpc-0f9e8d7c6b5a40312"
ORGANIZATION = "o-a1b2c3d4e5"
BREAK_GLASS = f"arn:aws:iam::{ME}:role/break-glass"
GLUE = f"arn:aws:iam::{ME}:role/etl/glue-*"
REPLICATION = f"arn:aws:iam::{ME}:role/replication"
LOGS_ACCOUNT = "156460612806"
OFFICE = "198.51.100.0/24"
MALLORY = f"arn:aws:iam::{ME}:user/mallory"
FOREIGN = "arn:aws:iam::999999999999:role/x"
OURS = (
    "HoldfastVpcOnly",
    "HoldfastCloudFront",
    "HoldfastForwarded",
    "HoldfastServices",
    "HoldfastTls",
    "HoldfastTlsVersion",
)

SETTINGS = {
    "buckets": ["lake*"],
    "vpc_ids": [VPC],
    "organization_id": ORGANIZATION,
    "service_role_arns": [GLUE],
    "log_delivery_accounts": [LOGS_ACCOUNT],
    "allowed_source_ips": [OFFICE],
}
CASE: Case[Any, Any] = Case(
    Arn(BUCKET),
    shape.parse(guardrail.Settings, SETTINGS),
    SharedSettings(break_glass_arns=(BREAK_GLASS,)),
    None,
    HERE,
)


def bucket(policy: Json | None) -> Any:
    return guardrail.Bucket("lake", policy, REPLICATION)


def required() -> list[Json]:
    found: list[Json] = json.loads(json.dumps(guardrail.required(bucket(None), CASE)))
    return found


OUTSIDE: dict[str, str] = {
    "aws:SecureTransport": "true",
    "s3:TlsVersion": "1.3",
    "aws:PrincipalIsAWSService": "false",
    "aws:ViaAWSService": "false",
}


def by(principal: str, action: str = "s3:GetObject", **keys: str) -> Call:
    own = {"aws:PrincipalArn": principal, "aws:PrincipalAccount": principal.split(":")[4]} if ":" in principal else {}
    more = {f"aws:{key}": value for key, value in keys.items()}
    return Call(principal, action, OBJECT if action.endswith("Object") else BUCKET, {**OUTSIDE, **own, **more})


SOMEBODY = f"arn:aws:iam::{ME}:role/somebody"
PROTECTED = [
    by(HERE.role),
    by(BREAK_GLASS),
    by(f"arn:aws:iam::{ME}:role/etl/glue-nightly"),
    by(REPLICATION),
    by(f"arn:aws:iam::{ME}:role/aws-service-role/macie.amazonaws.com/AWSServiceRoleForAmazonMacie"),
    by("cloudtrail.amazonaws.com", "s3:PutObject", PrincipalIsAWSService="true", SourceAccount=ME),
    by("logging.s3.amazonaws.com", "s3:PutObject", PrincipalIsAWSService="true", SourceAccount=ME),
    by(f"arn:aws:iam::{LOGS_ACCOUNT}:root", "s3:PutObject"),
    by(SOMEBODY, ViaAWSService="true"),
    by(SOMEBODY, SourceVpc=VPC),
    by(SOMEBODY, "s3:PutObject", SourceVpc=VPC),
    by(SOMEBODY, SourceVpc=OTHER_VPC, VpceOrgID=ORGANIZATION),
    by(SOMEBODY, SourceIp="198.51.100.77"),
    *(
        by(principal, f"s3:{verb}BucketPolicy")
        for verb in ("Get", "Put", "Delete")
        for principal in (HERE.role, f"arn:aws:iam::{ME}:role/administrator", f"arn:aws:iam::{ME}:root")
    ),
]

one = st.sampled_from
CONDITIONS: list[Json] = [
    {"StringNotEquals": {"aws:SourceVpc": OTHER_VPC}},
    {"StringNotLike": {"aws:sourcevpc": ["vpc-0*"]}},
    {"StringEquals": {"aws:SourceVpc": [VPC, OTHER_VPC]}},
    {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": ORGANIZATION}},
    {"Null": {"aws:SourceVpc": "true"}},
    {"Null": {"aws:SourceVpc": "false"}},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"Bool": {"aws:SecureTransport": False}},
    {"BoolIfExists": {"aws:PrincipalIsAWSService": ["true", "false"]}},
    {"BoolIfExists": {"aws:ViaAWSService": "false"}},
    {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ME}:role/*"]}},
    {"StringNotLike": {"aws:PrincipalArn": [HERE.role, BREAK_GLASS]}},
    {"ArnLike": {"aws:PrincipalArn": MALLORY}},
    {"NotIpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/2"]}},
    {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
    {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    {"NumericLessThan": {"s3:TlsVersion": 1.1}},
    {"NumericLessThanEquals": {"s3:TlsVersion": "1.1"}},
    {"StringLikeIfExists": {"aws:UserAgent": ["*e*", "*0*", "*1*"]}},
    {"StringLikeIfExists": {"aws:UserAgent": "???*"}},
    {"StringLikeIfExists": {"aws:UserAgent": "*"}},
    {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}},
    {"ForAllValues:StringEquals": {"aws:SourceVpc": [VPC]}},
    {"ForAnyValue:StringNotEquals": {"aws:SourceVpc": [VPC]}},
]
PRINCIPALS = ["*", {"AWS": "*"}, {"AWS": ME}, {"AWS": MALLORY}, {"AWS": [FOREIGN, HERE.role]}]
PRINCIPALS += [{"Service": "cloudtrail.amazonaws.com"}]
ACTIONS = ["s3:*", "*", "s3:GetObject", ["s3:GetObject*", "s3:PutObject*"], "s3:*BucketPolicy", "s3:Put*", "s3:G?t*"]
RESOURCES = ["*", BUCKET, f"{BUCKET}/*", [BUCKET, f"{BUCKET}/*"], f"{BUCKET}*", f"{BUCKET}/raw/*"]


@st.composite
def foreign(draw: st.DrawFn) -> Json:
    statement: Json = {"Sid": draw(one(["Owner", "Allow1", "", "holdfastvpconly"]))} if draw(st.booleans()) else {}
    statement["Effect"] = draw(one(["Allow", "Deny", "Deny"]))
    statement[draw(one(["Principal", "Principal", "Principal", "NotPrincipal"]))] = draw(one(PRINCIPALS))
    statement[draw(one(["Action", "Action", "Action", "NotAction"]))] = draw(one(ACTIONS))
    statement[draw(one(["Resource", "Resource", "Resource", "NotResource"]))] = draw(one(RESOURCES))
    if draw(st.booleans()):
        statement["Condition"] = combined(draw(st.lists(one(CONDITIONS), min_size=1, max_size=2)))
    return statement


def combined(conditions: list[Json]) -> Json:
    found: Json = {}
    for condition in conditions:
        for operator, keys in condition.items():
            found[operator] = found.get(operator, {}) | keys
    return found


ELEMENTS: dict[str, list[Any]] = {
    "Action": ACTIONS,
    "Resource": RESOURCES,
    "Principal": PRINCIPALS,
    "Effect": ["Allow"],
}


@st.composite
def tampered(draw: st.DrawFn) -> Json:
    """One of ours, changed in up to two ways, most of which weaken it."""
    statement = draw(one(required()))
    for _ in range(draw(st.integers(0, 2))):
        how = draw(one(["sid", "condition", "value", "operator", "Action", "Resource", "Principal", "Effect", "lose"]))
        condition = statement["Condition"]
        if how == "sid":
            statement["Sid"] = draw(one([*OURS, "Other"]))
        elif how == "condition":
            statement["Condition"] = combined([condition, draw(one(CONDITIONS))])
        elif how == "value":
            operator = draw(one(sorted(condition)))
            key = draw(one(sorted(condition[operator])))
            values = [OTHER_VPC, "vpc-*", "*", "0.0.0.0/0", "true", "1.1", f"arn:aws:iam::{ME}:role/*", MALLORY]
            condition[operator][key] = [*aslist(condition[operator][key]), draw(one(values))]
        elif how == "operator":
            operator = draw(one(sorted(condition)))
            new = draw(one([operator.removesuffix("IfExists"), f"ForAllValues:{operator}", f"ForAnyValue:{operator}"]))
            statement["Condition"] = {new if name == operator else name: keys for name, keys in condition.items()}
        elif how == "lose":
            condition.pop(draw(one(sorted(condition))))
            if not condition:
                break
        else:
            statement[how] = draw(one(ELEMENTS[how]))
    return statement


def is_typed(statement: Json) -> bool:
    """S3 refuses a policy whose values don't fit the operator."""
    for operator, keys in statement.get("Condition", {}).items():
        for values in keys.values():
            for value in aslist(values):
                if "Ip" in operator and not str(value)[:1].isdigit():
                    return False
                if "Bool" in operator and str(value).lower() not in ("true", "false"):
                    return False
                if "Numeric" in operator and not str(value).replace(".", "", 1).isdigit():
                    return False
                if "Arn" in operator and not str(value).startswith("arn:"):
                    return False
    return True


statements = st.lists(st.one_of(foreign(), tampered()).filter(is_typed), max_size=6)
policies = statements.map(lambda found: {"Version": "2012-10-17", "Statement": found})
near_misses = st.builds(
    lambda places, one, more: {"Statement": [*(ours for n, ours in enumerate(required()) if n in places), one, *more]},
    st.sampled_from([(1, 2), (0, 2), (0, 1)]),
    tampered().filter(is_typed),
    st.lists(tampered().filter(is_typed), max_size=1),
)

VALUES: dict[str, list[str | None]] = {
    "aws:SourceVpc": [None, VPC, OTHER_VPC, VPC.upper(), "vpc-1"],
    "aws:VpceOrgID": [None, ORGANIZATION, "o-zzzzzzzzzz"],
    "aws:PrincipalOrgID": [None, ORGANIZATION],
    "aws:SourceIp": [None, "198.51.100.9", "203.0.113.9", "130.0.0.1", "193.0.0.1", "2001:db8::1"],
    "aws:SecureTransport": ["true", "false"],
    "s3:TlsVersion": [None, "1.0", "1.1", "1.2", "1.3"],
    "aws:PrincipalIsAWSService": [None, "true", "false"],
    "aws:ViaAWSService": [None, "true", "false"],
    "aws:UserAgent": [None, "curl", "x", "python"],
    "aws:RequestedRegion": [None, "eu-west-1", "us-east-1"],
}
WHO = [MALLORY, FOREIGN, SOMEBODY, HERE.role, BREAK_GLASS, "anonymous", f"arn:aws:iam::{ME}:role/etl/glue-1"]


def call(dice: random.Random) -> Call:
    """Half of the keys as an outsider has them: else hardly any call would be denied."""
    who = dice.choice(WHO)
    keys = {key: values[0] if dice.random() < 0.6 else dice.choice(values) for key, values in VALUES.items()}
    own = {"aws:PrincipalArn": who, "aws:PrincipalAccount": who.split(":")[4]} if who.startswith("arn:") else {}
    action = dice.choice(["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetObjectVersion", "s3:PutBucketPolicy"])
    resource = dice.choice([OBJECT, f"{BUCKET}/x"]) if "Object" in action else BUCKET
    return Call(who, action, resource, own | {key: value for key, value in keys.items() if value is not None})


DICE = random.Random(7)  # noqa: S311 - the same calls in every run
CALLS = [call(DICE) for _ in range(250)]
DENIED = [call for call in CALLS if denied({"Statement": required()}, call)]
quick = settings(max_examples=100, deadline=None, derandomize=True)


def planned(policy: Json) -> Json | None:
    violation = guardrail.evaluate(bucket(policy), CASE)
    return json.loads(violation.fix[0].parameters["Policy"]) if violation and violation.fix else None


@quick
@given(policies)
def test_merging_twice_changes_nothing_more(policy: Json) -> None:
    once = merge(policy, required())
    assert merge(once, required()) == once


@quick
@given(policies)
def test_every_foreign_statement_stays_as_it_is_and_in_its_order(policy: Json) -> None:
    def owners(statements: list[Json]) -> list[str]:
        return [json.dumps(s) for s in statements if s.get("Sid") not in OURS]

    merged = merge(policy, required())
    assert owners(merged["Statement"]) == owners(policy["Statement"])
    assert sorted(s["Sid"] for s in merged["Statement"] if s.get("Sid") in OURS) == sorted(OURS)


@quick
@given(policies)
def test_a_merged_policy_denies_whatever_ours_deny_and_whatever_the_owners_denied(policy: Json) -> None:
    merged = merge(policy, required())
    owners = {"Statement": [s for s in policy["Statement"] if s.get("Sid") not in OURS]}
    for call in CALLS[:60]:
        assert denied(merged, call) == (call in DENIED or denied(owners, call))


@quick
@given(policies)
def test_what_is_planned_is_compliant_when_it_is_there(policy: Json) -> None:
    after = planned(policy)
    assert after is None or guardrail.evaluate(bucket(after), CASE) is None


@settings(quick, max_examples=400)
@given(st.one_of(near_misses, near_misses, policies))
def test_what_is_called_compliant_denies_all_that_is_required(policy: Json) -> None:
    if guardrail.evaluate(bucket(policy), CASE) is None:
        assert [call for call in DENIED if not denied(policy, call)] == []


@settings(quick, max_examples=200)
@given(policies)
def test_whoever_must_get_in_and_got_in_before_still_gets_in(policy: Json) -> None:
    after = planned(policy)
    for call in PROTECTED if after else []:
        assert denied(policy, call) or not denied(after or {}, call), call


def test_the_evaluator_can_tell_inside_from_outside() -> None:
    ours = {"Statement": required()}
    assert [call for call in PROTECTED if denied(ours, call)] == []
    outside = [by(MALLORY), by(SOMEBODY, SourceVpc=OTHER_VPC), by(SOMEBODY, SourceIp="203.0.113.9"), by("anonymous")]
    assert all(denied(ours, call) for call in outside)
