"""What is broken again and again: every break is put right, people hear of it once, and limits hold. On moto."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
import time_machine
from holdfast import Violation
from holdfast.visit import BY_OTHERS
from holdfast_cli import project
from incidents import cloudtrail_logging as trails
from incidents.cloudtrail_logging import bucket
from support import MALLORY, ME, Result, account, call, exempt, heard, items, look, make_bucket, run, still_open, sweep

ID = "s3-default-encryption"
TARGET = "arn:aws:s3:::lake"
START = 1_800_000_000 - 1_800_000_000 % 3600
KMS = {"algorithm": "aws:kms"}
RIGHT: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]}
OWNER = f"arn:aws:iam::{ME}:role/deploy"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock, account():
        make_bucket()
        yield clock


def weaken(bucket: str = "lake") -> None:
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    boto3.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def algorithm(bucket: str = "lake") -> str:
    answer = boto3.client("s3").get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    return answer["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]


def strike(number: int, bucket: str = "lake", guardrail: str = ID, **more: Any) -> Result:
    """Somebody weakens the bucket, and the event comes."""
    weaken(bucket)
    detail = {key: more.pop(key) for key in ("actor", "userAgent") if key in more}
    event = call("s3", "PutBucketEncryption", {"bucketName": bucket}, id=f"event-{number}", **detail)
    return run(guardrail, event, KMS, delivery=f"delivery-{number}", **more)


def tick(number: int, **more: Any) -> Result:
    """The watch asks for another look at what is due."""
    return run(ID, look(ID, TARGET, id=f"tick-{number}"), KMS, delivery=f"tick-{number}", **more)


def due() -> int:
    (page,) = [item for item in items() if item["target"] == TARGET]
    return int(page.get("due", 0))


def test_every_break_is_put_right_and_the_third_message_is_the_last(clock: time_machine.Traveller) -> None:
    for number in range(10):
        clock.shift(30)
        assert strike(number, userAgent="APN/1.0 HashiCorp/1.0 Terraform/1.9").outcome == "remediated"
        assert algorithm() == "aws:kms"
    told = heard()
    assert [message["outcome"] for message in told] == ["remediated", "remediated", "escalated"]
    began = "2027-01-15T08:00+00:00"
    assert told[-1]["reason"] == (
        f"It was broken 3 times since {began}, by {MALLORY} (3); put right 3 times, and broken for 0 s in all."
    )
    assert told[-1]["todo"] == (
        "It is likely to be Terraform, so change it there, or exempt the target. "
        "Every break is put right; you hear of it again when it is over."
    )
    assert len([item for item in items() if "record" in item]) == 10


def test_what_is_wrong_when_a_fight_is_over_is_not_said_to_be_in_order(clock: time_machine.Traveller) -> None:
    for number in range(3):
        strike(number)
    weaken()
    assert tick(4, modes={ID: "audit"}).outcome == "audited"
    heard()
    clock.move_to(due())
    assert tick(5, modes={ID: "audit"}).outcome == "audited"
    (told,) = heard()
    assert (told["outcome"], told["actor"]["arn"]) == ("audited", "")
    assert told["what"].startswith("for an hour nothing has come of it but what was told and stands; before that")
    assert due() == 0


def test_what_is_only_watched_and_flips_is_told_three_times_and_when_it_is_over(clock: time_machine.Traveller) -> None:
    for number in range(10):
        clock.shift(30)
        assert strike(number, modes={ID: "audit"}).outcome == "audited"
        boto3.client("s3").put_bucket_encryption(Bucket="lake", ServerSideEncryptionConfiguration=RIGHT)
        assert tick(100 + number, modes={ID: "audit"}).outcome == "compliant"
    told = heard()
    assert [message["outcome"] for message in told] == ["audited", "audited", "escalated"]
    assert told[-1]["reason"] == f"It was broken 3 times since 2027-01-15T08:00+00:00, by {MALLORY} (3)."
    assert told[-1]["todo"] == (
        f"It is likely to be {MALLORY}, so change it there, or exempt the target. You hear of it again when it is over."
    )
    assert len([item for item in items() if "record" in item]) == 10
    clock.move_to(due())
    assert tick(200, modes={ID: "audit"}).outcome == "compliant"
    (last,) = heard()
    assert last["what"].startswith("nobody has broken it for an hour; before that it was broken 10 times")


def test_what_stands_when_a_fight_is_over_is_not_said_to_be_broken_again(clock: time_machine.Traveller) -> None:
    for number in range(3):
        strike(number)
    exempt(ID, TARGET)
    strike(4)
    heard()
    clock.shift(3 * 3600)
    assert tick(5).outcome == "exempt"
    (told,) = heard()
    assert told["outcome"] == "exempt"
    assert told["what"].startswith("for an hour nothing has come of it but what was told and stands; before that")


def test_what_vanishes_under_the_third_fix_is_told_to_be_gone(clock: time_machine.Traveller) -> None:
    def gone(world: Any) -> None:
        world.aws.session.register(
            "after-call.s3.PutBucketEncryption", lambda **_: boto3.client("s3").delete_bucket(Bucket="lake")
        )

    strike(1)
    strike(2)
    heard()
    assert strike(3, hook=gone).outcome == "compliant"
    (told,) = heard()
    assert (told["outcome"], told["reason"]) == ("compliant", "it is gone by now")


def test_what_is_gone_when_a_fight_is_over_is_not_said_to_be_in_order(clock: time_machine.Traveller) -> None:
    for number in range(3):
        strike(number)
    heard()
    boto3.client("s3").delete_bucket(Bucket="lake")
    clock.move_to(due())
    assert tick(5).outcome == "compliant"
    (told,) = heard()
    assert told["what"].startswith("it is gone by now; before that it was broken 3 times")


def test_who_comes_late_to_a_fight_is_told_once(clock: time_machine.Traveller) -> None:
    for number in range(4):
        strike(number)
    heard()
    for number in range(4, 7):
        strike(number, actor=OWNER)
    assert [message["actor"]["arn"] for message in heard()] == [OWNER]


def test_who_broke_it_in_a_fight_is_told_though_it_is_broken_again_before_the_watch_looks(
    clock: time_machine.Traveller,
) -> None:
    for number in range(9):
        strike(number, actor=f"arn:aws:iam::{ME}:user/decoy-{number}")
    heard()
    clock.shift(3601)
    strike(9)
    ended, began = heard()
    assert ("broken again" in ended["what"], "decoy-4 (1), others (4)" in ended["what"]) == (True, True)
    assert (began["outcome"], began["actor"]["arn"]) == ("remediated", MALLORY)


def test_another_kind_of_break_is_told_within_a_fight(clock: time_machine.Traveller) -> None:
    kms = boto3.client("kms")
    key = kms.create_key()["KeyMetadata"]
    guardrail = "kms-key-deletion"
    run(guardrail, look(guardrail, key["Arn"]), delivery="look")
    for number in range(4):
        kms.disable_key(KeyId=key["KeyId"])
        event = call("kms", "DisableKey", {"keyId": key["Arn"]}, id=f"event-{number}")
        assert run(guardrail, event, delivery=f"delivery-{number}").outcome == "remediated"
    heard()
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    event = call("kms", "ScheduleKeyDeletion", {"keyId": key["Arn"]}, id="event-9")
    assert run(guardrail, event, delivery="delivery-9").outcome == "remediated"
    (message,) = heard()
    assert message["what"].startswith("the key is scheduled for deletion")


def test_a_fight_whose_fixes_leave_something_is_told_once_too(clock: time_machine.Traveller) -> None:
    trails.trail()
    run(trails.ID, sweep("first"), delivery="sweep")
    clock.shift(86_400)
    bucket("other")
    trails.update(S3BucketName="other")
    run(trails.ID, call("cloudtrail", "UpdateTrail", {"name": "audit"}), delivery="update")
    heard()
    for number in range(9):
        clock.shift(60)
        trails.stop()
        event = call("cloudtrail", "StopLogging", {"name": "audit"}, id=f"stop-{number}")
        assert run(trails.ID, event, delivery=f"stop-{number}").outcome == "escalated"
        assert trails.found()["logging"]
    (before, last) = heard()
    assert (before["reason"], last["outcome"]) == ("", "escalated")
    assert f"broken 3 times since 2027-01-16T08:00+00:00, by {MALLORY} (3); put right 2 times" in last["reason"]


def test_an_exemption_that_a_fight_led_to_is_looked_at_when_it_ends(clock: time_machine.Traveller) -> None:
    for number in range(3):
        strike(number)
    exempt(ID, TARGET, expires="2028-01-01T00:00Z")
    ends = 1_830_297_601
    assert strike(4).outcome == "exempt"
    clock.shift(3 * 3600)
    assert tick(5).outcome == "exempt"
    assert due() == ends


def test_what_had_to_wait_and_was_put_right_by_others_is_told(clock: time_machine.Traveller) -> None:
    limits: Any = {"fixes_per_actor": 1}
    strike(1, bucket="lake", **limits)
    make_bucket("pond")
    assert strike(2, bucket="pond", **limits).outcome == "deferred"
    heard()
    rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
    boto3.client("s3").put_bucket_encryption(Bucket="pond", ServerSideEncryptionConfiguration={"Rules": [rule]})
    run(ID, look(ID, "arn:aws:s3:::pond"), KMS, delivery="later", **limits)
    (message,) = heard()
    assert (message["outcome"], message["actor"]["arn"]) == ("compliant", MALLORY)
    assert (message["reason"], message["left"]["algorithm"]) == (BY_OTHERS, "aws:kms")


def test_when_it_is_over_that_is_told_with_the_time_that_it_was_unsafe(clock: time_machine.Traveller) -> None:
    for number in range(5):
        weaken()
        event = call("s3", "PutBucketEncryption", {"bucketName": "lake"}, id=f"event-{number}")
        event["detail"]["eventTime"] = "2027-01-15T08:00:00Z"
        clock.move_to(START + 20 * (number + 1))
        run(ID, event, KMS, delivery=f"delivery-{number}")
    heard()
    assert due() == START + 100 + 3600
    clock.move_to(due())
    assert tick(1).outcome == "compliant"
    (told,) = heard()
    assert (told["outcome"], told["closed"]) == ("compliant", START + 100 + 3600)
    assert f"by {MALLORY} (5); put right 5 times, and broken for {20 + 40 + 60 + 80 + 100} s in all" in told["what"]
    assert due() == 0
    assert tick(2).outcome == "compliant"
    assert heard() == []


def test_breaks_an_hour_apart_are_no_fight(clock: time_machine.Traveller) -> None:
    for number in range(5):
        clock.shift(3601)
        strike(number)
    assert [message["outcome"] for message in heard()] == ["remediated"] * 5


def test_past_the_limit_a_thing_is_put_right_once_a_minute_and_never_dropped(clock: time_machine.Traveller) -> None:
    results = [strike(number, fixes_per_target=5) for number in range(40)]
    assert [result.outcome for result in results] == ["remediated"] * 5 + ["deferred"] * 35
    assert [result.writes for result in results[5:]] == [[]] * 35
    assert sum("UpdateItem" in result.calls for result in results[5:]) == 1, "what waits is not written again"
    assert due() == START + 60
    clock.move_to(START + 61)
    assert tick(1, fixes_per_target=5).outcome == "remediated"
    assert algorithm() == "aws:kms"
    assert still_open() == []
    assert [message["outcome"] for message in heard()] == ["remediated", "remediated", "escalated"]


def test_the_limit_is_for_an_hour(clock: time_machine.Traveller) -> None:
    assert [strike(n, fixes_per_target=2).outcome for n in range(3)] == ["remediated", "remediated", "deferred"]
    clock.move_to(START + 3600)
    assert tick(1, fixes_per_target=2).outcome == "remediated"
    assert strike(4, fixes_per_target=2).outcome == "remediated"


def test_a_fix_that_never_helps_does_not_go_round_for_ever(clock: time_machine.Traveller) -> None:
    """Somebody undoes each write at once: the guardrail's own write comes back as an event and is tried again."""

    def undone(world: Any) -> None:
        world.aws.session.register("after-call.s3.PutBucketEncryption", lambda **_: weaken())

    ends = []
    for number in range(10):
        try:
            ends.append(strike(number, fixes_per_target=4, hook=undone, ends=0).outcome)
        except ExceptionGroup as errors:
            ends.append(type(errors.exceptions[0]).__name__)
    assert ends == ["StillViolating"] * 4 + ["deferred"] * 6
    assert due() == START + 60


def test_what_one_actor_breaks_past_the_limit_waits_and_a_person_is_asked_once(clock: time_machine.Traveller) -> None:
    for number in range(6):
        make_bucket(f"lake-{number}")
        strike(number, f"lake-{number}", fixes_per_actor=3)
    assert [algorithm(f"lake-{n}") for n in range(6)] == ["aws:kms"] * 3 + ["AES256"] * 3
    assert {record["outcome"] for record in still_open()} == {""}
    assert len(still_open()) == 3
    told = heard()
    assert [message["outcome"] for message in told] == ["remediated"] * 3 + ["escalated"]
    assert (told[-1]["event_id"], told[-1]["applied"]) == ("event-3", False)
    assert told[-1]["reason"] == f"{MALLORY} broke more than 3 things within an hour"
    assert told[-1]["todo"] == (
        "Find out what it does, and stop it. What it breaks is put right when the hour is over."
    )
    assert {item["due"] for item in items() if "due" in item} == {str(START + 3600)}
    make_bucket("lake-9")
    strike(20, "lake-9", actor=OWNER, fixes_per_actor=3)
    assert algorithm("lake-9") == "aws:kms", "others are not made to wait for it"
    clock.move_to(START + 3600)
    for number in range(3, 6):
        target = f"{TARGET}-{number}"
        run(ID, look(ID, target), KMS, delivery=f"tick-{number}", fixes_per_actor=3)
    assert [algorithm(f"lake-{n}") for n in range(6)] == ["aws:kms"] * 6
    assert still_open() == []


def test_that_an_actor_is_made_to_wait_is_told_though_that_fails_at_first(clock: time_machine.Traveller) -> None:
    def down(world: Any) -> None:
        def refuse(**_: Any) -> None:
            raise ConnectionError

        world.aws.session.register("before-call.sns", refuse)

    strike(0, fixes_per_actor=1)
    heard()
    make_bucket("pond")
    with pytest.raises(ExceptionGroup):
        strike(1, "pond", fixes_per_actor=1, hook=down)
    assert strike(1, "pond", fixes_per_actor=1).outcome == "deferred"
    assert [message["reason"] for message in heard()] == [f"{MALLORY} broke more than 1 things within an hour"]


def test_a_fix_that_a_run_died_in_does_not_wait_behind_what_else_its_actor_broke(clock: time_machine.Traveller) -> None:
    class Died(BaseException):
        """The process is gone: no `except Exception` sees this."""

    def dies(world: Any) -> None:
        def die(**_: Any) -> None:
            raise Died

        world.aws.session.register("before-call.s3.PutBucketEncryption", die)

    make_bucket("pond")
    with pytest.raises(Died):
        strike(1, fixes_per_actor=1, hook=dies)
    assert strike(2, "pond", fixes_per_actor=1).outcome == "deferred"
    assert strike(1, fixes_per_actor=1).outcome == "remediated"


def test_decoys_do_not_hold_up_what_is_critical(clock: time_machine.Traveller) -> None:
    for number in range(3):
        make_bucket(f"decoy-{number}")
        strike(number, f"decoy-{number}", fixes_per_actor=1)
    kms = boto3.client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    event = call(
        "kms", "ScheduleKeyDeletion", {"keyId": key["KeyId"]}, resources=[{"ARN": key["Arn"], "accountId": ME}]
    )
    assert run("kms-key-deletion", event, fixes_per_actor=1).outcome == "remediated"


def test_a_fix_of_too_many_calls_is_left_to_a_person(clock: time_machine.Traveller) -> None:
    handler = project.load(ID).handler

    def twofold(state: Any, case: Any) -> Violation | None:
        found: Violation | None = handler.evaluate(state, case)
        return replace(found, fix=found.fix * 2) if found else None

    thorough = replace(handler, evaluate=twofold)
    assert strike(1, handler=thorough, calls_per_fix=1).outcome == "escalated"
    assert algorithm() == "AES256"
    (message,) = heard()
    assert message["todo"] == "The fix takes 2 calls, and calls_per_fix is 1."
    assert (message["calls"], message["undo"]) == ([], [])
    assert strike(2, handler=thorough, calls_per_fix=2).outcome == "remediated"


def test_an_unfinished_try_is_no_break(clock: time_machine.Traveller) -> None:
    """Lambda tries a failed delivery twice more: that is one break, not three."""

    def down(world: Any) -> None:
        def refuse(model: Any, **_: Any) -> None:
            if model.name == "Publish":
                raise ConnectionError

        world.aws.session.register("before-call", refuse)

    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            strike(1, hook=down)
    assert strike(1).outcome == "remediated"
    assert [message["outcome"] for message in heard()] == ["remediated"]
