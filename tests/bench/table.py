"""Pages: the prose lies in `pages/`, the tables are filled in."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

PAGES = Path(__file__).parent / "pages"


def page(name: str, **filled: object) -> str:
    """Raises KeyError for a blank that is not filled in."""
    return Template((PAGES / name).read_text()).substitute(filled)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """In Markdown, all columns but the first to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))
