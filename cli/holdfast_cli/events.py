"""Events from files: EventBridge envelopes and CloudTrail records, bare or in whatever people keep them in."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.event import API_CALL, mapping

from holdfast_cli.errors import Complaint

# EventBridge user guide, "AWS service events delivered via AWS CloudTrail"; the sign-in one as envelopes spell it.
DETAIL_TYPES = {
    "AwsServiceEvent": "AWS Service Event via CloudTrail",
    "AwsConsoleAction": "AWS Console Action via CloudTrail",
    "AwsConsoleSignIn": "AWS Console Sign In via CloudTrail",
    "AwsCloudTrailInsight": "AWS Insight via CloudTrail",
    "AwsVpceEvent": "AWS Network Activity Event via CloudTrail",
}
PARAMETERS = ("requestParameters", "responseElements")
OWNED = re.compile(r"arn:aws[\w-]*:[\w-]+:[\w-]*:(\d{12}):")


def read_json(path: Path, loads: Callable[[bytes], Any] = json.loads) -> Any:
    """A file's JSON, unzipped where CloudTrail zipped it. Raises Complaint with one line."""
    try:
        data = path.read_bytes()
        return loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, zlib.error) as error:
        raise Complaint(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except RecursionError:
        raise Complaint(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise Complaint(f"{path}: not JSON: {error}") from None


def read(path: Path) -> list[dict[str, Any]]:
    """The file's events, each in its EventBridge envelope. Raises Complaint for anything else."""
    return [enveloped(record, name) for name, record in records(path)]


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """What a file holds, each with the name to complain of it by. Raises Complaint for a file that can't be read.

    Insights are passed over: they tell of calls and are none.
    """
    found = read_json(path, _found)
    for number, item in enumerate(map(_decoded, found), 1):
        if "insightDetails" not in mapping(item):
            yield f"{path}: record {number}" if len(found) > 1 else str(path), item


def _found(data: bytes) -> list[Any]:
    """One record, or those of a list, JSON lines, CloudTrail's log files, or `aws cloudtrail lookup-events`.

    In JSON lines and from `lookup-events` each is still JSON in a string. A digest of log files holds none.
    """
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":  # which a second line is
            raise
        return [line for line in data.splitlines() if line.strip()]
    match value:
        case {"Records": [*inner]} | [*inner]:
            return inner
        case {"Events": [*inner]}:
            return [mapping(event).get("CloudTrailEvent") for event in inner]
        case {"digestStartTime": _}:
            return []
    return [value]


def _decoded(value: Any) -> Any:
    """What stands as JSON in a string; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str | bytes) else value
    except (ValueError, RecursionError):
        return value


def read_one(path: Path) -> dict[str, Any]:
    """For where one event is wanted."""
    found = read(path)
    if len(found) != 1:
        raise Complaint(f"{path}: holds {len(found)} records; give a file with one")
    return found[0]


def enveloped(item: Any, name: str) -> dict[str, Any]:
    """An event as EventBridge hands it over. Raises Complaint with the name for what is none."""
    if isinstance(item, dict) and isinstance(item.get("detail"), dict) and "detail-type" in item:
        return item | {"detail": _plain(item["detail"])}
    if isinstance(item, dict) and isinstance(item.get("eventName"), str) and isinstance(item.get("eventSource"), str):
        return envelope(item)
    raise Complaint(f"{name}: neither an EventBridge event (detail-type, detail) nor a CloudTrail record (eventName)")


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """As CloudTrail writes it: only tools write a null or empty errorCode for none, and parameters in a string."""
    known = {key: value for key, value in record.items() if key != "errorCode" or value}
    return known | {key: _decoded(known[key]) for key in PARAMETERS if key in known}


def envelope(record: Mapping[str, Any]) -> dict[str, Any]:
    """A CloudTrail record as EventBridge hands it over."""
    detail = _plain(record)
    return {
        "version": "0",
        "id": str(record.get("eventID") or ""),
        "detail-type": DETAIL_TYPES.get(str(record.get("eventType")), API_CALL),
        "source": "aws." + str(record["eventSource"]).split(".")[0],
        "account": account(detail),
        "time": str(record.get("eventTime") or ""),
        "region": str(record.get("awsRegion") or ""),
        "resources": [],
        "detail": detail,
    }


def account(record: Mapping[str, Any]) -> str:
    """The account that the record belongs to; old ones name only the caller's, and trimmed ones none but in an ARN."""
    named = record.get("recipientAccountId") or mapping(record.get("userIdentity")).get("accountId")
    if named:
        return str(named)
    found = OWNED.search(json.dumps(record))
    return found[1] if found else ""
