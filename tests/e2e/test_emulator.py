"""A function under Lambda's own emulator: it starts cold, runs out of time, dies, is given nonsense; and what then.

The local cloud's rules are off: each test delivers the event by itself, as Lambda does when it tries again.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from e2e.conftest import Report
from e2e.emulator import Door, Emulated, absent, door, emulated
from e2e.witnesses import Listener, Witnesses
from holdfast.event import role_of
from holdfast_cli import project
from holdfast_cli.demo.incidents import key, usable
from holdfast_cli.demo.stage import LAYER, STACK, Stage, build
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.identity import Identity

pytestmark = pytest.mark.e2e
GUARDRAIL = "kms-key-deletion"
FOLDER = project.FUNCTIONS / "kms_key_deletion"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
LAST_STEP = "EnableKey"  # of the two that mend a key: before it, CancelKeyDeletion


@dataclass(frozen=True)
class Site:
    """An account with the stack in it, whose rules start nothing; the door through which the function gets there."""

    stage: Stage
    witnesses: Witnesses
    calls: Listener
    mallory: Identity
    door: Door
    environment: Mapping[str, str]

    def emulated(self, seconds: int = 60) -> AbstractContextManager[Emulated]:
        return emulated(FOLDER, self.environment, seconds)

    def attacked(self) -> tuple[str, dict[str, Any]]:
        """A key that mallory has scheduled for deletion, and the event of it."""
        target = key(self.stage)
        self.mallory.client("kms").schedule_key_deletion(KeyId=target, PendingWindowInDays=7)
        return target, self.calls.first(f"the event of {target}", lambda event: _schedules(event["detail"], target))

    def state(self, target: str) -> str:
        return str(self.witnesses.view.root("kms").describe_key(KeyId=target)["KeyMetadata"]["KeyState"])

    def is_open(self, target: str) -> bool:
        return "open" in self.witnesses.page(GUARDRAIL, target)

    def is_finished(self, target: str) -> bool:
        """The key is whole, security was told by whom it was broken, and the record is closed."""
        told = self.witnesses.message(target, lambda message: bool(message["target"] == target))
        record = self.witnesses.closed(GUARDRAIL, target, told["id"])
        assert (told["outcome"], record["outcome"]) == ("remediated", "remediated")
        assert told["actor"]["arn"] == role_of(self.mallory.arn)
        return usable(self.witnesses.view, target)


def _schedules(detail: Mapping[str, Any], target: str) -> bool:
    asked = detail["requestParameters"] or {}
    return (detail["eventName"], asked.get("keyId")) == ("ScheduleKeyDeletion", target)


@pytest.fixture(scope="module")
def site(report: Report) -> Iterator[Site]:
    if reason := absent():
        report.absent.append(f"functions under the emulator: {reason}")
        pytest.skip(reason)
    with LocalCloud(region="eu-west-1") as cloud, door(cloud.endpoint) as way:
        stage = build(cloud)
        outputs = cloud.deploy(STACK, project.TEMPLATE, stage.parameters, LAYER)
        _silence(cloud)
        calls = Listener.of(cloud, "calls", "events.amazonaws.com")
        cloud.client("events").put_rule(Name="calls", EventPattern=json.dumps({"source": ["aws.kms"]}))
        cloud.client("events").put_targets(Rule="calls", Targets=[{"Id": "1", "Arn": calls.queue}])
        mallory = cloud.user("mallory", ANYTHING)
        yield Site(stage, Witnesses.of(stage, outputs), calls, mallory, way, _environment(cloud, way))


def _silence(cloud: LocalCloud) -> None:
    for name, rule in cloud.resources(STACK).items():
        if name.endswith(("Calls", "Looks")):
            cloud.client("events").disable_rule(Name=rule)


def _environment(cloud: LocalCloud, way: Door) -> dict[str, str]:
    """The function's own variables as deployed, and a role that the topic knows."""
    function = cloud.client("lambda").get_function_configuration(FunctionName=f"{STACK}-{GUARDRAIL}")
    role = cloud.role("emulated", ANYTHING, path="/holdfast/")
    return {
        **function["Environment"]["Variables"],
        **role.environment(),
        "AWS_REGION": cloud.region,
        "AWS_ENDPOINT_URL": way.endpoint,
    }


def test_a_cold_function_mends_and_tells(site: Site, report: Report) -> None:
    target, event = site.attacked()
    with site.emulated() as function:
        begun = time.monotonic()
        assert function.deliver(event, "cold") == {target: "remediated"}
        report.seconds["A cold start on this machine, from event to fix"] = time.monotonic() - begun
    assert site.is_finished(target)


def test_what_a_time_out_left_half_done_the_next_delivery_finishes(site: Site) -> None:
    target, event = site.attacked()
    with site.emulated(seconds=4) as function:
        with site.door.holding(LAST_STEP):
            assert function.deliver(event, "slow") == "Task timed out after 4.00 seconds"
        assert (site.state(target), site.is_open(target)) == ("Disabled", True)
        assert function.deliver(event, "slow") == {target: "remediated"}
    assert site.is_finished(target)


def test_what_a_crash_left_half_done_the_next_delivery_finishes(site: Site) -> None:
    target, event = site.attacked()
    with site.emulated() as function, ThreadPoolExecutor() as aside:
        with site.door.holding(LAST_STEP) as came:
            answer = aside.submit(function.deliver, event, "killed")
            assert came.wait(30)
            function.kill_runtime()
            assert answer.result()["errorType"] == "Runtime.ExitError"
        assert (site.state(target), site.is_open(target)) == ("Disabled", True)
        assert function.deliver(event, "killed") == {target: "remediated"}
    assert site.is_finished(target)


@pytest.mark.parametrize("bad", [{"detail": {}}, {}, [], "nonsense"], ids=json.dumps)
def test_after_a_bad_event_the_function_goes_on(site: Site, bad: Any) -> None:
    target, event = site.attacked()
    with site.emulated() as function:
        assert function.deliver(bad, "bad")["errorType"] == "BadEvent"
        assert function.deliver(event, "good") == {target: "remediated"}
    assert site.is_finished(target)
