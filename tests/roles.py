"""The functions' roles as CloudFormation will make them, and what IAM says of a call by them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from holdfast_cli import project, template
from holdfast_cli.local_cloud.transform import transform

# What the stack's parameters decide: all of it on, so that every statement there may ever be is looked at.
EVERY_OPTION = frozenset({"HasKey", "HasTrailRole", "HasBoundary", "HasEmail", "HasCodeSigning"})


@cache
def plain() -> dict[str, Any]:
    """The transformed template's resources."""
    found: dict[str, Any] = transform(project.TEMPLATE)["Resources"]
    return found


def of_type(kind: str) -> dict[str, Any]:
    """Logical ids and properties of the resources of a type."""
    return {name: found["Properties"] for name, found in plain().items() if found["Type"] == kind}


def chosen(node: Any, options: Iterable[str] = EVERY_OPTION) -> Any:
    """`node` as it is with those conditions true and all others false."""
    match node:
        case {"Fn::If": [condition, then, otherwise]}:
            return chosen(then if condition in options else otherwise, options)
        case dict():
            return {key: chosen(value, options) for key, value in node.items()}
        case list():
            kept = (chosen(item, options) for item in node)
            return [item for item in kept if item != {"Ref": "AWS::NoValue"}]
    return node


def resolved(node: Any) -> Any:
    """`node` with `${…}` for what CloudFormation fills in."""
    match node:
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Ref": _} | {"Fn::Sub": _} | {"Fn::Join": _}:
            return template.resolved(node, {})
        case dict():
            return {key: resolved(value) for key, value in node.items()}
        case list():
            return [resolved(item) for item in node]
    return node


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Statement:
    """A statement of a policy. `at` is the policy's logical id or name, and the statement's number in it."""

    at: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: Mapping[str, Any] = field(default_factory=dict, hash=False)
    effect: str = "Allow"

    def document(self, without: str = "") -> dict[str, Any]:
        """As IAM takes it; without one of its actions, where that is asked for."""
        kept = [action for action in self.actions if action != without]
        said = {"Effect": self.effect, "Action": kept, "Resource": list(self.resources)}
        return said | ({"Condition": dict(self.condition)} if self.condition else {})


def statements(role: str, options: Iterable[str] = EVERY_OPTION) -> list[Statement]:
    """What a role of the template (its logical id) may do, by its own policies and those that the stack attaches."""
    properties = of_type("AWS::IAM::Role")[role]
    own = ((policy["PolicyName"], policy["PolicyDocument"]) for policy in properties["Policies"])
    attached = (arn["Ref"] for arn in properties.get("ManagedPolicyArns", ()) if isinstance(arn, Mapping))
    shared = ((name, of_type("AWS::IAM::ManagedPolicy")[name]["PolicyDocument"]) for name in attached)
    return [found for name, document in (*shared, *own) for found in _read(name, chosen(document, options))]


def _read(name: str, document: Mapping[str, Any]) -> Iterator[Statement]:
    for number, said in enumerate(document["Statement"]):
        actions, resources = (tuple(map(resolved, listed(said[key]))) for key in ("Action", "Resource"))
        yield Statement(f"{name}[{number}]", actions, resources, resolved(said.get("Condition", {})), said["Effect"])


def functions() -> list[str]:
    """The logical ids of the functions."""
    return sorted(of_type("AWS::Lambda::Function"))


def filled(statement: Statement, values: Mapping[str, str]) -> Statement:
    """With `${…}` filled in; what has no value stays as it is written."""
    resources = tuple(fill(resource, values) for resource in statement.resources)
    return replace(statement, resources=resources, condition=fill(statement.condition, values))


def fill(node: Any, values: Mapping[str, str]) -> Any:
    """`node` with the values of `${…}` in its texts."""
    match node:
        case str():
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: values.get(found[1], found[0]), node)
        case dict():
            return {key: fill(value, values) for key, value in node.items()}
        case list():
            return [fill(item, values) for item in node]
    return node


@dataclass(frozen=True)
class Need:
    """What IAM must allow for a call: an action on a resource, in a context of condition keys."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict, hash=False)

    def met_by(self, statement: Statement) -> bool:
        """Whether a statement with its values filled in speaks of it."""
        return (
            any(fnmatchcase(self.action.lower(), action.lower()) for action in statement.actions)
            and any(fnmatchcase(self.resource, resource) for resource in statement.resources)
            and all(self._holds(test, keys) for test, keys in statement.condition.items())
        )

    def _holds(self, test: str, keys: Mapping[str, Any]) -> bool:
        return all(holds(test, self.context.get(key), listed(values)) for key, values in keys.items())


def holds(test: str, value: str | None, wanted: list[str]) -> bool:
    """A condition on one key (IAM user guide, "Condition operators"): a key that isn't there fails all but the nots."""
    match test:
        case "StringEquals" | "ArnEquals" | "Bool":
            return value in wanted
        case "ArnLike" | "StringLike":
            return value is not None and any(fnmatchcase(value, pattern) for pattern in wanted)
        case "ArnNotLike":
            return not holds("ArnLike", value, wanted)
    raise NotImplementedError(test)


def admits(document: Mapping[str, Any], principal: str, need: Need) -> bool:
    """Whether a resource's own policy, as CloudFormation will write it, lets a service or an account's people in."""
    said = [statement for statement in document["Statement"] if _is_about(statement["Principal"], principal)]
    met = {s["Effect"] for s, read in zip(said, _read("", {"Statement": said}), strict=True) if need.met_by(read)}
    return met == {"Allow"}


def _is_about(principals: Any, principal: str) -> bool:
    named = principals.values() if isinstance(principals, Mapping) else [principals]
    return any(one in ("*", principal) for names in named for one in listed(names))
