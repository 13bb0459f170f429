"""CloudTrail records, one by one, through the rules and the guardrails: our samples, or your own real ones.

HOLDFAST_RECORDS names their folder. Its files, at any depth, are all that `holdfast_cli.events` reads, also zipped.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import incidents.kms_key_deletion  # they teach moto the calls that it lacks: who comes first must make no difference
import incidents.s3_public_access_block  # noqa: F401
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from holdfast import BadEvent, Event, Place
from holdfast.aws import READS
from holdfast.visit import Delivery
from holdfast.world import World
from holdfast_cli import events, project, rules
from holdfast_cli.errors import Complaint
from support import ENGINE_WRITES, FAR_FUTURE, HERE, ME, REGION, account, record_files, world

FOLDER = Path(os.environ.get("HOLDFAST_RECORDS") or project.EVENTS)
DELIVERY = Delivery("delivery-1", FAR_FUTURE)


@dataclass(frozen=True)
class Sample:
    """One record in its envelope, and where it was."""

    name: str
    event: dict[str, Any]

    @property
    def place(self) -> Place:
        """Where it happened. Trimmed records tell it at most by an ARN."""
        detail, text = self.event["detail"], json.dumps(self.event)
        arn = re.search(r"arn:(aws[\w-]*):[\w-]+:[\w-]*:\d{12}:", text)
        here = events.account(detail) or ME
        return Place(here, detail.get("awsRegion") or REGION, arn[1] if arn else "aws")


def read(path: Path) -> Iterator[Sample | str]:
    """The file's records, and a line for each that is none."""
    try:
        for name, record in events.records(path):
            yield wrapped(name, record)
    except Complaint as complaint:
        yield str(complaint)


def wrapped(name: str, record: Any) -> Sample | str:
    try:
        return Sample(name.removeprefix(f"{FOLDER}/"), events.enveloped(record, name))
    except Complaint as complaint:
        return str(complaint)


@cache
def found() -> list[Sample | str]:
    return [one for path in record_files(FOLDER) for one in read(path)]


def samples() -> list[Sample]:
    return [one for one in found() if isinstance(one, Sample)]


def matched() -> list[tuple[Sample, str]]:
    return [(sample, guardrail) for sample in samples() for guardrail in rules.starts(sample.event)]


MATCHED = [pytest.param(sample, guardrail, id=f"{sample.name}-{guardrail}") for sample, guardrail in matched()]


def test_nothing_in_the_folder_is_refused() -> None:
    assert [one for one in found() if isinstance(one, str)] == []


def test_some_records_start_a_guardrail() -> None:
    """A folder that has none would prove nothing."""
    counts = Counter(f"{guardrail} {sample.event['detail']['eventName']}" for sample, guardrail in matched())
    for what, number in sorted(counts.items()):
        print(f"{number:6} {what}")
    print(f"{len(samples())} records, {len({id(sample) for sample, _ in matched()})} of them start a guardrail")
    assert matched()


def test_no_failed_call_starts_a_guardrail() -> None:
    assert [sample.name for sample, _ in matched() if sample.event["detail"].get("errorCode")] == []


@pytest.mark.parametrize(("sample", "guardrail"), MATCHED)
def test_a_record_leads_to_something_it_names_or_fails_loudly(sample: Sample, guardrail: str) -> None:
    """A target that is made up, or none without an error, would leave a broken thing unseen."""
    place, text = sample.place, json.dumps(sample.event)
    try:
        event = Event.parse(sample.event, place)
        targets = list(project.load(guardrail).handler.targets(event))
    except BadEvent as error:
        print(f"refused: {error}")
        return
    assert all(target.name in text or target.account in text for target in targets)
    assert targets or event.owner not in ("", place.account) or is_vain(sample.event)


def moved(sample: Sample) -> dict[str, Any]:
    """The same in moto's account and Region. A trimmed record has no account that could be replaced."""
    text, place = json.dumps(sample.event), sample.place
    if re.fullmatch(r"[\w-]{9,}", place.account):
        text = text.replace(place.account, ME)
    if re.fullmatch(r"[\w-]{9,}", place.region):
        text = text.replace(place.region, REGION)
    event: dict[str, Any] = json.loads(text)
    detail = event["detail"] | {"recipientAccountId": ME, "awsRegion": REGION}
    return event | {"account": ME, "region": REGION, "detail": detail}


@pytest.mark.parametrize(("sample", "guardrail"), MATCHED)
def test_a_record_of_something_that_is_not_there_ends_well_and_changes_nothing(sample: Sample, guardrail: str) -> None:
    event, calls = moved(sample), list[str]()
    with account():
        here = world(guardrail)
        here.aws.session.register("before-call", lambda **call: calls.append(call["model"].name))
        _, settings = project.load(guardrail).handler.choices(here)
        ended = outcomes(event, here)
    stands_for_endpoints = "RouteTable" in event["detail"]["eventName"]  # of which there are none
    assert ended or settings is None or not is_own(event, guardrail) or stands_for_endpoints or is_vain(event)
    assert [name for name in calls if not name.startswith(READS) and name not in ENGINE_WRITES] == []


def outcomes(event: dict[str, Any], here: World) -> dict[str, str]:
    """How it ended. Raises whatever is neither an outcome nor a loud error."""
    try:
        ended: dict[str, str] = project.load(here.guardrail).handler.handle(event, here, DELIVERY)
    except (BadEvent, ExceptionGroup) as error:
        if not is_loud(error):
            raise
        return {"": f"failed: {error}"}
    return ended


def is_vain(event: dict[str, Any]) -> bool:
    """DeleteVpcEndpoints succeeds though nothing is there of what it is to delete, and says so (EC2 API)."""
    parts = (json.dumps(event["detail"].get(part)) for part in ("requestParameters", "responseElements"))
    asked, failed = (set(re.findall(r"vpce-\w+", part)) for part in parts)
    return bool(asked) and asked <= failed


def is_own(raw: dict[str, Any], guardrail: str) -> bool:
    """CloudTrail hands a caller's account the record of a call on another account's thing, too."""
    event = Event.parse(raw, HERE)
    owners = {event.owner, *(target.account for target in project.load(guardrail).handler.targets(event))}
    return owners <= {"", ME}


def is_loud(error: Exception) -> bool:
    """An error of the event or of AWS, which ends in a queue with an alarm: not one of our own code."""
    if isinstance(error, ExceptionGroup):
        return all(is_loud(inner) for inner in error.exceptions)
    return isinstance(error, BadEvent | ClientError | BotoCoreError)
