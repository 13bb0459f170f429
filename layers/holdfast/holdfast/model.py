"""The nouns. A guardrail looks at a Case and may find a Violation; what came of it is a Record."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from holdfast.event import Actor, Arn, Place
from holdfast.settings import SharedSettings
from holdfast.value import Value

State = TypeVar("State")
Settings = TypeVar("Settings")
Severity = Literal["critical", "high", "medium", "low"]


class ApiCall(Value):
    """A call to AWS as data: shown in audit mode, recorded before it is made, compared in tests.

    `service` and `operation` are botocore's names (`s3`, `put_bucket_policy`); `region` is empty for our own.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]
    region: str = ""


class Violation(Value):
    """What is wrong, the calls that mend it (safest first) and those that bring the old state back.

    `what` is one clause without times or counters: the same standing violation must read the same at every look.
    `todo` is what a person must do. Without a fix the outcome is escalated. With `later` (seconds) the fix can't be
    made yet: deferred, and looked at again by then. With `audit_only` (a reason) the fix is shown but not made.
    """

    what: str
    fix: tuple[ApiCall, ...] = ()
    undo: tuple[ApiCall, ...] = ()
    todo: str = ""
    later: int = 0
    audit_only: str = ""


class Case(Value, Generic[State, Settings]):
    """What is known before looking.

    `baseline` is the last known good state, None if there is none. `actor` is the ARN of who made the call, and `event`
    its name; both are empty where nobody is known for sure: in a sweep, or when the event did not come from AWS.
    `waited` is for how many seconds the target has had an open record: 0 at the first look. `moved_to` is the ARN under
    which Holdfast has made the thing again. `escalated` is the `what` of which people were told that Holdfast can't
    mend it, while that stands: who has waited for it once need not at every look.
    """

    target: Arn
    settings: Settings
    shared: SharedSettings
    baseline: State | None
    here: Place
    actor: str = ""
    event: str = ""
    waited: int = 0
    moved_to: str = ""
    escalated: str = ""


class Outcome(StrEnum):
    """How a look at one target ended; `failed` is an exception, so it has no value here to return."""

    COMPLIANT = "compliant"
    EXEMPT = "exempt"
    AUDITED = "audited"
    REMEDIATED = "remediated"
    ESCALATED = "escalated"
    DEFERRED = "deferred"


class Record(Value):
    """The one envelope: written to the ledger before the fix, rendered as every message after it.

    `found` and `left` are the state before and after as plain JSON (None: nothing there). Times are epoch seconds.
    `delivery` is Lambda's request id, the same when Lambda retries; `lease` is when its run is surely over; `opener` is
    the delivery that opened the record.
    `applied` says that calls may have been made. `outcome` is empty while the record is open, or `deferred` once that
    was told.
    """

    guardrail: str
    severity: str
    account: str
    region: str
    target: str
    event_id: str
    event_name: str
    event_time: str
    actor: Actor
    opened: int
    delivery: str
    lease: int
    what: str
    found: Any = None
    calls: tuple[ApiCall, ...] = ()
    undo: tuple[ApiCall, ...] = ()
    todo: str = ""
    reason: str = ""
    applied: bool = False
    left: Any = None
    outcome: str = ""
    closed: int = 0
    version: int = field(default=1)
    opener: str = ""

    @property
    def id(self) -> str:
        """Stable over retries, also of what is told before it is recorded: one per target, event and opening."""
        return f"{self.opener or self.opened}-{self.event_id}"
