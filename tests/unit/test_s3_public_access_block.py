"""Block Public Access of buckets and of the account: what is a violation, and what is done about it."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from holdfast import SHUT_OUT, ApiCall, Arn, BadEvent, Case, Event, Misshapen, SharedSettings
from holdfast.shape import parse
from holdfast.world import World
from holdfast_cli import project
from incidents import s3_public_access_block as incidents
from incidents.s3_public_access_block import ACCOUNT, ALL, FLAGS, NONE
from support import HERE, MALLORY, ME, REGION, account, call, heard, items, look, run, sweep, world

ID = "s3-public-access-block"
pab = project.load(ID)
Block, Settings = pab.Block, pab.Settings

BUCKET = HERE.bucket("lake")
HOST = f"{ME}.s3-control.{REGION}.amazonaws.com"


@pytest.fixture
def cloud() -> Iterator[None]:
    with account():
        incidents.rulings.clear()
        yield


def case(target: str = BUCKET, **settings: Any) -> Any:
    return Case(Arn(target), parse(Settings, settings), SharedSettings(), None, HERE)


def put(service: str, whose: dict[str, str], *on: str) -> ApiCall:
    flags = {flag: flag in on for flag in FLAGS}
    return ApiCall(service, "put_public_access_block", {**whose, "PublicAccessBlockConfiguration": flags})


def found_at(event: dict[str, Any]) -> list[str]:
    return list(pab.targets(Event.parse(event, HERE)))


def public(pattern: str) -> dict[str, Any]:
    return {"public_buckets": [{"bucket": pattern, "owner": "web team", "reason": "the website"}]}


@pytest.mark.parametrize(
    ("target", "service", "whose", "of"),
    [(BUCKET, "s3", {"Bucket": "lake"}, "lake"), (ACCOUNT, "s3control", {"AccountId": ME}, "the account")],
)
@pytest.mark.parametrize("missing", [*[(flag,) for flag in FLAGS], FLAGS[1:], FLAGS])
def test_whatever_is_off_is_put_on_and_undo_brings_back_what_was(
    target: str, service: str, whose: dict[str, str], of: str, missing: tuple[str, ...]
) -> None:
    on = tuple(flag for flag in FLAGS if flag not in missing)
    violation = pab.evaluate(Block(on), case(target, account_level=True))
    assert violation.what == f"Block Public Access of {of} lacks {', '.join(missing)}"
    assert violation.fix == (put(service, whose, *FLAGS),)
    assert violation.undo == (
        (put(service, whose, *on) if on else ApiCall(service, "delete_public_access_block", whose)),
    )


@pytest.mark.parametrize("target", [BUCKET, ACCOUNT])
def test_all_four_on_is_compliant(target: str) -> None:
    assert pab.evaluate(Block(FLAGS), case(target)) is None


@pytest.mark.parametrize(
    ("pattern", "left_alone"), [("lake", True), ("la*", True), ("l?ke", True), ("lak", False), ("LAKE", False)]
)
def test_a_bucket_that_is_meant_to_be_public_is_left_alone(pattern: str, left_alone: bool) -> None:
    assert (pab.evaluate(Block(()), case(**public(pattern))) is None) == left_alone


def test_the_account_is_never_meant_to_be_public() -> None:
    assert pab.evaluate(Block(()), case(ACCOUNT, **public("*")))


@pytest.mark.parametrize(
    ("target", "account_level", "only_audited"),
    [(ACCOUNT, False, True), (ACCOUNT, True, False), (BUCKET, False, False), (BUCKET, True, False)],
)
def test_without_account_level_the_account_is_only_watched(
    target: str, account_level: bool, only_audited: bool
) -> None:
    violation = pab.evaluate(Block(()), case(target, account_level=account_level))
    assert bool(violation.audit_only) == only_audited
    assert violation.fix


def test_where_an_organisation_rules_a_person_must_act() -> None:
    violation = pab.evaluate(Block((), ruled=True), case(ACCOUNT, account_level=True))
    assert (violation.fix, violation.undo) == ((), ())
    assert "policy of the organisation" in violation.todo


def test_account_level_and_public_buckets_exclude_each_other() -> None:
    with pytest.raises(Misshapen, match=r"^s3-public-access-block: account_level would close public_buckets"):
        parse(Settings, {"account_level": True} | public("site"), ID)


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        ({"bucket": "site", "owner": "web"}, r"public_buckets\[0\]: required: reason"),
        ({"bucket": "site", "owner": "", "reason": "x"}, r"public_buckets\[0\]\.owner"),
        ({"bucket": "arn:aws:s3:::site", "owner": "web", "reason": "x"}, r"public_buckets\[0\]\.bucket"),
    ],
)
def test_a_public_bucket_needs_a_name_an_owner_and_a_reason(entry: dict[str, str], at: str) -> None:
    with pytest.raises(Misshapen, match=at):
        parse(Settings, {"public_buckets": [entry]})


@pytest.mark.parametrize(
    "request_",
    [
        {"bucketName": "lake", "Host": f"lake.s3.{REGION}.amazonaws.com", "publicAccessBlock": ""},
        {"bucketName": "lake", "host": [f"s3.{REGION}.amazonaws.com"], "publicAccessBlock": [""]},
        {"bucketName": ["lake"], "acl": [""], "x-amz-acl": ["public-read"]},
        {"bucketName": "lake", "omitted": True},
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "CreateBucket",
        "PutBucketPublicAccessBlock",
        "DeleteBucketPublicAccessBlock",
        "PutBucketAcl",
        "PutBucketPolicy",
        "PutBucketOwnershipControls",
    ],
)
def test_the_bucket_is_found_however_the_record_names_it(name: str, request_: dict[str, Any]) -> None:
    assert found_at(call("s3", name, request_)) == [BUCKET]


@pytest.mark.parametrize(
    "request_",
    [
        {"Host": HOST},
        {"host": [HOST]},
        {"bucketName": "lake", "host": ["s3.amazonaws.com"], "publicAccessBlock": [""]},
        {"bucketName": "..."},
        {"bucketName": "account"},
        {},
        None,
    ],
)
@pytest.mark.parametrize("name", ["PutAccountPublicAccessBlock", "DeleteAccountPublicAccessBlock"])
@pytest.mark.parametrize("region", [REGION, "us-east-1"])
def test_the_account_is_one_target_whatever_its_record_holds(name: str, region: str, request_: Any) -> None:
    assert found_at(call("s3", name, request_, awsRegion=region)) == [ACCOUNT]


@pytest.mark.parametrize("request_", [None, {}, {"bucketName": ""}, {"bucketName": "la*"}, {"bucketName": "a/b"}])
def test_a_record_that_names_no_bucket_is_not_guessed_at(request_: Any) -> None:
    with pytest.raises(BadEvent):
        found_at(call("s3", "DeleteBucketPublicAccessBlock", request_))


def test_a_bucket_called_account_is_a_bucket(cloud: None) -> None:
    boto3.client("s3").create_bucket(Bucket="account", CreateBucketConfiguration={"LocationConstraint": REGION})
    assert run(ID, call("s3", "CreateBucket", {"bucketName": "account"})).outcomes == {
        "arn:aws:s3:::account": "remediated"
    }
    assert incidents.is_on("s3", Bucket="account")
    assert not incidents.is_on("s3control", AccountId=ME)


def test_a_block_without_its_members_counts_as_off(cloud: None) -> None:
    """S3 API, PublicAccessBlockConfiguration: none of the members is required."""
    assert pab.block({"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}).on == ("BlockPublicAcls",)
    assert pab.block(None).on == ()


def test_a_bucket_is_not_excused_by_its_account(cloud: None) -> None:
    incidents.bucket()
    incidents.put_account(ALL)
    incidents.delete_bucket_block()
    assert run(ID, look(ID, BUCKET), remediate_existing=True).outcome == "remediated"


def test_a_bucket_that_is_gone_is_nobodys_problem(cloud: None) -> None:
    assert run(ID, call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"})).outcome == "compliant"
    assert (heard(), items()) == ([], [])


def test_the_account_without_account_level_is_told_once_and_not_changed(cloud: None) -> None:
    event = call("s3", "DeleteAccountPublicAccessBlock", {"Host": f"{ME}.s3-control.eu-west-1.amazonaws.com"})
    outcomes = [run(ID, event, delivery=f"d{n}").outcomes[ACCOUNT] for n in range(2)]
    (message,) = heard()
    assert outcomes == ["audited", "audited"]
    assert message["reason"] == "account_level is off: the account's own block is only watched"
    assert not incidents.is_on("s3control", AccountId=ME)


def test_the_inventory_is_the_account_and_every_bucket_of_the_region(cloud: None) -> None:
    incidents.bucket()
    boto3.client("s3", "us-east-1").create_bucket(Bucket="elsewhere")
    assert set(pab.inventory(world(ID).aws)) >= {ACCOUNT, BUCKET}


RULES = '{"s3_attributes": {"public_access_block_configuration": "none"}}'


@pytest.mark.parametrize(
    ("ruling", "outcome", "writes"),
    [
        pytest.param(RULES, "escalated", [], id="a policy that keeps public access open"),
        pytest.param('{"s3_attributes": {}}', "remediated", ["PutPublicAccessBlock"], id="a policy of something else"),
        pytest.param(None, "remediated", ["PutPublicAccessBlock"], id="no policy"),
    ],
)
def test_an_organisations_policy_decides_who_can_mend_the_account(
    cloud: None, ruling: str | None, outcome: str, writes: list[str]
) -> None:
    incident = incidents.account_weakened()
    incidents.rulings.extend([ruling] if ruling else [])
    incident.spoil()
    result = incident.run()
    assert (result.outcome, result.writes) == (outcome, writes)


def test_an_account_that_is_closed_by_its_organisation_is_compliant(cloud: None) -> None:
    """GetPublicAccessBlock answers with what is effective (S3 control API, GetPublicAccessBlock)."""
    incidents.put_account(ALL)
    incidents.rulings.append(RULES.replace("none", "all"))
    result = run(ID, look(ID, ACCOUNT), {"account_level": True})
    assert (result.outcome, "DescribeEffectivePolicy" in result.calls) == ("compliant", False)


@pytest.mark.parametrize("code", ["AWSOrganizationsNotInUseException", "AccessDeniedException"])
def test_where_no_organisation_answers_the_account_is_mended(cloud: None, code: str) -> None:
    """Organizations API, DescribeEffectivePolicy, "Errors"."""
    incidents.put_account(NONE)

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeEffectivePolicy")

    def hook(here: World) -> None:
        here.aws.session.register("before-call.organizations.DescribeEffectivePolicy", refuse)

    event = call("s3", "PutAccountPublicAccessBlock", {"Host": HOST})
    assert run(ID, event, {"account_level": True}, hook=hook).outcomes == {ACCOUNT: "remediated"}


def test_organisations_are_asked_only_where_it_matters(cloud: None) -> None:
    assert "DescribeEffectivePolicy" not in run(ID, sweep()).calls


@pytest.mark.parametrize("operation", ["GetPublicAccessBlock", "PutPublicAccessBlock"])
def test_a_bucket_policy_that_denies_holdfast_is_told_with_who_broke_the_block(cloud: None, operation: str) -> None:
    def refuse(**_: Any) -> None:
        said = "not authorized, with an explicit deny in a resource-based policy"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, operation)

    incidents.bucket()
    incidents.delete_bucket_block()
    event = call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"})
    hook = lambda world: world.aws.session.register(f"before-call.s3.{operation}", refuse)  # noqa: E731
    assert run(ID, event, hook=hook).outcome == "escalated"
    (message,) = heard()
    assert message["actor"]["arn"] == MALLORY
    assert message["todo"].startswith(SHUT_OUT)
