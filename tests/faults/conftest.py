"""What makes the same faults again and again affordable."""

import json
import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from holdfast import telemetry

from faults.harness import LARGE, Figure
from faults.report import FIGURES, commit


@pytest.fixture(scope="session", autouse=True)
def _moto_makes_one_key() -> Iterator[None]:
    """It makes an RSA key for every topic and every KMS key, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsa, "generate_private_key", cache(rsa.generate_private_key))
        yield


@pytest.fixture(autouse=True)
def _only_errors_are_logged(no_cover: None) -> Iterator[None]:
    """Nor are lines counted, which would take most of the time: other tests cover the same."""
    telemetry.logger.setLevel(logging.ERROR)
    yield
    telemetry.logger.setLevel(logging.INFO)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Counts what a proof has done, for docs/reliability.md."""
    counted: dict[str, int] = {}

    def count(name: str, number: int = 1) -> None:
        counted[name] = counted.get(name, 0) + number

    request.node.user_properties.append(("figures", counted))
    return count


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Of a large run each test's figures are shown and kept, by the one process that hears of all."""
    if not LARGE or report.when != "call" or "PYTEST_XDIST_WORKER" in os.environ:
        return
    path, _, test = report.nodeid.partition("::")
    for figures in (value for name, value in report.user_properties if name == "figures"):
        line = {
            "proof": Path(path).stem,
            "test": test,
            "passed": report.passed,
            "figures": figures,
            "seconds": report.duration,
            "commit": commit(),
        }
        text = json.dumps(line)
        print(f"\n{text}", flush=True)
        with FIGURES.open("a") as file:
            file.write(f"{text}\n")
