"""What makes the same faults again and again affordable."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from holdfast import telemetry
from holdfast_cli import project

from faults.harness import LARGE, Figure

FIGURES = project.ROOT / ".build" / "torture.jsonl"


@pytest.fixture(scope="session", autouse=True)
def _moto_makes_one_key() -> Iterator[None]:
    """It makes an RSA key for every topic and every KMS key, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rsa, "generate_private_key", cache(rsa.generate_private_key))
        yield


@pytest.fixture(autouse=True)
def _only_errors_are_logged() -> Iterator[None]:
    telemetry.logger.setLevel(logging.ERROR)
    yield
    telemetry.logger.setLevel(logging.INFO)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """Counts what a proof has done, for docs/reliability.md; each line says what one test has added."""
    counted: Counter[str] = Counter()

    def count(name: str, number: int = 1) -> None:
        counted[name] += number

    yield count
    print(*(f"{number:,} {name}" for name, number in counted.items()), sep=", ")
    if LARGE:
        line = {"proof": Path(str(request.path)).stem, "test": request.node.name, "figures": counted}
        with FIGURES.open("a") as file:
            file.write(json.dumps(line) + "\n")
