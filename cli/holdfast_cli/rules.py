"""Which guardrails an event starts, by the patterns of the template.

Only the part of EventBridge's pattern language that the template uses: lists of exact values, `{"exists": …}`, nested
objects (EventBridge user guide, "Creating Amazon EventBridge event patterns"). Anything else raises, rather than being
guessed.
"""

from collections.abc import Mapping
from typing import Any

from holdfast.event import mapping

from holdfast_cli import template


class UnknownOperator(ValueError):
    """A pattern says something that this matcher doesn't know."""


def starts(event: Mapping[str, Any]) -> list[str]:
    """The guardrails whose functions the event would start."""
    return [s.guardrail for s in template.functions() if any(matches(pattern, event) for pattern in s.patterns)]


def why_not(guardrail: str, event: Mapping[str, Any]) -> str:
    """For whom the event is, since no rule hands it to this guardrail."""
    name = mapping(event.get("detail")).get("eventName") or event.get("detail-type")
    return f"no rule hands this {name} to {guardrail}; guardrails that it starts: {', '.join(starts(event)) or 'none'}"


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """True if every field of the pattern accepts what the event has there."""
    return not mismatches(pattern, event)


def mismatches(pattern: Mapping[str, Any], event: Any, path: str = "") -> list[str]:
    """The fields of the event that the pattern does not accept, as `detail.eventName`."""
    found = event if isinstance(event, Mapping) else {}
    wrong: list[str] = []
    for name, wanted in pattern.items():
        at = f"{path}.{name}".lstrip(".")
        if isinstance(wanted, Mapping):
            wrong += mismatches(wanted, found.get(name), at)
        elif not any(_accepts(alternative, found, name) for alternative in wanted):
            wrong.append(at)
    return wrong


def _accepts(alternative: Any, found: Mapping[str, Any], name: str) -> bool:
    if isinstance(alternative, Mapping):
        if alternative.keys() != {"exists"}:
            raise UnknownOperator(f"{name}: {alternative}")
        is_leaf = name in found and not isinstance(found[name], Mapping)
        return is_leaf is alternative["exists"]
    if name not in found:
        return False
    values = found[name] if isinstance(found[name], list) else [found[name]]
    return any(type(value) is type(alternative) and value == alternative for value in values)
