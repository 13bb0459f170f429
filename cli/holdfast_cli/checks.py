"""Settings files, checked by the very classes that the functions use, and by the stack they will meet.

`holdfast.shape` stops at the first thing it can't read, which is right for a function; a person wants to see them all.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from holdfast import Lacking, Misshapen, SharedSettings, shape
from holdfast.settings import PATH, Exemption

from holdfast_cli import deployment, project
from holdfast_cli.deployment import Deployment
from holdfast_cli.errors import unknown
from holdfast_cli.exemptions import doubts

NAME = re.compile(r"[\w.-]+(/[\w.-]+)*", re.ASCII)  # SSM API, PutParameter
STANDARD, ADVANCED = 4096, 8192  # bytes of a value: SSM user guide, "Managing parameter tiers"


@dataclass(frozen=True)
class Finding:
    """What is wrong at a path of the file. A warning is for what a function would take, and a person may not mean."""

    at: str
    why: str
    warning: bool = False


def check(path: Path, stack: Deployment, *, guardrail: str = "", exemption: bool = False) -> list[Finding]:
    """Everything wrong with a file: shared settings, one guardrail's, an exemption, or a tree of them by SSM name."""
    value = deployment.read_settings(path)
    if not (exemption or guardrail) and isinstance(value, dict) and deployment.is_tree(value):
        return [finding for name, item in value.items() for finding in _entry(name, item, stack)]
    own = _own(guardrail, value, "$", stack) if guardrail else _shared(value, "$")
    return [*_size(path.stat().st_size, "$"), *(_exemption(value, "$", project.guardrails()) if exemption else own)]


def _entry(name: str, item: Any, stack: Deployment) -> Iterator[Finding]:
    """Of one parameter; its value may be JSON text, as SSM keeps it."""
    at = f"{PATH}/{deployment.short(name)}"
    if not NAME.fullmatch(deployment.short(name)):
        yield Finding(
            at, "SSM takes no such name: its parts are of letters, digits, `_`, `.` and `-`, and none is empty"
        )
        return
    try:
        value = deployment.stored(item) if isinstance(item, str) else item
    except (ValueError, RecursionError) as error:
        yield Finding(at, f"not JSON: {error}")
        return
    yield from _size(len((item if isinstance(item, str) else shape.text(item)).encode()), at)
    match deployment.short(name).split("/"):
        case ["settings"]:
            yield from _shared(value, at)
        case ["settings", guardrail] if guardrail in project.guardrails():
            yield from _own(guardrail, value, at, stack)
        case ["exemptions", guardrail, _, *_] if guardrail in project.guardrails():
            yield from _exemption(value, at, [guardrail])
        case ["settings", guardrail] | ["exemptions", guardrail, _, *_]:
            yield _unread(guardrail, at)
        case _:
            yield Finding(at, "nothing reads this; there are settings, settings/GUARDRAIL, exemptions/GUARDRAIL/NAME")


def _size(size: int, at: str) -> Iterator[Finding]:
    if size > ADVANCED:
        yield Finding(at, f"{size} bytes; SSM takes no more than {ADVANCED}")
    elif size > STANDARD:
        yield Finding(at, f"{size} bytes; over {STANDARD} SSM takes it only with --tier Advanced", warning=True)


def _unread(guardrail: str, at: str) -> Finding:
    return Finding(at, str(unknown("guardrail", guardrail, project.guardrails())))


def _shared(value: Any, at: str) -> Iterator[Finding]:
    yield from map(_finding, problems(SharedSettings, value, at))
    modes = value.get("modes") if isinstance(value, Mapping) else None
    for guardrail in modes if isinstance(modes, Mapping) else ():
        if guardrail not in project.guardrails():
            yield _unread(guardrail, f"{at}.modes.{guardrail}")


def _exemption(value: Any, at: str, guardrails: Iterable[str]) -> Iterator[Finding]:
    found = list(problems(Exemption, value, at))
    yield from map(_finding, found)
    for field, why in () if found else doubts(shape.parse(Exemption, value), guardrails):
        yield Finding(f"{at}.{field}", why, warning=True)


def _own(guardrail: str, value: Any, at: str, stack: Deployment) -> Iterator[Finding]:
    """By itself first, without what the stack may give; then with it, as the function has it."""
    kind = deployment.handler(guardrail).settings
    found = [e for e in problems(kind, value, at) if not (isinstance(e, Lacking) and _is_about(e, at))]
    yield from map(_finding, found)
    if found:
        return
    try:
        replace(stack, tree={f"settings/{guardrail}": shape.text(value)}).settings(guardrail)
    except Lacking as lacking:
        yield _lack(guardrail, lacking, at, stack)
    except Misshapen as error:
        yield Finding(at, f"together with the stack's parameters: {error}")


def _lack(guardrail: str, lacking: Lacking, at: str, stack: Deployment) -> Finding:
    """An error if the stack by itself gives it: then this file takes it away."""
    try:
        stack.settings(guardrail)
    except Misshapen:
        return Finding(at, f"{lacking}; without it the guardrail is off, unless the stack gives it", warning=True)
    return Finding(at, f"{lacking}; the stack gives it, and this takes it away: the guardrail would be off")


def _finding(error: Misshapen) -> Finding:
    at, _, why = str(error).partition(": ")
    return Finding(at, why)


def problems(kind: Any, value: Any, at: str) -> Iterator[Misshapen]:
    """Everything that `shape.parse` objects to, where it names only the first."""
    own = [_objection(kind, candidate, at) for candidate in (value, _without_unknown(kind, value))]
    yield from {str(error): error for error in own if error and _is_about(error, at)}.values()
    for part in _parts(kind, value, at):
        yield from problems(*part)


def _objection(kind: Any, value: Any, at: str) -> Misshapen | None:
    try:
        shape.parse(kind, value, at)
    except Misshapen as error:
        return error
    return None


def _is_about(error: Misshapen, at: str) -> bool:
    """Whether it is about the value at this path, not about a part of it."""
    return str(error).startswith(f"{at}: ")


def _without_unknown(kind: Any, value: Any) -> Any:
    """Unknown fields are named first, and would hide that others are missing."""
    if not (is_dataclass(kind) and isinstance(value, dict)):
        return value
    return {name: item for name, item in value.items() if name in get_type_hints(kind)}


def _parts(kind: Any, value: Any, at: str) -> Iterator[tuple[Any, Any, str]]:
    """What a value consists of, with the type and the path of each part: as `shape` takes it apart."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Annotated, UnionType, Union):
        yield from _parts(args[0], value, at)
    elif origin is tuple and isinstance(value, list):
        yield from ((args[0], item, f"{at}[{i}]") for i, item in enumerate(value))
    elif origin in (dict, Mapping) and isinstance(value, dict):
        yield from ((args[1], item, f"{at}.{key}") for key, item in value.items())
    elif is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind, include_extras=True)
        yield from ((hints[name], item, f"{at}.{name}") for name, item in value.items() if name in hints)
