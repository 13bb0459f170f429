"""`holdfast invoke` without --aws: the deployed function, in an account on this machine, given an event."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast_cli import pages, project, rehearsal
from holdfast_cli.local_cloud.server import ACCOUNT
from holdfast_cli.main import app
from support import call
from typer.testing import CliRunner, Result

TRIMMED = call("cloudtrail", "DeleteTrail", {"name": "main"})
SAMPLE = project.EVENTS / "cloudtrail-logging" / "DeleteTrail.json"


@pytest.fixture(autouse=True)
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built layer with the engine as it is now, so that nobody has to build it anew for every change."""
    built = shutil.copytree(rehearsal.LAYER, tmp_path / "layer", ignore=lambda *_: ["holdfast"])
    shutil.copytree(rehearsal.ENGINE, built / "python" / "holdfast")
    monkeypatch.setattr(rehearsal, "LAYER", built)


@pytest.fixture
def invoke(tmp_path: Path) -> Callable[..., Result]:
    def run(guardrail: str, event: Path | object, *options: str) -> Result:
        path = event if isinstance(event, Path) else tmp_path / "event.json"
        if not isinstance(event, Path):
            path.write_text(json.dumps(event))
        return CliRunner().invoke(app, ["invoke", guardrail, str(path), *options])

    return run


def test_the_functions_answer_its_messages_and_its_log_are_shown(invoke: Callable[..., Result]) -> None:
    result = invoke("cloudtrail-logging", SAMPLE, "--mode", "enforce", "--json")
    told = json.loads(result.stdout)
    (target,) = told["outcomes"]
    assert (told["outcomes"][target], target.split(":")[4], result.exit_code) == ("escalated", ACCOUNT, 1)
    assert [message["outcome"] for message in told["messages"]] == ["escalated"]
    assert any('"outcomes"' in line for line in told["log"])
    assert any("new account" in note for note in told["notes"])


def test_the_sample_that_a_page_tries_is_one_that_the_local_cloud_serves(invoke: Callable[..., Result]) -> None:
    (tried,) = re.findall(r"holdfast invoke kms-key-deletion (\S+)", pages.page("kms-key-deletion"))
    assert invoke("kms-key-deletion", project.ROOT / tried).exit_code == 0


def test_a_directory_bucket_was_looked_for_in_a_session_which_the_local_cloud_does_not_open(
    invoke: Callable[..., Result],
) -> None:
    path = project.EVENTS / "s3-default-encryption" / "CreateBucket__directory.json"
    told = json.loads(invoke("s3-default-encryption", path, "--json").stdout)
    assert [*told["outcomes"].values()] == ["compliant"]


def test_a_record_without_an_account_was_refused(invoke: Callable[..., Result]) -> None:
    detail = {name: value for name, value in TRIMMED["detail"].items() if name != "recipientAccountId"}
    detail["userIdentity"] = {"type": "IAMUser", "arn": detail["userIdentity"]["arn"]}
    bare = invoke("cloudtrail-logging", detail, "--json")
    blank = invoke("cloudtrail-logging", {**TRIMMED, "account": "", "detail": detail}, "--json")
    assert [[*json.loads(each.stdout)["outcomes"].values()] for each in (bare, blank)] == [["escalated"]] * 2


def test_a_call_that_touches_nothing_of_the_guardrails_was_said_to_have_failed(invoke: Callable[..., Result]) -> None:
    """A route table that no endpoint uses."""
    result = invoke("vpc-endpoint", project.EVENTS / "vpc-endpoint" / "AssociateRouteTable.json")
    assert "touched nothing that this guardrail covers" in result.stdout


def test_an_event_that_the_function_cannot_understand_ends_with_2(invoke: Callable[..., Result]) -> None:
    result = invoke("cloudtrail-logging", call("cloudtrail", "DeleteTrail", None))
    assert result.exit_code == 2
    assert "it failed" in result.stdout
    assert "without a usable name" in result.stdout
