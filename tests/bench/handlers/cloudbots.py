"""CloudBots' `s3_enable_encryption`, re-enacted by its imports and calls: its source is in no package registry.

Like its dispatcher it asks STS who it is at every event and makes every client anew where it is used; like the bot it
sets without looking; like its logger it posts a line by `requests` after the message. All else is left out, so that the
real one takes longer.
"""

import json
import os
from typing import Any

import boto3
import requests


def handler(event: dict[str, Any], context: Any) -> None:
    bucket = event["detail"]["requestParameters"]["bucketName"]
    account = boto3.client("sts").get_caller_identity()["Account"]
    session = boto3.Session(region_name=event["region"])
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    session.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    text = json.dumps({"Account id": account, "Rules violations found": [{"ID": bucket, "Execution status": "passed"}]})
    boto3.client("sns").publish(TopicArn=os.environ["TOPIC"], Message=text, Subject="RemediationLog")
    requests.Session().post(os.environ["AWS_ENDPOINT_URL"] + "/log", data=text, timeout=10)
