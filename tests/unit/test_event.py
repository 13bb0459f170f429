"""Events are hints written by somebody else: ids are checked, odd serialisations are read, the rest fails loudly."""

from typing import Any

import pytest
from holdfast import Actor, Arn, BadEvent, Event, Place, listed
from holdfast.shape import parse
from support import HERE, ME, REGION, call, look

OTHER = "444455556666"


@pytest.mark.parametrize(
    ("written", "leaves"),
    [
        (None, []),
        ("", []),
        ({}, []),
        ([], []),
        ("vpce-1", ["vpce-1"]),
        (["policy"], ["policy"]),
        ({"items": [{"a": 1}, {"a": 2}]}, [{"a": 1}, {"a": 2}]),
        ({"items": []}, []),
        ({"item": {"a": 1}}, [{"a": 1}]),
        ({"item": ["a", "b"]}, ["a", "b"]),
        ({"tag": 1, "content": "vpce-1"}, ["vpce-1"]),
        ([{"tag": 1, "content": "vpce-1"}, {"tag": 2, "content": "vpce-2"}], ["vpce-1", "vpce-2"]),
        ({"groupId": "sg-1"}, [{"groupId": "sg-1"}]),
    ],
)
def test_every_way_cloudtrail_writes_a_list(written: Any, leaves: list[Any]) -> None:
    assert listed(written) == leaves


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        ({"type": "IAMUser", "arn": f"arn:aws:iam::{ME}:user/ann"}, f"arn:aws:iam::{ME}:user/ann"),
        ({"type": "Root", "arn": f"arn:aws:iam::{ME}:root"}, f"arn:aws:iam::{ME}:root"),
        (
            {
                "type": "AssumedRole",
                "arn": f"arn:aws:sts::{ME}:assumed-role/deploy/ci",
                "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{ME}:role/path/deploy"}},
            },
            f"arn:aws:iam::{ME}:role/path/deploy",
        ),
        ({"type": "AssumedRole", "arn": f"arn:aws:sts::{ME}:assumed-role/deploy/ci"}, f"arn:aws:iam::{ME}:role/deploy"),
        ({"type": "IAMUser", "arn": "arn:x", "sessionContext": {"sessionIssuer": {}}}, "arn:x"),
        ({"type": "AWSService", "invokedBy": "s3.amazonaws.com"}, "s3.amazonaws.com"),
        ({"type": "Unknown"}, ""),
        (None, ""),
        ("HIDDEN", ""),
    ],
)
def test_the_actor_is_the_stable_principal(identity: Any, actor: str) -> None:
    assert Actor.parse({"userIdentity": identity}).arn == actor


WITHOUT_ARN: list[tuple[dict[str, Any], str]] = [
    ({"type": "AWSAccount", "principalId": "AIDAEXAMPLE", "accountId": OTHER}, f"AIDAEXAMPLE of account {OTHER}"),
    ({"type": "AWSAccount", "principalId": "AROAEXAMPLE:ann", "accountId": OTHER}, f"AROAEXAMPLE of account {OTHER}"),
    ({"type": "AWSAccount", "accountId": OTHER}, f"AWSAccount of account {OTHER}"),
    (
        {"type": "IdentityCenterUser", "accountId": ME, "onBehalfOf": {"userId": "5448-94e8"}, "credentialId": "x"},
        f"5448-94e8 of account {ME}",
    ),
    ({"type": "WebIdentityUser", "principalId": "accounts.google.com:app:123", "userName": "123"}, "123"),
    ({"type": "SAMLUser", "principalId": "x:ann", "userName": "ann@example.com"}, "ann@example.com"),
    ({"type": "SAMLUser", "principalId": "x:ann"}, "x:ann"),
    ({"type": "IAMUser", "userName": "ann", "accountId": ME, "principalId": "AIDAEXAMPLE"}, f"ann of account {ME}"),
]


@pytest.mark.parametrize(("identity", "named"), WITHOUT_ARN)
def test_an_actor_without_an_arn_is_told_by_what_else_there_is(identity: dict[str, Any], named: str) -> None:
    event = Event.parse(call("s3", "PutBucketAcl", {"bucketName": "lake"}, userIdentity=identity), HERE)
    assert str(event.actor) == event.counted_actor == named
    assert event.actor.arn == event.trusted_actor == ""


def test_all_sessions_of_a_role_elsewhere_are_one_actor() -> None:
    one, two = ({"userIdentity": {"principalId": f"AROAEXAMPLE:{session}"}} for session in ("ann", "bob"))
    assert (str(Actor.parse(one)), Actor.parse(one).session) == (str(Actor.parse(two)), "ann")


def test_nobody_is_counted_whom_nobody_knows_for_sure() -> None:
    raw = call("s3", "PutBucketAcl", {"bucketName": "lake"}, userIdentity=WITHOUT_ARN[0][0])
    assert Event.parse(raw | {"source": "holdfast.forged"}, HERE).counted_actor == ""
    unknown = call("s3", "PutBucketAcl", {"bucketName": "lake"}, userIdentity={"type": "Unknown"})
    assert Event.parse(unknown, HERE).counted_actor == ""
    assert Event.parse(call("s3", "PutBucketAcl", {}), HERE).counted_actor == f"arn:aws:iam::{ME}:user/mallory"


def test_an_actor_that_an_older_release_has_stored_is_still_read() -> None:
    old = {"arn": "arn:x", "kind": "IAMUser", "session": "", "via": "", "ip": "", "agent": ""}
    assert parse(Actor, old) == Actor("arn:x", "IAMUser")


def test_the_actor_keeps_what_tells_where_it_came_from() -> None:
    event = call("s3", "CreateBucket", {})["detail"] | {
        "userIdentity": {"type": "AssumedRole", "arn": f"arn:aws:sts::{ME}:assumed-role/r/alice", "invokedBy": "x.aws"}
    }
    assert Actor.parse(event) == Actor(
        f"arn:aws:iam::{ME}:role/r", "AssumedRole", "alice", "x.aws", "203.0.113.7", "aws-cli/2"
    )


def test_who_acts_in_a_name_that_was_lent_to_another_account_has_no_say_by_it() -> None:
    arn = f"arn:aws:iam::{ME}:role/deploy"
    lent = {"arn": f"arn:aws:sts::{ME}:assumed-role/deploy/x", "invokedByDelegate": {"accountId": OTHER}}
    event = Event.parse(call("kms", "DisableKey", {}, userIdentity=lent), HERE)
    assert (event.trusted_actor, event.known_actor) == ("", arn)
    assert event.counted_actor == str(event.actor) == f"{arn}, lent to account {OTHER}"


def test_the_actor_tells_who_stands_behind_a_session() -> None:
    session = {"sourceIdentity": "ann", "assumedRoot": "true"}
    root = Actor.parse({"userIdentity": {"type": "Root", "arn": f"arn:aws:iam::{ME}:root", "sessionContext": session}})
    assert (root.kind, root.source_identity) == ("Root, by AssumeRoot", "ann")


FEDERATED: dict[str, Any] = {"type": "FederatedUser", "arn": f"arn:aws:sts::{ME}:federated-user/ann", "accountId": ME}


def test_a_federated_user_is_the_user_who_let_them_in_and_told_by_name() -> None:
    issuer = {"type": "IAMUser", "arn": f"arn:aws:iam::{ME}:user/portal", "userName": "portal"}
    actor = Actor.parse({"userIdentity": FEDERATED | {"sessionContext": {"sessionIssuer": issuer}}})
    assert (actor.arn, actor.session) == (issuer["arn"], "ann")


def test_a_federated_user_whose_record_names_no_issuer_is_no_iam_user() -> None:
    actor = Actor.parse({"userIdentity": FEDERATED})
    assert (actor.arn, actor.session) == (FEDERATED["arn"], "ann")


@pytest.mark.parametrize(
    "text", ["", "arn", "arn:aws:s3:::", "arn:aws:s3:::a*", "arn:aws:s3:::a b", "arn:aws:s3:::a?\n"]
)
def test_what_is_not_the_arn_of_one_thing_is_refused(text: str) -> None:
    with pytest.raises(BadEvent):
        Arn(text)


def test_an_arn_knows_its_parts() -> None:
    key = Arn(f"arn:aws-cn:kms:cn-north-1:{ME}:key/1234")
    assert (key.service, key.region, key.account, key.resource, key.kind, key.name) == (
        "kms",
        "cn-north-1",
        ME,
        "key/1234",
        "key",
        "1234",
    )
    group = Arn(f"arn:aws:logs:eu-west-1:{ME}:log-group:x:y")
    assert (group.account, group.resource) == (ME, "log-group:x:y")
    bucket = Arn("arn:aws:s3:::lake")
    assert (bucket.region, bucket.account, bucket.kind, bucket.name) == ("", "", "", "lake")


@pytest.mark.parametrize(
    ("request_", "bucket"),
    [
        ({"bucketName": "lake"}, "arn:aws:s3:::lake"),
        ({"bucketName": ["lake"]}, "arn:aws:s3:::lake"),
        ({"bucket": "lake"}, "arn:aws:s3:::lake"),
        ({"bucketName": "fast--euw1-az1--x-s3"}, f"arn:aws:s3express:{REGION}:{ME}:bucket/fast--euw1-az1--x-s3"),
    ],
)
def test_the_bucket_of_a_call(request_: dict[str, Any], bucket: str) -> None:
    assert Event.parse(call("s3", "CreateBucket", request_), HERE).bucket() == bucket


@pytest.mark.parametrize(
    "request_",
    [None, {}, "", {"bucketName": ""}, {"bucketName": None}, {"bucketName": "a/../b"}, {"bucketName": {"x": 1}}]
    + [{"bucketName": name} for name in ("*", "a b", "ab", "x" * 300, "a\nb", "l\u202eke")],
)
def test_a_call_that_names_no_bucket_fails_loudly(request_: Any) -> None:
    with pytest.raises(BadEvent):
        Event.parse(call("s3", "CreateBucket", request_), HERE).bucket()


OBJECT = "arn:aws:s3:::lake/in/a.csv"
LOST: list[Any] = [None, "", {"omitted": True}, {"bucketName": ""}, {"bucketName": None}]
ODD_NAMES: list[Any] = ["arn:aws:s3:::lake", "a/../b", {"x": 1}, "l\u202eke", "x" * 300]


@pytest.mark.parametrize("lost", [*LOST, *({"bucketName": name} for name in ODD_NAMES)])
@pytest.mark.parametrize("arns", [["arn:aws:s3:::lake"], ["arn:aws:s3:::lake", OBJECT], ["arn:aws:s3:::lake"] * 2])
def test_where_the_name_is_lost_or_can_not_be_used_the_resources_name_the_bucket(lost: Any, arns: list[str]) -> None:
    raw = call("s3", "PutBucketPolicy", lost, resources=[{"ARN": arn} for arn in arns])
    assert Event.parse(raw, HERE).bucket() == "arn:aws:s3:::lake"


@pytest.mark.parametrize(
    ("request_", "arns"),
    [
        ({}, ["arn:aws:s3:::lake", "arn:aws:s3:::logs"]),
        ({}, [OBJECT]),
        ({}, [f"arn:aws:kms:{REGION}:{ME}:key/1234"]),
        ({}, ["arn:aws:s3:::l*ke"]),
        ({"bucketName": "a/../b"}, ["arn:aws:s3:::lake", "arn:aws:s3:::logs"]),
        ({"bucketName": {"x": 1}}, ["arn:aws:s3:::l*ke"]),
    ],
)
def test_resources_that_leave_a_doubt_name_none(request_: Any, arns: list[str]) -> None:
    event = Event.parse(call("s3", "PutBucketPolicy", request_, resources=[{"ARN": arn} for arn in arns]), HERE)
    with pytest.raises(BadEvent):
        event.bucket()


def test_a_name_that_can_be_used_goes_before_the_resources() -> None:
    raw = call("s3", "PutBucketPolicy", {"bucketName": "lake"}, resources=[{"ARN": "arn:aws:s3:::logs"}])
    assert Event.parse(raw, HERE).bucket() == "arn:aws:s3:::lake"


NO_CALL = "^not a CloudTrail call: detail-type "


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("text", "^an event without detail$"),
        ({}, "^an event without detail$"),
        ({"detail": None}, "^an event without detail$"),
        ({"detail": "text"}, "^an event without detail$"),
        ({"detail": {}}, f"{NO_CALL}'None'$"),
        ({"detail": {}, "detail-type": "AWS Service Event via CloudTrail"}, f"{NO_CALL}'AWS Service Event via"),
        ({"detail": {}, "detail-type": "x" * 999}, f"{NO_CALL}'{'x' * 100}'$"),
        ({"detail": {}, "detail-type": "AWS API Call via CloudTrail"}, "^a CloudTrail call without eventName$"),
        ({"detail": {"targets": "x"}, "detail-type": "Holdfast Look"}, "^a look whose targets are not a list$"),
        ({"detail": {"targets": ["x"]}, "detail-type": "Holdfast Look"}, "."),
    ],
)
def test_what_no_rule_can_have_matched_is_refused(raw: Any, why: str) -> None:
    with pytest.raises(BadEvent, match=why):
        Event.parse(raw, HERE)


def test_all_that_a_call_tells_is_kept() -> None:
    more: dict[str, Any] = {"eventTime": "2026-01-01T00:00:00Z", "responseElements": {"ok": True}}
    resources = [{"ARN": "arn:aws:s3:::lake", "accountId": ME}, {"accountId": "x"}, "nonsense"]
    raw = call("s3", "PutBucketPolicy", {"bucketName": "lake"}, resources=resources, **more)
    assert Event.parse(raw, HERE) == Event(
        id="event-1",
        name="PutBucketPolicy",
        place=HERE,
        time="2026-01-01T00:00:00Z",
        source="aws.s3",
        actor=Actor(f"arn:aws:iam::{ME}:user/mallory", "IAMUser", ip="203.0.113.7", agent="aws-cli/2", account=ME),
        request={"bucketName": "lake"},
        response={"ok": True},
        resources=("arn:aws:s3:::lake",),
        owner=ME,
    )


def test_what_a_call_does_not_tell_is_empty_and_not_made_up() -> None:
    bare = {
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventName": "StopLogging", "resources": [{"x": 1}]},
    }
    assert Event.parse(bare, HERE) == Event(id="", name="StopLogging", place=HERE)
    assert Event.parse(bare | {"id": "envelope"}, HERE).id == "envelope"


def test_all_that_a_look_tells_is_kept() -> None:
    raw = look("x", "arn:aws:s3:::lake") | {"time": "2026-01-01T00:00:00Z"}
    lake = (Arn("arn:aws:s3:::lake"),)
    time = "2026-01-01T00:00:00Z"
    assert Event.parse(raw, HERE) == Event("look-1", "Holdfast Look", HERE, time, "holdfast", looks_at=lake)
    bare = {"detail-type": "Holdfast Sweep", "detail": {}}
    assert Event.parse(bare, HERE) == Event(id="", name="Holdfast Sweep", place=HERE, looks_at=())


def test_a_call_keeps_its_own_region_and_our_account() -> None:
    raw = call("kms", "DisableKey", {"keyId": "k"}, awsRegion="us-west-2")
    assert Event.parse(raw, HERE).arn("kms", "key/k") == f"arn:aws:kms:us-west-2:{ME}:key/k"


def test_a_look_has_targets_and_no_actor() -> None:
    event = Event.parse(look("x", "arn:aws:s3:::lake"), HERE)
    assert (event.looks_at, event.is_call, event.trusted_actor) == ((Arn("arn:aws:s3:::lake"),), False, "")


def test_what_tells_of_the_actor_is_no_longer_than_aws_makes_it() -> None:
    """Whoever may invoke the function may write a megabyte, which neither ledger nor topic would take."""
    actor = Actor.parse({"userIdentity": {"arn": "x" * 9999, "principalId": "y" * 9999}, "userAgent": "z" * 9999})
    assert {len(actor.arn), len(actor.principal), len(actor.agent)} == {2048}


def test_only_aws_is_believed_about_the_actor() -> None:
    raw = call("s3", "CreateBucket", {"bucketName": "lake"})
    assert Event.parse(raw, HERE).trusted_actor
    assert Event.parse(raw | {"source": "holdfast.forged"}, HERE).trusted_actor == ""


def test_resources_are_read_in_both_spellings_of_lists() -> None:
    resource = {"ARN": "arn:aws:s3:::lake", "accountId": ME, "type": "AWS::S3::Bucket"}
    one = Event.parse(call("s3", "DeleteBucketPolicy", {"bucketName": "lake"}, resources=[resource]), HERE)
    assert (one.resources, one.owner) == (("arn:aws:s3:::lake",), ME)
    none = Event.parse(call("s3", "DeleteBucketPolicy", {"bucketName": "lake"}, resources=None), HERE)
    assert (none.resources, none.owner) == ((), "")


@pytest.mark.parametrize(
    ("accounts", "owner"),
    [
        ([None, ME], ME),
        (["", OTHER], OTHER),
        ([OTHER, ME], ME),
        ([ME, OTHER], ME),
        ([OTHER, "777788889999"], OTHER),
        ([None], ""),
    ],
)
def test_the_owner_is_us_where_one_of_the_resources_is_ours(accounts: list[str | None], owner: str) -> None:
    resources = [{"ARN": "arn:aws:s3:::lake", "accountId": account} for account in accounts]
    raw = call("s3", "PutBucketPolicy", {"bucketName": "lake"}, resources=resources)
    assert Event.parse(raw, HERE).owner == owner


def test_a_place_makes_arns() -> None:
    here = Place("1", "cn-north-1", "aws-cn")
    assert here.bucket("lake") == "arn:aws-cn:s3:::lake"
    assert here.arn("ec2", "vpc/v", region="") == "arn:aws-cn:ec2::1:vpc/v"


@pytest.mark.parametrize(
    "wrap", [lambda inner: [inner], lambda inner: {"items": inner}, lambda inner: {"item": [inner]}]
)
def test_a_list_is_flat_however_deep_somebody_has_nested_it(wrap: Any) -> None:
    nested: Any = ["a", "b"]
    for _ in range(10_000):
        nested = wrap(nested)
    assert listed(nested) == ["a", "b"]
