"""Keys that somebody wants to destroy, or to switch off."""

import json
from collections.abc import Callable
from typing import Any

import boto3
from moto.core.exceptions import JsonRESTError
from moto.kms.models import Key, KmsBackend, kms_backends
from moto.kms.responses import KmsResponse
from support import HERE, ME, REGION, Incident, call, incident

ID = "kms-key-deletion"
STORE = "cks-1234567890abcdef0"


def stores() -> dict[str, str]:
    """The connection's state by the store's id: it goes with the account."""
    kept: dict[str, str] = vars(kms_backends[ME][REGION]).setdefault("custom_key_stores", {})
    return kept


def describe_custom_key_stores(response: KmsResponse) -> str:
    """moto has no custom key stores: answers as the KMS API, DescribeCustomKeyStores, says."""
    store = response._get_param("CustomKeyStoreId")
    if store not in stores():
        raise JsonRESTError("CustomKeyStoreNotFoundException", f"no custom key store {store}")
    return json.dumps({"CustomKeyStores": [{"CustomKeyStoreId": store, "ConnectionState": stores()[store]}]})


def cancel_of_what_is_scheduled(backend: KmsBackend, key_id: str) -> None:
    """moto disables any key by it. KMS API, CancelKeyDeletion: it is refused for one that is not to be deleted."""
    if not backend.keys[key_id].key_state.endswith("Deletion"):
        raise JsonRESTError("KMSInvalidStateException", f"{key_id} is not pending deletion")
    cancel_of_any(backend, key_id)


cancel_of_any = KmsBackend.cancel_key_deletion
setattr(KmsResponse, "describe_custom_key_stores", describe_custom_key_stores)  # noqa: B010 - not in its type
setattr(KmsBackend, "cancel_key_deletion", cancel_of_what_is_scheduled)  # noqa: B010 - mypy takes no other for it


def key(region: str = REGION, **more: Any) -> str:
    return str(boto3.client("kms", region).create_key(**more)["KeyMetadata"]["KeyId"])


def in_moto(id: str, region: str = REGION) -> Key:
    """The key itself: for the states to which moto has no way (PendingImport, PendingReplicaDeletion, …)."""
    return kms_backends[ME][region].keys[id]


def state(id: str, region: str = REGION) -> str:
    return str(boto3.client("kms", region).describe_key(KeyId=id)["KeyMetadata"]["KeyState"])


def schedule(id: str, days: int = 7) -> None:
    boto3.client("kms").schedule_key_deletion(KeyId=id, PendingWindowInDays=days)


def becomes(id: str, name: str) -> Callable[[], None]:
    return lambda: setattr(in_moto(id), "key_state", name)


def about(id: str, name: str, request: dict[str, Any], response: dict[str, Any] | None = None) -> dict[str, Any]:
    """The call, with the resource that CloudTrail adds."""
    arn = HERE.arn("kms", f"key/{id}")
    resource = {"accountId": ME, "type": "AWS::KMS::Key", "ARN": arn}
    return call("kms", name, request, resources=[resource], responseElements={"keyId": arn} | (response or {}))


def build(id: str, event: dict[str, Any], spoil: Callable[[], object], **more: Any) -> Incident:
    target = HERE.arn("kms", f"key/{id}")
    return Incident(ID, event, target, spoil, lambda: state(id) == "Enabled", **more)


def scheduled(id: str) -> dict[str, Any]:
    date = {"keyState": "PendingDeletion", "deletionDate": "Jan 8, 2026, 12:00:00 AM", "pendingWindowInDays": 7}
    return about(id, "ScheduleKeyDeletion", {"keyId": id, "pendingWindowInDays": 7}, date)


@incident(ID, "ScheduleKeyDeletion")
def deletion() -> Incident:
    id = key()
    return build(id, scheduled(id), lambda: schedule(id), known=True)


@incident(ID, "ScheduleKeyDeletion--unknown")
def deletion_of_an_unknown_key() -> Incident:
    id = key()
    return build(id, scheduled(id), lambda: schedule(id))


@incident(ID, "ScheduleKeyDeletion--replicas")
def deletion_of_a_primary() -> Incident:
    id = key(MultiRegion=True)
    response = {"keyState": "PendingReplicaDeletion", "pendingWindowInDays": 30}
    event = about(id, "ScheduleKeyDeletion", {"keyId": id, "pendingWindowInDays": 30}, response)
    return build(id, event, becomes(id, "PendingReplicaDeletion"), known=True)


@incident(ID, "DisableKey")
def disabled() -> Incident:
    id = key()
    event = about(id, "DisableKey", {"keyId": id})
    return build(id, event, lambda: boto3.client("kms").disable_key(KeyId=id), known=True)


@incident(ID, "DisableKey--unknown")
def disabled_an_unknown_key() -> Incident:
    id = key()
    event = about(id, "DisableKey", {"keyId": HERE.arn("kms", f"key/{id}")})
    return build(id, event, lambda: boto3.client("kms").disable_key(KeyId=id))


@incident(ID, "EnableKey")
def enabled_and_disabled_again() -> Incident:
    id = key()
    event = about(id, "EnableKey", {"keyId": id})
    return build(id, event, lambda: boto3.client("kms").disable_key(KeyId=id), known=True)


@incident(ID, "ImportKeyMaterial")
def filled_and_emptied_again() -> Incident:
    id = key(Origin="EXTERNAL")
    request = {"keyId": id, "expirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return build(id, about(id, "ImportKeyMaterial", request), becomes(id, "PendingImport"), outcome="escalated")


@incident(ID, "DeleteImportedKeyMaterial")
def emptied() -> Incident:
    id = key(Origin="EXTERNAL")
    event = about(
        id, "DeleteImportedKeyMaterial", {"keyId": id, "keyMaterialId": "9f" * 32}, {"keyMaterialId": "9f" * 32}
    )
    return build(id, event, becomes(id, "PendingImport"), outcome="escalated")


def of_a_store(event: str, becomes: str) -> Incident:
    stores()[STORE] = "CONNECTED"
    extra = {"customKeyStoreName": "vault", "clusterId": "cluster-1a23b4cdefg"}
    return Incident(
        ID,
        call("kms", event, {"customKeyStoreId": STORE}, additionalEventData=extra),
        target=HERE.arn("kms", f"custom-key-store/{STORE}"),
        spoil=lambda: stores().update({STORE: becomes}),
        safe=lambda: stores()[STORE] == "CONNECTED",
        outcome="escalated",
    )


@incident(ID, "DisconnectCustomKeyStore")
def disconnected() -> Incident:
    return of_a_store("DisconnectCustomKeyStore", "DISCONNECTED")


@incident(ID, "ConnectCustomKeyStore")
def connected_in_vain() -> Incident:
    return of_a_store("ConnectCustomKeyStore", "FAILED")
