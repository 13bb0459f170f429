"""What must agree: folders, template, samples, incidents, layer and docs. And what no guardrail may do."""

import ast
import importlib
import json
import pkgutil
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any

import incidents
import pytest
from botocore import xform_name
from botocore.loaders import create_loader
from holdfast.aws import READS
from holdfast.event import API_CALL, CANARY, LOOK, SWEEP
from holdfast_cli import project, rules, template
from support import INCIDENTS, ME

GUARDRAILS = project.guardrails()
ENGINE = project.ROOT / "layers" / "holdfast"
SAMPLES = sorted(path for guardrail in GUARDRAILS for path in (project.EVENTS / guardrail).glob("*.json"))
for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

of_every_guardrail = pytest.mark.parametrize("guardrail", GUARDRAILS)


def folder(guardrail: str) -> Path:
    return project.FUNCTIONS / guardrail.replace("-", "_")


def sources(guardrail: str) -> Iterator[ast.AST]:
    """Every node of a guardrail's code."""
    for path in folder(guardrail).glob("*.py"):
        yield from ast.walk(ast.parse(path.read_text()))


@cache
def writes(service: str) -> frozenset[str]:
    """The client methods of a service that are not reads."""
    operations = create_loader().load_service_model(service, "service-2")["operations"]
    return frozenset(xform_name(name) for name in operations if not name.startswith(READS))


def test_every_folder_has_exactly_one_section_and_every_section_a_folder() -> None:
    assert Counter(section.guardrail for section in template.functions()) == Counter(GUARDRAILS)


@of_every_guardrail
def test_a_section_names_its_guardrail_the_same_everywhere(guardrail: str) -> None:
    section = template.section(guardrail)
    assert section.code == f"functions/{folder(guardrail).name}"
    assert section.function_name == f"${{AWS::StackName}}-{guardrail}"
    looks = [pattern for pattern in section.patterns if pattern not in section.calls]
    detail = {"guardrail": [guardrail, "*"]}
    assert looks == [{"source": ["holdfast"], "detail-type": [LOOK, SWEEP, CANARY], "detail": detail}]


@of_every_guardrail
def test_a_section_drops_failed_calls_and_takes_nothing_but_calls(guardrail: str) -> None:
    section = template.section(guardrail)
    assert section.calls
    for pattern in section.calls:
        assert pattern["detail-type"] == [API_CALL]
        assert pattern["detail"]["errorCode"] == [{"exists": False}]
        assert {f"aws.{source.split('.')[0]}" for source in pattern["detail"]["eventSource"]} == set(pattern["source"])


@of_every_guardrail
def test_what_can_not_be_delivered_is_kept_for_every_rule(guardrail: str) -> None:
    events = template.load()["Resources"][template.section(guardrail).logical_id]["Properties"]["Events"].values()
    rules_of_it = [event["Properties"] for event in events if event["Type"] == "EventBridgeRule"]
    assert len(rules_of_it) == len(template.section(guardrail).patterns)
    assert all(rule["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": "UndeliveredQueue.Arn"}} for rule in rules_of_it)


@of_every_guardrail
def test_a_guardrail_has_its_log_and_the_filter_for_what_the_ledger_did_not_take(guardrail: str) -> None:
    resources, logical_id = template.load()["Resources"], template.section(guardrail).logical_id
    log = resources[f"{logical_id}Log"]["Properties"]
    assert template.written(log["LogGroupName"]) == f"/aws/lambda/${{AWS::StackName}}-{guardrail}"
    assert resources[logical_id]["Properties"]["LoggingConfig"]["LogGroup"] == {"Ref": f"{logical_id}Log"}
    unrecorded = resources[f"{logical_id}Unrecorded"]["Properties"]
    assert unrecorded["LogGroupName"] == {"Ref": f"{logical_id}Log"}
    assert unrecorded["FilterPattern"] == '{ $.message = "UNRECORDED" }'


@of_every_guardrail
def test_security_hears_when_a_guardrail_fails_stands_still_is_throttled_or_loses_an_event(guardrail: str) -> None:
    function = {"Name": "FunctionName", "Value": {"Ref": template.section(guardrail).logical_id}}
    alarms = (r["Properties"] for r in template.load()["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm")
    own = [alarm for alarm in alarms if alarm.get("Dimensions") == [function]]
    clock = {"Invocations"} if template.section(guardrail).schedule else set()
    assert {alarm["Namespace"] for alarm in own} == {"AWS/Lambda"}
    assert {alarm["MetricName"] for alarm in own} == {"Errors", "Throttles", "DestinationDeliveryFailures"} | clock
    assert all(alarm["AlarmActions"] == [{"Ref": "Topic"}] for alarm in own)
    assert all(template.written(alarm["AlarmName"]).startswith(f"${{AWS::StackName}}-{guardrail}-") for alarm in own)


def test_the_watch_waits_for_the_answer_of_every_guardrail_and_looks_at_its_rule_for_calls() -> None:
    watch = template.load()["Resources"]["Watch"]["Properties"]["Environment"]["Variables"]
    pairs = sorted(template.written(watch["HOLDFAST_GUARDRAILS"]).split())
    assert pairs == [f"{name}=${{{template.section(name).logical_id}Calls}}" for name in GUARDRAILS]


def test_no_two_guardrails_may_write_the_same_thing() -> None:
    """One writer per attribute, or they would fight. test_planned_calls shows that roles are a guardrail's limits."""
    writers = defaultdict(set)
    for section in template.functions():
        for statement in section.statements:
            for action in statement.actions:
                if not action.partition(":")[2].startswith(READS) and action != "iam:PassRole":
                    for resource in statement.resources:
                        writers[action, resource].add(section.guardrail)
    assert {what: who for what, who in writers.items() if len(who) > 1} == {}


@of_every_guardrail
def test_every_watched_event_has_a_sample_and_an_incident(guardrail: str) -> None:
    watched = set(template.section(guardrail).event_names)
    samples = {path.stem.partition("__")[0] for path in SAMPLES if path.parent.name == guardrail}
    played = {name.partition("--")[0] for name in INCIDENTS.get(guardrail, {})}
    assert (watched - samples, watched - played) == (set(), set())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_is_what_its_name_says_and_starts_its_guardrail(path: Path) -> None:
    sample = json.loads(path.read_text())
    assert path.parent.name in rules.starts(sample)
    assert sample["account"] == ME
    assert sample["detail"].get("recipientAccountId", ME) == ME
    if sample["detail-type"] == API_CALL:
        assert sample["detail"]["eventName"] == path.stem.partition("__")[0]


def test_every_folder_of_samples_belongs_to_a_guardrail() -> None:
    assert {path.name for path in project.EVENTS.iterdir()} <= {*GUARDRAILS, "ignored"}


@pytest.mark.parametrize(("guardrail", "name"), [(g, name) for g, names in INCIDENTS.items() for name in names])
def test_an_incident_is_named_after_an_event_that_its_guardrail_watches(guardrail: str, name: str) -> None:
    assert name.partition("--")[0] in template.section(guardrail).event_names


def used_services() -> set[str]:
    """The botocore services whose clients the functions make, or whose calls they plan."""
    files = [*(ENGINE / "holdfast").glob("*.py"), *project.FUNCTIONS.glob("*/*.py")]
    calls = [node for path in files for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [call.args[0] for call in calls if call.args and _called(call) in ("client", "ApiCall")]
    return {str(argument.value) for argument in named if isinstance(argument, ast.Constant)}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_the_layer_holds_the_models_of_the_operations_that_are_used_and_no_others() -> None:
    """That none is missing shows in every test on moto, which sees nothing else."""
    kept: dict[str, list[str]] = json.loads((ENGINE / "operations.json").read_text())
    text = "".join(path.read_text() for path in [*ENGINE.glob("holdfast/*.py"), *project.FUNCTIONS.glob("*/*.py")])
    words = set(re.findall(r"\w+", text))
    assert set(kept) == used_services()
    unused = {name for names in kept.values() for name in names if not words & {xform_name(name), plural(name)}}
    assert unused == set()


def plural(operation: str) -> str:
    """What is left of an operation that the code puts together: `describe_{kind}`."""
    return xform_name(operation).removeprefix("describe_")


@of_every_guardrail
def test_a_guardrail_has_no_write_in_it(guardrail: str) -> None:
    assert changing(sources(guardrail)) == set()


def changing(nodes: Iterable[ast.AST]) -> set[str]:
    """What is called there that may change an account."""
    forbidden = {"apply", "create_client"}.union(*map(writes, used_services()))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} & forbidden


def test_in_the_engine_only_the_path_of_every_event_makes_calls_that_change() -> None:
    """What a guardrail is told there of AWS could else hide a write."""
    files = (ENGINE / "holdfast").glob("*.py")
    makers = {path.stem for path in files if changing(ast.walk(ast.parse(path.read_text())))}
    assert makers == {"aws", "guardrail", "ledger", "visit"}


@of_every_guardrail
def test_a_guardrail_has_no_door_to_aws_but_the_engines(guardrail: str) -> None:
    imported = {alias.name for node in sources(guardrail) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in sources(guardrail) if isinstance(node, ast.ImportFrom)}
    own = {path.stem for path in folder(guardrail).glob("*.py")}
    allowed = {"holdfast", "botocore.exceptions", *own, *sys.stdlib_module_names}
    assert {name for name in imported if name not in allowed and name.partition(".")[0] not in allowed} == set()
    assert not imported & {"subprocess", "socket", "urllib", "http"}


@of_every_guardrail
def test_no_sentence_has_a_colon_right_after_a_name(guardrail: str) -> None:
    """`trail my-secrets: it is stopped` reads like `password: hunter2`, and loses its next word to redaction."""
    texts = [node for node in sources(guardrail) if isinstance(node, ast.JoinedStr)]
    assert [ast.unparse(text) for text in texts if any(starmap(is_label, pairwise(text.values)))] == []


def is_label(value: ast.expr, mark: ast.expr) -> bool:
    number = isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name) and value.value.id.isupper()
    return isinstance(mark, ast.Constant) and str(mark.value).startswith((": ", "=")) and not number


@of_every_guardrail
def test_a_guardrail_promises_something_in_one_line(guardrail: str) -> None:
    module: Any = project.load(guardrail)
    promise = (module.__doc__ or "").partition("\n")[0]
    assert re.fullmatch(r"[A-Z].{20,118}\.", promise)
    assert module.handler.severity in ("critical", "high", "medium", "low")


MENTION = re.compile(
    r"(?:holdfast (?:explain|invoke) |/holdfast/(?:settings|exemptions)/|guardrails/|functions/|events/)([a-z][\w-]+)\b"
)
DOCUMENTS = sorted({*project.ROOT.glob("*.md"), *(project.ROOT / "docs").rglob("*.md")})


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(project.ROOT)))
def test_docs_name_no_guardrail_that_is_not_there(path: Path) -> None:
    known = {*GUARDRAILS, *(guardrail.replace("-", "_") for guardrail in GUARDRAILS), "watch", "ignored"}
    assert set(MENTION.findall(path.read_text())) <= known
