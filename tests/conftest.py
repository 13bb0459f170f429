"""Every test runs with false credentials, and never with those of the machine."""

import os
from collections.abc import Iterator
from functools import cache

import boto3
import hypothesis
import pytest
from support import REGION

# A machine may be slow: no test fails for the time it takes.
EXAMPLES = int(os.environ.get("HOLDFAST_EXAMPLES", "100"))
hypothesis.settings.register_profile("holdfast", deadline=None, derandomize=True, max_examples=EXAMPLES)
hypothesis.settings.load_profile("holdfast")


@pytest.fixture(scope="session", autouse=True)
def _clients_are_made_once() -> Iterator[None]:
    """Making a client costs more than most tests; moto hears those made before an account began, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", cache(boto3.client))
        yield


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # it makes 1,300 images for every account
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")
