"""What somebody else wrote never reaches a person as more than plain words, nor any message with a secret in it.

Hostile values stand in every field of a CloudTrail record that its caller can fill, go through whole runs on moto, and
are looked for in what is handed to SNS and EventBridge: e-mail, subject, short message, JSON, attributes, event.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import incidents
import pytest
from holdfast.digest import digest
from holdfast.event import Actor
from holdfast.ledger import Told
from holdfast.message import LINE, clean, redacted, tell
from holdfast.model import ApiCall, Record
from holdfast.world import World
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import HERE, INCIDENTS, ME, REGION, account, look, run

for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

# Each with the part that nobody may see. None of them ever opened anything.
SECRETS = {
    "an access key": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "a temporary key": ("keyASIAIOSFODNN7EXAMPLE.", "IOSFODNN7EXAMPLE"),
    "a bare secret key": ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
    "a named secret key": ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "K7MDENG"),
    "a session token": ("FwoGZXIvYXdzEBYaDK7MDENGhellohellohellohellohellohellohello==", "K7MDENG"),
    "a newer session token": ("IQoJb3JpZ2luX2VjEK7MDENGhellohellohellohellohellohellohello", "K7MDENG"),
    "a web token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.K7MDENGsignature", "K7MDENG"),
    "a presigned URL": (
        "https://lake.s3.amazonaws.com/x?X-Amz-Credential=K7MDENG1%2F20260101&X-Amz-Security-Token=K7MDENG2&"
        "X-Amz-Signature=K7MDENG3",
        "K7MDENG",
    ),
    "an old presigned URL": ("https://lake.s3.amazonaws.com/x?AWSAccessKeyId=x&Signature=K7MDENG%3D", "K7MDENG"),
    "an encoded presigned URL": ("u=https%3A%2F%2Fx%3FX-Amz-Signature%3DK7MDENG", "K7MDENG"),
    "a private key": (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEK7MDENG\nK7==\n-----END RSA PRIVATE KEY-----",
        "K7MDENG",
    ),
    "half a private key": ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbK7MDENG", "K7MDENG"),
    "a password": ("password=K7MDENG", "K7MDENG"),
    "a short password": ('"passwd": "K7#"', "K7#"),
    "a password of two words": ('password: "horse K7MDENG"', "K7MDENG"),
    "a password with a comma": ("pwd='horse,K7MDENG'", "K7MDENG"),
    "a password in JSON in JSON": (r"{\"db_password\":\"K7MDENG\"}", "K7MDENG"),
    "a password under a long name": ("secret_of_the_production_database_in_ireland=K7MDENG", "K7MDENG"),
    "a password in XML": ("<Password>K7MDENG</Password>", "K7MDENG"),
    "a bearer": ("Authorization: Bearer K7MDENG", "K7MDENG"),
    "an access token": ("access_token=K7MDENG", "K7MDENG"),
    "an API key": ("X-Api-Key: K7MDENG", "K7MDENG"),
    "a bare secret key after a sign": ("sk=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
    "a bare secret key under a common name": ("AWS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
    "a bare secret key in a path": ("app/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
    "a session token in a URL": ("t=FwoGZXIvYXdz%2FEBYaDK7MDENGhello%2Bhellohello%3D", "K7MDENG"),
    "half a web token": ("id-eyJhbGciOiJIUzI1NiJ9K7MDENG", "K7MDENG"),
    "a PGP key": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQdGK7MDENG\n-----END PGP PRIVATE KEY BLOCK-----", "K7MDENG"),
    "a password in the environment": ("DB_PASS=K7MDENG", "K7MDENG"),
    "a password in a connection string": ("Server=db;Uid=x;Pwd=K7MDENG;", "K7MDENG"),
    "a password of an environment": ("DB_PWD=K7MDENG", "K7MDENG"),
    "a password in a URL's query": ("u=x%26password%3DK7MDENG", "K7MDENG"),
    "a password on a command line": ("mysql --password K7MDENG", "K7MDENG"),
    "a password in quotes on a command line": ('x --master-user-password "horse K7MDENG"', "K7MDENG"),
    "a password in a URL": ("postgres://admin:K7MDENG@db.example/x", "K7MDENG"),
    "a passcode": ("passcode: K7MDENG", "K7MDENG"),
    "a token": ("token=K7MDENG", "K7MDENG"),
    "a token of something": ("DEPLOY_TOKEN: K7MDENG", "K7MDENG"),
    "credentials": ("credentials: K7MDENG", "K7MDENG"),
    "a key of an account": ("AccountName=x;AccountKey=K7MDENG==;", "K7MDENG"),
    "an access key by its name": ("access_key=K7MDENG", "K7MDENG"),
    "a token of GitHub": ("ghp_16C7e42F292c6912E7K7MDENG8347Ae178B4a", "K7MDENG"),
    "a newer token of GitHub": ("github_pat_11AAAAAAA0aaaaaaaaaaaa_K7MDENGbbb", "K7MDENG"),
    "a token of Slack": ("xoxb-123456789012-K7MDENGdefghijkl", "K7MDENG"),
    "a webhook of Slack": ("https://hooks.slack.com/services/T000/B000/K7MDENG", "K7MDENG"),
    "a digest": ("Authorization: Digest K7MDENG", "K7MDENG"),
}
TRICKS = [
    "\n", "\r\n", "\t", "\x00", "\x1b[31mred\x1b[0m", "\x9b31m", "\u2028", "\u2029", "\u0085", "\u202e", "\u200f",
    "\u2066", "\u2069", "\u200b", "\u200d", "\ufeff", "\U000e0041", "\ud800",
    "https://evil.example/a", "HTTP://EVIL.EXAMPLE", "javascript://%0aalert(1)", "www.evil.example",
    "mailto:x@evil.example",
    "[click](https://evil.example)", "![x](y)", "[x]\u200b(y)", "[x](y", "`rm -rf /`", "```", "**bold**",
    "<b>x</b>", "<script>alert(1)</script>", "&lt;b&gt;", "<!channel>", "<@U12345>", "<https://evil.example|here>",
    "\r\nBcc: everybody@evil.example", "\nSubject: all is well", "=?utf-8?B?SGVsbG8=?=",
    "\n\nFound:     nothing\nWhat to do: nothing", "\\", "'; rm -rf / #", "$(id)", "%0a%0d", "x" * 700,
]  # fmt: skip

hostile = st.lists(
    st.one_of(st.sampled_from(TRICKS), st.sampled_from([text for text, _ in SECRETS.values()]), st.text(max_size=20)),
    min_size=1,
    max_size=4,
).map(" ".join)
LINES = re.compile(
    r"|Guardrail: .*|Found:     .*|Call:      .*|When:      .*|Why so:    .*|Calls made:|Calls it would have made:|  .*"
    r"|Before \(-\) and after \(\+\):|What to do: .*|If this was meant, exempt it .*|and then undo what was done:"
    r"|Record .*"
)
MARKS = ("://", "](", "<", ">", "`", "www.", "mailto:")


def assert_is_plain(text: str) -> None:
    assert text.isprintable()
    assert [mark for mark in MARKS if mark in text.lower()] == []


def assert_no_secret(text: str) -> None:
    assert [secret for _, secret in SECRETS.values() if secret in text] == []


def assert_is_harmless(calls: list[ApiCall]) -> None:
    for call in calls:
        if call.operation == "publish":
            assert_is_a_harmless_message(call.parameters)
        else:
            (entry,) = call.parameters["Entries"]
            assert_no_secret(json.dumps(entry, ensure_ascii=False))
            assert json.loads(entry["Detail"])["version"] == 1
            assert entry["Detail"].isascii()


def assert_is_a_harmless_message(publish: Mapping[str, Any]) -> None:
    forms = json.loads(publish["Message"])
    first, *rest = forms["email"].split("\n")
    for line in (first, *rest):
        assert_is_plain(line)
    assert [line for line in rest if not LINES.fullmatch(line)] == []
    for subject in (publish["Subject"], forms.get("sms", publish["Subject"])):
        assert_is_plain(subject)
        assert subject.isascii()
        assert "=?" not in subject
        assert 0 < len(subject) < 100
    assert json.loads(forms["default"])["version"] == 1
    assert forms["default"].isascii()
    attributes = {name: value["StringValue"] for name, value in publish["MessageAttributes"].items()}
    assert [value for value in attributes.values() if not re.fullmatch(r"[\w-]+", value)] == []
    assert_no_secret(json.dumps(publish, ensure_ascii=False))


def record(text: str) -> Record:
    """With the text wherever a guardrail, AWS or a caller may have put it."""
    bag = {text: text, "list": [text, {"deep": text}], "tags": [{"TagKey": "db_password", "TagValue": text}]}
    calls = (ApiCall("s3", "put_bucket_policy", {"Bucket": "lake", "Policy": json.dumps({"Sid": text})}),)
    return Record(
        guardrail="s3-vpc-only-policy",
        severity="critical",
        account=ME,
        region=REGION,
        target=f"arn:aws:s3:::{text}",
        event_id=text,
        event_name=text,
        event_time=text,
        actor=Actor(text, text, text, text, text, text, text, text),
        opened=1_767_225_600,
        delivery="d",
        lease=0,
        what=f"the policy says {text}",
        found=bag,
        calls=calls,
        undo=calls,
        todo=text,
        reason=text,
        applied=True,
        left={**bag, "changed": text},
        outcome="escalated",
        closed=1_767_225_605,
    )


@given(hostile)
@example("password=K7MDENG")
@example("<Password>x</Password> -----BEGIN RSA PRIVATE KEY-----\nK7MDENG")
def test_no_field_of_a_record_reaches_a_person_as_more_than_words(text: str) -> None:
    assert_is_harmless(list(tell(record(text), "topic", "default")))


@given(hostile)
def test_no_target_makes_a_header_or_a_secret_of_the_subject(text: str) -> None:
    _, publish = tell(replace(record("x"), target=f"arn:aws:s3:::{text}"), "topic", "default")
    assert_is_plain(publish.parameters["Subject"])
    assert "=?" not in publish.parameters["Subject"]
    assert_no_secret(publish.parameters["Subject"])


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_every_kind_of_secret_is_taken_out_wherever_it_stands(text: str, secret: str) -> None:
    for written in (text, f"before {text} after", f"({text})"):
        assert secret not in clean(written)
        assert secret not in json.dumps([call.parameters for call in tell(record(written), "topic", "default")])


@pytest.mark.parametrize(
    "text",
    [
        f"arn:aws:secretsmanager:eu-west-1:{ME}:secret",
        f"arn:aws:secretsmanager:eu-west-1:{ME}:secret:prod/db-AbCdEf",
        f"arn:aws:logs:eu-west-1:{ME}:log-group:secret-audit:*",
        f'"arn:aws:logs:eu-west-1:{ME}:log-group:secret-audit:*", "x"',
        f"arn:aws:s3:::lake/AWSLogs/{ME}/CloudTrail/eu-west-1/2026/01/01/Access1.json",
        f"arn:aws:s3:::lake/AWSLogs/{ME}/CloudTrail/useast1",
        f"arn:aws:iam::{ME}:role/application/MyCompanyServiceRoleForReports1",
        f"arn:aws:cloudtrail:eu-west-1:{ME}:trail/secret-audit",
        "arn:aws:s3:::db-passwords/*",
        '"Null": {"aws:TokenIssueTime": "true", "aws:MultiFactorAuthAge": "true"}',
        '"NumericLessThan": {"s3:signatureAge": "600000"}, "StringNotEquals": {"s3:signatureversion": "AWS4"}',
        '"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:eu-west-1:123456789012:key/1234", "KeyId": "k"',
        '"BucketKeyEnabled": true, "kms:key": "x", "ClientToken": "holdfast-1", "NextToken": "x"',
        '"Action": ["iam:CreateAccessKey", "sts:GetFederationToken", "secretsmanager:GetRandomPassword"], "Sid": "x"',
        '{"Tags": [{"Key": "owner", "Value": "storage"}], "AccessKeyId": "AROAEXAMPLE"}',
        "bypass=no, compass: north",
        "secretsmanager:GetSecretValue",
        f"arn:aws:iam::{ME}:role/aws-service-role/access-analyzer.amazonaws.com/AWSServiceRoleForAccessAnalyzer",
        "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sts:GetSessionToken",
        "aws-cli/2.15.30 Python/3.11.8 Linux/6.1.79 exe/x86_64.amzn.2023",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "-eyJ" * 50_000,
        "-----BEGIN " * 20_000,
        "-----BEGIN RSA PRIVATE KEY-----" + "-----END A" * 20_000,
        "secret=" + "\\" * 100_000 + '"' + "\\" * 100_000,
        "secret" + "\\" * 200_000,
        "secret" * 33_000,
        "secret: bearer" + " " * 200_000,
        "--secret-" * 22_000,
        "--a " * 50_000,
        "-" * 200_000,
        "://:" * 50_000,
        "://" + "a:" * 100_000,
        "FwoG%2" * 33_000,
        "ghp_" * 50_000,
        "xoxb-" * 40_000,
        "aB1/" * 50_000,
        "hooks.slack.com/services/" * 8_000,
        "a.b" * 66_000,
    ],
    ids=lambda text: text[:20],
)
def test_no_repetition_costs_its_square(text: str) -> None:
    """It would not end: a run of Lambda dies of it, and so does each that comes after to tell the same."""
    assert len(clean(text)) <= LINE
    assert redacted({"key": text, text: text})


@given(hostile)
def test_a_digest_is_as_harmless(text: str) -> None:
    told = [(HERE.bucket("lake"), Told("audited", f"the policy says {text}"), None)]
    call = digest("s3-vpc-only-policy", HERE, told, "topic")
    assert call is not None
    forms = json.loads(call.parameters["Message"])
    for line in (call.parameters["Subject"], *forms["email"].split("\n")):
        assert_is_plain(line)
    assert_no_secret(json.dumps(call.parameters))


NAMES = ("my-secrets", "secrets", "team-passwords", "secret-audit", "token", "credentials", "db-pwd", "api-key-of-x")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "what",
    [
        "Block Public Access of {} lacks BlockPublicAcls, IgnorePublicAcls",
        "default encryption of {} falls short: the algorithm is AES256, not aws:kms",
        "trail {} is amiss: it is stopped; its bucket is {}, not audit-logs",
        "the policy of {} lacks HoldfastTls",
        "It can't be as it was: bucket {} is missing, another account's, or closed to Holdfast.",
    ],
)
def test_what_is_said_of_a_thing_whose_name_is_like_a_secrets_stays_readable(name: str, what: str) -> None:
    said = what.format(name, name)
    assert clean(said) == redacted(said) == said
    told = [(HERE.bucket(name), Told("audited", said), None)]
    call = digest("s3-vpc-only-policy", HERE, told, "topic")
    assert call is not None
    forms = json.loads(call.parameters["Message"])
    assert f"arn:aws:s3:::{name} - {said}" in forms["email"]
    assert json.loads(forms["default"])["broken"] == [f"arn:aws:s3:::{name} - {said}"]


@pytest.mark.parametrize(
    "value",
    [["K7MDENG"], {"value": "K7MDENG"}, 7_654_321, [{"deep": ["K7MDENG"]}]],
    ids=["list", "mapping", "number", "deep"],
)
@pytest.mark.parametrize("name", ["db_password", "token", "db_pwd", "DB_PASS", "credentials", "access_key"])
def test_whatever_stands_under_a_secret_name_is_hidden(name: str, value: Any) -> None:
    event, _ = tell(replace(record("x"), found={name: value}), "topic", "default")
    assert json.loads(event.parameters["Entries"][0]["Detail"])["found"] != {name: value}
    assert "K7MDENG" not in str(event)
    assert "7654321" not in str(event)


def spoilt(event: Mapping[str, Any], texts: Iterator[str]) -> dict[str, Any]:
    """The event with hostile text in all that its caller fills, and in parameters that nobody asked for."""
    detail = dict(event["detail"])
    identity = {
        "type": next(texts),
        "arn": next(texts),
        "principalId": next(texts),
        "userName": next(texts),
        "invokedBy": next(texts),
        "accountId": ME,
        "sessionContext": {"sessionIssuer": {"arn": next(texts), "userName": next(texts)}},
    }
    request = {**(detail["requestParameters"] or {}), "tagSet": [{"key": next(texts), "value": next(texts)}]}
    request |= {"note": next(texts), next(texts): next(texts)}
    detail |= {"userIdentity": identity, "userAgent": next(texts), "sourceIPAddress": next(texts)}
    detail |= {"requestParameters": request, "eventID": next(texts)}
    return {**event, "detail": detail}


@pytest.mark.parametrize("guardrail", INCIDENTS)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(hostile, min_size=3, max_size=15), mode=st.sampled_from(["enforce", "audit"]))
def test_no_hostile_record_speaks_through_a_whole_run(guardrail: str, texts: list[str], mode: str) -> None:
    said: list[ApiCall] = []

    def listen(world: World) -> None:
        def note(**happening: Any) -> None:
            operation = {"Publish": "publish", "PutEvents": "put_events"}[happening["model"].name]
            said.append(ApiCall("", operation, dict(happening["params"])))

        for operation in ("sns.Publish", "events.PutEvents"):
            world.aws.session.register(f"provide-client-params.{operation}", note)

    with account():
        incident = next(iter(INCIDENTS[guardrail].values()))()
        if incident.known:
            incident.run(look(guardrail, incident.target))
        incident.spoil()
        event = spoilt(incident.event, (texts[n % len(texts)] for n in range(50)))
        result = run(guardrail, event, incident.settings, hook=listen, **{**incident.shared, "mode": mode})
    assert {call.operation for call in said} == {"publish", "put_events"}, result
    assert_is_harmless(said)
