"""Every call meets 429, 500, 503, a time-out, a refusal, "not found", and a reply that is lost after AWS did the work.

Each once, and for as long as the run lasts. It is never silent: botocore tries again, or the run raises and the event
comes again, or it is told or recorded as open. No message says more than is true: whatever is told to be mended is, the
calls it lists were made, and those it would have made were not. In the end all is as if nothing had been. One word of
AWS's is taken for it: what it says is not there is not guarded until the next event or sweep.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from holdfast.visit import UNSURE
from support import still_open, sweep

from faults import harness
from faults.harness import DAY, KEYLESS, LARGE, Answers, Fault, Figure, Hangs, LosesAnswer, Plan, Scene, begun

INCIDENTS = harness.incidents()
DENIED = {
    "": "AccessDeniedException",
    "s3": "AccessDenied",
    "s3control": "AccessDenied",
    "ec2": "UnauthorizedOperation",
}
ABSENT = {
    "": "ResourceNotFoundException",
    "cloudtrail": "TrailNotFoundException",
    "ec2": "InvalidVpcEndpointId.NotFound",
    "kms": "NotFoundException",
    "s3": "NoSuchBucket",
    "sns": "NotFound",
}
FAULTS: dict[str, Fault] = {
    "429": Answers(429, {"": "ThrottlingException", "s3": "SlowDown", "ec2": "RequestLimitExceeded"}),
    "500": Answers(500, {"": "InternalFailure", "s3": "InternalError", "ec2": "InternalError"}),
    "503": Answers(503, {"": "ServiceUnavailable", "ec2": "Unavailable"}),
    "time-out": Hangs(),
    "denied": Answers(403, DENIED),
    "absent": Answers(404, ABSENT),
    "lost": LosesAnswer(),
}


def plans(calls: int) -> Iterator[tuple[str, Plan]]:
    """Every call with every fault, once and for good; in a small run each call with one of these, taking turns."""
    every = [(name, lasts) for lasts in (1, 99) for name in FAULTS]
    for number in range(1, calls + 1):
        for name, lasts in every if LARGE else [every[5 * number % len(every)]]:
            yield f"{name} at call {number}, {lasts} times", hitting(number, lasts, FAULTS[name])


def hitting(number: int, lasts: int, fault: Fault) -> Plan:
    return lambda call: fault if call.number == number and call.attempts <= lasts else None


def is_true(message: dict[str, Any], scene: Scene) -> bool:
    """What is told to be mended is. The calls are told as made that were, and as not made that were not.

    Without the ledger only the floor is known: the message then says so, and the event comes again.
    """
    listed = {camel(call["operation"]) for call in message["calls"]}
    made = {call.name for ended in scene.runs for call in ended.line.changes}
    unsure = message["reason"] == UNSURE and scene.runs[-1].failed
    mended = message["outcome"] != "remediated" or unsure or scene.incident.safe()
    return mended and (listed <= made if message["applied"] else not listed & made)


def camel(operation: str) -> str:
    return "".join(map(str.title, operation.split("_")))


@pytest.mark.parametrize("name", INCIDENTS)
def test_no_error_is_silent_and_no_message_a_half_truth(name: str, figure: Figure) -> None:
    with begun(INCIDENTS[name]) as scene:
        scene.incident.spoil()
        calls = len(scene.deliver().line.calls)
    for words, plan in plans(calls):
        with begun(INCIDENTS[name]) as scene:
            scene.long_known()
            scene.incident.spoil()
            hit = scene.deliver(plan=plan)
            figure("faults")
            assert all(is_true(message, scene) for message in scene.told), (words, scene.told)
            believed = words.startswith("absent") and not hit.line.changes
            assert hit.failed or scene.told or still_open() or believed, (words, hit.outcomes)
            if believed and KEYLESS in name:
                continue
            recover(scene)
            assert scene.settled, (words, hit.outcomes, hit.error, scene.summary)


def recover(scene: Scene) -> None:
    """Lambda's retry, the watch while something is open, and the next sweep where AWS's word was taken for it."""
    if scene.runs[-1].failed:
        assert not scene.again().failed
    wait(scene)
    if not scene.settled:
        scene.clock.shift(DAY)
        scene.deliver(sweep(), id="sweep")
        wait(scene)


def wait(scene: Scene) -> None:
    for _ in range(20):
        if still_open():
            scene.tick()
