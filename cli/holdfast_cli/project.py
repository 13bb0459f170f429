"""Where things are: the guardrails, the template, the samples. Everything that lists guardrails asks here."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
FUNCTIONS = ROOT / "functions"
EVENTS = ROOT / "events"


def guardrails() -> list[str]:
    """The ids, which are the names of the folders with dashes for underscores."""
    return sorted(path.parent.name.replace("_", "-") for path in FUNCTIONS.glob("*/guardrail.py"))


@cache
def load(guardrail: str) -> ModuleType:
    """The guardrail's module. Raises KeyError for an id that has no folder."""
    path = FUNCTIONS / guardrail.replace("-", "_") / "guardrail.py"
    if guardrail not in guardrails():
        raise KeyError(f"no guardrail {guardrail!r}; there are {', '.join(guardrails())}")
    return _module(guardrail.replace("-", "_"), path)


@cache
def watch() -> ModuleType:
    return _module("watch", FUNCTIONS / "watch" / "watch.py")


def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"can't load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
