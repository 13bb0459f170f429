"""The same event comes two to ten times: one after the other, at once in threads, and at once in processes.

The thing ends as with one event, there is one record, all messages are of it, and whoever begins after the first
success writes nothing. Threads change at every call, by lot; processes run as they like, against one server.
"""

from collections.abc import Callable

import pytest
from support import INCIDENTS as EVERY
from support import Incident, account, heard, records, still_open

from faults import harness
from faults.harness import Ended, Figure, Plan, Scene, Turns, begun, deliver, many
from faults.imitation import served
from faults.processes import deliver_at_once

INCIDENTS = harness.incidents()


def has_one_end(scene: Scene) -> bool:
    return scene.settled and len(records()) == 1 and len({message["id"] for message in scene.told}) == 1


@pytest.mark.parametrize("name", INCIDENTS)
def test_duplicates_one_after_the_other_change_and_tell_nothing(name: str, figure: Figure) -> None:
    with begun(INCIDENTS[name]) as scene:
        scene.incident.spoil()
        first = scene.deliver()
        assert [bool(first.line.changes)] == [scene.incident.outcome == "remediated"]
        told = list(scene.told)
        for number in range(2, many(4, 11)):
            duplicate = scene.deliver(id=f"duplicate-{number}")
            figure("duplicates")
            assert (duplicate.failed, duplicate.line.changes) == (False, [])
        assert has_one_end(scene)
        assert scene.told == told


@pytest.mark.parametrize("name", INCIDENTS)
def test_duplicates_at_once_end_as_one(name: str, figure: Figure) -> None:
    for seed in range(many(1, 100)):
        with begun(INCIDENTS[name]) as scene:
            scene.incident.spoil()
            ended = Turns(seed).run([at_once(scene.incident, number) for number in range(2 + seed % many(3, 9))])
            figure("duplicates", len(ended))
            failed = [number for number, each in enumerate(ended) if each.failed]
            for number in failed:
                assert not scene.again(id=str(number)).failed
            assert not scene.deliver(id="last").line.changes
            assert has_one_end(scene), (seed, [each.outcomes or each.error for each in ended], scene.summary, records())


def at_once(incident: Incident, number: int) -> Callable[[Plan], Ended]:
    return lambda plan: deliver(incident, plan=plan, id=str(number))


@pytest.mark.parametrize(
    ("guardrail", "name"),
    [("s3-public-access-block", "DeleteBucketPublicAccessBlock"), ("kms-key-deletion", "ScheduleKeyDeletion--unknown")],
)
def test_duplicates_in_processes_end_as_one(guardrail: str, name: str, figure: Figure) -> None:
    for _ in range(many(1, 10)):
        with account(), served() as address:
            incident = EVERY[guardrail][name]()
            incident.spoil()
            ended = deliver_at_once(incident, many(2, 5), address)
            figure("processes", len(ended))
            assert incident.safe(), ended
            assert (len(records()), still_open()) == (1, []), ended
            assert len({message["id"] for message in heard()}) == 1, ended
