"""Whose doing it is: who has a say is believed only of what that very call may have made. On moto."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
import time_machine
from holdfast.say import AWAITED
from holdfast.visit import ON_ITS_WAY
from support import MALLORY, account, exempt, heard, look, records, still_open, sweep
from toy import (
    FORGETFUL,
    ID,
    PIPELINE,
    RESPONDER,
    TARGET,
    TOY,
    Flag,
    event,
    flag,
    handle,
    pages,
    refusing,
    set_flag,
    while_it_tells,
)

START = 1_800_000_000
SAY: Any = {"baseline_principals": [PIPELINE]}
OLD = "2027-01-15T07:00:00Z"  # an hour before START


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with account(), time_machine.travel(START, tick=False):
        yield


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START + 3600, tick=False) as clock:
        yield clock


def known(value: str = "v1") -> None:
    """The flag has been seen, and an hour goes by."""
    set_flag(value)
    with time_machine.travel(START - 3600, tick=False):
        assert handle(sweep(), **SAY).outcome == "compliant"


def good() -> Any:
    return pages()[TARGET]["baseline"]["state"]


def test_an_old_call_of_those_who_may_says_nothing_of_what_is_there_now() -> None:
    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE, eventTime=OLD), **SAY).outcome == "escalated"
    (message,) = heard()
    assert (message["reason"], message["applied"]) == ("the call is 3600 s old", False)
    assert PIPELINE in message["todo"]
    assert (flag(), good()) == ("v2", {"value": "v1"})
    assert handle(event(id="event-2"), delivery="d2", **SAY).outcome == "remediated"
    assert flag() == "v1"


@pytest.mark.parametrize("guardrail", [TOY, FORGETFUL])
def test_what_nobody_may_make_of_it_is_mended_though_the_call_is_old(guardrail: Any) -> None:
    set_flag("bad")
    assert handle(event(actor=PIPELINE, eventTime=OLD), handler=guardrail, **SAY).outcome == "remediated"


def test_a_call_is_believed_for_some_time() -> None:
    known()
    set_flag("v2")
    late = event(actor=PIPELINE, eventTime="2027-01-15T07:45:00Z")  # FRESH ago
    assert handle(late, **SAY).outcome == "exempt"
    assert good() == {"value": "v2"}


def test_an_old_call_of_who_is_exempt_does_not_cover_what_is_there_now() -> None:
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("bad")
    assert handle(event(actor=PIPELINE, eventTime=OLD), handler=FORGETFUL).outcome == "escalated"
    assert handle(event(id="event-2"), handler=FORGETFUL, delivery="d2").outcome == "remediated"


def test_an_old_call_takes_nothing_from_an_exemption_for_everybody() -> None:
    exempt(ID, TARGET)
    set_flag("bad")
    assert handle(event(actor=PIPELINE, eventTime=OLD), handler=FORGETFUL).outcome == "exempt"


def test_what_an_archive_brings_back_says_nothing_of_who_acts_now() -> None:
    """EventBridge guide, "Replaying archived events": the source stays, and `replay-name` is added."""
    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE) | {"replay-name": "again"}, **SAY).outcome == "remediated"
    assert flag() == "v1"


def test_a_call_from_just_before_the_change_that_was_accepted_is_told() -> None:
    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE, eventTime="2027-01-15T07:59:50Z"), **SAY).outcome == "exempt"
    heard()
    theirs = event(id="event-2", eventTime="2027-01-15T07:59:55Z")
    assert handle(theirs, delivery="d2", **SAY).outcome == "escalated"
    (message,) = heard()
    assert (message["actor"]["arn"], PIPELINE in message["what"]) == (MALLORY, True)
    assert flag() == "v2"


@pytest.mark.parametrize(("actor", "made"), [(MALLORY, OLD), (MALLORY, "2027-01-15T08:00:01Z"), (PIPELINE, "")])
def test_a_call_that_can_have_had_no_part_in_it_is_not_told(actor: str, made: str) -> None:
    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE), **SAY).outcome == "exempt"
    later = event(id="event-2", actor=actor, **({"eventTime": made} if made else {}))
    assert handle(later, delivery="d2", **SAY).outcome == "compliant"


def test_a_look_leaves_what_may_be_meant_until_the_call_is_told_of() -> None:
    known()
    set_flag("v2")
    assert handle(look(ID, TARGET), delivery="d2", **SAY).outcome == "deferred"
    assert still_open()[0]["reason"] == AWAITED
    assert pages()[TARGET]["due"] == str(START + ON_ITS_WAY)
    assert handle(event(actor=PIPELINE), delivery="d3", **SAY).outcome == "exempt"
    (message,) = heard()
    assert (message["actor"]["arn"], message["event_name"]) == (PIPELINE, "PutParameter")
    assert (flag(), good(), still_open()) == ("v2", {"value": "v2"}, [])


def test_what_a_look_left_is_mended_at_once_when_somebody_elses_call_is_told_of() -> None:
    known()
    set_flag("v2")
    handle(look(ID, TARGET), delivery="d2", **SAY)
    assert handle(event(), delivery="d3", **SAY).outcome == "remediated"
    assert [(message["actor"]["arn"], message["event_id"]) for message in heard()] == [(MALLORY, "event-1")]
    assert flag() == "v1"


def test_what_a_look_left_is_mended_when_nobody_tells_of_a_call(clock: time_machine.Traveller) -> None:
    known()
    set_flag("v2")
    for number in range(3):
        assert handle(look(ID, TARGET), delivery=f"d{number}", **SAY).outcome == "deferred"
        clock.shift(60)
    clock.shift(ON_ITS_WAY)
    assert handle(look(ID, TARGET), delivery="last", **SAY).outcome == "remediated"
    assert (flag(), len(heard()), len(records())) == ("v1", 1, 1)


@pytest.mark.parametrize("shared", [{}, {"responder_principals": [RESPONDER]}])
def test_only_where_somebody_has_a_say_is_that_awaited(shared: dict[str, Any]) -> None:
    known()
    set_flag("v2")
    indefensive = replace(TOY, defensive=frozenset())
    assert handle(look(ID, TARGET), handler=indefensive, delivery="d2", **shared).outcome == "remediated"


def test_a_responders_call_is_awaited_too() -> None:
    known()
    set_flag("v2")
    assert handle(look(ID, TARGET), delivery="d2", responder_principals=[RESPONDER]).outcome == "deferred"


def test_what_nobody_may_make_of_it_is_mended_by_a_look_at_once() -> None:
    known()
    set_flag("bad")
    assert handle(look(ID, TARGET), delivery="d2", **SAY).outcome == "remediated"


def test_a_loss_may_be_meant_too() -> None:
    known()
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(look(ID, TARGET), delivery="d2", **SAY).outcome == "deferred"
    assert handle(event("DeleteParameter", actor=PIPELINE), delivery="d3", **SAY).outcome == "exempt"


def test_what_another_is_known_to_have_made_is_not_waited_for() -> None:
    known()
    set_flag("v2")
    assert handle(event(), mode="audit", **SAY).outcome == "audited"
    assert handle(look(ID, TARGET), delivery="d2", remediate_existing=True, **SAY).outcome == "remediated"


def test_an_exemption_for_everybody_does_not_ask_what_the_call_can_have_made() -> None:
    exempt(ID, TARGET)
    set_flag("bad")
    alien = replace(FORGETFUL, made_by=lambda call, found, baseline: False)
    assert handle(event(), handler=alien).outcome == "exempt"


def test_a_look_leaves_a_thing_to_the_run_that_holds_its_record() -> None:
    known()
    set_flag("v2")
    inner = []
    hook = while_it_tells(lambda: inner.append(handle(look(ID, TARGET), delivery="d2", **SAY).outcome))
    assert handle(event(actor=PIPELINE), delivery="d3", hook=hook, **SAY).outcome == "exempt"
    assert (inner, flag(), good()) == (["deferred"], "v2", {"value": "v2"})


def test_who_has_a_say_takes_over_what_was_waiting_before_that_is_told() -> None:
    """Else a look would mend it meanwhile, and the new good state be lost without a word."""
    patient = replace(TOY, later={"TooManyUpdates": 60})

    known()
    set_flag("v2")
    assert handle(handler=patient, delivery="d0", hook=refusing("TooManyUpdates"), **SAY).outcome == "deferred"
    set_flag("v3")
    inner = []
    hook = while_it_tells(lambda: inner.append(handle(look(ID, TARGET), handler=patient, delivery="d1", **SAY).outcome))
    mine = event(id="event-2", actor=PIPELINE)
    assert handle(mine, handler=patient, delivery="d2", hook=hook, **SAY).outcome == "exempt"
    assert (inner, flag(), good(), still_open()) == (["deferred"], "v3", {"value": "v3"}, [])


CHOOSY = replace(TOY, made_by=lambda call, found, baseline: call != "TagParameter")


def test_what_a_call_can_not_have_made_waits_for_the_one_that_has() -> None:
    known()
    set_flag("v2")
    tagged = event("TagParameter", actor=PIPELINE)
    assert handle(tagged, handler=CHOOSY, **SAY).outcome == "deferred"
    assert (flag(), good()) == ("v2", {"value": "v1"})
    assert handle(event(id="event-2"), handler=CHOOSY, delivery="d2", **SAY).outcome == "remediated"
    assert (flag(), [message["actor"]["arn"] for message in heard()]) == ("v1", [MALLORY])


def test_what_a_call_can_have_made_is_judged_by_what_is_there_and_by_what_was_good() -> None:
    asked = []

    def made_by(*of: Any) -> bool:
        asked.append(of)
        return True

    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE), handler=replace(TOY, made_by=made_by), **SAY).outcome == "exempt"
    assert asked == [("PutParameter", Flag("v2"), Flag("v1"))]
    (message,) = heard()
    assert (message["calls"], message["undo"], message["applied"]) == ([], [], False)


def test_what_waits_for_its_call_is_not_taken_from_the_run_that_mends_another() -> None:
    inner = []

    def tagged() -> None:
        set_flag("v2")
        inner.append(still_open()[0]["delivery"])
        with pytest.raises(ExceptionGroup):
            handle(event("TagParameter", id="e2", actor=PIPELINE), handler=CHOOSY, delivery="d2", **SAY)
        inner.append(still_open()[0]["delivery"])

    known()
    set_flag("bad")
    assert handle(handler=CHOOSY, delivery="d1", hook=while_it_tells(tagged), **SAY).outcome == "remediated"
    assert inner == ["d1", "d1"]
    assert handle(event(id="e3", actor=PIPELINE), handler=CHOOSY, delivery="d3", **SAY).outcome == "exempt"
    assert good() == {"value": "v2"}


def test_who_made_it_with_another_call_is_believed_then() -> None:
    known()
    set_flag("v2")
    handle(event("TagParameter", actor=PIPELINE), handler=CHOOSY, **SAY)
    assert handle(event(id="event-2", actor=PIPELINE), handler=CHOOSY, delivery="d2", **SAY).outcome == "exempt"
    assert good() == {"value": "v2"}


RULED = replace(FORGETFUL, stuck={"Ruled": "Ask the organisation."})


@pytest.mark.parametrize("actor", [MALLORY, PIPELINE])
def test_what_a_second_run_could_not_mend_is_not_told_to_be_back(actor: str) -> None:
    inner = []

    def second() -> None:
        set_flag("bad")
        again = event(id="second", actor=actor)
        inner.append(handle(again, handler=RULED, delivery="d2", hook=refusing("Ruled")).outcome)

    set_flag("bad")
    assert handle(handler=RULED, hook=while_it_tells(second)).outcome == "remediated"
    assert (inner, flag()) == (["escalated"], "good")
    assert {message["left"]["value"] for message in heard() if message["outcome"] == "remediated"} == {"good"}
    assert not still_open()
