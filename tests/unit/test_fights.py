"""How a fight over a thing is counted."""

from dataclasses import replace

import pytest
from holdfast.contest import CALM, FOUGHT_OVER, HOUR, KIND, NAMED, OTHERS, Contest, broken, fixed, owner, tried
from holdfast.event import Actor

NOW = 1_800_000_000 - 1_800_000_000 % HOUR
MALLORY = Actor(arn="arn:aws:iam::123456789012:user/mallory")
EVE = Actor(arn="arn:aws:iam::123456789012:user/eve")
BEGUN = Contest(NOW, NOW, NOW // HOUR, tries=1)


def test_the_first_try_begins_a_fight() -> None:
    assert tried(None, NOW) == BEGUN


def test_a_further_try_within_the_hour_goes_on_with_it() -> None:
    assert tried(BEGUN, NOW + 60) == Contest(NOW, NOW + 60, NOW // HOUR, tries=2)


def test_tries_are_counted_by_the_hour_of_the_clock() -> None:
    late = replace(BEGUN, last=NOW + HOUR - 1, tries=7)
    assert tried(late, NOW + HOUR) == Contest(NOW, NOW + HOUR, NOW // HOUR + 1, tries=1)
    assert (late.tries_at(NOW + HOUR - 1), late.tries_at(NOW + HOUR), late.tries_at(NOW - 1)) == (7, 0, 0)


def test_of_what_was_no_fight_nothing_is_left_after_an_hour() -> None:
    few = replace(BEGUN, breaks=FOUGHT_OVER - 1, unsafe=99, actors={"x": 2})
    assert tried(few, NOW + CALM - 1).breaks == FOUGHT_OVER - 1
    assert tried(few, NOW + CALM) == Contest(NOW + CALM, NOW + CALM, (NOW + CALM) // HOUR, tries=1)
    assert broken(few, MALLORY, "open", NOW + CALM).breaks == 1
    assert few.ends == NOW + CALM


def test_a_fight_goes_on_until_its_end_is_told() -> None:
    fought = replace(BEGUN, breaks=FOUGHT_OVER)
    assert tried(fought, NOW + CALM).breaks == FOUGHT_OVER
    assert broken(fought, MALLORY, "open", NOW + CALM).breaks == FOUGHT_OVER + 1


def test_of_a_fight_what_is_new_is_told_five_times() -> None:
    fought = replace(BEGUN, breaks=FOUGHT_OVER, actors={str(MALLORY): 3}, kinds=("open",))
    assert fought.has_told(MALLORY, "open")
    assert not replace(fought, breaks=FOUGHT_OVER - 1).has_told(MALLORY, "open")
    assert not fought.has_told(MALLORY, "gone")
    assert not fought.has_told(EVE, "open")
    assert replace(fought, kinds=tuple("abcde")).has_told(MALLORY, "gone")
    assert replace(fought, actors=dict.fromkeys("abcde", 1)).has_told(EVE, "open")


def test_kinds_of_break_are_told_apart_by_how_they_begin() -> None:
    contest = BEGUN
    for what in ("a" * KIND + "1", "a" * KIND + "2", *"bcdefg"):
        contest = broken(contest, MALLORY, what, NOW)
    assert contest.kinds == ("a" * KIND, *"bcde")


def test_a_break_counts_who_broke_it() -> None:
    once = broken(BEGUN, MALLORY, "open", NOW + 1)
    assert once == replace(BEGUN, last=NOW + 1, breaks=1, actors={str(MALLORY): 1}, kinds=("open",))
    again = broken(once, MALLORY, "open", NOW + 4)
    assert (again.breaks, again.actors, again.last) == (2, {str(MALLORY): 2}, NOW + 4)


def test_a_break_that_nothing_was_begun_for_begins_a_fight() -> None:
    assert broken(None, MALLORY, "open", NOW) == Contest(NOW, NOW, breaks=1, actors={str(MALLORY): 1}, kinds=("open",))


def test_a_fix_counts_for_how_long_it_was_broken() -> None:
    once = fixed(BEGUN, 3.6)
    assert once == replace(BEGUN, fixes=1, unsafe=4)
    assert fixed(once, 3) == replace(BEGUN, fixes=2, unsafe=7)


def test_a_break_that_seems_to_come_after_its_fix_takes_no_time_away() -> None:
    assert fixed(replace(BEGUN, unsafe=5), -60).unsafe == 5


def test_it_is_fought_over_from_the_third_break() -> None:
    assert [replace(BEGUN, breaks=n).is_fought for n in (FOUGHT_OVER - 1, FOUGHT_OVER)] == [False, True]


def test_a_few_actors_are_named_and_the_rest_counted_together() -> None:
    contest = BEGUN
    for number in (*range(NAMED + 2), 0):
        contest = broken(contest, Actor(arn=f"actor-{number}"), "open", NOW)
    assert contest.actors == {"actor-0": 2, **{f"actor-{n}": 1 for n in range(1, NAMED)}, OTHERS: 2}


def test_it_is_told_in_one_sentence() -> None:
    fought = replace(BEGUN, breaks=3, actors={"mallory": 2, "eve": 1})
    told = "broken 3 times since 2027-01-15T08:00+00:00, by mallory (2), eve (1)"
    assert fought.summary() == told
    assert replace(fought, fixes=2, unsafe=41).summary() == f"{told}; put right 2 times, and broken for 41 s in all"


@pytest.mark.parametrize(
    ("via", "agent", "name"),
    [
        ("cloudformation.amazonaws.com", "cloudformation.amazonaws.com", "a CloudFormation stack"),
        ("", "APN/1.0 HashiCorp/1.0 Terraform/1.9", "Terraform"),
        ("", "c7n/0.9.53", "Cloud Custodian"),
        ("config.amazonaws.com", "", "AWS Config's remediation"),
        ("ssm.amazonaws.com", "", "an automation of Systems Manager"),
        ("", "aws-cli/2.22", str(MALLORY)),
    ],
)
def test_who_is_likely_to_put_it_back_is_a_tool_that_shows_itself(via: str, agent: str, name: str) -> None:
    assert owner(replace(MALLORY, via=via, agent=agent)) == name
