"""The template as the command line reads it, and what stack parameters come to."""

import json
from pathlib import Path

import pytest
from holdfast_cli import project, template
from holdfast_cli.deployment import Deployment
from holdfast_cli.errors import Complaint


def test_a_section_says_what_a_guardrail_watches_and_may_do() -> None:
    section = template.section("s3-default-encryption")
    assert section.logical_id == "S3DefaultEncryption"
    assert section.function_name == "${AWS::StackName}-s3-default-encryption"
    assert section.event_names == ["DeleteBucketEncryption", "CreateBucket", "PutBucketEncryption"]
    assert section.sources == ["aws.s3", "aws.s3express"]
    assert section.event_sources == ["s3.amazonaws.com", "s3express.amazonaws.com"]
    assert section.given["key_arn"] == "EncryptionKeyArn"
    assert section.given["accepted_key_arns"] == "AcceptedKeyArns"
    assert ("s3:ListAllMyBuckets",) in [statement.actions for statement in section.statements]


def test_a_statement_that_depends_on_the_stack_says_on_what() -> None:
    passing = next(s for s in template.section("cloudtrail-logging").statements if s.actions == ("iam:PassRole",))
    assert (passing.only_if, passing.resources) == ("HasTrailRole", ("${TrailCloudWatchRoleArn}",))


def test_the_clock_is_part_of_a_section() -> None:
    assert template.section("cloudtrail-logging").schedule == "rate(5 minutes)"


def test_a_guardrail_without_a_section_is_refused() -> None:
    with pytest.raises(Complaint, match="no section for no-such"):
        template.section("no-such")


def test_the_template_can_also_be_read_by_sam() -> None:
    from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # takes a second to import

    assert yaml_parse(project.TEMPLATE.read_text())["Resources"].keys() == template.load()["Resources"].keys()


def test_what_only_aws_knows_stays_as_it_is_written() -> None:
    node = {"Fn::Sub": ["${Name}-${AWS::Region}-${Key.Arn}", {"Name": {"Fn::Join": ["+", {"Ref": "List"}]}}]}
    assert template.resolved(node, {"List": ["a", "b"]}) == "a+b-${AWS::Region}-${Key.Arn}"


def test_parameters_reach_the_settings_as_they_reach_a_function() -> None:
    stack = Deployment.of(["EncryptionAlgorithm=aws:kms", "SseS3Buckets=logs-*,elb-*", "Mode=enforce"])
    own = stack.defaults("s3-default-encryption").own
    assert own == {"algorithm": "aws:kms", "block_sse_c": False, "sse_s3_buckets": ["logs-*", "elb-*"]}
    assert stack.choices("s3-default-encryption").mode("s3-default-encryption") == "enforce"


def test_a_list_with_blanks_around_its_items_was_refused() -> None:
    spaced = template.parameters(["VpcIds=vpc-01234567 , vpc-89abcdef", "DataBuckets= data-*"])
    assert (spaced["VpcIds"], spaced["DataBuckets"]) == (["vpc-01234567", "vpc-89abcdef"], ["data-*"])


def test_ssm_goes_over_the_stack_and_a_tried_mode_over_both() -> None:
    tree = {"settings": {"mode": "off"}, "settings/s3-default-encryption": {"bucket_key": False}}
    for mode, expected in ((None, "off"), ("audit", "audit")):
        chosen = Deployment.of(["Mode=enforce"], tree, mode).choices("s3-default-encryption")  # type: ignore[arg-type]
        assert chosen.mode("s3-default-encryption") == expected
        assert chosen.own["bucket_key"] is False


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("Mode", "write Name=value"),
        ("Mod=enforce", "did you mean Mode"),
        ("Mode=of", "one of audit, enforce"),
        ("SweepHours=0", "from 1 to 168"),
        ("SweepHours=soon", "from 1 to 168"),
        ("EncryptionKeyArn=alias/lake", "must be the ARN of a KMS key"),
        ("VpcIds=vpc-0123abcd,subnet-1", "must be VPC ids"),
        ("LogDays=8", "one of 1, 3, 5"),
    ],
)
def test_what_cloudformation_would_refuse_is_refused(given: str, said: str) -> None:
    with pytest.raises(Complaint, match=said):
        template.parameters([given])


def test_values_may_hold_an_equals_sign() -> None:
    assert template.parameters(["BreakGlassArns=arn:aws:iam::123456789012:role/a=b"])["BreakGlassArns"] == [
        "arn:aws:iam::123456789012:role/a=b"
    ]


def test_without_a_template_it_says_where_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    template.load.cache_clear()
    monkeypatch.setattr(project, "TEMPLATE", tmp_path / "template.yaml")
    with pytest.raises(Complaint, match="run holdfast from its repository"):
        template.load()


def test_every_parameter_of_a_section_exists() -> None:
    known = template.load()["Parameters"].keys()
    given = {name for section in template.functions() for name in section.given.values()} | set(
        template.shared().values()
    )
    assert given <= known
    assert given >= {"Mode", "EncryptionAlgorithm"}


def test_the_environment_of_every_function_is_json_whatever_the_parameters() -> None:
    for section in template.functions():
        for values in (template.parameters([]), template.parameters(["VpcIds=vpc-01234567,vpc-76543210"])):
            assert isinstance(json.loads(template.resolved(section.settings, values)), dict)
