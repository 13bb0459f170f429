"""What people may decide: modes, settings and exemptions.

CloudFormation gives the defaults (as JSON in the environment), SSM parameters under `/holdfast/` override them:
`/holdfast/settings` (shared), `/holdfast/settings/<guardrail>`, `/holdfast/exemptions/<guardrail>/<name>`.
Settings that can't be read are not guessed: the last copy is used, or the event fails and is retried.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from holdfast import shape
from holdfast.value import Value

if TYPE_CHECKING:
    from holdfast.aws import Aws

PATH = "/holdfast"
MAX_AGE = 60  # seconds that a copy of the parameters is good for

Mode = Literal["audit", "enforce", "off"]
# IAM ARNs with a literal account: an sts ARN names a session, and `*` as account would admit anybody.
PrincipalArn = Annotated[str, r"arn:aws[\w-]*:iam::\d{12}:(role|user)/[\w+=,.@/*?-]+"]
BucketPattern = Annotated[str, r"[\w.*?-]{1,255}"]
Owner = Annotated[str, r"(?=.*\S)[^\n]{1,200}"]
Reason = Annotated[str, r"(?=.*\S)[^\n]{1,500}"]
Limit = Annotated[int, range(1, 1_000_001)]


class SharedSettings(Value):
    """What several guardrails share.

    `mode` is for all guardrails, `modes` for one each. `break_glass_arns` always alert and are never locked out.
    Changes by `baseline_principals` are the new good state; the defensive acts of `responder_principals` stand. What a
    look finds first, and they may have done, waits five minutes for the event of their call; an event that is more than
    a quarter of an hour old is only told.
    Until `remediate_existing`, what was wrong before Holdfast enforced is only audited. Past `fixes_per_target` in an
    hour a thing is put right once a minute; past `fixes_per_actor` what one actor breaks waits for the next hour, but
    for what is critical; a fix of more than `calls_per_fix` calls is left to a person.
    """

    mode: Mode = "audit"
    modes: Mapping[str, Mode] = field(default_factory=dict)
    break_glass_arns: tuple[PrincipalArn, ...] = ()
    baseline_principals: tuple[PrincipalArn, ...] = ()
    responder_principals: tuple[PrincipalArn, ...] = ()
    remediate_existing: bool = False
    fixes_per_target: Limit = 60
    fixes_per_actor: Limit = 200
    calls_per_fix: Limit = 25


class Exemption(Value):
    """A resource (ARN pattern with `*` and `?`) that a guardrail leaves alone, for one principal or for all.

    `owner` and `reason` say who answers for it, `expires` (ISO 8601 date or time, UTC) until when.
    """

    resource: Annotated[str, r"arn:aws[\w*-]*:.{1,1024}"]
    owner: Owner
    reason: Reason
    expires: Annotated[str, r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z?)?"]
    principal: PrincipalArn | None = None

    def __post_init__(self) -> None:
        try:
            self.until  # noqa: B018 - an impossible date must be refused when it is read, not when it is used
        except ValueError as error:
            raise shape.Misshapen(f"expires: {error}") from None

    @property
    def until(self) -> int:
        """Epoch seconds; of a date the end of that day."""
        if len(self.expires) == len("2026-01-31"):
            day = date.fromisoformat(self.expires)
            return int(datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC).timestamp())
        return int(datetime.fromisoformat(self.expires.removesuffix("Z")).replace(tzinfo=UTC).timestamp())

    def covers(self, target: str, actor: str) -> bool:
        """True now, for this target and for this (trusted) actor."""
        return (
            matches(target, self.resource)
            and (self.principal is None or named(actor, (self.principal,)))
            and time.time() <= self.until
        )


def named(actor: str, principals: tuple[str, ...]) -> bool:
    """True if one of the patterns names the actor. Nobody is named by none."""
    return bool(actor) and any(matches(actor, pattern) for pattern in principals)


def matches(text: str, pattern: str) -> bool:
    """With `*` and `?` as IAM has them; brackets mean themselves."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


class Choices(Value):
    """What was decided for one guardrail: `own` is its settings as plain JSON, not yet checked."""

    shared: SharedSettings
    own: Mapping[str, Any]
    exemptions: Mapping[str, Exemption]

    def mode(self, guardrail: str) -> Mode:
        return self.shared.modes.get(guardrail, self.shared.mode)


def choose(guardrail: str, defaults: "Defaults", parameters: Mapping[str, str]) -> Choices:
    """`parameters` by their names without the leading path. Raises Misshapen with the name.

    Only what lies in this guardrail's own path is looked at, so that another's bad parameter doesn't stop it.
    """
    own, exempt = f"settings/{guardrail}", f"exemptions/{guardrail}/"
    shared = dict(defaults.shared) | _object("settings", parameters.get("settings", "{}"))
    return Choices(
        shape.parse(SharedSettings, shared, f"{PATH}/settings"),
        dict(defaults.own) | _object(own, parameters.get(own, "{}")),
        {
            name.removeprefix(exempt): shape.parse(Exemption, _object(name, text), f"{PATH}/{name}")
            for name, text in parameters.items()
            if name.startswith(exempt)
        },
    )


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise shape.Misshapen(f"{PATH}/{name}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise shape.Misshapen(f"{PATH}/{name}: not a JSON object")
    return value


class Defaults(Value):
    """The stack's own parameters, as plain JSON."""

    shared: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Defaults":
        """From HOLDFAST_SHARED and HOLDFAST_SETTINGS. A list that is empty in the template comes as one empty text."""
        read = (environment.get(name) or "{}" for name in ("HOLDFAST_SHARED", "HOLDFAST_SETTINGS"))
        return cls(*(_without_blanks(json.loads(text)) for text in read))


def _without_blanks(options: Mapping[str, Any]) -> dict[str, Any]:
    """CloudFormation takes a comma too many in a list, and gives an empty item for it."""
    given = {name: [i for i in v if i != ""] if isinstance(v, list) else v for name, v in options.items()}
    return {name: value for name, value in given.items() if value not in ("", [])}


class Parameters:
    """The tree under `/holdfast/`, kept for a minute; longer while it can't be read."""

    def __init__(self, aws: "Aws") -> None:
        self._aws = aws
        self._last: Mapping[str, str] | None = None
        self._read_at = 0.0

    def read(self) -> tuple[Mapping[str, str], str]:
        """The parameters by name, and why they are stale (empty when they are not).

        Raises ClientError and BotoCoreError as botocore does when there is no copy yet.
        """
        if self._last is not None and time.time() - self._read_at < MAX_AGE:
            return self._last, ""
        try:
            self._last, self._read_at = self._tree(), time.time()
        except (ClientError, BotoCoreError) as error:
            if self._last is None:
                raise
            return self._last, str(error)
        return self._last, ""

    def _tree(self) -> dict[str, str]:
        pages = self._aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=PATH, Recursive=True)
        return {
            parameter["Name"].removeprefix(f"{PATH}/"): parameter["Value"]
            for page in pages
            for parameter in page["Parameters"]
        }
