"""Malformed, truncated and hostile events: our samples and, where HOLDFAST_RECORDS names a folder, real records.

Each is cut, bent and filled with what attackers write: other types, other accounts, wildcards, paths, secrets, markup,
links, right-to-left marks, endless text and endless depth. In an account where all is as it should be no event leads to
a write; each run ends with an outcome or an error of the event; no secret and no live markup is in any message.
"""

import json
import os
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from holdfast import BadEvent
from holdfast.guardrail import NotOurs
from holdfast.visit import Delivery
from holdfast_cli import events, project, rules
from holdfast_cli.errors import Complaint
from support import INCIDENTS, ME, record_files

from faults.harness import Figure, begun, many, run, world

KEY, TOKEN = "AKIAIOSFODNN7EXAMPLE", "FwoGZXIvYXdzEBYaDHqa0AP1"
SECRETS = (KEY, TOKEN)
HOSTILE: tuple[Any, ...] = (
    None,
    "",
    "*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::lake",
    "lake",
    "../../lake",
    "audit",
    f"arn:aws:kms:eu-west-1:{ME}:key/*",
    "arn:aws:kms:eu-west-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "999999999999",
    f"access key {KEY}",
    f"https://lake.s3.amazonaws.com/x?X-Amz-Security-Token={TOKEN}&X-Amz-Signature={TOKEN}",
    "[click](https://evil.example) <b>now</b> `rm`",
    "\u202eevil\u202c\r\nSubject: all is well\x00",
    "x" * 100_000,
    -1,
    2**63,
    True,
    1e308,
    [],
    {},
    {"items": [{"items": [[[]]]}]},
    json.loads("[" * 300 + "]" * 300),
)


@cache
def samples(guardrail: str) -> list[dict[str, Any]]:
    """The events that start this guardrail, as they are."""
    real = record_files(Path(os.environ["HOLDFAST_RECORDS"])) if os.environ.get("HOLDFAST_RECORDS") else ()
    found = [event for path in sorted([*project.EVENTS.glob(f"{guardrail}/*.json"), *real]) for event in read(path)]
    return [event for event in found if guardrail in rules.starts(event)]


def read(path: Path) -> list[dict[str, Any]]:
    try:
        return events.read(path)
    except Complaint:
        return []


def bent(event: Any, lot: random.Random) -> Any:
    """The event after one to four accidents. Mostly it is still one of this account."""
    text = json.dumps(event)
    made = json.loads(text.replace(account_of(event), ME) if lot.random() < 0.9 else text)
    for _ in range(lot.randint(1, 4)):
        made = lot.choice(ACCIDENTS)(made, lot)
    return made


def account_of(event: Any) -> str:
    return str(event.get("account") or event["detail"].get("recipientAccountId") or "no account")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


def replaced(event: Any, lot: random.Random) -> Any:
    """Something hostile in the place of anything."""
    if found := list(places(event)):
        where, key = lot.choice(found)
        where[key] = deepcopy(lot.choice(HOSTILE))
    return event


def removed(event: Any, lot: random.Random) -> Any:
    if found := list(places(event)):
        where, key = lot.choice(found)
        del where[key]
    return event


def exchanged(event: Any, lot: random.Random) -> Any:
    """Two values in each other's place."""
    if found := list(places(event)):
        (one, first), (other, second) = lot.choice(found), lot.choice(found)
        if (one is not other) and second in keys(other) and first in keys(one):
            with suppress(RecursionError):  # a value that is nested as deep as can be
                one[first], other[second] = deepcopy(other[second]), deepcopy(one[first])
    return event


def keys(value: Any) -> Any:
    return value.keys() if isinstance(value, dict) else range(len(value))


def wrapped(event: Any, lot: random.Random) -> Any:
    """One thing as a list of it, or the other way round, as old records have it."""
    if found := list(places(event)):
        where, key = lot.choice(found)
        where[key] = [where[key]] if lot.random() < 0.5 else {"items": [where[key]]}
    return event


def loaded(event: Any, lot: random.Random) -> Any:
    """The fields that a message shows, with all that an attacker can put there."""
    if isinstance(event, dict) and isinstance(event.get("detail"), dict):
        text = " ".join(str(each)[:300] for each in lot.sample(HOSTILE[10:15], 3))
        event["detail"] |= {"userAgent": text, "sourceIPAddress": text, "eventID": lot.choice((text, "e", ""))}
        event["detail"]["userIdentity"] = {"type": text, "arn": f"arn:aws:sts::{ME}:assumed-role/r/{text}"}
    return event


def truncated(event: Any, lot: random.Random) -> Any:
    """Cut anywhere, and closed again as a careless forwarder would."""
    text = json.dumps(event)
    text = text[: lot.randrange(len(text))]
    for end in ("", '"', '"}', "}", "}}", '"}}', "}}}", '"}}}', "]}}", "null}}"):
        try:
            return json.loads(text + end)
        except ValueError:
            continue
    return {"detail": text}


ACCIDENTS: tuple[Callable[[Any, random.Random], Any], ...] = (
    replaced,
    replaced,
    removed,
    exchanged,
    wrapped,
    loaded,
    truncated,
)


def is_clean(error: Exception | None) -> bool:
    """The event's fault, told as such; several targets' come in a group.

    For a Region that isn't there moto has a KeyError; with AWS botocore finds no host (EndpointConnectionError).
    """
    if isinstance(error, ExceptionGroup):
        return all(is_clean(inner) for inner in error.exceptions)
    if error is None or isinstance(error, BadEvent | NotOurs) or type(error).__module__.startswith("botocore"):
        return True
    return isinstance(error, KeyError) and "moto" in traceback.extract_tb(error.__traceback__)[-1].filename


@pytest.mark.parametrize("guardrail", INCIDENTS)
def test_no_bent_event_leads_to_a_write_or_tells_a_secret(guardrail: str, figure: Figure) -> None:
    lot, build = random.Random(guardrail), next(iter(INCIDENTS[guardrail].values()))  # noqa: S311 - not for secrets
    with begun(build) as scene:
        incident, guard = scene.incident, project.load(guardrail).handler
        here = world(guardrail, incident.settings, **incident.shared)
        for number in range(many(150, 100_000)):
            event = bent(lot.choice(samples(guardrail)), lot)
            delivery = Delivery(str(number), 2_000_000_000)
            ended = run(lambda: guard.handle(event, here, delivery))  # noqa: B023
            assert is_clean(ended.error), (ended.error, event)
            assert not ended.line.changes, event
            assert not [told for secret in SECRETS for told in ended.line.said if secret in told], event
            figure("events")
