"""What each peer is deployed as: zipped as it is sent, unzipped as Lambda does, on the functions' own Python.

Everything lies in `.build/bench`. What a peer needs comes from hash-locked files in `requirements/`; a function that
brings no SDK gets the one of the runtime, which is boto3, with its byte-code.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from holdfast_cli import project, template

from .peers import BOTO3, CLOUDBOTS, CUSTODIAN, FLOOR, HOLDFAST, Peer

HERE = Path(__file__).parent
BUILT = project.ROOT / ".build" / "bench"
LAYER = BUILT / "layer"
GUARDRAIL = "s3_default_encryption"
MIDNIGHT = (1980, 1, 1, 0, 0, 0)  # the same zip, whenever it is made

STACK = ("Mode=enforce", "EncryptionAlgorithm=aws:kms")
PLACE = {"AWS::AccountId": "123456789012", "AWS::Region": "eu-west-1", "AWS::Partition": "aws", "AWS::StackName": "h"}
NOTHING = {"Ref": "AWS::NoValue"}
ON_CALL = {"type": "cloudtrail", "role": "custodian", "events": ["CreateBucket"]}
BY_CLOCK = {"type": "periodic", "role": "custodian", "schedule": "rate(1 day)"}


def functions_python() -> str:
    """The interpreter that the functions run on. Raises LookupError when there is none.

    A version manager's shim may be on PATH and yet refuse to run; its versions lie in its own folder.
    """
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in ("python3.13", *sorted(map(str, managed.glob("3.13.*/bin/python3.13")))):
        if shutil.which(candidate) and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(shutil.which(candidate))
    raise LookupError("the functions run on Python 3.13, and there is none on PATH or in pyenv's versions")


def version_of(python: str) -> str:
    asked = [python, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def all_peers(python: str, topic: str) -> list[Peer]:
    """Builds everybody's package."""
    _build_layer(python)
    sdk = _installed("runtime", python)
    bots, custodian = _cloudbots(sdk, python), _custodian(sdk, python, topic, ON_CALL)
    return [_floor(), holdfast(topic), _bare(sdk), bots, custodian]


def custodian_by_clock(python: str, topic: str) -> Peer:
    """Custodian as it looks at everything in an account."""
    return _custodian(_installed("runtime", python), python, topic, BY_CLOCK)


def _floor() -> Peer:
    zipped = packed(BUILT / "floor", {"floor.py": HERE / "handlers" / "floor.py"})
    return Peer(FLOOR, "floor.handler", (BUILT / "floor",), 2000, {"function": zipped})


def _bare(sdk: Path) -> Peer:
    zipped = packed(BUILT / "bare", {"bare_boto3.py": HERE / "handlers" / "bare_boto3.py"})
    return Peer(BOTO3, "bare_boto3.handler", (BUILT / "bare", sdk), 2000, {"function": zipped})


def holdfast(topic: str, function: str = GUARDRAIL) -> Peer:
    """One of our functions, in the environment that the template gives it, with the layer as it is deployed."""
    folder, layer = BUILT / f"holdfast-{function}", BUILT / "holdfast-layer"
    zips = {
        "function": packed(folder, _files(project.FUNCTIONS / function)),
        "layer": packed(layer, _files(LAYER)),
    }
    module = next((project.FUNCTIONS / function).glob("*.py")).stem
    return Peer(HOLDFAST, f"{module}.handler", (folder, layer / "python"), 10_000, zips, environment(function, topic))


def _build_layer(python: str) -> None:
    shutil.rmtree(LAYER, ignore_errors=True)
    make = ["make", "-s", "-C", str(project.ROOT / "layers/holdfast"), "build-Engine", f"ARTIFACTS_DIR={LAYER}"]
    subprocess.run([*make, f"PIP={os.environ['UV']} pip", f"PYTHON={python}"], check=True)


def environment(function: str, topic: str) -> dict[str, str]:
    """What the template gives the function, in a stack with these parameters."""
    values = template.parameters(STACK) | PLACE | {"Topic": topic, "Ledger": "holdfast"}
    resources = template.load()["Resources"].values()
    (own,) = (r["Properties"] for r in resources if r["Properties"].get("CodeUri") == f"functions/{function}")
    given = (part["Environment"]["Variables"] for part in (template.load()["Globals"]["Function"], own))
    named = {name: value for part in given for name, value in part.items() if value != NOTHING}
    return {name: str(template.resolved(value, values)) for name, value in named.items()}


def _cloudbots(sdk: Path, python: str) -> Peer:
    """What it brings along is in its zip, where byte-code that goes by time stamps is void."""
    requests = _installed("cloudbots", python, compiled=False)
    packed(BUILT / "cloudbots-function", {"cloudbots.py": HERE / "handlers" / "cloudbots.py"})
    return Peer(CLOUDBOTS, "cloudbots.handler", (BUILT / "cloudbots-function", requests, sdk), 300)


def _custodian(sdk: Path, python: str, topic: str, mode: Mapping[str, object]) -> Peer:
    """As c7n.mu deploys it: the package without byte-code, its policy beside it, and the runtime's boto3."""
    folder = BUILT / f"custodian-{mode['type']}"
    config = BUILT / f"{folder.name}.json"
    config.write_text(json.dumps({"execution-options": {}, "policies": [policy(topic, mode)]}))
    package = _installed("custodian", python, compiled=False) / "c7n"
    files = {f"c7n/{name}": path for name, path in _files(package).items()} | {"config.json": config}
    zipped = packed(folder, files)
    return Peer(CUSTODIAN, "c7n.handler.dispatch_event", (folder, sdk), 100, {"function": zipped}, folder=folder)


def policy(topic: str, mode: Mapping[str, object]) -> dict[str, object]:
    """What Custodian is asked for. For KMS it wants a key, and asks more of AWS; so it may set SSE-S3."""
    encrypted = {"type": "bucket-encryption", "state": False, "crypto": "aws:kms"}
    tell = {"type": "notify", "to": ["security"], "transport": {"type": "sns", "topic": topic}}
    actions = [{"type": "set-bucket-encryption", "crypto": "AES256"}, tell]
    return {"name": "encrypted", "resource": "aws.s3", "mode": mode, "filters": [encrypted], "actions": actions}


def _installed(name: str, python: str, *, compiled: bool = True) -> Path:
    """The packages of `requirements/<name>.txt`, with hashes checked; byte-code as an installer makes it."""
    wanted, folder = HERE / "requirements" / f"{name}.txt", BUILT / name
    stamp = folder / ".installed"
    content = f"{'with' if compiled else 'no'} byte-code\n{wanted.read_text()}"
    if stamp.is_file() and stamp.read_text() == content:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    install = [os.environ["UV"], "pip", "install", "--quiet", "--python", python, "--target", str(folder)]
    subprocess.run([*install, "--require-hashes", "--no-deps", "-r", str(wanted)], check=True)
    if compiled:
        subprocess.run([python, "-m", "compileall", "-q", str(folder)], check=True)
    stamp.write_text(content)
    return folder


def function_sizes() -> dict[str, int]:
    """The bytes of every function's zip."""
    folders = sorted(path.parent for path in project.FUNCTIONS.glob("*/*.py"))
    return {folder.name: packed(BUILT / f"size-{folder.name}", _files(folder)) for folder in folders}


def layer_version(name: str) -> str:
    """Of a library in the layer, as it was installed."""
    found = next((LAYER / "python").glob(f"{name}-*.dist-info"), None)
    return found.name.removesuffix(".dist-info").rpartition("-")[2] if found else "?"


def _files(folder: Path) -> dict[str, Path]:
    """What of a folder is sent. A function's own byte-code is whatever this machine's tests left: it is not sent."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    sent = (path for path in found if "__pycache__" not in path.parts or folder.name == "layer")
    return {str(path.relative_to(folder)): path for path in sent}


def packed(folder: Path, files: Mapping[str, Path]) -> int:
    """Zips the files, unzips them into the folder as Lambda would, and says how many bytes the zip has."""
    archive = folder.with_suffix(".zip")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name, path in sorted(files.items()):
            info = zipfile.ZipInfo(name, MIDNIGHT)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(info, path.read_bytes())
    shutil.rmtree(folder)
    with zipfile.ZipFile(archive) as source:
        source.extractall(folder)
    return archive.stat().st_size
