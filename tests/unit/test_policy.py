"""Resource policies judged offline: every rule of the IAM user guide that a bucket policy can turn on."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from holdfast.policy import Request, applies, covers, denies, dump, holds, load, merge, public_grants, samples

Json = dict[str, Any]

ME = "123456789012"
ROLE = f"arn:aws:iam::{ME}:role/team/etl"
BUCKET = "arn:aws:s3:::lake"
VPC, VPC_2, OTHER = "vpc-0a1b2c3d", "vpc-1a2b3c4d", "vpc-99999999"


@pytest.mark.parametrize(
    ("operator", "values", "found", "answer"),
    [
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", ["a", "b"], "c", False),
        ("StringEquals", ["A"], "a", False),
        ("StringEquals", ["a*"], "ab", False),
        ("StringEquals", ["a"], None, False),
        ("StringEqualsIfExists", ["a"], None, True),
        ("StringEqualsIfExists", ["a"], "b", False),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringNotEquals", ["a"], None, True),
        ("StringNotEqualsIfExists", ["a"], None, True),
        ("StringNotEqualsIfExists", ["a"], "a", False),
        ("StringEqualsIgnoreCase", ["VPC-1"], "vpc-1", True),
        ("StringNotEqualsIgnoreCase", ["VPC-1"], "vpc-1", False),
        ("StringLike", ["vpc-*"], "vpc-1", True),
        ("StringLike", ["vpc-?"], "vpc-12", False),
        ("StringLike", ["vpc-?"], "vpc-1", True),
        ("StringLike", ["*"], None, False),
        ("StringLike", ["a.c"], "abc", False),
        ("StringNotLike", ["vpc-*"], "vpc-1", False),
        ("StringNotLike", ["vpc-*"], None, True),
        ("ArnLike", [f"arn:aws:iam::{ME}:role/*"], ROLE, True),
        ("ArnLike", ["arn:aws:iam::*:role/team/etl"], ROLE, True),
        ("ArnEquals", [f"arn:aws:iam::{ME}:role/*"], ROLE, True),
        ("ArnLike", ["arn:*:role/team/etl"], ROLE, None),
        ("ArnLike", ["arn:aws:role/team/etl"], ROLE, False),
        ("ArnLike", [f"arn:aws:logs:*:{ME}:log-group:x:*"], f"arn:aws:logs:eu-west-1:{ME}:log-group:x:y", True),
        ("ArnLike", [f"arn:aws:logs:{ME}:log-group:x:*"], f"arn:aws:logs:eu-west-1:{ME}:log-group:x:y", False),
        ("ArnLike", ["arn:aws:*:role/x:y:z"], ROLE, False),
        ("ArnLike", [ROLE], None, False),
        ("ArnNotLike", [ROLE], None, True),
        ("ArnNotLike", [ROLE], ROLE, False),
        ("ArnNotLikeIfExists", [ROLE], ROLE + "x", True),
        ("Bool", ["false"], "false", True),
        ("Bool", ["False"], "false", True),
        ("Bool", ["false"], "true", False),
        ("Bool", ["false"], None, False),
        ("BoolIfExists", ["false"], None, True),
        ("Bool", ["true", "false"], "true", True),
        ("IpAddress", ["198.51.100.0/24"], "198.51.100.7", True),
        ("IpAddress", ["198.51.100.7"], "198.51.100.7", True),
        ("IpAddress", ["198.51.100.0/24"], "2001:db8::1", False),
        ("IpAddress", ["nonsense"], "198.51.100.7", None),
        ("NotIpAddress", ["198.51.100.0/24"], "198.51.100.7", False),
        ("NotIpAddress", ["198.51.100.0/24"], "203.0.113.7", True),
        ("NotIpAddress", ["198.51.100.0/24"], None, True),
        ("NumericLessThan", ["1.2"], "1.1", True),
        ("NumericLessThan", ["1.2"], "1.2", False),
        ("NumericLessThan", ["1.2"], None, False),
        ("NumericLessThanIfExists", ["1.2"], None, True),
        ("NumericLessThanEquals", ["1.2"], "1.2", True),
        ("NumericGreaterThan", ["1.2"], "1.3", True),
        ("NumericGreaterThanEquals", ["1.2"], "1.1", False),
        ("NumericNotEquals", ["1.2"], "1.1", True),
        ("NumericLessThan", ["many"], "1.1", None),
        ("NumericLessThan", ["-1", "01.20"], "1.1", True),
        ("Null", ["true"], None, True),
        ("Null", ["true"], "a", False),
        ("Null", ["false"], "a", True),
        ("Null", ["false"], None, False),
        ("ForAllValues:StringEquals", ["a"], None, True),
        ("ForAllValues:StringEquals", ["a"], "b", False),
        ("ForAllValues:StringNotEquals", ["a"], None, True),
        ("ForAnyValue:StringEquals", ["a"], None, False),
        ("ForAnyValue:StringEquals", ["a"], "a", True),
        ("ForAnyValue:StringNotEquals", ["a"], None, None),
        ("ForAnyValue:StringEqualsIfExists", ["a"], None, None),
        ("ForEveryValue:StringEquals", ["a"], "a", None),
        ("DateGreaterThan", ["2020-01-01"], "2026-01-01", None),
        ("BinaryEquals", ["QQ=="], "QQ==", None),
        ("stringequals", ["a"], "a", None),
        ("StringEquals", ["${aws:username}"], "a", None),
        ("StringNotEquals", ["${aws:SourceVpc}"], "a", None),
        ("StringNotLike", ["${*}"], "a", None),
        ("StringEquals", ["a", "${aws:username}"], "a", True),
        ("StringNotEquals", [], "a", None),
        ("StringNotEquals", [], None, None),
        ("Null", [], None, None),
    ],
)
def test_a_condition_holds_as_the_guide_says(
    operator: str, values: list[str], found: str | None, answer: bool | None
) -> None:
    """IAM user guide, "Condition operators": of a key that is absent, `…IfExists` and the negated operators hold."""
    assert holds(operator, values, found) is answer


def ask(**context: str | None) -> Request:
    keys = {name.replace("_", ":").lower(): value for name, value in context.items()}
    return Request("somebody", ROLE, "s3:GetObject", f"{BUCKET}/a", keys)


def statement(**elements: Any) -> Json:
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"} | elements


@pytest.mark.parametrize(
    ("principal", "answer"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ["999999999999", "*"]}, True),
        ({"AWS": ME}, True),
        ({"AWS": f"arn:aws:iam::{ME}:root"}, True),
        ({"AWS": "999999999999"}, False),
        ({"AWS": "arn:aws:iam::999999999999:root"}, False),
        ({"AWS": ROLE}, True),
        ({"AWS": ROLE + "-2"}, False),
        ({"AWS": f"arn:aws:iam::{ME}:user/etl"}, False),
        ({"AWS": f"arn:aws:sts::{ME}:assumed-role/etl/session"}, None),
        ({"AWS": f"arn:aws:sts::{ME}:assumed-role/other/session"}, False),
        ({"AWS": f"arn:aws:sts::{ME}:federated-user/bob"}, None),
        ({"AWS": "AROAEXAMPLEID1234567"}, None),
        ({"Service": "cloudtrail.amazonaws.com"}, False),
        ({"Federated": "cognito-identity.amazonaws.com"}, None),
        ({"CanonicalUser": "79a59df9"}, None),
        ({"CanonicalUser": "79a59df9", "AWS": ME}, True),
        ({}, False),
    ],
)
def test_a_principal_is_named_by_its_arn_its_account_and_a_star(principal: Any, answer: bool | None) -> None:
    assert applies(statement(Principal=principal), ask()) is answer


def test_a_service_is_named_by_its_name_alone() -> None:
    service = Request("logs", "delivery.logs.amazonaws.com", "s3:PutObject", f"{BUCKET}/a")
    named = [{"Service": each} for each in ("delivery.logs.amazonaws.com", "*", "s3.amazonaws.com")]
    assert [applies(statement(Principal=each), service) for each in (*named, {"AWS": ME})] == [True, True, False, False]


@pytest.mark.parametrize(
    ("excepted", "answer"),
    [({"AWS": "arn:aws:iam::999999999999:root"}, True), ({"AWS": ROLE}, None), ({"AWS": ME}, None), ("*", None)],
)
def test_not_principal_is_sure_only_of_those_it_does_not_name(excepted: Any, answer: bool | None) -> None:
    """IAM user guide, "NotPrincipal": a role is only excepted together with its session and its account."""
    unnamed = {name: value for name, value in statement().items() if name != "Principal"}
    assert applies(unnamed | {"NotPrincipal": excepted}, ask()) is answer


@pytest.mark.parametrize(
    ("elements", "answer"),
    [
        ({"Action": "s3:GetObject"}, True),
        ({"Action": "S3:getobject"}, True),
        ({"Action": ["s3:PutObject", "s3:Get*"]}, True),
        ({"Action": "s3:Get?bject"}, True),
        ({"Action": "*"}, True),
        ({"Action": "s3:GetObjectAcl"}, False),
        ({"Action": None, "NotAction": "s3:Put*"}, True),
        ({"Action": None, "NotAction": ["s3:Put*", "s3:getobject"]}, False),
        ({"Action": None}, None),
        ({"Resource": f"{BUCKET}/*"}, True),
        ({"Resource": f"{BUCKET}*"}, True),
        ({"Resource": BUCKET}, False),
        ({"Resource": [BUCKET, f"{BUCKET}/A"]}, False),
        ({"Resource": f"{BUCKET}/${{aws:username}}"}, None),
        ({"Resource": None, "NotResource": f"{BUCKET}/b/*"}, True),
        ({"Resource": None, "NotResource": f"{BUCKET}/*"}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": VPC}}}, True),
        ({"Condition": {"StringEquals": {"AWS:sourcevpc": VPC}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": VPC}, "Bool": {"aws:SecureTransport": False}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": VPC, "aws:PrincipalOrgID": "o-1"}}}, None),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": OTHER, "aws:PrincipalOrgID": "o-1"}}}, False),
        ({"Condition": {"Null": {"aws:PrincipalTag/x": "true"}}}, None),
        ({"Condition": {"Null": {"aws:SourceVpce": "true"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SecureTransport": True}}}, True),
        ({"Condition": None}, True),
    ],
)
def test_a_statement_applies_if_all_of_it_does(elements: Json, answer: bool | None) -> None:
    known = {name: value for name, value in statement(**elements).items() if value is not None}
    context = {"aws_SourceVpc": VPC, "aws_SourceVpce": None, "aws_SecureTransport": "true"}
    assert applies(known, ask(**context)) is answer


def test_a_denial_is_sure_unsure_or_absent() -> None:
    unsure = statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
    foreign = statement(Principal={"AWS": "999999999999"})
    allow = statement(Effect="Allow")
    cases = [[statement(), unsure], [unsure, allow], [foreign, allow], []]
    assert [denies({"Statement": found}, ask()) for found in cases] == [True, None, False, False]


ROLES = [ROLE, f"arn:aws:iam::{ME}:role/aws-service-role/*"]
RANGES = ["198.51.100.0/24", "2001:db8:7::/48"]
REQUIRED: Json = {
    "Sid": "Ours",
    "Effect": "Deny",
    "Principal": "*",
    "Action": ["s3:GetObject*", "s3:PutObject*"],
    "Resource": [BUCKET, f"{BUCKET}/*"],
    "Condition": {
        "StringNotEqualsIfExists": {"aws:SourceVpc": [VPC, VPC_2], "aws:PrincipalAccount": ["156460612806"]},
        "NotIpAddressIfExists": {"aws:SourceIp": RANGES},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"},
        "ArnNotLikeIfExists": {"aws:PrincipalArn": ROLES},
    },
}
TLS = statement(Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}})
HTTP = statement(Condition={"Bool": {"aws:SecureTransport": "false"}})

Change = Callable[[Json], object]
VPCS, IPS = "StringNotEqualsIfExists", "NotIpAddressIfExists"
BOOLS, ARNS = "BoolIfExists", "ArnNotLikeIfExists"


def condition(operator: str, **keys: Any) -> Change:
    """Sets or adds tests; the keys' `_` is a `:`."""
    found = {name.replace("_", ":", 1): value for name, value in keys.items()}
    return lambda s: s["Condition"].setdefault(operator, {}).update(found)


def instead(old: str, new: str, key: str, value: Any = None) -> Change:
    """Moves the test of a key to another operator, with another value if one is given."""

    def change(s: Json) -> None:
        was = s["Condition"][old].pop(key)
        s["Condition"].setdefault(new, {})[key] = was if value is None else value

    return change


def without(operator: str, key: str) -> Change:
    return lambda s: s["Condition"][operator].pop(key)


def element(**elements: Any) -> Change:
    return lambda s: s.update(elements)


def replaced(old: str, **elements: Any) -> Change:
    def change(s: Json) -> None:
        s.pop(old)
        s.update(elements)

    return change


def changed(change: Change) -> Json:
    found = copy.deepcopy(REQUIRED)
    change(found)
    return found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: None, id="the same"),
        pytest.param(element(Sid="Theirs"), id="another Sid"),
        pytest.param(element(Principal={"AWS": "*"}), id="AWS star"),
        pytest.param(element(Principal={"AWS": [ME, "*"]}), id="a star among others"),
        pytest.param(element(Action="s3:*"), id="wider action"),
        pytest.param(element(Action=["S3:PUTOBJECT*", "s3:getobject*"]), id="other case and order of actions"),
        pytest.param(element(Action=["s3:?etObject*", "s3:PutObj*"]), id="wider patterns"),
        pytest.param(element(Resource="*"), id="every resource"),
        pytest.param(element(Resource=f"{BUCKET}*"), id="one pattern for bucket and objects"),
        pytest.param(instead(VPCS, "StringNotEquals", "aws:SourceVpc"), id="the twin without IfExists"),
        pytest.param(instead(VPCS, "StringNotLike", "aws:SourceVpc"), id="a pattern without wildcards"),
        pytest.param(instead(VPCS, "ForAllValues:StringNotEquals", "aws:SourceVpc"), id="ForAllValues of one value"),
        pytest.param(instead(VPCS, VPCS, "aws:SourceVpc", [VPC_2, VPC]), id="values in another order"),
        pytest.param(instead(VPCS, VPCS, "aws:SourceVpc", VPC), id="fewer VPCs"),
        pytest.param(lambda s: s["Condition"].update(StringNotEquals={"AWS:SOURCEVPC": VPC}), id="key in capitals"),
        pytest.param(without(VPCS, "aws:PrincipalAccount"), id="a test less"),
        pytest.param(instead(ARNS, "ArnNotEquals", "aws:PrincipalArn"), id="ArnNotEquals is ArnNotLike"),
        pytest.param(instead(ARNS, "StringNotLike", "aws:PrincipalArn"), id="ARNs as strings"),
        pytest.param(instead(ARNS, ARNS, "aws:PrincipalArn", ROLE), id="fewer principals"),
        pytest.param(instead(ARNS, ARNS, "aws:PrincipalArn", ROLES[1] + "x*"), id="narrower pattern"),
        pytest.param(instead(BOOLS, BOOLS, "aws:ViaAWSService", [False]), id="a real boolean"),
        pytest.param(instead(BOOLS, BOOLS, "aws:ViaAWSService", ["true", "false"]), id="services denied too"),
        pytest.param(instead(IPS, "NotIpAddress", "aws:SourceIp"), id="addresses without IfExists"),
        pytest.param(instead(IPS, IPS, "aws:SourceIp", ["198.51.100.128/25", "2001:db8:7:1::/64"]), id="subnets"),
        pytest.param(condition("StringLikeIfExists", aws_UserAgent="*"), id="a test that always holds"),
        pytest.param(replaced("Condition"), id="no condition"),
    ],
)  # fmt: skip
def test_what_means_as_much_or_more_is_covered(change: Change) -> None:
    assert covers([changed(change)], REQUIRED)


def test_several_statements_may_cover_together() -> None:
    gets, puts = changed(element(Action="s3:GetObject*")), changed(element(Action="s3:PutObject*"))
    assert covers([statement(Effect="Allow"), puts, gets], REQUIRED)
    assert not covers([gets], REQUIRED)
    halves = [changed(element(Resource=BUCKET)), changed(element(Resource=f"{BUCKET}/*"))]
    assert covers(halves, REQUIRED)
    assert not covers(halves[:1], REQUIRED)


WEAKER = {
    "a VPC more": instead(VPCS, VPCS, "aws:SourceVpc", [VPC, VPC_2, OTHER]),
    "every VPC by pattern": instead(VPCS, "StringNotLike", "aws:SourceVpc", "vpc-*"),
    "a VPC and a pattern around it": instead(VPCS, "StringNotLike", "aws:SourceVpc", [VPC, "vpc-0a1b2c3?"]),
    "a pattern that begins like it": instead(VPCS, "StringNotLike", "aws:SourceVpc", [VPC + "*"]),
    "a star as VPC": instead(VPCS, "StringNotLike", "aws:SourceVpc", "*"),
    "a VPC in another case": instead(VPCS, VPCS, "aws:SourceVpc", [VPC, VPC.upper()]),
    "a VPC in any case": instead(VPCS, "StringNotEqualsIgnoreCase", "aws:SourceVpc"),
    "its own VPC by variable": instead(VPCS, VPCS, "aws:SourceVpc", [VPC, "${aws:SourceVpc}"]),
    "a variable of a star": instead(VPCS, "StringNotLike", "aws:SourceVpc", [VPC, "${*}"]),
    "the VPC asserted": instead(VPCS, "StringEquals", "aws:SourceVpc"),
    "another VPC asserted": instead(VPCS, "StringEqualsIfExists", "aws:SourceVpc", OTHER),
    "no VPCs": instead(VPCS, VPCS, "aws:SourceVpc", []),
    "the VPC must be there": condition("Null", **{"aws_SourceVpc": "false"}),
    "the VPC must be absent": condition("Null", **{"aws_SourceVpc": "true"}),
    "any value differs": instead(VPCS, "ForAnyValue:StringNotEquals", "aws:SourceVpc"),
    "any value differs, if it exists": instead(VPCS, "ForAnyValue:StringNotEqualsIfExists", "aws:SourceVpc"),
    "all values equal": instead(VPCS, "ForAllValues:StringEquals", "aws:SourceVpc"),
    "a second test of the VPC": condition("StringNotLike", aws_SourceVpc="vpc-9*"),
    "the key twice in other case": condition(VPCS, **{"aws_sourcevpc": [OTHER]}),
    "an account more": instead(VPCS, VPCS, "aws:PrincipalAccount", ["156460612806", "999999999999"]),
    "accounts by pattern": instead(VPCS, "StringNotLike", "aws:PrincipalAccount", "1564606128*"),
    "a principal more": instead(ARNS, ARNS, "aws:PrincipalArn", [*ROLES, f"arn:aws:iam::{ME}:user/eve"]),
    "a foreign principal": instead(ARNS, ARNS, "aws:PrincipalArn", [*ROLES, "arn:aws:iam::999999999999:root"]),
    "a star as principal": instead(ARNS, ARNS, "aws:PrincipalArn", ["*"]),
    "a star as principal, as string": instead(ARNS, "StringNotLike", "aws:PrincipalArn", ["*"]),
    "every role": instead(ARNS, ARNS, "aws:PrincipalArn", ["arn:aws:iam::*:role/*"]),
    "the role in every account": instead(ARNS, ARNS, "aws:PrincipalArn", ["arn:aws:iam::*:role/team/etl"]),
    "every role of ours": instead(ARNS, ARNS, "aws:PrincipalArn", [f"arn:aws:iam::{ME}:role/*"]),
    "a path that begins alike": instead(ARNS, ARNS, "aws:PrincipalArn", [f"arn:aws:iam::{ME}:role/aws-service-role*"]),
    "a path with holes": instead(ARNS, ARNS, "aws:PrincipalArn", [f"arn:aws:iam::{ME}:role/aws-service-role?*"]),
    "a role that begins alike": instead(ARNS, ARNS, "aws:PrincipalArn", [ROLE + "*"]),
    "its own principal by variable": instead(ARNS, ARNS, "aws:PrincipalArn", [*ROLES, "${aws:PrincipalArn}"]),
    "a tag in a principal": instead(ARNS, ARNS, "aws:PrincipalArn", ["arn:aws:iam::*:role/${aws:PrincipalTag/x}"]),
    "principals asserted": instead(ARNS, "ArnLike", "aws:PrincipalArn"),
    "principals asserted by pattern": instead(ARNS, "ArnLikeIfExists", "aws:PrincipalArn", "arn:aws:iam::*:user/*"),
    "Bool for BoolIfExists": instead(BOOLS, "Bool", "aws:PrincipalIsAWSService"),
    "only services": instead(BOOLS, BOOLS, "aws:PrincipalIsAWSService", "true"),
    "neither true nor false": instead(BOOLS, BOOLS, "aws:ViaAWSService", "no"),
    "services as text": instead(BOOLS, "StringEquals", "aws:ViaAWSService", "false"),
    "every address": instead(IPS, IPS, "aws:SourceIp", ["0.0.0.0/0"]),
    "half of the addresses": instead(IPS, IPS, "aws:SourceIp", [*RANGES, "0.0.0.0/1"]),
    "both halves": instead(IPS, IPS, "aws:SourceIp", ["0.0.0.0/1", "128.0.0.0/1"]),
    "every address of IPv6": instead(IPS, IPS, "aws:SourceIp", [*RANGES, "::/0"]),
    "a range twice as wide": instead(IPS, IPS, "aws:SourceIp", ["198.51.100.0/23"]),
    "an address more": instead(IPS, IPS, "aws:SourceIp", [*RANGES, "203.0.113.200/32"]),
    "addresses asserted": instead(IPS, "IpAddress", "aws:SourceIp"),
    "an address that is none": instead(IPS, IPS, "aws:SourceIp", [*RANGES, "office"]),
    "only in a Region": condition("StringEquals", aws_RequestedRegion="eu-west-1"),
    "only outside a Region": condition("StringNotEquals", aws_RequestedRegion="us-east-1"),
    "not for a user agent": condition("StringNotLike", aws_UserAgent="secret-*"),
    "for the user agents of many letters": condition("StringLikeIfExists", aws_UserAgent=["*e*", "*0*", "*1*", "*2*"]),
    "for user agents of three letters": condition("StringLikeIfExists", aws_UserAgent="???*"),
    "for user agents with a letter": condition("StringLikeIfExists", aws_UserAgent="?*"),
    "not from a referrer": condition("StringNotEquals", aws_Referer="https://evil.example"),
    "only a prefix": condition("StringLike", s3_prefix="public/*"),
    "not for an organisation": condition("StringNotEquals", aws_PrincipalOrgID="o-evil123456"),
    "not for a tag": condition("StringNotEquals", **{"aws_PrincipalTag/open": "yes"}),
    "not for an access point": condition("StringNotEquals", s3_DataAccessPointAccount="999999999999"),
    "only after a day": condition("DateGreaterThan", aws_CurrentTime="2090-01-01T00:00:00Z"),
    "only before a day": condition("DateLessThan", aws_EpochTime="1"),
    "only with a second factor": condition("Bool", aws_MultiFactorAuthPresent="true"),
    "only over plain HTTP": condition("Bool", aws_SecureTransport="false"),
    "only old TLS": condition("NumericLessThan", s3_TlsVersion="1.1"),
    "only by signature": condition("StringEquals", s3_authType="REST-HEADER"),
    "an operator nobody knows": condition("StringMatches", aws_UserAgent="*"),
    "an operator in small letters": instead(VPCS, "stringnotequals", "aws:SourceVpc"),
    "one action": element(Action="s3:GetObject"),
    "fewer actions": element(Action=["s3:GetObject*"]),
    "actions with a hole": element(Action=["s3:GetObject?*", "s3:PutObject*"]),
    "one action each": element(Action=["s3:GetObject", "s3:PutObject"]),
    "actions of a variable": element(Action=["s3:${*}"]),
    "no action": element(Action=[]),
    "all but": replaced("Action", NotAction="s3:GetObject"),
    "all but nothing": replaced("Action", NotAction="iam:*"),
    "only the bucket": element(Resource=BUCKET),
    "only the objects": element(Resource=f"{BUCKET}/*"),
    "only a prefix of objects": element(Resource=[BUCKET, f"{BUCKET}/public/*"]),
    "only nested objects": element(Resource=[BUCKET, f"{BUCKET}/*/*"]),
    "objects of one letter": element(Resource=[BUCKET, f"{BUCKET}/?"]),
    "objects with a letter": element(Resource=[BUCKET, f"{BUCKET}/?*"]),
    "another bucket": element(Resource=[f"{BUCKET}2", f"{BUCKET}2/*"]),
    "the bucket in capitals": element(Resource=[BUCKET.upper(), f"{BUCKET.upper()}/*"]),
    "the user's own objects": element(Resource=[BUCKET, f"{BUCKET}/${{aws:username}}/*"]),
    "a star that is only a star": element(Resource=[BUCKET, f"{BUCKET}/${{*}}"]),
    "all but a resource": replaced("Resource", NotResource=f"{BUCKET}/open/*"),
    "one account": element(Principal={"AWS": ME}),
    "a service": element(Principal={"Service": "s3.amazonaws.com"}),
    "every service": element(Principal={"Service": "*"}),
    "every federation": element(Principal={"Federated": "*"}),
    "one role": element(Principal={"AWS": ROLE}),
    "all but one": replaced("Principal", NotPrincipal={"AWS": "arn:aws:iam::999999999999:root"}),
    "all but nobody": replaced("Principal", NotPrincipal={"AWS": []}),
    "nobody": replaced("Principal"),
    "an Allow under our Sid": element(Effect="Allow"),
    "neither Allow nor Deny": element(Effect="deny"),
}  # fmt: skip


@pytest.mark.parametrize("change", WEAKER.values(), ids=WEAKER)
def test_what_means_less_is_found(change: Change) -> None:
    assert not covers([changed(change)], REQUIRED)


def test_a_weaker_copy_does_not_hide_a_strong_statement_nor_become_one() -> None:
    weak = changed(WEAKER["a VPC more"])
    assert covers([weak, REQUIRED], REQUIRED)
    assert not covers([weak, changed(WEAKER["a principal more"])], REQUIRED)


@pytest.mark.parametrize(
    ("operator", "value", "covered"),
    [
        ("NumericLessThan", "1.2", True),
        ("NumericLessThan", 1.2, True),
        ("NumericLessThan", "1.20", True),
        ("NumericLessThan", "1.3", True),
        ("NumericLessThanEquals", "1.2", True),
        ("NumericLessThanIfExists", "1.2", True),
        ("NumericLessThan", ["1.0", "1.2"], True),
        ("NumericNotEquals", "1.3", True),
        ("NumericLessThan", "1.1", False),
        ("NumericLessThan", "1.0", False),
        ("NumericLessThanEquals", "1.0", False),
        ("NumericEquals", "1.1", False),
        ("NumericNotEquals", "1.1", False),
        ("NumericGreaterThan", "1.2", False),
        ("NumericGreaterThan", "1.0", False),
        ("NumericLessThan", "nan", False),
        ("NumericLessThan", "twelve", False),
        ("StringLike", "1.*", False),
        ("ForAnyValue:NumericLessThan", "1.2", True),
    ],
)
def test_tls_versions_are_compared_as_numbers(operator: str, value: Any, covered: bool) -> None:
    assert covers([statement(Condition={operator: {"s3:TlsVersion": value}})], TLS) == covered


NO_NUMBERS = ("１.２", "1_2", " 1.2", "1.2\n", "infinity", "nan", "1e0", "1e400", "+1.3", "1.", ".5", "", "9" * 400)


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_what_only_python_takes_for_a_number_is_not_taken_for_one(effect: str, value: str) -> None:
    """IAM user guide, "Numeric condition operators": an integer or decimal value. Of another nobody knows."""
    for operator in ("NumericLessThan", "NumericGreaterThan", "NumericEquals", "NumericNotEquals"):
        found = statement(Effect=effect, Condition={operator: {"s3:TlsVersion": value}})
        assert applies(found, Request("", "x", "s3:GetObject", "arn:aws:s3:::lake/a", {"s3:tlsversion": "1.1"})) is None
        assert not covers([found], TLS)
    assert holds("NumericLessThan", ["1.2"], value) is None


def test_beside_a_small_number_there_are_numbers() -> None:
    assert "0.000001" in samples(["0.050001"])


ODD_SHAPES: dict[str, dict[str, Any]] = {
    "conditions in a list": {"Condition": [{"Bool": {"aws:SecureTransport": "false"}}]},
    "an empty list of conditions": {"Condition": []},
    "a condition in words": {"Condition": "x"},
    "no word at all": {"Condition": ""},
    "nothing": {"Condition": None},
    "an operator with a list": {"Condition": {"Bool": []}},
    "an operator with words": {"Condition": {"Bool": "x"}},
    "an operator with nothing": {"Condition": {"Bool": None}},
    "a Sid that is an object": {"Sid": {"HoldfastTls": 1}},
    "a Sid that is a list": {"Sid": ["HoldfastTls"]},
    "a Sid that is true": {"Sid": True},
}


@pytest.mark.parametrize("odd", ODD_SHAPES.values(), ids=ODD_SHAPES)
def test_a_policy_of_a_shape_that_iam_does_not_know_is_refused_and_raises_nothing_else(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a policy document: the (Sid|Condition) of a statement"):
        load(json.dumps({"Statement": [{"Effect": "Deny"}, {"Effect": "Deny"} | odd]}))


@pytest.mark.parametrize(
    ("found", "covered"),
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"AWS:securetransport": False}}, True),
        ({"BoolIfExists": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": ["true", "false"]}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"Bool": {"aws:SecureTransport": "0"}}, False),
        ({"Bool": {"aws:SecureTransport": []}}, False),
        ({"Null": {"aws:SecureTransport": "true"}}, False),
        ({"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "false"}}, False),
        ({"Bool": {"aws:SecureTransport": "false"}, "IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}, False),
        ({"Bool": {"aws:SecureTransport": "false"}, "IpAddress": {"aws:SourceIp": ["0.0.0.0/0", "::/0"]}}, False),
    ],
)
def test_plain_http_is_denied_to_everybody(found: Json, covered: bool) -> None:
    assert covers([statement(Condition=found)], HTTP) == covered


@pytest.mark.parametrize(
    ("mentioned", "asked"),
    [
        ("ab?c*", {None, "ab?c*", "AB?C*", "ab?c*x", "xab?c*", "abqc", "abqcx0", "abqca:b/c"}),
        ("1.2", {"1.2", "1.150000", "1.250000"}),
        ("198.51.100.77/24", {"198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"}),
        ("0.0.0.1", {"0.0.0.0", "0.0.0.1", "0.0.0.2"}),
        ("255.255.255.254", {"255.255.255.253", "255.255.255.254", "255.255.255.255"}),
        ("0.0.0.0/0", {"0.0.0.0", "255.255.255.255"}),
        ("2001:db8::/32", {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"}),
    ],
)
def test_a_condition_is_asked_on_and_beside_each_value_that_it_mentions(mentioned: str, asked: set[str | None]) -> None:
    assert asked <= set(samples([mentioned]))


def test_nothing_covers_and_nothing_is_covered_by_nothing() -> None:
    assert not covers([], REQUIRED)
    assert not covers([REQUIRED], REQUIRED | {"Action": []})


@pytest.mark.parametrize(
    ("text", "says"),
    [("[]", "^not a policy document$"), ('"x"', "^not a policy"), ("null", "^not a policy"), ("{", "."), ("", ".")],
)
def test_what_is_no_policy_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"Statement": [], "Statement": [{"Sid": "a"}]}',
        '{"Statement": [{"Effect": "Allow", "Effect": "Deny"}]}',
        '{"Statement": [{"Condition": {"Bool": {"a": "true", "a": "false"}}}]}',
    ],
)
def test_a_policy_that_says_a_thing_twice_is_not_read_as_if_the_last_word_counted(text: str) -> None:
    """IAM user guide, "Policy grammar notes": a key has one instance. Parsers differ in which of two they take."""
    with pytest.raises(ValueError, match="stands twice"):
        load(text)


def test_who_repeats_himself_is_told_where() -> None:
    with pytest.raises(ValueError, match="one of Sid, Effect stands twice"):
        load('{"Statement": [{"Sid": "a", "Effect": "Allow", "Effect": "Deny"}]}')


def test_a_policy_of_one_statement_is_read_as_one_of_a_list() -> None:
    assert load(json.dumps({"Version": "2012-10-17", "Statement": HTTP}))["Statement"] == [HTTP]
    assert load('{"Statement": [{"Sid": "a"}, "nonsense"]}') == {"Statement": [{"Sid": "a"}]}


def test_merging_puts_right_where_it_stood_and_adds_at_the_end() -> None:
    a, b, old = {"Sid": "A"}, {"Effect": "Allow"}, {"Sid": "X", "Effect": "Allow"}
    new, more = {"Sid": "X", "Effect": "Deny"}, {"Sid": "Y", "Effect": "Deny"}
    merged = merge({"Version": "2008-10-17", "Id": "i", "Statement": [a, old, b, old]}, [new, more])
    assert merged == {"Version": "2008-10-17", "Id": "i", "Statement": [a, new, b, more]}
    assert list(merged) == ["Version", "Id", "Statement"]


def test_a_policy_is_written_as_short_as_it_can_be() -> None:
    assert dump({"Sid": "für", "a": [1, 2]}) == '{"Sid":"für","a":[1,2]}'


def allow(principal: Any = "*", condition: Json | None = None, **more: Any) -> Json:
    found: Json = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}
    return found | ({"Condition": condition} if condition else {}) | more


def only(operator: str, key: str, value: Any) -> Json:
    return allow(condition={operator: {key: value}})


KEY = f"arn:aws:kms:eu-west-1:{ME}:key/1111aaaa-22bb-33cc-44dd-5555eeee6666"


@pytest.mark.parametrize(
    ("found", "public"),
    [
        (allow(), True),
        (allow({"AWS": "*"}), True),
        (allow({"AWS": [ME, "*"]}), True),
        (allow({"Federated": "graph.facebook.com"}), True),
        (allow({"Service": "*"}), True),
        ({"Effect": "Allow", "NotPrincipal": {"AWS": ME}, "Action": "s3:GetObject", "Resource": "*"}, True),
        (allow(Action="s3:PutObject"), True),
        (allow({"AWS": "arn:aws:iam::${aws:PrincipalAccount}:root"}), True),
        (only("StringEquals", "aws:PrincipalAccount", [ME, "anonymous"]), True),
        (only("StringEquals", "aws:userid", "AROAEXAMPLEID:session"), True),
        (only("StringLike", "s3:DataAccessPointArn", f"arn:aws:s3:us-west-2:{ME}:accesspoint/${{aws:username}}"), True),
        (only("IpAddress", "aws:SourceIp", ["44.0.0.0/8", "45.0.0.0/8"]), True),
        (only("IpAddress", "aws:SourceIp", "::ffff:0:0/96"), True),
        (only("StringLike", "aws:SourceVpc", "vpc-*"), True),
        (only("StringLike", "aws:SourceVpc", ["vpc-91237329", "vpc-?"]), True),
        (only("StringEquals", "aws:SourceVpc", "${aws:PrincipalTag/vpc}"), True),
        (only("StringEquals", "aws:SourceVpc", []), True),
        (only("StringEquals", "aws:SourceVpc", None), True),
        (only("StringNotEquals", "aws:SourceVpc", "vpc-91237329"), True),
        (only("StringEqualsIfExists", "aws:SourceVpc", "vpc-91237329"), True),
        (only("ForAllValues:StringEquals", "aws:SourceVpc", "vpc-91237329"), True),
        (only("Null", "aws:SourceVpc", "false"), True),
        (only("Bool", "aws:SecureTransport", "true"), True),
        (only("StringLike", "aws:Referer", "https://example.com/*"), True),
        (only("StringEquals", "aws:Referer", "https://example.com/"), True),
        (only("StringEquals", "aws:UserAgent", "secret"), True),
        (only("IpAddress", "aws:SourceIp", "0.0.0.0/0"), True),
        (only("IpAddress", "aws:SourceIp", "0.0.0.0/1"), True),
        (only("IpAddress", "aws:SourceIp", ["198.51.100.0/24", "128.0.0.0/7"]), True),
        (only("IpAddress", "aws:SourceIp", "::/0"), True),
        (only("IpAddress", "aws:SourceIp", "2000::/31"), True),
        (only("IpAddress", "aws:SourceIp", []), True),
        (only("NotIpAddress", "aws:SourceIp", "198.51.100.0/24"), True),
        (only("IpAddress", "aws:VpcSourceIp", "10.0.0.0/8"), True),
        (only("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/etl"), True),
        (only("StringEquals", "aws:PrincipalType", "Account"), True),
        (only("ArnLike", "s3:DataAccessPointArn", "arn:aws:s3:*:*:accesspoint/*"), True),
        (only("ArnLike", "s3:DataAccessPointArn", f"arn:aws:s3:us-west-2:{ME}:accesspoint/*"), False),
        (only("StringEquals", "aws:SourceVpc", "vpc-91237329"), False),
        (only("StringEquals", "aws:SourceVpce", "vpce-1a2b3c4d"), False),
        (only("StringLike", "AWS:SourceVpce", ["vpce-1a2b3c4d"]), False),
        (only("StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5"), False),
        (only("StringEquals", "aws:SourceAccount", ME), False),
        (only("StringEquals", "aws:SourceOwner", ME), False),
        (only("ArnEquals", "aws:SourceArn", "arn:aws:s3:::logs"), False),
        (only("StringEquals", "aws:userid", "AIDAEXAMPLEID"), False),
        (only("StringEquals", "s3:DataAccessPointAccount", ME), False),
        (only("StringEquals", "s3:x-amz-server-side-encryption-aws-kms-key-id", KEY), False),
        (only("IpAddress", "aws:SourceIp", ["198.51.100.0/24", "2001:db8::/32"]), False),
        (only("IpAddress", "aws:SourceIp", "10.0.0.0/8"), False),
        (only("IpAddress", "aws:SourceIp", "198.51.100.77/24"), False),
        (only("IpAddress", "aws:SourceIp", ["44.0.0.0/8", "44.0.0.0/9", "10.0.0.0/8", "192.168.0.0/16"]), False),
        (allow({"AWS": "arn:aws:iam::999999999999:root"}), False),
        (allow({"AWS": ["999999999999", ROLE]}), False),
        (allow({"Service": "cloudtrail.amazonaws.com"}), False),
        (allow({"CanonicalUser": "79a59df9"}), False),
        (allow(Effect="Deny"), False),
    ],
)
def test_a_grant_is_public_as_s3_means_it(found: Json, public: bool) -> None:
    """S3 user guide, "Blocking public access to your Amazon S3 storage": The meaning of "public"."""
    assert bool(public_grants({"Statement": [statement(), found]})) == public
