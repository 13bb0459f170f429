"""`holdfast list` and `holdfast explain`."""

import json
import tomllib
from pathlib import Path

import pytest
from holdfast_cli import pages, project, template
from holdfast_cli.main import COMMANDS, app
from typer.testing import CliRunner, Result


def holdfast(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def listed(*arguments: str) -> dict[str, dict[str, object]]:
    return {entry["guardrail"]: entry for entry in json.loads(holdfast("list", "--json", *arguments).stdout)}


def test_list_shows_every_guardrail_with_what_it_watches() -> None:
    lines = [line.split("\t") for line in holdfast("list").stdout.splitlines()]
    assert lines[0] == ["guardrail", "severity", "watches", "mode", "lacks"]
    assert [line[0] for line in lines[1:]] == project.guardrails()
    own = next(line for line in lines if line[0] == "s3-default-encryption")
    assert own == [own[0], "high", "DeleteBucketEncryption CreateBucket PutBucketEncryption", "audit", ""]


def test_list_in_a_terminal_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    shown = holdfast("list").stdout
    assert "\x1b[1mguardrail" in shown
    assert "\t" not in shown


def test_list_shows_what_a_deployment_would_have_on() -> None:
    assert {entry["mode"] for entry in listed().values()} <= {"audit", "off"}
    assert listed("-p", "Mode=enforce")["s3-default-encryption"]["mode"] == "enforce"


def test_list_shows_what_a_guardrail_lacks() -> None:
    without, given = listed(), listed("-p", "DataBuckets=data-*", "-p", "VpcIds=vpc-01234567")
    assert without["s3-vpc-only-policy"]["mode"] == "off"
    assert "buckets" in str(without["s3-vpc-only-policy"]["lacks"])
    assert (given["s3-vpc-only-policy"]["mode"], given["s3-vpc-only-policy"]["lacks"]) == ("audit", "")


def test_list_takes_what_will_lie_in_ssm(tmp_path: Path) -> None:
    path = tmp_path / "ssm.json"
    tree = {"settings": {"modes": {"s3-default-encryption": "off"}}}
    path.write_text(json.dumps(tree))
    assert listed("--settings", str(path))["s3-default-encryption"]["mode"] == "off"


def test_list_shows_settings_that_would_make_a_function_fail(tmp_path: Path) -> None:
    path = tmp_path / "ssm.json"
    path.write_text(json.dumps({"/holdfast/settings/s3-default-encryption": {"algorithm": "ROT13"}}))
    entry = listed("--settings", str(path))["s3-default-encryption"]
    assert entry["mode"] == "fails"
    assert "ROT13" in str(entry["wrong"])


def test_a_wrong_parameter_is_refused_in_one_line() -> None:
    result = holdfast("list", "-p", "Mode=of")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("holdfast: Mode=of")


@pytest.mark.parametrize("guardrail", project.guardrails())
def test_explain_prints_the_page_as_it_is_into_a_pipe(guardrail: str) -> None:
    """It began with the note for those who would edit it."""
    shown = holdfast("explain", guardrail).stdout
    assert shown.startswith(f"# {guardrail}\n")
    assert pages.page(guardrail).endswith(shown)


def test_explain_renders_the_page_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = holdfast("explain", "s3-default-encryption").stdout
    assert "## Settings" not in shown
    assert "Settings" in shown
    assert "\x1b[" in shown


def test_explain_takes_the_name_of_the_folder_too() -> None:
    assert holdfast("explain", "s3_default_encryption").exit_code == 0


def test_an_unknown_guardrail_is_refused_with_the_one_that_was_meant() -> None:
    result = holdfast("explain", "s3-defualt-encryption")
    assert result.exit_code == 2
    expected = "holdfast: no guardrail 's3-defualt-encryption'; did you mean s3-default-encryption?\n"
    assert result.stderr == expected


def test_a_guardrail_like_no_other_is_refused_with_all_there_are() -> None:
    assert all(guardrail in holdfast("explain", "xyz").stderr for guardrail in project.guardrails())


def test_the_commands_explain_themselves() -> None:
    for command in ("list", "explain", "invoke", "validate", "redrive"):
        assert command in holdfast("--help").stdout
        assert holdfast(command, "--help").exit_code == 0


def test_the_list_of_commands_was_cut_in_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = holdfast("--help").stdout.partition("Commands:")[2].split("\n")[1:-1]
    assert len(shown) == len(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("...") for line in shown)


def test_the_version_is_the_stacks() -> None:
    project_file = tomllib.loads((project.ROOT / "pyproject.toml").read_text())["project"]
    deployed = template.load()["Outputs"]["Version"]["Value"]
    assert holdfast("--version").stdout == f"holdfast {deployed}\n"
    assert deployed == project_file["version"]
