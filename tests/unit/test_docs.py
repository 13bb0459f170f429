"""The generated docs: current, complete, and true to what the functions take and tell."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import time_machine
from botocore import xform_name
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from holdfast import Misshapen, SharedSettings, shape
from holdfast.event import Actor
from holdfast.message import envelope, tell
from holdfast.model import ApiCall, Outcome, Record
from holdfast.settings import Exemption
from holdfast_cli import checks, docs, pages, project, schemas, template
from holdfast_cli.deployment import Deployment, handler, read_tree
from support import HERE

of_every_guardrail = pytest.mark.parametrize("guardrail", project.guardrails())
FILES = schemas.files()


def test_what_is_checked_in_is_current() -> None:
    assert docs.stale() == [], "run `make docs`"


def test_stale_missing_and_left_over_files_are_found_and_put_right(tmp_path: Path) -> None:
    docs.write(tmp_path)
    assert docs.stale(tmp_path) == []
    guardrails = tmp_path / "guardrails"
    (guardrails / "README.md").write_text("old")
    (guardrails / "retired.md").write_text("left over")
    (tmp_path / "schemas" / "record.schema.json").unlink()
    wrong = [Path("guardrails/README.md"), Path("guardrails/retired.md"), Path("schemas/record.schema.json")]
    assert docs.stale(tmp_path) == wrong
    assert docs.write(tmp_path) == wrong
    assert docs.stale(tmp_path) == []


def test_check_lists_what_is_stale_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "stale", lambda: [Path("guardrails/README.md")])
    monkeypatch.setattr(docs, "write", lambda: pytest.fail("it wrote"))
    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: docs/guardrails/README.md\n"


@of_every_guardrail
def test_a_page_tells_all_that_an_operator_asks(guardrail: str) -> None:
    text, section = pages.page(guardrail), template.section(guardrail)
    assert pages.promise(guardrail) in text
    assert f"Severity: {handler(guardrail).severity}." in text
    assert all(f"`{name}`" in text for name in section.event_names)
    assert all(f"`{action}`" in text for statement in section.statements for action in statement.actions)
    assert all(f"`{name}`" in text for name in shape.schema(handler(guardrail).settings)["properties"])
    assert f"/holdfast/exemptions/{guardrail}/NAME" in text


@of_every_guardrail
def test_a_page_tries_the_main_incident_first(guardrail: str) -> None:
    """The alphabet's first was one that the local cloud can't serve."""
    (tried,) = re.findall(rf"^holdfast invoke {guardrail} (\S+)", pages.page(guardrail), re.MULTILINE)
    assert tried == f"events/{guardrail}/{template.section(guardrail).event_names[0]}.json"
    assert (project.ROOT / tried).exists()


@of_every_guardrail
def test_a_page_tries_a_guardrail_that_is_on(guardrail: str) -> None:
    """That of s3-vpc-only-policy lacked its parameters, and looked at nothing."""
    (tried,) = re.findall(rf"^holdfast invoke {guardrail} ((?:\\\n|.)+)$", pages.page(guardrail), re.MULTILINE)
    words = [word for word in shlex.split(tried) if "=" in word]
    assert Deployment.of(words).standing(guardrail) == ("audit", "", "")


def test_a_page_showed_the_default_of_a_setting_where_every_stack_gives_another() -> None:
    (row,) = re.findall(r"^\| `algorithm` .*$", pages.page("s3-default-encryption"), re.MULTILINE)
    assert '| `"AES256"` | `EncryptionAlgorithm` |' in row


@of_every_guardrail
def test_an_exemption_without_its_resource_was_taken_by_ssm(guardrail: str) -> None:
    found = re.search(r"--value '(.+)' \\\n  --allowed-pattern '(.+)'", pages.page(guardrail))
    assert found
    blank, full = json.loads(found[1]), {name: EXEMPTION[name] for name in json.loads(found[1])}
    for lacking in full:
        assert not re.search(found[2], json.dumps(full | {lacking: blank[lacking]})), lacking
    assert re.search(found[2], json.dumps(full))


def links(text: str) -> Iterator[str]:
    yield from (link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link)


PAGES = [*project.ROOT.glob("*.md"), *(project.ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_link_of_a_page_leads_nowhere(path: Path) -> None:
    for link in links(path.read_text()):
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {heading.lower().replace(" ", "-") for heading in headings}, link


def test_the_runbook_has_a_section_for_every_alarm_and_for_nothing_else() -> None:
    alarms = (r["Properties"] for r in template.load()["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm")
    names = {template.written(alarm["AlarmName"]).removeprefix("${AWS::StackName}-") for alarm in alarms}
    of_any = "|".join(project.guardrails())
    sections = re.findall(r"^## (.+)$", (project.ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted({re.sub(rf"^({of_any})-", "GUARDRAIL-", name) for name in names})


COMMAND = re.compile(r"\baws ([a-z]+) ([a-z-]+)((?:\\\\\n|[^`\n]|\n(?=  ))*)")
OWN = {"logs tail", "cloudformation wait"}  # what the AWS CLI has besides the operations of the API
OWN_OPTIONS = {"query", "output", "notification-endpoint"}


def test_the_runbooks_commands_are_ones_that_aws_knows() -> None:
    loader, found = create_loader(), COMMAND.findall((project.ROOT / "docs" / "runbook.md").read_text())
    assert len(found) > 10
    for service, command, more in found:
        model = ServiceModel(loader.load_service_model(service, "service-2"), service)
        operations: dict[str, Any] = {
            xform_name(name, "-"): model.operation_model(name) for name in model.operation_names
        }
        if f"{service} {command}" not in OWN:
            known = {xform_name(name, "-") for name in operations[command].input_shape.members}
            assert set(re.findall(r"--([a-z-]+)", more)) - OWN_OPTIONS <= known, command


def test_the_settings_that_readme_shows_are_taken(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", (project.ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    path = tmp_path / "settings.json"
    path.write_text(shown)
    with time_machine.travel("2026-11-01"):
        assert checks.check(path, Deployment.of()) == []
    assert Deployment.of((), read_tree(path)).standing("kms-key-deletion")[0] == "enforce"


BUILD_ON = (project.ROOT / "docs" / "build-on.md").read_text()


def test_every_metric_is_told_to_those_who_would_build_on_it() -> None:
    sources = [*(project.ROOT / "layers/holdfast/holdfast").glob("*.py"), *project.FUNCTIONS.glob("*/*.py")]
    code = "\n".join(path.read_text() for path in sources)
    counted = re.findall(r'telemetry\.count\("(\w+)"|yield "(\w+)", partial', code)
    names = {*Outcome, "failed", "delay", *(name for pair in counted for name in pair if name)}
    rows = re.findall(r"^\| (`[A-Z].*?) \|", BUILD_ON, re.MULTILINE)
    assert {told for row in rows for told in re.findall(r"`(\w+)`", row)} == {n[:1].upper() + n[1:] for n in names}


def test_what_a_message_and_an_event_can_be_chosen_by_is_told() -> None:
    put, sent = (call.parameters for call in tell(RECORD, "topic", "bus"))
    (entry,) = put["Entries"]
    flat = " ".join(BUILD_ON.split())
    assert f"source `{entry['Source']}`, the detail-type `{entry['DetailType']}`" in flat
    attributes = BUILD_ON.partition("these attributes")[2].partition("E-mail")[0]
    assert {*re.findall(r"`(\w+)`", attributes)} - {"critical", "high", "medium", "low"} == {*sent["MessageAttributes"]}


def test_the_index_knows_every_outcome() -> None:
    assert {*pages.OUTCOMES} == {*Outcome, "failed"}


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_one(name: str) -> None:
    schema = json.loads(FILES[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f":{name.removesuffix('.schema.json')}")
    assert schema["title"]


def accepts(name: str, value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(json.loads(FILES[name])).is_valid(value))


EXEMPTION = {"resource": "arn:aws:s3:::web-*", "owner": "web team", "reason": "public", "expires": "2099-01-31"}


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("settings", SharedSettings, {}),
        ("settings", SharedSettings, {"mode": "enforce", "modes": {"a": "off"}, "remediate_existing": True}),
        ("settings", SharedSettings, {"mode": "on"}),
        ("settings", SharedSettings, {"modes": {"a": "on"}}),
        ("settings", SharedSettings, {"moode": "audit"}),
        ("settings", SharedSettings, {"break_glass_arns": ["arn:aws:iam::123456789012:role/emergency"]}),
        ("settings", SharedSettings, {"break_glass_arns": ["arn:aws:iam::*:role/emergency"]}),
        ("settings", SharedSettings, {"break_glass_arns": "arn:aws:iam::123456789012:role/emergency"}),
        ("exemption", Exemption, EXEMPTION),
        ("exemption", Exemption, EXEMPTION | {"principal": None}),
        ("exemption", Exemption, EXEMPTION | {"expires": "tomorrow"}),
        ("exemption", Exemption, {"resource": "arn:aws:s3:::web-*"}),
    ],
)
def test_a_schema_accepts_what_the_functions_accept(name: str, kind: type, value: Any) -> None:
    try:
        shape.parse(kind, value)
        taken = True
    except Misshapen:
        taken = False
    assert accepts(f"{name}.schema.json", value) is taken


@of_every_guardrail
def test_the_schema_of_a_guardrails_settings_leaves_to_the_stack_what_the_stack_gives(guardrail: str) -> None:
    name = f"settings-{guardrail}.schema.json"
    assert name not in FILES or (accepts(name, {}) and not accepts(name, {"no_such_setting": 1}))


RECORD = Record(
    guardrail="s3-default-encryption",
    severity="high",
    account=HERE.account,
    region=HERE.region,
    target=HERE.bucket("lake"),
    event_id="event-1",
    event_name="CreateBucket",
    event_time="2026-01-01T00:00:00Z",
    actor=Actor("arn:aws:iam::123456789012:user/mallory", "IAMUser"),
    opened=1,
    delivery="delivery-1",
    lease=2,
    what="something",
    found={"algorithm": "AES256"},
    calls=(ApiCall("s3", "put_bucket_encryption", {"Bucket": "lake"}),),
    outcome=Outcome.REMEDIATED.value,
)


def test_a_message_is_what_its_schema_says() -> None:
    told = envelope(RECORD)
    jsonschema.Draft202012Validator(json.loads(FILES["record.schema.json"])).validate(told)
    assert not accepts("record.schema.json", told | {"outcome": "perhaps"})
    assert not accepts("record.schema.json", {name: value for name, value in told.items() if name != "what"})


@dataclass(frozen=True)
class Part:
    """A part of it."""

    size: Annotated[int, range(1, 10)]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (bool, "`true` or `false`"),
        (Literal["a", "b"], "`a` or `b`"),
        (Annotated[str, "[a-z]+"], "text like `[a-z]+`"),
        (Annotated[int, range(90, 2561)], "whole number from 90 to 2560"),
        (str | None, "text, or `null`"),
        (tuple[str, ...], "list, each item: text"),
        (Mapping[str, bool], "object, each value: `true` or `false`"),
        (tuple[Part, ...], "list, each item: object (A part of it)"),
    ],
)
def test_a_rule_is_put_into_words(hint: Any, words: str) -> None:
    assert pages.may_be(hint) == words
