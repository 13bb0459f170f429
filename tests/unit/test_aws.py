"""The door to AWS opens inward only."""

import ssl
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from holdfast import ApiCall, Aws, buckets, unless
from holdfast.aws import OTHER_REGION, Rejected, WriteRefused, error_code, roots
from holdfast.trail import bucket_policy
from holdfast_cli import project
from moto import mock_aws
from support import HERE, ME, at_home, world


@pytest.fixture
def aws() -> Any:
    with mock_aws():
        yield Aws(HERE)


def noting() -> tuple[Aws, list[dict[str, Any]]]:
    """A door that notes the requests through it; clients take their hooks when they are made."""
    aws = Aws(HERE)
    seen: list[dict[str, Any]] = []

    def note(**happening: Any) -> None:
        seen.append(happening["params"])

    aws.session.register("before-call.s3", note)
    return aws, seen


def create(aws: Aws, name: str = "lake") -> None:
    configuration = {"LocationConstraint": HERE.region}
    aws.apply(ApiCall("s3", "create_bucket", {"Bucket": name, "CreateBucketConfiguration": configuration}))


def test_a_write_that_was_not_planned_is_refused(aws: Aws) -> None:
    create(aws)
    with pytest.raises(WriteRefused, match="s3:DeleteBucket is not a read"):
        aws.client("s3").delete_bucket(Bucket="lake")
    assert [arn.name for arn in buckets(aws)] == ["lake"]


def test_the_door_is_shut_again_after_a_planned_call_that_failed(aws: Aws) -> None:
    with pytest.raises(ClientError):
        aws.apply(ApiCall("s3", "delete_bucket", {"Bucket": "nowhere"}))
    with pytest.raises(WriteRefused):
        aws.client("s3").delete_bucket(Bucket="nowhere")


def test_calls_on_buckets_name_their_owner(aws: Aws) -> None:
    create(aws)
    noted, seen = noting()
    noted.client("s3").get_bucket_location(Bucket="lake")
    noted.apply(ApiCall("s3", "delete_bucket", {"Bucket": "lake"}))
    assert [request["headers"]["x-amz-expected-bucket-owner"] for request in seen] == [ME, ME]


@pytest.mark.usefixtures("aws")
def test_directory_buckets_do_not_know_the_owners_header() -> None:
    noted, seen = noting()
    with pytest.raises(ClientError):
        noted.client("s3").get_bucket_encryption(Bucket="fast--euw1-az1--x-s3")
    assert ["x-amz-expected-bucket-owner" in request["headers"] for request in seen] == [False]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("call", ["get_bucket_policy", "put_bucket_policy"])
def test_no_bucket_is_followed_to_another_region(call: str) -> None:
    here = world("s3-vpc-only-policy")
    at_home(here, "far", "eu-central-1")
    for _ in range(2):  # botocore remembers where it was sent
        with pytest.raises(ClientError) as refused:
            here.aws.apply(
                ApiCall("s3", call, {"Bucket": "far"} | ({"Policy": "{}"} if call.startswith("put") else {}))
            )
        assert error_code(refused.value) == OTHER_REGION


@pytest.mark.usefixtures("aws")
def test_a_trails_bucket_is_asked_for_where_it_is() -> None:
    boto3.client("s3", "eu-central-1").create_bucket(
        Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    boto3.client("s3", "eu-central-1").put_bucket_policy(Bucket="far", Policy="{}")
    here = world("cloudtrail-logging")
    at_home(here, "far", "eu-central-1")
    assert bucket_policy("far", here.aws)["Policy"] == "{}"


def test_a_batch_that_was_half_taken_is_an_error(aws: Aws) -> None:
    entry = {"Source": "holdfast", "DetailType": "x", "Detail": "not json"}
    with pytest.raises(Rejected, match="put_events"):
        aws.apply(ApiCall("events", "put_events", {"Entries": [entry]}))


def test_a_call_goes_to_its_region(aws: Aws) -> None:
    aws.apply(ApiCall("kms", "create_key", {}, "us-west-2"))
    assert len(aws.client("kms", "us-west-2").list_keys()["Keys"]) == 1
    assert aws.client("kms").list_keys()["Keys"] == []


def test_only_the_named_errors_are_an_answer(aws: Aws) -> None:
    s3 = aws.client("s3")
    assert unless("NoSuchBucket Other", s3.get_bucket_policy, Bucket="nowhere") is None
    with pytest.raises(ClientError):
        unless("Other", s3.get_bucket_policy, Bucket="nowhere")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("addressing", "url"),
    [
        ("", f"https://s3.{HERE.region}.amazonaws.com/lake?encryption"),
        ("path", f"https://s3.{HERE.region}.amazonaws.com/lake?encryption"),
        ("virtual", f"https://lake.s3.{HERE.region}.amazonaws.com/?encryption"),
    ],
)
def test_all_buckets_share_a_host_unless_each_shall_have_its_own(
    addressing: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_S3_ADDRESSING", addressing)
    noted, seen = noting()
    with pytest.raises(ClientError):
        noted.client("s3").get_bucket_encryption(Bucket="lake")
    assert [request["url"] for request in seen] == [url]


def test_amazons_roots_are_used_where_its_endpoints_go_back_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = project.ROOT / ".build/layer/python/holdfast/amazon.pem"
    monkeypatch.setattr("holdfast.aws.AMAZON_ROOTS", bundle)
    found: Any = ssl.create_default_context(cafile=bundle).get_ca_certs()
    names = [dict(part for (part,) in root["subject"]) for root in found]
    assert sorted(name["commonName"] for name in names) == [
        "Amazon Root CA 1",
        "Amazon Root CA 2",
        "Amazon Root CA 3",
        "Amazon Root CA 4",
        "Starfield Services Root Certificate Authority - G2",
    ]
    assert [roots(partition) for partition in ("aws", "aws-us-gov", "aws-cn")] == [str(bundle), str(bundle), None]
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ssl/proxy.pem")
    assert roots("aws") is None
