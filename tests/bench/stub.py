"""As much of AWS as the benchmark needs, on loopback: the same server for every peer, and it counts their calls.

It is one thread and keeps only the buckets that differ from what S3 gives a new one, so that what is measured is the
client. `/bench/…` is for the benchmark itself and is not counted: `take` hands over what was seen since the last time,
and makes all as it was; `stock/<n>` puts n compliant buckets into the account in place of the two hundred that it has.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ACCOUNT = "123456789012"
COMPLIANT = "right-"  # buckets whose name begins so were never broken
NEW = [f"{name}-{number}" for name in ("broken", "right") for number in range(100)]

RULE = (
    '<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
    "<ApplyServerSideEncryptionByDefault><SSEAlgorithm>{}</SSEAlgorithm></ApplyServerSideEncryptionByDefault>"
    "<BucketKeyEnabled>{}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
)
BORN = RULE.format("AES256", "false").encode()
RIGHT = RULE.format("aws:kms", "true").encode()

# What S3 says of a bucket that has none of it (S3 API, "Error responses").
ABSENT = {
    "cors": "NoSuchCORSConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "tagging": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
}
PRESENT = {
    "acl": "<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList/></AccessControlPolicy>",
    "location": "<LocationConstraint>eu-west-1</LocationConstraint>",
    "logging": "<BucketLoggingStatus/>",
    "notification": "<NotificationConfiguration/>",
    "versioning": "<VersioningConfiguration/>",
}
QUERY = {  # the query protocol: SNS, STS and IAM
    "ListAccountAliases": "<AccountAliases/><IsTruncated>false</IsTruncated>",
    "Publish": "<MessageId>0</MessageId>",
    "GetCallerIdentity": f"<Account>{ACCOUNT}</Account><Arn>arn:aws:iam::{ACCOUNT}:role/r</Arn><UserId>u</UserId>",
}
TRAIL = f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/main"
MANAGEMENT = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}
JSON_ANSWERS: dict[str, dict[str, Any]] = {
    "GetParametersByPath": {"Parameters": []},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "ListTrails": {"Trails": [{"TrailARN": TRAIL, "Name": "main", "HomeRegion": "eu-west-1"}]},
    "GetTrailStatus": {"IsLogging": True},
    "GetTrail": {"Trail": {"TrailARN": TRAIL, "Name": "main", "S3BucketName": "logs", "IsMultiRegionTrail": True}},
    "GetEventSelectors": {"TrailARN": TRAIL, "EventSelectors": [MANAGEMENT]},
    "ListTags": {"ResourceTagList": []},
    "DescribeRule": {"State": "ENABLED"},
    "ListTargetsByRule": {"Targets": [{"Id": "1", "Arn": "arn:aws:lambda:eu-west-1:123456789012:function:guardrail"}]},
}
Reply = tuple[int, bytes]
Item = dict[str, Any]


class Account:
    """The state, and what was seen: calls by name, looks that were asked for, the time of the last fix."""

    def __init__(self) -> None:
        self.buckets = NEW
        self.forget()

    def forget(self) -> None:
        self.rules: dict[str, bytes] = {}
        self.items: dict[str, Item] = {}
        self.calls: Counter[str] = Counter()
        self.looks: list[dict[str, Any]] = []
        self.fixed = 0.0

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        url = urlsplit(target)
        if url.path.startswith("/bench/"):
            return self._bench(url.path)
        service = headers.get("authorization", "").partition("Credential=")[2].split("/")
        name = service[3] if len(service) > 3 else "http"
        kinds: dict[str, Callable[[], Reply]] = {
            "s3": lambda: self._s3(method, unquote(url.path), url.query, body),
            "http": lambda: self._seen("http:POST", b"{}"),
        }
        if "x-amz-target" in headers:
            return self._json(name, headers["x-amz-target"].rpartition(".")[2], body)
        return kinds.get(name, lambda: self._query(name, body))()

    def _bench(self, path: str) -> Reply:
        command, _, argument = path.removeprefix("/bench/").partition("/")
        if command == "stock":
            self.buckets = [f"{COMPLIANT}{number:06}" for number in range(int(argument))]
        seen = {"calls": self.calls, "looks": self.looks, "fixed": self.fixed}
        text = json.dumps(seen).encode()
        self.forget()
        return 200, text

    def _seen(self, name: str, body: bytes, status: int = 200) -> Reply:
        self.calls[name] += 1
        return status, body

    def _json(self, service: str, operation: str, body: bytes) -> Reply:
        answer, request = JSON_ANSWERS.get(operation, {}), json.loads(body)
        if operation == "PutEvents":
            entries = request["Entries"]
            self.looks += [json.loads(e["Detail"]) for e in entries if e["DetailType"] == "Holdfast Look"]
            answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "0"} for _ in entries]}
        if request.get("UpdateExpression", "").startswith("ADD"):  # what an actor caused: always the first of the hour
            return self._seen(f"{service}:{operation}", b'{"Attributes": {"fixes": {"N": "1"}}}')
        if operation == "GetItem" and (item := self.items.get(str(request["Key"]))):
            answer = {"Item": item}
        for update in [request, *(part.get("Update", {}) for part in request.get("TransactItems", ()))]:
            self._update(**update)
        return self._seen(f"{service}:{operation}", json.dumps(answer).encode())

    def _update(self, Key: Item | None = None, UpdateExpression: str = "", **rest: Any) -> None:  # noqa: N803 - AWS's
        """What DynamoDB makes of `SET a = :a, … REMOVE b, …`; conditions hold, where one client is alone."""
        if Key is None or not UpdateExpression:
            return
        item, names = self.items.setdefault(str(Key), dict(Key)), rest.get("ExpressionAttributeNames", {})
        sets, _, removes = UpdateExpression.removeprefix("SET ").partition(" REMOVE ")
        for name, value in (part.split(" = ") for part in sets.split(", ")):
            item[names.get(name, name)] = rest["ExpressionAttributeValues"][value]
        for name in filter(None, removes.split(", ")):
            item.pop(names.get(name, name), None)

    def _query(self, service: str, body: bytes) -> Reply:
        action = parse_qs(body.decode())["Action"][0]
        result = f"<{action}Response><{action}Result>{QUERY[action]}</{action}Result></{action}Response>"
        return self._seen(f"{service}:{action}", result.encode())

    def _s3(self, method: str, path: str, query: str, body: bytes) -> Reply:
        bucket = path.strip("/")
        options = parse_qs(query, keep_blank_values=True)
        if not bucket:
            return self._seen("s3:ListBuckets", self._listing(options))
        kind = next(iter(options), "")
        call = f"s3:{method.capitalize()}Bucket{kind[:1].upper()}{kind[1:]}"
        if kind == "encryption":
            return self._encryption(method, bucket, call, body)
        if kind in PRESENT:
            return self._seen(call, PRESENT[kind].encode())
        code = ABSENT.get(kind, "NotImplemented")
        return self._seen(call, f"<Error><Code>{code}</Code><Message>{kind}</Message></Error>".encode(), 404)

    def _encryption(self, method: str, bucket: str, call: str, body: bytes) -> Reply:
        if method == "PUT":
            self.rules[bucket] = body
            self.fixed = time.monotonic()
            return self._seen(call, b"")
        return self._seen(call, self.rules.get(bucket, RIGHT if bucket.startswith(COMPLIANT) else BORN))

    def _listing(self, options: dict[str, list[str]]) -> bytes:
        size = int(options.get("max-buckets", [str(len(self.buckets))])[0])
        start = int(options.get("continuation-token", ["0"])[0])
        page, more = self.buckets[start : start + size], start + size
        date = "<CreationDate>2026-01-01T00:00:00.000Z</CreationDate><BucketRegion>eu-west-1</BucketRegion>"
        listed = "".join(f"<Bucket><Name>{name}</Name>{date}</Bucket>" for name in page)
        token = f"<ContinuationToken>{more}</ContinuationToken>" if more < len(self.buckets) else ""
        return f"<ListAllMyBucketsResult><Buckets>{listed}</Buckets>{token}</ListAllMyBucketsResult>".encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as the SDKs speak it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.received = rest[length:]
        status, body = self.account.answer(method, target, headers, rest[:length])
        self.transport.write(
            b"HTTP/1.1 %d -\r\nx-amz-request-id: 0\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        )
        self.transport.write(body)


async def _serve() -> None:
    account = Account()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(account), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)  # the benchmark holds the other end: when it ends, so do we


if __name__ == "__main__":
    asyncio.run(_serve())
