"""SAM's command line, with the local cloud as its AWS, run as somebody would type it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.image import RUNTIME, SAM
from holdfast_cli import project

PATIENCE = 300


class SamFailed(Exception):
    """SAM ended with an error; the message is all that it said."""


@dataclass(frozen=True)
class Sam:
    """`environment` is what leads it to the local cloud, and to the engine where there is one."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> str:
        """What it prints. Raises SamFailed."""
        command = [str(SAM / "bin" / "sam"), *arguments]
        done = subprocess.run(
            command, cwd=project.ROOT, env=self._all(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if done.returncode:
            raise SamFailed(f"sam {' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """One of those commands that go on until they are ended."""
        command = [str(SAM / "bin" / "sam"), *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=project.ROOT, env=self._all(), stdout=quiet, stderr=quiet, text=True)

    def _all(self) -> dict[str, str]:
        """This machine's environment without its AWS settings; Lambda's Python is the first that SAM finds."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PIP_", "VIRTUAL_"))}
        path = os.pathsep.join([f"{RUNTIME}/bin", f"{SAM}/bin", kept["PATH"]])
        return {**kept, "PATH": path, "SAM_CLI_TELEMETRY": "0", **self.environment}
