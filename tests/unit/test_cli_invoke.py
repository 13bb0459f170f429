"""`holdfast invoke --aws`: a preview of the caller's own account, which nothing in it can change. On moto."""

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from holdfast import ApiCall, Arn, Aws, Case, Event, Guardrail, NoSettings, Violation
from holdfast.aws import READS, WriteRefused
from holdfast.event import Place
from holdfast.settings import Choices, Exemption, SharedSettings
from holdfast_cli import events, project, rehearsal
from holdfast_cli import preview as preview_module
from holdfast_cli.deployment import Deployment, handler
from holdfast_cli.main import app
from holdfast_cli.preview import Sight, Window, preview
from moto import mock_aws
from support import HERE, MALLORY, ME, REGION, call, look, sweep
from typer.testing import CliRunner, Result

GUARDRAIL = "s3-default-encryption"
EVENT = call("s3", "PutBucketEncryption", {"bucketName": "lake"})
KMS = ("-p", "EncryptionAlgorithm=aws:kms")


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield


@pytest.fixture
def invoke(tmp_path: Path) -> Callable[..., Result]:
    def run(event: object, *options: str, guardrail: str = GUARDRAIL) -> Result:
        path = tmp_path / "event.json"
        path.write_text(event if isinstance(event, str) else json.dumps(event))
        return CliRunner().invoke(app, ["invoke", guardrail, str(path), "--aws", *options])

    return run


def encryption() -> Any:
    rules = boto3.client("s3").get_bucket_encryption(Bucket="lake")["ServerSideEncryptionConfiguration"]["Rules"]
    return rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]


@pytest.fixture
def weak() -> None:
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration={"Rules": [rule]})


@pytest.mark.usefixtures("weak")
def test_a_compliant_target_ends_with_0(invoke: Callable[..., Result]) -> None:
    result = invoke(EVENT)
    assert result.exit_code == 0
    assert "arn:aws:s3:::lake" in result.stdout
    assert "nothing is wrong" in result.stdout


@pytest.mark.usefixtures("weak")
def test_a_violation_ends_with_1_and_shows_the_calls_and_their_undo(invoke: Callable[..., Result]) -> None:
    result = invoke(EVENT, *KMS, "--mode", "enforce")
    assert result.exit_code == 1
    assert "wrong: default encryption of lake falls short: the algorithm is AES256, not aws:kms" in result.stdout
    fix, undo = (line for line in result.stdout.splitlines() if "aws s3api put-bucket-encryption" in line)
    assert "aws:kms" in fix
    assert "AES256" in undo
    assert "calls it would make:" in result.stdout
    assert encryption() == "AES256"


@pytest.mark.usefixtures("weak")
def test_in_audit_mode_it_says_that_it_would_only_tell(invoke: Callable[..., Result]) -> None:
    assert "would only tell of (the mode is audit)" in invoke(EVENT, *KMS).stdout


@pytest.mark.usefixtures("weak")
def test_machines_get_the_calls_as_data(invoke: Callable[..., Result]) -> None:
    told = json.loads(invoke(EVENT, *KMS, "--json").stdout)
    (sight,) = told["sights"]
    assert (told["guardrail"], told["mode"], told["here"]["account"]) == (GUARDRAIL, "audit", ME)
    assert (sight["target"], sight["found"]["algorithm"]) == ("arn:aws:s3:::lake", "AES256")
    assert sight["violation"]["fix"][0]["operation"] == "put_bucket_encryption"


@pytest.mark.usefixtures("weak")
def test_settings_come_from_a_file_of_ones_own_or_of_the_whole_tree(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    for value in ({"algorithm": "aws:kms"}, {f"settings/{GUARDRAIL}": {"algorithm": "aws:kms"}}):
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(value))
        assert invoke(EVENT, "--settings", str(path)).exit_code == 1


@pytest.mark.usefixtures("weak")
def test_an_exemption_is_shown(invoke: Callable[..., Result], tmp_path: Path) -> None:
    exemption = {"resource": "arn:aws:s3:::*", "owner": "o", "reason": "r", "expires": "2099-01-01"}
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({f"exemptions/{GUARDRAIL}/public-site": exemption}))
    assert "exempt: public-site" in invoke(EVENT, *KMS, "--settings", str(path)).stdout


@pytest.mark.usefixtures("weak")
def test_only_reads_reach_aws(invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    original = botocore.session.Session.create_client

    def listening(self: Any, *args: Any, **kwargs: Any) -> Any:
        client = original(self, *args, **kwargs)
        client.meta.events.register("before-call", lambda model, **_: called.append(model.name))
        return client

    monkeypatch.setattr(botocore.session.Session, "create_client", listening)
    assert invoke(EVENT, *KMS, "--mode", "enforce").exit_code == 1
    assert "GetBucketEncryption" in called
    assert [name for name in called if not name.startswith(READS)] == []


def test_a_bucket_that_is_gone_is_no_violation(invoke: Callable[..., Result]) -> None:
    result = invoke(call("s3", "CreateBucket", {"bucketName": "gone"}))
    assert (result.exit_code, "nothing there" in result.stdout) == (0, True)


@pytest.mark.usefixtures("weak")
def test_a_bare_record_will_do(invoke: Callable[..., Result]) -> None:
    assert invoke(EVENT["detail"], *KMS).exit_code == 1


@pytest.mark.usefixtures("weak")
def test_a_failed_call_is_passed_over(invoke: Callable[..., Result]) -> None:
    result = invoke(call("s3", "PutBucketEncryption", {"bucketName": "lake"}, errorCode="AccessDenied"), *KMS)
    assert result.exit_code == 0
    assert "the call failed, so it changed nothing" in result.stdout


def test_an_event_that_no_rule_hands_over_is_looked_at_and_said_to_be_such(invoke: Callable[..., Result]) -> None:
    result = invoke(call("s3", "PutBucketTagging", {"bucketName": "lake"}))
    assert "no rule hands this PutBucketTagging to s3-default-encryption" in result.stdout


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("{", "not JSON"),
        ({"a": 1}, "neither an EventBridge event"),
        (call("s3", "CreateBucket", None), "CreateBucket without a usable bucketName"),
        (call("s3", "CreateBucket", {"bucketName": "lake"}, recipientAccountId="999999999999"), "999999999999"),
        (EVENT | {"detail-type": "AWS Service Event via CloudTrail"}, "not a CloudTrail call"),
    ],
)
def test_a_bad_event_ends_with_2_in_one_line(invoke: Callable[..., Result], event: object, said: str) -> None:
    result = invoke(event)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said in result.stderr


def test_a_guardrail_without_a_required_setting_is_off_and_says_so(invoke: Callable[..., Result]) -> None:
    result = invoke(EVENT, guardrail="s3-vpc-only-policy")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "buckets" in result.stderr


def test_wrong_settings_end_with_2_in_one_line(invoke: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"algorithm": "ROT13"}))
    result = invoke(EVENT, "--settings", str(path))
    assert (result.exit_code, result.stderr.count("\n"), "ROT13" in result.stderr) == (2, 1, True)


def test_without_credentials_it_says_what_to_do(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = invoke(EVENT)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "AWS_PROFILE" in result.stderr


def test_a_role_without_aws_was_passed_over_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(EVENT))
    result = CliRunner().invoke(app, ["invoke", GUARDRAIL, str(path), "--role", "foo"])
    assert (result.exit_code, result.stderr.startswith("holdfast: --role goes with --aws")) == (2, True)


PERIMETER = "s3-vpc-only-policy"


@pytest.mark.parametrize(
    ("guardrail", "event", "mode", "said"),
    [
        (PERIMETER, EVENT, None, "it is off, for it lacks buckets; give it with --parameter or --settings"),
        (GUARDRAIL, EVENT, "off", "its mode is off"),
        (GUARDRAIL, call("s3", "CreateBucket", {}, errorCode="AccessDenied"), None, "the call failed"),
        (GUARDRAIL, EVENT, None, "touched nothing that this guardrail covers"),
    ],
)
def test_of_a_run_that_looked_at_nothing_three_reasons_were_told_and_the_reader_chose(
    guardrail: str, event: Any, mode: Any, said: str
) -> None:
    assert said in rehearsal._idle(guardrail, event, Deployment.of((), mode=mode))


def locally(tmp_path: Path) -> Result:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(EVENT))
    return CliRunner().invoke(app, ["invoke", GUARDRAIL, str(path)])


def test_a_layer_that_is_not_built_from_this_engine_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "LAYER", tmp_path)
    result = locally(tmp_path)
    assert (result.exit_code, result.stderr.count("\n"), "make layer" in result.stderr) == (2, 1, True)


def test_without_the_local_clouds_python_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "built_layer", lambda: tmp_path)
    monkeypatch.setenv("HOLDFAST_LOCAL_CLOUD_PYTHON", str(tmp_path / "python"))
    result = locally(tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "make set-up" in result.stderr


def test_the_role_that_a_guardrail_would_let_in_is_asked_for(invoke: Callable[..., Result]) -> None:
    perimeter = ("-p", "DataBuckets=lake", "-p", "VpcIds=vpc-01234567")
    event, role = call("s3", "DeleteBucketPolicy", {"bucketName": "lake"}), f"arn:aws:iam::{ME}:role/holdfast/own"
    without = invoke(event, *perimeter, guardrail="s3-vpc-only-policy")
    given = invoke(event, *perimeter, "--role", role, guardrail="s3-vpc-only-policy")
    assert (without.exit_code, given.exit_code) == (1, 1)
    assert ("--role" in without.stdout, role in without.stdout) == (True, False)
    assert ("--role" in given.stdout, role in given.stdout) == (False, True)


@dataclass(frozen=True)
class Flag:
    value: str


def flags(aws: Aws) -> list[Arn]:
    return [HERE.arn("ssm", f"parameter/{p['Name']}") for p in aws.client("ssm").describe_parameters()["Parameters"]]


def read(case: Case[Flag, NoSettings], aws: Aws) -> Flag:
    return Flag(aws.client("ssm").get_parameter(Name=case.target.name)["Parameter"]["Value"])


def evaluate(flag: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
    if case.baseline:
        return None
    return Violation("bad", fix=(ApiCall("ssm", "delete_parameter", {"Name": "flag"}),), todo="Mend it.")


TOY: Guardrail[Flag, NoSettings] = Guardrail(
    severity="low",
    services=("ssm",),
    covers=(r"arn:{partition}:ssm:{region}:{account}:parameter/\w+",),
    settings=NoSettings,
    targets=lambda event: [event.arn("ssm", f"parameter/{event.text('name')}")],
    read=read,
    evaluate=evaluate,
    gone=lambda case: Violation("gone"),
    inventory=flags,
    missing=frozenset({"ParameterNotFound"}),
)
CHOICES = Choices(SharedSettings(), {}, {})


def seen(raw: dict[str, Any], guardrail: Any = TOY, choices: Choices = CHOICES) -> list[Sight]:
    return preview(guardrail, Event.parse(raw, HERE), Window(HERE), choices, NoSettings())


@pytest.fixture
def flag() -> str:
    boto3.client("ssm").put_parameter(Name="flag", Value="bad", Type="String")
    return HERE.arn("ssm", "parameter/flag")


def test_a_sweep_looks_at_everything_and_a_look_at_its_targets(flag: str) -> None:
    assert [sight.target for sight in seen(sweep())] == [flag]
    assert [sight.target for sight in seen(look("toy", flag, flag))] == [flag]


def test_a_thing_that_is_gone_is_judged_for_a_call_only(flag: str) -> None:
    gone = call("ssm", "DeleteParameter", {"name": "gone"})
    (sight,) = seen(gone)
    assert (sight.found, sight.violation) == (None, Violation("gone"))
    (looked,) = seen(look("toy", HERE.arn("ssm", "parameter/gone")))
    assert looked.violation is None


def test_the_state_at_a_look_is_its_own_baseline_as_at_the_functions_first_sight(flag: str) -> None:
    remembering = replace(TOY, baseline=Flag)
    changed = call("ssm", "PutParameter", {"name": "flag"})
    assert [bool(sight.violation) for sight in seen(look("toy", flag), remembering)] == [False]
    assert [bool(sight.violation) for sight in seen(changed, remembering)] == [True]


SAMPLES = [(name, path) for name in project.guardrails() for path in sorted((project.EVENTS / name).glob("*.json"))]


@pytest.mark.parametrize(("guardrail", "path"), SAMPLES, ids=lambda value: getattr(value, "stem", value))
def test_of_every_sample_only_what_the_guardrail_guards_is_looked_at(guardrail: str, path: Path) -> None:
    stack, event = Deployment.of(["DataBuckets=*", "VpcIds=vpc-01234567"]), Event.parse(events.read_one(path), HERE)
    acting = replace(handler(guardrail), read=lambda case, aws: None, gone=lambda case: None)
    seen = preview(acting, event, Window(HERE), stack.choices(guardrail), stack.settings(guardrail))
    assert all(handler(guardrail).fits(Arn(sight.target), HERE) for sight in seen)


@pytest.mark.parametrize(
    ("event", "key"),
    [
        ("AssociateRouteTable", "routeTableId"),
        ("DeleteRouteTable", "routeTableId"),
        ("DisassociateRouteTable", "associationId"),
        ("ReplaceRouteTableAssociation", "routeTableId"),
    ],
)
def test_a_route_table_was_taken_for_the_endpoint_that_it_leads_to(
    invoke: Callable[..., Result], event: str, key: str
) -> None:
    ec2 = boto3.client("ec2")
    table, service = ec2.describe_route_tables()["RouteTables"][0], f"com.amazonaws.{REGION}.s3"
    made = ec2.create_vpc_endpoint(VpcId=table["VpcId"], ServiceName=service, VpcEndpointType="Gateway")["VpcEndpoint"]
    id = table["RouteTableId"] if key == "routeTableId" else "rtbassoc-0123abcd"
    result = invoke(call("ec2", event, {key: id}), "--json", guardrail="vpc-endpoint")
    (sight,) = json.loads(result.stdout)["sights"]
    assert sight["target"] == HERE.arn("ec2", f"vpc-endpoint/{made['VpcEndpointId']}")
    assert (result.exit_code, sight["error"], sight["violation"]) == (0, "", None)


def test_a_target_that_the_function_would_refuse_is_refused(invoke: Callable[..., Result]) -> None:
    result = invoke(look(GUARDRAIL, HERE.arn("ec2", "vpc/vpc-01234567")))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "does not guard" in result.stderr


@pytest.mark.parametrize(("source", "told"), [("aws.ssm", "DeleteParameter"), ("mallory", "")])
def test_the_name_of_the_call_was_kept_from_the_guardrail(source: str, told: str) -> None:
    naming = replace(TOY, gone=lambda case: Violation(case.event))
    (sight,) = seen(call("ssm", "DeleteParameter", {"name": "gone"}) | {"source": source}, naming)
    assert sight.violation == Violation(told)


def test_another_accounts_target_is_not_looked_at() -> None:
    assert seen(look("toy", "arn:aws:ssm:eu-west-1:999999999999:parameter/flag")) == []


def test_what_cannot_be_read_is_said_and_the_others_are_seen(flag: str) -> None:
    def refusing(case: Case[Flag, NoSettings], aws: Aws) -> Flag:
        if case.target.name == "secret":
            aws.client("s3").get_bucket_policy(Bucket="no-such-bucket")
        return read(case, aws)

    secret = HERE.arn("ssm", "parameter/secret")
    first, second = seen(look("toy", secret, flag), replace(TOY, read=refusing))
    assert "NoSuchBucket" in first.error
    assert (second.error, second.found) == ("", {"value": "bad"})


def test_an_exemption_for_a_principal_counts_for_what_that_one_did(flag: str) -> None:
    exemption = Exemption(flag, "o", "r", "2099-01-01", principal=MALLORY)
    choices = replace(CHOICES, exemptions={"mallory": exemption})
    changed = call("ssm", "PutParameter", {"name": "flag"})
    someone = call("ssm", "PutParameter", {"name": "flag"}, actor=f"arn:aws:iam::{ME}:user/else")
    assert [sight.exemption for sight in [*seen(changed, choices=choices), *seen(someone, choices=choices)]] == [
        "mallory",
        "",
    ]


def test_the_window_does_not_open(flag: str) -> None:
    window = Window(Place(ME, REGION))
    with pytest.raises(WriteRefused):
        window.apply(ApiCall("ssm", "delete_parameter", {"Name": "flag"}))
    with pytest.raises(WriteRefused):
        window.client("ssm").delete_parameter(Name="flag")
    writing: Any = TOY
    writing = replace(writing, read=lambda case, aws: aws.client("ssm").delete_parameter(Name="flag"))
    with pytest.raises(WriteRefused):
        seen(look("toy", flag), writing)
    assert boto3.client("ssm").get_parameter(Name="flag")["Parameter"]["Value"] == "bad"


def test_the_preview_never_asks_for_a_planned_call_to_be_made() -> None:
    tree = ast.parse(inspect.getsource(preview_module))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"apply", "_client", "create_client"}
