"""How a run tells errors of AWS apart, and knows how much time it has."""

from dataclasses import dataclass

import pytest
import time_machine
from botocore.exceptions import ClientError
from holdfast.visit import MARGIN, RESERVE, Delivery, matching

NOW = 1_800_000_000


@dataclass
class Context:
    """As much of Lambda's context as is used."""

    milliseconds: int
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "PutKey")


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (refusal("Throttled"), "wait"),
        (refusal("Invalid", "the state is pending"), "pending"),
        (refusal("Invalid", "the state is gone"), "gone"),
        (refusal("Invalid", "the state is odd"), None),
        (refusal("Other", "the state is pending"), None),
        (refusal("Throttled: slowly"), None),
    ],
)
def test_an_error_is_known_by_its_code_and_part_of_its_message(error: ClientError, known: str | None) -> None:
    table = {"Throttled": "wait", "Invalid: is pending": "pending", "Invalid: is gone": "gone"}
    assert matching(error, table) == known


def test_a_run_is_over_some_time_after_lambda_has_ended_it() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        delivery = Delivery.of(Context(59_900))
        assert delivery == Delivery("request-1", NOW + 59 + MARGIN)
        clock.move_to(NOW + 59 - RESERVE)
        assert not delivery.is_ending
        clock.shift(1)
        assert delivery.is_ending
