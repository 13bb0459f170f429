"""Decisions of s3-vpc-only-policy, as tables; and on moto what it asks, what it writes and what it leaves to people."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from holdfast import ApiCall, Arn, BadEvent, Case, Event, SharedSettings, shape
from holdfast.perimeter import request
from holdfast.policy import denies, load
from holdfast.world import World
from holdfast_cli import project
from incidents import s3_vpc_only_policy as incidents
from incidents.s3_vpc_only_policy import (
    BUCKET,
    ETL,
    OTHER_VPC,
    OWNERS,
    REPLICATION,
    SETTINGS,
    VPC,
    document,
    found,
    ours,
    put,
)
from support import HERE, ME, REGION, Result, account, call, heard, look, make_bucket, run

ID = "s3-vpc-only-policy"
guardrail = project.load(ID)
Bucket = guardrail.Bucket
BREAK_GLASS = f"arn:aws:iam::{ME}:role/break-glass"
ALL = ("HoldfastVpcOnly", "HoldfastCloudFront", "HoldfastTls", "HoldfastTlsVersion")

Json = dict[str, Any]


def case(target: str = BUCKET, *, break_glass: tuple[str, ...] = (), **settings: Any) -> Any:
    parsed = shape.parse(guardrail.Settings, SETTINGS | settings)
    return Case(Arn(target), parsed, SharedSettings(break_glass_arns=break_glass), None, HERE)


def decide(policy: Json | None, *, bucket: Json | None = None, **settings: Any) -> Any:
    return guardrail.evaluate(Bucket("lake", policy, **(bucket or {})), case(**settings))


def written(violation: Any) -> Json:
    (put_,) = violation.fix
    assert (put_.service, put_.operation, put_.parameters["Bucket"]) == ("s3", "put_bucket_policy", "lake")
    return dict(json.loads(put_.parameters["Policy"]))


def perimeter(violation: Any) -> Json:
    (only,) = [s for s in written(violation)["Statement"] if s.get("Sid") == ALL[0]]
    return dict(only["Condition"])


def changed(change: Callable[[list[Json]], object]) -> Json:
    statements = copy.deepcopy(ours())
    change(statements)
    return document(OWNERS, *statements)


def test_what_the_settings_ask_for_is_compliant() -> None:
    assert decide(document(*ours())) is None
    assert decide(document(OWNERS, *reversed(ours()))) is None


def test_a_bucket_without_policy_gets_ours_and_undo_takes_it_away() -> None:
    violation = decide(None)
    lacks = "lacks HoldfastVpcOnly, lacks HoldfastCloudFront, lacks HoldfastTls, lacks HoldfastTlsVersion"
    assert violation.what == f"the policy of lake {lacks}"
    assert written(violation) == {"Version": "2012-10-17", "Statement": ours()}
    assert violation.undo == (ApiCall("s3", "delete_bucket_policy", {"Bucket": "lake"}),)


def test_ours_are_merged_and_undo_brings_back_the_policy_that_was_there() -> None:
    before = document(OWNERS, ours()[2])
    violation = decide(before)
    assert written(violation) == document(OWNERS, ours()[2], *ours()[:2], ours()[3])
    (back,) = violation.undo
    assert (back.service, back.operation) == ("s3", "put_bucket_policy")
    assert json.loads(back.parameters["Policy"]) == before


OTHERWISE = "says something else than the settings in Holdfast"


def vpcs(statements: list[Json]) -> list[str]:
    found: list[str] = statements[0]["Condition"]["StringNotEqualsIfExists"]["aws:SourceVpc"]
    return found


def older(statements: list[Json], version: str) -> None:
    statements[3]["Condition"]["NumericLessThan"]["s3:TlsVersion"] = version


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop(0), "lacks HoldfastVpcOnly"),
        (lambda s: s.pop(2), "lacks HoldfastTls"),
        (lambda s: s.pop(3), "lacks HoldfastTlsVersion"),
        (lambda s: s.pop(1), "lacks HoldfastCloudFront"),
        (lambda s: vpcs(s).append(OTHER_VPC), "weakens HoldfastVpcOnly"),
        (lambda s: s[0]["Condition"].update(Bool=s[0]["Condition"].pop("BoolIfExists")), "weakens HoldfastVpcOnly"),
        (lambda s: s[0].update(Effect="Allow"), "weakens HoldfastVpcOnly"),
        (lambda s: s[2].update(Resource=BUCKET), "weakens HoldfastTls"),
        (lambda s: s[2].update(Principal={"AWS": ME}), "weakens HoldfastTls"),
        (lambda s: older(s, "1.1"), "weakens HoldfastTlsVersion"),
        (lambda s: vpcs(s).clear(), "weakens HoldfastVpcOnly"),
        (lambda s: s[0].update(Action="s3:*"), OTHERWISE + "VpcOnly"),
        (lambda s: s[0].pop("Condition"), OTHERWISE + "VpcOnly"),
        (lambda s: s[0]["Condition"].pop("ArnNotLikeIfExists"), OTHERWISE + "VpcOnly"),
        (lambda s: s[0]["Condition"].pop("BoolIfExists"), OTHERWISE + "VpcOnly"),
        (lambda s: older(s, "1.3"), OTHERWISE + "TlsVersion"),
        (lambda s: s.append(s[0] | {"Effect": "Allow"}), OTHERWISE + "VpcOnly"),
    ],
)  # fmt: skip
def test_ours_are_put_right_wherever_they_say_less_or_more(change: Callable[[list[Json]], object], says: str) -> None:
    violation = decide(changed(change))
    assert violation.what == f"the policy of lake {says}"
    after = written(violation)
    assert decide(after) is None
    assert sorted(s["Sid"] for s in after["Statement"]) == sorted([*ALL, "PartnerReads"])
    assert after["Statement"][0] == OWNERS


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[0]["Condition"].update(StringNotEquals=s[0]["Condition"].pop("StringNotEqualsIfExists")),
        lambda s: s[0]["Condition"].update(ArnNotLike=s[0]["Condition"].pop("ArnNotLikeIfExists")),
        lambda s: s[2].update(Action="s3:*", Principal={"AWS": "*"}),
        lambda s: s[2].update(Sid="DenyInsecureTransport"),
        lambda s: s[2]["Condition"]["Bool"].update({"aws:SecureTransport": [False]}),
    ],
)
def test_another_spelling_is_left_alone(change: Callable[[list[Json]], object]) -> None:
    assert decide(changed(change)) is None


TABLE: list[tuple[Json, str, str, Any]] = [
    ({"vpc_ids": [VPC, OTHER_VPC]}, "StringNotEqualsIfExists", "aws:SourceVpc", [VPC, OTHER_VPC]),
    ({"organization_id": "o-a1b2c3d4e5"}, "StringNotEqualsIfExists", "aws:VpceOrgID", ["o-a1b2c3d4e5"]),
    ({"log_delivery_accounts": ["156460612806"]}, "StringNotEqualsIfExists", "aws:PrincipalAccount", ["156460612806"]),
    ({"allowed_source_ips": ["198.51.100.0/24"]}, "NotIpAddressIfExists", "aws:SourceIp", ["198.51.100.0/24"]),
]


@pytest.mark.parametrize(("settings", "operator", "key", "values"), TABLE)
def test_every_way_in_of_the_settings_is_in_the_perimeter(settings: Json, operator: str, key: str, values: Any) -> None:
    violation = decide(document(*ours()), **settings)
    assert violation.what.startswith("the policy of lake says something else than the settings in HoldfastVpcOnly")
    assert perimeter(violation)[operator][key] == values
    assert decide(written(violation), **settings) is None
    assert decide(written(violation)).what == "the policy of lake weakens HoldfastVpcOnly"


def test_an_organisation_may_stand_in_for_the_vpcs() -> None:
    found_ = perimeter(decide(None, vpc_ids=[], organization_id="o-a1b2c3d4e5"))
    assert found_["StringNotEqualsIfExists"] == {"aws:VpceOrgID": ["o-a1b2c3d4e5"]}


ATHENA: Json = {"viaawsservice": "true", "principalorgid": None}
DELIVERING = ("cloudtrail", "delivery.logs", "logging.s3")
OURS = f"arn:aws:cloudfront::{ME}:distribution/EDFDVBD6EXAMPLE"
DELIVERED: Json = {"principalisawsservice": "true", "sourceaccount": None, "sourceorgid": None}


@pytest.mark.parametrize(
    ("principal", "keys", "shut_out"),
    [
        ("arn:aws:iam::999999999999:role/thief", ATHENA | {"principalorgid": "o-zzzzzzzzzz"}, True),
        ("arn:aws:iam::999999999999:role/thief", ATHENA, True),
        (f"arn:aws:iam::{ME}:role/analyst", ATHENA, False),
        ("arn:aws:iam::222222222222:role/analyst", ATHENA | {"principalorgid": "o-a1b2c3d4e5"}, False),
        (BREAK_GLASS, ATHENA, False),
        ("cloudfront.amazonaws.com", DELIVERED | {"sourceaccount": "999999999999"}, True),
        ("cloudfront.amazonaws.com", DELIVERED | {"sourceaccount": "999999999999", "sourceorgid": "o-zz"}, True),
        ("delivery.logs.amazonaws.com", DELIVERED | {"sourceaccount": ME}, False),
        ("delivery.logs.amazonaws.com", DELIVERED | {"sourceaccount": "2", "sourceorgid": "o-a1b2c3d4e5"}, False),
        ("delivery.logs.amazonaws.com", DELIVERED | {"sourceaccount": "156460612806"}, False),
        ("logging.s3.amazonaws.com", DELIVERED, False),
    ],
)
def test_with_an_organisation_services_let_in_nobody_from_outside_it(principal: str, keys: Any, shut_out: bool) -> None:
    settings: Json = {"organization_id": "o-a1b2c3d4e5", "log_delivery_accounts": ["156460612806"]}
    policy = written(decide(None, **settings))
    assert denies(policy, request(Arn(BUCKET), "somebody", principal, "s3:GetObject", **keys)) is shut_out


@pytest.mark.parametrize("settings", [{}, {"organization_id": "o-a1b2c3d4e5"}])
def test_cloudfront_hands_a_data_bucket_to_the_internet_only_where_the_settings_say_so(settings: Json) -> None:
    """CloudFront guide, "Restricting access to an Amazon S3 origin": the grant is not public for S3."""
    grant = {"Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"}, "Action": "s3:GetObject"}
    here: Json = {"StringEquals": {"aws:SourceArn": OURS, "aws:SourceAccount": ME}}
    opened = document(OWNERS, grant | {"Resource": f"{BUCKET}/*", "Condition": here})
    shut, meant = (written(decide(opened, **settings, cloudfront_distributions=each)) for each in ([], [OURS]))
    by: Json = {"principalisawsservice": "true", "sourceaccount": ME}
    reads = request(Arn(BUCKET), "a reader", "cloudfront.amazonaws.com", "s3:GetObject", **by, sourcearn=OURS)
    others = request(Arn(BUCKET), "a reader", "cloudfront.amazonaws.com", "s3:GetObject", **by, sourcearn=OURS + "2")
    assert (denies(shut, reads), denies(meant, reads), denies(meant, others)) == (True, False, True)
    assert decide(meant, **settings).what.endswith("weakens HoldfastCloudFront")


def test_objects_are_not_put_under_another_key_from_outside() -> None:
    """S3 API, UpdateObjectEncryption: it needs no right to read or write the object."""
    outside = request(Arn(BUCKET), "a thief", f"arn:aws:iam::{ME}:role/stolen", "s3:UpdateObjectEncryption")
    assert denies(written(decide(None)), outside) is True


@pytest.mark.parametrize(
    ("who", "action", "let_in"),
    [
        (REPLICATION, "s3:ReplicateObject", {"service_role_arns": [REPLICATION]}),
        ("arn:aws:iam::156460612806:root", "s3:PutObject", {"log_delivery_accounts": ["156460612806"]}),
        ("156460612806", "s3:Put*", {"log_delivery_accounts": ["156460612806"]}),
    ],
)
def test_who_no_longer_delivers_into_a_data_bucket_is_told(who: str, action: str, let_in: Json) -> None:
    """Replicas and load balancers' logs come from no VPC: they would stop, and nobody would know why."""
    grant = {"Effect": "Allow", "Principal": {"AWS": who}, "Action": [action], "Resource": f"{BUCKET}/*"}
    violation = decide(document(OWNERS, grant))
    said = f"The fix keeps {who} from delivering: if that is not meant, the settings must name it."
    assert (violation.todo, bool(violation.fix)) == (said, True)
    assert decide(document(OWNERS, grant), **let_in).todo == ""
    assert decide(document(OWNERS, grant | {"Effect": "Deny"})).todo == ""


def test_a_distribution_of_another_account_of_the_organisation_can_be_let_in() -> None:
    theirs = OURS.replace(ME, "999999999999")
    settings: Json = {"organization_id": "o-a1b2c3d4e5", "cloudfront_distributions": [theirs]}
    policy = written(decide(None, **settings))
    by: Json = {"principalisawsservice": "true", "sourcearn": theirs, "sourceaccount": "999999999999"}
    reads = [
        request(Arn(BUCKET), "a reader", "cloudfront.amazonaws.com", "s3:GetObject", **by, sourceorgid=organization)
        for organization in ("o-a1b2c3d4e5", "o-zzzzzzzzzz")
    ]
    assert [denies(policy, each) for each in reads] == [False, True]


def test_all_who_must_still_get_in_are_asked_for_one_by_one() -> None:
    """What isn't asked for here could be locked out, and nobody would know."""
    settings: Json = {"organization_id": "o-a1b2c3d4e5", "allowed_source_ips": ["198.51.100.0/24"]}
    settings |= {"service_role_arns": [f"arn:aws:iam::{ME}:role/glue-?-*"], "cloudfront_distributions": [OURS]}
    asked = list(guardrail.protected(Bucket("lake", replication_role=REPLICATION), case(**settings)))
    assert {each.resource for each in asked if each.action.endswith("Object")} == {f"{BUCKET}/data/part-0"}
    assert {each.resource for each in asked if not each.action.endswith("Object")} == {BUCKET}
    somebody, linked = (f"arn:aws:iam::{ME}:role/{name}" for name in ("somebody", "aws-service-role/"))
    assert [(each.who, each.principal, each.action) for each in asked] == [
        ("the policy's administrators", f"arn:aws:iam::{ME}:role/administrator", "s3:GetBucketPolicy"),
        ("the policy's administrators", f"arn:aws:iam::{ME}:role/administrator", "s3:PutBucketPolicy"),
        ("the policy's administrators", f"arn:aws:iam::{ME}:role/administrator", "s3:DeleteBucketPolicy"),
        (HERE.role, HERE.role, "s3:GetObject"),
        (REPLICATION, REPLICATION, "s3:GetObject"),
        (f"arn:aws:iam::{ME}:role/glue-?-*", f"arn:aws:iam::{ME}:role/glue-x-somebody", "s3:GetObject"),
        (f"{linked}*", f"{linked}somebody", "s3:GetObject"),
        *((f"{name}.amazonaws.com", f"{name}.amazonaws.com", "s3:PutObject") for name in DELIVERING),
        (OURS, "cloudfront.amazonaws.com", "s3:GetObject"),
        ("Athena and others on a caller's behalf", somebody, "s3:GetObject"),
        (VPC, somebody, "s3:GetObject"),
        (VPC, somebody, "s3:PutObject"),
        ("198.51.100.0/24", somebody, "s3:GetObject"),
        ("o-a1b2c3d4e5", somebody, "s3:GetObject"),
    ]
    keys = {each.who: each.context for each in asked}
    assert keys[VPC]["aws:sourcevpc"] == VPC
    assert keys["198.51.100.0/24"]["aws:sourceip"] == "198.51.100.0"
    assert keys["o-a1b2c3d4e5"]["aws:vpceorgid"] == "o-a1b2c3d4e5"
    assert keys["Athena and others on a caller's behalf"]["aws:viaawsservice"] == "true"
    assert keys[OURS].items() >= {"aws:sourcearn": OURS, "aws:sourceaccount": ME}.items()
    assert {keys[who]["aws:principalisawsservice"] for who in (OURS, "logging.s3.amazonaws.com")} == {"true"}
    assert keys["logging.s3.amazonaws.com"]["aws:sourceaccount"] == ME


def test_a_policy_that_lets_any_accounts_services_in_is_mended() -> None:
    settings: Json = {"organization_id": "o-a1b2c3d4e5"}
    policy = written(decide(None, **settings))
    assert decide(policy, **settings) is None
    for sid in ("HoldfastCloudFront", "HoldfastForwarded", "HoldfastServices"):
        less = document(*(statement for statement in policy["Statement"] if statement["Sid"] != sid))
        assert decide(less, **settings).what == f"the policy of lake lacks {sid}"


def test_those_who_work_from_outside_are_named() -> None:
    violation = decide(None, bucket={"replication_role": REPLICATION}, break_glass=(BREAK_GLASS,))
    linked = f"arn:aws:iam::{ME}:role/aws-service-role/*"
    assert perimeter(violation)["ArnNotLikeIfExists"] == {
        "aws:PrincipalArn": [HERE.role, REPLICATION, BREAK_GLASS, ETL, linked]
    }


def test_the_actions_and_the_tls_version_are_settings() -> None:
    after = written(decide(None, deny_actions=["s3:GetObject"], minimum_tls="1.3"))["Statement"]
    assert after[0]["Action"] == ["s3:GetObject"]
    assert after[3]["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.3"}}


@pytest.mark.parametrize(
    ("buckets", "tls_buckets", "sids"),
    [
        (["lake*"], ["*"], [*ALL]),
        (["lake"], ["other"], [*ALL[:2]]),
        (["other"], ["*"], [*ALL[2:]]),
        (["other"], ["l?ke"], [*ALL[2:]]),
        (["LAKE"], [], []),
    ],
)
def test_patterns_say_which_buckets(buckets: list[str], tls_buckets: list[str], sids: list[str]) -> None:
    violation = decide(None, buckets=buckets, tls_buckets=tls_buckets)
    assert [s["Sid"] for s in (written(violation)["Statement"] if violation else [])] == sids


def test_other_partitions_have_other_arns() -> None:
    place = replace(HERE, partition="aws-cn", role=HERE.role.replace("arn:aws:", "arn:aws-cn:"))
    china = replace(case("arn:aws-cn:s3:::lake"), here=place)
    (only, *_) = written(guardrail.evaluate(Bucket("lake"), china))["Statement"]
    assert only["Resource"] == ["arn:aws-cn:s3:::lake", "arn:aws-cn:s3:::lake/*"]
    insiders = only["Condition"]["ArnNotLikeIfExists"]["aws:PrincipalArn"]
    assert f"arn:aws-cn:iam::{ME}:role/aws-service-role/*" in insiders


@pytest.mark.parametrize(
    "settings",
    [{"vpc_ids": []}, {"buckets": []}, {"vpc_ids": [], "organization_id": None}],
)
def test_without_a_perimeter_or_buckets_it_is_off(settings: Json) -> None:
    with pytest.raises(shape.Lacking, match=r"^\$: required: (buckets|vpc_ids or organization_id)$"):
        case(**settings)


@pytest.mark.parametrize(
    "action",
    ["s3:*", "s3:Put*", "s3:Get*", "s3:*Policy", "s3:Delete*", "s3:putbucketpolicy", "s3:?etBucketPolicy", "s3:*y"],
)
def test_the_administration_of_the_policy_is_never_denied(action: str) -> None:
    with pytest.raises(shape.Misshapen, match="would keep administrators from repairing the policy"):
        case(deny_actions=["s3:GetObject", action])


@pytest.mark.parametrize(
    "settings",
    [
        {"vpc_ids": ["vpc-*"]},
        {"vpc_ids": ["vpce-0a1b2c3d4e5f60718"]},
        {"organization_id": "o-*"},
        {"service_role_arns": ["arn:aws:iam::*:role/etl"]},
        {"service_role_arns": ["*"]},
        {"log_delivery_accounts": ["*"]},
        {"allowed_source_ips": ["office"]},
        {"allowed_source_ips": ["198.51.100.0/24", "999.1.1.1/99"]},
        {"allowed_source_ips": ["198.51"]},
        {"allowed_source_ips": ["198.51.100.0/33"]},
        {"allowed_source_ips": ["0.0.0.0/0"]},
        {"allowed_source_ips": ["::/0"]},
        {"allowed_source_ips": ["128.0.0.0/7"]},
        {"allowed_source_ips": ["44.0.0.0/8", "53.0.0.0/8"]},
        {"allowed_source_ips": ["2000::/15"]},
        {"allowed_source_ips": ["::ffff:0:0/96"]},
        {"deny_actions": []},
        {"deny_actions": ["iam:*"]},
        {"minimum_tls": "1.0"},
    ],
)
def test_settings_that_open_the_perimeter_or_mean_nothing_are_refused(settings: Json) -> None:
    with pytest.raises(shape.Misshapen):
        case(**settings)


@pytest.mark.parametrize("network", ["44.0.0.0/8", "198.51.100.7", "2600::/16", "2001:db8::1"])
def test_networks_of_a_company_or_its_provider_are_accepted(network: str) -> None:
    assert written(decide(None, allowed_source_ips=[network]))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("999.1.1.1/99", "allowed_source_ips: 999.1.1.1/99: no address"),
        ("::/0", "allowed_source_ips: as good as every"),
    ],
)
def test_a_network_that_is_refused_is_named(network: str, says: str) -> None:
    with pytest.raises(shape.Misshapen, match=says):
        case(allowed_source_ips=[network])


LOCKED_OUT = [
    {"Principal": {"AWS": HERE.role}},
    {"Principal": {"AWS": ME}},
    {"Principal": "*"},
    {"Principal": "*", "Condition": {"ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ME}:user/mallory"}}},
    {"Principal": "*", "Condition": {"StringNotEquals": {"aws:SourceVpc": VPC}}},
    {"NotPrincipal": {"AWS": f"arn:aws:iam::{ME}:user/mallory"}},
]


@pytest.mark.parametrize("action", ["s3:*", "s3:PutBucketPolicy", ["s3:GetBucketPolicy"]])
@pytest.mark.parametrize("who", LOCKED_OUT)
def test_a_policy_that_denies_holdfast_is_left_to_people_with_both_commands(who: Json, action: Any) -> None:
    violation = decide(document({"Effect": "Deny", "Action": action, "Resource": "*"} | who))
    assert violation.fix == ()
    assert "aws s3api delete-bucket-policy --bucket lake" in violation.todo
    assert "aws sts assume-root" in violation.todo
    assert violation.todo.endswith(" arn=arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy")
    assert f"--target-principal {ME} " in violation.todo


def test_the_way_out_of_another_partition_is_its_own() -> None:
    china = replace(case("arn:aws-cn:s3:::lake"), here=replace(HERE, partition="aws-cn"))
    shut = {"Effect": "Deny", "Principal": {"AWS": HERE.role}, "Action": "s3:*", "Resource": "*"}
    violation = guardrail.evaluate(Bucket("lake", document(shut)), china)
    assert violation.todo.endswith(" arn=arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy")


@pytest.mark.parametrize("action", ["s3:PutBucketPolicy", "s3:*"])
def test_a_policy_that_denies_holdfast_is_told_even_if_ours_stand_in_it(action: str) -> None:
    violation = decide(document(*ours(), {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"}))
    assert violation.what == "the policy of lake denies Holdfast's role"
    assert (violation.fix, "assume-root" in violation.todo) == ((), True)


def test_whoever_forbids_only_to_delete_the_policy_does_not_forbid_to_mend_it() -> None:
    keep = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucketPolicy", "Resource": BUCKET}
    assert decide(document(keep, *ours())) is None
    assert written(decide(document(keep)))["Statement"] == [keep, *ours()]


UNSURE = [
    {"Principal": {"AWS": f"arn:aws:sts::{ME}:assumed-role/guardrail/x"}},
    {"Principal": {"AWS": "AROAEXAMPLEID1234567"}},
    {"Principal": "*", "Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}},
    {"Principal": "*", "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}}},
    {"Principal": "*", "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}},
    {"NotPrincipal": {"AWS": [HERE.role]}},
    {"Principal": {"AWS": f"arn:aws:iam::{ME}:role/administrator"}},
]


@pytest.mark.parametrize("who", UNSURE)
def test_a_denial_that_may_not_concern_holdfast_does_not_keep_the_policy_broken(who: Json) -> None:
    """Else one statement that can't be judged would switch the guardrail off; S3 itself has the last word."""
    denial = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"} | who
    assert written(decide(document(denial)))["Statement"] == [denial, *ours()]


def test_a_policy_that_can_not_be_read_is_left_to_people() -> None:
    violation = guardrail.evaluate(Bucket("lake", unreadable=("it can't be read", "Do this.")), case())
    assert (violation.what, violation.fix, violation.todo) == ("it can't be read", (), "Do this.")


def test_a_bucket_of_which_nothing_is_asked_may_be_unreadable() -> None:
    assert guardrail.evaluate(Bucket("lake", unreadable=("no", "")), case(buckets=["x"], tls_buckets=["x"])) is None


def test_a_policy_never_outgrows_its_limit() -> None:
    """S3 API, PutBucketPolicy: 20 KB, counted in bytes."""
    fixed = len(guardrail.dump(document(OWNERS | {"Sid": ""}, *ours())).encode())
    fits = document(OWNERS | {"Sid": "é" * ((20 * 1024 - fixed) // 2)})
    assert written(decide(fits))
    grown = document(fits["Statement"][0] | {"Sid": fits["Statement"][0]["Sid"] + "é"})
    violation = decide(grown)
    assert violation.fix == ()
    assert "more than S3's 20480" in violation.todo


PUBLIC = {"Sid": "Site", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}


DOUBTFUL = PUBLIC | {"Condition": {"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}}


@pytest.mark.parametrize(
    ("statement", "blocked", "said"),
    [(PUBLIC, True, True), (DOUBTFUL, True, True), (PUBLIC, False, False), (OWNERS, True, False)],
)
def test_what_may_be_public_for_s3_is_named_and_s3_is_asked(statement: Json, blocked: bool, said: bool) -> None:
    """Only S3 knows what it calls public: a doubt of ours must not switch the guardrail off."""
    violation = decide(document(statement), bucket={"blocks_public": blocked})
    assert written(violation)["Statement"] == [statement, *ours()]
    assert ("S3, which blocks public policies here, may take it for one (Site)" in violation.what) == said


def test_a_website_keeps_its_plain_http_but_not_its_neighbours() -> None:
    """S3 user guide, "Website endpoints": they have no TLS."""
    site = {"website": True}
    violation = decide(document(OWNERS), bucket=site)
    assert written(violation)["Statement"] == [OWNERS, *ours()[:2]]
    rest = decide(written(violation), bucket=site)
    assert rest.what == "the policy of lake lacks HoldfastTls, lacks HoldfastTlsVersion"
    assert (rest.fix, "CloudFront" in rest.todo) == ((), True)
    assert decide(document(*ours()), bucket=site) is None


BREACHES: dict[str, list[Json]] = {
    "the world reads": [PUBLIC],
    "the world does everything": [PUBLIC | {"Action": "s3:*", "Resource": ["*"]}],
    "any signed-in AWS customer writes": [PUBLIC | {"Principal": {"AWS": "*"}, "Action": ["s3:PutObject"]}],
    "a referrer opens it": [PUBLIC | {"Condition": {"StringLike": {"aws:Referer": "https://app.example.com/*"}}}],
    "a user agent opens it": [PUBLIC | {"Condition": {"StringEquals": {"aws:UserAgent": "backup-tool"}}}],
    "a foreign account copies out": [PUBLIC | {"Principal": {"AWS": "arn:aws:iam::999999999999:root"}}],
    "a foreign role deletes": [PUBLIC | {"Principal": {"AWS": "arn:aws:iam::999999999999:role/r"}, "Action": "s3:D*"}],
    "half of the internet": [PUBLIC | {"Condition": {"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}}}],
    "ransom: only the attacker reads": [
        PUBLIC | {"Sid": "R", "Effect": "Deny", "Condition": {"StringNotEquals": {"aws:userid": "AIDAEVIL"}}}
    ],
    "a deny that looks like ours": [PUBLIC | {"Sid": ALL[0], "Effect": "Deny", "Action": "s3:GetObjectAcl"}],
    "an allow that bears our name": [PUBLIC | {"Sid": "HoldfastVpcOnly"}, PUBLIC | {"Sid": "HoldfastTls"}],
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_after_a_breach_the_perimeter_stands_again_beside_what_others_wrote(breach: list[Json]) -> None:
    after = written(decide(document(*breach)))
    assert [s for s in after["Statement"] if s["Sid"] not in ALL] == [s for s in breach if s["Sid"] not in ALL]
    assert sorted((s for s in after["Statement"] if s["Sid"] in ALL), key=lambda s: ALL.index(s["Sid"])) == ours()
    assert decide(after) is None


@pytest.mark.parametrize(
    "request_",
    [
        {"bucketName": "lake", "Host": f"lake.s3.{REGION}.amazonaws.com", "policy": ""},
        {"bucketName": "lake", "bucketPolicy": {}, "policy": ""},
        {"bucketName": "lake", "bucketPolicy": {"Statement": {"Effect": "Deny"}}},
        {"bucketName": "lake", "bucketPolicy": '{"Version":"2012-10-17"}'},
        {"bucketName": ["lake"], "host": ["s3.amazonaws.com"], "policy": [""]},
        {"bucketName": "lake", "omitted": True},
    ],
)
@pytest.mark.parametrize("name", ["CreateBucket", "PutBucketPolicy", "DeleteBucketPolicy"])
def test_the_bucket_is_found_however_the_record_names_it(name: str, request_: Json) -> None:
    assert list(guardrail.targets(Event.parse(call("s3", name, request_), HERE))) == [BUCKET]


@pytest.mark.parametrize("request_", [None, {}, {"bucketName": ""}, {"bucketName": "la*"}, {"bucketName": "a/b"}])
def test_a_record_that_names_no_bucket_is_not_guessed_at(request_: Any) -> None:
    with pytest.raises(BadEvent):
        list(guardrail.targets(Event.parse(call("s3", "PutBucketPolicy", request_), HERE)))


@pytest.fixture
def cloud() -> Iterator[None]:
    with account():
        yield


def guard(event: str = "PutBucketPolicy", bucket: str = "lake", hook: Any = None, **settings: Any) -> Result:
    return run(ID, call("s3", event, {"bucketName": bucket}), SETTINGS | settings, hook=hook)


def asked(result: Result) -> list[str]:
    return [name for name in result.calls if "Bucket" in name or "PublicAccess" in name]


def refusing(**errors: str) -> Callable[[World], object]:
    """S3 answers these operations with an error; moto neither judges policies nor blocks public ones."""

    def hook(here: World) -> None:
        for operation, code in errors.items():

            def refuse(operation: str = operation, code: str = code, **_: Any) -> None:
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

            here.aws.session.register(f"before-call.s3.{operation}", refuse)

    return hook


def test_a_bucket_that_is_right_costs_one_read_and_a_data_bucket_two(cloud: None) -> None:
    make_bucket()
    put(document(*ours()))
    assert asked(guard()) == ["GetBucketPolicy", "GetBucketReplication"]
    assert asked(guard(buckets=["other"])) == ["GetBucketPolicy"]


def test_a_wrong_one_is_read_written_and_read_again(cloud: None) -> None:
    make_bucket()
    looked = ["GetBucketPolicy", "GetBucketReplication"]
    obstacles = ["GetBucketWebsite", "GetPublicAccessBlock"]
    assert asked(guard("CreateBucket")) == [*looked, *obstacles, "PutBucketPolicy", *looked]
    assert found() == ours()


def test_a_bucket_that_is_gone_is_nobodys_problem(cloud: None) -> None:
    assert guard("DeleteBucketPolicy").outcome == "compliant"
    assert heard() == []


def replicating(role: str, *rules: str) -> Callable[[World], object]:
    def hook(here: World) -> None:
        def answer(**_: Any) -> Any:
            response = type("Response", (), {"status_code": 200, "headers": {}})()
            return response, {"ReplicationConfiguration": {"Role": role, "Rules": [{"Status": each} for each in rules]}}

        here.aws.session.register("before-call.s3.GetBucketReplication", answer)

    return hook


@pytest.mark.parametrize(
    ("role", "admitted"),
    [
        (REPLICATION, True),
        (f"arn:aws:iam::{ME}:role/*", False),
        (f"arn:aws:iam::{ME}:role/r?", False),
        ("arn:aws:iam::999999999999:role/replication", False),
        ("*", False),
        (f"{REPLICATION},arn:aws:iam::{ME}:role/*", False),
    ],
)
def test_only_a_role_of_the_account_gets_in_for_replication(cloud: None, role: str, admitted: bool) -> None:
    make_bucket()
    assert guard(hook=replicating(role, "Disabled", "Enabled")).outcome == "remediated"
    (arns,) = found()[0]["Condition"]["ArnNotLikeIfExists"].values()
    assert (role in arns) == admitted


@pytest.mark.parametrize("rules", [(), ("Disabled",), ("Disabled", "Disabled")])
def test_a_replication_that_is_switched_off_lets_nobody_in(cloud: None, rules: tuple[str, ...]) -> None:
    make_bucket()
    assert guard(hook=replicating(REPLICATION, *rules)).outcome == "remediated"
    assert found() == ours()


def test_who_is_let_in_because_of_a_replication_is_told(cloud: None) -> None:
    """Whoever may put a replication chooses its role."""
    make_bucket()
    put(document(*ours(), OWNERS | {"Principal": {"AWS": REPLICATION}}))
    assert guard(hook=replicating(REPLICATION, "Enabled")).outcome == "remediated"
    (message,) = heard()
    assert f"The fix lets {REPLICATION} in from everywhere" in message["todo"]


def test_who_got_in_before_or_for_another_reason_is_not_told_anew() -> None:
    with_role = {"replication_role": REPLICATION}
    after = written(decide(document(*ours()), bucket=with_role))
    broken = document(*(s for s in after["Statement"] if s["Sid"] != ALL[2]))
    assert decide(broken, bucket=with_role).todo == ""
    assert decide(None, bucket=with_role, service_role_arns=[REPLICATION]).todo == ""
    assert decide(None).todo == ""


@pytest.mark.parametrize("code", ["AccessDenied", "AllAccessDisabled", "MethodNotAllowed"])
@pytest.mark.parametrize(
    ("operation", "what", "todo"),
    [
        ("GetBucketPolicy", "policy", "assume-root"),
        ("GetBucketReplication", "replication", "until Holdfast may call s3:GetReplicationConfiguration"),
    ],
)
def test_what_holdfast_may_not_read_is_left_to_people(
    cloud: None, operation: str, code: str, what: str, todo: str
) -> None:
    make_bucket()
    result = guard(hook=refusing(**{operation: code}))
    (message,) = heard()
    assert (result.outcome, result.writes) == ("escalated", [])
    assert message["what"] == f"the {what} of lake can't be read by Holdfast"
    assert todo in message["todo"]
    assert f"({code}) when calling the {operation} operation" in message["todo"]


def saying(policy: str) -> Callable[[World], object]:
    """S3 has this policy, whatever moto would take."""

    def hook(here: World) -> None:
        def answer(**_: Any) -> Any:
            return type("Response", (), {"status_code": 200, "headers": {}})(), {"Policy": policy}

        here.aws.session.register("before-call.s3.GetBucketPolicy", answer)

    return hook


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('{"Statement": [{"Effect": "Deny", "Effect": "Allow"}]}', "one of Effect stands twice"),
        ('{"Statement": [{"\\ud800": "Deny", "\\ud800": "Allow"}]}', "one of \\ud800 stands twice"),
        ('{"Statement": [{"Condition": {"NumericLessThan": {"s3:max-keys": NaN}}}]}', "NaN is not JSON"),
        ("[]", "not a policy document"),
        ('{"Statement": {"Condition": {"Bool": "x"}}}', "the Condition of a statement is no object of objects"),
        ('{"Statement": [{"Sid": {"HoldfastTls": 1}}]}', "the Sid of a statement is no text"),
    ],
)
def test_a_policy_that_can_not_be_told_for_sure_is_left_to_people(cloud: None, policy: str, says: str) -> None:
    make_bucket()
    result = guard(hook=saying(policy))
    (message,) = heard()
    assert (result.outcome, result.writes) == ("escalated", [])
    assert message["what"] == "the policy of lake can't be read by Holdfast"
    assert says in message["todo"]


@pytest.mark.parametrize("word", ["10.00", "1e400", "-0", "1E5", "9" * 5000, '"\\ud800"', '"\\ud83d"'])
def test_an_owners_statement_keeps_its_very_words(word: str) -> None:
    owners = '{"Effect":"Deny","Condition":{"NumericGreaterThan":{"s3:max-keys":' + word + "}}}"
    violation = decide(load('{"Version":"2012-10-17","Statement":[' + owners + "]}"))
    (put_,) = violation.fix
    assert owners in put_.parameters["Policy"]
    assert owners in violation.undo[0].parameters["Policy"]
    assert put_.parameters["Policy"].encode()


def test_what_else_s3_answers_is_an_error(cloud: None) -> None:
    make_bucket()
    with pytest.raises(ExceptionGroup):
        guard(hook=refusing(GetBucketPolicy="InternalError"))


@pytest.mark.parametrize("operation", ["GetBucketWebsite", "GetPublicAccessBlock"])
def test_a_question_that_is_denied_does_not_keep_the_policy_broken(cloud: None, operation: str) -> None:
    make_bucket()
    assert guard(hook=refusing(**{operation: "AccessDenied"})).outcome == "remediated"
    assert found() == ours()


@pytest.mark.parametrize(("code", "says"), [("AccessDenied", "denies Holdfast"), ("MalformedPolicy", "who is gone")])
def test_what_s3_refuses_is_left_to_people(cloud: None, code: str, says: str) -> None:
    make_bucket()
    result = guard(hook=refusing(PutBucketPolicy=code))
    (message,) = heard()
    assert (result.outcome, message["outcome"]) == ("escalated", "escalated")
    assert says in message["todo"]


def test_a_website_gets_the_perimeter_and_a_person_the_rest(cloud: None) -> None:
    make_bucket()
    index = {"IndexDocument": {"Suffix": "index.html"}}
    boto3.client("s3").put_bucket_website(Bucket="lake", WebsiteConfiguration=index)  # type: ignore[arg-type]
    assert guard().outcome == "escalated"
    assert found() == ours()[:2]
    (message,) = heard()
    assert "CloudFront" in message["todo"]
    again = [guard() for _ in range(2)]
    assert [(result.outcome, result.writes) for result in again] == [("escalated", [])] * 2
    assert heard() == []


def test_a_public_policy_while_public_ones_are_blocked(cloud: None) -> None:
    make_bucket()
    put(document(PUBLIC))
    block = {"BlockPublicPolicy": True}
    boto3.client("s3").put_public_access_block(Bucket="lake", PublicAccessBlockConfiguration=block)  # type: ignore[arg-type]
    result = guard(hook=refusing(PutBucketPolicy="AccessDenied"))
    (message,) = heard()
    assert (result.outcome, result.writes, found()) == ("escalated", [], [PUBLIC])
    assert "(Site)" in message["what"]
    assert "it is public, which is blocked" in message["todo"]
    assert guard().outcome == "remediated"


def test_a_vpc_that_is_added_to_the_settings_reaches_the_policy(cloud: None) -> None:
    make_bucket()
    put(document(OWNERS, *ours()))
    wider = SETTINGS | {"vpc_ids": [VPC, OTHER_VPC]}
    assert run(ID, look(ID, BUCKET), wider, remediate_existing=True).outcome == "remediated"
    assert found()[1]["Condition"]["StringNotEqualsIfExists"] == {"aws:SourceVpc": [VPC, OTHER_VPC]}


def test_without_settings_it_is_off(cloud: None) -> None:
    make_bucket()
    assert run(ID, call("s3", "CreateBucket", {"bucketName": "lake"}), {"buckets": ["lake*"]}).outcomes == {}


def test_incidents_ask_for_what_the_guardrail_writes() -> None:
    assert guardrail.required(Bucket("lake"), case()) == incidents.ours()
