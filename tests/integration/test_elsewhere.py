"""Things of other Regions, where other settings and exemptions hold: anybody who may put events can ask for a look."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import boto3
import pytest
import time_machine
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from holdfast.ledger import LedgerLost
from incidents import kms_key_deletion as keys
from support import HERE, MALLORY, REGION, Result, account, at_home, call, exempt, heard, look, make_bucket, run, sweep

OK = AWSResponse("", 200, HTTPHeaders(), None)
FAR: Final = "eu-central-1"
LAKE = "arn:aws:s3:::lake"
VPC_ONLY = "s3-vpc-only-policy"
S3: dict[str, dict[str, Any]] = {
    VPC_ONLY: {"buckets": ["lake"], "vpc_ids": ["vpc-0a1b2c3d4e5f60718"]},
    "s3-default-encryption": {"algorithm": "aws:kms"},
    "s3-public-access-block": {},
}


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    with account():
        yield


def far_run(guardrail: str, event: dict[str, Any], delivery: str = "delivery-1") -> Result:
    far = partial(at_home, bucket="lake", region=FAR)
    return run(guardrail, event, S3[guardrail], delivery=delivery, hook=far)


@pytest.mark.parametrize("guardrail", sorted(S3))
def test_a_bucket_of_another_region_is_left_to_the_stack_there(guardrail: str) -> None:
    boto3.client("s3", FAR).create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": FAR})
    result = far_run(guardrail, look(guardrail, LAKE))
    assert (result.outcome, result.writes, heard()) == ("compliant", [], [])


def test_a_bucket_that_was_made_again_in_another_region_is_left_to_the_stack_there() -> None:
    make_bucket("lake")
    exempt(VPC_ONLY, LAKE, expires="2099-01-01")
    run(VPC_ONLY, call("s3", "PutBucketPolicy", {"bucketName": "lake"}), S3[VPC_ONLY])
    boto3.client("ssm").delete_parameter(Name=f"/holdfast/exemptions/{VPC_ONLY}/test")
    boto3.client("s3").delete_bucket(Bucket="lake")
    boto3.client("s3", FAR).create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": FAR})
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=30)):
        assert far_run(VPC_ONLY, sweep("sweep-2"), "delivery-2").writes == []


def test_a_look_at_a_key_of_another_region_of_which_no_call_has_told_does_nothing() -> None:
    id = keys.key(FAR)
    boto3.client("kms", FAR).schedule_key_deletion(KeyId=id)
    target = HERE.arn("kms", f"key/{id}", FAR)
    result = run(keys.ID, look(keys.ID, target))
    assert (result.outcome, result.writes, keys.state(id, FAR)) == ("compliant", [], "PendingDeletion")


def test_what_a_call_of_another_region_has_left_is_seen_to_by_looks() -> None:
    id = keys.key(FAR)
    boto3.client("kms", FAR).schedule_key_deletion(KeyId=id)
    target = HERE.arn("kms", f"key/{id}", FAR)
    exempt(keys.ID, target, expires="2099-01-01")
    event = call("kms", "ScheduleKeyDeletion", {"keyId": id}, awsRegion=FAR)
    assert run(keys.ID, event).outcome == "exempt"
    boto3.client("ssm").delete_parameter(Name=f"/holdfast/exemptions/{keys.ID}/test")
    assert run(keys.ID, look(keys.ID, target), delivery="delivery-2").outcome == "remediated"
    assert keys.state(id, FAR) == "Enabled"


def test_one_misfit_does_not_keep_the_others_from_being_looked_at() -> None:
    make_bucket("lake")
    guardrail = "s3-public-access-block"
    boto3.client("s3").delete_public_access_block(Bucket="lake")
    result = run(guardrail, look(guardrail, f"{LAKE}/2026", LAKE))
    assert result.outcomes == {LAKE: "remediated"}


def test_who_stops_the_organisations_trail_from_a_member_account_is_told() -> None:
    """A delegated administrator may; the trail's ARN has the management account's number."""
    theirs = f"arn:aws:cloudtrail:{REGION}:999999999999:trail/organisation"
    listed = {"Trails": [{"TrailARN": theirs, "Name": "organisation", "HomeRegion": REGION}]}
    stopped = call("cloudtrail", "StopLogging", {"name": theirs})

    def shown(logging: bool) -> Any:
        def hook(world: Any) -> None:
            events = world.aws.session
            events.register("before-call.cloudtrail.ListTrails", lambda **_: (OK, listed))
            events.register("before-call.cloudtrail.GetTrailStatus", lambda **_: (OK, {"IsLogging": logging}))

        return hook

    assert run("cloudtrail-logging", stopped, delivery="unknown", hook=shown(False)).outcomes == {}
    run("cloudtrail-logging", sweep(), delivery="sweep", hook=shown(True))
    result = run("cloudtrail-logging", stopped, delivery="stopped", hook=shown(False))
    assert (result.outcomes, result.writes) == ({theirs: "escalated"}, [])
    assert [message["actor"]["arn"] for message in heard()] == [MALLORY]


def test_another_accounts_thing_is_not_passed_over_while_nobody_can_tell_whether_it_is_known() -> None:
    theirs = f"arn:aws:cloudtrail:{REGION}:999999999999:trail/organisation"

    def down(world: Any) -> None:
        world.aws.session.register("before-call.dynamodb.GetItem", refuse)

    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="dynamodb")

    with pytest.raises(LedgerLost):
        run("cloudtrail-logging", call("cloudtrail", "StopLogging", {"name": theirs}), hook=down)
