"""Makes the installed libraries small and quick to load: `python slim.py FOLDER`, where FOLDER goes on Python's path.

- Of botocore's service models only the operations in operations.json stay, with the shapes that these need.
- Of Powertools only Logger and Metrics stay, with what they import.
- What would switch urllib3 to HTTP/2 goes: it asks for importlib.metadata, and nothing here switches. What urllib3
  imports beside it is found without it.
- A bundle of the five roots of Amazon Trust Services is put beside botocore's own: it loads in a fraction of the time.
- Everything is compiled with unchecked hashes: byte code that goes by time stamps is void once it has been in a zip.
  Libraries go without their source, which Python would not read, and without docstrings, as `python -OO` has them;
  Holdfast's own stays, to be read by people.

Nothing is patched: what stays is as it was published. The same input gives the same bytes.
"""

import gzip
import json
import os
import py_compile
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]
KEPT_OPERATIONS: Mapping[str, list[str]] = json.loads(Path(__file__).with_name("operations.json").read_text())
# https://www.amazontrust.com/repository/ recommends all five for a trust store of one's own.
AMAZON_ROOTS = (*(f"Amazon Root CA {n}" for n in (1, 2, 3, 4)), "Starfield Services Root Certificate Authority - G2")
UNUSED = (
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/metrics/provider/datadog",
    "aws_lambda_powertools/utilities/[!_j]*",
    "bin",
    "dateutil/zoneinfo",
    "urllib3/contrib/emscripten",
    "urllib3/http2/__init__.py",
)
# Of a distribution's metadata the installer writes these, each in its own way.
INSTALLERS = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
EPOCH = 315532800  # 1980-01-01, the first time that a zip can hold


def slim(folder: Path) -> None:
    """Raises KeyError for an operation that botocore doesn't know, FileNotFoundError where it lies elsewhere now."""
    for pattern in (*UNUSED, *(f"*.dist-info/{name}" for name in INSTALLERS)):
        for path in folder.glob(pattern):
            _remove(path)
    data = folder / "botocore/data"
    for service in sorted(path for path in data.iterdir() if path.is_dir()):
        if service.name in KEPT_OPERATIONS:
            _slim_service(service, KEPT_OPERATIONS[service.name])
        else:
            shutil.rmtree(service)
    _slim_endpoints(data / "endpoints.json")
    (folder / "holdfast/amazon.pem").write_text(_roots((folder / "botocore/cacert.pem").read_text()))
    _compile(folder)
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (EPOCH, EPOCH))


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _slim_service(folder: Path, operations: Iterable[str]) -> None:
    """Leaves one API version, with a model of these operations, their paginators and the rules of its endpoints."""
    *outdated, newest = sorted(folder.iterdir())
    for version in outdated:
        shutil.rmtree(version)
    model, rules = _read(newest / "service-2"), _read(newest / "endpoint-rule-set-1")
    pagination: Json = _read(newest / "paginators-1")["pagination"]
    extras = sorted(newest.glob("*.sdk-extras.json"))
    for path in newest.iterdir():
        if path not in extras:
            path.unlink()
    kept = {name: pagination[name] for name in operations if name in pagination}
    _write(newest / "service-2.json", _slim_model(model, operations))
    _write(newest / "endpoint-rule-set-1.json", rules)
    _write(newest / "paginators-1.json", {"pagination": kept})
    for path in extras:
        _slim_extras(path, operations)


def _slim_model(model: Json, operations: Iterable[str]) -> Json:
    kept = {name: _undocumented(model["operations"][name]) for name in operations}
    shapes = {name: _undocumented(model["shapes"][name]) for name in _reached(kept.values(), model["shapes"])}
    return {**model, "operations": kept, "shapes": dict(sorted(shapes.items())), "documentation": ""}


def _reached(operations: Iterable[Json], shapes: Mapping[str, Json]) -> set[str]:
    reached: set[str] = set()
    waiting = [name for operation in operations for name in _shapes(operation)]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(_shapes(shapes[name]))
    return reached


def _shapes(part: Any) -> Iterator[str]:
    """The shapes that a part of a model refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        for value in part.values():
            yield from _shapes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _shapes(value)


def _undocumented(part: Any) -> Any:
    """Empty, not absent: botocore takes for granted that parameters of endpoints have a documentation."""
    if isinstance(part, dict):
        return {
            name: "" if name == "documentation" and isinstance(value, str) else _undocumented(value)
            for name, value in part.items()
        }
    return [_undocumented(value) for value in part] if isinstance(part, list) else part


def _slim_extras(path: Path, operations: Iterable[str]) -> None:
    """Corrections that botocore merges into a model; one of a paginator that is gone would bring half of it back."""
    extras = json.loads(path.read_text())
    if "pagination" in extras["merge"]:
        kept = extras["merge"]["pagination"]
        extras["merge"]["pagination"] = {name: kept[name] for name in operations if name in kept}
        _write(path, extras)


def _slim_endpoints(path: Path) -> None:
    """Regions stay; of the services only ours do."""
    endpoints = json.loads(path.read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: value for name, value in partition["services"].items() if name in KEPT_OPERATIONS
        }
    _write(path, endpoints)


def _roots(bundle: str) -> str:
    parts = dict(re.findall(r'# Label: "(.*?)"\n.*?(-----BEGIN.*?-----END [A-Z]+-----\n)', bundle, re.DOTALL))
    return "".join(parts[label] for label in AMAZON_ROOTS)


def _compile(folder: Path) -> None:
    for path in sorted(folder.rglob("__pycache__")):
        shutil.rmtree(path)
    for path in sorted(folder.rglob("*.py")):
        inside, own = path.relative_to(folder), path.is_relative_to(folder / "holdfast")
        py_compile.compile(
            str(path),
            cfile=None if own else f"{path}c",
            dfile=f"/opt/python/{inside}",
            doraise=True,
            optimize=-1 if own else 2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        if not own:
            path.unlink()


def _read(stem: Path) -> Json:
    plain = stem.with_name(stem.name + ".json")
    text = plain.read_bytes() if plain.exists() else gzip.decompress(plain.with_name(plain.name + ".gz").read_bytes())
    read: Json = json.loads(text)
    return read


def _write(path: Path, content: Json) -> None:
    """As a new file: installers link files into one place from a cache, which must stay as it is."""
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")))


if __name__ == "__main__":
    slim(Path(sys.argv[1]))
