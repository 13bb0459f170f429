"""`holdfast cloud`: what is typed after it is another program's command line."""

from collections.abc import Sequence

import pytest
from holdfast_cli import shell
from holdfast_cli.main import app
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


def test_before_the_command_they_are_holdfasts() -> None:
    assert "What to run" in CliRunner().invoke(app, ["cloud", "--help"]).stdout
    assert CliRunner().invoke(app, ["cloud", "-l", "ls"]).exit_code == 2
