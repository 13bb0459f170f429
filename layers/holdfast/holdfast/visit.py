"""The one path: one event, one target, from look to outcome.

read → evaluate → exempt? → audit? → record → apply → read → evaluate → notify → close
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from holdfast import shape, telemetry
from holdfast.aws import Rejected, error_code
from holdfast.contest import FOUGHT_OVER, HOUR, Contest, broken, fixed, owner, tried
from holdfast.event import Actor, Arn, Event
from holdfast.ledger import BLIND, Allowed, Baseline, LedgerLost, Moved, Page, Told, now
from holdfast.message import envelope, slim, tell
from holdfast.model import Case, Outcome, Record, Settings, State, Violation
from holdfast.say import AWAITED, Say
from holdfast.settings import Choices, named
from holdfast.value import Value
from holdfast.world import World

if TYPE_CHECKING:
    from holdfast.guardrail import Guardrail

T = TypeVar("T")
ROUNDS = 3
TICK = 60  # seconds between two ticks of the watch
ON_ITS_WAY = 300  # seconds that CloudTrail may take to tell of a call ("How CloudTrail works" has it as an average)
TOLD_AFTER = 3600  # seconds that a fix may be deferred before that is told
MARGIN = 30  # seconds after a function's time-out when its run is surely over
UNSURE = "the ledger could not be read, so that nobody knows yet whether all is as it was before"
ELSEWHERE = "it was put right at the same time, by another run or by somebody else"
BREAK_GLASS = "every use of break-glass is told"
DIED = "a run that died may have made these calls; or somebody else has put it right"
BY_OTHERS = "somebody has put it right before Holdfast did"
LOG_LINE = 200_000  # bytes: CloudWatch Logs user guide, "quotas", takes an event of 256 KB at least
RESERVE = 20  # seconds that are kept for one target: three rounds of reads and writes


class StillViolating(RuntimeError):
    """Three rounds of fixing did not help."""


class Contended(RuntimeError):
    """Other runs kept writing the page of this target."""


class Delivery(Value):
    """One invocation: Lambda's request id (the same when Lambda retries) and when its run is surely over."""

    id: str
    ends: int

    @classmethod
    def of(cls, context: Any) -> "Delivery":
        remaining = int(context.get_remaining_time_in_millis() / 1000)
        return cls(str(context.aws_request_id), now() + remaining + MARGIN)

    @property
    def is_ending(self) -> bool:
        """True when there may be no time left for another target."""
        return now() > self.ends - MARGIN - RESERVE


class Refusal(Value):
    """Why AWS did not make a call of the fix, and what follows; how many it made."""

    why: str = ""
    later: int = 0
    todo: str = ""
    made: int = 0


def matching(error: ClientError, known: Mapping[str, T]) -> T | None:
    """What is known of an error, by its code or by `Code: part of the message`."""
    for name, value in known.items():
        code, _, part = name.partition(": ")
        if code == error_code(error) and part in str(error):
            return value
    return None


@dataclass
class Visit(Generic[State, Settings]):
    """Finds out what is so, and leaves it as it should be. `outcome` is the whole path."""

    guardrail: "Guardrail[State, Settings]"
    world: World
    event: Event
    target: Arn
    choices: Choices
    settings: Settings
    delivery: Delivery
    page: Page = field(init=False)
    case: Case[State, Settings] = field(init=False)
    state: State | None = field(init=False)
    told: bool = False
    hidden: bool = False

    def outcome(self) -> Outcome:
        """Raises LedgerLost, StillViolating, Contended, and what AWS answers that nobody expected."""
        for _ in range(ROUNDS):
            try:
                return self._alarmed(self._attempt())
            except Moved:
                continue  # another run was here: everything is looked at anew
        raise Contended(self.target)

    def _attempt(self) -> Outcome:
        """From what is known and seen to a decision. Raises Moved when another run was here meanwhile."""
        self.page = self.world.ledger.page(self.world.guardrail, self.target)
        if not self.event.is_call:
            self.page.must_be_known()  # a look changes nothing of which nobody knows whether it may be so
        self.case = self._case()
        if not (self.event.is_call or self.page.rev) and self.target.region not in ("", self.world.here.region):
            return Outcome.COMPLIANT  # anybody may ask for a look; other settings hold there
        self.state, violation = self._look()
        if violation and self.hidden and not self.event.is_call:
            return self._blind(violation)
        if not self.hidden:
            self.page.sees()
        if self._is_over():
            self._settle(violation)
        if violation is None and not (violation := self.say.disputed()):
            return self._compliant()
        for decide in (self._accepted, self._exempted, self._unfixable, self._audited):
            if decided := decide(violation):
                return decided
        return self._mend(violation)

    @property
    def say(self) -> Say[State, Settings]:
        """Whose doing the state is that was last seen."""
        return Say(self.guardrail, self.event, self.choices, self.page, self.case, self.state, self.hidden)

    def _blind(self, violation: Violation) -> Outcome:
        """A look that AWS refuses is told once, and says nothing of what is known of the target."""
        if self.say.exemption(""):
            return Outcome.EXEMPT
        if not (self.page.blind or self._stood_before(violation)):
            self._tell(replace(self._record(violation), outcome=Outcome.ESCALATED.value, closed=now()))
        self.page.sees(False)
        self.page.must_be_known()
        return Outcome.ESCALATED

    def _alarmed(self, outcome: Outcome) -> Outcome:
        """Every use of break-glass is told, whatever else is or isn't."""
        if self.told or not self._is_break_glass:
            return outcome
        what = f"the break-glass principal called {self.event.name}"
        record = self._by_this_call(self._record(Violation(what)))
        self._tell(replace(record, what=what, reason=BREAK_GLASS, outcome=outcome.value, closed=now()))
        return outcome

    @property
    def _is_break_glass(self) -> bool:
        return named(self.event.known_actor, self.choices.shared.break_glass_arns)

    def _is_over(self) -> bool:
        contest = self.page.contest
        return contest is not None and contest.is_fought and now() >= contest.ends and self.page.open is None

    def _settle(self, violation: Violation | None) -> None:
        """Tells how a fight ended that nobody has gone on with for an hour."""
        contest = self.page.contest
        if contest is None:
            return
        outcome, ended, told = Outcome.COMPLIANT, "nobody has broken it for an hour", self.page.told
        if violation and told and told.what == violation.what:
            outcome, ended = Outcome(told.outcome), "for an hour nothing has come of it but what was told and stands"
        elif violation:
            outcome, ended = Outcome.ESCALATED, "nobody had broken it for an hour, and now it is broken again"
        elif self.state is None:
            ended = "it is gone by now"
        what = f"{ended}; before that it was {contest.summary()}"
        self._tell(replace(self._record(Violation(what)), actor=Actor(), outcome=outcome.value, closed=now()))
        self.page.settle()

    def _case(self) -> Case[State, Settings]:
        stored, kind = self._evidence(), self.guardrail.baseline
        known = (
            shape.remembered(kind, stored.state, "baseline") if kind and stored and stored.state is not None else None
        )
        waited = now() - self.page.open.opened if self.page.open else 0
        actor = self.event.trusted_actor
        name = self.event.name if actor else ""
        told = self.page.told
        return Case(
            self.target,
            self.settings,
            self.choices.shared,
            known,
            self.world.here,
            actor,
            name,
            waited,
            moved_to=self.page.baseline.moved_to if self.page.baseline else "",
            escalated=told.what if told and told.outcome == Outcome.ESCALATED else "",
        )

    def _evidence(self) -> Baseline | None:
        """What is known from before the call: what was first seen after it may be what the call has made."""
        stored = self.page.baseline
        dated = self.event.is_call and self.event.counted_actor
        late = stored is not None and not stored.by and dated and 0 < self.event.epoch < stored.at
        return None if late else stored

    def _look(self) -> tuple[State | None, Violation | None]:
        """The live state and the decision on it."""
        self.hidden = False
        try:
            state = self.guardrail.read(self.case, self.world.aws)
        except ClientError as error:
            return None, self._unseen(error)
        if state is None:
            return None, self._gone()
        # first seen by a sweep: how it is, is how it should be
        case = replace(self.case, baseline=state) if self._is_first_sight() else self.case
        return state, self.guardrail.evaluate(state, case)

    def _is_first_sight(self) -> bool:
        """A look at what no call has broken: with an open record, or where something was told, one has."""
        page = self.page
        unknown = page.baseline is None and page.open is None and page.told is None
        return unknown and self.guardrail.baseline is not None and not self.event.is_call

    def _unseen(self, error: ClientError) -> Violation | None:
        """The decision when AWS says that it is not there; or that nobody can look at it until a person has acted."""
        if error_code(error) in self.guardrail.missing:
            return self._gone()
        todo = matching(error, self.guardrail.stuck)
        if todo is None:
            raise error
        if self._is_strange():
            return self._gone()
        self.hidden = True
        return Violation(BLIND, todo=f"{todo} AWS said: {error}")

    def _is_strange(self) -> bool:
        """A look at what may be anybody's: S3 refuses another's bucket as it does a closed one of ours."""
        if self.event.is_call or self.page.rev:
            return False
        return all(each != self.target for each in self.guardrail.inventory(self.world.aws))

    def _gone(self) -> Violation | None:
        known = self.page.baseline
        if known and known.state is None:
            return None  # it is known to be gone: somebody who may do so has taken it away, or nobody ever saw it
        if self.guardrail.baseline and self.page.lost:
            raise LedgerLost(self.target) from self.page.lost  # it may well have a baseline: no guess
        if not self.event.is_call and known is None and self.page.open is None and self.page.told is None:
            return None  # a look at what is neither there nor known: anybody may ask for one
        return self.guardrail.gone(self.case)

    def _compliant(self) -> Outcome:
        page, record = self.page, self.page.open
        if record and not record.applied and page.baseline and self._evidence() is None:
            return self._left(Outcome.COMPLIANT)  # a late call was not judged by the baseline: what waits goes on
        if record and self._mine(record):  # fixed by a run that died, or settled without us while it was deferred
            if record.applied and self.state is None:
                return self._vanished(record)
            left = shape.plain(self.state)
            if record.applied:
                return self._finish(replace(record, outcome=Outcome.REMEDIATED.value, left=left, reason=DIED))
            told_or_broken = record.outcome or record.calls
            done = replace(record, outcome=Outcome.COMPLIANT.value, left=left, reason=BY_OTHERS)
            return self._finish(done, quiet=not told_or_broken)
        page.must_be_known()
        if record is None and self._is_break_glass:
            seen = Violation(f"the break-glass principal called {self.event.name}; nothing is wrong")
            return self._conclude(seen, Outcome.COMPLIANT, BREAK_GLASS)
        if record is None:
            page.remember(self._baseline())
        return Outcome.COMPLIANT

    def _accepted(self, violation: Violation) -> Outcome | None:
        """Changes by those who may change what is good: the state they left is the new baseline."""
        why = self.say.accepted()
        if not why:
            return None
        self.page.must_be_known()  # only changing nothing is at stake
        if self.say.is_old:
            return self._outdated(violation)
        adopted = self._next_baseline(shape.plain(self.state), self.case.actor)
        return self._conclude(replace(violation, fix=(), undo=()), Outcome.EXEMPT, why, baseline=adopted)

    def _outdated(self, violation: Violation) -> Outcome:
        """It may be what somebody may do, or may not: neither is it taken for good, nor put back."""
        todo = f"Let {self.case.actor} make the change again, if it is still wanted: else the next look puts it back."
        reason = f"the call is {int(now() - self.event.epoch)} s old"
        return self._conclude(replace(violation, fix=(), undo=(), todo=todo), Outcome.ESCALATED, reason)

    def _exempted(self, violation: Violation) -> Outcome | None:
        found = self.say.exemption("" if self.say.is_old else self.case.actor)
        if found is None:
            return self._outdated(violation) if self.say.exemption(self.case.actor) else None
        name, exemption = found
        reason = f"exemption {name} ({exemption.reason}; owner {exemption.owner}, until {exemption.expires})"
        allowed = self.say.allowed(name) if exemption.principal else None
        doubt = self.say.contested(exemption, allowed) if allowed else None
        outcome = Outcome.ESCALATED if doubt else Outcome.EXEMPT
        return self._conclude(doubt or violation, outcome, reason, allowed=allowed, due=exemption.until + 1)

    def _unfixable(self, violation: Violation) -> Outcome | None:
        most = self.choices.shared.calls_per_fix
        if len(violation.fix) > most:
            too_many = f"The fix takes {len(violation.fix)} calls, and calls_per_fix is {most}."
            violation = replace(violation, fix=(), undo=(), todo=f"{too_many} {violation.todo}".strip())
        if violation.later and (audited := self._audited(violation)):
            return audited
        if violation.later and self.page.open and not self._mine(self.page.open):
            return self._left(Outcome.DEFERRED)
        if violation.later:
            return self._defer(self._record(violation), violation.later, violation.todo)
        return None if violation.fix else self._conclude(violation, Outcome.ESCALATED)

    def _audited(self, violation: Violation) -> Outcome | None:
        reason = self._audit_reason(violation)
        if not (reason or self.event.is_call or self.choices.shared.remediate_existing):
            is_old = self._stood_before(violation)
            reason = "it was so before Holdfast enforced, and remediate_existing is off" if is_old else ""
        return self._conclude(violation, Outcome.AUDITED, reason) if reason else None

    def _audit_reason(self, violation: Violation) -> str:
        mode = self.choices.mode(self.world.guardrail)
        return "the mode is audit" if mode == "audit" else violation.audit_only

    def _stood_before(self, violation: Violation) -> bool:
        """What was only audited, or was there at first sight; what came to be wrong since then was not."""
        page = self.page
        if page.open or page.lost:
            return False
        if page.told:
            return page.told == Told(Outcome.AUDITED.value, violation.what)
        if page.baseline:
            return False  # it was seen to be right
        return now() < self.world.ledger.survey_ends(self.world.guardrail)

    def _mend(self, violation: Violation) -> Outcome:
        """Rounds of fixing and looking again. Raises StillViolating when they don't help, Contended and Moved."""
        record = self._record(violation)
        mine = self.page.open is None or self._mine(self.page.open)
        if held := self._held_back(violation, record, mine):
            return held
        if mine:
            self.page.contest = tried(self.page.contest, now())
        done = tuple(call for call in record.calls if call not in violation.fix)  # a run that died may have made them
        for _ in range(ROUNDS):
            record = replace(record, calls=done + violation.fix, applied=True)
            if mine:
                self._keep(record)
            refused = self._apply(violation)
            done += violation.fix[: refused.made]
            record = replace(record, calls=done or violation.fix, applied=bool(done))
            self.state, rest = self._look()
            if not mine and self.world.ledger.page(self.world.guardrail, self.target).baseline != self.page.baseline:
                raise Moved(self.target)  # meanwhile something else became good
            if refused.later and rest and rest.fix == violation.fix[refused.made :]:  # nobody else does it now
                return self._defer(record, refused.later, refused.why) if mine else self._left(Outcome.DEFERRED)
            if rest and refused.todo:
                rest = Violation(rest.what, todo=f"{refused.todo} AWS said: {refused.why}")
            if rest is None or self._is_no_work(rest):
                return self._ended(record, rest) if mine else self._helped(record, rest)
            violation = rest
        raise StillViolating(f"{self.target}: {violation.what}")

    def _held_back(self, violation: Violation, record: Record, mine: bool) -> Outcome | None:
        """Why nothing is written now: another run is at it, what is there may be meant, or a limit is reached."""
        waits = self.say.may_be_meant(violation) and self.case.waited < ON_ITS_WAY
        if not mine:
            if not self.event.is_call:
                return Outcome.DEFERRED  # to the run that holds the record, or to the watch when that is over
            if waits or (self.page.open and self.page.open.reason == AWAITED):
                raise Contended(self.target)  # that run may be about to say that it may be so
            return None
        if waits:
            return self._defer(record, ON_ITS_WAY - self.case.waited, AWAITED)
        capped = self._capped(record)
        return self._defer(record, *capped) if capped else None

    def _is_no_work(self, rest: Violation) -> bool:
        """What is still wrong and not to be mended now: it can't be, can't be yet, or is only audited."""
        return bool(not rest.fix or rest.later or self._audit_reason(rest))

    def _ended(self, record: Record, rest: Violation | None) -> Outcome:
        """Of the run that holds the record."""
        return self._vanished(record) if rest is None and self.state is None else self._mended(record, rest)

    def _helped(self, record: Record, rest: Violation | None) -> Outcome:
        """Of a run beside the one that holds the record, and tells."""
        if rest:
            return self._left(Outcome.DEFERRED if rest.later else Outcome.ESCALATED)
        return Outcome.COMPLIANT if self.state is None else self._joined(record)

    def _capped(self, record: Record) -> tuple[int, str] | None:
        """For how many seconds a fix has to wait, and why. What has waited comes again as a look, and is not capped."""
        limits, contest, hour = self.choices.shared, self.page.contest, now() // HOUR
        if not self.event.is_call or self.page.lost:
            return None
        if contest and contest.tries_at(now()) >= limits.fixes_per_target:
            return TICK, f"past {limits.fixes_per_target} fixes within an hour it is put right once a minute"
        who = self.event.counted_actor
        if self.guardrail.severity == "critical" or self.page.open or not who:
            return None
        caused = self.world.ledger.count(who, hour)
        if caused <= limits.fixes_per_actor:
            return None
        why = f"{who} broke more than {limits.fixes_per_actor} things within an hour"
        if self.world.ledger.may_tell(who, hour, caused, limits.fixes_per_actor, self.delivery.id):
            todo = "Find out what it does, and stop it. What it breaks is put right when the hour is over."
            self._tell(replace(record, reason=why, todo=todo, outcome=Outcome.ESCALATED.value))
        return (hour + 1) * HOUR - now(), why

    def _left(self, outcome: Outcome) -> Outcome:
        """To the run that holds the record, and tells: of what another event than its own did it must take note."""
        if self.page.open and self.event.is_call and self.page.open.event_id != self.event.id:
            self.page.disturb()
        return outcome

    def _vanished(self, record: Record) -> Outcome:
        """Nobody must be told that what is gone is back."""
        return self._finish(replace(record, outcome=Outcome.COMPLIANT.value, reason="it is gone by now"))

    def _joined(self, record: Record) -> Outcome:
        """The run that holds the open record tells; but not that somebody else did this too."""
        holder = self.page.open.actor if self.page.open else None
        fought = self.page.contest is not None and self.page.contest.is_fought
        if self.event.is_call and holder and str(holder) != str(record.actor) and not fought:
            done = replace(record, left=shape.plain(self.state), outcome=Outcome.REMEDIATED.value, closed=now())
            self._tell(done)
        return Outcome.REMEDIATED

    def _keep(self, record: Record) -> None:
        self.page.keep(record, record.lease)
        if self.page.lost:
            telemetry.unrecorded(envelope(slim(record, LOG_LINE, "too large for a line of the log")))

    def _apply(self, violation: Violation) -> Refusal:
        """Makes the calls, up to one that AWS refuses for a reason which the guardrail knows."""
        for made, call in enumerate(violation.fix):
            try:
                self.world.aws.apply(call)
            except ClientError as error:
                if error_code(error) in self.guardrail.missing:
                    return Refusal(made=made)  # it vanished under the fix: the next look sees that
                if later := matching(error, self.guardrail.later):
                    return Refusal(str(error), later=later, made=made)
                if todo := matching(error, self.guardrail.stuck):
                    return Refusal(str(error), todo=todo, made=made)
                raise
        return Refusal(made=len(violation.fix))

    def _mended(self, record: Record, rest: Violation | None) -> Outcome:
        done = replace(record, left=shape.plain(self.state), outcome=Outcome.REMEDIATED.value)
        if rest is None:
            unsure = self.guardrail.baseline is not None and self.page.lost
            return self._finish(replace(done, reason=UNSURE if unsure else "" if done.applied else ELSEWHERE))
        if rest.later:
            return self._defer(replace(done, outcome=record.outcome), rest.later, rest.what)
        todo = rest.todo if rest.what == record.what else f"Still: {rest.what}. {rest.todo}".strip()
        quiet = not self.event.is_call and self.page.told == Told(Outcome.ESCALATED.value, rest.what)
        return self._finish(replace(done, outcome=Outcome.ESCALATED.value, todo=todo), quiet=quiet, standing=rest.what)

    def _defer(self, record: Record, seconds: int, why: str) -> Outcome:
        """Work in hand, for the watch to see to. It is told when it ends, or once if that takes long."""
        waits = self.page.open
        if self.event.is_call and waits and waits.lease == 0 and waits.reason == why:
            return Outcome.DEFERRED
        waiting = replace(record, reason=why, lease=0)  # nobody's run: whoever looks next takes it over
        if now() - record.opened > TOLD_AFTER and not record.outcome:
            waiting = replace(waiting, outcome=Outcome.DEFERRED.value, closed=now())
            self._tell(waiting)
        self.page.keep(waiting, now() + seconds)
        self.page.must_be_known()
        return Outcome.DEFERRED

    def _mine(self, record: Record) -> bool:
        """Ours to finish: this delivery's own (Lambda retried it), or of a run that is surely over."""
        return record.delivery == self.delivery.id or record.lease < now()

    def _record(self, violation: Violation) -> Record:
        """A new record; or the open one, taken over from a run that is over."""
        found, event = shape.plain(self.state), self.event
        old = self.page.open if self.page.open and self._mine(self.page.open) else None
        fresh = Record(
            guardrail=self.world.guardrail,
            severity=self.guardrail.severity,
            account=self.world.here.account,
            region=self.world.here.region,
            target=self.target,
            event_id=event.id,
            event_name=event.name,
            event_time=event.time,
            actor=event.actor,
            opened=now(),
            delivery=self.delivery.id,
            opener=self.delivery.id,
            lease=self.delivery.ends,
            what=violation.what,
            found=found,
            calls=violation.fix,
            undo=violation.undo,
            todo=violation.todo,
        )
        if old is None:
            return fresh
        made = old.calls if old.applied else ()
        if self.event.is_call and old.reason == AWAITED:
            old = self._by_this_call(old)
        return replace(
            old,
            calls=made + tuple(call for call in violation.fix if call not in made),
            undo=old.undo or violation.undo,
            todo=violation.todo,
            reason="",
            delivery=self.delivery.id,
            lease=self.delivery.ends,
        )

    def _by_this_call(self, record: Record) -> Record:
        event = self.event
        return replace(record, event_id=event.id, event_name=event.name, event_time=event.time, actor=event.actor)

    def _baseline(self) -> Baseline | None:
        """What to keep after a look that found nothing wrong: first sight makes a provisional one.

        So does a call on what AWS says is not there: should it be there after all, a sweep must not take what the call
        has made of it for good.
        """
        known, kind, state = self.page.baseline, self.guardrail.baseline, self.state
        if kind is None or self.page.lost:
            return known
        if state is None and known is None and self.event.is_call and self.case.actor:
            return self._next_baseline(None, "")
        if not isinstance(state, kind):
            return known
        if known is None or known.state is None or self.guardrail.safer(state, shape.remembered(kind, known.state)):
            sure = named(self.case.actor, self.choices.shared.baseline_principals)
            grown = self._next_baseline(shape.plain(state), self.case.actor if sure else "")
            # what has grown is still theirs who made it good, and who had a part in that is still told of
            known = grown if sure or known is None or known.state is None else replace(grown, by=known.by)
        return self._followed(known, str(getattr(state, "arn", self.target)), state)

    def _next_baseline(self, state: Any, by: str) -> Baseline:
        known = self.page.baseline
        # seen as long ago as the one before it: a late event must not find that nothing was known in its time
        since = known.at if known and known.state is not None and not by else now()
        return Baseline(known.version + 1 if known else 1, state, by, since)

    def _followed(self, known: Baseline, arn: str, state: State) -> Baseline:
        """A thing made again under another ARN takes its baseline with it."""
        if arn in (self.target, known.moved_to):
            return known
        page = self.world.ledger.page(self.world.guardrail, arn)
        if page.baseline is None or not page.baseline.by:  # first sight says nothing of the place that it has now
            version = page.baseline.version + 1 if page.baseline else 1
            page.inherit(Baseline(version, shape.plain(state), known.by, known.at))
        return replace(known, version=known.version + 1, moved_to=arn)

    def _conclude(
        self,
        violation: Violation,
        outcome: Outcome,
        reason: str = "",
        *,
        baseline: Baseline | None = None,
        allowed: Allowed | None = None,
        due: int = 0,
    ) -> Outcome:
        """An end without a fix. The same standing violation is recorded and told once; break-glass always.

        What a sweep finds to be older than Holdfast goes into the digest.
        """
        self.page.must_be_known()
        opened, accepted = self.page.open, bool(baseline or allowed)  # accepted: it may be so from now on
        alarm = self._is_break_glass
        blind = self.hidden and self.page.blind and outcome is Outcome.ESCALATED
        still_allowed = allowed is not None and not self.event.is_call
        known = blind or still_allowed or self.page.told == Told(outcome.value, violation.what)
        changed = baseline or (allowed != self.page.allowed and not self.hidden)
        if known and not (opened or alarm or changed):
            self.page.expect(due)
            return outcome
        if opened and not self._mine(opened):
            if accepted:
                raise Contended(self.target)  # nobody else knows that it may be so
            return self._left(outcome)
        fresh = replace(self._record(violation), what=violation.what)
        if opened and accepted and opened.reason != AWAITED and str(opened.actor) != str(self.event.actor):
            since = f"{self.event.actor} has changed it since, and may"
            self._tell(replace(opened, outcome=Outcome.COMPLIANT.value, reason=since, closed=now()))
            fresh = self._by_this_call(fresh)
        surveyed = not self.event.is_call and self.page.told is None and self._stood_before(violation)
        quiet = surveyed and not alarm
        if not quiet and outcome is not Outcome.COMPLIANT and (accepted or not opened):
            # of runs at the same time one tells, and nobody undoes what may be so from now on, should this one die
            self._keep(replace(fresh, reason=AWAITED) if accepted else fresh)
        record = replace(fresh, outcome=outcome.value, reason=reason)
        return self._finish(record, baseline=baseline, allowed=allowed, due=due, quiet=quiet)

    def _finish(
        self,
        record: Record,
        *,
        baseline: Baseline | None = None,
        allowed: Allowed | None = None,
        due: int = 0,
        quiet: bool = False,
        standing: str = "",
    ) -> Outcome:
        """Tells, then closes: whoever dies in between tells again. `standing` is what is still wrong, if not `what`."""
        closed = replace(record, closed=now())
        outcome = Outcome(closed.outcome)
        known = self.page.contest is not None and self.page.contest.has_told(closed.actor, closed.what)
        contest = self._counted(closed)
        if contest and contest.breaks == FOUGHT_OVER:
            self._tell(self._fought(closed, contest))
        elif not quiet and not (contest and known):
            self._tell(closed)
        good = outcome in (Outcome.REMEDIATED, Outcome.COMPLIANT)
        kept = baseline or (self._baseline() if good else self.page.baseline)
        self.page.close(closed, kept, allowed, due, standing, hidden=self.hidden and not closed.applied)
        return outcome

    def _counted(self, record: Record) -> Contest | None:
        """The fight over the target, if this is a break: one that was put right, or a call's that stands."""
        stands = record.outcome in (Outcome.AUDITED.value, Outcome.ESCALATED.value)
        is_fix = record.outcome == Outcome.REMEDIATED.value or (stands and record.applied)
        if not is_fix and not (stands and self.event.is_call):
            return None
        contest = broken(self.page.contest, record.actor, record.what, now())
        if is_fix:
            theirs = self.event.is_call and record.event_id == self.event.id
            contest = fixed(contest, now() - ((theirs and self.event.epoch) or record.opened))
        self.page.contest = contest
        return contest

    def _fought(self, record: Record, contest: Contest) -> Record:
        you = "Every break is put right; you" if contest.fixes == contest.breaks else "You"
        todo = (
            f"It is likely to be {owner(record.actor)}, so change it there, or exempt the target. "
            f"{you} hear of it again when it is over. {record.todo}"
        ).strip()
        return replace(record, outcome=Outcome.ESCALATED.value, reason=f"It was {contest.summary()}.", todo=todo)

    def _tell(self, record: Record) -> None:
        """By every way that works: people are told though EventBridge is down. Then what did not work is raised."""
        errors: list[Exception] = []
        self.told = self.told or record.actor == self.event.actor
        for call in tell(record, self.world.topic, self.world.bus):
            try:
                self.world.aws.apply(call)
            except (ClientError, BotoCoreError, Rejected) as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"{record.target} was not told by every way", errors)
