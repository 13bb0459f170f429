"""`holdfast cloud`: what is typed after it is another program's command line."""

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from holdfast_cli import shell
from holdfast_cli.errors import refused
from holdfast_cli.main import app
from moto import mock_aws
from typer.testing import CliRunner

LS = ["ls", "-la", "--help", "x"]


@pytest.mark.parametrize(
    ("typed", "ran"),
    [
        (LS, LS),
        (["--", *LS], LS),
        (["git", "log", "--", "file"], ["git", "log", "--", "file"]),
        ([], []),
        (["--"], []),
    ],
)
def test_options_of_the_command_were_taken_for_holdfasts(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], ran: list[str]
) -> None:
    seen: list[list[str]] = []

    def stay(command: Sequence[str]) -> int:
        seen.append(list(command))
        return 7

    monkeypatch.setattr(shell, "stay", stay)
    assert (CliRunner().invoke(app, ["cloud", *typed]).exit_code, seen) == (7, [ran])


def test_a_command_that_is_not_there_was_an_errno(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "LocalCloud", None)  # nothing is started for it
    result = CliRunner().invoke(app, ["cloud", "no-such-command"])
    assert (result.exit_code, result.stderr) == (2, "holdfast: no-such-command: there is no such command\n")


def test_a_shell_came_without_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHELL", "true")
    monkeypatch.setattr(shell, "LocalCloud", lambda **_: nullcontext())
    monkeypatch.setattr(shell, "surroundings", lambda _: os.environ)
    assert (shell.stay([]), capsys.readouterr().err) == (0, f"{shell.WELCOME}\n")
    assert (shell.stay(["true"]), capsys.readouterr().err) == (0, "")


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (NoRegionError(), "set AWS_DEFAULT_REGION"),
        (NoCredentialsError(), "sign in, or choose a profile with AWS_PROFILE"),
        (ProfileNotFound(profile="x"), "sign in, or choose a profile with AWS_PROFILE"),
        (client_error("ExpiredToken"), "sign in, or choose a profile with AWS_PROFILE"),
        (
            EndpointConnectionError(endpoint_url="http://x"),
            "see that AWS_DEFAULT_REGION is right, and AWS_ENDPOINT_URL",
        ),
        (client_error("ValidationError"), "name it"),
    ],
)
def test_whatever_aws_said_one_was_told_to_sign_in(error: Exception, todo: str) -> None:
    said = str(refused(error, "name it"))
    assert said.startswith(f"AWS: {error}; {todo}")


def test_the_region_is_taken_from_where_it_is_said_to_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with mock_aws():
        told = CliRunner().invoke(app, ["redrive"]).stderr
        (name,) = re.findall(r"set (\w+)", told)
        monkeypatch.setenv(name, "eu-west-1")
        for command in ("redrive", "variables"):
            assert "name the stack with --stack" in CliRunner().invoke(app, [command, "--stack", "none"]).stderr


def test_before_the_command_they_are_holdfasts() -> None:
    assert "What to run" in CliRunner().invoke(app, ["cloud", "--help"]).stdout
    assert CliRunner().invoke(app, ["cloud", "-l", "ls"]).exit_code == 2
