"""The operator's command line: each command asks a module beside this one, and shows the answer."""

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from holdfast.ledger import WATCH
from rich.markdown import Markdown
from typer.core import TyperGroup

from holdfast_cli import checks, events, listing, live, pages, redrive, rehearsal, render, shell
from holdfast_cli.deployment import Deployment, known, read_tree
from holdfast_cli.errors import Complaint

HELP = """Responsive guardrails for an AWS account.

Ends with 0; with 1 where something is found to be wrong; with 2 where it could not do what was asked."""
NAMED = 8  # characters of an id that say which message is meant


class Commands(TyperGroup):
    """Says a complaint in one line, where Python would show where it came from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Complaint as complaint:
            print(f"holdfast: {complaint}", file=sys.stderr)
            raise typer.Exit(2) from None


Json = Annotated[bool, typer.Option("--json", help="The same for machines.")]
Guardrail = Annotated[str, typer.Argument(help="Its id, as `holdfast list` shows it.", show_default=False)]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter of the stack; for more, say it again."),
]
TREE = 'A JSON object by SSM name: {"settings": {…}, "settings/GUARDRAIL": {…}, "exemptions/GUARDRAIL/NAME": {…}}'
SettingsTree = Annotated[Path | None, typer.Option("--settings", help=f"{TREE}.")]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help=f"{TREE}; or this guardrail's own settings by themselves.")
]


def list_guardrails(parameter: Parameters = None, settings: SettingsTree = None, json: Json = False) -> None:
    """The guardrails: what each watches, and whether it is on with these stack parameters and settings."""
    deployment = Deployment.of(parameter or (), read_tree(settings) if settings else None)
    found = listing.entries(deployment)
    render.as_json(found) if json else render.entries(found)


def explain(guardrail: Guardrail) -> None:
    """A guardrail's page: its promise, its settings, its rights, and what it can't do."""
    text, out = pages.page(known(guardrail)), render.console()
    if out.is_terminal:
        out.print(Markdown(text), soft_wrap=False)
    else:
        print(text.removeprefix(pages.GENERATED).lstrip(), end="")


def invoke(
    guardrail: Guardrail,
    event: Annotated[Path, typer.Argument(help="An EventBridge event or a CloudTrail record.", show_default=False)],
    aws: Annotated[bool, typer.Option("--aws", help="Look at your own account instead. Writes nothing.")] = False,
    settings: SettingsFile = None,
    parameter: Parameters = None,
    mode: Annotated[
        Literal["audit", "enforce"] | None, typer.Option(help="Instead of the mode that the settings give.")
    ] = None,
    role: Annotated[str, typer.Option(help="With --aws: the ARN of the function's own role.")] = "",
    json: Json = False,
) -> None:
    """One event into one guardrail: for real in the local cloud, or with --aws as a preview of your own account."""
    if role and not aws:
        raise Complaint("--role goes with --aws: in the local cloud the function has a role of its own")
    name, raw = known(guardrail), events.read_one(event)
    deployment = Deployment.of(parameter or (), read_tree(settings, name) if settings else None, mode)
    if aws:
        _show_look(live.look(name, raw, deployment, role), json)
    else:
        _show_run(rehearsal.run(name, raw, deployment), json)


def _show_look(seen: live.Look, json: bool) -> None:
    render.as_json(seen) if json else render.as_lines(render.look(seen))
    if any(sight.error for sight in seen.sights):
        raise typer.Exit(2)
    raise typer.Exit(int(any(sight.violation for sight in seen.sights)))


def _show_run(done: rehearsal.Run, json: bool) -> None:
    render.as_json(done) if json else render.as_lines(render.run(done))
    if done.error:
        raise typer.Exit(2)
    raise typer.Exit(int(any(outcome != "compliant" for outcome in done.outcomes.values())))


def validate(
    file: Annotated[
        Path,
        typer.Argument(help=f"{TREE}; or one of these by itself, by default the shared settings.", show_default=False),
    ],
    guardrail: Annotated[str, typer.Option(help="The file is this guardrail's own settings.")] = "",
    exemption: Annotated[bool, typer.Option("--exemption", help="The file is one exemption.")] = False,
    parameter: Parameters = None,
    json: Json = False,
) -> None:
    """Checks a settings file, with the classes that the functions use and against the stack's parameters."""
    if guardrail and exemption:
        raise Complaint("give --guardrail or --exemption, not both")
    own, stack = known(guardrail) if guardrail else "", Deployment.of(parameter or ())
    found = checks.check(file, stack, guardrail=own, exemption=exemption)
    valid = all(finding.warning for finding in found)
    if json:
        render.as_json({"file": str(file), "valid": valid, "findings": found})
    else:
        render.as_lines(render.findings(str(file), found))
    raise typer.Exit(int(not valid))


def redrive_letters(
    guardrail: Annotated[str, typer.Option(help="Only this guardrail's.")] = "",
    id: Annotated[list[str] | None, typer.Option(help="Only this message; the beginning of its id is enough.")] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="Only since 2026-01-31T12:00 (UTC), or 90m, 6h, 2d.")] = "",
    send: Annotated[bool, typer.Option("--send", help="Hand them to their functions again.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete them for good; which, --id must say.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --send and --discard: don't ask.")] = False,
    stack: Annotated[str, typer.Option(help="The stack's name.")] = "holdfast",
    json: Json = False,
) -> None:
    """What nobody could deliver or finish: why, and with --send back to the functions it was meant for."""
    own = guardrail if guardrail in ("", WATCH) else known(guardrail)
    wanted = redrive.Wanted(own, tuple(id or ()), redrive.moment(since) if since else 0)
    _check(wanted, send, discard, asks=json and not yes)
    office = redrive.Office(stack)
    with office.letters(wanted) as (found, left):
        if (send or discard) and found and not yes:
            _ask(found, left, discard)
        deal = office.send if send else office.discard if discard else _leave
        letters = [deal(each) for each in found]
    if json:
        render.as_json(letters)
        if left:
            print(f"holdfast: {left}", file=sys.stderr)
    else:
        render.as_lines((render.sent if send else render.letters)(letters, left))
    raise typer.Exit(int(bool(left) or any(not letter.went or (send and letter.trouble) for letter in letters)))


def _check(wanted: redrive.Wanted, send: bool, discard: bool, asks: bool) -> None:
    """Raises Complaint for what does not go together."""
    if send and discard:
        raise Complaint("give --send or --discard, not both")
    if discard and min(map(len, wanted.ids), default=0) < NAMED:
        raise Complaint(f"--discard deletes for good: say which with --id, {NAMED} characters of it at least")
    if (send or discard) and asks:
        raise Complaint("--json can't ask: add --yes")


def _leave(held: redrive.Held) -> redrive.Letter:
    return held.letter


def _ask(found: list[redrive.Held], left: str, discard: bool) -> None:
    """Shows them first. Raises Abort when the answer is no."""
    render.as_lines(render.letters([each.letter for each in found], left))
    good = sum(not each.letter.trouble for each in found)
    send = f"Hand {good} of these {len(found)} to their functions again?"
    typer.confirm(f"Delete these {len(found)} for good?" if discard else send, abort=True, err=True)


def demo(json: Json = False) -> None:
    """Incidents, played in an AWS account on this machine: who did what, what was put back, and how fast."""
    from holdfast_cli.demo.command import demo as play  # with it comes the local cloud, which the others don't need
    from holdfast_cli.local_cloud.errors import LocalCloudError

    try:
        status = play(json=json)
    except LocalCloudError as error:
        raise Complaint(str(error)) from error
    raise typer.Exit(status)


def cloud(
    command: Annotated[list[str] | None, typer.Argument(help="What to run (your shell).", show_default=False)] = None,
) -> None:
    """An AWS account on this machine for as long as a command runs: AWS_ENDPOINT_URL and its kin lead there."""
    raise typer.Exit(shell.stay(command or ()))


def variables(stack: Annotated[str, typer.Option(help="Its name.")] = "holdfast") -> None:
    """The environment of each function of a deployed stack, for `sam local invoke --env-vars`."""
    render.as_json(shell.variables(stack))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"holdfast {version('holdfast')}")
        raise typer.Exit


def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """What is asked of no command."""


# With a few words for the list of them, which has no room for a whole line.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "list": (list_guardrails, "What each guardrail watches, and whether it is on."),
    "explain": (explain, "A guardrail's page."),
    "invoke": (invoke, "One event into one guardrail, in the local cloud or on AWS."),
    "validate": (validate, "Checks settings and exemptions before they are stored."),
    "redrive": (redrive_letters, "What nobody could deliver or finish, and its way back."),
    "demo": (demo, "Incidents, played in an AWS account on this machine."),
    "cloud": (cloud, "A shell, or a command, in an AWS account on this machine."),
    "variables": (variables, "The functions' environment, for `sam local invoke`."),
}

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app.callback(help=HELP)(main)
for name, (command, short) in COMMANDS.items():
    settings = {"allow_interspersed_args": command is not cloud}
    app.command(name, short_help=short, context_settings=settings)(command)
