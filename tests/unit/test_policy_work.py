"""Whoever may write a bucket's policy also says how much work it is to judge: 20 KB of it must not hang the judge.

Work is counted in calls of functions, so that no test depends on how fast a machine is. A pattern that is the undoing
of a regular expression makes no calls: for these there is a limit of processor time, a hundred times what they take.
"""

import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from holdfast import Arn, Case, SharedSettings, shape
from holdfast.policy import covers, holds, public_grants
from holdfast_cli import project
from hypothesis import given
from hypothesis import strategies as st
from iam import Json, glob
from incidents.s3_vpc_only_policy import BUCKET, SETTINGS, document, ours
from support import HERE, ME

guardrail = project.load("s3-vpc-only-policy")
LIMIT = 20 * 1024
CALLS = 6_000_000  # about a second
SECONDS = 20


class TooMuch(BaseException):
    """Not an Exception: nothing may take it for an answer."""


@contextmanager
def bounded(calls: int = CALLS) -> Iterator[None]:
    left = calls

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooMuch(f"more than {calls} calls")

    def stop(*_: Any) -> None:
        raise TooMuch(f"more than {SECONDS} s")

    profiler, handler = sys.getprofile(), signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(profiler)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)


def case(**settings: Any) -> Any:
    return Case(Arn(BUCKET), shape.parse(guardrail.Settings, SETTINGS | settings), SharedSettings(), None, HERE)


def evaluate(policy: Json, **settings: Any) -> Any:
    return guardrail.evaluate(guardrail.Bucket("lake", policy, blocks_public=True), case(**settings))


def statement(condition: Json | None = None, **elements: Any) -> Json:
    found = {"Sid": "x", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [BUCKET, f"{BUCKET}/*"]}
    return found | ({"Condition": condition} if condition else {}) | elements


def size(policy: Json) -> int:
    return len(json.dumps(policy, separators=(",", ":")).encode())


def filled(make: Callable[[int], list[Json]]) -> Json:
    """A policy of such statements, as large as S3 takes it."""
    few, many = 1, LIMIT
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if size(document(*make(middle))) <= LIMIT else (few, middle)
    return document(*make(few))


def asked(operator: str, key: str, values: list[Any], **elements: Any) -> Json:
    return statement({operator: {key: values}}, **elements)


def agent(globs: list[str], *, Sid: str = "x", **tests: Json) -> Json:  # noqa: N803 - an element of a policy
    return statement({"StringLikeIfExists": {"aws:UserAgent": globs}} | tests, Sid=Sid)


def own(found: Json) -> Json:
    return found | {"Sid": "HoldfastVpcOnly"}


LINKED = f"arn:aws:iam::{ME}:role/aws-service-role/"
OURS = ours()
# By how often a thing can stand in 20 KB.
FILLED: dict[str, Callable[[int], list[Json]]] = {
    "stars and marks": lambda n: [*OURS, asked("StringLike", "aws:PrincipalArn", ["*?" * n + "!"])],
    "stars and marks in an ARN": lambda n: [*OURS, asked("ArnLike", "aws:PrincipalArn", [f"a:*:*:*:*:{'*?' * n}!"])],
    "stars and marks in an action": lambda n: [statement(Action="s3:" + "*?" * n + "zz")],
    "stars and letters in a resource": lambda n: [statement(Resource="arn:aws:s3:::" + "*a" * n)],
    "a pattern that almost matches its neighbour": lambda n: [agent(["*", "*a" * (n // 20) + "b", "a" * n])],
    "a star and many patterns": lambda n: [agent(["*", *(f"{i:03x}*" for i in range(n))])],
    "such patterns in many statements": lambda n: [
        agent(["*", "*a" * 9 + "b", "a" * 99], Sid=str(i)) for i in range(n)
    ],
    "many statements": lambda n: [asked("ArnNotLike", "aws:PrincipalArn", [f"{LINKED}{i}"]) for i in range(n)],
    "many keys": lambda n: [statement({"StringLikeIfExists": {f"a:{i:x}": ["*", "a*"] for i in range(n)}})],
    "many networks": lambda n: [asked("NotIpAddressIfExists", "aws:SourceIp", [f"{i:x}::/16" for i in range(n)])],
    "many numbers": lambda n: [asked("NumericLessThan", "s3:TlsVersion", list(range(n)))],
    "many values": lambda n: [asked("StringNotEquals", "aws:SourceVpc", [f"{i:x}" for i in range(n)])],
    "many patterns within ours": lambda n: [
        asked("StringNotLike", "aws:PrincipalArn", [f"{LINKED}{i}*" for i in range(n)])
    ],
    "our Sid on many patterns": lambda n: [
        own(asked("StringNotLike", "aws:PrincipalArn", [f"*{i:x}*" for i in range(n)]))
    ],
    "our Sid on many things": lambda n: [
        own(OURS[0]) | {"Action": [f"s3:*{i:x}" for i in range(n)], "Resource": [f"{BUCKET}*{i:x}" for i in range(n)]}
    ],
    "many access points": lambda n: [
        asked("StringLike", "s3:DataAccessPointArn", [":accesspoint/" * n + "$"], Effect="Allow")
    ],
}


@pytest.mark.parametrize("make", FILLED.values(), ids=FILLED)
def test_no_policy_that_s3_takes_is_too_much_work(make: Callable[[int], list[Json]]) -> None:
    policy = filled(make)
    assert size(policy) > LIMIT * 0.9
    with bounded():
        public_grants(policy)
        evaluate(policy)


def test_a_short_pattern_of_stars_and_marks_neither_hangs_nor_hides_a_broken_policy() -> None:
    trap = asked("StringLike", "aws:PrincipalArn", ["*?" * 10 + "!"], Action="s3:PutBucketPolicy")
    with bounded():
        violation = evaluate(document(trap))
    assert [s["Sid"] for s in json.loads(violation.fix[0].parameters["Policy"])["Statement"]][1:] == [
        "HoldfastVpcOnly",
        "HoldfastCloudFront",
        "HoldfastTls",
        "HoldfastTlsVersion",
    ]


def test_what_is_too_much_to_judge_is_taken_for_less_than_what_is_required() -> None:
    """It denies all that HoldfastTls denies, but that is told only by going through 3 MB of patterns."""
    always = agent(["*", *(f"{i:03x}*" for i in range(400))], Bool={"aws:SecureTransport": "false"})
    few = agent(["*", *(f"{i:03x}*" for i in range(20))], Bool={"aws:SecureTransport": "false"})
    assert covers([few], OURS[2])
    assert not covers([always], OURS[2])


def test_what_is_too_much_to_judge_does_not_hide_ours_nor_what_says_the_same() -> None:
    much = [agent(["*", *(f"{i:03x}*" for i in range(400))], Sid=str(n)) for n in range(3)]
    with bounded():
        assert covers([*much, OURS[2]], OURS[2])
        assert evaluate(document(*much, *OURS)) is None
    networks = [f"198.{i}.100.0/24" for i in range(250)]
    long = guardrail.required(guardrail.Bucket("lake"), case(allowed_source_ips=networks))
    with bounded(200_000):
        assert evaluate(document(*long), allowed_source_ips=networks) is None


def test_many_requests_ask_a_pattern_once_for_each_value() -> None:
    """Else 200 networks that must get in would each go through the whole policy."""
    networks = [f"198.{i}.100.0/24" for i in range(200)]
    owners = asked("StringLike", "aws:PrincipalArn", [f"*{i:x}*z" for i in range(900)], Action="s3:GetObject")
    with bounded(3_000_000):
        violation = evaluate(document(owners), allowed_source_ips=networks)
    assert violation.fix


texts = st.text("ab:", max_size=6)
globs = st.text("ab:*?", max_size=6)


@given(globs, texts)
def test_a_pattern_matches_as_backtracking_by_hand_says(pattern: str, text: str) -> None:
    assert holds("StringLike", [pattern], text) == glob(pattern, text)


SHORT = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)]


@given(st.text("ab*?", max_size=5), st.text("ab*?", max_size=5))
def test_a_pattern_that_covers_another_matches_all_that_the_other_matches(wide: str, narrow: str) -> None:
    if covers([statement(Action=wide)], statement(Action=narrow)):
        assert [text for text in SHORT if glob(narrow, text) and not glob(wide, text)] == []


@given(st.text("ab*?", max_size=5))
def test_a_pattern_covers_itself_and_a_star_covers_all(pattern: str) -> None:
    assert covers([statement(Action=pattern)], statement(Action=pattern))
    assert covers([statement(Action="*")], statement(Action=pattern))


def test_a_mark_of_one_pattern_is_no_match_for_a_star_of_another() -> None:
    assert not covers([statement(Action="s3:Get?")], statement(Action="s3:Get*"))
    assert covers([statement(Action="s3:Get?*")], statement(Action="s3:Get??"))


@given(st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "11.0.0.0/32", "::/64", "x"]), min_size=1))
def test_networks_are_asked_as_one_by_one(networks: list[str]) -> None:
    for address in ("9.255.255.255", "10.0.0.0", "10.1.2.3", "10.255.255.255", "11.0.0.0", "11.0.0.1", "::5", "1::"):
        each = {holds("IpAddress", [network], address) for network in networks}
        assert holds("IpAddress", networks, address) is (True if True in each else None if None in each else False)
