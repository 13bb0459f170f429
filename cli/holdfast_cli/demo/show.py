"""An incident as a person reads it: who did what, what fired, was found, done, changed and told, how long it took."""

from holdfast.message import clean, command, diff, mail
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from holdfast_cli.demo.play import Played

COLOURS = {
    "remediated": "green",
    "audited": "yellow",
    "exempt": "cyan",
    "escalated": "magenta",
    "ignored": "bright_black",
}


def show(console: Console, number: int, played: Played) -> None:
    colour = COLOURS.get(played.outcome, "red")
    console.print()
    console.rule(Text(f"{number}. {played.incident.title}", style="bold"), align="left", style=colour)
    facts = Table.grid(padding=(0, 2))
    for label, value in _facts(played):
        facts.add_row(Text(label, style="dim"), value)
    console.print(facts)
    if played.record:
        console.print(Padding(Panel(Text(mail(played.record)), title="the message", title_align="left"), (0, 0, 0, 2)))


def _facts(played: Played) -> list[tuple[str, RenderableType]]:
    record, incident = played.record, played.incident
    facts: list[tuple[str, RenderableType]] = [
        ("who", Text(f"{incident.who} {incident.deed}")),
        ("resource", Text(played.target)),
        ("rule", Text(played.rule)),
    ]
    if record:
        title = "calls made" if record.applied else "calls it would make"
        facts += [
            ("found", Text(clean(record.what))),
            (
                title,
                Group(*(Text(command(call, record.region), overflow="fold") for call in record.calls))
                if record.calls
                else Text("none"),
            ),
            ("before → after", changes(diff(record))),
        ]
    took = f" {played.seconds:.2f} s from call to fix" if played.seconds is not None else ""
    verdict = played.failure or f"{played.outcome}{took}"
    mark = "✔ " if played.as_expected else f"✘ (expected {incident.outcome}) "
    return [*facts, ("outcome", Text(mark + verdict, style="bold green" if played.as_expected else "bold red"))]


def changes(lines: list[str]) -> RenderableType:
    if not lines:
        return Text("nothing changed", style="dim")
    return Group(*(Text(clean(line), style="red" if line.startswith("-") else "green") for line in lines))


def summary(played: list[Played]) -> Table:
    table = Table(title="What happened", title_justify="left")
    for title in ("", "incident", "guardrail", "expected", "outcome"):
        table.add_column(title)
    table.add_column("call → fix", justify="right")
    for each in played:
        table.add_row(
            "✔" if each.as_expected else "✘",
            each.incident.title,
            each.incident.guardrail,
            each.incident.outcome,
            Text(each.outcome, style=COLOURS.get(each.outcome, "red")),
            f"{each.seconds:.2f} s" if each.seconds is not None else "",
        )
    return table
