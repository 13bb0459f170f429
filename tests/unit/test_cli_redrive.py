"""`holdfast redrive`: what lies in the two dead-letter queues is told in words, and goes back to its function."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError
from holdfast_cli import redrive
from holdfast_cli.main import app
from moto import mock_aws
from support import ME, REGION, call, canary, look, sweep
from typer.testing import CliRunner, Result

QUEUES = ("UndeliveredQueue", "FailedQueue")
KMS = "kms-key-deletion"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
EVENT = call("kms", "DisableKey", {"keyId": KEY}, eventTime="2026-01-01T00:00:00Z")

DEEP = json.loads("[" * 600 + "]" * 600)  # Python's recursion ends before it does


@pytest.fixture(autouse=True)
def _stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redrive, "WAIT", 0)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        urls = {f"{name}Url": boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        stack("holdfast", urls)
        yield


def stack(name: str, outputs: dict[str, str]) -> None:
    shown = {output: {"Value": value} for output, value in outputs.items()}
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": shown}
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


@pytest.fixture
def invoked() -> Iterator[list[tuple[str, str, Any]]]:
    """What Lambda is asked to run: function, invocation type, event. It refuses functions whose name ends in `-watch`.

    moto runs functions in Docker or not at all, so here Lambda is only this.
    """
    asked: list[tuple[str, str, Any]] = []

    def answer(params: Any, **happening: Any) -> Any:
        function = params["url_path"].split("/")[3]
        if function.endswith("-watch"):
            raise ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "Invoke")
        asked.append((function, params["headers"]["X-Amz-Invocation-Type"], json.loads(params["body"])))
        return type("Answer", (), {"status_code": 202})(), {"StatusCode": 202}

    events = boto3.client("lambda").meta.events
    events.register("before-call.lambda.Invoke", answer)
    yield asked
    events.unregister("before-call.lambda.Invoke", answer)


def arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ME}:function:holdfast-{name}"


def put(queue: str, body: Any, **attributes: str) -> str:
    said = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    sent = boto3.client("sqs").send_message(QueueUrl=url(queue), MessageBody=text, MessageAttributes=said)  # type: ignore[arg-type]
    return sent["MessageId"]


def undelivered(event: Any, guardrail: str = KMS, **more: str) -> str:
    """As EventBridge leaves it."""
    said = {
        "RULE_ARN": f"arn:aws:events:{REGION}:{ME}:rule/holdfast-KmsKeyDeletionCalls",
        "TARGET_ARN": arn(guardrail),
        "ERROR_CODE": "NO_PERMISSIONS",
        "ERROR_MESSAGE": "not authorized to perform: lambda:InvokeFunction",
        "RETRY_ATTEMPTS": "0",
    }
    return put("UndeliveredQueue", event, **(said | more))


def failed(event: Any, guardrail: str = KMS, error: str = "3 of 3 targets failed") -> str:
    """As Lambda leaves it."""
    record = {
        "version": "1.0",
        "timestamp": "2026-01-01T00:06:00.000Z",
        "requestContext": {
            "requestId": "e4b46cbf",
            "functionArn": f"{arn(guardrail)}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorType": "ExceptionGroup", "errorMessage": error, "stackTrace": ["…"]},
    }
    return put("FailedQueue", record)


def url(queue: str) -> str:
    return boto3.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]


def visible() -> int:
    """How many messages anybody could receive now."""
    name: Any = "ApproximateNumberOfMessages"
    counts = (
        boto3.client("sqs").get_queue_attributes(QueueUrl=url(queue), AttributeNames=[name])["Attributes"][name]
        for queue in QUEUES
    )
    return sum(map(int, counts))


def holdfast(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["redrive", *arguments], input=answer)


def told(*arguments: str) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(holdfast(*arguments, "--json").stdout)
    return letters


def test_what_could_not_be_delivered_is_told_in_words_and_stays(invoked: list[Any]) -> None:
    undelivered(EVENT, EXHAUSTED_RETRY_CONDITION="MaximumRetryAttempts", RETRY_ATTEMPTS="184")
    result = holdfast()
    assert result.stdout.splitlines()[1:] == [
        f"  DisableKey by arn:aws:iam::{ME}:user/mallory at 2026-01-01T00:00:00Z",
        f"  on arn:aws:kms:{REGION}:{ME}:key/{KEY}",
        "  tried 185 times: NO_PERMISSIONS: not authorized to perform: lambda:InvokeFunction (MaximumRetryAttempts)",
    ]
    assert (result.exit_code, visible(), invoked) == (1, 1, [])


def test_what_a_function_could_not_finish_is_told_with_its_error(invoked: list[Any]) -> None:
    id = failed(EVENT)
    (letter,) = told()
    assert (letter["id"], letter["queue"], letter["guardrail"]) == (id, "failed", KMS)
    assert (letter["why"], letter["tries"]) == ("ExceptionGroup: 3 of 3 targets failed (RetriesExhausted)", 3)
    assert (visible(), invoked) == (1, [])


def test_each_goes_to_the_function_it_was_meant_for_as_it_came_and_leaves_the_queue(invoked: list[Any]) -> None:
    asked = look("s3-default-encryption", "arn:aws:s3:::lake")
    undelivered(EVENT)
    failed(asked, "s3-default-encryption")
    result = holdfast("--send", "--yes")
    assert sorted(invoked) == [
        (f"holdfast-{KMS}", "Event", EVENT),
        ("holdfast-s3-default-encryption", "Event", asked),
    ]
    assert (result.exit_code, visible(), told()) == (0, 0, [])
    assert result.stdout.count(": sent") == 2


def test_it_asks_first_and_no_means_no(invoked: list[Any]) -> None:
    failed(EVENT)
    result = holdfast("--send", answer="n\n")
    assert "Hand 1 of these 1 to their functions again?" in result.stderr
    assert (result.exit_code, visible(), invoked) == (1, 1, [])
    assert holdfast("--send", answer="y\n").exit_code == 0
    assert (visible(), len(invoked)) == (0, 1)


def test_one_that_lambda_does_not_take_stays_and_does_not_stop_the_others(invoked: list[Any]) -> None:
    failed({}, "watch")
    failed(EVENT)
    result = holdfast("--send", "--yes")
    assert "slow down" in result.stdout
    assert (result.exit_code, visible(), len(invoked)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("queue", "body", "target"),
    [
        ("UndeliveredQueue", "not JSON", arn(KMS)),
        ("UndeliveredQueue", "[" * 100_000, arn(KMS)),
        ("UndeliveredQueue", ["a list"], arn(KMS)),
        ("UndeliveredQueue", {"detail-type": "Scheduled Event", "detail": {}}, arn(KMS)),
        ("UndeliveredQueue", call("kms", "DisableKey", {}), arn(KMS)),
        (
            "UndeliveredQueue",
            EVENT | {"detail": EVENT["detail"] | {"eventTime": {"odd": []}, "userIdentity": [[]]}},
            "",
        ),
        ("UndeliveredQueue", EVENT, "arn:aws:sqs:eu-west-1:123456789012:elsewhere"),
        ("UndeliveredQueue", EVENT, f"arn:aws:lambda:{REGION}:{ME}:function:payroll"),
        ("FailedQueue", {"requestContext": {"functionArn": arn(KMS)}}, ""),
        ("FailedQueue", {"requestContext": "odd", "responsePayload": ["odd"], "requestPayload": {}}, ""),
    ],
)
def test_what_can_not_be_understood_is_shown_and_left(queue: str, body: Any, target: str, invoked: list[Any]) -> None:
    put(queue, body, **({"TARGET_ARN": target} if target else {}))
    failed(EVENT)
    assert "can't be understood" in holdfast().stdout
    sent = holdfast("--send", "--yes")
    assert (sent.exit_code, "  :" in sent.stdout) == (1, False)  # nothing to say of it was a hole in the line
    assert (visible(), len(invoked)) == (1, 1)


def test_what_is_holdfasts_own_is_told_as_such() -> None:
    failed(
        look("s3-default-encryption", *(f"arn:aws:s3:::lake-{number}" for number in range(7))), "s3-default-encryption"
    )
    failed(sweep(), KMS)
    failed(canary(), KMS)
    undelivered({}, "watch")
    undelivered(call("ssm", "PutParameter", {"name": "/holdfast-canary"}), "watch")
    assert {letter["what"] for letter in told()} == {
        "a look",
        "a sweep over everything",
        "a canary",
        "a tick of the watch",
        "news of the watch's own call",
    }
    assert "  on arn:aws:s3:::lake-4\n  and 2 more\n" in holdfast().stdout


def test_text_that_an_attacker_wrote_can_not_steer_the_terminal() -> None:
    esc = "\x1b[2J\x1b]0;owned\x07\u202e"
    undelivered(call("kms", f"DisableKey{esc}", {"keyId": KEY}, actor=f"{esc}AKIAIOSFODNN7EXAMPLE"), ERROR_MESSAGE="x")
    put("UndeliveredQueue", EVENT, TARGET_ARN=f"arn{esc}", ERROR_MESSAGE="line\nline")
    failed(EVENT, error=f"{esc}\nholdfast: all is well")
    shown = holdfast().stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "AKIAIOSFODNN7EXAMPLE" not in shown
    assert not [line for line in shown.splitlines() if line.startswith("holdfast:")]


def test_it_can_be_told_which() -> None:
    first, second = undelivered(EVENT), failed(sweep(), "vpc-endpoint")
    assert [letter["id"] for letter in told("--guardrail", "vpc_endpoint")] == [second]
    assert [letter["id"] for letter in told("--id", first[:13])] == [first]
    assert len(told("--id", first, "--id", second)) == 2
    assert len(told("--since", "1h")) == 2
    assert told("--since", "2100-01-01") == []
    assert "no such message" in holdfast("--since", "2100-01-01").stdout
    assert visible() == 2


def test_all_pages_of_a_queue_are_read() -> None:
    for _ in range(23):
        undelivered(EVENT)
    assert len(told()) == 23
    assert (visible(), "more" in holdfast().stdout) == (23, False)


MORE = "there may be more: only 10 of queue undelivered were looked at; run it again when these are gone\n"


def test_messages_past_the_limit_were_said_not_to_be_there(monkeypatch: pytest.MonkeyPatch, invoked: list[Any]) -> None:
    monkeypatch.setattr(redrive, "LOOKED_AT", 10)
    for _ in range(13):
        undelivered(EVENT)
    for options in ((), ("--send", "--yes")):
        none = holdfast("--since", "2100-01-01", *options)
        assert (none.exit_code, none.stdout) == (1, MORE)
    machine = holdfast("--since", "2100-01-01", "--json")
    assert (machine.exit_code, machine.stdout, machine.stderr) == (1, "[]\n", f"holdfast: {MORE}")
    assert (visible(), invoked) == (13, [])


def test_more_than_can_be_taken_in_hand_at_once_goes_in_parts(
    monkeypatch: pytest.MonkeyPatch, invoked: list[Any]
) -> None:
    monkeypatch.setattr(redrive, "MOST", 10)
    for _ in range(13):
        undelivered(EVENT)
    asked = holdfast("--send", answer="n\n")
    assert (MORE in asked.stdout, visible()) == (True, 13)
    some = holdfast("--send", "--yes")
    assert (some.exit_code, some.stdout.endswith(MORE), len(invoked), visible()) == (1, True, 10, 3)
    assert (holdfast("--send", "--yes").exit_code, visible()) == (0, 0)


@pytest.mark.parametrize("choice", ["--id", "--guardrail", "--since"])
def test_junk_before_a_letter_hid_it_however_it_was_chosen(
    choice: str, monkeypatch: pytest.MonkeyPatch, invoked: list[Any]
) -> None:
    """Anybody who may put events on the bus can make junk."""
    monkeypatch.setattr(redrive, "MOST", 10)
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=8), tick=False):
        for _ in range(23):
            failed(look("vpc-endpoint", "no ARN"), "vpc-endpoint")
    given = {"--id": failed(EVENT), "--guardrail": KMS, "--since": "6h"}[choice]
    result = holdfast(choice, given, "--send", "--yes")
    assert (result.exit_code, len(invoked), visible()) == (0, 1, 23)


def test_a_letter_is_shown_to_machines_as_it_lies_there() -> None:
    put("UndeliveredQueue", "not JSON")
    assert [letter["body"] for letter in told()] == ["not JSON"]


def test_what_is_not_wanted_is_discarded_and_nothing_else(invoked: list[Any]) -> None:
    junk, good, other = put("FailedQueue", "not JSON"), failed(EVENT), failed(sweep(), KMS)
    result = holdfast("--discard", "--yes", "--id", junk, "--id", good[:8])
    assert (result.exit_code, invoked, [letter["id"] for letter in told()]) == (0, [], [other])
    assert [junk in result.stdout, good in result.stdout, result.stdout.count("  discarded\n")] == [True, True, 2]
    assert "it can't be understood" in result.stdout


def test_it_asks_before_it_discards_and_no_means_no() -> None:
    id = failed(EVENT)
    result = holdfast("--discard", "--id", id, answer="n\n")
    assert "DisableKey by" in result.stdout
    assert "Delete these 1 for good?" in result.stderr
    assert (result.exit_code, visible()) == (1, 1)
    assert (holdfast("--discard", "--id", id, answer="y\n").exit_code, visible()) == (0, 0)


def test_one_that_sqs_does_not_delete_is_not_told_to_be_gone() -> None:
    def refuse(**happening: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteMessage")

    id, events = failed(EVENT), boto3.client("sqs").meta.events
    events.register("before-call.sqs.DeleteMessage", refuse)
    result = holdfast("--discard", "--yes", "--id", id)
    events.unregister("before-call.sqs.DeleteMessage", refuse)
    assert (result.exit_code, visible(), "discarded" in result.stdout) == (1, 1, False)
    assert "it stays in the queue" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stack", "absent"], "absent"),
        (["--since", "tomorrow"], "is no time"),
        (["--guardrail", "kms-key-deletoin"], "did you mean kms-key-deletion?"),
        (["--send", "--json"], "add --yes"),
        (["--discard", "--json", "--id", "1234abcd"], "add --yes"),
        (["--discard", "--yes"], "say which with --id"),
        (["--discard", "--yes", "--id", "1234abcd", "--id", ""], "8 characters"),
        (["--discard", "--send", "--yes", "--id", "1234abcd"], "not both"),
    ],
)
def test_what_it_can_not_do_it_says_in_one_line(arguments: list[str], said: str) -> None:
    result = holdfast(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


@pytest.mark.parametrize("since", ["999999999999999999d", "9999999d", f"{'9' * 5000}m", "²d"])
def test_a_time_that_no_calendar_knows_was_a_traceback(since: str) -> None:
    result = holdfast("--since", since)
    assert (result.exit_code, result.stderr.count("\n"), "is no time" in result.stderr) == (2, 1, True)


def test_another_stack_is_not_taken_for_holdfasts() -> None:
    stack("other", {})
    assert "stack other is not Holdfast's" in holdfast("--stack", "other").stderr
