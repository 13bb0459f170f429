"""A terminal in `holdfast cloud`: what README tells users to type, typed."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.image import RUNTIME, SAM
from holdfast_cli import project

PATIENCE = 300


class CommandFailed(Exception):
    """A command ended with an error; the message is the end of all that it said."""


@dataclass(frozen=True)
class Terminal:
    """`environment` leads to the local cloud. Lambda's Python is the first that commands find, as SAM wants it."""

    environment: Mapping[str, str]

    def __call__(self, line: str) -> str:
        """What the command prints. Raises CommandFailed."""
        command, env = ["sh", "-c", line], self._all()
        done = subprocess.run(
            command, cwd=project.ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            raise CommandFailed(f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def _all(self) -> dict[str, str]:
        kept = {name: value for name, value in self.environment.items() if not name.startswith(("PIP_", "VIRTUAL_"))}
        places = [RUNTIME / "bin", SAM / "bin", project.ROOT / ".venv" / "bin", kept["PATH"]]
        return {**kept, "PATH": os.pathsep.join(map(str, places)), "SAM_CLI_TELEMETRY": "0"}
