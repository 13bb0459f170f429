"""DynamoDB, SSM, SNS and EventBridge are down, each alone, by twos, and all together.

Without the settings nothing is written, and the event fails. Without any of the others what can be decided is mended
all the same and the run fails, so that the event comes again. People are told unless SNS itself is down; what DynamoDB
did not take is logged as UNRECORDED. What can't be decided without the ledger, whose baseline nobody knows then, is not
guessed. When the service is back, the next delivery ends it.
"""

from itertools import combinations

import pytest

from faults import harness
from faults.harness import LARGE, Fault, Figure, Hangs, Plan, begun

INCIDENTS = harness.incidents()
SERVICES = ("dynamodb", "ssm", "sns", "events")
TOGETHER = (1, 2, 3, 4) if LARGE else (1, 4)
OUTAGES = [down for size in TOGETHER for down in combinations(SERVICES, size)]


def without(down: tuple[str, ...]) -> Plan:
    outage: Fault = Hangs()
    return lambda call: outage if call.service in down else None


@pytest.mark.parametrize("down", OUTAGES, ids="+".join)
@pytest.mark.parametrize("name", INCIDENTS)
def test_an_outage_costs_no_fix_and_no_message(
    name: str, down: tuple[str, ...], figure: Figure, caplog: pytest.LogCaptureFixture
) -> None:
    with begun(INCIDENTS[name]) as scene:
        scene.incident.spoil()
        hit = scene.deliver(plan=without(down))
        figure("outages")
        assert hit.failed
        if "ssm" in down:
            assert not hit.line.changes
        elif scene.incident.outcome == "remediated" and not ("dynamodb" in down and scene.incident.known):
            assert scene.incident.safe()
        if hit.line.changes and "dynamodb" in down:
            assert "UNRECORDED" in caplog.messages
        if hit.line.changes and "sns" not in down:
            assert [outcome for outcome, _ in scene.summary] == ["remediated"]
        assert not scene.again().failed
        assert scene.incident.safe() == (scene.incident.outcome == "remediated")
        assert scene.told or "UNRECORDED" in caplog.messages
