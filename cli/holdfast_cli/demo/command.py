"""`holdfast demo`."""

import time
from contextlib import nullcontext

from rich.console import Console

from holdfast_cli.demo.play import Played, as_json, play
from holdfast_cli.demo.show import show, summary
from holdfast_cli.demo.stage import stage


def demo(*, json: bool) -> int:
    """Plays every incident. Returns the exit status: 0 only if each ended as expected."""
    begun, console = time.monotonic(), Console(stderr=json)
    status = console.status("") if console.is_terminal else None
    played: list[Played] = []

    def tell(text: str) -> None:
        if status:
            status.update(text)
        else:
            console.print(f"… {text}", style="dim")

    with status or nullcontext(), stage(tell) as set_up:
        for each in play(set_up):
            played.append(each)
            if not json:
                show(console, len(played), each)
    if json:
        print(as_json(played))
    else:
        console.print()
        console.print(summary(played))
        console.print(f"{sum(p.as_expected for p in played)} of {len(played)} as expected", end=", ")
        console.print(f"{time.monotonic() - begun:.1f} s. Nothing of it is left on this machine.")
    return 0 if all(each.as_expected for each in played) else 1
