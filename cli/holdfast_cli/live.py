"""One event and the caller's own account: what a guardrail sees there, and what it would do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from holdfast import BadEvent, Event, Lacking, Misshapen, Place

from holdfast_cli import rules
from holdfast_cli.deployment import Deployment, handler
from holdfast_cli.errors import Complaint, refused
from holdfast_cli.preview import Sight, Window, preview
from holdfast_cli.template import section


@dataclass(frozen=True)
class Look:
    """What is so in the account. `notes` are what a person must know to read it rightly."""

    guardrail: str
    here: Place
    mode: str
    sights: tuple[Sight, ...]
    notes: tuple[str, ...] = ()


def look(guardrail: str, raw: Mapping[str, Any], deployment: Deployment, role: str = "") -> Look:
    """Reads the account, and writes nothing. `role` is the function's own. Raises Complaint where it can't tell."""
    try:
        return _look(guardrail, raw, deployment, _window(str(raw.get("region") or ""), role))
    except (ClientError, BotoCoreError) as error:
        raise refused(error) from None
    except Lacking as lacking:
        raise Complaint(f"{lacking}; without it the guardrail is off: give it with --parameter or --settings") from None
    except (BadEvent, Misshapen) as error:
        raise Complaint(f"{guardrail} can't use this: {error}") from None


def _window(region: str, role: str) -> Window:
    """Where the event happened, there the function would look; an event that doesn't say is the caller's Region's."""
    region = region or botocore.session.get_session().get_config_variable("region") or ""
    if not region:
        raise Complaint("no Region: the event names none; set AWS_DEFAULT_REGION")
    caller = Window(Place("", region)).client("sts").get_caller_identity()
    return Window(Place(caller["Account"], region, caller["Arn"].split(":")[1], role))


def _look(guardrail: str, raw: Mapping[str, Any], deployment: Deployment, window: Window) -> Look:
    accounts = {str(account) for account in (raw.get("account"), raw["detail"].get("recipientAccountId")) if account}
    if foreign := accounts - {window.here.account}:
        raise Complaint(f"an event of account {min(foreign)}; your credentials are for {window.here.account}")
    choices, settings = deployment.choices(guardrail), deployment.settings(guardrail)
    event = Event.parse(raw, window.here)
    failed = bool(raw["detail"].get("errorCode"))
    sights = [] if failed else preview(handler(guardrail), event, window, choices, settings)
    notes = tuple(_notes(guardrail, raw, window.here.role))
    return Look(guardrail, window.here, choices.mode(guardrail), tuple(sights), notes)


def _notes(guardrail: str, raw: Mapping[str, Any], role: str) -> Iterator[str]:
    if raw["detail"].get("errorCode"):
        yield "the call failed, so it changed nothing: the rule drops such events"
    elif guardrail not in rules.starts(raw):
        yield rules.why_not(guardrail, raw)
    if handler(guardrail).baseline:
        yield "the ledger is not read: what the function remembers of the target (its baseline) is not known here"
    if section(guardrail).knows_role and not role:
        yield "the function's own role is not known here, so what it would write doesn't let it in: give it with --role"
