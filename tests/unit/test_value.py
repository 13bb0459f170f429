"""A Value is what a frozen dataclass is, but for what mypy sees to."""

from dataclasses import asdict, fields, replace
from typing import Generic, TypeVar

import pytest
from holdfast import Value, shape
from holdfast.ledger import Told

T = TypeVar("T")


class Other(Value):
    outcome: str
    what: str = ""


class Box(Value, Generic[T], kw_only=True):
    content: T


def test_it_is_compared_by_its_class_and_its_fields() -> None:
    assert Told("a", "b") == Told("a", "b") != Told("a", "c")
    assert Told("a", "b") != Other("a", "b")
    assert {Told("a", "b"), Told("a", "b")} == {Told("a", "b")}
    assert hash(Told("a", "b")) != hash(Told("a", "c"))


def test_it_shows_its_fields() -> None:
    assert repr(Other("a")) == "Other(outcome='a', what='')"


def test_what_works_on_dataclasses_works_on_it() -> None:
    assert replace(Told("a", "b"), what="c") == Told("a", "c")
    assert asdict(Other("a")) == {"outcome": "a", "what": ""}
    assert [field.name for field in fields(Told)] == ["outcome", "what"]
    assert shape.parse(Other, {"outcome": "a"}) == Other("a")


def test_only_its_own_fields_can_be_given() -> None:
    with pytest.raises(shape.Misshapen, match="unknown: __dataclass_fields__"):
        shape.parse(Other, {"outcome": "a", "__dataclass_fields__": {}})


def test_it_may_be_generic_and_take_keywords_only() -> None:
    assert Box(content=1) == Box[int](content=1)
    with pytest.raises(TypeError, match="positional"):
        Box(1)  # type: ignore[call-arg]
