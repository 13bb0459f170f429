"""Frozen dataclasses from JSON, with errors that name the field; and the JSON Schema of a dataclass.

Inside a Lambda a validation library would cost more start-up than the rest of the engine. The rules are the type
annotations: `Annotated[str, r"pattern"]`, `Annotated[int, range(…)]`, `Literal[…]`, tuples, mappings, dataclasses.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Misshapen(ValueError):
    """A value that can't be read as what it should be. The text begins with the path of the field."""


class Lacking(Misshapen):
    """A required setting is not set: the guardrail is off, rather than broken."""


def plain(value: Any) -> Any:
    """As JSON would bring it back: what is compared, stored and shown."""
    return json.loads(json.dumps(value, default=_plain))


def text(value: Any) -> str:
    """`value` as compact JSON text."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def parse(kind: type[T], value: Any, at: str = "$") -> T:
    """`value` (plain JSON) as `kind`. Raises Lacking where a required field is missing, else Misshapen."""
    return cast(T, _object(kind, value, at) if is_dataclass(kind) else _parse(kind, value, at))


def remembered(kind: type[T], value: Any, at: str = "$") -> T:
    """As `parse`, for what an older or newer release has stored: fields that are not known here are passed over."""
    known = {field.name for field in fields(cast(Any, kind))}
    return parse(kind, {name: item for name, item in _expect(dict, value, at).items() if name in known}, at)


def _parse(kind: Any, value: Any, at: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _check(args[1], _parse(args[0], value, at), at)
    if origin is Literal:
        return value if value in args else _fail(at, f"{value!r} is not one of {', '.join(map(str, args))}")
    if origin in (UnionType, Union):
        return None if value is None else _parse(args[0], value, at)
    if origin is tuple:
        return tuple(_parse(args[0], item, f"{at}[{i}]") for i, item in enumerate(_expect(list, value, at)))
    if origin in (dict, Mapping):
        return {key: _parse(args[1], item, f"{at}.{key}") for key, item in _expect(dict, value, at).items()}
    if is_dataclass(kind):
        return _nested(cast(type, kind), value, at)
    return value if kind is Any else _expect(kind, value, at)


def _nested(kind: type, value: Any, at: str) -> Any:
    """A part that lacks something is wrong: only a whole that does is merely not there yet."""
    try:
        return _object(kind, value, at)
    except Lacking as error:
        raise Misshapen(str(error)) from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _object(kind: type, value: Any, at: str) -> Any:
    hints = _hints(kind)
    if unknown := _expect(dict, value, at).keys() - hints.keys():
        _fail(at, f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(hints)}")
    if lacking := [f.name for f in fields(kind) if required(f) and f.name not in value]:
        raise Lacking(f"{at}: required: {', '.join(lacking)}")
    given = {name: _parse(hints[name], item, f"{at}.{name}") for name, item in value.items()}
    try:
        return kind(**given)
    except Misshapen as error:
        raise type(error)(f"{at}: {error}") from None


def required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _expect(kind: type, value: Any, at: str) -> Any:
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return value if fits else _fail(at, f"{value!r} is not a {kind.__name__}")


def _check(rule: Any, value: Any, at: str) -> Any:
    if isinstance(rule, range) and value not in rule:
        _fail(at, f"{value} is not from {rule.start} to {rule.stop - 1}")
    if isinstance(rule, str) and not re.fullmatch(rule, value):
        _fail(at, f"{value!r} does not look like {rule}")
    return value


def _fail(at: str, why: str) -> Any:
    raise Misshapen(f"{at}: {why}")


WORDS = {str: "string", int: "integer", bool: "boolean", dict: "object", float: "number"}


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of `kind`, from the same annotations that `parse` obeys."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return schema(args[0]) | _limits(args[1])
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (UnionType, Union):
        return {"anyOf": [schema(args[0]), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": schema(args[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema(args[1])}
    if is_dataclass(kind):
        return _object_schema(cast(type, kind))
    return {"type": WORDS[kind]} if kind in WORDS else {}


def _limits(rule: Any) -> dict[str, Any]:
    if isinstance(rule, range):
        return {"minimum": rule.start, "maximum": rule.stop - 1}
    return {"pattern": f"^(?:{rule})$"}


def _object_schema(kind: type) -> dict[str, Any]:
    hints = _hints(kind)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: schema(hint) for name, hint in hints.items()},
        "required": [f.name for f in fields(kind) if required(f)],
    }
