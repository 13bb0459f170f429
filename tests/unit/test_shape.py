"""Settings, records and baselines are read strictly, and errors name the field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from holdfast import shape


@dataclass(frozen=True)
class Inner:
    name: Annotated[str, r"[a-z]+"]


@dataclass(frozen=True)
class Outer:
    count: Annotated[int, range(1, 10)]
    mode: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    inner: Inner | None = None
    table: Mapping[str, int] = field(default_factory=dict)
    flag: bool = False
    anything: Any = None

    def __post_init__(self) -> None:
        if self.flag and not self.names:
            raise shape.Misshapen("flag wants names")


GOOD = [
    ({"count": 1}, Outer(1)),
    ({"count": 9, "mode": "b", "names": ["x", "y"]}, Outer(9, "b", ("x", "y"))),
    ({"count": 1, "inner": {"name": "z"}}, Outer(1, inner=Inner("z"))),
    ({"count": 1, "inner": None, "table": {"k": 2}}, Outer(1, table={"k": 2})),
    ({"count": 1, "anything": [1, {"deep": None}]}, Outer(1, anything=[1, {"deep": None}])),
]
BAD = [
    ({"count": 0}, r"\$\.count: 0 is not from 1 to 9"),
    ({"count": True}, r"\$\.count: True is not a int"),
    ({"count": "1"}, r"\$\.count: '1' is not a int"),
    ({"count": 1, "mode": "c"}, r"\$\.mode: 'c' is not one of a, b"),
    ({"count": 1, "names": "x"}, r"\$\.names: 'x' is not a list"),
    ({"count": 1, "names": ["x", 2]}, r"\$\.names\[1\]: 2 is not a str"),
    ({"count": 1, "inner": {"name": "Z"}}, r"\$\.inner\.name: 'Z' does not look like \[a-z\]\+"),
    ({"count": 1, "table": {"k": "v"}}, r"\$\.table\.k: 'v' is not a int"),
    ({"count": 1, "other": 1}, r"\$: unknown: other; known: count, mode"),
    ({"count": 1, "flag": True}, r"\$: flag wants names"),
    ([], r"\$: \[\] is not a dict"),
]


@pytest.mark.parametrize(("value", "expected"), GOOD)
def test_what_fits_is_read_and_comes_back(value: Any, expected: Outer) -> None:
    read = shape.parse(Outer, value)
    assert read == expected
    assert shape.parse(Outer, shape.plain(read)) == read


@pytest.mark.parametrize(("value", "why"), BAD)
def test_what_does_not_fit_is_refused_with_the_path_of_the_field(value: Any, why: str) -> None:
    with pytest.raises(shape.Misshapen, match=why):
        shape.parse(Outer, value)


def test_a_missing_required_field_is_lacking_not_wrong() -> None:
    with pytest.raises(shape.Lacking, match=r"here: required: count"):
        shape.parse(Outer, {}, "here")


@pytest.mark.parametrize(("value", "expected"), GOOD)
def test_the_published_schema_admits_what_is_read(value: Any, expected: Outer) -> None:
    jsonschema.validate(value, shape.schema(Outer))
    assert shape.parse(Outer, value) == expected


@pytest.mark.parametrize("value", [value for value, why in BAD if "wants" not in why])
def test_the_published_schema_refuses_what_is_not(value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, shape.schema(Outer))


def test_a_part_that_lacks_something_is_wrong_not_lacking() -> None:
    with pytest.raises(shape.Misshapen, match=r"\$\.inner: required: name") as raised:
        shape.parse(Outer, {"count": 1, "inner": {}})
    assert not isinstance(raised.value, shape.Lacking)


def test_what_another_release_stored_is_read_as_far_as_it_is_known() -> None:
    assert shape.remembered(Outer, {"count": 1, "newer": [1]}) == Outer(1)
    with pytest.raises(shape.Misshapen, match="is not from 1 to 9"):
        shape.remembered(Outer, {"count": 0, "newer": [1]})


def test_text_is_compact() -> None:
    assert shape.text({"a": Inner("x"), "b": [1, 2]}) == '{"a":{"name":"x"},"b":[1,2]}'


def test_what_json_does_not_know_is_told_in_words() -> None:
    assert shape.plain({"when": date(2026, 1, 1), "kind": Inner}) == {"when": "2026-01-01", "kind": str(Inner)}


def test_the_published_schema_tells_limits_as_they_are_obeyed() -> None:
    known = shape.schema(Outer)
    assert known["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert known["properties"]["names"] == {"type": "array", "items": {"type": "string"}}
    assert known["properties"]["table"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert known["properties"]["inner"]["anyOf"][0]["properties"] == {
        "name": {"type": "string", "pattern": "^(?:[a-z]+)$"}
    }
    assert (known["required"], known["additionalProperties"]) == (["count"], False)


def test_what_was_stored_is_refused_under_the_name_of_its_place() -> None:
    with pytest.raises(shape.Misshapen, match=r"^baseline\.count: 0 is not"):
        shape.remembered(Outer, {"count": 0}, "baseline")
    with pytest.raises(shape.Misshapen, match=r"^baseline: \[\] is not a dict"):
        shape.remembered(Outer, [], "baseline")
    with pytest.raises(shape.Misshapen, match=r"^\$: \[\] is not a dict"):
        shape.remembered(Outer, [])
