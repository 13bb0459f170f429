"""Keys: what is a violation, and what is done about it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError
from holdfast import ApiCall, Arn, BadEvent, Case, Event, Misshapen, SharedSettings, Violation
from holdfast.shape import parse
from holdfast.world import World
from holdfast_cli import project
from incidents import kms_key_deletion as incidents
from moto.kms.models import kms_backends
from support import HERE, MALLORY, ME, REGION, account, call, heard, look, run, still_open, sweep, world

ID = "kms-key-deletion"
kms = project.load(ID)
Key, Settings = kms.Key, kms.Settings

KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
TARGET = HERE.arn("kms", f"key/{KEY}")
STORE = HERE.arn("kms", "custom-key-store/cks-1234567890abcdef0")
REPLICA = HERE.arn("kms", f"key/mrk-{KEY.replace('-', '')}")
FOREIGN = f"arn:aws:kms:{REGION}:999999999999:key/{KEY}"
RESPONDER = f"arn:aws:iam::{ME}:role/responder"

CANCEL = ApiCall("kms", "cancel_key_deletion", {"KeyId": KEY})
ENABLE = ApiCall("kms", "enable_key", {"KeyId": KEY})
DISABLE = ApiCall("kms", "disable_key", {"KeyId": KEY})
SCHEDULE = ApiCall("kms", "schedule_key_deletion", {"KeyId": KEY, "PendingWindowInDays": 30})


def case(before: str = "", target: Arn = TARGET, **settings: Any) -> Any:
    return Case(target, Settings(**settings), SharedSettings(), Key(before) if before else None, HERE)


def decide(state: str, before: str = "", **settings: Any) -> Violation | None:
    found: Violation | None = kms.evaluate(Key(state), case(before, **settings))
    return found


def retiring(key: str, until: str = "2026-06-30") -> dict[str, str]:
    return {"key_arn": key, "owner": "data team", "reason": "old lake", "until": until}


def found_at(event: dict[str, Any]) -> list[str]:
    return list(kms.targets(Event.parse(event, HERE)))


@pytest.mark.parametrize("state", ["PendingDeletion", "PendingReplicaDeletion"])
@pytest.mark.parametrize(
    ("before", "settings", "fix"),
    [
        pytest.param("Enabled", {}, (CANCEL, ENABLE), id="was enabled"),
        pytest.param("Disabled", {}, (CANCEL,), id="was disabled on purpose"),
        pytest.param("", {}, (CANCEL, ENABLE), id="not known before"),
        pytest.param("", {"enable_unknown": False}, (CANCEL,), id="not known before, and a person is asked"),
        pytest.param("Enabled", {"enable_unknown": False}, (CANCEL, ENABLE), id="enable_unknown is about unknown keys"),
        pytest.param("PendingDeletion", {}, (CANCEL, ENABLE), id="already pending when first seen"),
        pytest.param("PendingReplicaDeletion", {}, (CANCEL, ENABLE), id="already waiting when first seen"),
        pytest.param("Unavailable", {}, (CANCEL, ENABLE), id="was in a disconnected store"),
    ],
)
def test_a_scheduled_deletion_is_cancelled_first_and_undone_with_the_longest_window(
    state: str, before: str, settings: dict[str, Any], fix: tuple[ApiCall, ...]
) -> None:
    violation = decide(state, before, **settings)
    assert violation
    assert (violation.fix, violation.undo) == (fix, (SCHEDULE,))


@pytest.mark.parametrize(
    ("before", "settings", "fix", "undo"),
    [
        ("Enabled", {}, (ENABLE,), (DISABLE,)),
        ("", {}, (ENABLE,), (DISABLE,)),
        ("", {"enable_unknown": False}, (), ()),
        ("PendingDeletion", {}, (ENABLE,), (DISABLE,)),
    ],
)
def test_a_disabled_key_is_enabled_if_it_was_or_may_have_been(
    before: str, settings: dict[str, Any], fix: tuple[ApiCall, ...], undo: tuple[ApiCall, ...]
) -> None:
    violation = decide("Disabled", before, **settings)
    assert violation
    assert (violation.what, violation.fix, violation.undo) == ("the key is disabled", fix, undo)


@pytest.mark.parametrize("state", ["PendingDeletion", "Disabled"])
@pytest.mark.parametrize(
    ("before", "enable_unknown", "says"),
    [("Enabled", True, ""), ("", True, "isn't known: if not, exempt it"), ("", False, "aws kms enable-key")],
)
def test_the_message_says_where_the_state_before_is_not_known(
    state: str, before: str, enable_unknown: bool, says: str
) -> None:
    violation = decide(state, before, enable_unknown=enable_unknown)
    assert violation
    assert says in violation.todo
    assert bool(violation.todo) == bool(says)


@pytest.mark.parametrize(
    ("state", "before"),
    [
        ("Enabled", ""),
        ("Enabled", "Disabled"),
        ("Disabled", "Disabled"),
        ("PendingImport", "PendingImport"),
        ("Unavailable", "Unavailable"),
        ("Creating", ""),
        ("Updating", "Enabled"),
        ("CONNECTED", ""),
        ("CONNECTING", "CONNECTED"),
        ("DISCONNECTED", "DISCONNECTED"),
    ],
)
def test_what_is_in_use_on_its_way_or_known_to_rest_is_compliant(state: str, before: str) -> None:
    assert decide(state, before) is None


@pytest.mark.parametrize(
    ("target", "state", "says"),
    [
        (TARGET, "PendingImport", f"import-key-material, --key-id {KEY} --region {REGION}"),
        (TARGET, "Unavailable", f"aws kms describe-key --key-id {KEY} --region {REGION}"),
        (STORE, "DISCONNECTED", "connect-custom-key-store --custom-key-store-id cks-1234567890abcdef0"),
        (STORE, "FAILED", "describe-custom-key-stores --custom-key-store-id cks-1234567890abcdef0"),
    ],
)
@pytest.mark.parametrize("before", ["", "Enabled", "Disabled"])
def test_what_no_call_of_ours_mends_is_escalated_with_what_to_do(
    target: Arn, state: str, says: str, before: str
) -> None:
    violation = kms.evaluate(Key(state), case(before, target))
    assert violation.fix == violation.undo == ()
    assert says in violation.todo


def test_the_message_names_the_day_on_which_the_key_goes() -> None:
    dated, waiting = (kms.evaluate(replace(Key("PendingDeletion"), deletion=day), case()) for day in ("2026-02-03", ""))
    assert dated.what == "the key is scheduled for deletion on 2026-02-03"
    assert waiting.what == "the key is scheduled for deletion once its replicas are gone"


def test_a_key_is_mended_in_its_own_region() -> None:
    there = Arn(f"arn:aws:kms:us-west-2:{ME}:key/{KEY}")
    violation = kms.evaluate(Key("PendingDeletion"), case(target=there))
    assert {c.region for c in (*violation.fix, *violation.undo)} == {"us-west-2"}
    assert {c.region for c in decide("Disabled", "Enabled").fix} == {""}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "before", "settings", "says"),
    [
        pytest.param(TARGET, "Enabled", {}, "Nothing brings it back", id="a key that was known"),
        pytest.param(REPLICA, "Enabled", {}, "replicate its primary", id="maybe a replica"),
        pytest.param(TARGET, "", {}, None, id="never seen"),
        pytest.param(TARGET, "Enabled", {"retiring_keys": (kms.RetiringKey(**retiring(TARGET)),)}, None, id="retired"),
        pytest.param(STORE, "CONNECTED", {}, None, id="a store, which had no keys any more"),
    ],
)
def test_a_key_that_is_gone_is_missed_if_it_was_known(
    target: Arn, before: str, settings: dict[str, Any], says: str | None
) -> None:
    violation = kms.gone(case(before, target, **settings))
    assert violation is None if says is None else says in violation.todo and not violation.fix


@pytest.mark.parametrize(
    ("request_", "more", "target"),
    [
        pytest.param({"keyId": KEY}, {}, TARGET, id="bare id"),
        pytest.param({"keyId": [KEY]}, {}, TARGET, id="bare id in a list"),
        pytest.param({"keyId": TARGET}, {}, TARGET, id="ARN"),
        pytest.param({"keyId": REPLICA.name}, {}, REPLICA, id="multi-Region id"),
        pytest.param({"keyId": KEY}, {"responseElements": {"keyId": TARGET}}, TARGET, id="response"),
        pytest.param({"keyId": KEY}, {"resources": [{"ARN": REPLICA}]}, REPLICA, id="resource without type"),
        pytest.param(None, {"resources": [{"ARN": TARGET, "accountId": ME}]}, TARGET, id="no request"),
        pytest.param({"omitted": True}, {"responseElements": {"keyId": TARGET}}, TARGET, id="truncated request"),
        pytest.param(
            {"keyId": KEY},
            {"resources": [{"ARN": f"arn:aws:kms:us-west-2:{ME}:key/{KEY}"}]},
            f"arn:aws:kms:us-west-2:{ME}:key/{KEY}",
            id="the resource says the Region",
        ),
        pytest.param(
            {"keyId": KEY},
            {"resources": [{"ARN": f"arn:aws:kms:{REGION}:xxxxxxxxxxxx:key/{KEY}"}]},
            TARGET,
            id="masked",
        ),
        pytest.param(
            {"keyId": KEY},
            {"resources": [{"ARN": "arn:aws:s3:::lake"}, {"ARN": REPLICA}], "responseElements": {"keyId": TARGET}},
            REPLICA,
            id="the second resource is the key",
        ),
        pytest.param({"keyId": KEY}, {"awsRegion": "us-west-2"}, f"arn:aws:kms:us-west-2:{ME}:key/{KEY}", id="Region"),
    ],
)
@pytest.mark.parametrize("name", ["ScheduleKeyDeletion", "DisableKey", "DeleteImportedKeyMaterial"])
def test_the_key_is_found_however_the_record_names_it(name: str, request_: Any, more: Any, target: str) -> None:
    assert found_at(call("kms", name, request_, **more)) == [target]


@pytest.mark.parametrize(
    ("name", "request_", "more"),
    [
        ("DisableKey", None, {}),
        ("DisableKey", {}, {}),
        ("DisableKey", {"keyId": None}, {}),
        ("DisableKey", {"keyId": ""}, {}),
        ("DisableKey", {"keyId": "alias/lake"}, {}),
        ("DisableKey", {"keyId": f"arn:aws:kms:{REGION}:{ME}:alias/lake"}, {}),
        ("DisableKey", {"keyId": f"{KEY}*"}, {}),
        ("DisableKey", {"keyId": 7}, {}),
        ("DisableKey", {"keyId": "arn:aws:s3:::lake"}, {}),
        ("DisableKey", {"keyId": f"arn:aws:payment-cryptography:{REGION}:{ME}:key/{KEY}"}, {}),
        ("DisableKey", {"keyId": f"{KEY}*"}, {"resources": [{"ARN": f"arn:aws:kms:{REGION}:{ME}:key/*"}]}),
        ("DisableKey", {"keyId": STORE}, {"resources": [{"ARN": STORE}]}),
        ("DisableKey", {"keyId": f"custom-key-store/{KEY}"}, {}),
        ("DisconnectCustomKeyStore", None, {}),
        ("DisconnectCustomKeyStore", {"customKeyStoreName": "vault"}, {}),
        ("DisconnectCustomKeyStore", {"customKeyStoreId": "cks-1/../2"}, {}),
    ],
)
def test_a_record_that_names_no_key_is_not_guessed_at(name: str, request_: Any, more: Any) -> None:
    with pytest.raises(BadEvent):
        found_at(call("kms", name, request_, **more))


@pytest.mark.parametrize("name", ["ScheduleKeyDeletion", "DisableKey"])
@pytest.mark.parametrize(
    "more",
    [
        {"resources": [{"ARN": FOREIGN, "accountId": "999999999999"}]},
        {"resources": [{"ARN": FOREIGN}]},
        {"responseElements": {"keyId": FOREIGN}},
        {},
    ],
)
def test_a_key_of_another_account_is_never_touched(name: str, more: dict[str, Any]) -> None:
    with account():
        result = run(ID, call("kms", name, {"keyId": FOREIGN}, **more))
    owner_is_told = "accountId" in str(more)
    looked_up = [] if owner_is_told else ["GetItem"]
    assert (result.outcomes, [c for c in result.calls if c != "GetParametersByPath"]) == ({}, looked_up)


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        ({"until": "2026-02-30"}, r"retiring_keys\[0\]: until: "),
        ({"until": "soon"}, r"retiring_keys\[0\]\.until: "),
        ({"key_arn": "alias/lake"}, r"retiring_keys\[0\]\.key_arn: "),
        ({"owner": ""}, r"retiring_keys\[0\]\.owner: "),
    ],
)
def test_a_wrong_entry_in_retiring_keys_is_refused_by_its_path(entry: dict[str, str], at: str) -> None:
    with pytest.raises(Misshapen, match=at):
        parse(Settings, {"retiring_keys": [retiring(TARGET) | entry]})


def test_a_retiring_key_needs_an_owner_a_reason_and_a_day() -> None:
    with pytest.raises(Misshapen, match=r"retiring_keys\[0\]: required: owner, reason, until"):
        parse(Settings, {"retiring_keys": [{"key_arn": TARGET}]})


@pytest.mark.parametrize(
    ("today", "left"),
    [
        ("2026-06-29T12:00:00Z", "PendingDeletion"),
        ("2026-06-30T23:59:59Z", "PendingDeletion"),
        ("2026-07-01T00:00:00Z", "Enabled"),
    ],
)
def test_a_retiring_key_may_go_until_the_end_of_its_day(today: str, left: str) -> None:
    with account():
        id = incidents.key()
        incidents.schedule(id)
        with time_machine.travel(today, tick=False):
            run(ID, incidents.scheduled(id), {"retiring_keys": [retiring(HERE.arn("kms", f"key/{id}"))]})
        assert incidents.state(id) == left


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport"])
def test_a_retiring_key_may_also_be_disabled_or_emptied(state: str) -> None:
    assert kms.evaluate(Key(state, retiring=True), case("Enabled")) is None


def test_another_key_does_not_retire_with_it() -> None:
    with account():
        id, other = incidents.key(), incidents.key()
        incidents.schedule(id)
        result = run(
            ID, incidents.scheduled(id), {"retiring_keys": [retiring(HERE.arn("kms", f"key/{other}"), "2999-01-01")]}
        )
    assert result.outcome == "remediated"


def test_keys_that_aws_manages_are_left_alone() -> None:
    with account():
        id = incidents.key()
        incidents.in_moto(id).key_manager = "AWS"
        incidents.in_moto(id).key_state = "Disabled"
        assert run(ID, incidents.scheduled(id)).outcome == "compliant"
        assert set(run(ID, sweep()).outcomes.values()) == {"compliant"}
        assert heard() == []


def test_the_inventory_is_every_key_of_the_region() -> None:
    with account():
        made = {HERE.arn("kms", f"key/{incidents.key()}") for _ in range(3)}
        incidents.key("us-west-2")
        assert set(kms.inventory(world(ID).aws)) == made


def test_a_key_that_a_sweep_first_sees_disabled_stays_so_even_after_a_cancelled_deletion() -> None:
    with account():
        id = incidents.key()
        boto3.client("kms").disable_key(KeyId=id)
        assert run(ID, sweep()).outcome == "compliant"
        incidents.schedule(id)
        assert run(ID, incidents.scheduled(id)).outcome == "remediated"
        assert incidents.state(id) == "Disabled"


def test_a_key_that_was_enabled_again_is_guarded_again() -> None:
    with account():
        id = incidents.key()
        boto3.client("kms").disable_key(KeyId=id)
        run(ID, sweep())
        boto3.client("kms").enable_key(KeyId=id)
        run(ID, sweep())
        boto3.client("kms").disable_key(KeyId=id)
        assert run(ID, sweep(), remediate_existing=True).outcome == "remediated"
        assert incidents.state(id) == "Enabled"


def test_a_responder_may_disable_a_key_and_an_attacker_who_then_schedules_it_does_not_wake_it() -> None:
    with account():
        id = incidents.key()
        target = HERE.arn("kms", f"key/{id}")
        run(ID, look(ID, target))
        boto3.client("kms").disable_key(KeyId=id)
        shared: dict[str, Any] = {"responder_principals": [RESPONDER]}
        assert run(ID, call("kms", "DisableKey", {"keyId": id}, actor=RESPONDER), **shared).outcome == "exempt"
        incidents.schedule(id)
        assert run(ID, incidents.scheduled(id), **shared).outcome == "remediated"
        assert incidents.state(id) == "Disabled"


@pytest.mark.parametrize("role", ["responder_principals", "baseline_principals"])
def test_nobody_may_schedule_a_deletion_outside_retiring_keys(role: str) -> None:
    with account():
        id = incidents.key()
        incidents.schedule(id)
        shared: dict[str, Any] = {role: [MALLORY]}
        assert run(ID, incidents.scheduled(id), **shared).outcome == "remediated"
        assert incidents.state(id) == "Enabled"


def test_without_enable_unknown_the_deletion_is_cancelled_and_a_person_is_asked_to_enable() -> None:
    with account():
        id = incidents.key()
        incidents.schedule(id)
        assert run(ID, incidents.scheduled(id), {"enable_unknown": False}).outcome == "escalated"
        assert incidents.state(id) == "Disabled"
        (message,) = heard()
    assert "aws kms enable-key" in message["todo"]


def test_a_replica_in_another_region_is_mended_there() -> None:
    with account():
        id = incidents.key("us-west-2", MultiRegion=True)
        boto3.client("kms", "us-west-2").schedule_key_deletion(KeyId=id)
        event = call("kms", "ScheduleKeyDeletion", {"keyId": id}, awsRegion="us-west-2")
        assert run(ID, event).outcome == "remediated"
        assert incidents.state(id, "us-west-2") == "Enabled"


def test_a_deleted_key_that_was_known_is_told_once() -> None:
    with account():
        id = incidents.key()
        run(ID, sweep())
        kms_backends[ME][REGION].keys.pop(id)
        assert [run(ID, sweep(), delivery=f"d{n}").outcome for n in range(2)] == ["escalated", "escalated"]
        (message,) = heard()
    assert message["what"] == "the key is deleted"


def test_a_stale_event_about_a_key_nobody_knows_says_nothing() -> None:
    with account():
        assert run(ID, call("kms", "ScheduleKeyDeletion", {"keyId": KEY})).outcome == "compliant"
        assert heard() == []


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("CONNECTED", "compliant"),
        ("CONNECTING", "compliant"),
        ("DISCONNECTING", "escalated"),
        ("DISCONNECTED", "escalated"),
        ("FAILED", "escalated"),
        ("", "compliant"),
    ],
)
def test_a_custom_key_store_is_connected_or_a_person_is_told(state: str, outcome: str) -> None:
    with account():
        incident = incidents.disconnected()
        incidents.stores().clear()
        incidents.stores().update({incidents.STORE: state} if state else {})
        assert incident.run().outcome == outcome


def test_a_store_on_its_way_down_is_told_once() -> None:
    with account():
        incident = incidents.disconnected()
        for n, state in enumerate(("DISCONNECTING", "DISCONNECTED")):
            incidents.stores()[incidents.STORE] = state
            incident.run(delivery=f"d{n}")
        assert len(heard()) == 1


def test_a_store_that_its_owner_connected_again_is_guarded_again_though_nobody_saw_it_connected() -> None:
    """ConnectCustomKeyStore returns long before the store is connected (KMS API, ConnectCustomKeyStore)."""
    owner = f"arn:aws:iam::{ME}:role/owner"
    with account():
        incidents.disconnected()
        for name, state, actor, outcome in (
            ("DisconnectCustomKeyStore", "DISCONNECTED", owner, "exempt"),
            ("ConnectCustomKeyStore", "CONNECTING", owner, "compliant"),
            ("DisconnectCustomKeyStore", "DISCONNECTED", MALLORY, "escalated"),
        ):
            incidents.stores()[incidents.STORE] = state
            event = call("kms", name, {"customKeyStoreId": incidents.STORE}, id=f"{name}-{actor}", actor=actor)
            assert run(ID, event, delivery=f"{name}-{actor}", baseline_principals=[owner]).outcome == outcome


def refusing(operation: str, code: str) -> Callable[[World], None]:
    """KMS answers this call with this error (KMS API, CancelKeyDeletion and EnableKey, "Errors")."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    return lambda here: here.aws.session.register(f"before-call.kms.{operation}", refuse)


@pytest.mark.parametrize("operation", ["CancelKeyDeletion", "EnableKey"])
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "LimitExceededException", "KMSInternalException", "KMSInvalidStateException"]
)
def test_what_kms_can_not_do_yet_is_deferred_and_done_at_the_next_look(operation: str, code: str) -> None:
    with account():
        incident = incidents.deletion_of_an_unknown_key()
        incident.spoil()
        outcome = run(ID, incident.event, hook=refusing(operation, code)).outcome
        assert (outcome, len(still_open()), heard()) == ("deferred", 1, [])
        assert run(ID, look(ID, incident.target), delivery="delivery-2").outcome == "remediated"
        assert incident.safe()
        assert [message["outcome"] for message in heard()] == ["remediated"]


@pytest.mark.parametrize("operation", ["DescribeKey", "CancelKeyDeletion", "EnableKey"])
def test_whom_a_key_policy_shuts_out_tells_who_broke_the_key_and_mends_it_when_let_in(operation: str) -> None:
    """moto enforces no key policy; KMS asks it at every call (KMS developer guide, "Key policies")."""
    with account():
        incident = incidents.deletion_of_an_unknown_key()
        incident.spoil()
        shut = refusing(operation, "AccessDeniedException")
        assert run(ID, incident.event, hook=shut).outcome == "escalated"
        assert run(ID, look(ID, incident.target), delivery="delivery-2", hook=shut).outcome == "escalated"
        (message,) = heard()
        assert message["actor"]["arn"] == incident.event["detail"]["userIdentity"]["arn"]
        assert "The key's policy does not let Holdfast in" in message["todo"]
        assert still_open() == []
        assert run(ID, look(ID, incident.target), delivery="delivery-3").outcome == "remediated"
        assert incident.safe()


def test_a_refusal_that_nobody_knows_fails_loudly() -> None:
    with account():
        incident = incidents.deletion()
        incident.spoil()
        with pytest.raises(ExceptionGroup):
            run(ID, incident.event, hook=refusing("CancelKeyDeletion", "InvalidArnException"))


def test_material_deleted_while_the_deletion_was_pending_ends_with_a_person() -> None:
    """Cancelling then leaves the key PendingImport, which can't be enabled (KMS developer guide, "Key states")."""
    with account():
        incident = incidents.deletion_of_an_unknown_key()
        incident.spoil()
        run(ID, incident.event, hook=refusing("EnableKey", "KMSInvalidStateException"))
        incidents.in_moto(Arn(incident.target).name).key_state = "PendingImport"
        assert run(ID, look(ID, incident.target), delivery="delivery-2").outcome == "escalated"


@pytest.mark.parametrize(
    ("name", "state", "may_be"),
    [
        ("DisableKey", "Disabled", True),
        ("EnableKey", "Disabled", False),
        ("ImportKeyMaterial", "PendingImport", False),
        ("DeleteImportedKeyMaterial", "PendingImport", True),
        ("DisconnectCustomKeyStore", "DISCONNECTED", True),
        ("DisableKey", "PendingImport", False),
    ],
)
def test_each_state_is_made_by_one_call(name: str, state: str, may_be: bool) -> None:
    assert kms.handler.made_by(name, Key(state), Key("Enabled")) is may_be
