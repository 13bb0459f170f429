"""`template.yaml` read back: what each guardrail's section says, and what given stack parameters come to.

Only what the stack's parameters decide is resolved (`Ref`, `Fn::Sub`, `Fn::Join`); what AWS alone knows stays as it is
written, `${AWS::AccountId}`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from holdfast.event import API_CALL

from holdfast_cli import project
from holdfast_cli.errors import Complaint, unknown

FUNCTION = "AWS::Serverless::Function"
Values = Mapping[str, str | list[str]]


class _Loader(yaml.CSafeLoader):
    """libyaml (much faster than PyYAML's own reader) with CloudFormation's short forms: `!Ref x` is `{"Ref": "x"}`."""


def _short_form(loader: yaml.CSafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise Complaint(f"template.yaml: !{suffix} with a mapping {node.start_mark}")


_Loader.add_multi_constructor("!", _short_form)


@dataclass(frozen=True)
class Statement:
    """An Allow of a function's role. `only_if` is the condition of the stack under which it is there at all."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Any]
    only_if: str = ""


@dataclass(frozen=True)
class Section:
    """One guardrail's function.

    `given` names, for each of its settings, the stack parameter that gives it. `knows_role` says whether it is told the
    ARN of its own role.
    """

    guardrail: str
    logical_id: str
    function_name: str
    code: str
    patterns: tuple[Mapping[str, Any], ...]
    schedule: str
    statements: tuple[Statement, ...]
    settings: Any
    given: Mapping[str, str]
    knows_role: bool

    @property
    def calls(self) -> tuple[Mapping[str, Any], ...]:
        """The patterns of CloudTrail calls, without that of Holdfast's own looks."""
        return tuple(pattern for pattern in self.patterns if API_CALL in pattern["detail-type"])

    @property
    def sources(self) -> list[str]:
        return [source for pattern in self.calls for source in pattern["source"]]

    @property
    def event_sources(self) -> list[str]:
        return [source for pattern in self.calls for source in pattern["detail"]["eventSource"]]

    @property
    def event_names(self) -> list[str]:
        """What it watches, as CloudTrail writes it."""
        return [name for pattern in self.calls for name in pattern["detail"]["eventName"]]


@cache
def load() -> Mapping[str, Any]:
    """The template as plain data. Raises Complaint when there is none."""
    try:
        text = project.TEMPLATE.read_text()
    except OSError as error:
        raise Complaint(f"{project.TEMPLATE}: {error.strerror}; run holdfast from its repository") from None
    loaded: Mapping[str, Any] = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    return loaded


def functions() -> Iterator[Section]:
    """Every function but the watch, in the template's order."""
    for logical_id, resource in load()["Resources"].items():
        if resource["Type"] == FUNCTION and "guardrail" in _handler(resource["Properties"]):
            yield _section(logical_id, resource["Properties"])


def section(guardrail: str) -> Section:
    """A guardrail's own. Raises Complaint when the template has none."""
    for found in functions():
        if found.guardrail == guardrail:
            return found
    raise Complaint(f"template.yaml has no section for {guardrail}: add it, or it is never deployed")


def _handler(properties: Mapping[str, Any]) -> str:
    return str(properties.get("Handler") or load()["Globals"]["Function"]["Handler"])


def _section(logical_id: str, properties: Mapping[str, Any]) -> Section:
    variables = properties["Environment"]["Variables"]
    events = properties["Events"].values()
    settings = variables.get("HOLDFAST_SETTINGS", "{}")
    return Section(
        guardrail=variables["POWERTOOLS_SERVICE_NAME"],
        logical_id=logical_id,
        function_name=written(properties["FunctionName"]),
        code=properties["CodeUri"],
        patterns=tuple(event["Properties"]["Pattern"] for event in events if event["Type"] == "EventBridgeRule"),
        schedule=next((e["Properties"]["ScheduleExpression"] for e in events if e["Type"] == "ScheduleV2"), ""),
        statements=tuple(_statements(properties["Policies"])),
        settings=settings,
        given=_given(settings),
        knows_role="HOLDFAST_ROLE" in variables,
    )


def _statements(node: Any, only_if: str = "") -> Iterator[Statement]:
    """Those of the function's own policies, from whatever they are wrapped in."""
    if isinstance(node, list):
        for item in node:
            yield from _statements(item, only_if)
    elif isinstance(node, Mapping) and "Fn::If" in node:
        condition, then, otherwise = node["Fn::If"]
        yield from _statements(then, condition)
        yield from _statements(otherwise, f"not {condition}")
    elif isinstance(node, Mapping) and "Statement" in node:
        yield from _statements(node["Statement"], only_if)
    elif isinstance(node, Mapping) and node.get("Effect") == "Allow":
        actions, resources = (tuple(map(written, _listed(node[key]))) for key in ("Action", "Resource"))
        yield Statement(actions, resources, node.get("Condition", {}), only_if)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def written(node: Any) -> str:
    """A value as the template writes it, `${…}` for what is filled in later."""
    return str(resolved(node, {}))


def resolved(node: Any, values: Values) -> Any:
    """`node` with the stack's parameters filled in."""
    match node:
        case {"Ref": name}:
            return values.get(name, f"${{{name}}}")
        case {"Fn::GetAtt": name}:
            return f"${{{name}}}"
        case {"Fn::Sub": [text, names]}:
            return _substituted(text, {**values, **{name: resolved(value, values) for name, value in names.items()}})
        case {"Fn::Sub": text}:
            return _substituted(text, values)
        case {"Fn::Join": [separator, items]}:
            return separator.join(_listed(resolved(items, values)))
        case dict():
            return {key: resolved(value, values) for key, value in node.items()}
        case list():
            return [resolved(item, values) for item in node]
    return node


def _substituted(text: str, values: Values) -> str:
    return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(values.get(found[1], found[0])), text)


def shared() -> dict[str, str]:
    """Which stack parameter gives each of the shared settings."""
    return _given(load()["Globals"]["Function"]["Environment"]["Variables"]["HOLDFAST_SHARED"])


def _given(settings: Any) -> dict[str, str]:
    """`{"key_arn": "EncryptionKeyArn"}`: which parameter stands behind each key of settings in the environment."""
    match settings:
        case {"Fn::Sub": [text, names]}:
            pass
        case {"Fn::Sub": text}:
            names = {}
        case _:
            return {}
    found = re.findall(r'"(\w+)":\s*\[?"?\$\{(\w+)\}', text)
    return {key: next(_references(names[name]), name) if name in names else name for key, name in found}


def _references(node: Any) -> Iterator[str]:
    """The parameters that a value refers to."""
    if isinstance(node, Mapping) and "Ref" in node:
        yield node["Ref"]
    elif isinstance(node, Mapping | list):
        for item in node.values() if isinstance(node, Mapping) else node:
            yield from _references(item)


def default(parameter: str) -> str:
    """What a stack parameter is when nobody gives it."""
    return str(load()["Parameters"][parameter]["Default"])


def parameters(given: Iterable[str]) -> dict[str, str | list[str]]:
    """All of the stack's parameters, with `given` (`Name=value`) over their defaults.

    Raises Complaint for what CloudFormation would refuse: an unknown name, or a value that isn't allowed.
    """
    known = load()["Parameters"]
    values = {name: str(declared["Default"]) for name, declared in known.items()}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise Complaint(f"{text!r} is not a parameter: write Name=value, as in Mode=enforce")
        if name not in known:
            raise unknown("stack parameter", name, known)
        values[name] = _allowed(name, value, known[name])
    return {name: _typed(value, known[name]) for name, value in values.items()}


def _typed(value: str, declared: Mapping[str, Any]) -> str | list[str]:
    """CloudFormation trims each item of a list: user guide, "Parameters section", CommaDelimitedList."""
    return [item.strip() for item in value.split(",")] if declared["Type"] == "CommaDelimitedList" else value


def _allowed(name: str, value: str, declared: Mapping[str, Any]) -> str:
    options = [str(option) for option in declared.get("AllowedValues", [])]
    if options and value not in options:
        raise Complaint(f"{name}={value}: it is one of {', '.join(options)}")
    pattern = declared.get("AllowedPattern", "")
    if pattern and not all(re.search(pattern, item) for item in _listed(_typed(value, declared))):
        raise Complaint(f"{name}={value}: it must be {declared.get('ConstraintDescription', pattern)}")
    if declared["Type"] == "Number" and not _in_range(value, declared):
        low, high = declared.get("MinValue", "any"), declared.get("MaxValue", "any")
        raise Complaint(f"{name}={value}: it is a number from {low} to {high}")
    return value


def _in_range(value: str, declared: Mapping[str, Any]) -> bool:
    return value.isdigit() and declared.get("MinValue", 0) <= int(value) <= declared.get("MaxValue", int(value))
