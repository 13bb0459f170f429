"""The query protocol's forms, read back: `Tag.1.Key=a` means a list of objects."""

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """`{"Tag.1.Key": "a"}` → `{"Tag": {"1": {"Key": "a"}}}`, without the protocol's own fields."""
    tree: dict[str, Any] = {}
    for path, value in fields.items():
        *parents, leaf = path.split(".")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = value
    return {name: value for name, value in tree.items() if name not in ("Action", "Version")}


def is_list(node: Mapping[str, Any]) -> bool:
    """Whether a node's names are places: `1`, `2`, …"""
    return all(name.isdigit() for name in node)


def numbered(node: Mapping[str, Any]) -> list[Any]:
    """The members of a list, which come as `1`, `2` … or as `member.1`, `entry.1` …"""
    node = node if is_list(node) else next(iter(node.values()))
    return [node[place] for place in sorted(node, key=int)]


def typed(shape: Shape, node: Any) -> Any:
    """A form's node in the types of its shape, under the API's member names."""
    if isinstance(shape, StructureShape):
        wires = {name: member.serialization.get("name", name) for name, member in shape.members.items()}
        return {name: typed(shape.members[name], node[wire]) for name, wire in wires.items() if wire in node}
    if isinstance(shape, ListShape):
        return [typed(shape.member, each) for each in numbered(node)] if node else []
    if isinstance(shape, MapShape):
        return {each["key"]: typed(shape.value, each["value"]) for each in numbered(node)}
    if shape.type_name in ("integer", "long"):
        return int(node)
    return node == "true" if shape.type_name == "boolean" else node
