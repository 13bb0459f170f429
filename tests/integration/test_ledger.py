"""What the ledger writes, when it refuses to, and what it says of what it holds. On moto."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError, EndpointConnectionError
from holdfast.contest import CALM, FOUGHT_OVER, HOUR, Contest
from holdfast.event import Actor
from holdfast.ledger import (
    DAY,
    RECORD,
    WATCH,
    Allowed,
    Baseline,
    Clock,
    Ledger,
    LedgerLost,
    Mark,
    Moved,
    Page,
    Round,
    Told,
)
from holdfast.model import ApiCall, Record
from support import HERE, MALLORY, account, items, world

ID = "toy"
TARGET = HERE.arn("ssm", "parameter/flag")
START = 1_800_000_000
NOBODY = Record(
    guardrail=ID,
    severity="high",
    account=HERE.account,
    region=HERE.region,
    target=TARGET,
    event_id="event-1",
    event_name="PutParameter",
    event_time="2027-01-15T08:00:00Z",
    actor=Actor(arn=MALLORY),
    opened=START,
    delivery="d1",
    opener="d1",
    lease=START + 60,
    what="the flag is bad",
)
CLOSED = replace(NOBODY, outcome="remediated", closed=START + 5)
FOUGHT = Contest(START, START, breaks=FOUGHT_OVER)
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    with account(), time_machine.travel(START, tick=False):
        CALLS.clear()
        yield


@pytest.fixture
def ledger() -> Ledger:
    here = world(ID)

    def note(**happening: Any) -> None:
        CALLS.append(happening["model"].name)

    here.aws.session.register("before-call", note)
    return here.ledger


def broken() -> Ledger:
    """The table of an account in which DynamoDB can't be reached."""

    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://down")

    here = world(ID)
    here.aws.session.register("before-call.dynamodb", refuse)
    return here.ledger


def page(ledger: Ledger, target: str = TARGET) -> Page:
    return ledger.page(ID, target)


def item(target: str = TARGET, guardrail: str = ID) -> dict[str, Any]:
    (found,) = [each for each in items() if (each["guardrail"], each["target"]) == (guardrail, target)]
    return {name: value for name, value in found.items() if name not in ("guardrail", "target")}


def history(suffix: str) -> dict[str, Any]:
    return item(f"{TARGET}#{suffix}", f"{ID}#history")


def test_of_what_nobody_knows_the_page_is_empty(ledger: Ledger) -> None:
    assert page(ledger) == Page(ledger, ID, TARGET)
    assert CALLS == ["GetItem"]


def test_a_page_shows_what_was_written_a_moment_ago(ledger: Ledger) -> None:
    """By itself GetItem may answer with an older state (DynamoDB API, GetItem); moto never does."""
    asked: list[Any] = []

    def note(**happening: Any) -> None:
        asked.append(happening["params"]["ConsistentRead"])

    ledger.aws.session.register("provide-client-params.dynamodb.GetItem", note)
    page(ledger)
    assert asked == [True]


def test_an_open_record_is_due_when_its_run_is_over(ledger: Ledger) -> None:
    kept = page(ledger)
    kept.contest = Contest(START, START, tries=1)
    kept.keep(NOBODY, START + 90)
    again = page(ledger)
    assert (again.open, again.contest, again.due, again.rev) == (NOBODY, kept.contest, START + 90, 1)
    assert (kept.open, kept.due, kept.rev) == (again.open, again.due, again.rev)
    assert item()["pending"] == "pending"


def test_of_two_who_open_a_record_the_second_is_refused(ledger: Ledger) -> None:
    first, second = page(ledger), page(ledger)
    first.keep(NOBODY, START + 90)
    with pytest.raises(Moved, match=TARGET):
        second.keep(replace(NOBODY, event_id="event-2"), START + 99)
    assert (second.open, page(ledger).open) == (None, NOBODY)
    first.keep(replace(NOBODY, todo="Burn it."), START + 90)
    assert page(ledger).rev == 2


def test_what_is_compliant_costs_a_write_only_where_something_is_new(ledger: Ledger) -> None:
    seen = Baseline(1, {"value": "v1"}, MALLORY, START)
    page(ledger).remember(None)
    assert CALLS.count("UpdateItem") == 0
    page(ledger).remember(seen)
    assert (page(ledger).baseline, history("baseline#1")["version"]["state"]) == (seen, {"value": "v1"})
    page(ledger).remember(seen)
    assert page(ledger).rev == 1
    page(ledger).remember(seen, Told("escalated", "x"))
    told = page(ledger)
    assert (told.baseline, told.told) == (seen, Told("escalated", "x"))
    told.remember(seen)
    assert page(ledger).told is None
    assert [each["target"] for each in items() if "version" in each] == [f"{TARGET}#baseline#1"]
    assert CALLS.count("TransactWriteItems") == 1


def test_what_is_compliant_is_neither_allowed_nor_looked_at_again(ledger: Ledger) -> None:
    page(ledger).close(replace(CLOSED, outcome="exempt"), None, Allowed("lab", "bad"), START + 500)
    page(ledger).remember(None)
    assert (page(ledger).allowed, page(ledger).told, page(ledger).due) == (None, None, 0)


def test_what_another_run_has_seen_of_a_compliant_thing_stands(ledger: Ledger) -> None:
    late = page(ledger)
    page(ledger).remember(Baseline(1, "new"))
    late.remember(Baseline(1, "old"))
    assert (page(ledger).baseline, history("baseline#1")["version"]["state"]) == (Baseline(1, "new"), "new")


def test_a_closed_record_is_history_and_the_page_is_free(ledger: Ledger) -> None:
    held = page(ledger)
    held.keep(NOBODY, START + 90)
    held.close(CLOSED, Baseline(1, "good"))
    free = page(ledger)
    assert (free.open, free.baseline, free.told, free.due) == (None, Baseline(1, "good"), None, 0)
    assert "pending" not in item()
    kept = history("record#d1-event-1")
    assert (kept["record"]["outcome"], kept["record"]["what"]) == ("remediated", "the flag is bad")
    assert kept["expires"] == str(CLOSED.closed + 400 * DAY)
    assert history("baseline#1")["version"]["state"] == "good"


@pytest.mark.parametrize("outcome", ["audited", "exempt", "escalated"])
def test_what_stands_is_remembered_as_told(ledger: Ledger, outcome: str) -> None:
    allowed = Allowed("lab", "bad")
    standing = replace(CLOSED, outcome=outcome)
    page(ledger).close(standing, None, allowed, START + 500)
    left = page(ledger)
    assert (left.told, left.allowed, left.due) == (Told(outcome, "the flag is bad"), allowed, START + 500)
    left.close(standing, None, standing="the flag is odd")
    rest = page(ledger)
    assert (rest.told, rest.allowed, rest.due) == (Told(outcome, "the flag is odd"), None, 0)


def test_while_a_thing_is_fought_over_somebody_looks_when_it_is_over(ledger: Ledger) -> None:
    held = page(ledger)
    held.contest = FOUGHT
    held.close(CLOSED, None)
    fought = page(ledger)
    assert (fought.due, fought.contest) == (START + CALM, FOUGHT)
    fought.contest = replace(FOUGHT, tries=3)
    fought.expect(START + 10)
    assert (page(ledger).due, page(ledger).contest) == (START + 10, fought.contest)
    fought.expect(0)
    assert page(ledger).due == START + CALM
    fought.settle()
    assert (page(ledger).due, page(ledger).contest) == (0, None)


def test_a_page_that_others_closed_is_closed_and_one_that_they_disturbed_is_not(ledger: Ledger) -> None:
    held = page(ledger)
    held.keep(NOBODY, START + 90)
    page(ledger).disturb()
    with pytest.raises(Moved):
        held.close(CLOSED, None)
    assert page(ledger).open == NOBODY
    page(ledger).close(CLOSED, None)
    held.close(replace(CLOSED, what="late"), None)
    assert history("record#d1-event-1")["record"]["what"] == "the flag is bad"


def test_a_page_that_a_later_run_holds_is_not_closed_by_an_earlier(ledger: Ledger) -> None:
    held = page(ledger)
    held.keep(NOBODY, START + 90)
    page(ledger).keep(replace(NOBODY, delivery="d2"), START + 99)
    held.close(CLOSED, None)
    assert page(ledger).open == replace(NOBODY, delivery="d2")


def test_nothing_disturbs_a_page_without_an_open_record(ledger: Ledger) -> None:
    page(ledger).remember(Baseline(1, "good"))
    with pytest.raises(Moved, match=TARGET):
        page(ledger).disturb()
    assert page(ledger).rev == 1


def test_other_errors_than_a_moved_page_are_not_taken_for_one(ledger: Ledger) -> None:
    held = page(ledger)
    held.keep(NOBODY, START + 90)
    boto3.client("dynamodb").delete_table(TableName="holdfast")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        held.disturb()
    held.keep(NOBODY, START + 90)
    with pytest.raises(LedgerLost, match=f"{ID} {TARGET}.*ResourceNotFound"):
        held.must_be_known()


def test_what_stands_is_due_anew_only_if_the_time_is_another(ledger: Ledger) -> None:
    page(ledger).close(replace(CLOSED, outcome="exempt"), None, due=START + 500)
    written = page(ledger).rev
    page(ledger).expect(START + 500)
    assert page(ledger).rev == written
    page(ledger).expect(0)
    assert page(ledger).due == 0
    late = page(ledger)
    page(ledger).expect(START + 700)
    with pytest.raises(Moved):
        late.expect(START + 600)


def test_without_the_table_a_page_is_lost_and_nothing_is_written() -> None:
    lost = page(broken())
    assert isinstance(lost.lost, EndpointConnectionError)
    lost.keep(NOBODY, START + 90)
    assert lost.open == NOBODY
    with pytest.raises(LedgerLost):
        lost.close(CLOSED, None)
    with pytest.raises(LedgerLost):
        lost.remember(Baseline(1, "good"))
    with pytest.raises(LedgerLost):
        lost.expect(START)
    with pytest.raises(LedgerLost):
        lost.settle()
    assert items() == []


def test_a_record_that_is_too_large_is_kept_without_its_bulk(ledger: Ledger) -> None:
    put = ApiCall("ssm", "put_parameter", {"Value": "x" * RECORD})
    page(ledger).keep(replace(NOBODY, found="y" * RECORD, undo=(put,)), START + 90)
    kept = item()["open"]
    assert (kept["found"], kept["what"]) == ({"omitted": "too large for the ledger"}, "the flag is bad")
    page(ledger, "large").remember(Baseline(1, "z" * RECORD))
    assert page(ledger, "large").baseline == Baseline(1, "z" * RECORD)


def test_the_fixes_that_an_actor_caused_are_counted_by_the_hour(ledger: Ledger) -> None:
    hour = START // HOUR
    assert [ledger.count(MALLORY, each) for each in (hour, hour, hour + 1)] == [1, 2, 1]
    assert item(f"{MALLORY}#{hour}", "actor") == {"fixes": "2", "expires": str((hour + 2) * HOUR)}
    assert broken().count(MALLORY, hour) == 0


def test_of_an_actor_one_delivery_tells_and_its_retries(ledger: Ledger) -> None:
    tells = [(3, "d3"), (4, "d4"), (3, "d3"), (5, "d5"), (6, "d6"), (5, "d5")]
    said = [ledger.may_tell(MALLORY, 0, fixes, 2, delivery) for fixes, delivery in tells]
    assert said == [True, False, True, True, False, True]
    assert ledger.may_tell(MALLORY, 1, 3, 2, "d7")


@pytest.mark.parametrize(
    ("write", "code"), [("UpdateItem", ""), ("TransactWriteItems", "TransactionCanceledException")]
)
def test_a_conflict_with_another_transaction_is_no_lost_ledger(ledger: Ledger, write: str, code: str) -> None:
    """moto has none (DynamoDB guide, "Transaction conflict handling": UpdateItem and TransactWriteItems)."""
    conflicts = [1, 1]

    def conflict(**_: Any) -> None:
        if conflicts:
            conflicts.pop()
            error: Any = {"Error": {"Code": code or "TransactionConflictException", "Message": "ongoing"}}
            reasons = {"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}
            raise ClientError(error | (reasons if code else {}), write)

    ledger.aws.session.register(f"before-call.dynamodb.{write}", conflict)
    found = page(ledger)
    if code:
        found.inherit(Baseline(1, "x"))
    else:
        found.keep(NOBODY, 0)
    assert (found.lost, found.rev, page(ledger).rev, conflicts) == (None, 1, 1, [])


def test_a_write_that_conflicts_again_and_again_is_left_to_the_next_look(ledger: Ledger) -> None:
    def conflict(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "TransactionConflictException", "Message": "ongoing"}}, "UpdateItem")

    ledger.aws.session.register("before-call.dynamodb.UpdateItem", conflict)
    found = page(ledger)
    with pytest.raises(Moved):
        found.keep(NOBODY, 0)


def test_only_what_is_due_is_asked_for_and_not_at_once_again(ledger: Ledger) -> None:
    for number in range(3):
        page(ledger, f"{TARGET}{number}").keep(NOBODY, START + number)
    assert sorted(ledger.due(START + 1)) == [(ID, f"{TARGET}0", START), (ID, f"{TARGET}1", START + 1)]
    ledger.postpone(ID, f"{TARGET}0", START, START + 300)
    ledger.postpone(ID, f"{TARGET}1", START, START + 300)
    assert item(f"{TARGET}0")["due"] == str(START + 300)
    assert list(ledger.due(START + 1)) == [(ID, f"{TARGET}1", START + 1)]


def test_a_first_sweep_has_a_time_in_which_it_finds_what_is_older(ledger: Ledger) -> None:
    assert ledger.survey_ends(ID) == 0
    ledger.begin_survey(ID, START + 100)
    assert ledger.survey_ends(ID) == START + 100
    assert list(ledger.due(START + 100)) == [(ID, "#survey", START + 100)]
    ledger.end_survey(ID)
    assert (list(ledger.due(START + 100)), ledger.survey_ends(ID)) == ([], START + 100)
    ledger.mark(ID, Mark.SWEPT, START)
    ledger.begin_survey(ID, START + 900)
    assert ledger.survey_ends(ID) == START + 100


def test_a_mark_never_goes_back_in_time(ledger: Ledger) -> None:
    assert ledger.marked(ID) == {Mark.ANSWERED: 0, Mark.SWEPT: 0}
    for at in (START, START + 5, START + 2):
        ledger.mark(ID, Mark.ANSWERED, at)
    assert ledger.marked(ID) == {Mark.ANSWERED: START + 5, Mark.SWEPT: 0}


def test_the_clocks_of_the_watch_are_kept_apart(ledger: Ledger) -> None:
    ledger.set_round(Clock.SWEEP, Round(START, START + 60))
    assert ledger.round(Clock.SWEEP) == Round(START, START + 60)
    assert ledger.round(Clock.CANARY) == Round(0, 0)
    assert item("#sweep", WATCH) == {"last": str(START), "next": str(START + 60)}


def test_what_stands_is_told_of_each_page_and_of_no_mark(ledger: Ledger) -> None:
    page(ledger).close(replace(CLOSED, outcome="audited"), Baseline(1, "good"))
    page(ledger, f"{TARGET}2").keep(NOBODY, START)
    ledger.begin_survey(ID, START)
    assert list(ledger.standing(ID)) == [
        (TARGET, Told("audited", "the flag is bad"), Baseline(1, "good")),
        (f"{TARGET}2", Told("", ""), None),
    ]
    assert list(ledger.standing("other")) == []


def test_a_sweep_looks_at_what_was_there_is_in_hand_or_was_told_of(ledger: Ledger) -> None:
    page(ledger, "there").remember(Baseline(1, "good"))
    page(ledger, "gone").remember(Baseline(1, None))
    page(ledger, "moved").remember(Baseline(1, "good", moved_to="heir"))
    page(ledger, "told").remember(None, Told("escalated", "x"))
    page(ledger, "open").keep(NOBODY, START)
    ledger.begin_survey(ID, START)
    assert sorted(ledger.known(ID)) == ["open", "there", "told"]
    assert list(ledger.known("other")) == []
