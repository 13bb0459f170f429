"""Faults on the way between botocore and AWS, for whatever guardrail is at work: none of them knows of this.

All goes through two of botocore's `before-send` handlers, one before and one behind the one by which moto answers. So
botocore's own retries see each fault as they would see AWS's. Sleeping moves the clock and takes no time.
"""

import importlib
import json
import os
import pkgutil
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import unquote_plus

import incidents as made
import support
import time_machine
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.model import OperationModel
from holdfast import Aws, Guardrail
from holdfast.aws import READS
from holdfast.guardrail import SURVEY_LASTS
from holdfast.ledger import Clock, Ledger, Mark, Round
from holdfast.model import Violation
from holdfast.settings import Defaults, Parameters
from holdfast.visit import Delivery
from holdfast.world import World
from holdfast_cli import project
from support import ALL_MODELS, ENGINE_WRITES, FAR_FUTURE, HERE, INCIDENTS, ME, REGION, Incident

LARGE: Final = os.environ.get("HOLDFAST_TORTURE") == "1"
KEYLESS: Final = "CustomKeyStore"  # a sweep sees a store by its keys, and that of these incidents has none
START: Final = 1_800_000_000
LASTS: Final = 60  # seconds that a function may run
NOWHERE: Final = "https://nowhere.invalid/"  # no imitation of AWS answers there
MINUTE, DAY = 60, 86_400
OTHERWISE: Final = {
    ("cloudtrail-logging", "DeleteTrail"),
    ("cloudtrail-logging", "DeleteTrail--first-sight"),
    ("kms-key-deletion", "DeleteImportedKeyMaterial"),
}

for module in pkgutil.iter_modules(made.__path__, "incidents."):
    importlib.import_module(module.name)
FEW: Final = {(guardrail, next(iter(found))) for guardrail, found in INCIDENTS.items()} | OTHERWISE


def many(small: int, large: int) -> int:
    """How often: in every test run, or in `make torture`."""
    return large if LARGE else small


def incidents() -> dict[str, Callable[[], Incident]]:
    """The builders of all incidents; in a small run of the first of each guardrail, and of those that end otherwise."""
    every = {(guardrail, name): build for guardrail, found in INCIDENTS.items() for name, build in found.items()}
    return {"-".join(key): build for key, build in every.items() if LARGE or key in FEW}


def few() -> dict[str, Callable[[], Incident]]:
    """Those of a small run, for what is too much for all."""
    return {f"{guardrail}-{name}": INCIDENTS[guardrail][name] for guardrail, name in sorted(FEW)}


class Died(BaseException):
    """The process is gone: no `except Exception` sees this."""


@dataclass
class Call:
    """An API call of a run. `done` says whether AWS has carried it out, whatever the caller was told."""

    number: int
    model: OperationModel
    attempts: int = 0
    done: bool = False
    lost: bool = False
    request: AWSPreparedRequest | None = None
    answer: bytes = b""

    @property
    def service(self) -> str:
        return self.model.service_model.service_name

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def reads(self) -> bool:
        return self.name.startswith(READS)

    @property
    def changes(self) -> bool:
        """True for what changes the account, and is neither book-keeping nor a message."""
        return not self.reads and self.name not in ENGINE_WRITES

    def __str__(self) -> str:
        return f"call {self.number}, {self.service}:{self.name}"


class Fault:
    """What happens to an attempt of a call, before AWS hears of it and behind."""

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        """May raise, or lead the request astray."""

    def behind(self, call: Call) -> AWSResponse | None:
        """May raise, or give another answer."""
        return None


@dataclass(frozen=True)
class Dies(Fault):
    """The process does, before or after AWS has carried the call out."""

    after: bool

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        if not self.after:
            raise Died(str(call))

    def behind(self, call: Call) -> AWSResponse | None:
        raise Died(str(call))


@dataclass(frozen=True)
class Answers(Fault):
    """An error, and the call is not carried out. `codes` by service; "" for all others."""

    status: int
    codes: Mapping[str, str]

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        request.url = NOWHERE

    def behind(self, call: Call) -> AWSResponse | None:
        return refusal(call.model, self.status, self.codes.get(call.service, self.codes[""]))


class Hangs(Fault):
    """No connection: the call is not carried out."""

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        raise ConnectTimeoutError(endpoint_url=request.url)


class LosesAnswer(Fault):
    """The call is carried out, and nobody hears of it. What botocore then tries again AWS may refuse."""

    def behind(self, call: Call) -> AWSResponse | None:
        call.lost = True
        raise ReadTimeoutError(endpoint_url="https://lost")


class Body(BytesIO):
    """As urllib3 hands it over."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def refusal(model: OperationModel, status: int, code: str) -> AWSResponse:
    """An error as the service's protocol writes it."""
    protocol, error = model.service_model.resolved_protocol, f"<Error><Code>{code}</Code><Message>no</Message></Error>"
    bodies = {
        "json": json.dumps({"__type": code, "message": "no"}),
        "rest-xml": error,
        "query": f"<ErrorResponse>{error}</ErrorResponse>",
        "ec2": f"<Response><Errors>{error}</Errors></Response>",
    }
    return AWSResponse(NOWHERE, status, HTTPHeaders(), Body(bodies[protocol].encode()))


Plan = Callable[[Call], Fault | None]
Figure = Callable[..., None]


@dataclass
class Line:
    """The calls of one run as they pass, and what was put on the bus."""

    plan: Plan = lambda call: None
    calls: list[Call] = field(default_factory=list)
    bus: list[dict[str, Any]] = field(default_factory=list)
    fault: Fault | None = None

    def begin(self, model: OperationModel) -> None:
        self.calls.append(Call(len(self.calls) + 1, model))

    def before(self, request: AWSPreparedRequest) -> None:
        call = self.calls[-1]
        call.attempts += 1
        call.request = request
        self.fault = self.plan(call)
        if self.fault:
            self.fault.before(call, request)

    def behind(self, request: AWSPreparedRequest) -> AWSResponse | None:
        call = self.calls[-1]
        if request.url != NOWHERE:
            call.done = True
            if call.name == "PutEvents":
                self.bus += [envelope(entry) for entry in json.loads(text(request.body))["Entries"]]
        return self.fault.behind(call) if self.fault else None

    @property
    def said(self) -> list[str]:
        """What went to people and to the bus."""
        sent = (call.request.body for call in self.calls if call.name in ("Publish", "PutEvents") and call.request)
        return [unquote_plus(text(body)) for body in sent]

    def end(self, answer: AWSResponse) -> None:
        """What AWS refused it did not do."""
        self.calls[-1].done &= answer.status_code < 300 or self.calls[-1].lost
        self.calls[-1].answer = answer.content

    @property
    def changes(self) -> list[Call]:
        return [call for call in self.calls if call.changes and call.done]


def text(body: object) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)


def envelope(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of PutEvents as a rule hands it over."""
    return {
        "id": f"bus-{time.time_ns()}",
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "detail": json.loads(entry["Detail"]),
        "account": ME,
        "region": REGION,
        "time": stamp(),
    }


def stamp(later: int = 0) -> str:
    return datetime.fromtimestamp(time.time() + later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Lines(threading.local):
    """Puts the handlers of botocore's through to the line of the run that is going on in this thread."""

    now: Line | None = None

    def tap(self, aws: Aws) -> None:
        emitter = aws.session.get_component("event_emitter")
        emitter.register_first("before-call", self._begin)
        emitter.register_first("before-send", self._before)
        emitter.register_last("before-send", self._behind)
        emitter.register_last("after-call", self._end)

    def _begin(self, model: OperationModel, **_: Any) -> None:
        if self.now:
            self.now.begin(model)

    def _before(self, request: AWSPreparedRequest, **_: Any) -> None:
        if self.now:
            self.now.before(request)

    def _behind(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        return self.now.behind(request) if self.now else None

    def _end(self, http_response: AWSResponse, **_: Any) -> None:
        if self.now:
            self.now.end(http_response)


LINES = Lines()


@cache
def door() -> Aws:
    """One for all runs: making clients is what costs most. Nothing but clients is kept in it.

    With botocore's own models: where its list of endpoints is not its own, it goes by older rules for them.
    Retries are botocore's standard ones; the adaptive ones of a function are these and a brake on the sending side.
    """
    aws = Aws(HERE, Config(retries={"mode": "standard", "total_max_attempts": 4}))
    aws.session.register_component("data_loader", ALL_MODELS)
    LINES.tap(aws)
    return aws


def world(guardrail: str, settings: Mapping[str, Any] | None = None, **shared: Any) -> World:
    """As after a cold start: no settings are known yet."""
    aws, topic = door(), f"arn:aws:sns:{REGION}:{ME}:security"
    defaults = Defaults({"mode": "enforce"} | shared, settings or {})
    return World(guardrail, aws, Ledger(aws, "holdfast"), topic, defaults, Parameters(aws))


@dataclass
class Ended:
    """How a run ended: with outcomes by target, raised, or died."""

    line: Line
    outcomes: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None
    died: bool = False
    found: Sequence[Violation | None] = ()

    @property
    def failed(self) -> bool:
        """Whether Lambda delivers the event again."""
        return self.died or self.error is not None


class Turns:
    """Runs in threads of which one moves at a time: at every call the next is drawn by lot, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self._lot = random.Random(seed)  # noqa: S311 - not for secrets
        self._changed = threading.Condition()
        self._waiting: list[int] = []
        self._moving = -1

    def run(self, works: Sequence[Callable[[Plan], Ended]]) -> list[Ended]:
        """Each work gets a plan that waits for its turn."""
        ended: dict[int, Ended] = {}
        self._waiting = list(range(len(works)))
        threads = [threading.Thread(target=self._one, args=(n, work, ended)) for n, work in enumerate(works)]
        for thread in threads:
            thread.start()
        self._draw()
        for thread in threads:
            thread.join()
        return [ended[number] for number in range(len(works))]

    def _one(self, number: int, work: Callable[[Plan], Ended], ended: dict[int, Ended]) -> None:
        def wait(call: Call) -> None:
            if call.number > 1:
                self._draw()
            self._wait_for(number)

        self._wait_for(number)
        try:
            ended[number] = work(wait)
        finally:
            self._waiting.remove(number)
            self._draw()

    def _wait_for(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._moving == number)

    def _draw(self) -> None:
        with self._changed:
            self._moving = self._lot.choice(self._waiting) if self._waiting else -1
            self._changed.notify_all()


def run(work: Callable[[], Any], plan: Plan | None = None) -> Ended:
    """Does some work with what the plan does to its calls."""
    line = Line(plan) if plan else Line()
    outer, LINES.now = LINES.now, line
    try:
        return Ended(line, work())
    except Died:
        return Ended(line, died=True)
    except Exception as error:
        return Ended(line, error=error)
    finally:
        LINES.now = outer


def deliver(
    incident: Incident,
    event: Mapping[str, Any] | None = None,
    *,
    plan: Plan | None = None,
    id: str = "delivery-1",
    **shared: Any,
) -> Ended:
    """One invocation of the incident's guardrail, in a process of its own."""
    here = world(incident.guardrail, incident.settings, **{**incident.shared, **shared})
    guard, found = overheard(project.load(incident.guardrail).handler)
    raw, delivery = timed(event or incident.event), Delivery(id, int(time.time()) + LASTS + 30)
    ended = run(lambda: guard.handle(raw, here, delivery), plan)
    return replace(ended, found=found)


def overheard(guard: Guardrail[Any, Any]) -> tuple[Guardrail[Any, Any], list[Violation | None]]:
    """The guardrail, and what it finds as it finds it."""
    found: list[Violation | None] = []

    def noting(decide: Callable[..., Violation | None]) -> Callable[..., Violation | None]:
        def note(*looked_at: Any) -> Violation | None:
            found.append(decide(*looked_at))
            return found[-1]

        return note

    return replace(guard, evaluate=noting(guard.evaluate), gone=noting(guard.gone)), found


def timed(event: Mapping[str, Any], later: int = 0) -> dict[str, Any]:
    """The call is made now, if the event doesn't say when."""
    return {**event, "detail": {"eventTime": stamp(later), **event["detail"]}}


@contextmanager
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still but when somebody sleeps, or shifts it."""
    with time_machine.travel(START, tick=False) as moving, patch("time.sleep", moving.shift):
        yield moving


def tick(here: World, seconds: int) -> dict[str, int]:
    """The watch's minute, with a sweep every so many seconds, and without canaries: they have proofs of their own."""
    here.ledger.set_round(Clock.CANARY, Round(0, FAR_FUTURE))
    asked: dict[str, int] = project.watch().tick(here, project.watch().Plan(seconds, {}, ""))
    return asked


@dataclass
class Scene:
    """A new account with an incident in it. `told` are the messages so far."""

    incident: Incident
    clock: time_machine.Traveller
    told: list[dict[str, Any]] = field(default_factory=list)
    runs: list[Ended] = field(default_factory=list)

    def deliver(self, event: Mapping[str, Any] | None = None, *, plan: Plan | None = None, id: str = "first") -> Ended:
        """One invocation. Whoever delivers again under the same id is Lambda."""
        ended = deliver(self.incident, event, plan=plan, id=id)
        self.told += support.heard()
        self.runs.append(ended)
        return ended

    def again(self, event: Mapping[str, Any] | None = None, *, id: str = "first") -> Ended:
        """Lambda's next attempt, a minute later."""
        self.clock.shift(MINUTE)
        return self.deliver(event, id=id)

    def tick(self) -> list[Ended]:
        """A minute later: the watch, and the runs that it asks for."""
        self.clock.shift(MINUTE)
        here = world("watch")
        watch = run(lambda: tick(here, DAY))
        if watch.error:
            raise watch.error
        return [self.deliver(event, id=str(event["id"])) for event in watch.line.bus]

    def long_known(self) -> None:
        """The first sweep is over: what another finds wrong was missed."""
        guardrail, ledger = self.incident.guardrail, world(self.incident.guardrail).ledger
        ledger.begin_survey(guardrail, START)
        ledger.mark(guardrail, Mark.SWEPT, START)
        ledger.end_survey(guardrail)

    def survey(self) -> None:
        """The first sweep has seen all things as they should be, and is over."""
        self.tick()
        self.clock.shift(SURVEY_LASTS)
        self.tick()
        support.heard()  # the digest
        self.told.clear()

    @property
    def settled(self) -> bool:
        """Mended if the incident can be, told about, and with no record left open."""
        mended = self.incident.safe() or self.incident.outcome != "remediated"
        return mended and bool(self.told) and not support.still_open()

    @property
    def summary(self) -> list[tuple[str, str]]:
        return [(message["outcome"], message["id"]) for message in self.told]


@contextmanager
def begun(build: Callable[[], Incident]) -> Iterator[Scene]:
    """With the thing as it should be, known if that is said, a minute before it is spoilt."""
    with support.account(), clock() as moving:
        scene = Scene(build(), moving)
        if scene.incident.known:
            scene.deliver(support.look(scene.incident.guardrail, scene.incident.target), id="known")
        moving.shift(MINUTE)
        yield scene
