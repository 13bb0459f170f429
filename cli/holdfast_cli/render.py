"""How results look: with colour in a terminal, as plain lines in a pipe, as JSON for machines."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from holdfast import shape
from holdfast.message import clean, command, mail, stamp
from rich.console import Console
from rich.table import Table

from holdfast_cli.checks import Finding
from holdfast_cli.listing import Entry
from holdfast_cli.live import Look
from holdfast_cli.preview import Sight
from holdfast_cli.redrive import Letter
from holdfast_cli.rehearsal import Run

STYLES = {"#": "bold", "!": "red", "~": "dim"}
SHOWN = 5  # targets of one letter
Line = tuple[str, str]


def console() -> Console:
    """Made for each command: whether there is a terminal is known only then."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def as_json(value: Any) -> None:
    print(json.dumps(shape.plain(value), indent=2))


def entries(found: Iterable[Entry]) -> None:
    """Columns in a terminal; in a pipe fields between tabs, nothing cut, for `cut` and `grep`."""
    heads = ("guardrail", "severity", "watches", "mode", "lacks")
    rows = [(e.guardrail, e.severity, " ".join(e.watches), e.mode, e.lacks or e.wrong) for e in found]
    out = console()
    if not out.is_terminal:
        print(*("\t".join(row) for row in (heads, *rows)), sep="\n")
        return
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table, soft_wrap=False)


def as_lines(lines: Iterable[Line]) -> None:
    """Each line with its style."""
    out = console()
    for style, text in lines:
        out.print(text, style=STYLES.get(style))


def findings(file: str, found: Iterable[Finding]) -> Iterator[Line]:
    """One line each, as compilers write them."""
    lines = [(f"{file}: {f.at}: {f.why}", f.warning) for f in found]
    yield from (("" if warning else "!", f"{line} (warning)" if warning else line) for line, warning in lines)
    if all(warning for _, warning in lines):
        yield "", f"{file}: valid"


def look(seen: Look) -> Iterator[Line]:
    """What a guardrail sees in an account, for a person."""
    yield "#", f"{seen.guardrail}, account {seen.here.account}, {seen.here.region}, mode {seen.mode}; only looking"
    for sight in seen.sights:
        yield "", ""
        yield from _sight(sight, seen.mode, seen.here.region)
    if not seen.sights:
        yield "", "nothing to look at"
    yield from (("~", f"note: {note}") for note in seen.notes)


def _sight(sight: Sight, mode: str, region: str) -> Iterator[Line]:
    yield "#", clean(sight.target)
    if sight.error:
        yield "!", f"  can't be read: {clean(sight.error)}"
        return
    yield "", f"  found: {clean(json.dumps(sight.found)) if sight.found is not None else 'nothing there'}"
    violation = sight.violation
    if violation is None:
        yield "", "  nothing is wrong"
        return
    yield "!", f"  wrong: {clean(violation.what)}"
    if sight.exemption:
        yield "", f"  exempt: {clean(sight.exemption)}"
    yield from _commands(_heading(mode, violation.audit_only), violation.fix, region)
    yield from _commands("to undo that:", violation.undo, region)
    if violation.later and not violation.fix:
        yield "", f"  it would look again after {violation.later} s"
    if violation.todo:
        yield "", f"  to do: {clean(violation.todo, 2000)}"


def _heading(mode: str, audit_only: str) -> str:
    if mode == "enforce" and not audit_only:
        return "calls it would make:"
    return f"calls it would only tell of ({clean(audit_only) or f'the mode is {mode}'}):"


def _commands(heading: str, calls: Iterable[Any], region: str) -> Iterator[Line]:
    shown = [command(call, region) for call in calls]
    if shown:
        yield "", f"  {heading}"
        yield from (("", f"    {line}") for line in shown)


def run(done: Run) -> Iterator[Line]:
    """What a function made of an event in the local cloud, for a person."""
    yield "#", f"{done.guardrail} in the local cloud"
    yield from (("", f"  {clean(target)}: {outcome}") for target, outcome in done.outcomes.items())
    if done.error:
        yield "!", f"  it failed: {clean(done.error)}"
    elif not done.outcomes:
        yield "", f"  it looked at nothing: {done.idle}"
    for message in done.messages:
        yield "#", "\nmessage"
        yield from (("", f"  {line}") for line in mail(message).splitlines())
    yield "#", "\nlog"
    yield from (("~", f"  {line}") for line in done.log)
    yield from (("~", f"note: {note}") for note in done.notes)


def letters(found: Sequence[Letter], left: str) -> Iterator[Line]:
    """Dead letters, for a person, and what was left. All that they say was written by somebody else."""
    for letter in found:
        yield "#", f"{stamp(letter.since)}  {letter.queue}  {letter.guardrail or 'for nobody'}  {letter.id}"
        yield from (("", f"  {line}") for line in _content(letter))
        if letter.trouble:
            yield "!", f"  {clean(letter.trouble)}"
        if letter.went:
            yield "", f"  {letter.went}"
    yield from _end(found, left)


def _end(found: Sequence[Letter], left: str) -> Iterator[Line]:
    if left:
        yield "!", left
    elif not found:
        yield "", "no such message lies in the queues"


def _content(letter: Letter) -> Iterator[str]:
    if letter.what:
        yield clean(letter.what)
    yield from (f"on {clean(target)}" for target in letter.targets[:SHOWN])
    if len(letter.targets) > SHOWN:
        yield f"and {len(letter.targets) - SHOWN} more"
    if letter.why:
        yield f"tried {times(letter.tries)}: {clean(letter.why)}"


def sent(letters: Sequence[Letter], left: str) -> Iterator[Line]:
    """What came of sending them, a line each, and what was left."""
    for letter in letters:
        about = "  ".join(filter(None, (letter.id, letter.guardrail or "for nobody", clean(letter.what, 200))))
        yield "!" if letter.trouble else "", f"{about}: {', '.join(filter(None, (letter.went, clean(letter.trouble))))}"
    yield from _end(letters, left)


def times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
