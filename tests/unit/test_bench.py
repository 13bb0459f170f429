"""The benchmark's own parts: what it counts, packs and reckons. No time is asserted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from bench import cost, packages, report
from bench.measure import Stub, stub
from bench.peers import BOTO3, CLOUDBOTS, CUSTODIAN, HOLDFAST
from botocore.exceptions import ClientError
from support import REGION

KEY: Any = {"guardrail": {"S": "g"}, "target": {"S": "t"}}
RULE: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}


@pytest.fixture(scope="module")
def running() -> Iterator[Stub]:
    with stub() as server:
        yield server


@pytest.fixture
def server(running: Stub) -> Stub:
    running.take()
    return running


def client(name: Any, server: Stub) -> Any:
    keys: Any = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.session.Session(region_name=REGION, **keys).client(name, endpoint_url=server.address)


def algorithm(s3: Any, bucket: str) -> str:
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])


def test_the_stub_keeps_what_is_set_and_counts_each_call(server: Stub) -> None:
    s3 = client("s3", server)
    assert algorithm(s3, "broken-1") == "AES256"
    s3.put_bucket_encryption(Bucket="broken-1", ServerSideEncryptionConfiguration={"Rules": [RULE]})
    assert algorithm(s3, "broken-1") == "aws:kms"
    seen = server.take()
    assert seen["calls"] == {"s3:GetBucketEncryption": 2, "s3:PutBucketEncryption": 1}
    assert seen["fixed"] > 0


def test_the_stub_is_as_it_was_once_it_was_asked(server: Stub) -> None:
    s3 = client("s3", server)
    s3.put_bucket_encryption(Bucket="broken-1", ServerSideEncryptionConfiguration={"Rules": [RULE]})
    server.take()
    assert algorithm(s3, "broken-1") == "AES256"
    assert server.take() == {"calls": {"s3:GetBucketEncryption": 1}, "looks": [], "fixed": 0.0}


def test_a_bucket_without_a_policy_says_so_as_s3_does(server: Stub) -> None:
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        client("s3", server).get_bucket_policy(Bucket="broken-1")


def test_a_listing_comes_in_pages_and_is_whole(server: Stub) -> None:
    server.stock(25)
    pages = client("s3", server).get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 10})
    assert [len(page["Buckets"]) for page in pages] == [10, 10, 5]


def test_the_stubs_ledger_sets_and_removes(server: Stub) -> None:
    table = client("dynamodb", server)
    names, values = {"#a": "a", "#b": "b"}, {":a": {"S": "1"}, ":b": {"S": "2"}}
    both = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    table.update_item(TableName="t", Key=KEY, UpdateExpression="SET #a = :a, #b = :b", **both)
    update = {"TableName": "t", "Key": KEY, "UpdateExpression": "SET #a = :b REMOVE #b", **both}
    table.transact_write_items(TransactItems=[{"Update": update}])
    assert table.get_item(TableName="t", Key=KEY)["Item"] == {**KEY, "a": {"S": "2"}}


def test_the_same_files_make_the_same_zip_whenever_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    files = {"a.py": tmp_path / "a.py"}
    packages.packed(tmp_path / "one", files)
    (tmp_path / "a.py").touch()
    packages.packed(tmp_path / "two", files)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_our_function_is_measured_in_the_environment_that_the_template_gives_it() -> None:
    environment = packages.environment("s3_default_encryption", "the-topic")
    assert environment["HOLDFAST_TOPIC"] == "the-topic"
    assert json.loads(environment["HOLDFAST_SHARED"])["mode"] == "enforce"
    assert json.loads(environment["HOLDFAST_SETTINGS"])["algorithm"] == "aws:kms"


def run(cpu: float = 1.0, **calls: int) -> dict[str, Any]:
    return {
        "cpu": cpu,
        "calls": calls or {"get": 2},
        "logged": 500,
        "rss": 40,
        "rss_settled": 41,
        "rss_after": 41,
        "events": 100,
    }


def results() -> dict[str, Any]:
    """A run in which every promise is kept."""
    peers = (HOLDFAST, BOTO3, CLOUDBOTS, CUSTODIAN)
    times = {"init": 10.0, "fix": 100.0, "done": 110.0, "cpu": 90.0, "rss": 40.0}
    cold: dict[str, dict[str, Any]] = {name: {**times, "calls": {"get": 3}} for name in peers}
    cold[HOLDFAST]["fix"] = 20.0
    swept = {"buckets": 100, "seconds": 1.0, "calls_each": 2.0, "peak": 40}
    return {
        "cold": cold,
        "slow": dict.fromkeys(peers, 50.0),
        "warm": {name: run() for name in peers},
        "compliant": {name: run() for name in (HOLDFAST, BOTO3)},
        "ignored": {"calls": {}},
        "sweeps": {HOLDFAST: swept, CUSTODIAN: swept},
        "runs": {name: run() for name in ("tick", "clock", "compliant", "fix")},
        "zips": {HOLDFAST: {"layer": 1_500_000}, CUSTODIAN: {"function": 750_000}},
        "functions": {"watch": 1300},
        "init_seconds": 0.2,
        "load": 0.1,
        "rounds": 3,
        "date": "2026-01-01",
        "machine": "a machine",
        "python": "3.13.0",
        "versions": {"botocore": "1"},
        "way": "cgroup",
        **cost.from_template(),
    }


def test_a_promise_that_is_broken_is_named_so() -> None:
    found = results()
    assert all(target.met for target in report.targets(found))
    found["cold"][HOLDFAST]["fix"] = 76.0
    broken = [target.what for target in report.targets(found) if not target.met]
    assert broken == [f"cold start to the first fix ÷ {peer}" for peer in (BOTO3, CLOUDBOTS, CUSTODIAN)]
    assert report.page(found).count("**no**") == 3


def test_a_busy_machine_is_admitted() -> None:
    assert "busy" not in report.page(results())
    assert "It was busy (load 4.0)" in report.page({**results(), "load": 4.0})


def test_what_stands_still_costs_by_being_there() -> None:
    idle = cost.month({**results(), "alarms": 20}, cost.Use(0, 0, 0), cost.Prices())
    assert idle["CloudWatch alarms"] == pytest.approx(2.0)
    assert idle["SNS"] == 0
    assert idle["EventBridge Scheduler"] == pytest.approx((43_800 + 8_760) * 1e-6)


def test_lambda_costs_its_cpu_at_its_share_and_the_time_that_aws_takes_to_answer() -> None:
    assert cost.Run(calls=2, cpu=0.256, log=0).seconds == pytest.approx(1.769 + 2 * cost.LATENCY)


def test_a_month_grows_with_the_accounts() -> None:
    page = cost.page(results())
    (alarms,) = (line for line in page.splitlines() if line.startswith("| CloudWatch alarms"))
    one, hundred, fleet = (float(cell.replace(",", "")) for cell in alarms.split("|")[2:5])
    assert (hundred, fleet) == pytest.approx((100 * one, 5000 * one))
