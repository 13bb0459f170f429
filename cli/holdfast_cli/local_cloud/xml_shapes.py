"""XML as CloudTrail writes it into a record: what S3 bodies and EC2's XML style have in common."""

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

Json = Any
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


def root_of(document: bytes) -> ElementTree.Element:
    """The document's root. Standard library: only this machine's own user and MiniStack write these documents."""
    return ElementTree.fromstring(document)  # noqa: S314


def content_of(root: ElementTree.Element) -> Json:
    """A document as an object with its `xmlns`; a repeated element is a list, a single one isn't."""
    content = _content(root)
    namespace = root.tag[1:].partition("}")[0] if root.tag.startswith("{") else None
    return {**content, "xmlns": namespace} if namespace and isinstance(content, dict) else content


def local_name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text_of(element: ElementTree.Element) -> str:
    """An element's own text."""
    return (element.text or "").strip()


def scalar(text: str) -> bool | int | str:
    """CloudTrail guesses a type from the text: an account id becomes a number and loses its leading zeros."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


def one_or_many(values: list[Json]) -> Json:
    """A single value stands alone; several are a list."""
    return values[0] if len(values) == 1 else values


def _content(element: ElementTree.Element) -> Json:
    if not len(element) and not element.attrib:
        return scalar(text_of(element))
    attributes = {name.replace(_XSI, "xsi:"): value for name, value in element.attrib.items()}
    namespace = {"xmlns:xsi": _XSI[1:-1]} if "xsi:type" in attributes else {}
    return {**attributes, **namespace, **_grouped((local_name(child), _content(child)) for child in element)}


def _grouped(children: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    grouped: dict[str, list[Json]] = {}
    for name, value in children:
        grouped.setdefault(name, []).append(value)
    return {name: one_or_many(values) for name, values in grouped.items()}
