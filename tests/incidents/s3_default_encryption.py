"""Buckets that lose the encryption their account chose."""

from typing import Any

import boto3
from support import HERE, REGION, Incident, call, incident, make_bucket

ID = "s3-default-encryption"


def put(algorithm: str, key: str = "", *, bucket_key: bool = True) -> None:
    default: Any = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key} if key else {})
    rule: Any = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}
    boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration={"Rules": [rule]})


def found() -> dict[str, Any]:
    answer = boto3.client("s3").get_bucket_encryption(Bucket="lake")
    return dict(answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"])


def build(event: str, request: dict[str, Any], spoil: Any, **more: Any) -> Incident:
    make_bucket()
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    put("aws:kms", key)
    return Incident(
        guardrail=ID,
        event=call("s3", event, {"bucketName": "lake", "Host": f"lake.s3.{REGION}.amazonaws.com"} | request),
        target=HERE.bucket("lake"),
        spoil=spoil,
        safe=lambda: found() == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        settings={"algorithm": "aws:kms", "key_arn": key} | more,
    )


@incident(ID, "CreateBucket")
def created() -> Incident:
    configuration = {"LocationConstraint": REGION, "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"}
    return build("CreateBucket", {"CreateBucketConfiguration": configuration}, lambda: put("AES256", bucket_key=False))


@incident(ID, "PutBucketEncryption")
def foreign_key() -> Incident:
    key = f"arn:aws:kms:{REGION}:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    request = {"encryption": "", "ServerSideEncryptionConfiguration": {"Rule": rule}}
    return build("PutBucketEncryption", request, lambda: put("aws:kms", key))


@incident(ID, "DeleteBucketEncryption")
def deleted() -> Incident:
    # moto then has no encryption at all, where S3 falls back to SSE-S3 (S3 API, DeleteBucketEncryption)
    return build("DeleteBucketEncryption", {"encryption": ""}, lambda: put("AES256"))
