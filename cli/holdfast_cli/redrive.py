"""What lies in the stack's two dead-letter queues, in words, and its way back to the function it was meant for.

EventBridge and its Scheduler leave the event itself, and say in attributes for whom it was and why that failed
(EventBridge user guide, "Using dead-letter queues"); Lambda leaves an invocation record around the event (Lambda
developer guide, "Capturing records of asynchronous invocations"). PutEvents refuses `aws.*` sources, so what goes back
goes straight to the function. Nothing is lost by that: an event is a hint, and the function looks at what is so now.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from holdfast import Event, Place
from holdfast.event import API_CALL, CANARY, LOOK, SWEEP, mapping
from holdfast.ledger import WATCH

from holdfast_cli import project
from holdfast_cli.deployment import handler, outputs
from holdfast_cli.errors import Complaint, refused

QUEUES = {"undelivered": "UndeliveredQueueUrl", "failed": "FailedQueueUrl"}
OWN = {LOOK: "a look", SWEEP: "a sweep over everything", CANARY: "a canary"}
MOST = 1000  # letters of one queue that are taken in hand at once
LOOKED_AT = 10_000  # messages of one queue among which they are looked for: all must be seen while they are hidden
HIDDEN = 900  # seconds that they stay hidden from others if this program dies: SQS shows nothing without taking it
WAIT = 1  # second that a receive waits: a short poll asks only some of SQS's servers and may find nothing
BATCH = 10  # messages of one call: SQS API, ReceiveMessage


class Unreadable(ValueError):
    """Not what EventBridge, its Scheduler or Lambda would have left there."""


@dataclass(frozen=True)
class Letter:
    """A message, in words, and its `body` as it lies there.

    `trouble` says why it can't go back; `went` what came of sending or discarding it: empty if it stays.
    """

    id: str
    queue: str
    since: int
    guardrail: str = ""
    what: str = ""
    targets: tuple[str, ...] = ()
    why: str = ""
    tries: int = 0
    trouble: str = ""
    went: str = ""
    body: str = ""


@dataclass(frozen=True)
class Held:
    """A letter in hand: `function` is whom it was meant for, `payload` what it gets; `receipt` deletes the message."""

    letter: Letter
    receipt: str
    function: str = ""
    payload: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which letters: all, unless something is given. `since` are epoch seconds, `ids` may be beginnings of ids."""

    guardrail: str = ""
    ids: tuple[str, ...] = ()
    since: float = 0

    def __contains__(self, letter: Letter) -> bool:
        named = not self.ids or letter.id.startswith(self.ids)
        return named and self.guardrail in ("", letter.guardrail) and letter.since >= self.since


def moment(text: str) -> float:
    """`2026-01-31T12:00` (UTC unless it says otherwise), or `90m`, `6h`, `2d` ago. Raises Complaint."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if text[:-1].isdecimal() and text[-1] in units:
            return (datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})).timestamp()
        given = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Complaint(f"{text!r} is no time: write 2026-01-31T12:00, or 90m, 6h, 2d for so long ago") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


@dataclass
class Haul:
    """What was taken in hand of one queue: the letters that are wanted, and the receipts of all that was looked at."""

    held: list[Held] = field(default_factory=list)
    receipts: dict[str, str] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.held) >= MOST or len(self.receipts) >= LOOKED_AT


def left(hauls: Mapping[str, Haul]) -> str:
    """What may not have been looked at, in words; empty if that was all."""
    full = [f"only {len(haul.receipts)} of queue {name} were looked at" for name, haul in hauls.items() if haul.full]
    return f"there may be more: {', '.join(full)}; run it again when these are gone" if full else ""


class Office:
    """The dead letters of one stack. Raises Complaint where there is no such stack."""

    def __init__(self, stack: str) -> None:
        known = outputs(stack)
        self._queues = {name: known[output] for name, output in QUEUES.items() if output in known}
        if self._queues.keys() != QUEUES.keys():
            raise Complaint(f"stack {stack} is not Holdfast's: it has no outputs {', '.join(QUEUES.values())}")
        self._functions = {f"{stack}-{name}": name for name in (*project.guardrails(), WATCH)}
        self._sqs, self._lambda = boto3.client("sqs"), boto3.client("lambda")

    @contextmanager
    def letters(self, wanted: Wanted) -> Iterator[tuple[list[Held], str]]:
        """What is wanted of what lies there, the oldest first; and what may be left of it, in words. Raises Complaint.

        Whatever was not sent or discarded is visible again at the end.
        """
        hauls = {name: Haul() for name in self._queues}
        try:
            for name, haul in hauls.items():
                self._take(name, wanted, haul)
            held = [each for haul in hauls.values() for each in haul.held]
            yield sorted(held, key=lambda each: each.letter.since), left(hauls)
        except (ClientError, BotoCoreError) as error:
            raise refused(error) from None
        finally:
            for name, haul in hauls.items():
                self._release(self._queues[name], [*haul.receipts.values()])

    def send(self, held: Held) -> Letter:
        """Hands it to its function, and deletes the message once Lambda has taken the event into its own queue."""
        if held.letter.trouble:
            return held.letter
        try:
            self._lambda.invoke(FunctionName=held.function, InvocationType="Event", Payload=held.payload.encode())
        except (ClientError, BotoCoreError) as error:
            return replace(held.letter, trouble=str(error))
        kept = self._delete(held)
        return replace(held.letter, went="sent", trouble=kept)

    def discard(self, held: Held) -> Letter:
        """Deletes the message for good, whatever it is."""
        kept = self._delete(held)
        return replace(held.letter, trouble=kept) if kept else replace(held.letter, went="discarded")

    def _delete(self, held: Held) -> str:
        """Why the message stays; empty when it is gone."""
        try:
            self._sqs.delete_message(QueueUrl=self._queues[held.letter.queue], ReceiptHandle=held.receipt)
        except (ClientError, BotoCoreError) as error:
            return f"it stays in the queue: {error}"
        return ""

    def _take(self, queue: str, wanted: Wanted, haul: Haul) -> None:
        """Until there is no more, or enough. What isn't wanted is not counted, or junk would hide the rest."""
        while not haul.full:
            answer = self._sqs.receive_message(
                QueueUrl=self._queues[queue],
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=WAIT,
                VisibilityTimeout=HIDDEN,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
            news = [message for message in answer.get("Messages", []) if message["MessageId"] not in haul.receipts]
            if not news:
                return
            haul.receipts |= {message["MessageId"]: message["ReceiptHandle"] for message in news}
            read = (self._read(queue, message) for message in news)
            haul.held += (each for each in read if each.letter in wanted)

    def _release(self, url: str, receipts: list[str]) -> None:
        """Visible again at once. What was deleted is passed over: SQS answers for each entry by itself."""
        for start in range(0, len(receipts), BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for number, receipt in enumerate(receipts[start : start + BATCH])
            ]
            self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]

    def _read(self, queue: str, message: Mapping[str, Any]) -> Held:
        since = int(message["Attributes"]["SentTimestamp"]) // 1000
        letter = Letter(message["MessageId"], queue, since, body=message["Body"])
        held = Held(letter, message["ReceiptHandle"])
        try:
            return self._failed(held, message) if queue == "failed" else self._undelivered(held, message)
        except Unreadable as error:
            return replace(held, letter=replace(letter, trouble=f"it can't be understood: {error}"))

    def _undelivered(self, held: Held, message: Mapping[str, Any]) -> Held:
        said = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
        spent = f" ({said['EXHAUSTED_RETRY_CONDITION']})" if said.get("EXHAUSTED_RETRY_CONDITION") else ""
        why = f"{said.get('ERROR_CODE', 'no reason given')}: {said.get('ERROR_MESSAGE', '')}{spent}"
        retries = said.get("RETRY_ATTEMPTS", "")
        tries = int(retries) + 1 if retries.isdecimal() else 1
        letter = replace(held.letter, why=why, tries=tries)
        return self._addressed(replace(held, letter=letter), said.get("TARGET_ARN", ""), _object(message["Body"]))

    def _failed(self, held: Held, message: Mapping[str, Any]) -> Held:
        record = _object(message["Body"])
        context, answer = mapping(record.get("requestContext")), mapping(record.get("responsePayload"))
        said = ": ".join(str(answer[name]) for name in ("errorType", "errorMessage") if answer.get(name))
        letter = replace(
            held.letter,
            why=f"{said or 'no error given'} ({context.get('condition', 'no condition given')})",
            tries=_whole(context.get("approximateInvokeCount")),
        )
        payload = record.get("requestPayload")
        if not isinstance(payload, Mapping):
            raise Unreadable("no requestPayload")
        return self._addressed(replace(held, letter=letter), str(context.get("functionArn", "")), payload)

    def _addressed(self, held: Held, arn: str, event: Mapping[str, Any]) -> Held:
        """With whom it was meant for and what it says. Only a function of this stack is ever called."""
        parts = arn.split(":")
        function = parts[6] if parts[2:3] == ["lambda"] and len(parts) > 6 else ""
        if function not in self._functions:
            raise Unreadable(f"meant for {arn or 'nobody'}, which is no function of this stack")
        letter = replace(held.letter, guardrail=self._functions[function])
        held = replace(held, letter=letter, function=function, payload=json.dumps(event))
        try:
            what, targets = _words(letter.guardrail, event, Place(parts[4], parts[3], parts[1]))
        except Exception as error:  # whatever somebody wrote into this one, the others are told
            return replace(held, letter=replace(letter, trouble=f"it can't be understood: {error!r}"))
        return replace(held, letter=replace(letter, what=what, targets=targets))


def _words(guardrail: str, raw: Mapping[str, Any], here: Place) -> tuple[str, tuple[str, ...]]:
    """What the event says happened, and to what. Raises what the function would, which is poison then."""
    if guardrail == WATCH:
        return "news of the watch's own call" if raw.get("detail-type") == API_CALL else "a tick of the watch", ()
    event = Event.parse(raw, here)
    if not event.is_call:
        return OWN[event.name], tuple(event.looks_at or ())
    when = f" at {event.time}" if event.time else ""
    return f"{event.name} by {event.actor}{when}", tuple(handler(guardrail).targets(event))


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("it is no JSON object")
    return value


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
