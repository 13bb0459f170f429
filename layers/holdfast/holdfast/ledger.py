"""What must not be forgotten: one page per guardrail and target, and behind it the closed records.

A page is one DynamoDB item, so the whole memory of a target costs one read:

    guardrail, target   the key
    open                the open record, while there is one
    due, pending        when the watch must look again (epoch seconds), and the constant key of the sparse index
    baseline            the last known good state
    allowed             the state that a principal's exemption allowed
    told                what was told last of a violation that stands, so that it is told once
    contest             how often it was fixed of late
    blind               set while AWS refuses to show it
    rev                 counts the writes; every write is conditional on the one it has seen

What is known of a guardrail as a whole lies under its `#survey`, the clocks of the watch under `watch`.
History has a partition of its own, `<guardrail>#history`, since every sweep reads all of the guardrail's: closed
records, `<target>#record#<id>`, which expire, and versions of baselines, `<target>#baseline#<version>`.
What one actor broke within an hour is counted under `actor`, `<ARN>#<hour>`; which deliveries had more than there was
time for, and asked for looks at the rest, stands under `handed-on`.
The ledger is not a lock on safety: when DynamoDB fails the page is `lost`, fixes and messages go ahead, and the
invocation fails at the end.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from holdfast import shape
from holdfast.aws import Aws, error_code
from holdfast.contest import HOUR, Contest
from holdfast.message import slim
from holdfast.model import ApiCall, Outcome, Record
from holdfast.value import Value

INDEX = "due"
PENDING = {"S": "pending"}
SURVEY = "#survey"
HISTORY = "#history"
ACTOR = "actor"
HANDED_ON = "handed-on"
WATCH = "watch"
BLIND = "Holdfast can't look at it"
STANDING = (Outcome.AUDITED, Outcome.EXEMPT, Outcome.ESCALATED)
DAY = 86_400
CONDITION = {"ConditionalCheckFailedException", "ConditionalCheckFailed"}
CONFLICT = {"TransactionConflictException", "TransactionConflict"}  # botocore does not try these again
CONFLICTS = 3  # tries of one write
RECORD = 150_000  # bytes: an item has at most 400 KB (DynamoDB guide, "Quotas"), and a page holds more than its record


class LedgerLost(RuntimeError):
    """The ledger could not be read or written. What was fixed is fixed and told; the event must come again."""


class Moved(Exception):
    """Another run wrote the page since it was read."""


class Mark(StrEnum):
    """What the watch wants to know of a guardrail: when it answered a canary, and began a sweep that it finished.

    Of the watch itself: when the call was made that CloudTrail has told of.
    """

    ANSWERED = "answered"
    SWEPT = "swept"


class Clock(StrEnum):
    """What the watch does from time to time."""

    SWEEP = "#sweep"
    CANARY = "#canary"


class Round(Value):
    """When the watch last did it, and when it is to be done again (epoch seconds); 0 if it never was."""

    last: int = 0
    next: int = 0


class Baseline(Value):
    """A last known good state, as plain JSON (None: that the thing is gone is good).

    `by` is the principal who made it so; empty at first sight, when it is provisional. `at` is when it was seen.
    `moved_to` is the ARN under which the thing was made again: that one has a baseline of its own.
    """

    version: int
    state: Any
    by: str = ""
    at: int = 0
    moved_to: str = ""


class Allowed(Value):
    """The state that an exemption for one principal allowed: a look without an actor lets it stand.

    `at` is when it was seen (epoch seconds).
    """

    exemption: str
    state: Any
    at: int = 0


class Told(Value):
    """The last message about a target."""

    outcome: str
    what: str


class Ledger(Value):
    """The table. `days` is how long closed records are kept."""

    aws: Aws
    table: str
    days: int = 400

    def page(self, guardrail: str, target: str) -> "Page":
        """One consistent read. Never raises for DynamoDB's sake: the page is then `lost`."""
        page = Page(self, guardrail, target)
        page.load()
        return page

    def is_known(self, guardrail: str, target: str) -> bool:
        """Whether a look has left anything. Raises LedgerLost: what nobody can tell must not be passed over."""
        page = self.page(guardrail, target)
        page.must_be_known()
        return bool(page.rev)

    def known(self, guardrail: str) -> Iterator[str]:
        """What a sweep must look at though nothing else may name it: there when last seen, in hand, or told of."""
        pages = self._query(KeyConditionExpression="guardrail = :g", ExpressionAttributeValues={":g": {"S": guardrail}})
        for item in pages:
            baseline = json.loads(item["baseline"]["S"]) if "baseline" in item else {}
            is_there = baseline.get("state") is not None and not baseline.get("moved_to")
            if is_there or "open" in item or "told" in item:
                yield item["target"]["S"]

    def due(self, now: int) -> Iterator[tuple[str, str, int]]:
        """Guardrail, target and due time of every page that wants a look by now."""
        pages = self._query(
            IndexName=INDEX,
            KeyConditionExpression="pending = :p AND due <= :now",
            ExpressionAttributeValues={":p": PENDING, ":now": {"N": str(now)}},
        )
        yield from ((item["guardrail"]["S"], item["target"]["S"], int(item["due"]["N"])) for item in pages)

    def postpone(self, guardrail: str, target: str, seen: int, until: int) -> None:
        """So that a look which keeps failing is not asked for every minute; nothing if the page changed meanwhile."""
        self._update(
            Key=_key(guardrail, target),
            UpdateExpression="SET due = :until",
            ConditionExpression="due = :seen",
            ExpressionAttributeValues={":until": {"N": str(until)}, ":seen": {"N": str(seen)}},
        )

    def count(self, actor: str, hour: int) -> int:
        """One more of the fixes that an actor caused in this hour (since the epoch): how many these are.

        0 when DynamoDB fails: what counts fixes must not stand in the way of one.
        """
        try:
            answer = self.aws.apply(
                ApiCall(
                    "dynamodb",
                    "update_item",
                    {
                        "TableName": self.table,
                        "Key": _key(ACTOR, f"{actor}#{hour}"),
                        "UpdateExpression": "ADD fixes :one SET expires = :later",
                        "ExpressionAttributeValues": {":one": {"N": "1"}, ":later": {"N": str((hour + 2) * HOUR)}},
                        "ReturnValues": "UPDATED_NEW",
                    },
                )
            )
        except (ClientError, BotoCoreError):
            return 0
        return int(answer["Attributes"]["fixes"]["N"])

    def may_tell(self, actor: str, hour: int, fixes: int, every: int, delivery: str) -> bool:
        """One delivery, with its retries, tells of an actor, and of so many more fixes another one.

        Raises ClientError and BotoCoreError.
        """
        return self._update(
            Key=_key(ACTOR, f"{actor}#{hour}"),
            UpdateExpression="SET told = :fixes, teller = :delivery",
            ConditionExpression="attribute_not_exists(told) OR told <= :before OR teller = :delivery",
            ExpressionAttributeValues={
                ":fixes": {"N": str(fixes)},
                ":before": {"N": str(fixes - every)},
                ":delivery": {"S": delivery},
            },
        )

    def was_handed_on(self, guardrail: str, delivery: str) -> bool:
        """Whether an earlier attempt at this delivery has asked for looks at what it had no time for."""
        return bool(self._numbers(HANDED_ON, f"{guardrail}#{delivery}"))

    def hand_on(self, guardrail: str, delivery: str) -> None:
        self._update(
            Key=_key(HANDED_ON, f"{guardrail}#{delivery}"),
            UpdateExpression="SET expires = :later",
            ExpressionAttributeValues={":later": {"N": str(now() + DAY)}},
        )

    def survey_ends(self, guardrail: str) -> int:
        """Until when what a sweep finds counts as older than Holdfast; 0 if there was no sweep yet."""
        return self._numbers(guardrail, SURVEY).get("until", 0)

    def begin_survey(self, guardrail: str, until: int) -> None:
        """Marks the guardrail's first sweep; the watch tells its digest when it is over. Nothing at later sweeps.

        One that was not finished was not the first: it saw only a part.
        """
        self._update(
            Key=_key(guardrail, SURVEY),
            UpdateExpression="SET #until = :until, due = :until, pending = :p",
            ConditionExpression="attribute_not_exists(swept)",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":until": {"N": str(until)}, ":p": PENDING},
        )

    def end_survey(self, guardrail: str) -> None:
        self._update(Key=_key(guardrail, SURVEY), UpdateExpression="REMOVE due, pending")

    def mark(self, guardrail: str, mark: Mark, at: int) -> None:
        """Never back in time: what comes late says nothing new."""
        self._update(
            Key=_key(guardrail, SURVEY),
            UpdateExpression="SET #mark = :at",
            ConditionExpression="attribute_not_exists(#mark) OR #mark < :at",
            ExpressionAttributeNames={"#mark": mark.value},
            ExpressionAttributeValues={":at": {"N": str(at)}},
        )

    def marked(self, guardrail: str) -> Mapping[Mark, int]:
        """Each mark's time; 0 where there is none."""
        found = self._numbers(guardrail, SURVEY)
        return {mark: found.get(mark.value, 0) for mark in Mark}

    def round(self, clock: Clock) -> Round:
        found = self._numbers(WATCH, clock.value)
        return Round(found.get("last", 0), found.get("next", 0))

    def set_round(self, clock: Clock, done: Round) -> None:
        self._update(
            Key=_key(WATCH, clock.value),
            UpdateExpression="SET #last = :last, #next = :next",
            ExpressionAttributeNames={"#last": "last", "#next": "next"},
            ExpressionAttributeValues={":last": {"N": str(done.last)}, ":next": {"N": str(done.next)}},
        )

    def standing(self, guardrail: str) -> Iterator[tuple[str, Told, Baseline | None]]:
        """Target, last message and baseline of every page, for a digest."""
        pages = self._query(
            KeyConditionExpression="guardrail = :g",
            FilterExpression="attribute_exists(rev)",
            ExpressionAttributeValues={":g": {"S": guardrail}},
        )
        for item in pages:
            unseen = Told(Outcome.ESCALATED.value, BLIND) if "blind" in item else Told("", "")
            told = _parsed(Told, item, "told") or unseen
            yield item["target"]["S"], told, _parsed(Baseline, item, "baseline")

    def _numbers(self, guardrail: str, name: str) -> dict[str, int]:
        """The numbers of an item that is no page."""
        answer = self.aws.client("dynamodb").get_item(TableName=self.table, Key=_key(guardrail, name))
        return {key: int(value["N"]) for key, value in answer.get("Item", {}).items() if "N" in value}

    def _update(self, **arguments: Any) -> bool:
        """UpdateItem; False, and nothing, where its condition does not hold or another transaction has the item."""
        try:
            self.aws.apply(ApiCall("dynamodb", "update_item", {"TableName": self.table, **arguments}))
        except ClientError as error:
            if not _is_moved(error):
                raise
            return False
        return True

    def _query(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        pages = self.aws.client("dynamodb").get_paginator("query").paginate(TableName=self.table, **arguments)
        for page in pages:
            yield from page["Items"]


@dataclass
class Page:
    """All that is known of one target. It is changed only by the methods that write it."""

    ledger: Ledger
    guardrail: str
    target: str
    rev: int = 0
    open: Record | None = None
    baseline: Baseline | None = None
    allowed: Allowed | None = None
    told: Told | None = None
    contest: Contest | None = None
    blind: bool = False
    due: int = 0
    lost: Exception | None = None

    def load(self) -> None:
        try:
            answer = self.ledger.aws.client("dynamodb").get_item(
                TableName=self.ledger.table, Key=_key(self.guardrail, self.target), ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            self.lost = error
            return
        item = answer.get("Item", {})
        self.rev, self.due = (int(item[name]["N"]) if name in item else 0 for name in ("rev", "due"))
        self.open, self.baseline = _parsed(Record, item, "open"), _parsed(Baseline, item, "baseline")
        self.allowed, self.told = _parsed(Allowed, item, "allowed"), _parsed(Told, item, "told")
        self.contest, self.blind = _parsed(Contest, item, "contest"), "blind" in item

    def must_be_known(self) -> None:
        """Raises LedgerLost if DynamoDB failed: for when only changing nothing is at stake."""
        if self.lost:
            raise LedgerLost(f"{self.guardrail} {self.target}: {self.lost}") from self.lost

    def keep(self, record: Record, due: int) -> None:
        """The record is open, and the watch looks at it when it is due. Raises Moved if another run was here."""
        self._commit({"open": record, "contest": self.contest}, due)
        self.open = record

    def remember(self, baseline: Baseline | None, told: Told | None = None) -> None:
        """A compliant target: its baseline, and that nothing is wrong any more. Costs nothing when both are known."""
        if (baseline, told, None) == (self.baseline, self.told, self.allowed):
            return
        try:
            self._commit({"baseline": baseline, "told": told, "allowed": None}, 0, self._versioned(baseline))
        except Moved:
            return  # the other run has seen the same, or something newer
        self.must_be_known()

    def sees(self, something: bool = True) -> None:
        """Whether AWS shows the target; what else is known stays. Costs nothing when that is known. Raises Moved."""
        if self.blind == something:
            self._commit({"blind": None if something else True}, self.due)
            self.blind = not something

    def inherit(self, baseline: Baseline) -> None:
        """The baseline of what it takes the place of; what else is known of it stays. As `remember` otherwise."""
        try:
            self._commit({"baseline": baseline}, self.due, self._versioned(baseline))
        except Moved:
            return
        self.must_be_known()

    def close(
        self,
        record: Record,
        baseline: Baseline | None,
        allowed: Allowed | None = None,
        due: int = 0,
        standing: str = "",
        hidden: bool = False,
    ) -> None:
        """The record becomes history and the page is free again: both or neither.

        Where AWS shows nothing (`hidden`), what was told and allowed before stays.
        A page that another run has written meanwhile was told and closed by it; or else that run has left to this one
        what it found, and there must be another look: raises Moved. Raises LedgerLost if DynamoDB failed.
        """
        told = Told(record.outcome, standing or record.what) if record.outcome in STANDING else None
        values: dict[str, Any] = {"open": None, "told": told, "baseline": baseline, "allowed": allowed}
        if hidden:
            is_news = record.outcome == Outcome.ESCALATED.value
            values |= {"told": self.told or told, "allowed": self.allowed, "blind": True if is_news else None}
        history = {"record": _text(record), "expires": {"N": str(record.closed + self.ledger.days * DAY)}}
        puts = [self._put(f"record#{record.id}", history), *self._versioned(baseline)]
        try:
            self._commit(values | {"contest": self.contest}, due, puts)
        except Moved:
            now_open = self.ledger.page(self.guardrail, self.target).open
            if now_open and now_open.delivery == record.delivery:
                raise
            return
        self.must_be_known()

    def disturb(self) -> None:
        """The run that holds the open record may have looked for the last time: it can't close without another look.

        Raises Moved if it has closed already, and ClientError and BotoCoreError.
        """
        update = {
            "TableName": self.ledger.table,
            "Key": _key(self.guardrail, self.target),
            "UpdateExpression": "SET rev = rev + :one",
            "ConditionExpression": "attribute_exists(#open)",
            "ExpressionAttributeNames": {"#open": "open"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
        try:
            self.ledger.aws.apply(ApiCall("dynamodb", "update_item", update))
        except ClientError as error:
            if _is_moved(error):
                raise Moved(self.target) from error
            raise

    def settle(self) -> None:
        """The fight is over and told. Raises Moved and LedgerLost."""
        self.contest = None
        self._commit({"contest": None}, 0)
        self.must_be_known()

    def expect(self, due: int) -> None:
        """What stands is looked at again when it is due, at 0 never. Costs nothing when that is known.

        Raises Moved and LedgerLost.
        """
        if self._or_calm(due) != self.due:
            self._commit({"contest": self.contest}, due)
            self.must_be_known()

    def _or_calm(self, due: int) -> int:
        """While there is a fight, somebody must see when it is over."""
        return due or (self.contest.ends if self.contest and self.contest.is_fought else 0)

    def _versioned(self, baseline: Baseline | None) -> list[dict[str, Any]]:
        if baseline is None or baseline == self.baseline:
            return []
        return [self._put(f"baseline#{baseline.version}", {"version": _text(baseline)})]

    def _put(self, suffix: str, values: dict[str, Any]) -> dict[str, Any]:
        item = {**_key(f"{self.guardrail}{HISTORY}", f"{self.target}#{suffix}"), **values}
        return {"Put": {"TableName": self.ledger.table, "Item": item}}

    def _commit(self, values: Mapping[str, Any], due: int, puts: list[dict[str, Any]] | None = None) -> None:
        if self.lost:
            return
        due = self._or_calm(due)
        update = self._update(values, due)
        call = ApiCall("dynamodb", "update_item", update)
        if puts:
            call = ApiCall("dynamodb", "transact_write_items", {"TransactItems": [*puts, {"Update": update}]})
        for _ in range(CONFLICTS):
            try:
                self.ledger.aws.apply(call)
                self.rev, self.due = self.rev + 1, due
                return
            except ClientError as error:
                if CONFLICT & _codes(error):
                    continue  # another run's transaction is under way, and may yet come to nothing
                if CONDITION & _codes(error):
                    raise Moved(self.target) from error
                self.lost = error
                return
            except BotoCoreError as error:
                self.lost = error
                return
        raise Moved(self.target)

    def _update(self, values: Mapping[str, Any], due: int) -> dict[str, Any]:
        """The arguments of UpdateItem. None removes an attribute; `rev` must still be what was read."""
        given = {name: _text(value) for name, value in values.items() if value is not None}
        given |= {"rev": {"N": str(self.rev + 1)}} | ({"due": {"N": str(due)}, "pending": PENDING} if due else {})
        removed = [name for name, value in values.items() if value is None] + ([] if due else ["due", "pending"])
        sets = ", ".join(f"#{name} = :{name}" for name in given)
        return {
            "TableName": self.ledger.table,
            "Key": _key(self.guardrail, self.target),
            "UpdateExpression": f"SET {sets}" + (f" REMOVE {', '.join('#' + n for n in removed)}" if removed else ""),
            "ConditionExpression": "#rev = :seen" if self.rev else "attribute_not_exists(#rev)",
            "ExpressionAttributeNames": {f"#{name}": name for name in [*given, *removed]},
            "ExpressionAttributeValues": {f":{name}": value for name, value in given.items()}
            | ({":seen": {"N": str(self.rev)}} if self.rev else {}),
        }


def now() -> int:
    return int(time.time())


def _key(guardrail: str, target: str) -> dict[str, Any]:
    return {"guardrail": {"S": guardrail}, "target": {"S": target}}


def _text(value: Any) -> dict[str, str]:
    """Of a record without what is too much for an item."""
    text = json.dumps(shape.plain(value))
    if isinstance(value, Record) and len(text) > RECORD:
        text = json.dumps(shape.plain(slim(value, RECORD, "too large for the ledger")))
    return {"S": text}


def _parsed(kind: Any, item: Mapping[str, Any], name: str) -> Any:
    return shape.remembered(kind, json.loads(item[name]["S"]), f"ledger.{name}") if name in item else None


def _codes(error: ClientError) -> set[str]:
    """Its own, and those of a transaction's parts (DynamoDB API, TransactWriteItems, CancellationReasons)."""
    reasons = error.response.get("CancellationReasons") or ()
    return {str(reason.get("Code")) for reason in reasons} | {error_code(error)}


def _is_moved(error: ClientError) -> bool:
    return bool((CONDITION | CONFLICT) & _codes(error))
