"""What is to be mended is deleted, or deleted and made again by another account, before any call of the path.

No write ever reaches what is another's: every S3 call names the owner it expects. What is gone is not made again where
only its owner could, and nobody is told that it is back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.s3.models import s3_backends
from support import INCIDENTS as EVERY
from support import ME, REGION, Incident, still_open

from faults import harness
from faults.harness import NOWHERE, Call, Fault, Figure, Plan, begun, refusal

OTHER = "999999999999"
BUCKETS = {
    name: build for name, build in harness.incidents().items() if name.startswith("s3-") and "Account" not in name
}


def take_away() -> None:
    s3_backends[ME]["aws"].buckets.pop("lake", None)
    s3_backends.bucket_accounts.pop("lake", None)


def hand_over() -> None:
    take_away()
    s3_backends[OTHER]["aws"].create_bucket("lake", REGION)


@dataclass
class Checks(Fault):
    """S3, once the bucket is another's: whoever names the owner is refused. moto doesn't look at that header."""

    refuses: bool = field(default=False)

    def before(self, call: Call, request: AWSPreparedRequest) -> None:
        self.refuses = request.headers.get("x-amz-expected-bucket-owner", OTHER) not in (OTHER, OTHER.encode())
        if self.refuses:
            request.url = NOWHERE

    def behind(self, call: Call) -> AWSResponse | None:
        return refusal(call.model, 403, "AccessDenied") if self.refuses else None


CHECKS = Checks()


def at(number: int, happens: Callable[[], None], then: Fault | None = None) -> Plan:
    """Before that call; S3's answers change with it."""
    done: list[bool] = []

    def plan(call: Call) -> Fault | None:
        if call.number >= number and not done:
            happens()
            done.append(True)
        return then if done and call.service == "s3" else None

    return plan


def calls(build: Callable[[], Incident]) -> range:
    with begun(build) as scene:
        scene.incident.spoil()
        return range(1, len(scene.deliver().line.calls) + 1)


def is_untouched() -> bool:
    """As the other made it; or it never came to that."""
    bucket = s3_backends[OTHER]["aws"].buckets.get("lake")
    return not bucket or (bucket.policy, bucket.encryption, bucket.public_access_block) == (None, None, None)


@pytest.mark.parametrize("name", BUCKETS)
def test_nothing_is_written_to_what_became_anothers(name: str, figure: Figure) -> None:
    for number in calls(BUCKETS[name]):
        with begun(BUCKETS[name]) as scene:
            scene.incident.spoil()
            for each in ("first", "again"):
                scene.deliver(plan=at(number if each == "first" else 1, hand_over, Checks()), id=each)
                assert is_untouched(), (number, each)
            figure("changes of hands")


@pytest.mark.parametrize("name", BUCKETS)
def test_what_is_gone_is_not_told_to_be_back(name: str, figure: Figure) -> None:
    for number in calls(BUCKETS[name]):
        with begun(BUCKETS[name]) as scene:
            scene.incident.spoil()
            hit = scene.deliver(plan=at(number, take_away))
            figure("deletions")
            assert not scene.again().failed
            assert not still_open()
            assert all(message["outcome"] == "compliant" or message["left"] for message in scene.told), number
            assert all(message["applied"] == bool(hit.line.changes) for message in scene.told), number


def test_a_trail_is_not_made_again_into_anothers_bucket() -> None:
    with begun(EVERY["cloudtrail-logging"]["DeleteTrail--bucket-too"]) as scene:
        scene.incident.spoil()
        s3_backends[OTHER]["aws"].create_bucket("audit-logs", REGION)
        ended = scene.deliver(plan=lambda call: CHECKS if call.service == "s3" else None)
        assert (list(ended.outcomes.values()), ended.line.changes) == (["escalated"], [])
        assert "another account's" in scene.told[0]["todo"]
