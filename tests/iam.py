"""What AWS's documentation says about policies, decided once more, for concrete requests only.

Every key of a request is either there with one value, or not there. Nothing is shared with policy.py, so that the two
can be held against each other. Sources: IAM user guide, "JSON policy elements: Condition operators", "Principal",
"NotPrincipal", "Variables and tags" and "Policy evaluation logic".
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    principal: str
    action: str
    resource: str
    keys: Mapping[str, str]

    def value(self, key: str) -> str | None:
        return next((value for name, value in self.keys.items() if name.lower() == key.lower()), None)


class Unresolved(Exception):
    """A policy variable without a value: AWS then takes the whole statement for invalid."""


@cache
def glob(pattern: str, text: str) -> bool:
    """Backtracking by hand, so that nothing is shared with a translation to regular expressions."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return glob(pattern[1:], text) or (bool(text) and glob(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def aslist(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def matches(kind: str, wanted: str, found: str) -> bool:
    if kind == "StringEquals":
        return wanted == found
    if kind == "StringEqualsIgnoreCase":
        return wanted.upper() == found.upper()
    if kind == "StringLike":
        return glob(wanted, found)
    if kind in ("ArnLike", "ArnEquals"):
        left, right = wanted.split(":", 5), found.split(":", 5)
        return len(left) == len(right) == 6 and all(map(glob, left, right))
    if kind == "Bool":
        return wanted.lower() == found.lower()
    if kind == "IpAddress":
        return in_range(wanted, found)
    if kind.startswith("Date"):
        return compare(kind.removeprefix("Date"), moment(wanted), moment(found))
    return compare(kind.removeprefix("Numeric"), float(wanted), float(found))


def in_range(wanted: str, found: str) -> bool:
    return ipaddress.ip_address(found) in ipaddress.ip_network(wanted, strict=False)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def compare(kind: str, wanted: float, found: float) -> bool:
    return {
        "Equals": found == wanted,
        "LessThan": found < wanted,
        "LessThanEquals": found <= wanted,
        "GreaterThan": found > wanted,
        "GreaterThanEquals": found >= wanted,
    }[kind]


def condition_holds(operator: str, wanted: list[str], found: str | None) -> bool:
    quantifier, name = operator.split(":") if ":" in operator else ("", operator)
    if name == "Null":
        return (found is None) == (wanted[0] == "true")
    optional, name = name.endswith("IfExists"), name.removesuffix("IfExists")
    negative, name = "Not" in name, name.replace("Not", "")
    if found is None:
        return quantifier == "ForAllValues" or (quantifier == "" and (optional or negative))
    return any(matches(name, value, found) for value in wanted) != negative


def names(principal: Any, call: Call) -> bool:
    """A session is named by its own ARN, by its role's, and by its account's."""
    if principal == "*":
        return True
    itself = (call.principal, call.value("aws:PrincipalArn") or call.principal)
    return any(
        is_named(kind, value, each) for kind, values in principal.items() for value in aslist(values) for each in itself
    )


def is_named(kind: str, value: str, principal: str) -> bool:
    """A canonical user and a federation are none of the principals that are asked for here."""
    if kind == "Service":
        return value == principal or (value == "*" and principal.endswith(".amazonaws.com"))
    account = value.split(":")[4] if value.startswith("arn:") and value.endswith(":root") else value
    in_account = principal.startswith("arn:") and principal.split(":")[4] == account
    return kind == "AWS" and (value in ("*", principal) or in_account)


def statement_applies(statement: Json, call: Call, *, variables: bool) -> bool:
    def read(text: Any) -> str:
        return filled(str(text), call) if variables else str(text)

    try:
        return (
            chosen(statement, "Principal", lambda principal: names(principal, call))
            and chosen(statement, "Action", lambda a: any(glob(x.lower(), call.action.lower()) for x in aslist(a)))
            and chosen(statement, "Resource", lambda r: any(glob(read(x), call.resource) for x in aslist(r)))
            and all(
                condition_holds(operator, [read(value) for value in aslist(values)], call.value(key))
                for operator, keys in statement.get("Condition", {}).items()
                for key, values in keys.items()
            )
        )
    except Unresolved:
        return False


def chosen(statement: Json, element: str, test: Callable[[Any], bool]) -> bool:
    """Each element also comes as its opposite."""
    opposite = f"Not{element}"
    return not test(statement[opposite]) if opposite in statement else test(statement[element])


def filled(text: str, call: Call) -> str:
    """With its variables replaced. One for a character becomes what is no wildcard, and in no request either."""

    def value(found: "re.Match[str]") -> str:
        name, _, default = found[1].partition(", ")
        known = {"*": "\0", "?": "\0", "$": "$"}.get(name, call.value(name))
        if known is None and not default:
            raise Unresolved(name)
        return known if known is not None else default.strip("'")

    return re.sub(r"\$\{([^}]*)\}", value, text)


def says(policy: Json, effect: str, call: Call) -> bool:
    variables = policy.get("Version") == "2012-10-17"
    return any(
        s.get("Effect") == effect and statement_applies(s, call, variables=variables) for s in policy["Statement"]
    )


def denied(policy: Json, call: Call) -> bool:
    return says(policy, "Deny", call)


def granted(policy: Json, call: Call) -> bool:
    """Whether the policy itself grants the call; an identity policy may do so all the same."""
    return says(policy, "Allow", call) and not denied(policy, call)
