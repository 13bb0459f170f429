"""Attacker, owner, deploy pipeline, sweep, watch, clock and guardrails take turns at random.

The attacker breaks a key, a bucket in three ways, a trail and a VPC endpoint; some of its calls leave no event. Events
come in any order, twice, late, and to runs that die, are refused, or lose an answer at any call. The owner exempts
things for a while, the pipeline disables the key because it may. When all has come to rest, whatever is unsafe is open,
escalated or exempt.
"""

import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import support
import time_machine
from botocore.exceptions import ClientError
from holdfast import ApiCall, telemetry
from holdfast.ledger import Mark
from holdfast.visit import Delivery
from holdfast_cli import project
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from incidents import vpc_endpoint
from incidents.cloudtrail_logging import bucket
from incidents.vpc_endpoint import STRICT
from moto.kms.models import kms_backends
from support import HERE, MALLORY, ME, REGION

from faults.harness import DAY, MINUTE, START, Died, Figure, clock, door, many, stamp, tick
from faults.quick import ENDPOINT, KEY, ROUTED, SSE, TRAIL, Account, QuickAws, world

PIPELINE = f"arn:aws:iam::{ME}:role/pipeline"
LAKE = HERE.bucket("lake")
OPEN = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}],
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cloudtrail-logging": {},
    "kms-key-deletion": {},
    "s3-default-encryption": {},
    "s3-public-access-block": {},
    "s3-vpc-only-policy": {"buckets": ["lake"], "vpc_ids": ["vpc-0a1b2c3d4e5f60718"]},
    "vpc-endpoint": {},
}
ENDPOINTS = HERE.arn("ec2", "vpc-endpoint/")
TARGETS = dict.fromkeys(SETTINGS, LAKE) | {
    "kms-key-deletion": KEY,
    "cloudtrail-logging": TRAIL,
    "vpc-endpoint": ENDPOINTS + ENDPOINT,
}
EXEMPTED = TARGETS | {"vpc-endpoint": f"{ENDPOINTS}*"}  # one that is made again has another id
SHARED = {"baseline_principals": [PIPELINE]}
# guardrail, CloudTrail's name of the call, its request, and the call.
ATTACKS: list[tuple[str, str, dict[str, Any], ApiCall]] = [
    ("kms-key-deletion", "DisableKey", {"keyId": KEY}, ApiCall("kms", "disable_key", {"KeyId": KEY.name})),
    (
        "kms-key-deletion",
        "ScheduleKeyDeletion",
        {"keyId": KEY},
        ApiCall("kms", "schedule_key_deletion", {"KeyId": KEY.name, "PendingWindowInDays": 7}),
    ),
    (
        "s3-default-encryption",
        "PutBucketEncryption",
        {"bucketName": "lake"},
        ApiCall("s3", "put_bucket_encryption", {"Bucket": "lake", "ServerSideEncryptionConfiguration": SSE}),
    ),
    (
        "s3-public-access-block",
        "DeleteBucketPublicAccessBlock",
        {"bucketName": "lake"},
        ApiCall("s3", "delete_public_access_block", {"Bucket": "lake"}),
    ),
    (
        "s3-vpc-only-policy",
        "DeleteBucketPolicy",
        {"bucketName": "lake"},
        ApiCall("s3", "delete_bucket_policy", {"Bucket": "lake"}),
    ),
    (
        "s3-vpc-only-policy",
        "PutBucketPolicy",
        {"bucketName": "lake"},
        ApiCall("s3", "put_bucket_policy", {"Bucket": "lake", "Policy": json.dumps(OPEN)}),
    ),
    ("cloudtrail-logging", "StopLogging", {"name": TRAIL}, ApiCall("cloudtrail", "stop_logging", {"Name": TRAIL})),
    (
        "vpc-endpoint",
        "DeleteVpcEndpoints",
        {"DeleteVpcEndpointsRequest": {"VpcEndpointId": {"content": ENDPOINT, "tag": 1}}},
        ApiCall("ec2", "delete_vpc_endpoints", {"VpcEndpointIds": [ENDPOINT]}),
    ),
    (
        "vpc-endpoint",
        "ModifyVpcEndpoint",
        {"ModifyVpcEndpointRequest": {"VpcEndpointId": ENDPOINT, "PolicyDocument": json.dumps(OPEN)}},
        ApiCall("ec2", "modify_vpc_endpoint", {"VpcEndpointId": ENDPOINT, "PolicyDocument": json.dumps(OPEN)}),
    ),
    (
        "vpc-endpoint",
        "ModifyVpcEndpoint",
        {"ModifyVpcEndpointRequest": {"VpcEndpointId": ENDPOINT, "RemoveRouteTableId": {"content": ROUTED, "tag": 1}}},
        ApiCall("ec2", "modify_vpc_endpoint", {"VpcEndpointId": ENDPOINT, "RemoveRouteTableIds": [ROUTED]}),
    ),
]
ON = "Enabled"
LONG, STEPS = 200, many(10_000, 1_000_000)


def aimed(part: Any, aws: Any) -> Any:
    """The same for the newest endpoint and its route table: one that is made again has another id."""
    newest = aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"][-1]
    table = next(iter(newest["RouteTableIds"]), ROUTED)
    return json.loads(json.dumps(part).replace(ENDPOINT, newest["VpcEndpointId"]).replace(ROUTED, table))


class Turns(RuleBasedStateMachine):
    """One account and all who act on it. `pending` are guardrail, event, delivery and attempts so far."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.moving = self.clock.start()
        self.account = Account()
        self.parameters: dict[str, str] = {}
        self.pending: list[tuple[str, Mapping[str, Any], str, int]] = []
        self.number = 0
        self.may_be_disabled = False
        for guardrail in SETTINGS:
            ledger = world(guardrail, QuickAws(self.account), {}, {}).ledger
            ledger.begin_survey(guardrail, START)
            ledger.mark(guardrail, Mark.SWEPT, START)
        self.sweep_all()
        while self.pending:
            self.deliver(0)

    def teardown(self) -> None:
        try:
            self.rest()
        finally:
            self.clock.stop()

    def deliver(self, which: int, at: int = 0, how: str = "") -> None:
        """One attempt; what fails three times is lost in a queue that nobody reads."""
        guardrail, event, id, attempts = self.pending.pop(which % len(self.pending))
        aws = QuickAws(self.account, at=at, how=how)
        here = world(guardrail, aws, self.parameters, SETTINGS[guardrail], **SHARED)
        guard = project.load(guardrail).handler
        try:
            guard.handle(event, here, Delivery(id, int(time.time()) + 90))
        except (Died, ExceptionGroup, ClientError):
            if attempts < 2:
                self.pending.append((guardrail, event, id, attempts + 1))

    def comes(self, guardrail: str, event: Mapping[str, Any]) -> None:
        self.number += 1
        self.pending.append((guardrail, event, f"delivery-{self.number}", 0))

    @rule(which=st.integers(0, len(ATTACKS) - 1), seen=st.booleans(), twice=st.booleans())
    def attacks(self, which: int, seen: bool, twice: bool) -> None:
        guardrail, name, request, call = ATTACKS[which]
        aws = QuickAws(self.account)
        request, call = aimed(request, aws), replace(call, parameters=aimed(call.parameters, aws))
        try:
            aws.apply(call)
        except ClientError:
            return
        for _ in range((1 + twice) * seen):
            event = support.call(
                call.service, name, request, actor=MALLORY, id=f"event-{self.number}", eventTime=stamp()
            )
            self.comes(guardrail, event)

    @rule()
    def pipeline_disables_the_key(self) -> None:
        guardrail, name, request, call = ATTACKS[0]
        if self.account.key == "Enabled":
            QuickAws(self.account).apply(call)
            self.may_be_disabled = True
            event = support.call("kms", name, request, actor=PIPELINE, id=f"event-{self.number}", eventTime=stamp())
            self.comes(guardrail, event)

    @rule(guardrail=st.sampled_from(sorted(SETTINGS)), minutes=st.integers(1, 200))
    def owner_exempts(self, guardrail: str, minutes: int) -> None:
        until = stamp(minutes * MINUTE)
        value = {"resource": EXEMPTED[guardrail], "owner": "data team", "reason": "a try", "expires": until}
        self.parameters[f"exemptions/{guardrail}/try"] = json.dumps(value)

    @rule(guardrail=st.sampled_from(sorted(SETTINGS)))
    def owner_ends_an_exemption(self, guardrail: str) -> None:
        self.parameters.pop(f"exemptions/{guardrail}/try", None)

    @rule(which=st.integers(0, 50), at=st.integers(0, 15), how=st.sampled_from(("", "dies", "refused", "lost")))
    def an_event_comes(self, which: int, at: int, how: str) -> None:
        if self.pending:
            self.deliver(which, at, how)

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds: int) -> None:
        self.moving.shift(seconds)

    @rule()
    def the_watch_ticks(self) -> None:
        self.moving.shift(MINUTE)
        tick(world("watch", QuickAws(self.account), {}, {}), 365 * DAY)
        for entry in self.account.bus:
            detail = json.loads(entry["Detail"])
            if detail["guardrail"] in SETTINGS:
                self.comes(detail["guardrail"], support.look(detail["guardrail"], *detail["targets"]))
        self.account.bus.clear()

    @rule(guardrail=st.sampled_from(sorted(SETTINGS)))
    def sweeps(self, guardrail: str) -> None:
        self.comes(guardrail, support.sweep())

    @invariant()
    def counted(self) -> None:
        Turns.steps += 1

    def rest(self) -> None:
        """All that is under way comes; the leases of those who died end; one sweep."""
        for _ in range(2):
            self.moving.shift(10 * MINUTE)
            self.the_watch_ticks()
            while self.pending:
                self.deliver(0)
        self.sweep_all()
        while self.pending:
            self.deliver(0)
        for guardrail, target in TARGETS.items():
            assert self.is_safe(guardrail) or self.is_known(guardrail, target), (guardrail, self.account)

    def sweep_all(self) -> None:
        for guardrail in SETTINGS:
            self.comes(guardrail, support.sweep())

    def is_safe(self, guardrail: str) -> bool:
        """Told by the account alone."""
        account = self.account
        safe: dict[str, bool] = {
            "kms-key-deletion": account.key == "Enabled" or (account.key == "Disabled" and self.may_be_disabled),
            "s3-default-encryption": account.encryption != SSE,
            "s3-public-access-block": account.block is not None and all(account.block.values()),
            "s3-vpc-only-policy": "HoldfastVpcOnly" in (account.policy or ""),
            "cloudtrail-logging": account.logging,
            "vpc-endpoint": any(map(is_as_it_was, account.endpoints.values())),
        }
        return safe[guardrail]

    def is_known(self, guardrail: str, target: str) -> bool:
        targets = [target]
        if guardrail == "vpc-endpoint":
            targets = [ENDPOINTS + id for id in self.account.endpoints]
        pages = [self.account.items.get((guardrail, each), {}) for each in targets]
        told = {json.loads(page["told"]["S"])["outcome"] for page in pages if "told" in page}
        return any("open" in page for page in pages) or bool(told & {"escalated", "exempt"})


def is_as_it_was(endpoint: dict[str, Any]) -> bool:
    parts = endpoint["State"], endpoint["RouteTableIds"], json.loads(endpoint["PolicyDocument"])
    return parts == ("available", [ROUTED], STRICT)


def test_at_rest_what_is_unsafe_is_open_escalated_or_exempt(figure: Figure) -> None:
    telemetry.logger.setLevel(logging.CRITICAL)  # failing is what the runs are for
    before = Turns.steps
    long = settings(
        max_examples=STEPS // LONG * 11 // 10 + 1,
        stateful_step_count=LONG,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Turns, settings=long)
    figure("steps", Turns.steps - before)
    assert Turns.steps - before >= STEPS


def test_the_account_in_memory_does_as_moto_does(figure: Figure) -> None:
    for seed in range(many(1, 20)):
        with support.account(), clock():
            as_in_moto()
            in_moto = played(door(), seed, attack_in_moto)
            told = [shown(message) for message in support.heard()]
        with clock():
            quick = Account()
            in_memory = played(QuickAws(quick), seed, QuickAws(quick).apply)
        figure("turns compared with moto", len(in_moto))
        assert in_memory == in_moto
        assert [shown(message) for message in quick.told] == told


def attack_in_moto(call: ApiCall) -> None:
    make: Any = boto3.client
    getattr(make(call.service), call.operation)(**call.parameters)


def as_in_moto() -> None:
    """The same key, bucket and trail as the other account has from the start."""
    backend = kms_backends[ME][REGION]
    key = backend.keys.pop(boto3.client("kms").create_key()["KeyMetadata"]["KeyId"])
    key.id, key.arn = KEY.name, str(KEY)
    backend.keys[KEY.name] = key
    support.make_bucket()
    bucket("audit-logs")
    options: Any = {"IsMultiRegionTrail": True, "EnableLogFileValidation": True}
    boto3.client("cloudtrail").create_trail(Name="audit", S3BucketName="audit-logs", **options)
    boto3.client("cloudtrail").start_logging(Name="audit")
    vpc_endpoint.gateway(vpc_endpoint.vpc())


def played(aws: Any, seed: int, attack: Callable[[ApiCall], object]) -> list[Any]:
    """Attacks and events in the same turns; of each what came of it."""
    lot, ends, ids = random.Random(seed), list[Any](), dict[str, str]()  # noqa: S311 - not for secrets
    for number in range(80):
        guardrail, name, request, call = lot.choice(ATTACKS)
        request, call = aimed(request, aws), replace(call, parameters=aimed(call.parameters, aws))
        if lot.random() < 0.5:
            # moto lets a key that waits for its deletion be disabled; KMS does not (KMS API, DisableKey).
            if call.service != "kms" or aws.client("kms").describe_key(KeyId=KEY.name)["KeyMetadata"]["KeyState"] == ON:
                attack(call)
        else:
            event = support.call(call.service, name, request, id=f"event-{number}", eventTime=stamp())
            raw = lot.choice((event, support.look(guardrail, aimed(TARGETS[guardrail], aws))))
            here = world(guardrail, aws, {}, SETTINGS[guardrail], **SHARED)
            ended = project.load(guardrail).handler.handle(raw, here, Delivery(str(number), START + DAY))
            ends.append({ids.setdefault(target, f"thing {len(ids)}"): outcome for target, outcome in ended.items()})
    return ends


def shown(message: dict[str, Any]) -> tuple[str, str, list[str]]:
    return message["guardrail"], message["outcome"], [call["operation"] for call in message["calls"]]
