"""What `make e2e` needs of a machine, and its last words: how long fixes took, and what this machine could not run."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from _pytest.terminal import TerminalReporter
from e2e.engine import Engine, NoEngine, engine
from e2e.image import RUNTIME


@dataclass
class Report:
    """Shown when all is over: the seconds from call to fix, by incident; what did not run, and why."""

    machine: str = ""
    seconds: dict[str, float | None] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)


REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[REPORT]


@pytest.fixture(scope="session")
def containers(report: Report) -> Iterator[Engine | None]:
    """The engine that functions run in; None where there is none, and they are processes."""
    with ExitStack() as ends:
        try:
            found = ends.enter_context(engine())
        except NoEngine as error:
            report.machine = "functions ran as processes"
            report.absent += [f"functions in containers: {error}", f"sam local invoke: {error}"]
            yield None
            return
        report.machine = f"functions ran in containers: {found.what}"
        yield found


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[REPORT]
    if not report.machine:
        return
    terminalreporter.section("end to end")
    terminalreporter.line(report.machine)
    for title, seconds in report.seconds.items():
        terminalreporter.line(f"{title:<46} {'nothing to fix' if seconds is None else f'{seconds:6.2f} s to fix'}")
    if not (RUNTIME / "bin" / "python3.13").exists():
        report.absent.append("Lambda's Python: there is no Python 3.13, the emulator ran functions on another")
    for line in report.absent:
        terminalreporter.line(f"NOT RUN on this machine: {line}", red=True, bold=True)
