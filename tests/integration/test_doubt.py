"""Attacks on whose doing it is: with other calls, before and after the call of somebody with a say. On moto."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
import time_machine
from holdfast import ApiCall, Violation
from incidents import cloudtrail_logging as ct
from incidents import vpc_endpoint as vpce
from support import HERE, MALLORY, ME, account, call, exempt, heard, look, run, still_open, sweep
from toy import (
    EMERGENCY,
    FORGETFUL,
    ID,
    PIPELINE,
    RESPONDER,
    TARGET,
    TOY,
    Died,
    Flag,
    down,
    dying,
    event,
    flag,
    handle,  # fmt: skip
    pages,
    refusing,
    set_flag,
    while_it_tells,
)

START, T0 = 1_800_000_000, "2027-01-15T08:00:00Z"
SAY: Any = {"baseline_principals": [PIPELINE]}
CI: Any = {"baseline_principals": [vpce.CI]}
EVE = f"arn:aws:iam::{ME}:user/eve"
PATIENT = replace(TOY, later={"TooManyUpdates": 60})
KEYS = "kms-key-deletion"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with account(), time_machine.travel(START, tick=False) as clock:
        yield clock


def known(value: str = "v1") -> None:
    set_flag(value)
    with time_machine.travel(START - 3600, tick=False):
        assert handle(sweep(), **SAY).outcome == "compliant"


def good() -> Any:
    return pages()[TARGET]["baseline"]["state"]["value"]


def who() -> list[str]:
    return [message["actor"]["arn"] for message in heard()]


def key() -> Any:
    made = boto3.client("kms").create_key()["KeyMetadata"]
    with time_machine.travel(START - 3600, tick=False):
        assert run(KEYS, look(KEYS, made["Arn"])).outcome == "compliant"
    return made


def state(key: dict[str, Any]) -> str:
    return boto3.client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]


def endpoint(seen: bool = True) -> tuple[str, str, dict[str, Any]]:
    id = vpce.gateway(vpce.vpc())
    target = HERE.arn("ec2", f"vpc-endpoint/{id}")
    if seen:
        with time_machine.travel(START - 3600, tick=False):
            run(vpce.ID, look(vpce.ID, target), **CI)
    return id, target, {"ModifyVpcEndpointRequest": {"VpcEndpointId": id}}


def policy(id: str, document: Any) -> None:
    vpce.ec2().modify_vpc_endpoint(VpcEndpointId=id, PolicyDocument=json.dumps(document))


def policy_now() -> Any:
    (only,) = vpce.alive()
    return json.loads(only["PolicyDocument"])


def test_what_a_joiner_reverts_is_not_accepted_at_the_same_time(clock: Any) -> None:
    known()
    set_flag("evil")

    def meanwhile() -> None:
        with suppress(ExceptionGroup):  # Lambda tries again
            handle(event(id="mallory", eventTime="2027-01-15T07:59:50Z"), delivery="d2", **SAY)

    hook = while_it_tells(meanwhile)
    assert handle(event(id="pipe", actor=PIPELINE), delivery="d1", hook=hook, **SAY).outcome == "exempt"
    assert flag() == good()
    clock.shift(7200)
    assert handle(sweep(), delivery="d3", **SAY).writes == []  # else Holdfast itself writes Mallory's state


def test_an_exempt_principals_call_does_not_cover_another_kind_of_call(clock: Any) -> None:
    made, kms = key(), boto3.client("kms")
    exempt(KEYS, made["Arn"], principal=PIPELINE)
    kms.disable_key(KeyId=made["KeyId"])  # by the exempt principal
    kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)  # by Mallory
    run(KEYS, call("kms", "DisableKey", {"keyId": made["KeyId"]}, actor=PIPELINE), delivery="d1")
    heard()
    run(KEYS, call("kms", "ScheduleKeyDeletion", {"keyId": made["KeyId"]}, id="e2"), delivery="d2")
    assert state(made) != "PendingDeletion" or MALLORY in who()


def test_anothers_call_before_an_exempt_one_is_told(clock: Any) -> None:
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("bad")  # Mallory
    clock.shift(30)
    assert handle(event(actor=PIPELINE, eventTime="2027-01-15T07:59:50Z"), handler=FORGETFUL).outcome == "exempt"
    heard()
    handle(event(id="m", eventTime=T0), handler=FORGETFUL, delivery="d2")
    (message,) = heard()
    assert (message["actor"]["arn"], message["outcome"]) == (MALLORY, "escalated")
    assert message["what"] == f"PutParameter by {MALLORY} may have had a part in what {PIPELINE} may do"
    assert message["todo"] == "See that it is as they wanted it: that it was so is all that is known."


def test_a_call_from_after_the_exempt_one_had_no_part_in_it_though_that_is_told_of_again(clock: Any) -> None:
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("bad")
    assert handle(event(actor=PIPELINE), handler=FORGETFUL).outcome == "exempt"
    clock.shift(600)
    assert handle(event(actor=PIPELINE), handler=FORGETFUL, delivery="d2").outcome == "exempt"
    theirs = event(id="m", eventTime="2027-01-15T08:05:00Z")
    assert handle(theirs, handler=FORGETFUL, delivery="d3").outcome == "exempt"
    assert who() == [PIPELINE]


def test_a_tag_does_not_hide_who_had_a_part(clock: Any) -> None:
    id, target, modify = endpoint()
    policy(id, vpce.OPEN)  # Mallory, at 08:00:00
    clock.shift(20)
    theirs = call("ec2", "ModifyVpcEndpoint", modify, actor=vpce.CI, eventTime="2027-01-15T07:59:50Z")
    assert run(vpce.ID, theirs, delivery="d1", **CI).outcomes[target] == "exempt"
    heard()
    vpce.ec2().create_tags(Resources=[id], Tags=[{"Key": "team", "Value": "data"}])  # Mallory
    run(vpce.ID, look(vpce.ID, target), delivery="d2", **CI)  # Mallory
    clock.shift(40)
    run(vpce.ID, call("ec2", "ModifyVpcEndpoint", modify, id="e2", eventTime=T0), delivery="d3", **CI)
    assert policy_now() != vpce.OPEN or who() == [MALLORY]


def test_a_call_in_the_second_of_the_acceptance_is_told(clock: Any) -> None:
    known()
    set_flag("evil")  # at 08:00:00.1, recorded as 08:00:00
    clock.move_to(START + 0.5)
    assert handle(event(id="p", actor=PIPELINE, eventTime="2027-01-15T07:59:30Z"), **SAY).outcome == "exempt"
    heard()
    handle(event(id="m", eventTime=T0), delivery="d3", **SAY)
    assert who() == [MALLORY]


def test_without_the_ledger_a_responders_act_is_not_undone(clock: Any) -> None:
    made = key()
    boto3.client("kms").disable_key(KeyId=made["KeyId"])
    act = call("kms", "DisableKey", {"keyId": made["KeyId"]}, actor=RESPONDER)
    with pytest.raises(ExceptionGroup):
        run(KEYS, act, hook=down("dynamodb"), responder_principals=[RESPONDER])
    assert state(made) == "Disabled"


def test_the_second_change_of_a_deployment_is_awaited_too(clock: Any) -> None:
    known()
    set_flag("v2")
    assert handle(event(actor=PIPELINE), **SAY).outcome == "exempt"
    clock.shift(30)
    set_flag("v3")  # the pipeline again
    assert (handle(look(ID, TARGET), delivery="d2", **SAY).outcome, flag()) == ("deferred", "v3")


def test_what_waits_of_another_does_not_end_the_wait(clock: Any) -> None:
    known()
    set_flag("v2")
    handle(handler=PATIENT, delivery="d0", hook=refusing("TooManyUpdates"), **SAY)
    set_flag("v3")  # the pipeline
    clock.shift(61)
    assert (handle(look(ID, TARGET), handler=PATIENT, delivery="d1", **SAY).outcome, flag()) == ("deferred", "v3")


@pytest.mark.parametrize("how", ["baseline", "exemption"])
def test_what_was_being_accepted_when_the_run_died_is_not_reverted_by_the_watch(clock: Any, how: str) -> None:
    handler, shared, value = (TOY, SAY, "v2") if how == "baseline" else (FORGETFUL, {}, "bad")
    if how == "baseline":
        known()
    else:
        exempt(ID, TARGET, principal=PIPELINE)
    set_flag(value)
    with pytest.raises(Died):
        handle(
            event(actor=PIPELINE), handler=handler, hook=dying(1, "before-call.sns.Publish"), ends=START + 90, **shared
        )
    clock.shift(100)
    handle(look(ID, TARGET), handler=handler, delivery="watch", **shared)
    clock.shift(20)
    again = handle(event(actor=PIPELINE, eventTime=T0), handler=handler, **shared)  # Lambda tries again
    assert (again.outcome, flag()) == ("exempt", value)


def test_a_late_event_does_not_close_what_waits(clock: Any) -> None:
    id, target, modify = endpoint(seen=False)
    limits: Any = {**CI, "fixes_per_actor": 1}
    clock.shift(5)  # Mallory's harmless ModifyVpcEndpoint was at 08:00:00
    run(vpce.ID, look(vpce.ID, target), delivery="d0", **limits)  # first sight
    decoys = {"guardrail": {"S": "actor"}, "target": {"S": f"{MALLORY}#{START // 3600}"}, "fixes": {"N": "1"}}
    boto3.client("dynamodb").put_item(TableName="holdfast", Item=decoys)
    clock.shift(5)
    policy(id, vpce.OPEN)
    attack = call("ec2", "ModifyVpcEndpoint", modify, id="e2", eventTime="2027-01-15T08:00:10Z")
    assert run(vpce.ID, attack, delivery="d1", **limits).outcome == "deferred"
    clock.shift(50)
    run(vpce.ID, call("ec2", "ModifyVpcEndpoint", modify, id="e1", eventTime=T0), delivery="d2", **limits)
    assert policy_now() == vpce.STRICT or still_open()


def test_a_look_awaits_an_exempt_principals_call(clock: Any) -> None:
    exempt(ID, TARGET, principal=PIPELINE)
    set_flag("good")
    handle(sweep(), handler=FORGETFUL)
    clock.shift(7 * 3600)
    set_flag("bad")  # the exempt principal
    assert (handle(look(ID, TARGET), handler=FORGETFUL, delivery="d2").outcome, flag()) == ("deferred", "bad")


def test_an_old_call_of_anybody_does_not_end_the_wait(clock: Any) -> None:
    known()
    set_flag("v2")  # the pipeline, just now
    redriven = event(id="old", eventTime="2027-01-15T07:10:00Z")
    assert (handle(redriven, **SAY).outcome, flag()) == ("deferred", "v2")


def test_a_joiner_does_not_revert_what_was_accepted_meanwhile(clock: Any) -> None:
    known()
    set_flag("v0")  # Mallory
    resumed: list[Any] = []

    def others(**_: Any) -> None:
        if not resumed:
            resumed.append(handle(event(id="h"), delivery="dh", **SAY).outcome)  # the holder ends
            set_flag("v2")
            resumed.append(handle(event(id="p", actor=PIPELINE), delivery="dp", **SAY).outcome)

    with pytest.raises(Died):
        handle(event(id="h"), delivery="dh", hook=dying(1, "before-call.ssm.PutParameter"), **SAY)
    slow = lambda w: w.aws.session.register("before-call.ssm.PutParameter", others)  # noqa: E731
    handle(event(id="j"), delivery="dj", hook=slow, **SAY)
    assert (resumed, flag(), good()) == (["remediated", "exempt"], "v2", "v2")


def test_a_trail_led_elsewhere_is_not_taken_for_put_event_selectors(clock: Any) -> None:
    say: Any = {"baseline_principals": [ct.TERRAFORM]}
    ct.trail()
    with time_machine.travel(START - 3600, tick=False):
        run(ct.ID, look(ct.ID, ct.TRAIL), **say)
    ct.bucket("mallorys")
    ct.update(S3BucketName="mallorys")  # Mallory, at 08:00:00
    clock.shift(20)
    theirs = call(
        "cloudtrail", "PutEventSelectors", {"trailName": "audit"}, actor=ct.TERRAFORM, eventTime="2027-01-15T07:59:50Z"
    )
    run(ct.ID, theirs, delivery="d1", **say)
    run(ct.ID, call("cloudtrail", "UpdateTrail", {"name": "audit"}, id="e2", eventTime=T0), delivery="d2", **say)
    assert boto3.client("cloudtrail").get_trail(Name=ct.TRAIL)["Trail"]["S3BucketName"] == "audit-logs"


@pytest.mark.parametrize("name", ["CreateVpcEndpoint", "DeleteVpcEndpoints"])
def test_a_changed_policy_is_not_taken_for_another_call(clock: Any, name: str) -> None:
    id, _target, modify = endpoint()
    policy(id, vpce.OPEN)  # Mallory
    if name == "CreateVpcEndpoint":  # of five minutes ago, delivered twice
        theirs = call("ec2", name, {"CreateVpcEndpointRequest": {}}, responseElements=vpce.made(id), actor=vpce.CI)
    else:  # refused
        theirs = vpce.deletion(
            {"content": id, "tag": 1}, {"item": {"resourceId": id, "error": {"code": "OperationNotPermitted"}}}
        )
        theirs["detail"]["userIdentity"]["arn"] = vpce.CI
    theirs["detail"]["eventTime"] = "2027-01-15T07:55:00Z"
    clock.shift(20)
    run(vpce.ID, theirs, delivery="d1", **CI)
    run(vpce.ID, call("ec2", "ModifyVpcEndpoint", modify, id="e2", eventTime=T0), delivery="d2", **CI)
    assert policy_now() == vpce.STRICT


def test_a_table_deleted_in_another_vpc_leads_no_subnet_elsewhere(clock: Any) -> None:
    place = vpce.vpc()
    target = HERE.arn("ec2", f"vpc-endpoint/{vpce.gateway(place)}")
    with time_machine.travel(START - 3600, tick=False):
        run(vpce.ID, look(vpce.ID, target), **CI)
    vpce.reroute(place)  # Mallory
    gone = call("ec2", "DeleteRouteTable", {"routeTableId": "rtb-0123456789abcdef0"}, actor=vpce.CI)
    assert run(vpce.ID, gone, delivery="d1", **CI).outcomes[target] != "exempt"


FLAGS = ("flag", "flag2")


def several(evaluate: Any = None) -> Any:
    def read(case: Any, aws: Any) -> Flag:
        return Flag(aws.client("ssm").get_parameter(Name=case.target.name)["Parameter"]["Value"])

    both = [HERE.arn("ssm", f"parameter/{name}") for name in FLAGS]
    return replace(TOY, targets=lambda e: both, read=read, evaluate=evaluate or TOY.evaluate)


def deliver(raw: Any, handler: Any, **more: Any) -> bool:
    """As Lambda does, with time for one target: True if it comes again."""
    try:
        handle(raw, handler=handler, ends=START + 40, **more)
    except Exception:
        return True
    return False


def test_what_is_left_of_an_attackers_call_is_told(clock: Any) -> None:
    asked: list[Any] = []
    note = lambda params, **_: asked.append(params)  # noqa: E731
    hook = lambda w: w.aws.session.register("provide-client-params.events.PutEvents", note)  # noqa: E731
    again = deliver(event("DeleteParameters"), several(), hook=hook)
    entries = [e for params in asked for e in params["Entries"] if e["DetailType"] == "Holdfast Look"]
    handle(look(ID, *json.loads(entries[0]["Detail"])["targets"]), handler=several(), delivery="d2", **SAY)
    if again:
        handle(event("DeleteParameters"), handler=several())
    assert {m["target"] for m in heard()} == {HERE.arn("ssm", f"parameter/{name}") for name in FLAGS}


def test_what_is_left_of_a_pipelines_call_stands(clock: Any) -> None:
    def evaluate(s: Any, c: Any) -> Any:
        if c.baseline is None or s == c.baseline:
            return None
        fix = {"Name": c.target.name, "Value": c.baseline.value, "Type": "String", "Overwrite": True}
        return Violation("it was changed", fix=(ApiCall("ssm", "put_parameter", fix),))

    ssm, both, second = boto3.client("ssm"), several(evaluate), HERE.arn("ssm", "parameter/flag2")
    for name in FLAGS:
        ssm.put_parameter(Name=name, Value="v1", Type="String", Overwrite=True)
        with time_machine.travel(START - 3600, tick=False):
            handle(look(ID, HERE.arn("ssm", f"parameter/{name}")), handler=both, **SAY)
        ssm.put_parameter(Name=name, Value="v2", Type="String", Overwrite=True)
    again = deliver(event(actor=PIPELINE), both, **SAY)
    handle(look(ID, second), handler=both, delivery="d2", **SAY)
    if again:
        handle(event(actor=PIPELINE), handler=both, **SAY)
    clock.shift(301)
    handle(look(ID, second), handler=both, delivery="d3", **SAY)
    assert ssm.get_parameter(Name="flag2")["Parameter"]["Value"] == "v2"


@dataclass(frozen=True)
class Remade(Flag):
    arn: str


HEIR = HERE.arn("ssm", "parameter/heir")
ALONE = replace(TOY, baseline=Remade, read=lambda case, aws: Remade("v1", str(case.target)))
MOVED = replace(ALONE, read=lambda case, aws: Remade("v1", HEIR))


def test_what_waits_on_an_heirs_page_stays_due(clock: Any) -> None:
    waits = replace(ALONE, evaluate=lambda s, c: Violation("wait", later=300))
    handle(look(ID, TARGET), handler=ALONE, delivery="d1")
    handle(call("ssm", "PutParameter", {"name": "heir"}), handler=waits, delivery="d2")
    handle(look(ID, TARGET), handler=MOVED, delivery="d3")
    assert (pages()[HEIR]["open"]["what"], pages()[HEIR].get("due")) == ("wait", str(START + 300))


def test_what_is_allowed_of_an_heir_stays_allowed(clock: Any) -> None:
    exempt(ID, HEIR, principal=PIPELINE)
    handle(look(ID, TARGET), handler=ALONE, delivery="d1")
    bad = replace(ALONE, read=lambda case, aws: Remade("bad", HEIR))
    mine = call("ssm", "PutParameter", {"name": "heir"}, actor=PIPELINE)
    assert handle(mine, handler=bad, delivery="d2").outcome == "exempt"
    handle(look(ID, TARGET), handler=MOVED, delivery="d3")
    assert "allowed" in pages()[HEIR]


def test_break_glass_that_takes_over_what_waits_is_told() -> None:
    set_flag("bad")
    handle(handler=PATIENT, delivery="d0", hook=refusing("TooManyUpdates"))
    handle(event(id="used", actor=EMERGENCY), handler=PATIENT, delivery="d1", break_glass_arns=[EMERGENCY])
    assert EMERGENCY in who()


def test_a_caller_without_an_arn_was_there_before_first_sight(clock: Any) -> None:
    made: Any = boto3.client("kms").create_key()["KeyMetadata"]
    boto3.client("kms").disable_key(KeyId=made["KeyId"])
    clock.shift(5)
    run(KEYS, look(KEYS, made["Arn"]))
    user = {"type": "IdentityCenterUser", "accountId": ME, "onBehalfOf": {"userId": "mallory"}}
    run(KEYS, call("kms", "DisableKey", {"keyId": made["KeyId"]}, eventTime=T0, userIdentity=user), delivery="d2")
    assert state(made) == "Enabled"


def test_each_who_may_have_had_a_part_is_told(clock: Any) -> None:
    known()
    set_flag("v2")
    handle(event(actor=PIPELINE, eventTime="2027-01-15T07:59:50Z"), **SAY)
    heard()
    handle(event(id="e2", actor=EVE, eventTime="2027-01-15T07:59:51Z"), delivery="d2", **SAY)
    handle(event(id="e3", eventTime="2027-01-15T07:59:52Z"), delivery="d3", **SAY)
    assert who() == [EVE, MALLORY]


def test_what_was_accepted_is_not_told_as_anothers(clock: Any) -> None:
    known()
    set_flag("v2")
    handle(handler=PATIENT, delivery="d0", hook=refusing("TooManyUpdates"), **SAY)
    set_flag("v3")
    assert handle(event(id="p", actor=PIPELINE), handler=PATIENT, delivery="d2", **SAY).outcome == "exempt"
    first, second = heard()
    assert (first["actor"]["arn"], first["outcome"], first["closed"]) == (MALLORY, "compliant", START)
    assert first["reason"] == f"{PIPELINE} has changed it since, and may"
    assert (second["actor"]["arn"], second["outcome"], second["event_id"]) == (PIPELINE, "exempt", "p")
    assert second["event_name"] == "PutParameter"
    assert second["event_time"]


def test_what_a_dead_run_did_not_make_is_not_told_as_made() -> None:
    set_flag("bad")
    with pytest.raises(Died):
        handle(handler=FORGETFUL, hook=dying(1, "before-call.ssm.PutParameter"))
    set_flag("good")  # its owner
    handle(handler=FORGETFUL)
    assert ["may have made" in m["reason"] for m in heard()] == [True]


def test_what_nobody_may_look_at_is_not_accepted_as_gone(clock: Any) -> None:
    known()
    locked = replace(TOY, stuck={"Shut": "Open it."})
    handle(event("DeleteLabel", actor=PIPELINE), handler=locked, hook=refusing("Shut", "GetParameter"), **SAY)
    assert pages()[TARGET]["baseline"]["state"] == {"value": "v1"}
