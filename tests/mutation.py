"""Breaks modules on purpose, in hundreds of small ways, and tells which breaks no test notices.

    make mutants MODULES="policy message"

mutmut tells mutants by the path of their file, and a module must be imported under that very path. So a copy of the
tree is laid out as it wants it: the engine under src/, and each guardrail there too, under the name that
holdfast_cli.project gives it. The copy and the survivors stay in .build/mutants/.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = ROOT / ".build" / "mutants"
COPIED = ("tests", ".build/layer", "cli", "functions", "events", "docs", "template.yaml", "samconfig.toml", "README.md")
UNIT = {
    "policy": ["unit/test_policy.py", "unit/test_corpus.py", "unit/test_policy_work.py"],
    "perimeter": ["unit/test_perimeter.py", "unit/test_s3_vpc_only_policy.py", "unit/test_policy_properties.py"],
    "trail": ["unit/test_cloudtrail_logging.py", "integration/test_trails.py", "integration/test_elsewhere.py"],
    "endpoint": ["unit/test_vpc_endpoint.py"],
    "network": ["unit/test_vpc_endpoint.py"],
    "message": ["unit/test_message.py", "integration/test_hostile_text.py"],
    "settings": ["unit/test_settings.py"],
    "shape": ["unit/test_shape.py"],
    "event": ["unit/test_event.py"],
    "ledger": ["integration/test_ledger.py", "integration/test_path.py"],
    "visit": [
        "unit/test_visit.py",
        "integration/test_say.py",
        "integration/test_doubt.py",
        "integration/test_path.py",
        "integration/test_contest.py",
    ],
    "say": ["integration/test_say.py", "integration/test_doubt.py", "integration/test_path.py"],
    "guardrail": [
        "unit/test_bus.py",
        "integration/test_path.py",
        "integration/test_entry.py",
        "integration/test_contest.py",
        "integration/test_watch.py",
    ],
    "contest": ["unit/test_fights.py", "integration/test_contest.py"],
    "aws": ["unit/test_aws.py", "integration/test_elsewhere.py"],
    "delivery": ["unit/test_s3_default_encryption.py"],
    "keys": ["unit/test_s3_default_encryption.py"],
    "digest": ["unit/test_digest.py"],
    "telemetry": ["integration/test_entry.py", "integration/test_path.py"],
    "world": ["integration/test_entry.py"],
    "value": ["unit/test_value.py"],
}
GUARDRAIL = """from pathlib import Path

source = Path(__file__).parents[2] / "src" / "{name}.py"
exec(compile(source.read_text(), source, "exec"))
"""
CONFIG = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/{path}"]
also_copy = {copied}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:randomly", "-k", "{chosen}"]
"""
SLOW = "not outgrows and not cannot_be_sent and not whole_run"


def main(modules: list[str]) -> int:
    counts = [f"{module}: {survey(module)}" for module in modules]
    print("\n".join(counts))
    return 0


def survey(module: str) -> str:
    """Mutates one module: of the engine by its name, a guardrail by its folder's."""
    engine = module in UNIT
    stage(module, engine)
    name = f"holdfast.{module}.*" if engine else f"{module}.*"
    mutmut = [sys.executable, "-m", "mutmut"]
    few = os.environ | {"HOLDFAST_EXAMPLES": "10"}
    run = [*mutmut, "run", "--max-children", "2", name]
    subprocess.run(run, cwd=STAGE, env=few, check=False, stdout=subprocess.DEVNULL)
    told = subprocess.run([*mutmut, "results", "--all", "true"], cwd=STAGE, check=True, capture_output=True, text=True)
    (STAGE.parent / f"mutants-{module}.txt").write_text(told.stdout)
    ends = [line.rpartition(": ")[2] for line in told.stdout.splitlines() if ": " in line]
    return ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))


def stage(module: str, engine: bool) -> None:
    shutil.rmtree(STAGE, ignore_errors=True)
    bare = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "layers" / "holdfast" / "holdfast", STAGE / "src" / "holdfast", ignore=bare)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, STAGE / name, ignore=bare)
        else:
            shutil.copy(source, STAGE / name)
    if not engine:
        held = STAGE / "functions" / module / "guardrail.py"
        held.rename(STAGE / "src" / f"{module}.py")
        held.write_text(GUARDRAIL.format(name=module))
    tests = UNIT.get(module, [f"unit/test_{module}.py", "integration/test_incidents.py"])
    chosen = SLOW if engine else f"test_{module} or {module.replace('_', '-')}"
    path = f"holdfast/{module}.py" if engine else f"{module}.py"
    config = CONFIG.format(path=path, copied=list(COPIED[1:]), tests=[f"tests/{test}" for test in tests], chosen=chosen)
    (STAGE / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["policy"]))
