"""Events from files: an EventBridge envelope, a bare CloudTrail record, or one of CloudTrail's own log files."""

import gzip
import json
from collections.abc import Callable, Mapping
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
}


def read_json(path: Path, loads: Callable[[bytes], Any] = json.loads) -> Any:
    """A file's JSON, unzipped where CloudTrail zipped it. Raises Complaint with one line."""
    try:
        data = path.read_bytes()
        return loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError) as error:
        raise Complaint(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except RecursionError:
        raise Complaint(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise Complaint(f"{path}: not JSON: {error}") from None


def read(path: Path) -> list[dict[str, Any]]:
    """The file's events, each in its EventBridge envelope. Raises Complaint for anything else."""
    value = read_json(path)
    found = value["Records"] if isinstance(value, dict) and isinstance(value.get("Records"), list) else [value]
    return [_enveloped(item, path) for item in found]


def read_one(path: Path) -> dict[str, Any]:
    """For where one event is wanted."""
    found = read(path)
    if len(found) != 1:
        raise Complaint(f"{path}: holds {len(found)} records; give a file with one")
    return found[0]


def _enveloped(item: Any, path: Path) -> dict[str, Any]:
    if isinstance(item, dict) and isinstance(item.get("detail"), dict) and "detail-type" in item:
        return item
    if isinstance(item, dict) and isinstance(item.get("eventName"), str) and isinstance(item.get("eventSource"), str):
        return envelope(item)
    raise Complaint(f"{path}: neither an EventBridge event (detail-type, detail) nor a CloudTrail record (eventName)")


def envelope(record: Mapping[str, Any]) -> dict[str, Any]:
    """A CloudTrail record as EventBridge hands it over. A null errorCode, which only tools write, means none."""
    detail = {key: value for key, value in record.items() if (key, value) != ("errorCode", None)}
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
    """The account that the record belongs to; old ones name only the caller's."""
    return str(record.get("recipientAccountId") or mapping(record.get("userIdentity")).get("accountId") or "")
