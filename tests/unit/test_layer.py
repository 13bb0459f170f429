"""What is deployed: small, the same from every build, and quick to load. In counts and sizes, not in time."""

import hashlib
import importlib
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import incidents
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import BotoCoreError
from holdfast.guardrail import sweep
from holdfast.world import World
from holdfast_cli import project
from support import INCIDENTS, account, run, world

for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

LAYER = project.ROOT / ".build/layer"
UV = shutil.which("uv") or str(project.ROOT / ".uv/bin/uv")
KILOBYTE = 1024
FUNCTIONS = sorted(project.FUNCTIONS.glob("*/*.py"))
# Python's own, botocore's, those of Powertools' Logger and Metrics, and ours.
MODULES = 400
UNWANTED = {
    "asyncio",
    "boto3",
    "importlib.metadata",
    "multiprocessing",
    "pydantic",
    "s3transfer",
    "unittest",
    "zipfile",
}
# What is so in AWS: for the guardrails that need it.
KNOWLEDGE = {f"holdfast.{name}" for name in ("endpoint", "network", "perimeter", "policy", "trail")}


def build(place: Path) -> dict[str, tuple[str, float]]:
    """Digest and time of every file of a new build."""
    arguments = {"ARTIFACTS_DIR": str(place), "PIP": f"{UV} pip", "PYTHON": sys.executable}
    make = ["make", "-s", "-C", str(project.ROOT / "layers/holdfast"), "build-Engine"]
    subprocess.run([*make, *(f"{name}={value}" for name, value in arguments.items())], check=True)
    files = {str(path.relative_to(place)): path for path in sorted(place.rglob("*")) if path.is_file()}
    return {name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime) for name, path in files.items()}


def zipped(folder: Path) -> int:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and (folder == LAYER or path.parent.name != "__pycache__"):
                archive.write(path, path.relative_to(folder))
    return len(packed.getvalue())


def test_two_builds_of_the_layer_are_the_same_to_the_bit(tmp_path: Path) -> None:
    first = build(tmp_path / "one")
    assert build(tmp_path / "elsewhere/two") == first
    assert "python/holdfast/amazon.pem" in first
    assert {name for name in first if "INSTALLER" in name or "RECORD" in name} == set()


def test_building_the_layer_leaves_the_installers_cache_as_it_was(tmp_path: Path) -> None:
    """uv links files out of its cache into place: to write into one would spoil every environment on the machine."""
    build(tmp_path)
    whole = next(Path(path) for path in sys.path if (Path(path) / "botocore/data/endpoints.json").exists())
    partitions = json.loads((whole / "botocore/data/endpoints.json").read_text())["partitions"]
    assert "sqs" in partitions[0]["services"]


def test_the_layer_is_small() -> None:
    assert zipped(LAYER) < 2_000 * KILOBYTE


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: path.parent.name)
def test_a_function_is_small(path: Path) -> None:
    assert zipped(path.parent) < 5 * KILOBYTE


def loaded(path: Path, environment: dict[str, str] | None = None) -> list[str]:
    """The modules that there are once a function is imported from the layer, in a Python that has nothing else."""
    places = [str(path.parent), str(LAYER / "python")]
    script = f"import sys; sys.path[:0] = {places}; import {path.stem}; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment or {})
    return done.stdout.split()


@pytest.mark.parametrize("path", FUNCTIONS, ids=lambda path: path.parent.name)
def test_a_function_loads_nothing_that_it_can_do_without(path: Path) -> None:
    modules = loaded(path, {"POWERTOOLS_SERVICE_NAME": "test"})
    utilities = {name for name in modules if name.startswith("aws_lambda_powertools.utilities.")}
    assert utilities == {"aws_lambda_powertools.utilities.jmespath_utils"}
    assert not UNWANTED & set(modules)
    assert len(modules) < MODULES
    assert KNOWLEDGE.intersection(modules) == KNOWLEDGE.intersection(re.findall(r"holdfast\.\w+", path.read_text()))


@pytest.mark.parametrize("guardrail", sorted(INCIDENTS))
def test_the_first_event_has_to_make_no_client(guardrail: str) -> None:
    """INIT has a whole processor, a function of 256 MB a seventh of one: what can be made before is made before."""
    made = []

    def note(**creating: Any) -> None:
        made.append(creating["class_attributes"])

    def ready(here: World) -> None:
        here.make_ready(project.load(guardrail).handler.services)
        here.aws.session.register("creating-client-class", note)

    with account():
        incident = next(iter(INCIDENTS[guardrail].values()))()
        result = run(guardrail, incident.event, incident.settings, hook=ready, **incident.shared)
    assert result.calls
    assert made == []


def noting(calls: list[str]) -> Any:
    """A listener that answers every call, with nothing much."""

    def answer(model: Any, **_: Any) -> Any:
        calls.append(model.name)
        return AWSResponse("https://example.com", 200, HTTPHeaders(), None), {"Parameters": []}

    return answer


def test_the_first_event_finds_the_settings_read_and_the_table_connected() -> None:
    here = world("s3-default-encryption")
    asked: list[str] = []
    here.aws.session.register("before-call", noting(asked))
    here.make_ready(())
    assert asked == ["GetParametersByPath", "GetItem"]


@pytest.mark.parametrize("name", ["events", "eventbridge"])
def test_a_listener_hears_a_service_by_its_former_name_as_well(name: str) -> None:
    """Clients send their events by the present name alone; registering goes by both."""
    here = world("s3-default-encryption")
    heard: list[str] = []
    here.aws.session.register(f"before-call.{name}", noting(heard))
    here.aws.apply(sweep("default"))
    assert heard == ["PutEvents"]


def test_settings_that_can_not_be_read_do_not_stop_a_function_from_starting() -> None:
    here = world("s3-default-encryption")

    def down(**_: Any) -> None:
        raise BotoCoreError

    here.aws.session.register("before-call.ssm", down)
    here.make_ready(())
    with pytest.raises(BotoCoreError):
        here.parameters.read()
