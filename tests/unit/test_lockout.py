"""Whoever must get in still does, after any write of s3-vpc-only-policy, and nobody from outside.

Owners' policies and settings are made by hypothesis; what they and the merged policy mean is decided by tests/iam.py,
which shares nothing with the guardrail. Who must get in is told from the settings' own words, not from its code.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from holdfast import Arn, Case, SharedSettings, shape
from holdfast_cli import project
from hypothesis import assume, given
from hypothesis import strategies as st
from iam import Call, Json, denied, granted
from support import HERE, ME

guardrail = project.load("s3-vpc-only-policy")

BUCKET = HERE.bucket("lake")
OTHER = "999999999999"
BREAK_GLASS = f"arn:aws:iam::{ME}:role/emergency/break-glass"
BREAK_GLASS_USER = f"arn:aws:iam::{ME}:user/firefighter"
REPLICATION = f"arn:aws:iam::{ME}:role/service-role/replication"
LINKED = f"arn:aws:iam::{ME}:role/aws-service-role/macie.amazonaws.com/AWSServiceRoleForAmazonMacie"
SERVICES = ("cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com", "logging.s3.amazonaws.com")
OURS = ("HoldfastVpcOnly", "HoldfastCloudFront", "HoldfastTls", "HoldfastTlsVersion")
OBJECT_CALLS = ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:RestoreObject")
DATA_CALLS = (*OBJECT_CALLS, "s3:ListBucket", "s3:ListBucketVersions", "s3:AbortMultipartUpload")
POLICY_CALLS = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")

VPCS = [f"vpc-{digit * 17}" for digit in "0123"]
ORGANIZATION = "o-a1b2c3d4e5"
ROLES = [f"arn:aws:iam::{ME}:role/{name}" for name in ("etl", "glue/nightly", "redshift")]
NETWORKS = {"198.51.100.0/24": "198.51.100.77", "2001:db8:7::/48": "2001:db8:7::9", "203.0.113.7": "203.0.113.7"}
LOAD_BALANCERS = ["156460612806", "127311923021"]
INTERNET = "cloudfront.amazonaws.com"
DISTRIBUTIONS = [f"arn:aws:cloudfront::{ME}:distribution/E{n}LAKE" for n in range(3)]

one = st.sampled_from


def some(values: Any, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(one(list(values)), unique=True, min_size=least)


@st.composite
def configurations(draw: st.DrawFn) -> Json:
    found: Json = {"buckets": ["lake"], "service_role_arns": draw(some([*ROLES, f"arn:aws:iam::{ME}:role/glue/*"]))}
    found["log_delivery_accounts"] = draw(some(LOAD_BALANCERS))
    found["allowed_source_ips"] = draw(some(NETWORKS))
    found["cloudfront_distributions"] = draw(some(DISTRIBUTIONS[:2]))
    found["minimum_tls"] = draw(one(["1.2", "1.3"]))
    if draw(st.booleans()):
        found["organization_id"] = ORGANIZATION
    if "organization_id" not in found or draw(st.booleans()):
        found["vpc_ids"] = draw(some(VPCS[:3], least=1))
    if draw(st.booleans()):
        found["deny_actions"] = draw(some(["s3:GetObject*", "s3:PutObject*", "s3:ListBucket*"], least=1))
    return found


def case(configuration: Json) -> Any:
    shared = SharedSettings(break_glass_arns=(BREAK_GLASS, BREAK_GLASS_USER))
    return Case(Arn(BUCKET), shape.parse(guardrail.Settings, configuration), shared, None, HERE)


def planned(policy: Json | None, configuration: Json) -> Json | None:
    """The policy that the fix puts; None where nothing is written."""
    violation = guardrail.evaluate(guardrail.Bucket("lake", policy, REPLICATION), case(configuration))
    if violation is None or not violation.fix:
        return None
    after: Json = json.loads(violation.fix[0].parameters["Policy"])
    return after


def call(principal: str, action: str, **keys: str) -> Call:
    """A call over TLS from the internet, but for what `keys` say."""
    found = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", "aws:RequestedRegion": HERE.region}
    found |= {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}
    if principal.startswith("arn:"):
        found |= {"aws:PrincipalArn": role_of(principal), "aws:PrincipalAccount": principal.split(":")[4]}
    elif principal in (*SERVICES, INTERNET):
        found |= {"aws:PrincipalServiceName": principal, "aws:PrincipalIsAWSService": "true", "aws:SourceAccount": ME}
    if not keys.keys() & {"SourceVpc", "SourceIp"}:
        found["aws:SourceIp"] = "192.0.2.33"
    found |= {f"aws:{key}": value for key, value in keys.items()}
    bucket_call = action.startswith("s3:List") or "BucketPolicy" in action
    return Call(principal, action, BUCKET if bucket_call else f"{BUCKET}/raw/part-0", found)


def role_of(principal: str) -> str:
    """Of a session, the role: IAM user guide, "aws:PrincipalArn"."""
    if ":assumed-role/" not in principal:
        return principal
    name = principal.split("/")[1]
    return next(role for role in (BREAK_GLASS, HERE.role) if role.endswith(f"/{name}"))


def protected(configuration: Json) -> Iterator[Call]:
    """Who must get in, as the settings' documentation names them."""
    administrator, somebody = f"arn:aws:iam::{ME}:role/administrator", f"arn:aws:iam::{ME}:role/somebody"
    for action in POLICY_CALLS:
        yield from (call(who, action) for who in (HERE.role, administrator, f"arn:aws:iam::{ME}:root", BREAK_GLASS))
        yield from (call(somebody, action, SourceVpc=vpc) for vpc in VPCS)
    sessions = [f"arn:aws:sts::{ME}:assumed-role/{name}/x" for name in ("break-glass", "guardrail")]
    insiders = [BREAK_GLASS, BREAK_GLASS_USER, HERE.role, REPLICATION, LINKED, *sessions]
    insiders += [role.replace("*", "hourly") for role in configuration["service_role_arns"]]
    for action in DATA_CALLS:
        yield from (call(who, action) for who in insiders)
        yield call(somebody, action, ViaAWSService="true")
        yield from (call(somebody, action, SourceVpc=vpc) for vpc in configuration.get("vpc_ids", []))
        yield from (call(somebody, action, SourceIp=NETWORKS[n]) for n in configuration["allowed_source_ips"])
        if "organization_id" in configuration:
            yield call(somebody, action, SourceVpc=VPCS[3], VpceOrgID=ORGANIZATION)
    yield from (call(name, "s3:PutObject") for name in SERVICES)
    yield from (call(INTERNET, "s3:GetObject", SourceArn=each) for each in configuration["cloudfront_distributions"])
    yield from (call(f"arn:aws:iam::{n}:root", "s3:PutObject") for n in configuration["log_delivery_accounts"])


def unsigned(action: str) -> Call:
    """With no key about its principal: "Anonymous requests do not include this key", says the guide of several."""
    found = call("anonymous", action)
    return replace(found, keys={name: value for name, value in found.keys.items() if "AWSService" not in name})


def outsiders(configuration: Json) -> Iterator[Call]:
    mallory, foreign = f"arn:aws:iam::{ME}:user/mallory", f"arn:aws:iam::{OTHER}:role/x"
    strangers = ["anonymous", foreign, mallory, f"arn:aws:iam::{ME}:root", f"arn:aws:iam::{ME}:role/administrator"]
    for action in ("s3:GetObject", "s3:PutObject", "s3:ListBucket"):
        if is_denied_to_others(action, configuration):
            yield from (call(who, action) for who in strangers)
            yield unsigned(action)
            yield call(mallory, action, SourceVpc=VPCS[3])
            yield call(foreign, action, SourceVpc=VPCS[3], VpceOrgID="o-zzzzzzzzzz")
            yield call(mallory, action, SourceIp="198.51.101.1")
            unlisted = {*DISTRIBUTIONS} - {*configuration["cloudfront_distributions"]}
            yield from (call(INTERNET, action, SourceArn=each) for each in sorted(unlisted))
    plain = {"SecureTransport": "false"}
    yield from (call(who, "s3:GetObject", **plain) for who in (*strangers, BREAK_GLASS, HERE.role))
    old = call(foreign, "s3:GetObject")
    yield replace(old, keys={**old.keys, "s3:TlsVersion": "1.1"})


def is_denied_to_others(action: str, configuration: Json) -> bool:
    return any(action.startswith(each.rstrip("*")) for each in configuration.get("deny_actions", [action]))


PRINCIPALS = [
    "*",
    {"AWS": "*"},
    {"AWS": ME},
    {"AWS": f"arn:aws:iam::{OTHER}:root"},
    {"AWS": [BREAK_GLASS, *ROLES]},
    {"AWS": [HERE.role, REPLICATION]},
    {"AWS": f"arn:aws:iam::{ME}:role/somebody"},
    {"Service": [*SERVICES, INTERNET]},
    {"AWS": [f"arn:aws:iam::{n}:root" for n in LOAD_BALANCERS]},
]
ACTIONS = ["s3:*", "*", "s3:Get*", "s3:PutObject", "s3:*BucketPolicy", ["s3:GetObject", "s3:ListBucket"], "s3:Delete*"]
RESOURCES = [[BUCKET, f"{BUCKET}/*"], "*", f"{BUCKET}*", f"{BUCKET}/raw/*", BUCKET]
CONDITIONS: list[Json] = [
    {},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"StringEquals": {"aws:SourceVpc": VPCS[:2]}},
    {"StringNotEquals": {"aws:SourceVpc": VPCS[0]}},
    {"StringNotEqualsIfExists": {"aws:VpceOrgID": ORGANIZATION}},
    {"ArnNotLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ME}:role/*"]}},
    {"ArnLike": {"aws:PrincipalArn": [BREAK_GLASS, HERE.role]}},
    {"StringLike": {"aws:PrincipalArn": f"arn:aws:iam::{ME}:role/glue/*"}},
    {"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}},
    {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}},
    {"Null": {"aws:SourceVpc": "true"}},
    {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}},
    {"StringEquals": {"aws:PrincipalAccount": ME}},
    {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    {"ForAnyValue:StringEquals": {"aws:SourceVpc": VPCS}},
    {"ForAllValues:StringNotEquals": {"aws:SourceVpc": VPCS}},
    {"StringEquals": {"aws:PrincipalArn": "${aws:PrincipalArn}"}},
]


@st.composite
def statements(draw: st.DrawFn) -> Json:
    found: Json = {"Effect": draw(one(["Allow", "Allow", "Deny"]))}
    found[draw(one(["Principal"] * 5 + ["NotPrincipal"]))] = draw(one(PRINCIPALS))
    found[draw(one(["Action"] * 5 + ["NotAction"]))] = draw(one(ACTIONS))
    found[draw(one(["Resource"] * 5 + ["NotResource"]))] = draw(one(RESOURCES))
    if condition := draw(one(CONDITIONS)):
        found["Condition"] = condition
    return found


owners = st.lists(statements(), max_size=5).map(lambda found: {"Version": "2012-10-17", "Statement": found})


@given(owners, configurations())
def test_whoever_must_get_in_has_what_the_owner_gave(policy: Json, configuration: Json) -> None:
    after = planned(policy, configuration)
    assume(after is not None)
    lost = [c for c in protected(configuration) if denied(after or {}, c) and granted(policy, c)]
    assert lost == []


@given(owners, configurations())
def test_nobody_who_must_get_in_is_denied_that_was_not_denied_before(policy: Json, configuration: Json) -> None:
    """What an identity policy or another account's grants gave also stays."""
    after = planned(policy, configuration)
    assume(after is not None)
    shut = [c for c in protected(configuration) if denied(after or {}, c) and not denied(policy, c)]
    assert shut == []


@given(owners, configurations())
def test_no_outsider_gets_in_afterwards_whatever_the_owner_gave(policy: Json, configuration: Json) -> None:
    after = planned(policy, configuration)
    assume(after is not None)
    assert [c for c in outsiders(configuration) if not denied(after or {}, c)] == []


@given(owners, configurations(), st.data())
def test_the_same_holds_when_somebody_tampered_with_ours(
    policy: Json, configuration: Json, data: st.DataObject
) -> None:
    ours = json.loads(json.dumps(guardrail.required(guardrail.Bucket("lake"), case(configuration))))
    bent = data.draw(one(ours)) | data.draw(one([{"Action": "s3:ListBucket"}, {"Effect": "Allow"}, {"Condition": {}}]))
    before = policy | {"Statement": [bent, *policy["Statement"]]}
    after = planned(before, configuration)
    assume(after is not None)
    assert [c for c in protected(configuration) if denied(after or {}, c) and granted(policy, c)] == []
    assert [c for c in outsiders(configuration) if not denied(after or {}, c)] == []


@given(configurations())
def test_a_bucket_without_policy_is_closed_to_outsiders_and_open_to_the_rest(configuration: Json) -> None:
    after = planned(None, configuration)
    assert after is not None
    assert [c for c in protected(configuration) if denied(after, c)] == []
    assert [c for c in outsiders(configuration) if not denied(after, c)] == []


@given(owners, configurations())
def test_a_fix_never_takes_the_policy_out_of_an_administrators_hands(policy: Json, configuration: Json) -> None:
    """The owner's way back: whoever could change the policy from anywhere still can, over TLS."""
    after = planned(policy, configuration)
    assume(after is not None)
    hands = [call(f"arn:aws:iam::{ME}:{who}", a) for who in ("root", "role/administrator") for a in POLICY_CALLS]
    assert [c for c in hands if denied(after or {}, c) and not denied(policy, c)] == []
