"""Waiting without sleeping longer than needed."""

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import TimedOut

T = TypeVar("T")


def wait_until(probe: Callable[[], T | None], what: str, seconds: float = 20.0) -> T:
    """Ask `probe` until it answers something true, and return that; raise TimedOut, naming `what`, if it doesn't."""
    deadline = time.monotonic() + seconds
    while True:
        if found := probe():
            return found
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
