"""Files with events, as people have them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from holdfast_cli import events
from holdfast_cli.errors import Complaint
from support import ME, call, record_files

EVENT = call("s3", "CreateBucket", {"bucketName": "lake"})
RECORD = EVENT["detail"]


TORN = gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20  # a zip whose inside is none


def written(folder: Path, value: object) -> Path:
    path = folder / "event.json"
    path.write_text(json.dumps(value))
    return path


def test_an_envelope_is_taken_as_it_is(tmp_path: Path) -> None:
    assert events.read_one(written(tmp_path, EVENT)) == EVENT


def test_a_bare_record_is_wrapped(tmp_path: Path) -> None:
    assert events.read_one(written(tmp_path, RECORD)) == events.envelope(RECORD)


def test_a_log_file_of_cloudtrail_holds_many_zipped(tmp_path: Path) -> None:
    path = tmp_path / "123456789012_CloudTrail_eu-west-1.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"Records": [RECORD, RECORD]}).encode()))
    assert events.read(path) == [events.envelope(RECORD)] * 2


FORMS = {
    "an array": json.dumps([RECORD, EVENT]),
    "JSON lines": f"{json.dumps(RECORD)}\n\n{json.dumps(EVENT)}\r\n",
    "aws cloudtrail lookup-events": json.dumps({"Events": [{"CloudTrailEvent": json.dumps(RECORD)}] * 2}),
    "a log file with an Insight": json.dumps({"Records": [RECORD, {"insightDetails": {}}, RECORD]}),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=form) for form, text in FORMS.items()])
def test_records_are_found_in_what_people_keep_them_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trail.log"
    path.write_text(text, newline="")
    assert [event["detail"] for event in events.read(path)] == [RECORD, RECORD]


@pytest.mark.parametrize(
    ("record", "account"),
    [
        (RECORD, ME),
        ({"userIdentity": {"accountId": "111122223333", "arn": f"arn:aws:iam::{ME}:user/mallory"}}, "111122223333"),
        ({"userIdentity": {"arn": f"arn:aws-cn:iam::{ME}:user/mallory"}}, ME),
        ({"requestParameters": {"name": f"arn:aws:cloudtrail:eu-west-1:{ME}:trail/main"}}, ME),
        ({"requestParameters": {"name": "arn:aws:s3:::lake"}}, ""),
    ],
)
def test_a_record_without_an_account_was_nobodys_though_an_arn_in_it_tells(record: Any, account: str) -> None:
    assert events.account(record) == account


def test_a_digest_of_log_files_holds_no_records(tmp_path: Path) -> None:
    assert events.read(written(tmp_path, {"awsAccountId": "1", "digestStartTime": "2026-01-01T00:00:00Z"})) == []


@pytest.mark.parametrize("text", [json.dumps([RECORD, {}, RECORD]), f"{json.dumps(RECORD)}\n{{\n{json.dumps(RECORD)}"])
def test_a_bad_record_is_named_and_those_beside_it_are_still_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trail.json"
    path.write_text(text)
    with pytest.raises(Complaint, match=r"trail\.json: record 2: neither"):
        events.read(path)
    assert [record for _, record in events.records(path)][::2] == [RECORD, RECORD]


@pytest.mark.parametrize("none", [None, ""])
@pytest.mark.parametrize("wrap", [lambda record: record, lambda record: EVENT | {"detail": record}])
def test_an_error_code_that_says_nothing_is_no_error(tmp_path: Path, none: object, wrap: Any) -> None:
    path = written(tmp_path, wrap(RECORD | {"errorCode": none}))
    assert events.read_one(path)["detail"] == RECORD


@pytest.mark.parametrize("wrap", [lambda record: record, lambda record: EVENT | {"detail": record}])
def test_parameters_in_a_string_are_decoded(tmp_path: Path, wrap: Any) -> None:
    strings = {"requestParameters": json.dumps(RECORD["requestParameters"]), "responseElements": "null"}
    assert events.read_one(written(tmp_path, wrap(RECORD | strings)))["detail"] == RECORD


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Records": [RECORD, RECORD]}, "holds 2 records"),
        ({"Records": []}, "holds 0 records"),
        ({"hello": "world"}, "neither an EventBridge event"),
        ([RECORD, RECORD], "holds 2 records"),
        ([[RECORD]], "neither an EventBridge event"),
        ({"Events": [{}]}, "neither an EventBridge event"),
        ("text", "neither an EventBridge event"),
        ({"detail-type": "AWS API Call via CloudTrail", "detail": "text"}, "neither an EventBridge event"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(Complaint, match=said) as refused:
        events.read_one(written(tmp_path, value))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"{"), ("a.json", b"\xff\xfe"), ("a.json.gz", b"{}"), ("a.json.gz", TORN)]
)
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Complaint, match=name):
        events.read(tmp_path / name)


def test_an_event_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps(EVENT), encoding="utf-8-sig")
    assert events.read_one(tmp_path / "event.json") == EVENT


def test_a_file_that_is_nested_too_deeply_was_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(Complaint, match=r"deep\.json: nested too deeply"):
        events.read(tmp_path / "deep.json")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Complaint, match=r"gone\.json: No such file"):
        events.read(tmp_path / "gone.json")


def test_a_folder_of_records_may_hold_other_things(tmp_path: Path) -> None:
    names = ["a.json", "AWSLogs/1/CloudTrail/b.json.gz", "c.jsonl", "d.log", "e.json.cloudtrail"]
    for name in [*names, "INDEX.md", "README", "AWSLogs/.DS_Store", "AWSLogs/._b.json", "aws.zip"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.json").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in record_files(tmp_path)] == sorted(names)
