"""What a careful engineer writes in an afternoon: clients made at import, a look, the fix, the message. No more."""

import json
import os
from typing import Any

import boto3

s3 = boto3.client("s3")
sns = boto3.client("sns")


def handler(event: dict[str, Any], context: Any) -> None:
    bucket = event["detail"]["requestParameters"]["bucketName"]
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    if found["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"].startswith("aws:kms"):
        return
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    message = json.dumps({"bucket": bucket, "actor": event["detail"]["userIdentity"].get("arn"), "was": found})
    sns.publish(TopicArn=os.environ["TOPIC"], Subject="default encryption set", Message=message)
