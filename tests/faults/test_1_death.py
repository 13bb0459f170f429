"""The process dies before and after every AWS call of every guardrail's path.

Then the event is delivered again; or it never is, and the watch with its sweep is left. Each time what was broken is
mended (or told to be beyond mending), somebody is told, all messages bear one id, and no record stays open. A cut path
leaves nothing worse: what is left to do is a part of what there was to do.
"""

from collections.abc import Callable, Iterator

import pytest
from holdfast.ledger import now
from holdfast.visit import ON_ITS_WAY
from support import Incident

from faults import harness
from faults.harness import DAY, KEYLESS, LARGE, Dies, Ended, Figure, Scene, begun

INCIDENTS = harness.incidents()


def cuts(build: Callable[[], Incident]) -> list[tuple[int, bool]]:
    """Where a path can be cut: before and after each call. In a small run only where that leaves a state of its own."""
    with begun(build) as scene:
        scene.incident.spoil()
        calls = scene.deliver().line.calls
    if LARGE:
        return [(call.number, after) for call in calls for after in (False, True)]
    return [(1, False), *((call.number, True) for call in calls if not call.reads)]


def cut_anywhere(build: Callable[[], Incident], prepare: Callable[[Scene], object]) -> Iterator[tuple[Scene, Ended]]:
    """The incident once for each way to cut its path."""
    for number, after in cuts(build):
        with begun(build) as scene:
            prepare(scene)
            scene.incident.spoil()
            cut = scene.deliver(plan=lambda call: Dies(after) if call.number == number else None)  # noqa: B023
            assert cut.died
            yield scene, cut


def where(scene: Scene, cut: Ended) -> str:
    return f"cut at {cut.line.calls[-1]} of {scene.incident.guardrail}"


def is_no_worse(cut: Ended, then: Ended) -> bool:
    """Nothing is to be done after the cut that was not to be done before."""
    before, after = (ended.found[0] if ended.found else None for ended in (cut, then))
    return before is None or after is None or set(map(str, after.fix)) <= set(map(str, before.fix))


@pytest.mark.parametrize("name", INCIDENTS)
def test_whoever_dies_is_finished_by_the_next_delivery(name: str, figure: Figure) -> None:
    for scene, cut in cut_anywhere(INCIDENTS[name], lambda scene: None):
        again = scene.again()
        figure("deaths")
        assert not again.failed, (where(scene, cut), again.error)
        assert is_no_worse(cut, again), where(scene, cut)
        assert scene.settled, where(scene, cut)
        assert len({message["id"] for message in scene.told}) == 1, (where(scene, cut), scene.summary)


@pytest.mark.parametrize("name", [name for name in INCIDENTS if KEYLESS not in name])
def test_whoever_dies_for_good_is_finished_by_the_watch(name: str, figure: Figure) -> None:
    for scene, cut in cut_anywhere(INCIDENTS[name], Scene.survey):
        until = now() + DAY
        runs = [run for _ in range(3) for run in scene.tick()]
        figure("deaths")
        scene.clock.move_to(until)
        runs += scene.tick()
        scene.clock.shift(ON_ITS_WAY)  # a sweep waits for the call of somebody who may
        runs += scene.tick()
        assert not [run.error for run in runs if run.failed], where(scene, cut)
        assert scene.settled, (where(scene, cut), scene.summary)
