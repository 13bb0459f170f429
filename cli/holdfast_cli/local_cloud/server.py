"""The server process seen from outside: where its Python is, how it starts, that nothing of it stays."""

import http.client
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import MissingEnvironment, NotStarted

ACCOUNT = "111122223333"
ROOT_KEY = "AKIAIOSFODNN7EXAMPLE"
_VARIABLE = "HOLDFAST_LOCAL_CLOUD_PYTHON"
_PACKAGES = Path(__file__).resolve().parents[2]
# Appended, so that MiniStack's own packages win over anything that lies beside holdfast_cli.
_BOOT = "import sys; sys.path.append(sys.argv[1]); from holdfast_cli.local_cloud.bridge import main; main({})"
_RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
_START_SECONDS = 30
_STOP_SECONDS = 5


def environment() -> Path:
    """The Python that has MiniStack: HOLDFAST_LOCAL_CLOUD_PYTHON, or the repository's `.venv-local-cloud`.

    Raises MissingEnvironment when there is none.
    """
    default = _PACKAGES.parent / ".venv-local-cloud" / "bin" / "python"
    python = Path(os.environ.get(_VARIABLE) or default)
    if not python.is_file():
        raise MissingEnvironment(f"no Python with MiniStack at {python}: run `make set-up`, or set {_VARIABLE}")
    return python


def _in_memory() -> Path | None:
    """Shared memory, where it is roomy and may hold libraries: a cold function unpacks its layer, a thousand files."""
    memory = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a folder of our own in it
    if not memory.is_dir():
        return None
    found = os.statvfs(memory)
    roomy = found.f_bavail * found.f_frsize > 2**30
    return memory if roomy and not found.f_flag & os.ST_NOEXEC else None


class Server:
    """MiniStack and the bridge in a process group of their own, on 127.0.0.1 and a free port.

    It ends with `stop`, and by itself as soon as this process ends, however it ends: the kernel then closes the pipe
    to its standard input.
    """

    def __init__(self, python: Path, region: str) -> None:
        self.secret = secrets.token_hex(20)
        self._files = tempfile.TemporaryDirectory(
            prefix="holdfast-cloud-", dir=_in_memory(), ignore_cleanup_errors=True
        )
        self._folder = Path(self._files.name)
        self._lay_out_runtime()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
            self._process = self._start(python, region, listener.fileno())
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        """The URL that serves every service."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What the server has printed so far."""
        return (self._folder / "server.log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server and its functions, and remove their files."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._files.cleanup()

    def _start(self, python: Path, region: str, listener: int) -> subprocess.Popen[bytes]:
        with (self._folder / "server.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [python, "-I", "-c", _BOOT.format(listener), _PACKAGES],
                env=self._environment(region),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener],
                start_new_session=True,
            )

    def _lay_out_runtime(self) -> None:
        """What Lambda's own Python runtime has in it: boto3 and all it needs, and nothing else."""
        runtime = self._folder / "runtime"
        runtime.mkdir()
        for name in _RUNTIME:
            if (spec := importlib.util.find_spec(name)) and spec.origin:
                origin = Path(spec.origin)
                found = origin.parent if origin.name == "__init__.py" else origin
                (runtime / found.name).symlink_to(found)

    def _environment(self, region: str) -> Mapping[str, str]:
        """Everything the server gets, and through it the functions: nothing of this machine's own settings."""
        return {
            "PATH": os.defpath,
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "LANG": "C.UTF-8",
            "PYTHONNOUSERSITE": "1",
            "PYTHONPATH": str(self._folder / "runtime"),
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AUTH": "true",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": region,
            "LAMBDA_EXECUTOR": "local",
            # MiniStack would look for containers of its own to remove, and open ports for SFTP and MQTT.
            "DOCKER_HOST": f"unix://{self._folder}/no-docker",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
        }

    def _wait(self) -> None:
        """Until the server answers: it inherits a socket that listens already, so one request waits its turn."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/_ministack/health")
            status = connection.getresponse().status
        except OSError as error:
            raise NotStarted(f"the local cloud didn't start: {error}\n{self.log()}") from error
        finally:
            connection.close()
        if status != http.client.OK:
            raise NotStarted(f"the local cloud isn't well: HTTP {status}\n{self.log()}")
