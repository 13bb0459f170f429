"""No customer key is destroyed or switched off.

Why: what a key encrypted can't be read without it. A key that is disabled or waits for its deletion stops every reader
at once, and a key that is deleted takes its data along for good.

Restored: a scheduled deletion is cancelled, also of a primary key that waits for its replicas; that leaves the key
disabled, so it is then enabled, as is a key that somebody disabled. One that is known to be disabled on purpose stays
so. A key in `retiring_keys` may be disabled, emptied or scheduled for deletion until the end of its last day (UTC);
what is not deleted by then is put back, so that day must lie behind the waiting period.

Can't: bring back imported key material (only its owner has it; where it expires, AWS records DeleteExpiredKeyMaterial,
an event of the service and no call, which starts nothing here: a sweep finds that), reconnect a custom key store (it
takes the store's own credentials), bring back a key that is deleted, or act against a key policy that shuts Holdfast
out.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated

from holdfast import (
    ApiCall,
    Arn,
    Aws,
    BadEvent,
    Case,
    Event,
    Guardrail,
    Misshapen,
    Owner,
    Reason,
    Value,
    Violation,
    first,
)

STORE = "custom-key-store"
RESOURCE = re.compile(rf"(key|{STORE})/[\w-]{{1,256}}")
PENDING = ("PendingDeletion", "PendingReplicaDeletion")
IN_USE = ("Enabled", "CONNECTING", "CONNECTED")
MAKES = {
    "DisableKey": ("Disabled",),
    "ScheduleKeyDeletion": PENDING,
    "DeleteImportedKeyMaterial": ("PendingImport",),
    "DisconnectCustomKeyStore": ("DISCONNECTED",),
}

# KMS API, KeyMetadata (KeyState) and CustomKeyStoresListEntry (ConnectionState): what is wrong, and what to do.
HOPELESS = {
    "PendingImport": (
        "its imported key material is gone",
        "Import the same material again; no other decrypts what this key encrypted: "
        "aws kms get-parameters-for-import, then import-key-material, --key-id {id} --region {region}",
    ),
    "Unavailable": (
        "its custom key store is disconnected",
        "Find the store with aws kms describe-key --key-id {id} --region {region} and connect it again.",
    ),
    "DISCONNECTED": (
        "the custom key store is disconnected and none of its keys can be used",
        "Connect it again: aws kms connect-custom-key-store --custom-key-store-id {id} --region {region}",
    ),
    "FAILED": (
        "the custom key store can't connect and none of its keys can be used",
        "See why: aws kms describe-custom-key-stores --custom-key-store-id {id} --region {region}",
    ),
}


class RetiringKey(Value):
    """A key that is meant to go: who answers for it, why, and its last day (ISO 8601, UTC)."""

    key_arn: Annotated[str, r"arn:aws[\w-]*:kms:[\w-]+:\d{12}:key/[\w-]+"]
    owner: Owner
    reason: Reason
    until: Annotated[str, r"\d{4}-\d{2}-\d{2}"]

    def __post_init__(self) -> None:
        try:
            date.fromisoformat(self.until)
        except ValueError as error:
            raise Misshapen(f"until: {error}") from None


class Settings(Value):
    """`retiring_keys` may go; keep their entries, or a sweep will miss the deleted keys.

    `enable_unknown`: enable a key of which no earlier state is known; without it a person is asked.
    """

    retiring_keys: tuple[RetiringKey, ...] = ()
    enable_unknown: bool = True


class Key(Value):
    """A key, or a custom key store with its connection's state.

    `deletion` is the day on which AWS deletes it, if that is set. `retiring`: today it may go.
    """

    state: str
    deletion: str = ""
    retiring: bool = False


def targets(event: Event) -> Iterable[Arn]:
    """CloudTrail names the key by its ARN where it can; callers give ARNs or bare ids. The first that is usable."""
    kind, field = (STORE, "customKeyStoreId") if event.name.endswith("CustomKeyStore") else ("key", "keyId")
    given = (first(said.get(field)) for said in (event.response, event.request))
    for name in (name for name in (*event.resources, *given) if isinstance(name, str)):
        with suppress(BadEvent):
            arn = Arn(name) if name.startswith("arn:") else event.arn("kms", f"{kind}/{name}")
            if arn.service == "kms" and arn.kind == kind and RESOURCE.fullmatch(arn.resource):
                return [arn]
    raise BadEvent(f"{event.name} without a usable {field}")


def read(case: Case[Key, Settings], aws: Aws) -> Key | None:
    """None also for a key that AWS manages: nobody can disable or delete it."""
    kms = aws.client("kms", case.target.region)
    if case.target.kind == STORE:
        (store,) = kms.describe_custom_key_stores(CustomKeyStoreId=case.target.name)["CustomKeyStores"]
        return Key(store["ConnectionState"].replace("DISCONNECTING", "DISCONNECTED"))
    key = kms.describe_key(KeyId=case.target.name)["KeyMetadata"]
    if key.get("KeyManager") == "AWS":
        return None
    deletion, today = key.get("DeletionDate"), datetime.now(UTC).date().isoformat()
    return Key(
        key["KeyState"],
        deletion.astimezone(UTC).date().isoformat() if deletion else "",
        any(today <= entry.until for entry in listed(case)),
    )


def listed(case: Case[Key, Settings]) -> list[RetiringKey]:
    return [entry for entry in case.settings.retiring_keys if entry.key_arn == case.target]


def evaluate(key: Key, case: Case[Key, Settings]) -> Violation | None:
    before = case.baseline.state if case.baseline and case.baseline.state not in PENDING else ""
    if key.retiring or key.state == before:
        return None
    if key.state in PENDING:
        return scheduled(key, before, case)
    if key.state == "Disabled":
        fix, todo = enabling(before, case)
        return Violation("the key is disabled", fix=fix, undo=(call("disable_key", case),) if fix else (), todo=todo)
    if key.state in HOPELESS:
        what, todo = HOPELESS[key.state]
        return Violation(what, todo=todo.format(id=case.target.name, region=case.target.region))
    return None


def scheduled(key: Key, before: str, case: Case[Key, Settings]) -> Violation:
    """Cancelling leaves the key disabled (KMS API, CancelKeyDeletion)."""
    enable, todo = enabling(before, case)
    return Violation(
        f"the key is scheduled for deletion {f'on {key.deletion}' if key.deletion else 'once its replicas are gone'}",
        fix=(call("cancel_key_deletion", case), *enable),
        undo=(call("schedule_key_deletion", case, PendingWindowInDays=30),),
        todo=todo,
    )


def enabling(before: str, case: Case[Key, Settings]) -> tuple[tuple[ApiCall, ...], str]:
    """The call that enables the key unless it was disabled `before`, and what to tell where a person may want more."""
    enable = (call("enable_key", case),)
    command = f"aws kms enable-key --key-id {case.target.name} --region {case.target.region}"
    if before == "Disabled":
        return (), f"It stays disabled, as it was before. If it is to be used, {command}"
    if before:
        return enable, ""
    if case.settings.enable_unknown:
        return enable, "Whether it was enabled before isn't known: if not, exempt it, then disable it again."
    return (), f"Whether it was enabled before isn't known, and enable_unknown is off: if it was, {command}"


def call(operation: str, case: Case[Key, Settings], **more: int) -> ApiCall:
    region = case.target.region
    return ApiCall("kms", operation, {"KeyId": case.target.name, **more}, "" if region == case.here.region else region)


def gone(case: Case[Key, Settings]) -> Violation | None:
    """A custom key store can be deleted only once it has no keys (KMS API, DeleteCustomKeyStore)."""
    if case.baseline is None or case.target.kind == STORE or listed(case):
        return None
    todo = "Nothing brings it back. Find in CloudTrail what used it, and restore that from copies under another key."
    if case.target.name.startswith("mrk-"):
        todo = f"If it was a replica, replicate its primary again (aws kms replicate-key). Otherwise: {todo}"
    return Violation("the key is deleted", todo=todo)


def inventory(aws: Aws) -> Iterator[Arn]:
    """Keys only: a disconnected store shows in its keys, which are Unavailable."""
    for page in aws.client("kms").get_paginator("list_keys").paginate():
        yield from (Arn(key["KeyArn"]) for key in page["Keys"])


handler = Guardrail(
    severity="critical",
    services=("kms",),
    covers=(r"arn:{partition}:kms:[\w-]+:{account}:(key|custom-key-store)/[\w-]+",),
    settings=Settings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    gone=gone,
    inventory=inventory,
    baseline=Key,
    missing=frozenset({"NotFoundException", "CustomKeyStoreNotFoundException"}),
    later={
        "ThrottlingException": 60,
        "LimitExceededException": 300,
        "DependencyTimeoutException": 60,
        "KMSInternalException": 60,
        "KMSInvalidStateException": 60,  # KMS is eventually consistent: the next look decides anew
    },
    stuck={
        # For every caller a key's own policy has the first word (KMS developer guide, "Key policies").
        "AccessDeniedException": (
            "The key's policy does not let Holdfast in, or the organisation denies it. Let it in, or see to "
            "the key yourself: after its waiting period a key that is scheduled for deletion can't be brought back."
        )
    },
    defensive=frozenset({"DisableKey"}),
    made_by=lambda call, found, baseline: found.state in MAKES.get(call, ()),
    safer=lambda found, baseline: found.state in IN_USE and baseline.state not in IN_USE,
)
