"""`holdfast cloud` and `holdfast variables`, as somebody types them."""

import subprocess

import pytest
from holdfast_cli import project
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.server import ACCOUNT
from holdfast_cli.rehearsal import STACK, built_layer
from holdfast_cli.shell import IN_CONTAINERS, variables

HOLDFAST = project.ROOT / ".venv" / "bin" / "holdfast"
WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


def test_a_command_in_the_cloud_acts_as_an_operator_of_it() -> None:
    python = project.ROOT / ".venv" / "bin" / "python"
    done = subprocess.run([HOLDFAST, "cloud", "--", python, "-c", WHO], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, f"arn:aws:sts::{ACCOUNT}:assumed-role/operator/operator")


@pytest.mark.parametrize(("command", "status"), [(["sh", "-c", "exit 7"], 7), (["no-such-command"], 2)])
def test_the_clouds_end_is_that_of_its_command(command: list[str], status: int) -> None:
    assert subprocess.run([HOLDFAST, "cloud", "--", *command], capture_output=True, check=False).returncode == status


def test_variables_are_those_of_the_deployed_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalCloud() as cloud:
        outputs = cloud.deploy(STACK, project.TEMPLATE, {}, built_layer())
        for name, value in cloud.root.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(IN_CONTAINERS, "http://host")
        found = variables(STACK)
    assert len(found) == len(project.guardrails()) + 1  # and the watch
    assert found["Watch"]["HOLDFAST_TABLE"] == outputs["LedgerName"]
    assert {each["AWS_ENDPOINT_URL"] for each in found.values()} == {"http://host"}
