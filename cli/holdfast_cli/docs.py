"""`python -m holdfast_cli.docs` writes the generated pages and schemas; with `--check` it lists what is stale."""

import sys
from pathlib import Path

from holdfast_cli import pages, project, schemas

DOCS = project.ROOT / "docs"


def generated() -> dict[Path, str]:
    """Every generated file below docs/, by its path there."""
    guardrails = Path("guardrails")
    return (
        {guardrails / "README.md": pages.index()}
        | {guardrails / f"{g}.md": pages.page(g) for g in project.guardrails()}
        | {Path("schemas") / name: text for name, text in schemas.files().items()}
    )


def stale(folder: Path = DOCS) -> list[Path]:
    """Files that are missing, differ, or belong to no guardrail any more."""
    wanted = generated()
    present = {path.relative_to(folder) for kind in ("guardrails", "schemas") for path in (folder / kind).glob("*.*")}
    different = (path for path, text in wanted.items() if path not in present or (folder / path).read_text() != text)
    return sorted({*different, *(present - wanted.keys())})


def write(folder: Path = DOCS) -> list[Path]:
    """Brings the folder up to date. Returns what it changed."""
    wanted, changed = generated(), stale(folder)
    for path in changed:
        if path in wanted:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(wanted[path])
        else:
            (folder / path).unlink()
    return changed


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    changed = stale() if check else write()
    for path in changed:
        print(f"{'stale' if check else 'written'}: docs/{path}")
    if check and changed:
        print("run `make docs`", file=sys.stderr)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
