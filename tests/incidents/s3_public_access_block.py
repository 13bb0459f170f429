"""Buckets and accounts that lose their Block Public Access."""

import json
from collections.abc import Callable
from typing import Any, Literal

import boto3
from moto.core.exceptions import JsonRESTError
from moto.organizations.responses import OrganizationsResponse
from support import HERE, ME, REGION, Incident, call, incident

ID = "s3-public-access-block"
FLAGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ALL = dict.fromkeys(FLAGS, True)
NONE = dict.fromkeys(FLAGS, False)
ACCOUNT = f"arn:aws:s3::{ME}:account"

rulings: list[str] = []


def describe_effective_policy(response: OrganizationsResponse) -> str:
    """moto has no effective policies: answers as the Organizations API, DescribeEffectivePolicy, says."""
    assert response._get_param("PolicyType") == "S3_POLICY"
    if not rulings:
        raise JsonRESTError("EffectivePolicyNotFoundException", "the account has no effective policy of this type")
    return json.dumps({"EffectivePolicy": {"PolicyContent": rulings[-1], "PolicyType": "S3_POLICY"}})


setattr(OrganizationsResponse, "describe_effective_policy", describe_effective_policy)  # noqa: B010 - not in its type


def bucket(name: str = "lake") -> None:
    """With its block, as S3 makes them since April 2023; moto makes them without."""
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    put_bucket(ALL)


def put_bucket(flags: Any) -> None:
    boto3.client("s3").put_public_access_block(Bucket="lake", PublicAccessBlockConfiguration=flags)


def delete_bucket_block() -> None:
    boto3.client("s3").delete_public_access_block(Bucket="lake")


def put_account(flags: Any) -> None:
    boto3.client("s3control").put_public_access_block(AccountId=ME, PublicAccessBlockConfiguration=flags)


def delete_account_block() -> None:
    boto3.client("s3control").delete_public_access_block(AccountId=ME)


def is_on(service: Literal["s3", "s3control"], **whose: str) -> bool:
    client: Any = boto3.client(service)
    try:
        return bool(client.get_public_access_block(**whose)["PublicAccessBlockConfiguration"] == ALL)
    except client.exceptions.ClientError:
        return False


def on_bucket(event: str, request: dict[str, Any], spoil: Callable[[], object]) -> Incident:
    bucket()
    named = {"bucketName": "lake", "Host": f"lake.s3.{REGION}.amazonaws.com"}
    return Incident(
        guardrail=ID,
        event=call("s3", event, named | request),
        target=HERE.bucket("lake"),
        spoil=spoil,
        safe=lambda: is_on("s3", Bucket="lake"),
    )


def on_account(event: str, request: dict[str, Any], spoil: Callable[[], object]) -> Incident:
    rulings.clear()
    put_account(ALL)
    return Incident(
        guardrail=ID,
        event=call("s3", event, request),
        target=ACCOUNT,
        spoil=spoil,
        safe=lambda: is_on("s3control", AccountId=ME),
        settings={"account_level": True},
    )


@incident(ID, "CreateBucket")
def created() -> Incident:
    configuration = {"LocationConstraint": REGION, "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"}
    return on_bucket("CreateBucket", {"CreateBucketConfiguration": configuration}, delete_bucket_block)


@incident(ID, "PutBucketPublicAccessBlock")
def weakened() -> Incident:
    flags = {**ALL, "RestrictPublicBuckets": False}
    request = {
        "publicAccessBlock": "",
        "PublicAccessBlockConfiguration": flags | {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"},
    }
    return on_bucket("PutBucketPublicAccessBlock", request, lambda: put_bucket(flags))


@incident(ID, "DeleteBucketPublicAccessBlock")
def deleted() -> Incident:
    return on_bucket("DeleteBucketPublicAccessBlock", {"publicAccessBlock": ""}, delete_bucket_block)


@incident(ID, "PutBucketAcl")
def opened_by_acl() -> Incident:
    def spoil() -> None:
        delete_bucket_block()
        boto3.client("s3").put_bucket_acl(Bucket="lake", ACL="public-read")

    return on_bucket("PutBucketAcl", {"acl": "", "x-amz-acl": "public-read"}, spoil)


@incident(ID, "PutBucketPolicy")
def opened_by_policy() -> Incident:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}

    def spoil() -> None:
        delete_bucket_block()
        boto3.client("s3").put_bucket_policy(Bucket="lake", Policy=json.dumps(policy))

    return on_bucket("PutBucketPolicy", {"policy": "", "bucketPolicy": policy}, spoil)


@incident(ID, "PutBucketOwnershipControls")
def acls_enabled() -> Incident:
    rules: list[Any] = [{"ObjectOwnership": "ObjectWriter"}]

    def spoil() -> None:
        delete_bucket_block()
        boto3.client("s3").put_bucket_ownership_controls(Bucket="lake", OwnershipControls={"Rules": rules})

    request = {"ownershipControls": "", "OwnershipControls": {"Rule": rules[0]}}
    return on_bucket("PutBucketOwnershipControls", request, spoil)


@incident(ID, "PutAccountPublicAccessBlock")
def account_weakened() -> Incident:
    request = {"Host": f"{ME}.s3-control.{REGION}.amazonaws.com", "PublicAccessBlockConfiguration": NONE}
    return on_account("PutAccountPublicAccessBlock", request, lambda: put_account(NONE))


@incident(ID, "PutAccountPublicAccessBlock--bogus-bucket")
def account_weakened_with_a_bucket_in_the_record() -> Incident:
    request = {"bucketName": "lake", "host": ["s3.amazonaws.com"], "publicAccessBlock": [""]}
    return on_account("PutAccountPublicAccessBlock", request, lambda: put_account({**ALL, "BlockPublicAcls": False}))


@incident(ID, "DeleteAccountPublicAccessBlock")
def account_deleted() -> Incident:
    request = {"host": [f"{ME}.s3-control.{REGION}.amazonaws.com"]}
    return on_account("DeleteAccountPublicAccessBlock", request, delete_account_block)
