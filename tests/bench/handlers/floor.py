"""The floor: AWS's signature and HTTP by hand, nothing checked, nothing retried. What the least Python could cost."""

import hashlib
import hmac
import http.client
import os
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

REGION = os.environ["AWS_REGION"]
ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])
WANTED = b"<SSEAlgorithm>aws:kms</SSEAlgorithm>"
RULE = (
    b'<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
    b"<ApplyServerSideEncryptionByDefault>" + WANTED + b"</ApplyServerSideEncryptionByDefault>"
    b"<BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
)
connection = http.client.HTTPConnection(ENDPOINT.hostname or "", ENDPOINT.port)


def signature(key: bytes, *parts: str) -> bytes:
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def call(service: str, method: str, path: str, query: str = "", body: bytes = b"") -> bytes:
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{now[:8]}/{REGION}/{service}/aws4_request"
    payload = hashlib.sha256(body).hexdigest()
    headers = {"host": ENDPOINT.netloc, "x-amz-content-sha256": payload, "x-amz-date": now}
    signed = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{payload}"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    secret = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    proof = signature(secret, now[:8], REGION, service, "aws4_request", text).hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={proof}"
    connection.request(method, f"{path}?{query}", body, headers)
    return connection.getresponse().read()


def handler(event: dict[str, Any], context: Any) -> None:
    bucket = event["detail"]["requestParameters"]["bucketName"]
    path = f"/{quote(bucket)}"
    if WANTED in call("s3", "GET", path, "encryption="):
        return
    call("s3", "PUT", path, "encryption=", RULE)
    message = {"Action": "Publish", "TopicArn": os.environ["TOPIC"], "Message": f"{bucket} is encrypted", "Version": 1}
    call("sns", "POST", "/", "", urlencode(message).encode())
