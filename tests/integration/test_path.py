"""The one path: what it promises when runs die, meet, or find a service down. On moto."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError, EndpointConnectionError
from holdfast import Arn, Aws, BadEvent, Case, NoSettings, Violation, telemetry
from holdfast.guardrail import NotOurs
from holdfast.ledger import BLIND, LedgerLost, Told
from holdfast.visit import BREAK_GLASS, DIED, ELSEWHERE, ROUNDS, UNSURE, Contended, StillViolating
from holdfast.world import World
from support import (
    HERE,
    MALLORY,
    ME,
    Result,
    account,
    call,
    exempt,
    heard,
    items,
    look,
    records,
    run,
    still_open,
    sweep,
    world,
)
from toy import (
    EMERGENCY,
    FORGETFUL,
    ID,
    PIPELINE,
    RESPONDER,
    SHORT,
    TARGET,
    TOY,
    Died,
    Flag,
    down,
    dying,
    evaluate,
    event,
    flag,
    handle,
    pages,
    put,
    refusing,
    set_flag,
    while_it_tells,
)


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    with account():
        yield


@pytest.mark.parametrize("when", ["before-call", "after-call"])
@pytest.mark.parametrize("at", range(1, 10))
def test_whoever_dies_at_any_call_is_finished_by_the_next_delivery(at: int, when: str) -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(hook=dying(at, when))
    handle()
    assert flag() == "good"
    assert not still_open()
    assert [record["outcome"] for record in records()] == ["remediated"]
    assert {record["reason"] for record in records()} <= {"", DIED}
    assert {message["outcome"] for message in heard()} == {"remediated"}


def test_the_write_ahead_record_is_there_before_the_fix() -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(hook=dying(1, "before-call.ssm.PutParameter"))
    (record,) = still_open()
    assert flag() == "bad"
    assert record["calls"][0]["operation"] == "put_parameter"
    assert record["undo"][0]["parameters"]["Value"] == "bad"
    assert record["actor"]["arn"] == MALLORY
    assert pages()[TARGET]["due"] == str(record["lease"])


def test_a_second_event_joins_the_open_record_and_tells_nothing() -> None:
    set_flag("bad")
    inner: list[Result] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            inner.append(handle(event(id="event-2"), delivery="delivery-2"))

    handle(hook=lambda world: world.aws.session.register("before-call.ssm.PutParameter", meanwhile))
    assert inner[0].outcome == "remediated"
    (message,) = heard()
    assert (message["event_id"], message["left"]) == ("event-1", {"value": "good"})
    assert len(records()) == 1
    assert not still_open()


def test_somebody_else_who_breaks_it_while_it_is_mended_is_told_too() -> None:
    set_flag("bad")
    inner: list[Result] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            inner.append(handle(event(id="event-2", actor=EMERGENCY), delivery="delivery-2"))

    handle(hook=lambda world: world.aws.session.register("before-call.ssm.PutParameter", meanwhile))
    told = heard()
    assert [message["actor"]["arn"] for message in told] == [EMERGENCY, MALLORY]
    assert [message["left"] for message in told] == [{"value": "good"}] * 2
    assert all(message["closed"] >= message["opened"] for message in told)
    assert not still_open()


def test_somebody_else_who_breaks_what_is_fought_over_is_told_at_its_end() -> None:
    for number in range(3):
        set_flag("bad")
        handle(event(id=f"e{number}"), handler=FORGETFUL, delivery=f"d{number}")
    heard()
    inner: list[Result] = []

    def meanwhile(**_: Any) -> None:
        if not inner:
            again = event(id="another", actor=EMERGENCY)
            inner.append(handle(again, handler=FORGETFUL, delivery="another"))

    set_flag("bad")
    hook = lambda world: world.aws.session.register("before-call.ssm.PutParameter", meanwhile)  # noqa: E731
    handle(event(id="last"), handler=FORGETFUL, delivery="last", hook=hook)
    assert inner[0].outcome == "remediated"
    assert heard() == []


def test_a_run_that_another_one_overtook_looks_again() -> None:
    set_flag("bad")
    inner: list[Result] = []

    def overtake(**_: Any) -> None:
        if not inner:
            inner.append(handle(event(id="event-2"), delivery="delivery-2"))

    outer = handle(hook=lambda world: world.aws.session.register("before-call.dynamodb.UpdateItem", overtake))
    assert (inner[0].outcome, outer.outcome) == ("remediated", "compliant")
    assert [message["event_id"] for message in heard()] == ["event-2"]
    assert len(records()) == 1


def test_a_run_that_is_overtaken_again_and_again_fails_loudly() -> None:
    def rewrite(**_: Any) -> None:
        ledger = boto3.client("dynamodb")
        item: Any = {"guardrail": {"S": ID}, "target": {"S": TARGET}, "rev": {"N": str(len(rewritten) + 5)}}
        ledger.put_item(TableName="holdfast", Item=item)
        rewritten.append(True)

    rewritten: list[bool] = []
    set_flag("bad")
    with pytest.raises(ExceptionGroup) as raised:
        handle(hook=lambda world: world.aws.session.register("before-call.dynamodb.UpdateItem", rewrite))
    assert isinstance(raised.value.exceptions[0], Contended)
    assert flag() == "bad"


def test_a_record_that_another_run_closed_is_not_closed_twice() -> None:
    set_flag("bad")
    inner: list[Result] = []

    def overtake(**_: Any) -> None:
        if not inner:
            inner.append(handle(event(), delivery="delivery-1"))

    closing = "before-call.dynamodb.TransactWriteItems"
    assert handle(hook=lambda world: world.aws.session.register(closing, overtake)).outcome == "remediated"
    assert len(records()) == 1
    assert not still_open()


def test_what_vanishes_under_the_fix_is_judged_as_gone() -> None:
    set_flag("v1")
    handle(sweep())
    set_flag("bad")

    def vanish(**_: Any) -> None:
        if vanished:
            return
        vanished.append(True)
        boto3.client("ssm").delete_parameter(Name="flag")
        raise ClientError({"Error": {"Code": "ParameterNotFound", "Message": "gone"}}, "PutParameter")

    vanished: list[bool] = []
    result = handle(hook=lambda world: world.aws.session.register("before-call.ssm.PutParameter", vanish))
    assert (result.outcome, flag()) == ("remediated", "v1")


def test_what_is_deleted_under_the_fix_is_not_told_to_be_back() -> None:
    set_flag("bad")

    def vanish(**_: Any) -> None:
        boto3.client("ssm").delete_parameter(Name="flag")

    moment = "before-call.ssm.AddTagsToResource"
    silent = replace(FORGETFUL, gone=lambda case: None, evaluate=lambda s, c: evaluate(s, c) and SHORT)
    assert handle(handler=silent, hook=lambda w: w.aws.session.register(moment, vanish)).outcome == "compliant"
    (message,) = heard()
    assert (message["outcome"], message["applied"], message["reason"]) == ("compliant", False, "it is gone by now")


def test_what_is_deleted_under_the_fix_of_a_second_run_is_left_to_the_first() -> None:
    silent = replace(FORGETFUL, gone=lambda case: None)
    told: list[Any] = []

    def vanish(**_: Any) -> None:
        boto3.client("ssm").delete_parameter(Name="flag")

    def meanwhile(**_: Any) -> None:
        if not told:
            again = replace(silent, evaluate=lambda s, c: evaluate(s, c) and SHORT)
            hook = lambda w: w.aws.session.register("before-call.ssm.AddTagsToResource", vanish)  # noqa: E731
            result = handle(event(id="second"), handler=again, delivery="d2", hook=hook)
            told.append((result.outcome, heard(), still_open()[0]["delivery"]))

    set_flag("bad")
    handle(handler=silent, hook=lambda w: w.aws.session.register("before-call.ssm.PutParameter", meanwhile))
    assert told == [("compliant", [], "delivery-1")]


def test_what_only_the_second_round_mends_is_told_as_made() -> None:
    set_flag("bad")
    once: list[bool] = []

    def deny(**_: Any) -> None:
        if not once:
            once.append(True)
            raise ClientError({"Error": {"Code": "ParameterNotFound", "Message": "not yet"}}, "PutParameter")

    assert handle(hook=lambda w: w.aws.session.register("before-call.ssm.PutParameter", deny)).outcome == "remediated"
    assert [(message["applied"], len(message["calls"])) for message in heard()] == [(True, 1)]


def test_a_call_that_aws_refused_is_not_told_as_made_because_another_was() -> None:
    def refuse(**_: Any) -> None:
        looked.append(True)
        raise ClientError({"Error": {"Code": "Conflict", "Message": "it is there"}}, "AddTagsToResource")

    looked: list[bool] = []
    wrong = replace(FORGETFUL, later={"Conflict": 60}, evaluate=lambda s, c: evaluate(s, c) if looked else SHORT)
    set_flag("bad")
    hook = lambda w: w.aws.session.register("before-call.ssm.AddTagsToResource", refuse)  # noqa: E731
    assert handle(handler=wrong, hook=hook).outcome == "remediated"
    (message,) = heard()
    assert ([made["operation"] for made in message["calls"]], message["applied"]) == (["put_parameter"], True)


def test_of_a_fix_that_was_taken_over_what_the_dead_run_may_have_done_is_told_too() -> None:
    def both(state: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        return replace(SHORT, fix=(*SHORT.fix, put("good"))) if state.value == "bad" else None

    set_flag("bad")
    with pytest.raises(Died):
        handle(handler=replace(FORGETFUL, evaluate=both), hook=dying(1, "before-call.ssm.PutParameter"), ends=1_000)
    assert handle(look(ID, TARGET), handler=FORGETFUL, delivery="watch").outcome == "remediated"
    (message,) = heard()
    assert [made["operation"] for made in message["calls"]] == ["add_tags_to_resource", "put_parameter"]


def test_a_fix_whose_rest_has_to_wait_is_deferred_half_done() -> None:
    def half(state: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        return Violation("half", fix=(put("half"),)) if state.value == "bad" else Violation("rest", later=60)

    set_flag("bad")
    assert handle(handler=replace(FORGETFUL, evaluate=half)).outcome == "deferred"
    (kept,) = still_open()
    assert (kept["applied"], kept["outcome"]) == (True, "")
    assert handle(look(ID, TARGET), handler=replace(FORGETFUL, evaluate=lambda *_: None)).outcome == "remediated"


def test_a_rest_that_could_be_mended_waits_too_if_it_has_to() -> None:
    def half(state: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        return Violation("x", fix=(put("half"),), later=60 if state.value == "half" else 0)

    set_flag("bad")
    assert handle(handler=replace(FORGETFUL, evaluate=half)).outcome == "deferred"
    assert still_open()[0]["reason"] == "x"


def test_stale_settings_are_used_and_said_to_be_stale(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    set_flag("bad")
    telemetry.metrics.clear_metrics()

    def fail_later(world: World) -> None:
        world.parameters.read()
        world.aws.client("ssm").meta.events.register("before-call", down)
        clock.shift(61)

    def down(model: Any, **_: Any) -> None:
        if model.name == "GetParametersByPath":
            raise EndpointConnectionError(endpoint_url="ssm")

    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        assert handle(hook=fail_later).outcome == "remediated"
    telemetry.flush()
    (why,) = (vars(line)["why"] for line in caplog.records if line.msg == "settings are stale")
    assert "ssm" in str(why)
    assert '"StaleSettings":[1.0]' in capsys.readouterr().out


def test_what_was_audited_excuses_nothing_worse() -> None:
    good = replace(TOY, baseline=None)
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        handle(sweep(), handler=good, mode="audit")
        clock.shift(86_400)
        set_flag("bad")
        assert handle(handler=good, mode="audit").outcome == "audited"
        assert handle(sweep(), handler=good).outcome == "audited"
        set_flag("stubborn")
        assert handle(sweep(), handler=good).outcome == "remediated"


def test_the_lease_of_a_dead_run_ends_and_a_look_tells_what_it_fixed() -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(hook=dying(7, "before-call"), ends=1_000)  # the fix is made, nobody was told
    assert flag() == "good"
    assert handle(look(ID, TARGET), delivery="watch").outcome == "remediated"
    assert [(message["event_id"], message["left"]) for message in heard()] == [("event-1", {"value": "good"})]


def test_what_a_dead_run_fixed_and_somebody_then_deleted_is_not_told_to_be_back() -> None:
    silent = replace(FORGETFUL, gone=lambda case: None)
    set_flag("bad")
    with pytest.raises(Died):
        handle(handler=silent, hook=dying(1, "before-call.events"), ends=1_000)
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(look(ID, TARGET), handler=silent, delivery="watch").outcome == "compliant"
    assert [(message["event_id"], message["reason"]) for message in heard()] == [("event-1", "it is gone by now")]
    assert not still_open()


def test_what_a_dead_run_left_beyond_mending_is_closed_though_the_same_was_told_before() -> None:
    set_flag("hopeless")
    assert handle().outcome == "escalated"
    set_flag("bad")
    with pytest.raises(Died):
        handle(event(id="event-2"), delivery="d2", hook=dying(1, "before-call.ssm.PutParameter"), ends=1_000)
    heard()
    set_flag("hopeless")
    result = handle(look(ID, TARGET), delivery="watch")
    assert (result.outcome, "UpdateItem" in result.calls) == ("escalated", False)
    assert [(message["event_id"], message["what"]) for message in heard()] == [("event-2", "the flag is hopeless")]
    assert not still_open()


def test_what_a_dead_run_left_is_not_taken_for_older_than_holdfast() -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(hook=dying(1, "before-call.ssm.PutParameter"), ends=1_000)
    assert handle(sweep(), delivery="sweep").outcome == "remediated"


def test_a_live_lease_is_respected_by_a_compliant_look() -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(hook=dying(7, "before-call"))
    assert handle(look(ID, TARGET), delivery="watch").outcome == "compliant"
    assert len(still_open()) == 1
    assert heard() == []


def test_without_the_ledger_the_fix_stands_is_told_and_the_event_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_flag("bad")
    with pytest.raises(ExceptionGroup) as raised:
        handle(hook=down("dynamodb"))
    assert isinstance(raised.value.exceptions[0], LedgerLost)
    assert flag() == "good"
    assert [message["outcome"] for message in heard()] == ["remediated"]
    assert "UNRECORDED" in caplog.messages
    assert handle().outcome == "compliant"


def test_what_the_log_keeps_of_a_record_carries_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    set_flag("bad")
    with pytest.raises(ExceptionGroup):
        handle(event(userAgent="client AKIAIOSFODNN7EXAMPLE"), hook=down("dynamodb"))
    (kept,) = (line for line in caplog.records if line.message == "UNRECORDED")
    assert kept.__dict__["record"]["actor"]["agent"] == "client AKIA[redacted]"


def test_without_the_ledger_nothing_is_guessed_about_what_is_gone() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        handle(hook=down("dynamodb"))
    assert isinstance(raised.value.exceptions[0], LedgerLost)
    assert TARGET in str(raised.value.exceptions[0])
    assert heard() == []


def test_without_the_topic_the_fix_stands_and_the_message_follows() -> None:
    set_flag("bad")
    with pytest.raises(ExceptionGroup) as raised:
        handle(hook=down("sns"))
    (failed,) = raised.value.exceptions
    assert failed.args[0] == f"{TARGET} was not told by every way"
    assert [type(error) for error in failed.args[1]] == [EndpointConnectionError]
    assert flag() == "good"
    assert len(still_open()) == 1
    assert handle().outcome == "remediated"
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_without_the_bus_people_are_told_all_the_same() -> None:
    set_flag("bad")
    with pytest.raises(ExceptionGroup):
        handle(hook=down("events"))
    assert flag() == "good"
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_without_settings_nothing_is_written() -> None:
    set_flag("bad")
    with pytest.raises(Exception, match="down"):
        handle(hook=down("ssm"))
    assert flag() == "bad"
    assert items() == []


def test_three_rounds_that_do_not_help_fail_loudly() -> None:
    set_flag("stubborn")

    def revert(**_: Any) -> None:
        set_flag("stubborn")

    with pytest.raises(ExceptionGroup) as raised:
        handle(hook=lambda world: world.aws.session.register("after-call.ssm.PutParameter", revert))
    assert isinstance(raised.value.exceptions[0], StillViolating)
    assert TARGET in str(raised.value.exceptions[0])
    (kept,) = still_open()
    assert len(kept["calls"]) == ROUNDS


def test_what_nobody_can_fix_is_escalated_once() -> None:
    set_flag("hopeless")
    assert handle().outcome == "escalated"
    assert handle(event(id="event-2"), delivery="delivery-2").outcome == "escalated"
    assert [(message["todo"], message["reason"]) for message in heard()] == [("Burn it.", "")]


def test_an_escalation_that_a_retry_tells_again_bears_the_same_id() -> None:
    set_flag("hopeless")
    with pytest.raises(Died):
        handle(hook=dying(1, "after-call.sns.Publish"))
    with time_machine.travel(2_000_000_000, tick=False):
        handle()
    first, second = heard()
    assert first["id"] == second["id"]


def test_what_has_to_wait_is_deferred_and_finished_by_a_look() -> None:
    set_flag("wait bad")
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        assert handle().outcome == "deferred"
        assert heard() == []
        (item,) = (i for i in items() if "due" in i)
        assert item["due"] == str(1_800_000_030)
        set_flag("hopeless")
        clock.shift(61)
        assert handle(look(ID, TARGET), delivery="watch").outcome == "escalated"
    assert not still_open()
    assert [(m["outcome"], m["actor"]["arn"]) for m in heard()] == [("escalated", MALLORY)]


def test_a_deferred_violation_that_settles_itself_is_closed_without_a_message() -> None:
    set_flag("wait a bit")
    handle()
    set_flag("good")
    with time_machine.travel(2_000_000_000, tick=False):
        assert handle(look(ID, TARGET), delivery="watch").outcome == "compliant"
    assert not still_open()
    assert heard() == []


def test_calls_that_must_wait_are_deferred_by_their_error_code() -> None:
    set_flag("bad")

    patient = replace(TOY, later={"TooManyUpdates": 60})
    result = handle(handler=patient, hook=refusing("TooManyUpdates"))
    assert result.outcome == "deferred"
    (kept,) = still_open()
    assert (kept["applied"], kept["todo"], "not now" in kept["reason"]) == (False, "", True)
    assert handle(look(ID, TARGET), delivery="watch").outcome == "remediated"
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_what_was_put_right_while_aws_refused_the_fix_is_told_and_not_deferred() -> None:
    """Two runs at once: the one that holds the record was refused, as the other had done it, and nobody told."""
    set_flag("bad")

    def too_late(**_: Any) -> None:
        set_flag("good")
        raise ClientError({"Error": {"Code": "TooManyUpdates", "Message": "not now"}}, "PutParameter")

    patient = replace(TOY, later={"TooManyUpdates": 60})
    result = handle(handler=patient, hook=lambda w: w.aws.session.register("before-call.ssm.PutParameter", too_late))
    assert result.outcome == "remediated"
    (message,) = heard()
    assert (message["applied"], message["reason"]) == (False, ELSEWHERE)
    assert not still_open()


def test_of_two_runs_at_once_one_tells_what_nobody_can_mend() -> None:
    set_flag("bad")
    hopeless = replace(TOY, evaluate=lambda state, case: Violation("the flag is bad", todo="Ask somebody."))
    during: list[str] = []

    def another(**_: Any) -> None:
        during.append(handle(handler=hopeless, delivery="delivery-2").outcome)

    handle(handler=hopeless, hook=lambda world: world.aws.session.register("before-call.events", another))
    assert during == ["escalated"]
    assert len({message["id"] for message in heard()}) == len(records()) == 1


def test_a_fix_without_the_ledger_does_not_claim_that_all_is_as_it_was() -> None:
    set_flag("bad")
    with pytest.raises(ExceptionGroup):
        handle(hook=down("dynamodb"))
    assert [message["reason"] for message in heard()] == [UNSURE]


def test_a_fix_that_aws_refuses_until_a_person_acts_is_escalated_with_what_to_do() -> None:
    set_flag("bad")

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "Ruled", "Message": "by the organisation"}}, "PutParameter")

    ruled = replace(TOY, stuck={"Ruled": "Ask the organisation's administrators."})
    result = handle(handler=ruled, hook=lambda w: w.aws.session.register("before-call.ssm.PutParameter", refuse))
    assert result.outcome == "escalated"
    (message,) = heard()
    assert message["what"] == "the flag is bad"
    assert message["todo"].startswith("Ask the organisation's administrators. AWS said: ")
    assert not still_open()


def test_what_is_to_be_tried_later_is_not_given_up_because_the_same_error_may_mean_more() -> None:
    once: list[str] = []

    def refuse(**_: Any) -> None:
        if not once:
            once.append("refused")
            set_flag("stubborn")
            raise ClientError({"Error": {"Code": "Ruled", "Message": "not now"}}, "AddTagsToResource")

    patient = replace(
        FORGETFUL,
        later={"Ruled: not now": 60},
        stuck={"Ruled": "Ask."},
        evaluate=lambda s, c: SHORT if s.value == "bad" else evaluate(s, c),
    )
    set_flag("bad")
    result = handle(handler=patient, hook=lambda w: w.aws.session.register("before-call.ssm.AddTagsToResource", refuse))
    assert (result.outcome, flag()) == ("remediated", "good")


def test_of_a_fix_that_aws_refused_half_way_the_calls_that_it_took_are_told() -> None:
    half = replace(FORGETFUL, stuck={"Ruled": "Ask."}, evaluate=lambda s, c: replace(SHORT, fix=(put("x"), *SHORT.fix)))
    set_flag("bad")
    assert handle(handler=half, hook=refusing("Ruled", "AddTagsToResource")).outcome == "escalated"
    (message,) = heard()
    assert ([made["operation"] for made in message["calls"]], message["applied"]) == (["put_parameter"], True)


def test_who_broke_what_holdfast_may_not_look_at_is_told() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    set_flag("bad")
    assert handle(handler=locked, hook=refusing("Shut", "GetParameter")).outcome == "escalated"
    (message,) = heard()
    assert (message["actor"]["arn"], message["what"]) == (MALLORY, "Holdfast can't look at it")
    assert message["todo"].startswith("Open it. AWS said: ")
    assert handle(event(id="event-2"), handler=locked, delivery="d2").outcome == "remediated"


def test_what_a_look_may_not_see_is_told_once_unless_it_is_exempt() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    shut = refusing("Shut", "GetParameter")
    set_flag("bad")
    for delivery in ("d1", "d2"):
        assert handle(look(ID, TARGET), handler=locked, delivery=delivery, hook=shut).outcome == "escalated"
    assert [message["what"] for message in heard()] == ["Holdfast can't look at it"]
    exempt(ID, TARGET)
    assert handle(sweep(), handler=locked, delivery="d3", hook=shut).outcome == "exempt"


def test_a_look_that_aws_refuses_says_nothing_of_what_was_known() -> None:
    """What was audited stays audited, what an exempt principal made stays theirs, and first sight comes later."""
    locked, shut = replace(FORGETFUL, stuck={"Shut": "Open it."}), refusing("Shut", "GetParameter")
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        set_flag("bad")
        assert handle(sweep(), handler=locked, delivery="d1", hook=shut).outcome == "escalated"
        assert handle(sweep(), handler=locked, delivery="d2").outcome == "audited"
        assert heard() == []
        clock.shift(86_400)
        assert handle(look(ID, TARGET), handler=locked, delivery="d3", hook=shut).outcome == "escalated"
        assert handle(look(ID, TARGET), handler=locked, delivery="d4").outcome == "audited"
        assert handle(look(ID, TARGET), handler=locked, delivery="d5", hook=shut).outcome == "escalated"
    assert [message["what"] for message in heard()] == ["Holdfast can't look at it"] * 2


def test_what_an_exempt_principal_made_stays_theirs_though_a_look_was_refused() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("bad")
    assert handle(event(actor=PIPELINE), handler=locked).outcome == "exempt"
    refused = handle(look(ID, TARGET), handler=locked, delivery="d2", hook=refusing("Shut", "GetParameter"))
    assert refused.outcome == "escalated"
    assert handle(look(ID, TARGET), handler=locked, delivery="d3").outcome == "exempt"


def test_a_call_on_what_nobody_can_see_says_nothing_of_what_was_known() -> None:
    locked, shut = replace(FORGETFUL, stuck={"Shut": "Open it."}), refusing("Shut", "GetParameter")
    set_flag("bad")
    assert handle(sweep(), handler=locked, delivery="d1").outcome == "audited"
    assert heard() == []
    for delivery in ("d2", "d3"):
        assert handle(event(id=delivery), handler=locked, delivery=delivery, hook=shut).outcome == "escalated"
    assert handle(look(ID, TARGET), handler=locked, delivery="d4", hook=shut).outcome == "escalated"
    assert [message["what"] for message in heard()] == ["Holdfast can't look at it"]
    assert handle(look(ID, TARGET), handler=locked, delivery="d5").outcome == "audited"
    assert handle(event(id="d6"), handler=locked, delivery="d6", hook=shut).outcome == "escalated"
    assert [message["what"] for message in heard()] == ["Holdfast can't look at it"]


def test_what_an_exempt_principal_made_stays_theirs_though_a_call_was_refused_its_look() -> None:
    locked, shut = replace(FORGETFUL, stuck={"Shut": "Open it."}), refusing("Shut", "GetParameter")
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("bad")
    assert handle(event(actor=PIPELINE), handler=locked).outcome == "exempt"
    assert handle(event(id="event-2"), handler=locked, delivery="d2", hook=shut).outcome == "escalated"
    assert handle(look(ID, TARGET), handler=locked, delivery="d3").outcome == "exempt"


def test_the_end_of_an_exemption_is_told_of_what_nobody_can_see() -> None:
    locked, shut = replace(FORGETFUL, stuck={"Shut": "Open it."}), refusing("Shut", "GetParameter")
    set_flag("bad")
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        exempt(ID, TARGET, expires="2027-01-16")
        assert handle(handler=locked, hook=shut).outcome == "exempt"
        clock.shift(10 * 86_400)
        assert handle(look(ID, TARGET), handler=locked, delivery="d2", hook=shut).outcome == "escalated"
    assert [message["outcome"] for message in heard()] == ["exempt", "escalated"]


def test_what_is_seen_again_is_mended_though_the_ledger_fails_just_then() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    set_flag("bad")
    handle(look(ID, TARGET), handler=locked, hook=refusing("Shut", "GetParameter"))
    heard()
    with pytest.raises(ExceptionGroup):
        handle(handler=locked, delivery="d2", hook=refusing("InternalServerError", "UpdateItem", "dynamodb"))
    assert flag() == "good"
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_the_digest_names_what_the_first_sweep_could_not_look_at() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    handle(sweep(), handler=locked, hook=refusing("Shut", "GetParameter"))
    ((target, told, _),) = world("toy").ledger.standing("toy")
    assert (target, told) == (TARGET, Told("escalated", BLIND))


def test_a_look_at_what_is_anothers_tells_nobody() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."}, inventory=lambda aws: [])
    set_flag("bad")
    assert handle(look(ID, TARGET), handler=locked, hook=refusing("Shut", "GetParameter")).outcome == "compliant"
    assert heard() == []
    assert handle(handler=locked, hook=refusing("Shut", "GetParameter"), delivery="d2").outcome == "escalated"
    assert handle(look(ID, TARGET), handler=locked, delivery="d3").outcome == "remediated"


def test_who_is_exempt_is_not_believed_of_what_nobody_can_see() -> None:
    locked = replace(FORGETFUL, stuck={"Shut": "Open it."})
    exempt(ID, TARGET, principal=MALLORY)
    set_flag("bad")
    assert handle(handler=locked, hook=refusing("Shut", "GetParameter")).outcome == "escalated"


def test_first_sight_makes_a_provisional_baseline_and_a_later_change_is_mended() -> None:
    set_flag("v1")
    assert handle(sweep()).outcome == "compliant"
    set_flag("v2")
    assert handle().outcome == "remediated"
    assert flag() == "v1"
    assert next(i["baseline"]["by"] for i in items() if "baseline" in i) == ""


@pytest.mark.parametrize(("actor", "by"), [(PIPELINE, PIPELINE), (MALLORY, "")])
def test_what_those_who_may_have_made_is_theirs_from_the_first(actor: str, by: str) -> None:
    set_flag("v1")
    assert handle(event(actor=actor), baseline_principals=[PIPELINE]).outcome == "compliant"
    assert pages()[TARGET]["baseline"]["by"] == by


def test_what_is_gone_and_may_be_keeps_its_baseline() -> None:
    silent = replace(TOY, gone=lambda case: None)
    set_flag("v1")
    handle(sweep(), handler=silent)
    before = pages()
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(event("DeleteParameter"), handler=silent, delivery="d2").outcome == "compliant"
    assert pages() == before


def test_what_a_call_has_made_of_a_thing_is_not_good_because_aws_did_not_find_it_at_first() -> None:
    def as_known(flag: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        good = case.baseline.value if case.baseline else "v1"
        return Violation("the flag was changed", fix=(put(good),)) if flag.value != good else None

    strict = replace(TOY, evaluate=as_known, gone=lambda _: None)
    assert handle(handler=strict).outcome == "compliant"
    assert pages()[TARGET]["baseline"]["by"] == ""
    set_flag("v2")
    assert handle(sweep(), handler=strict, delivery="d2").outcome == "remediated"
    assert flag() == "v1"


@dataclass(frozen=True)
class Remade(Flag):
    """A flag that was made again under another ARN."""

    arn: str


HEIR = HERE.arn("ssm", "parameter/heir")


def test_what_is_made_again_under_another_arn_takes_its_baseline_with_it() -> None:
    followed = replace(TOY, baseline=Remade, read=lambda case, aws: Remade("v1", arn))
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        arn = TARGET
        handle(look(ID, TARGET), handler=followed)
        arn = HEIR
        clock.shift(60)
        handle(look(ID, TARGET), handler=followed, delivery="d2")
        found = pages()
        handle(look(ID, TARGET), handler=followed, delivery="d3")
    assert (found[TARGET]["baseline"]["version"], found[TARGET]["baseline"]["moved_to"]) == (2, HEIR)
    assert found[TARGET]["baseline"]["state"] == {"value": "v1", "arn": TARGET}
    heir = {"version": 1, "state": {"value": "v1", "arn": HEIR}, "by": "", "at": 1_800_000_000, "moved_to": ""}
    assert found[HEIR]["baseline"] == heir
    assert pages() == found


@pytest.mark.parametrize("actor", [PIPELINE, MALLORY])
def test_what_takes_the_place_of_another_keeps_only_a_baseline_of_those_who_may(actor: str) -> None:
    """First sight says nothing of the place that it has now: how it was when nothing led there."""
    shared: Any = {"baseline_principals": [PIPELINE]}
    alone = replace(TOY, baseline=Remade, read=lambda case, aws: Remade("v1", str(case.target)))
    made = call("ssm", "PutParameter", {"name": "heir"}, actor=actor)
    handle(made, handler=replace(alone, read=lambda case, aws: Remade("open", HEIR)), **shared)
    handle(look(ID, TARGET), handler=alone, delivery="d2", **shared)
    moved = replace(alone, read=lambda case, aws: Remade("v1", HEIR))
    handle(look(ID, TARGET), handler=moved, delivery="d3", **shared)
    heir = pages()[HEIR]["baseline"]
    assert (heir["state"]["value"], heir["version"]) == (("open", 1) if actor == PIPELINE else ("v1", 2))


def test_a_change_by_those_who_may_is_the_new_baseline() -> None:
    set_flag("v1")
    handle(sweep())
    set_flag("v2")
    assert handle(event(actor=PIPELINE), baseline_principals=[PIPELINE]).outcome == "exempt"
    assert handle(sweep(), baseline_principals=[PIPELINE], delivery="d2").outcome == "compliant"
    assert flag() == "v2"
    assert sorted(i["target"].rpartition("#")[2] for i in items() if "version" in i) == ["1", "2"]


def test_nobody_makes_good_what_is_bad_in_itself() -> None:
    set_flag("v1")
    handle(sweep())
    set_flag("bad")
    assert handle(event(actor=PIPELINE), baseline_principals=[PIPELINE]).outcome == "remediated"
    assert flag() == "v1"


def test_an_actor_is_believed_only_when_aws_delivers_the_event() -> None:
    set_flag("v1")
    handle(sweep())
    set_flag("v2")
    forged = event(actor=PIPELINE) | {"source": "custom.forged"}
    assert handle(forged, baseline_principals=[PIPELINE]).outcome == "remediated"
    assert flag() == "v1"


def test_a_loss_by_those_who_may_is_accepted_and_stays_so() -> None:
    set_flag("v1")
    handle(sweep())
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(event("DeleteParameter", actor=PIPELINE), baseline_principals=[PIPELINE]).outcome == "exempt"
    later = event("DeleteParameter", eventTime="2099-01-01T00:00:00Z")
    assert handle(later, delivery="d2").outcome == "compliant"


def test_a_loss_is_theirs_only_if_their_call_deletes() -> None:
    set_flag("v1")
    handle(sweep())
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(event("PutParameter", actor=PIPELINE), baseline_principals=[PIPELINE]).outcome == "remediated"
    assert flag() == "v1"


def test_a_loss_by_others_is_repaired_from_the_baseline() -> None:
    set_flag("v1")
    handle(sweep())
    boto3.client("ssm").delete_parameter(Name="flag")
    assert handle(event("DeleteParameter")).outcome == "remediated"
    assert flag() == "v1"


def test_without_a_baseline_a_loss_is_escalated_never_guessed() -> None:
    assert handle(event("DeleteParameter")).outcome == "escalated"


def test_a_look_at_what_is_neither_there_nor_known_says_nothing() -> None:
    assert handle(look(ID, HERE.arn("ssm", "parameter/invented"))).outcome == "compliant"
    assert heard() == []


def test_a_defensive_act_of_a_responder_stands_and_is_told() -> None:
    set_flag("v1")
    handle(sweep())
    set_flag("locked")
    act = event("LockParameter", actor=RESPONDER)
    assert handle(act, responder_principals=[RESPONDER]).outcome == "exempt"
    assert flag() == "locked"
    assert "responder_principals" in heard()[0]["reason"]
    assert handle(event(eventTime="2099-01-01T00:00:00Z"), delivery="d2").outcome == "compliant"


def test_a_responders_act_does_not_cover_what_an_attacker_did_meanwhile() -> None:
    set_flag("bad")
    act = event("LockParameter", actor=RESPONDER)
    assert handle(act, responder_principals=[RESPONDER]).outcome == "remediated"


def test_without_the_ledger_a_look_judges_by_what_it_sees_alone() -> None:
    set_flag("locked")
    with pytest.raises(ExceptionGroup):
        handle(look(ID, TARGET), hook=down("dynamodb"))
    assert flag() == "locked"


def test_a_fix_that_is_deferred_for_an_hour_is_told_once() -> None:
    set_flag("bad")

    patient = replace(TOY, later={"TooManyUpdates": 60})
    for hour in range(4):
        with time_machine.travel(1_800_000_000 + hour * 3_601, tick=False):
            raw = look(ID, TARGET) if hour else event()
            assert (
                handle(raw, handler=patient, delivery=str(hour), hook=refusing("TooManyUpdates")).outcome == "deferred"
            )
    (told,) = heard()
    assert (told["outcome"], told["closed"] > told["opened"]) == ("deferred", True)
    assert handle(look(ID, TARGET), handler=patient, delivery="last").outcome == "remediated"
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_what_stays_wrong_after_a_fix_is_told_once() -> None:
    def half(state: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        return Violation("half", fix=(put("half"),)) if state.value == "bad" else Violation("rest", todo="Do the rest.")

    partly = replace(FORGETFUL, evaluate=half)
    for raw in (event(), look(ID, TARGET)):
        set_flag("bad")
        assert handle(raw, handler=partly, delivery=str(raw["id"])).outcome == "escalated"
    assert handle(look(ID, TARGET), handler=partly, delivery="third").outcome == "escalated"
    assert [message["todo"] for message in heard()] == ["Still: rest. Do the rest."]


def test_what_stays_wrong_after_the_fix_of_a_sweep_is_told() -> None:
    def half(state: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
        return Violation("half", fix=(put("half"),)) if state.value == "bad" else Violation("rest", todo="Do the rest.")

    set_flag("bad")
    swept = handle(sweep(), handler=replace(FORGETFUL, evaluate=half), remediate_existing=True)
    assert swept.outcome == "escalated"
    (message,) = heard()
    assert (message["todo"], message["left"]) == ("Still: rest. Do the rest.", {"value": "half"})


def test_a_fix_that_leaves_something_is_counted_and_what_aws_refused_is_none() -> None:
    set_flag("bad")
    assert handle().outcome == "remediated"
    assert pages()[TARGET]["baseline"]["state"] == {"value": "good"}
    assert pages()[TARGET]["contest"]["fixes"] == 1
    set_flag("bad")
    rest = lambda s, c: evaluate(s, c) if s.value == "bad" else Violation("rest")  # noqa: E731
    assert handle(event(id="event-2"), handler=replace(TOY, evaluate=rest), delivery="d2").outcome == "escalated"
    assert pages()[TARGET]["contest"]["fixes"] == 2
    set_flag("bad")
    refused = handle(
        event(id="event-3"),
        handler=replace(TOY, stuck={"Ruled": "Ask."}),
        delivery="d3",
        hook=refusing("Ruled", "PutParameter"),
    )
    assert (refused.outcome, pages()[TARGET]["contest"]["fixes"]) == ("escalated", 2)


def test_for_how_long_it_was_broken_is_counted_from_the_call_or_from_when_it_was_found() -> None:
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        set_flag("bad")
        handle(event(eventTime="2027-01-15T07:59:20Z"))
        assert pages()[TARGET]["contest"]["unsafe"] == 40
        set_flag("bad")
        with pytest.raises(Died):
            handle(event(id="event-2"), delivery="d2", hook=dying(1, "before-call.ssm.PutParameter"), ends=90)
        clock.shift(1000)
        late = event(id="event-3", eventTime="2027-01-15T08:16:30Z")
        assert handle(late, delivery="d3").outcome == "remediated"
    assert pages()[TARGET]["contest"]["unsafe"] == 40 + 1000


def test_a_sweep_does_not_take_what_was_escalated_for_the_good_state() -> None:
    kms = boto3.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=key["KeyId"])
    asked = {"enable_unknown": False}
    made = call("kms", "DisableKey", {"keyId": key["KeyId"]})
    assert run("kms-key-deletion", made, asked).outcome == "escalated"
    looked = look("kms-key-deletion", key["Arn"])
    assert run("kms-key-deletion", looked, asked, delivery="d2").outcome == "escalated"
    assert len(heard()) == 1
    assert not [item for item in items() if "baseline" in item]


def test_a_look_at_a_loss_that_was_told_does_not_have_it_told_again() -> None:
    for number, raw in enumerate((event("DeleteParameter"), look(ID, TARGET), event("DeleteParameter", id="event-2"))):
        assert handle(raw, delivery=str(number)).outcome == "escalated"
    assert len(heard()) == 1


def test_an_endless_event_id_keeps_no_record_open() -> None:
    set_flag("bad")
    assert handle(event(id="x" * 2_000)).outcome == "remediated"
    assert not still_open()


def test_every_use_of_break_glass_is_told() -> None:
    set_flag("good")
    for number in ("1", "2"):
        used = event(id=number, actor=EMERGENCY)
        assert handle(used, delivery=number, break_glass_arns=[EMERGENCY]).outcome == "compliant"
    told = "the break-glass principal called PutParameter; nothing is wrong"
    assert [(m["actor"]["arn"], m["what"], m["reason"]) for m in heard()] == [(EMERGENCY, told, BREAK_GLASS)] * 2


def lent(name: str, **more: Any) -> dict[str, Any]:
    """A call by another account in the name of a role of ours."""
    identity = {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{ME}:assumed-role/{name}/x",
        "invokedByDelegate": {"accountId": "999999999999"},
    }
    return event(userIdentity=identity, **more)


def test_a_provider_to_whom_a_role_is_lent_has_no_say_by_its_name() -> None:
    set_flag("v1")
    assert handle(sweep()).outcome == "compliant"
    set_flag("v2")
    theirs = {"baseline_principals": [PIPELINE], "responder_principals": [PIPELINE]}
    exempt(ID, TARGET, principal=PIPELINE)
    assert handle(lent("pipeline", eventTime=f"{datetime.now(UTC):%FT%TZ}"), **theirs).outcome == "remediated"
    (message,) = heard()
    assert message["actor"]["delegate"] == "999999999999"


def test_break_glass_that_is_lent_to_a_provider_is_told_too() -> None:
    set_flag("good")
    assert handle(lent("emergency"), break_glass_arns=[EMERGENCY]).outcome == "compliant"
    assert [message["reason"] for message in heard()] == [BREAK_GLASS]


def test_every_use_of_break_glass_is_on_record() -> None:
    set_flag("hopeless")
    for number in ("1", "2"):
        used = event(id=number, actor=EMERGENCY)
        assert handle(used, delivery=number, break_glass_arns=[EMERGENCY]).outcome == "escalated"
    assert {record["event_id"] for record in records()} == {"1", "2"}


def test_what_a_second_run_can_not_mend_yet_is_not_forgotten_by_the_first() -> None:
    patient = replace(FORGETFUL, later={"TooManyUpdates": 60})

    def second() -> None:
        set_flag("bad")
        again = event(id="second", actor=PIPELINE)
        assert handle(again, handler=patient, delivery="d2", hook=refusing("TooManyUpdates")).outcome == "deferred"

    set_flag("bad")
    assert handle(handler=patient, hook=while_it_tells(second)).outcome == "remediated"
    assert flag() == "good"
    assert [message["outcome"] for message in heard()] == ["remediated", "remediated"]
    assert not still_open()


def test_what_a_second_run_finds_to_wait_is_left_to_the_first() -> None:
    """Were it to take the record over, the first could neither close it nor tell."""
    inner = []

    def second() -> None:
        set_flag("wait bad")
        again = event(id="second", actor=PIPELINE)
        inner.append(handle(again, handler=FORGETFUL, delivery="d2").outcome)
        inner.append(still_open()[0]["delivery"])

    set_flag("bad")
    assert handle(handler=FORGETFUL, delivery="d1", hook=while_it_tells(second)).outcome == "deferred"
    assert inner == ["deferred", "d1"]
    assert [item["reason"] for item in still_open()] == [""]


def test_what_a_second_run_finds_beyond_mending_is_told_by_the_first() -> None:
    def second() -> None:
        set_flag("hopeless")
        again = event(id="second", actor=PIPELINE)
        assert handle(again, handler=FORGETFUL, delivery="d2").outcome == "escalated"

    set_flag("bad")
    assert handle(handler=FORGETFUL, hook=while_it_tells(second)).outcome == "escalated"
    assert [message["outcome"] for message in heard()] == ["remediated", "escalated"]
    assert not still_open()


def test_a_change_with_a_say_waits_for_the_run_that_mends_another() -> None:
    say: Any = {"baseline_principals": [PIPELINE]}

    def second() -> None:
        set_flag("v3")
        with pytest.raises(ExceptionGroup) as raised:
            handle(event(id="second", actor=PIPELINE), delivery="d2", **say)
        assert isinstance(raised.value.exceptions[0], Contended)

    set_flag("v1")
    handle(sweep(), delivery="d0")
    set_flag("v2")
    assert handle(hook=while_it_tells(second), **say).outcome == "remediated"
    assert handle(event(id="second", actor=PIPELINE), delivery="d2", **say).outcome == "exempt"
    assert flag() == "v3"


def test_break_glass_is_told_of_a_fight_that_is_told_of_no_more() -> None:
    for number in range(4):
        set_flag("bad")
        handle(event(id=f"e{number}"), handler=FORGETFUL, delivery=f"d{number}")
    heard()
    set_flag("bad")
    used = event(id="used", actor=EMERGENCY)
    assert handle(used, handler=FORGETFUL, delivery="used", break_glass_arns=[EMERGENCY]).outcome == "remediated"
    assert [message["actor"]["arn"] for message in heard()] == [EMERGENCY]


def test_break_glass_is_told_though_a_fight_is_told_to_be_over() -> None:
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        for number in range(3):
            set_flag("bad")
            handle(event(id=f"e{number}"), handler=FORGETFUL, delivery=f"d{number}")
        heard()
        clock.shift(7200)
        used = event(id="used", actor=EMERGENCY)
        assert handle(used, handler=FORGETFUL, delivery="used", break_glass_arns=[EMERGENCY]).outcome == "compliant"
    assert [message["actor"]["arn"] for message in heard()] == ["", EMERGENCY]


@pytest.mark.parametrize("before", [(), (MALLORY,)])
def test_break_glass_is_told_though_the_fix_has_to_wait(before: tuple[str, ...]) -> None:
    set_flag("wait")
    for actor in before:
        handle(event(actor=actor))
    used = event(id="used", actor=EMERGENCY)
    assert handle(used, delivery="used", break_glass_arns=[EMERGENCY]).outcome == "deferred"
    assert [(message["actor"]["arn"], message["event_id"]) for message in heard()] == [(EMERGENCY, "used")]


def test_a_look_without_the_ledger_changes_nothing_that_may_be_so() -> None:
    set_flag("bad")
    assert handle(sweep(), handler=FORGETFUL).outcome == "audited"
    with pytest.raises(ExceptionGroup) as raised:
        handle(look(ID, TARGET), handler=FORGETFUL, delivery="d2", hook=down("dynamodb"))
    assert isinstance(raised.value.exceptions[0], LedgerLost)
    assert flag() == "bad"


def test_a_forged_event_does_not_tell_when_things_were() -> None:
    set_flag("v1")
    handle(sweep())
    forged = event(eventTime="2020-01-01T00:00:00Z") | {"source": "custom.forged"}
    set_flag("v2")
    assert handle(forged).outcome == "remediated"
    assert flag() == "v1"


def test_a_late_event_finds_what_was_known_in_its_time_though_the_baseline_has_grown_since() -> None:
    growing = replace(TOY, safer=lambda found, known: found.value > known.value)
    good = replace(growing, evaluate=lambda s, c: Violation("x", fix=(put("v2"),)) if s.value < "v2" else None)
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        set_flag("v2")
        handle(sweep(), handler=good)
        clock.shift(3600)
        set_flag("v3")
        handle(sweep(), handler=good, delivery="d2")
        clock.shift(60)
        boto3.client("ssm").delete_parameter(Name="flag")
        late = event("DeleteParameter", eventTime="2027-01-15T08:30:00Z")
        assert handle(late, handler=good, delivery="d3").outcome == "remediated"
    assert flag() == "v3"


def test_what_an_attacker_makes_too_large_for_the_ledger_is_mended_told_and_closed() -> None:
    """A page with all of it would be refused, and nothing known of the break should the run die."""
    broken = Violation("x", fix=(put("good"),))
    huge = replace(FORGETFUL, read=lambda c, a: Flag(flag() * 150_000 if flag() == "bad" else flag()))
    over = replace(huge, evaluate=lambda s, c: broken if s.value.startswith("bad") else None)
    set_flag("bad")
    with pytest.raises(Died):
        handle(handler=over, hook=dying(5, "before-call"))
    assert still_open()
    assert handle(handler=over).outcome == "remediated"
    assert [message["outcome"] for message in heard()] == ["remediated"]
    assert not still_open()


def test_an_exemption_that_was_cut_short_is_due_earlier() -> None:
    set_flag("bad")
    for number, expires, due in (("1", "2030-01-01T00:00Z", 1_893_456_001), ("2", "2029-01-01T00:00Z", 1_861_920_001)):
        exempt(ID, TARGET, expires=expires)
        handle(look(ID, TARGET), delivery=number)
        assert pages()[TARGET]["due"] == str(due)
        assert "allowed" not in pages()[TARGET]


def test_the_exemption_of_a_principal_lets_a_sweep_leave_what_it_made() -> None:
    set_flag("v1")
    handle(sweep())
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("v2")
    assert handle(event(actor=PIPELINE)).outcome == "exempt"
    (message,) = heard()
    assert message["reason"].startswith("exemption ")
    assert handle(sweep(), delivery="d2").outcome == "exempt"
    set_flag("v3")
    assert handle(event(id="event-2"), delivery="d3").outcome == "remediated"


def test_an_exemption_that_is_over_is_none() -> None:
    exempt(ID, TARGET, expires="2020-01-01")
    set_flag("bad")
    assert handle().outcome == "remediated"


def test_what_an_exemption_allowed_is_due_when_it_ends() -> None:
    exempt(ID, TARGET, expires="2030-01-01T00:00Z")
    set_flag("bad")
    handle()
    assert next(i["due"] for i in items() if "due" in i) == str(1_893_456_001)


def test_what_the_first_sweep_finds_is_audited_quietly_and_later_sweeps_leave_it() -> None:
    set_flag("bad")
    first = handle(sweep(), handler=FORGETFUL)
    assert (first.outcome, first.calls.count("TransactWriteItems")) == ("audited", 1)
    assert first.calls.count("UpdateItem") == len(("it began", "it is done"))
    why = "it was so before Holdfast enforced, and remediate_existing is off"
    assert [record["reason"] for record in records()] == [why]
    assert heard() == []
    with time_machine.travel(2_000_000_000, tick=False):
        assert handle(sweep(), handler=FORGETFUL, delivery="d2").outcome == "audited"
        assert handle(sweep(), handler=FORGETFUL, delivery="d3", remediate_existing=True).outcome == "remediated"


def test_what_a_later_sweep_finds_was_missed_and_is_mended() -> None:
    set_flag("good")
    handle(sweep(), handler=FORGETFUL)
    set_flag("bad")
    with time_machine.travel(2_000_000_000, tick=False):
        assert handle(sweep(), handler=FORGETFUL, delivery="d2").outcome == "remediated"


def test_a_look_before_the_event_does_not_make_the_attackers_state_the_good_one() -> None:
    kms = boto3.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=key["KeyId"])
    assert run("kms-key-deletion", look("kms-key-deletion", key["Arn"])).outcome == "compliant"
    late = call("kms", "DisableKey", {"keyId": key["KeyId"]}, eventTime="2026-01-01T00:00:00Z")
    assert run("kms-key-deletion", late).outcome == "remediated"
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize(
    "odd",
    [
        "arn:aws:ssm:eu-west-1::parameter/flag",
        "arn:aws-cn:ssm:eu-west-1:123456789012:parameter/flag",
        "arn:aws:ssm:us-east-1:123456789012:parameter/flag",
        "arn:aws:s3:::x/flag",
        "arn:aws:ssm:eu-west-1:123456789012:parameter/x/flag",
        "arn:aws:ssm:eu-west-1:123456789012:flag",
    ],
)
def test_a_thing_has_one_name_and_a_look_by_another_finds_nothing(odd: str, caplog: pytest.LogCaptureFixture) -> None:
    set_flag("bad")
    assert handle(look(ID, odd)).outcomes == {}
    assert flag() == "bad"
    assert [vars(line)["target"] for line in caplog.records if line.msg in ("not guarded", "not ours")] == [odd]


def test_the_target_that_failed_is_logged_and_counted(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = HERE.arn("ssm", "parameter/broken")
    telemetry.metrics.clear_metrics()
    set_flag("good")
    with pytest.raises(ExceptionGroup, match=r"^1 of 2 targets failed"):
        handle(look(ID, broken, TARGET))
    telemetry.flush()
    assert [vars(line)["target"] for line in caplog.records if line.msg == "failed"] == [broken]
    assert '"Failed":[1.0]' in capsys.readouterr().out


def test_a_guardrail_that_is_off_by_itself_leads_to_nothing() -> None:
    set_flag("bad")
    assert handle(modes={ID: "off"}).outcomes == {}
    assert handle(modes={"another": "off"}, delivery="d2").outcome == "remediated"


def test_only_a_call_has_a_delay(capsys: pytest.CaptureFixture[str]) -> None:
    set_flag("good")
    telemetry.metrics.clear_metrics()
    handle(look(ID, TARGET) | {"time": "2026-01-01T00:00:00Z"})
    telemetry.flush()
    assert '"Delay"' not in capsys.readouterr().out


def test_a_call_that_failed_leads_to_nothing() -> None:
    set_flag("bad")
    failed = event(errorCode="AccessDenied")
    failed["source"] = "holdfast.forged"  # the rule drops it; who may invoke the function may bring one
    assert handle(failed).outcomes == {}
    assert flag() == "bad"


def test_a_call_on_what_the_guardrail_has_no_name_for_is_raised() -> None:
    astray = replace(TOY, targets=lambda event: [Arn("arn:aws:s3:::x/flag")])
    with pytest.raises(BadEvent, match=r"^toy does not guard arn:aws:s3:::x/flag$"):
        handle(handler=astray)


def test_each_change_by_those_who_may_moves_the_baseline_though_it_reads_the_same() -> None:
    same = replace(TOY, evaluate=lambda s, c: Violation("changed", fix=(put("v1"),)) if s != c.baseline else None)
    set_flag("v1")
    handle(sweep(), handler=same)
    for value in ("v2", "v3"):
        set_flag(value)
        raw = event(id=value, actor=PIPELINE)
        assert handle(raw, handler=same, delivery=value, baseline_principals=[PIPELINE]).outcome == "exempt"
    assert handle(sweep(), handler=same, delivery="last").outcome == "compliant"


def test_what_has_to_wait_is_only_audited_in_audit_mode() -> None:
    set_flag("wait bad")
    assert handle(mode="audit").outcome == "audited"
    assert [message["reason"] for message in heard()] == ["the mode is audit"]
    assert not still_open()


def test_what_was_so_before_is_not_put_right_because_it_had_to_wait() -> None:
    """Not by the look for which it would be deferred: with an open record nothing counts as older than Holdfast."""
    set_flag("wait bad")
    assert handle(sweep(), handler=FORGETFUL).outcome == "audited"
    assert (heard(), still_open()) == ([], [])
    assert handle(handler=FORGETFUL, delivery="d2").outcome == "deferred"


def test_a_guardrail_knows_what_was_told_that_it_can_not_mend() -> None:
    known: list[str] = []
    nosy = replace(FORGETFUL, evaluate=lambda s, c: known.append(c.escalated) or evaluate(s, c))  # type: ignore[func-returns-value]
    for number, value in enumerate(("hopeless", "hopeless", "bad", "good")):
        set_flag(value)
        handle(event(id=value), handler=nosy, delivery=f"d{number}")
    assert known == ["", "the flag is hopeless", "the flag is hopeless", "the flag is hopeless", ""]


def test_why_a_fix_was_not_made_is_told() -> None:
    set_flag("bad")
    assert handle(mode="audit").outcome == "audited"
    (message,) = heard()
    assert (message["reason"], message["applied"]) == ("the mode is audit", False)
    assert [planned["operation"] for planned in message["calls"]] == ["put_parameter"]


@pytest.mark.parametrize(("value", "outcome"), [("hopeless", "escalated"), ("bad", "audited")])
def test_in_audit_mode_the_first_sweep_tells_nobody_of_each(value: str, outcome: str) -> None:
    set_flag(value)
    assert handle(sweep(), handler=FORGETFUL, mode="audit").outcome == outcome
    assert heard() == []


def test_a_first_sweep_that_fails_does_not_count_as_one() -> None:
    def failing(aws: Aws) -> list[Arn]:
        raise ValueError("no inventory")

    set_flag("bad")
    with pytest.raises(ValueError, match="no inventory"):
        handle(sweep(), handler=replace(FORGETFUL, inventory=failing))
    with time_machine.travel(2_000_000_000, tick=False):
        assert handle(sweep(), handler=FORGETFUL, delivery="d2").outcome == "audited"


def test_a_large_sweep_goes_back_to_the_bus_in_batches() -> None:
    many = replace(TOY, inventory=lambda aws: [HERE.arn("ssm", f"parameter/p{n}") for n in range(120)])
    result = handle(sweep(), handler=many)
    assert result.outcomes == {}
    assert result.calls.count("PutEvents") == 1


def test_one_bad_target_does_not_keep_the_others() -> None:
    set_flag("bad")
    both = replace(TOY, targets=lambda e: [HERE.arn("ssm", "parameter/broken"), TARGET])
    with pytest.raises(ExceptionGroup) as raised:
        handle(handler=both)
    assert [str(error) for error in raised.value.exceptions] == ["broken"]
    assert flag() == "good"


@pytest.mark.parametrize(
    "foreign", [{"account": "999999999999"}, {"detail": event()["detail"] | {"recipientAccountId": "999999999999"}}]
)
def test_another_accounts_event_is_refused(foreign: dict[str, Any]) -> None:
    set_flag("bad")
    with pytest.raises(NotOurs):
        handle(event() | foreign)
    assert flag() == "bad"


def test_another_accounts_resource_is_left_alone() -> None:
    set_flag("bad")
    owned = event(resources=[{"ARN": "arn:aws:ssm:eu-west-1:999999999999:parameter/flag", "accountId": "999999999999"}])
    assert handle(owned).outcomes == {}
    elsewhere = replace(TOY, targets=lambda e: [Arn("arn:aws:ssm:eu-west-1:999999999999:parameter/x")])
    assert handle(handler=elsewhere).outcomes == {}


def test_a_compliant_event_costs_its_reads_and_one_look_up() -> None:
    set_flag("good")
    handle(sweep())
    assert handle(delivery="d2").calls == ["GetParametersByPath", "GetItem", "GetParameter"]
