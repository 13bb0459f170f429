"""Delivery on the deployed template: everybody answers, who falls silent is noticed, what failed is finished later."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from holdfast_cli import project, rehearsal
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.server import ACCOUNT
from holdfast_cli.local_cloud.waiting import wait_until
from holdfast_cli.main import app
from support import call
from typer.testing import CliRunner, Result

GUARDRAIL = "kms-key-deletion"
SEND = {"Effect": "Allow", "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"], "Resource": "*"}
MAY_SEND = {"Version": "2012-10-17", "Statement": [SEND]}
SETTINGS = f"/holdfast/settings/{GUARDRAIL}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """With the engine as it is now in the layer."""
    layer = tmp_path_factory.mktemp("layer") / "layer"
    shutil.copytree(rehearsal.LAYER, layer, ignore=lambda *_: ["holdfast"])
    shutil.copytree(rehearsal.ENGINE, layer / "python" / "holdfast")
    with LocalCloud() as cloud:
        cloud.deploy("holdfast", project.TEMPLATE, {"Mode": "enforce", "Architecture": "x86_64"}, layer)
        yield cloud


@pytest.fixture(autouse=True)
def _operator(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types the command has the account's credentials."""
    monkeypatch.setattr(boto3, "client", cloud.client)


def holdfast(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["redrive", *arguments])


def waiting() -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(holdfast("--json").stdout)
    return letters


def tick(cloud: LocalCloud) -> Any:
    answer = cloud.client("lambda").invoke(FunctionName="holdfast-watch", Payload=b"{}")
    return json.loads(answer["Payload"].read())


def answered(cloud: LocalCloud) -> set[str]:
    """Who has answered canaries, by the marks in the ledger."""
    items = cloud.client("dynamodb").scan(TableName=cloud.resources("holdfast")["Ledger"])["Items"]
    return {item["guardrail"]["S"] for item in items if "answered" in item}


def test_every_guardrail_and_the_trail_answer_the_watchs_canaries(cloud: LocalCloud) -> None:
    wanted = {*project.guardrails(), "watch"}
    assert tick(cloud)["canaries"] == 1
    wait_until(lambda: answered(cloud) == wanted, f"answers of {', '.join(sorted(wanted))}", 60)


def forget_settings(cloud: LocalCloud) -> None:
    """A changed configuration gives the function new processes, which read the settings now, not in a minute."""
    cloud.client("lambda").update_function_configuration(FunctionName=f"holdfast-{GUARDRAIL}", Timeout=59)


def test_what_a_function_could_not_finish_is_finished_once_the_cause_is_gone(cloud: LocalCloud) -> None:
    ssm, kms = cloud.client("ssm"), cloud.client("kms")
    ssm.put_parameter(Name=SETTINGS, Value="not JSON", Type="String")
    forget_settings(cloud)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    event = call("kms", "DisableKey", {"keyId": key}, awsRegion="us-east-1", recipientAccountId=ACCOUNT)
    event |= {"account": ACCOUNT, "region": "us-east-1"}
    # MiniStack retries what is invoked asynchronously, as Lambda does, but not what its EventBridge hands over.
    cloud.client("lambda").invoke(
        FunctionName=f"holdfast-{GUARDRAIL}", InvocationType="Event", Payload=json.dumps(event)
    )
    (letter,) = wait_until(waiting, "the event in the queue", 60)
    assert (letter["guardrail"], letter["tries"]) == (GUARDRAIL, 3)
    assert letter["targets"] == [f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key}"]
    assert f"{SETTINGS}: not JSON" in letter["why"]
    assert not kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]

    ssm.delete_parameter(Name=SETTINGS)
    assert holdfast("--send", "--yes").exit_code == 0
    wait_until(lambda: kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"], "the key enabled again", 60)
    assert waiting() == []


@pytest.mark.parametrize("queue", ["UndeliveredQueue", "FailedQueue"])
def test_nobody_else_puts_a_message_where_redrive_takes_it_from(cloud: LocalCloud, queue: str) -> None:
    mallory = cloud.user(f"mallory-{queue}", MAY_SEND)
    for who in (mallory.client("sqs"), cloud.client("sqs")):
        with pytest.raises(ClientError, match="AccessDenied"):
            who.send_message(QueueUrl=cloud.resources("holdfast")[queue], MessageBody="{}")


def test_a_message_of_eventbridge_goes_back_to_the_target_it_names(cloud: LocalCloud) -> None:
    """MiniStack's EventBridge leaves nothing in the rule's queue, so a role of Holdfast's puts the message there."""
    kms, sqs = cloud.client("kms"), cloud.role("postman", MAY_SEND, path="/holdfast/").client("sqs")
    url = cloud.resources("holdfast")["UndeliveredQueue"]
    key = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=key["KeyId"])
    wait_until(lambda: kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Enabled"], "the first fix", 60)
    function = cloud.client("lambda").get_function(FunctionName=f"holdfast-{GUARDRAIL}")["Configuration"]["FunctionArn"]
    look = {"source": "holdfast", "detail-type": "Holdfast Look", "account": ACCOUNT, "id": "look-1"}
    said = {"TARGET_ARN": function, "ERROR_CODE": "NO_PERMISSIONS", "RETRY_ATTEMPTS": "0"}
    sqs.send_message(
        QueueUrl=url,
        MessageBody=json.dumps(look | {"detail": {"guardrail": GUARDRAIL, "targets": [key["Arn"]]}}),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in said.items()},
    )
    before = cloud.logs(f"holdfast-{GUARDRAIL}")
    assert "NO_PERMISSIONS" in holdfast().stdout
    assert holdfast("--send", "--yes").exit_code == 0
    wait_until(lambda: '"event_id":"look-1"' in cloud.logs(f"holdfast-{GUARDRAIL}")[len(before) :], "the look", 60)
    assert waiting() == []
