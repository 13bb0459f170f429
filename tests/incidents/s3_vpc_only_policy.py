"""Data buckets whose policies come to let others in."""

import copy
import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError
from holdfast_cli import project
from support import HERE, ME, REGION, Incident, call, incident, make_bucket

ID = "s3-vpc-only-policy"
BUCKET = HERE.bucket("lake")
VPC, OTHER_VPC = "vpc-0a1b2c3d4e5f60718", "vpc-0f9e8d7c6b5a40312"
ETL = f"arn:aws:iam::{ME}:role/etl"
REPLICATION = f"arn:aws:iam::{ME}:role/service-role/replication"
SETTINGS: dict[str, Any] = {"buckets": ["lake*"], "vpc_ids": [VPC], "service_role_arns": [ETL]}
VPC_ONLY, INTERNET, TLS, TLS_VERSION = "HoldfastVpcOnly", "HoldfastCloudFront", "HoldfastTls", "HoldfastTlsVersion"

Json = dict[str, Any]

OWNERS: Json = {
    "Sid": "PartnerReads",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::210987654321:root"},
    "Action": ["s3:GetObject", "s3:ListBucket"],
    "Resource": [BUCKET, f"{BUCKET}/shared/*"],
}
CREATED = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}


def ours(*replicating: str) -> list[Json]:
    """What must stand in the policy, written by hand rather than by the guardrail."""
    insiders = [HERE.role, *replicating, ETL, f"arn:aws:iam::{ME}:role/aws-service-role/*"]
    outside = {
        "StringNotEqualsIfExists": {"aws:SourceVpc": [VPC]},
        "BoolIfExists": {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"},
        "ArnNotLikeIfExists": {"aws:PrincipalArn": insiders},
    }
    internet = {"StringEquals": {"aws:PrincipalServiceName": "cloudfront.amazonaws.com"}}
    old_tls = {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
    return [
        deny(VPC_ONLY, list(project.load(ID).DATA), outside),
        deny(INTERNET, list(project.load(ID).DATA), internet),
        deny(TLS, ["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}),
        deny(TLS_VERSION, ["s3:*"], old_tls),
    ]


def deny(sid: str, actions: list[str], condition: Json) -> Json:
    where = {"Action": actions, "Resource": [BUCKET, f"{BUCKET}/*"], "Condition": condition}
    return {"Sid": sid, "Effect": "Deny", "Principal": "*"} | where


def document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Id": "lake", "Statement": list(statements)}


def put(policy: Json) -> None:
    boto3.client("s3").put_bucket_policy(Bucket="lake", Policy=json.dumps(policy))


def delete() -> None:
    boto3.client("s3").delete_bucket_policy(Bucket="lake")


def found() -> list[Json]:
    try:
        return list(json.loads(boto3.client("s3").get_bucket_policy(Bucket="lake")["Policy"])["Statement"])
    except ClientError:
        return []


def build(event: str, request: Json, spoil: Callable[[], object], wanted: list[Json]) -> Incident:
    make_bucket()
    put(document(OWNERS, *ours()))
    host = f"lake.s3.{REGION}.amazonaws.com"
    return Incident(
        guardrail=ID,
        event=call("s3", event, {"bucketName": "lake", "Host": host} | request),
        target=BUCKET,
        spoil=spoil,
        safe=lambda: found() == wanted,
        settings=SETTINGS,
    )


@incident(ID, "CreateBucket")
def born_without_policy() -> Incident:
    return build("CreateBucket", CREATED, delete, ours())


@incident(ID, "DeleteBucketPolicy")
def deleted() -> Incident:
    return build("DeleteBucketPolicy", {"policy": ""}, delete, ours())


def replicate() -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    rule: Any = {"Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::copy"}}
    s3.put_bucket_replication(Bucket="lake", ReplicationConfiguration={"Role": REPLICATION, "Rules": [rule]})


@incident(ID, "PutBucketReplication")
def replicated() -> Incident:
    """The role that replicates the bucket is let in at once: S3 does not try again what the policy has denied."""
    return build("PutBucketReplication", {"replication": ""}, replicate, [OWNERS, *ours(REPLICATION)])


@incident(ID, "DeleteBucketReplication")
def replicated_no_more() -> Incident:
    def stop() -> None:
        boto3.client("s3").delete_bucket_replication(Bucket="lake")

    made = build("DeleteBucketReplication", {"replication": ""}, stop, [OWNERS, *ours()])
    replicate()
    put(document(OWNERS, *ours(REPLICATION)))
    return made


def rewritten(*statements: Json, keeps: list[Json] | None = None) -> Incident:
    policy = document(*statements)
    request = {"bucketPolicy": policy, "policy": ""}
    return build("PutBucketPolicy", request, lambda: put(policy), [OWNERS] if keeps is None else keeps)


def changed(change: Callable[[list[Json]], object]) -> Incident:
    """A policy put whose statements of ours were changed; the owner's stays where it stood."""
    statements = copy.deepcopy(ours())
    change(statements)
    return rewritten(OWNERS, *statements, keeps=[OWNERS, *ours()])


@incident(ID, "PutBucketPolicy")
def widened() -> Incident:
    return changed(lambda s: s[0]["Condition"]["StringNotEqualsIfExists"]["aws:SourceVpc"].append(OTHER_VPC))


@incident(ID, "PutBucketPolicy--exempt-principal")
def exempted() -> Incident:
    attacker = "arn:aws:iam::999999999999:user/eve"
    return changed(lambda s: s[0]["Condition"]["ArnNotLikeIfExists"]["aws:PrincipalArn"].append(attacker))


@incident(ID, "PutBucketPolicy--ours-dropped")
def dropped() -> Incident:
    return rewritten(OWNERS, *ours()[1:], keeps=[OWNERS, *ours()[1:], ours()[0]])


@incident(ID, "PutBucketPolicy--allow-in-its-place")
def replaced() -> Incident:
    allow = {"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "s3:*"}
    foreign = allow | {"Resource": [BUCKET, f"{BUCKET}/*"]}
    return rewritten(foreign, keeps=[foreign, *ours()])


@incident(ID, "PutBucketPolicy--plain-http")
def plain() -> Incident:
    return changed(lambda s: s[2]["Condition"]["Bool"].update({"aws:SecureTransport": "no"}))


@incident(ID, "PutBucketPolicy--our-sid-allows")
def turned_round() -> Incident:
    return changed(lambda s: s[0].update(Effect="Allow"))
