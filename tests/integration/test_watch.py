"""The minute's tick: due pages, digests, sweeps. On moto, with a queue that hears the bus."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError
from holdfast import telemetry
from holdfast.guardrail import SURVEY_LASTS, Unfinished
from holdfast.ledger import Baseline, Ledger, Mark, Told, now
from holdfast.visit import MARGIN, RESERVE, Delivery
from holdfast.world import World
from holdfast_cli import project
from support import (
    FAR_FUTURE,
    HERE,
    ME,
    REGION,
    Result,
    account,
    call,
    canary,
    heard,
    items,
    look,
    make_bucket,
    make_rule,
    run,
    sweep,
    world,
)

GUARDRAIL = "s3-default-encryption"
OTHER = "kms-key-deletion"
RULES = {GUARDRAIL: "encryption-calls", OTHER: "key-calls"}
CANARY = "/holdfast-canary"
SETTINGS = {"algorithm": "aws:kms", "bucket_key": False}
DAY = 86_400
START = 1_800_000_000
CANARY_EVERY = 900


@pytest.fixture(autouse=True)
def _account() -> Iterator[None]:
    telemetry.metrics.clear_metrics()  # what other tests in this process counted
    with account(), time_machine.travel(START, tick=False):
        boto3.client("sqs").create_queue(QueueName="bus")
        boto3.client("events").put_rule(Name="all", EventPattern='{"source": ["holdfast"]}')
        boto3.client("events").put_targets(Rule="all", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:{ME}:bus"}])
        for rule in RULES.values():
            make_rule(rule)
        yield


def asked() -> list[tuple[str, Any]]:
    """What was put on the bus since the last time, but for canaries: detail-type and detail."""
    return [(event["detail-type"], event["detail"]) for event in heard_on_bus() if "Canary" not in event["detail-type"]]


def heard_on_bus() -> list[dict[str, Any]]:
    sqs, found = boto3.client("sqs"), []
    url = sqs.get_queue_url(QueueName="bus")["QueueUrl"]
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in batch:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def watch() -> World:
    return world("watch")


def tick(seconds: int = DAY) -> dict[str, int]:
    plan = project.watch().Plan(seconds, RULES, CANARY)
    done: dict[str, int] = project.watch().tick(watch(), plan)
    return done


def ledger() -> Ledger:
    return watch().ledger


def test_the_first_tick_sweeps_and_the_next_not_before_its_hour() -> None:
    assert tick()["sweeps"] == 1
    assert asked() == [("Holdfast Sweep", {"guardrail": "*"})]
    assert tick()["sweeps"] == 0
    with time_machine.travel(START + DAY, tick=False):
        assert tick()["sweeps"] == 1


def test_a_page_that_is_due_is_looked_at_and_not_again_at_once() -> None:
    tick()
    asked()
    make_bucket()
    exempting = {"resource": "arn:aws:s3:::lake", "owner": "o", "reason": "r", "expires": "2027-01-16T00:00Z"}
    name = f"/holdfast/exemptions/{GUARDRAIL}/a"
    boto3.client("ssm").put_parameter(Name=name, Value=json.dumps(exempting), Type="String")
    assert run(GUARDRAIL, call("s3", "CreateBucket", {"bucketName": "lake"}), SETTINGS).outcome == "exempt"
    asked()
    assert tick() == {"looks": 0, "digests": 0, "sweeps": 0, "canaries": 0}
    with time_machine.travel("2027-01-16T00:00:02Z", tick=False):
        assert tick(400 * DAY)["looks"] == 1
        assert ("Holdfast Look", {"guardrail": GUARDRAIL, "targets": ["arn:aws:s3:::lake"]}) in asked()
        assert tick(400 * DAY)["looks"] == 0


def test_what_the_first_sweep_found_is_told_in_one_digest_when_it_is_over() -> None:
    make_bucket("old-a")
    make_bucket("old-b")
    assert set(run(GUARDRAIL, sweep(), SETTINGS).outcomes.values()) == {"audited"}
    assert heard() == []
    assert tick()["digests"] == 0
    with time_machine.travel(START + SURVEY_LASTS, tick=False):
        assert tick()["digests"] == 1
        assert tick()["digests"] == 0
    (digest,) = heard()
    assert digest["what"] == "2 were broken before Holdfast came; 0 baselines were taken at first sight"
    assert [line.partition(" - ")[0] for line in digest["broken"]] == [
        "arn:aws:s3:::old-a",
        "arn:aws:s3:::old-b",
    ]


def test_many_due_pages_go_in_batches() -> None:
    table = boto3.client("dynamodb")
    for number in range(120):
        table.put_item(
            TableName="holdfast",
            Item={
                "guardrail": {"S": "x"},
                "target": {"S": str(HERE.arn("ssm", f"parameter/{number}"))},
                "due": {"N": str(now())},
                "pending": {"S": "pending"},
            },
        )
    assert tick()["looks"] == 120
    sizes = [len(detail["targets"]) for kind, detail in asked() if kind == "Holdfast Look"]
    assert sorted(sizes) == [20, 50, 50]


def test_a_page_that_somebody_wrote_meanwhile_is_not_postponed() -> None:
    ledger().begin_survey("x", now())
    ledger().postpone("x", "#survey", seen=1, until=2)
    (item,) = items()
    assert item["due"] == str(now())


def test_a_sweep_knows_what_was_there_or_was_told_of_but_not_what_has_moved_or_may_be_gone() -> None:
    for target, baseline, told in (
        ("here", Baseline(1, {}), None),
        ("moved", Baseline(1, {}, moved_to="elsewhere"), None),
        ("given up", Baseline(1, None, by="pipeline"), None),
        ("broken", None, Told("escalated", "it is broken")),
    ):
        ledger().page("x", target).remember(baseline, told)
    assert sorted(ledger().known("x")) == ["broken", "here"]


def test_a_sweep_does_not_read_what_is_history() -> None:
    for number in range(3):
        ledger().page("x", "here").remember(Baseline(number, {"seen": number}))
    assert {item["guardrail"] for item in items() if "version" in item} == {"x#history"}


def silence(capsys: pytest.CaptureFixture[str]) -> tuple[float, float]:
    """What the watch has counted since the last time: guardrails that were silent, and the trail."""
    telemetry.flush()
    (counted,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if '"SilentTrail"' in line)
    return sum(counted["SilentGuardrails"]), sum(counted["SilentTrail"])


def answer(guardrail: str, event: dict[str, Any]) -> None:
    """A guardrail hears the canary: as it would while it is off, and with settings that can't be read."""
    boto3.client("ssm").put_parameter(
        Name=f"/holdfast/settings/{guardrail}", Value="not JSON", Type="String", Overwrite=True
    )
    assert run(guardrail, event, mode="off").outcomes == {}


def canary_on_bus() -> dict[str, Any]:
    (sent,) = [event for event in heard_on_bus() if event["detail-type"] == "Holdfast Canary"]
    return {**sent, "time": stamp(now())}  # moto gives its own time, not the traveller's


def stamp(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_who_answers_in_time_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    tick()
    assert silence(capsys) == (0, 0)
    sent = canary_on_bus()
    for guardrail in (GUARDRAIL, OTHER):
        answer(guardrail, sent)
    assert tick()["canaries"] == 0
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        project.watch().hear(call("ssm", "PutParameter", {"name": CANARY}, eventTime=stamp(START)), watch())
        assert tick()["canaries"] == 1
        assert silence(capsys) == (0, 0)


def test_who_does_not_answer_is_counted_and_named(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tick()
    silence(capsys)
    answer(GUARDRAIL, canary_on_bus())
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        tick()
    assert caplog.records[-1].silent == [OTHER, "watch"]  # type: ignore[attr-defined]
    assert silence(capsys) == (1, 1)


def lose_the_rule(rule: str) -> None:
    lose_the_target(rule)
    boto3.client("events").delete_rule(Name=rule)


def lose_the_target(rule: str) -> None:
    boto3.client("events").remove_targets(Rule=rule, Ids=["1"])


def switch_the_rule_off(rule: str) -> None:
    boto3.client("events").disable_rule(Name=rule)


@pytest.mark.parametrize("deafen", [lose_the_rule, lose_the_target, switch_the_rule_off])
def test_a_guardrail_that_answers_and_hears_no_calls_was_noticed_by_nobody(
    deafen: Callable[[str], None], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tick()
    assert silence(capsys) == (0, 0)
    sent = canary_on_bus()
    for guardrail in RULES:
        answer(guardrail, sent)
    deafen(RULES[OTHER])
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        project.watch().hear(call("ssm", "PutParameter", {"name": CANARY}, eventTime=stamp(START)), watch())
        assert tick()["canaries"] == 1
        assert silence(capsys) == (1, 0)
    assert vars(caplog.records[-1])["rules"] == {OTHER: RULES[OTHER]}


def test_who_neither_answers_nor_hears_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    tick()
    silence(capsys)
    switch_the_rule_off(RULES[OTHER])
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        tick()
        assert silence(capsys) == (2, 1)


@pytest.mark.parametrize("state", ["ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"])
def test_a_rule_that_is_told_of_reads_too_is_on(state: Any, capsys: pytest.CaptureFixture[str]) -> None:
    boto3.client("events").put_rule(Name=RULES[OTHER], EventPattern='{"source": ["aws.kms"]}', State=state)
    tick()
    assert silence(capsys) == (0, 0)


@pytest.mark.parametrize("operation", ["DescribeRule", "ListTargetsByRule"])
def test_a_rule_that_can_not_be_read_is_not_taken_for_a_good_one_and_keeps_nothing_from_being_done(
    operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**happening: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, operation)

    here = watch()
    here.aws.session.register(f"before-call.events.{operation}", refuse)
    with pytest.raises(ExceptionGroup, match="1 parts of a tick failed"):
        project.watch().tick(here, project.watch().Plan(DAY, RULES, CANARY))
    assert silence(capsys) == (2, 0)
    assert {event["detail-type"] for event in heard_on_bus()} == {"Holdfast Canary", "Holdfast Sweep"}
    assert tick()["canaries"] == 0


def test_an_old_answer_that_comes_late_does_not_count_for_the_new_canary(capsys: pytest.CaptureFixture[str]) -> None:
    tick()
    old = canary_on_bus()
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        tick()
    with time_machine.travel(START + 2 * CANARY_EVERY, tick=False):
        silence(capsys)
        for guardrail in (GUARDRAIL, OTHER):
            answer(guardrail, old)
        tick()
        assert silence(capsys) == (2, 1)


def test_a_canary_from_the_future_does_not_vouch_for_the_days_until_then() -> None:
    answer(GUARDRAIL, canary(time=stamp(START + 400 * DAY)))
    assert ledger().marked(GUARDRAIL)[Mark.ANSWERED] == START


def test_the_trails_canary_is_a_call_that_changes_nothing() -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name=CANARY, Value="canary", Type="String")
    tick()
    parameter = ssm.get_parameter(Name=CANARY)["Parameter"]
    assert (parameter["Value"], parameter["Type"], parameter["Version"]) == ("canary", "String", 2)


def test_a_call_that_can_not_be_made_leaves_the_trail_silent_and_the_others_heard(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(**happening: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutParameter")

    here, plan = watch(), project.watch().Plan(DAY, {GUARDRAIL: RULES[GUARDRAIL]}, CANARY)
    here.aws.session.register("before-call.ssm.PutParameter", refuse)
    with pytest.raises(ExceptionGroup, match="1 parts of a tick failed"):
        project.watch().tick(here, plan)
    silence(capsys)
    answer(GUARDRAIL, canary_on_bus())
    assert project.watch().tick(here, plan)["canaries"] == 0
    with time_machine.travel(START + CANARY_EVERY, tick=False), pytest.raises(ExceptionGroup):
        project.watch().tick(here, plan)
    assert silence(capsys) == (0, 1)


@pytest.mark.parametrize("operation", ["sns.Publish", "dynamodb.Query", "dynamodb.UpdateItem"])
def test_what_fails_in_a_tick_keeps_no_other_part_from_being_done(operation: str) -> None:
    def refuse(**happening: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)

    make_bucket("old")
    run(GUARDRAIL, sweep(), SETTINGS)
    page = ledger().page(OTHER, "arn:aws:kms:eu-west-1:123456789012:key/1")
    page.expect(START)
    here, plan = watch(), project.watch().Plan(DAY, RULES, CANARY)
    here.aws.session.register(f"before-call.{operation}", refuse)
    with (
        time_machine.travel(START + SURVEY_LASTS, tick=False),
        pytest.raises((ExceptionGroup, ClientError)),
    ):
        project.watch().tick(here, plan)
    kinds = {event["detail-type"] for event in heard_on_bus()}
    assert {"Holdfast Canary", "Holdfast Sweep"} <= kinds
    assert ("Holdfast Look" in kinds) == (operation != "dynamodb.Query")


class Died(BaseException):
    """What a time-out does to a function: nothing after it runs."""


def die_at(operation: str, number: int) -> Any:
    """A hook that lets the function die before that call of it."""
    left = [number]

    def hook(here: World) -> None:
        def count(**happening: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Died

        here.aws.session.register(f"before-call.*.{operation}", count)

    return hook


def many_buckets(number: int) -> list[str]:
    for index in range(number):
        make_bucket(f"lake-{index:04}")
    return [f"arn:aws:s3:::lake-{index:04}" for index in range(number)]


def targets_asked() -> list[str]:
    looks = [detail for kind, detail in asked() if kind == "Holdfast Look"]
    assert {detail["guardrail"] for detail in looks} <= {GUARDRAIL}
    return sorted(target for detail in looks for target in detail["targets"])


def test_a_sweep_that_died_in_the_middle_is_asked_for_again_until_it_is_finished() -> None:
    tick()
    asked()
    buckets = many_buckets(120)
    with pytest.raises(Died):
        run(GUARDRAIL, sweep(), SETTINGS, hook=die_at("PutEvents", 1))
    run(OTHER, sweep())
    assert targets_asked() == []
    with time_machine.travel(START + CANARY_EVERY, tick=False):
        tick()
        ((kind, detail),) = asked()
        assert (kind, detail) == ("Holdfast Sweep", {"guardrail": GUARDRAIL})
        run(GUARDRAIL, sweep(), SETTINGS)
        assert targets_asked() == buckets
    with time_machine.travel(START + 2 * CANARY_EVERY, tick=False):
        tick()
        assert asked() == []


def test_a_sweep_that_nobody_finishes_is_not_asked_for_all_day() -> None:
    tick()
    asked()
    for number in range(1, 12):
        with time_machine.travel(START + number * CANARY_EVERY, tick=False):
            tick()
    assert len(asked()) == 2 * 3


def test_what_is_older_than_holdfast_stays_so_until_a_sweep_has_seen_all_of_it() -> None:
    buckets = many_buckets(60)
    with pytest.raises(Died):
        run(GUARDRAIL, sweep(), SETTINGS, hook=die_at("PutEvents", 1))
    with time_machine.travel(START + 2 * SURVEY_LASTS, tick=False):
        run(GUARDRAIL, sweep(), SETTINGS)
        outcomes = run(GUARDRAIL, look(GUARDRAIL, *buckets[:50]), SETTINGS).outcomes
    assert set(outcomes.values()) == {"audited"}


def test_what_a_look_has_no_time_for_goes_back_to_the_bus() -> None:
    buckets = many_buckets(5)
    outcomes = run(GUARDRAIL, look(GUARDRAIL, *buckets), SETTINGS, ends=START + MARGIN + RESERVE - 1).outcomes
    assert list(outcomes) == buckets[:1]
    assert targets_asked() == buckets[1:]


def test_what_lambda_brings_again_goes_back_to_the_bus_once() -> None:
    """Each attempt at a look that is slow and fails would else ask for the rest, and each of those again."""
    buckets = many_buckets(5)
    event, late = look(GUARDRAIL, *buckets), START + MARGIN + RESERVE - 1
    with pytest.raises(Died):
        run(GUARDRAIL, event, SETTINGS, ends=late, hook=die_at("PutEvents", 1))
    assert list(run(GUARDRAIL, event, SETTINGS, ends=late).outcomes) == buckets[:1]
    with pytest.raises(Unfinished):  # of what the first attempt looked at, this one may have missed something
        run(GUARDRAIL, event, SETTINGS, ends=late)
    assert targets_asked() == buckets[1:]
    run(GUARDRAIL, event, SETTINGS, ends=late, delivery="delivery-2")
    assert targets_asked() == buckets[1:]


def test_a_sweep_with_no_time_left_is_finished_by_looks() -> None:
    buckets = many_buckets(5)
    run(GUARDRAIL, sweep(), SETTINGS, ends=START)
    assert targets_asked() == buckets[1:]
    assert ledger().marked(GUARDRAIL)[Mark.SWEPT] == START


class Warm:
    """A guardrail's function that has run before: its clients are made, its settings read."""

    def __init__(self, guardrail: str, settings: dict[str, Any]) -> None:
        self.handler = project.load(guardrail).handler
        self.calls: list[str] = []
        self.world = world(guardrail, settings, remediate_existing=True)
        self.world.aws.session.register("before-call", lambda **happening: self.calls.append(happening["model"].name))
        self.world.parameters.read()

    def run(self, event: dict[str, Any]) -> Result:
        self.calls.clear()
        outcomes = self.handler.handle(event, self.world, Delivery(event["id"], FAR_FUTURE))
        return Result(outcomes, list(self.calls))

    def deliver(self) -> list[Result]:
        """What is on the bus, as its rule would hand it over, until there is no more."""
        done = []
        while waiting := [event for event in heard_on_bus() if event["detail-type"] != "Holdfast Record"]:
            done += [self.run(event) for event in waiting]
        return done


def ask_for_a_sweep() -> None:
    entry: Any = {"Source": "holdfast", "DetailType": "Holdfast Sweep", "Detail": '{"guardrail": "*"}'}
    boto3.client("events").put_events(Entries=[entry])


def encrypt(bucket: str, algorithm: Any) -> None:
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}
    boto3.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def encryption(bucket: str) -> str:
    rule = boto3.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    return rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]


def test_one_sweep_repairs_all_that_lost_events_left_broken() -> None:
    """A hundred buckets are broken, and of every twenty events one never comes."""
    buckets = [arn.rpartition(":")[2] for arn in many_buckets(100)]
    function = Warm(GUARDRAIL, SETTINGS)
    for number, bucket in enumerate(buckets):
        encrypt(bucket, "AES256")
        event = call("s3", "DeleteBucketEncryption", {"bucketName": bucket, "encryption": ""}, id=bucket)
        if number % 20:
            assert function.run(event | {"id": bucket}).outcome == "remediated"
    assert [encryption(bucket) for bucket in buckets].count("AES256") == 5
    ask_for_a_sweep()
    outcomes = Counter(found for result in function.deliver() for found in result.outcomes.values())
    assert {encryption(bucket) for bucket in buckets} == {"aws:kms"}
    assert outcomes == {"remediated": 5, "compliant": 95}


@pytest.mark.parametrize(
    ("guardrail", "settings", "number"),
    [
        (GUARDRAIL, {"algorithm": "AES256"}, 200),
        ("s3-public-access-block", {"account_level": False}, 60),
        ("s3-vpc-only-policy", {"vpc_ids": ["vpc-01234567"], "buckets": ["lake-*"]}, 60),
    ],
)
def test_a_sweep_costs_at_most_three_calls_a_bucket(guardrail: str, settings: dict[str, Any], number: int) -> None:
    """Of buckets that are in order, and known to be: their state and their page."""
    buckets = many_buckets(number)
    function = Warm(guardrail, settings)
    ask_for_a_sweep()
    function.deliver()
    ask_for_a_sweep()
    swept, *looked = function.deliver()
    assert set(swept.calls) <= {"Query", "ListBuckets", "UpdateItem", "PutEvents"}
    assert len(swept.calls) <= 6
    outcomes = {target: outcome for result in looked for target, outcome in result.outcomes.items()}
    assert {outcomes[bucket] for bucket in buckets} == {"compliant"}
    for result in looked:
        assert result.calls.count("GetItem") == len(result.outcomes)
        assert len(result.calls) <= 3 * len(result.outcomes)
        assert result.writes == []


def test_a_sweep_keeps_no_more_in_memory_than_one_call_needs() -> None:
    """The inventory is read as far as it is needed for the next call to the bus, and no further."""
    read, asked_after = [0], []

    def endless(aws: Any) -> Iterator[Any]:
        for number in range(2_000):
            read[0] += 1
            yield HERE.bucket(f"lake-{number:04}")

    def hook(here: World) -> None:
        here.aws.session.register("before-call.events.PutEvents", lambda **happening: asked_after.append(read[0]))

    run(GUARDRAIL, sweep(), SETTINGS, handler=replace(project.load(GUARDRAIL).handler, inventory=endless), hook=hook)
    assert asked_after == [500, 1000, 1500, 2000]
