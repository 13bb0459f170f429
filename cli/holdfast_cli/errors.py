"""What the command line says when it can't do what was asked."""

from collections.abc import Iterable
from difflib import get_close_matches


class Complaint(Exception):
    """One line for a person: what is wrong, and what to do. `main` prints it and ends with 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> Complaint:
    """Names what was probably meant, or all there is."""
    names = sorted(known)
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return Complaint(f"no {kind} {name!r}; {hint}")
