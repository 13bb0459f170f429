"""`requestParameters` of S3 bucket calls: the flags of the query, and the XML body as it stands."""

import json

from .wire import Exchange, Operation
from .xml_shapes import Json, content_of, local_name, root_of, scalar

_HEADERS = (
    "x-amz-acl",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-expected-bucket-owner",
    "x-amz-object-ownership",
)


def request(exchange: Exchange, operation: Operation, region: str, account: str) -> Json:
    """`{"bucketName": …, "Host": …, "policy": "", "bucketPolicy": {…}}`; an account-level call has no bucketName."""
    bucket = operation.labels.get("Bucket")
    host = f"{bucket}.s3.{region}" if bucket else f"{account}.s3-control.{region}"
    named = {"bucketName": bucket} if bucket else {}
    flags = {name: scalar(value) for name, value in exchange.fields.items() if name != "x-id"}
    body = _body(exchange, operation.name)
    return {**named, "Host": f"{host}.amazonaws.com", **flags, **_headers(exchange), **body}


def _headers(exchange: Exchange) -> dict[str, Json]:
    sent = {name: exchange.headers[name] for name in _HEADERS if name in exchange.headers}
    grants = {name: value for name, value in exchange.headers.items() if name.startswith("x-amz-grant-")}
    return {**sent, "accessControlList": grants} if grants else dict(sent)


def _body(exchange: Exchange, operation: str) -> dict[str, Json]:
    if operation == "PutBucketPolicy":
        return {"bucketPolicy": _policy(exchange.body)}
    if not exchange.body.strip():
        return {}
    root = root_of(exchange.body)
    return {local_name(root): content_of(root)}


def _policy(body: bytes) -> Json:
    """A bucket policy stands in the record as an object, and one that isn't JSON as `{}`."""
    try:
        return json.loads(body)
    except ValueError:
        return {}
