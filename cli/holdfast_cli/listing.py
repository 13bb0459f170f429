"""The guardrails at a glance, and whether a deployment would have them on."""

from dataclasses import dataclass

from holdfast_cli import pages, project
from holdfast_cli.deployment import Deployment, handler
from holdfast_cli.template import section


@dataclass(frozen=True)
class Entry:
    """`lacks` is what a guardrail needs to be on at all, `wrong` why its settings would make it fail."""

    guardrail: str
    severity: str
    promise: str
    watches: tuple[str, ...]
    mode: str
    lacks: str = ""
    wrong: str = ""


def entries(deployment: Deployment) -> list[Entry]:
    return [_entry(guardrail, deployment) for guardrail in project.guardrails()]


def _entry(guardrail: str, deployment: Deployment) -> Entry:
    mode, lacks, wrong = deployment.standing(guardrail)
    watches = tuple(section(guardrail).event_names)
    return Entry(guardrail, handler(guardrail).severity, pages.promise(guardrail), watches, mode, lacks, wrong)
