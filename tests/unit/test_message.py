"""Messages: complete, readable, within SNS's limits, and safe whatever an attacker wrote into an event."""

import json
import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
from holdfast import message
from holdfast.event import Actor
from holdfast.message import SECRETS, clean, command, diff, envelope, exempting, mail, slim, subject, tell
from holdfast.model import ApiCall, Record
from holdfast.settings import Exemption
from holdfast.shape import parse, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from support import MALLORY, ME, REGION

PUT = ApiCall("s3", "put_bucket_policy", {"Bucket": "lake", "Policy": '{"Statement":[]}'})
RECORD = Record(
    guardrail="s3-vpc-only-policy",
    severity="critical",
    account=ME,
    region=REGION,
    target="arn:aws:s3:::lake",
    event_id="1234",
    event_name="DeleteBucketPolicy",
    event_time="2026-01-01T00:00:00Z",
    actor=Actor(MALLORY, "IAMUser", ip="203.0.113.7", agent="aws-cli/2"),
    opened=1_767_225_600,
    delivery="d",
    lease=0,
    what="the policy lacks HoldfastTls",
    found={"policy": None},
    calls=(PUT,),
    undo=(ApiCall("s3", "delete_bucket_policy", {"Bucket": "lake"}),),
    applied=True,
    left={"policy": "new"},
    outcome="remediated",
    closed=1_767_225_605,
)


def test_a_mail_says_who_what_before_after_and_what_next() -> None:
    assert mail(RECORD) == (
        "arn:aws:s3:::lake was broken and is back.\n"
        "\n"
        f"Guardrail: s3-vpc-only-policy (critical), account {ME}, {REGION}\n"
        "Found:     the policy lacks HoldfastTls\n"
        f"Call:      {MALLORY} (IAMUser) called DeleteBucketPolicy from 203.0.113.7 with aws-cli/2\n"
        "When:      2026-01-01T00:00:00Z, told 2026-01-01T00:00:05Z\n"
        "\n"
        "Calls made:\n"
        "  aws s3api put-bucket-policy --region eu-west-1 --cli-input-json "
        """'{"Bucket": "lake", "Policy": "{\\"Statement\\":[]}"}'\n"""
        "\n"
        "Before (-) and after (+):\n"
        '  - "policy": null\n'
        '  + "policy": "new"\n'
        "\n"
        "If this was meant, exempt it (who answers for it, why, until when):\n"
        "  aws ssm put-parameter --region eu-west-1 --cli-input-json '"
        '{"Name": "/holdfast/exemptions/s3-vpc-only-policy/NAME", "Type": "String", "Value": '
        '"{\\"resource\\": \\"arn:aws:s3:::lake\\", \\"owner\\": \\"\\", \\"reason\\": \\"\\", '
        '\\"expires\\": \\"YYYY-MM-DD\\"}", "AllowedPattern": '
        r'''"^(\"?([^\"\\\\]|\\\\.))*\"20[0-9]{2}-[01][0-9]-[0-9]{2}(\"|T)(\"?([^\"\\\\]|\\\\.))*$"'''
        "}'\n"
        "and then undo what was done:\n"
        """  aws s3api delete-bucket-policy --region eu-west-1 --cli-input-json '{"Bucket": "lake"}'\n"""
        "\n"
        "Record 1767225600-1234"
    )


@pytest.mark.parametrize(
    "blanks",
    [
        {},
        {"owner": "data"},
        {"owner": "data", "reason": "a migration"},
        {"owner": "data", "expires": "2027-01-31"},
        {"reason": "a migration", "expires": "2027-01-31"},
        {"owner": "data", "reason": "a migration", "expires": "31.01.2027"},
        {"owner": "data", "reason": "a migration", "expires": "soon"},
    ],
)
def test_an_exemption_is_refused_by_ssm_until_it_is_filled_in(blanks: dict[str, str]) -> None:
    """Stored as it is proposed, it would be a parameter that makes no sense, and stop the guardrail."""
    put = exempting(RECORD).parameters
    value = json.dumps(json.loads(put["Value"]) | blanks)
    assert not re.search(put["AllowedPattern"], value)
    assert not re.fullmatch(put["AllowedPattern"], value)
    assert len(put["AllowedPattern"]) <= 1_024


@pytest.mark.parametrize(
    "filled",
    [
        {"owner": "data", "reason": "a migration", "expires": "2027-01-31"},
        {"owner": "d", "reason": 'the "lake"', "expires": "2027-12-01T08:30Z", "principal": MALLORY},
        {"owner": "ann@example.com", "reason": "JIRA-1: a\\b ü", "expires": "2030-10-09T08:30:00"},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_every_exemption_that_is_filled_in_is_taken_by_ssm(
    filled: dict[str, str], indent: int | None, backwards: bool
) -> None:
    put = exempting(RECORD).parameters
    value = json.loads(put["Value"]) | filled
    parse(Exemption, value)
    text = json.dumps(dict(reversed(value.items())) if backwards else value, indent=indent)
    assert re.search(put["AllowedPattern"], text)
    assert re.fullmatch(put["AllowedPattern"], text)


def test_a_shell_gives_ssm_what_was_proposed() -> None:
    words = shlex.split(command(exempting(RECORD), REGION))
    assert json.loads(words[-1]) == exempting(RECORD).parameters


def test_an_audit_shows_the_calls_it_would_have_made_and_no_diff() -> None:
    text = mail(replace(RECORD, outcome="audited", applied=False, left=None, reason="the mode is audit"))
    assert "Calls it would have made:" in text
    assert "Before (-)" not in text
    assert "undo what was done" not in text
    assert "Why so:    the mode is audit" in text


def test_who_is_unknown_is_said_to_be_unknown() -> None:
    assert "Call:      not known (Holdfast Sweep)" in mail(replace(RECORD, actor=Actor(), event_name="Holdfast Sweep"))


def test_sessions_and_services_in_between_are_named() -> None:
    actor = Actor("arn:role", "AssumedRole", session="alice", via="cloudformation.amazonaws.com")
    assert "(AssumedRole, session alice, through cloudformation.amazonaws.com)" in mail(replace(RECORD, actor=actor))
    identity = {"type": "FederatedUser", "arn": "arn:aws:sts::123456789012:federated-user/ann"}
    assert "(FederatedUser, session ann)" in mail(replace(RECORD, actor=Actor.parse({"userIdentity": identity})))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ftp.evil.com", "ftp.evil[.]com"),
        ("//evil.com/login", "//evil[.]com/login"),
        ("ann@evil.com", "ann@evil[.]com"),
        (
            "see evil.com. Or evil.co.uk, xn--evl-5oa.xn--p1ai",
            "see evil[.]com. Or evil.co[.]uk, xn--evl-5oa[.]xn--p1ai",
        ),
        ("http://evil.example:8080", "http[:]//evil[.]example:8080"),
        ("зло.рф", "зло[.]рф"),
        ("x.amazonaws.com.evil.com", "x.amazonaws.com.evil[.]com"),
        ("bucket.s3.amazonaws.com", "bucket.s3.amazonaws[.]com"),
        ("x cloudtrail.amazonaws.com/y", "x cloudtrail.amazonaws[.]com/y"),
        ("cloudtrail.amazonaws.com", "cloudtrail.amazonaws.com"),
        ("cloudtrail.amazonaws.com.cn", "cloudtrail.amazonaws.com.cn"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("aws-cli/2.15.30 Python/3.11.8 exe/x86_64.amzn.2023", "aws-cli/2.15.30 Python/3.11.8 exe/x86_64.amzn.2023"),
        ("AWS Internal", "AWS Internal"),
        ("tel:+1900555", "tel[:]+1900555"),
    ],
)
@pytest.mark.parametrize("field", ["agent", "ip", "session", "via", "principal"])
def test_what_a_caller_says_of_itself_becomes_no_link(field: str, written: str, shown: str) -> None:
    actor = Actor(**{"kind": "IAMUser", "ip": "192.0.2.1", "agent": "x", field: written})
    (line,) = (line for line in mail(replace(RECORD, actor=actor)).split("\n") if line.startswith("Call: "))
    assert shown in line
    assert written == shown or written not in line


def test_an_arn_is_shown_as_it_is() -> None:
    arn = f"arn:aws:iam::{ME}:user/ann@example.com"
    text = mail(replace(RECORD, actor=Actor(arn, "IAMUser"), target="arn:aws:s3:::www-example.com"))
    assert f"Call:      {arn} (IAMUser)" in text
    assert text.startswith("arn:aws:s3:::www-example.com was broken")


def test_telling_is_one_publish_for_people_and_machines_and_one_event() -> None:
    event, publish = tell(RECORD, "topic", "default")
    forms = json.loads(publish.parameters["Message"])
    assert publish.parameters["MessageStructure"] == "json"
    assert json.loads(forms["default"])["id"] == "1767225600-1234"
    assert forms["email"] == mail(RECORD)
    labels = {name: value["StringValue"] for name, value in publish.parameters["MessageAttributes"].items()}
    assert labels == {
        "guardrail": "s3-vpc-only-policy",
        "severity": "critical",
        "outcome": "remediated",
        "account": ME,
        "region": REGION,
    }
    (entry,) = event.parameters["Entries"]
    assert (entry["Source"], entry["DetailType"], entry["Resources"]) == (
        "holdfast",
        "Holdfast Record",
        ["arn:aws:s3:::lake"],
    )
    assert json.loads(entry["Detail"])["version"] == 1


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("one\ntwo\r\nthree", "one two  three"),
        ("evil\u202egnp.exe", "evil gnp.exe"),
        ("zero\u200bwidth", "zero width"),
        ("a\u3164b\u2800c\u115fd\u1160e\uffa0f", "a b c d e f"),
        ("see https://evil.example/x", "see https[:]//evil.example/x"),
        ("[click](https://evil.example)", "[click] (https[:]//evil.example)"),
        ("<b>bold</b> `code`", "‹b›bold‹/b› 'code'"),
        ("AKIAIOSFODNN7EXAMPLE did it", "AKIA[redacted] did it"),
        ("?X-Amz-Signature=0123456789abcdef&x", "?X-Amz-Signature=[redacted]&x"),
        ("x-amz-security-token=FwoGZXIvYXdzE", "x-amz-security-token=[redacted]"),
        ('{"password": "hunter2hunter2"}', '{"password": "[redacted]"}'),
        ("a_name-with*stars", "a_name-with*stars"),
        ("x" * 700, "x" * 599 + "…"),
    ],
)
def test_somebody_elses_text_is_made_safe(written: str, shown: str) -> None:
    assert clean(written) == shown


@given(st.text(max_size=300))
def test_no_text_makes_a_second_line_a_link_or_a_direction_mark(written: str) -> None:
    shown = clean(written)
    assert shown.isprintable() or shown == ""
    assert "://" not in shown
    assert "](" not in shown


@given(st.text(max_size=400), st.text(max_size=200))
def test_a_subject_is_always_one_that_sns_takes(target: str, guardrail: str) -> None:
    text = subject(replace(RECORD, target="arn:aws:s3:::" + target, guardrail=guardrail))
    assert 0 < len(text) < 100
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("field", ["agent", "ip", "session", "via", "kind", "arn", "account", "principal"])
def test_no_field_of_the_actor_carries_a_secret_or_a_line_into_a_mail(field: str) -> None:
    evil = "x\nFound: nothing https://evil.example AKIAIOSFODNN7EXAMPLE \u202e"
    actor = replace(RECORD.actor, **{"arn": "", field: evil})
    text = mail(replace(RECORD, actor=actor))
    assert "\nFound: nothing" not in text
    assert "https://evil" not in text
    assert "AKIAIOSFODNN7EXAMPLE" not in text
    assert "\u202e" not in text


def test_secrets_are_redacted_for_machines_too() -> None:
    record = replace(RECORD, found={"tags": {"note": "secret=abcdefghij"}, "ids": ["ASIAIOSFODNN7EXAMPLE"]})
    text = json.dumps(envelope(record))
    assert "abcdefghij" not in text
    assert "ASIAIOSFODNN7" not in text


def test_the_id_that_an_event_gave_itself_carries_no_secret() -> None:
    forged = replace(RECORD, event_id="AKIAIOSFODNN7EXAMPLE")
    assert "AKIAIOSFODNN7EXAMPLE" not in json.dumps([call.parameters for call in tell(forged, "topic", "bus")])


def test_a_message_never_outgrows_sns() -> None:
    huge = {"policy": "é" * 90_000}
    record = replace(RECORD, found=huge, left=huge, undo=(ApiCall("s3", "x", huge),), calls=(ApiCall("s3", "y", huge),))
    _, publish = tell(record, "topic", "default")
    assert len(publish.parameters["Message"].encode()) < 262_144
    assert json.loads(json.loads(publish.parameters["Message"])["default"])["target"] == RECORD.target


@pytest.mark.parametrize("part", ["found", "left", "calls", "undo"])
def test_what_cannot_fit_into_a_message_is_not_redacted_for_nothing(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte costs Lambda's smallest function seconds each time."""
    seen: list[int] = []

    class Counting:
        def sub(self, replacement: Any, text: str) -> str:
            seen.append(len(text))
            return SECRETS.sub(replacement, text)

    monkeypatch.setattr(message, "SECRETS", Counting())
    huge: dict[str, Any] = {"a": ["x" * 2_000] * 500}
    value: Any = huge if part in ("found", "left") else (ApiCall("cloudtrail", "put_event_selectors", huge),)
    tell(replace(RECORD, **{part: value}), "topic", "default")
    assert sum(seen) < 10_000


def test_of_what_is_too_large_the_bulkiest_is_left_out_and_says_so() -> None:
    huge = {"a": "x" * 300_000}
    record = replace(RECORD, found=huge)
    assert slim(record, 1_200) == replace(record, found={"omitted": "too large for a message: see the ledger's record"})
    assert slim(record, 1_200, "too large").found == {"omitted": "too large"}
    assert slim(record, 400_000) is record
    both = replace(RECORD, found=huge, left=huge)
    assert slim(both, 400_000) == replace(slim(record, 1_200), left=huge)
    assert slim(both, 0).calls == slim(both, 0).undo == ()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3_000), min_size=4, max_size=4), st.integers(900, 9_000))
def test_a_slim_record_is_no_longer_than_the_limit(lengths: list[int], limit: int) -> None:
    found, left, fix, undo = ({"a": "é" * length} for length in lengths)
    calls, back = (ApiCall("s3", "x", fix),), (ApiCall("s3", "x", undo),)
    record = slim(replace(RECORD, found=found, left=left, calls=calls, undo=back), limit)
    assert len(json.dumps(plain(record))) <= limit


@settings(max_examples=25)
@given(st.text(max_size=3_000), st.sampled_from(["", '"', "\\", "'", "é", "\"'"]))
def test_no_policy_makes_a_message_that_cannot_be_sent(text: str, filling: str) -> None:
    policy = (text + filling * 20_480)[:20_480]
    state = {"policy": policy}
    calls = (ApiCall("s3", "put_bucket_policy", {"Bucket": "lake", "Policy": policy}),)
    event, publish = tell(replace(RECORD, found=state, left=state, calls=calls, undo=calls), "topic", "default")
    assert len(publish.parameters["Message"].encode()) < 262_144
    assert len(event.parameters["Entries"][0]["Detail"].encode()) < 262_144


def test_what_is_secret_by_the_name_beside_it_is_redacted_everywhere() -> None:
    tags = [{"Key": "db_password", "Value": "hunter2hunter2"}]
    state = {"tags": {"api_key": "sk-live-12345678"}}
    calls = (ApiCall("ec2", "create_vpc_endpoint", {"Tags": tags}),)
    _, publish = tell(replace(RECORD, found=state, left=None, calls=calls), "topic", "default")
    assert "hunter2" not in publish.parameters["Message"]
    assert "sk-live" not in publish.parameters["Message"]


def test_a_command_that_is_unsafe_to_show_is_only_named() -> None:
    evil: Any = {"Bucket": "lake", "Policy": "AKIAIOSFODNN7EXAMPLE https://evil.example"}
    shown = command(ApiCall("s3", "put_bucket_policy", evil), REGION)
    assert shown == "aws s3api put-bucket-policy --region eu-west-1 … (the ledger's record has the rest)"


def test_a_command_names_another_region() -> None:
    shown = command(ApiCall("kms", "enable_key", {"KeyId": "k"}, "us-west-2"), REGION)
    assert shown == """aws kms enable-key --region us-west-2 --cli-input-json '{"KeyId": "k"}'"""


def test_a_diff_shows_what_appeared_and_what_went() -> None:
    assert diff(replace(RECORD, found=None, left={"a": 1})) == ["-null", "+{", '+ "a": 1', "+}"]
    assert diff(replace(RECORD, applied=False, left=None)) == []


def test_what_is_sent_is_addressed_labelled_and_headed() -> None:
    event, publish = tell(RECORD, "topic", "bus")
    assert [(call.service, call.operation) for call in (event, publish)] == [
        ("events", "put_events"),
        ("sns", "publish"),
    ]
    assert (publish.parameters["TopicArn"], event.parameters["Entries"][0]["EventBusName"]) == ("topic", "bus")
    assert {value["DataType"] for value in publish.parameters["MessageAttributes"].values()} == {"String"}
    heading = "[critical] remediated: s3-vpc-only-policy - lake"
    assert publish.parameters["Subject"] == heading
    assert json.loads(publish.parameters["Message"])["sms"] == heading


@pytest.mark.parametrize(
    ("target", "ends"),
    [
        ("arn:aws:s3::123456789012:account", " - account"),
        ("arn:aws:ec2:eu-west-1:123456789012:vpc-endpoint/vpce-1", " - vpc-endpoint/vpce-1"),
        ("account", " - account"),
        ("arn:aws:s3:::" + "x" * 200, "xxx"),
    ],
)
def test_a_subject_ends_with_what_it_is_about(target: str, ends: str) -> None:
    assert subject(replace(RECORD, target=target)).endswith(ends)


@pytest.mark.parametrize(
    ("actor", "says"),
    [
        (Actor(MALLORY, "IAMUser"), f"{MALLORY} (IAMUser) called DeleteBucketPolicy\n"),
        (Actor("", "Root", ip="192.0.2.1", agent="x"), "Root (Root) called DeleteBucketPolicy from 192.0.2.1 with x\n"),
        (
            Actor(kind="AWSAccount", account="444455556666", principal="AIDAEXAMPLE"),
            "AIDAEXAMPLE of account 444455556666 (AWSAccount) called DeleteBucketPolicy\n",
        ),
        (Actor(kind="AWSAccount", account="4444"), "AWSAccount of account 4444 (AWSAccount) called"),
        (
            Actor(MALLORY, "AssumedRole", "ci", delegate="4444", source_identity="ann"),
            f"{MALLORY}, lent to account 4444 (AssumedRole, session ci, begun by ann) called",
        ),
        (Actor(kind="SAMLUser", principal="ann"), "ann (SAMLUser) called DeleteBucketPolicy\n"),
        (
            Actor("s3.amazonaws.com", "AWSService", via="s3.amazonaws.com"),
            "s3.amazonaws.com (AWSService) called DeleteBucketPolicy\n",
        ),
        (
            Actor(MALLORY, "k" * 50, "s" * 200, "v" * 200, "i" * 200, "a" * 200),
            f"({'k' * 39}…, session {'s' * 99}…, through {'v' * 99}…) called DeleteBucketPolicy "
            f"from {'i' * 99}… with {'a' * 159}…\n",
        ),
    ],
)
def test_a_mail_says_of_the_caller_what_is_known_and_no_more(actor: Actor, says: str) -> None:
    assert says in mail(replace(RECORD, actor=actor))


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({"outcome": "exempt"}, (False, True)),
        ({"outcome": "deferred", "undo": ()}, (False, False)),
        ({"outcome": "escalated", "applied": False}, (True, False)),
        ({"outcome": "audited", "applied": False}, (True, False)),
    ],
)
def test_exempting_and_undoing_are_offered_where_they_help(changes: Any, offered: tuple[bool, bool]) -> None:
    text = mail(replace(RECORD, **changes))
    assert ("If this was meant, exempt it" in text, "and then undo what was done:" in text) == offered


def test_a_subject_is_filled_to_its_last_character_and_holds_no_encoded_word() -> None:
    """RFC 2047: a mail program would decode one into whatever it says."""
    assert len(subject(replace(RECORD, target="arn:aws:s3:::" + "x" * 200))) == 99
    assert subject(replace(RECORD, target="arn:aws:s3:::=?utf-8?B?SGk=?=")).endswith(" - = ?utf-8?B?SGk= ?=")


def test_a_diff_does_not_depend_on_the_order_of_what_was_found() -> None:
    assert diff(replace(RECORD, found={"a": 1, "b": 2}, left={"b": 2, "a": 3})) == ['- "a": 1,', '+ "a": 3,']


def test_what_a_person_must_do_is_said_at_length() -> None:
    assert f"\nWhat to do: {'x' * 1_999}…\n" in mail(replace(RECORD, todo="x" * 3_000))


def test_a_line_is_cut_only_where_it_is_too_long() -> None:
    assert clean("x" * 600) == "x" * 600


def test_a_secret_is_hidden_and_what_lies_beside_it_is_not() -> None:
    found = {
        "a": ["password=abc", {"Name": "db_password", "Value": "x", "Type": "String"}],
        "secret": ["y", True, None],
    }
    assert envelope(replace(RECORD, found=found))["found"] == {
        "a": ["password=[redacted]", {"Name": "db_password", "Value": "[redacted]", "Type": "String"}],
        "secret": ["[redacted]", True, None],
    }
    assert clean("a wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY b") == "a [redacted] b"
