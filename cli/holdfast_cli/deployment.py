"""What a deployment decides: the stack's parameters, and over them what lies in SSM under `/holdfast/`.

Both reach the guardrails here as they do in a function, through `holdfast.settings`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from holdfast import Lacking, Misshapen, shape
from holdfast.guardrail import Guardrail
from holdfast.settings import PATH, Choices, Defaults, Mode, choose

from holdfast_cli import project, template
from holdfast_cli.errors import Complaint, refused, unknown
from holdfast_cli.events import read_json

Handler = Guardrail[Any, Any]
NAME_IT = "name the stack with --stack, and its Region with AWS_DEFAULT_REGION"


def known(guardrail: str) -> str:
    """The id, also of one that was written with underscores. Raises Complaint for one that isn't there."""
    name = guardrail.replace("_", "-")
    if name not in project.guardrails():
        raise unknown("guardrail", guardrail, project.guardrails())
    return name


def handler(guardrail: str) -> Handler:
    found: Handler = project.load(guardrail).handler
    return found


def outputs(stack: str) -> dict[str, str]:
    """The outputs of a deployed stack, with the caller's credentials. Raises Complaint."""
    try:
        (found,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        raise refused(error, NAME_IT) from None
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


@dataclass(frozen=True)
class Deployment:
    """`values` are the stack's parameters; `tree` the SSM parameters, by their names below `/holdfast/`.

    `mode` is for trying things out: it wins over all that they say.
    """

    values: template.Values
    tree: Mapping[str, str]
    mode: Mode | None = None

    @classmethod
    def of(
        cls, stack: Iterable[str] = (), settings: Mapping[str, Any] | None = None, mode: Mode | None = None
    ) -> "Deployment":
        """From `Name=value` texts, and from values (plain JSON, or text of it) by SSM name. Raises Complaint."""
        tree = {name: item if isinstance(item, str) else shape.text(item) for name, item in (settings or {}).items()}
        return cls(template.parameters(stack), tree, mode)

    def defaults(self, guardrail: str) -> Defaults:
        """What the stack gives a function in its environment."""
        shared = template.load()["Globals"]["Function"]["Environment"]["Variables"]["HOLDFAST_SHARED"]
        own = template.section(guardrail).settings
        environment = {"HOLDFAST_SHARED": shared, "HOLDFAST_SETTINGS": own}
        return Defaults.of({name: template.resolved(value, self.values) for name, value in environment.items()})

    def choices(self, guardrail: str) -> Choices:
        """Raises Misshapen as the function would."""
        choices = choose(guardrail, self.defaults(guardrail), self.tree)
        if self.mode is None:
            return choices
        modes = {**choices.shared.modes, guardrail: self.mode}
        return replace(choices, shared=replace(choices.shared, modes=modes))

    def settings(self, guardrail: str) -> Any:
        """The guardrail's own. Raises Lacking, which means off, and Misshapen, which means broken."""
        return shape.parse(handler(guardrail).settings, self.choices(guardrail).own, guardrail)

    def standing(self, guardrail: str) -> tuple[str, str, str]:
        """Mode, what it lacks, what is wrong: as the function finds out at its first event."""
        try:
            mode = self.choices(guardrail).mode(guardrail)
            self.settings(guardrail)
        except Lacking as lacking:
            return "off", str(lacking).removeprefix(f"{guardrail}: ").removeprefix("required: "), ""
        except Misshapen as error:
            return "fails", "", str(error)
        return mode, "", ""


def read_settings(path: Path) -> Any:
    """A settings file's JSON, taken as a function takes it from SSM. Raises Complaint."""
    return read_json(path, lambda data: stored(data.decode()))


def stored(text: str) -> Any:
    """The JSON of an SSM parameter. Raises ValueError, or RecursionError."""
    if text.startswith("\N{BOM}"):
        raise ValueError("it begins with a byte order mark, which the functions refuse; save it without")
    return json.loads(text, object_pairs_hook=_unambiguous)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice a function takes the last one, and people see the first."""
    if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
        raise ValueError(f"{twice[0]!r} stands there twice")
    return dict(pairs)


def read_tree(path: Path, guardrail: str = "") -> dict[str, Any]:
    """A settings file as SSM names and plain values: a whole tree, or one guardrail's own settings.

    Raises Complaint for a file that is neither.
    """
    value = read_settings(path)
    if not isinstance(value, dict):
        raise Complaint(f"{path}: not a JSON object")
    if is_tree(value):
        return {short(name): item for name, item in value.items()}
    if not guardrail:
        raise Complaint(f'{path}: its keys must be SSM names, as in {{"settings": {{"mode": "enforce"}}}}')
    return {f"settings/{guardrail}": value}


def is_tree(value: Mapping[str, Any]) -> bool:
    """True if the keys are SSM names, and not the fields of one setting."""
    return any(short(name) == "settings" or "/" in name for name in value)


def short(name: str) -> str:
    """`/holdfast/settings` → `settings`."""
    return name.removeprefix(f"{PATH}/").removeprefix("/")
