"""Whose doing a state is taken for, and for how long. It judges by what a visit has seen, and calls only the clock.

Two have a say: principals whose changes are the new good state (or whose defensive acts stand), and principals for whom
there is an exemption. An event says who made a call, not what that call made: in between, others may have acted.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Generic

from holdfast import shape
from holdfast.event import Event
from holdfast.ledger import Allowed, Page, now
from holdfast.model import Case, Settings, State, Violation
from holdfast.settings import Choices, Exemption, named
from holdfast.value import Value

if TYPE_CHECKING:
    from holdfast.guardrail import Guardrail

FRESH = 900  # seconds for which it is believed that what is there is what the call has made
AWAITED = "whoever made it so may be one who may, and the event of that call still on its way"


class Say(Value, Generic[State, Settings]):
    """Of one event and one look at its target. `state` is None where there is nothing, and where AWS hides it."""

    guardrail: "Guardrail[State, Settings]"
    event: Event
    choices: Choices
    page: Page
    case: Case[State, Settings]
    state: State | None
    hidden: bool = False

    @property
    def is_old(self) -> bool:
        """True for a call that was retried for long, or redriven: by now what is there may be another's."""
        return self.event.is_call and now() - self.event.epoch > FRESH

    def authority(self) -> str:
        """Why the actor may change what is good; empty if not."""
        actor, shared = self.case.actor, self.choices.shared
        if named(actor, shared.baseline_principals):
            return f"{actor} is one of baseline_principals: this is the new good state"
        if self.event.name in self.guardrail.defensive and named(actor, shared.responder_principals):
            return f"{actor} is one of responder_principals: a defensive act is not undone"
        return ""

    def accepted(self) -> str:
        """Why what is there is the doing of somebody who may change what is good; empty if it is not.

        What their call can't have made is not believed to be theirs, nor is a loss unless it was their call that
        deletes: another's may have come in between. Nobody's change makes good what is bad in itself.
        """
        why = self.authority()
        if not why or self.guardrail.baseline is None or not self._can_have_made_it():
            return ""
        if self._is_lost() and not self.event.name.startswith("Delete"):
            return ""
        return why if self.state is None or self._is_good_in_itself() else ""

    def exemption(self, actor: str) -> tuple[str, Exemption] | None:
        """The one by which it may be as it is, with its name."""
        for name, exemption in self.choices.exemptions.items():
            covered = exemption.covers(self.case.target, actor)
            theirs = covered and (exemption.principal is None or self._can_have_made_it())
            if theirs or self._was_allowed(name, exemption):
                return name, exemption
        return None

    def allowed(self, name: str) -> Allowed:
        """What the exemption of a principal lets stand from now on, or since before."""
        before, state = self.page.allowed, shape.plain(self.state)
        known = before is not None and (before.exemption, before.state) == (name, state)
        return before if before and known else Allowed(name, state, now())

    def _was_allowed(self, name: str, exemption: Exemption) -> bool:
        """A sweep has no actor: it lets stand exactly the state that the exempt principal made."""
        allowed = self.page.allowed
        return (
            allowed is not None
            and not self.hidden
            and (allowed.exemption, allowed.state) == (name, shape.plain(self.state))
            and exemption.principal is not None
            and exemption.covers(self.case.target, exemption.principal)
        )

    def disputed(self) -> Violation | None:
        """Another's call, from before the look that took what was there for the doing of somebody with a say."""
        known = self.page.baseline
        if known is None or not known.by or self.authority():
            return None
        return self._doubt(known.at, f"what was taken for {known.by}'s change")

    def contested(self, exemption: Exemption, allowed: Allowed) -> Violation | None:
        """The same for what an exemption allowed."""
        if exemption.covers(self.case.target, self.case.actor):
            return None
        return self._doubt(allowed.at, f"what {exemption.principal} may do")

    def _doubt(self, at: int, of: str) -> Violation | None:
        """For a call from shortly before that look. Both times are whole seconds."""
        if not (self.event.is_call and at - FRESH < self.event.epoch <= at):
            return None
        todo = "See that it is as they wanted it: that it was so is all that is known."
        return Violation(f"{self.event.name} by {self.event.actor} may have had a part in {of}", todo=todo)

    def may_be_meant(self, violation: Violation) -> bool:
        """What somebody with a say may have made, by a call of which the event is still on its way, is waited for.

        What nobody may make of it is put right at once, and so is what a call without a say is known to have made.
        """
        before = self.page.open or self.page.told
        awaited = self.page.open is not None and self.page.open.reason == AWAITED
        known_before = before is not None and before.what == violation.what and not awaited
        if known_before or self.page.lost:
            return False
        if self._may_be_exempt():
            return True
        if self.case.baseline is None:
            return False
        if self.event.is_call and not self.is_old:
            return bool(self.authority()) and not self._is_lost() and self._is_good_in_itself()
        shared = self.choices.shared
        has_a_say = shared.baseline_principals or (self.guardrail.defensive and shared.responder_principals)
        return bool(has_a_say) and (self._is_lost() or self._is_good_in_itself())

    def _may_be_exempt(self) -> bool:
        """For a look: somebody is exempt who may have made it. For their own call: another of theirs may have."""
        exemptions = [each for each in self.choices.exemptions.values() if each.principal is not None]
        if self.event.is_call and not self.is_old:
            return any(each.covers(self.case.target, self.case.actor) for each in exemptions)
        return any(each.covers(self.case.target, each.principal or "") for each in exemptions)

    def _can_have_made_it(self) -> bool:
        if self.hidden:
            return False
        return self.state is None or self.guardrail.made_by(self.event.name, self.state, self.case.baseline)

    def _is_lost(self) -> bool:
        return self.state is None or self.guardrail.lost(self.state)

    def _is_good_in_itself(self) -> bool:
        state = self.state
        return state is not None and self.guardrail.evaluate(state, replace(self.case, baseline=state)) is None
