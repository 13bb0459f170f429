"""The server process seen from outside: where its Python is, how it starts, that nothing of it stays."""

import errno
import http.client
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .errors import MissingEnvironment, NotStarted

ACCOUNT = "123456789012"  # SAM thinks so, too, when it invokes a function locally
ROOT_KEY = "AKIAIOSFODNN7EXAMPLE"
_VARIABLE = "HOLDFAST_LOCAL_CLOUD_PYTHON"
_PACKAGES = Path(__file__).resolve().parents[2]
# Appended, so that MiniStack's own packages win over anything that lies beside holdfast_cli.
_BOOT = "import sys; sys.path.append(sys.argv[1]); from holdfast_cli.local_cloud.bridge import main; main(*{})"
_RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
_START_SECONDS = 30
_STOP_SECONDS = 20


@dataclass(frozen=True)
class Docker:
    """An engine whose containers may call the local cloud; with `functions`, its functions run in them.

    `host` is the engine's address as in DOCKER_HOST; `gateway` is the IP address under which containers find this
    machine. It is an address of this machine where the engine runs on it, as on Linux. Where the engine has a machine
    of its own it isn't, and what calls come there arrive on loopback.
    """

    host: str
    gateway: str
    functions: bool = True


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


def _listener(address: str, port: int) -> socket.socket | None:
    """None where the address isn't one of this machine."""
    try:
        return socket.create_server((address, port))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return None


class Server:
    """MiniStack and the bridge in a process group of their own, on 127.0.0.1 and a free port.

    It ends with `stop`, and by itself as soon as this process ends, however it ends: the kernel then closes the pipe
    to its standard input. With `docker` its functions run in containers, else as processes.
    """

    def __init__(self, python: Path, region: str, docker: Docker | None = None) -> None:
        self._docker = docker
        self.secret = secrets.token_hex(20)
        self._files = tempfile.TemporaryDirectory(
            prefix="holdfast-cloud-", dir=_in_memory(), ignore_cleanup_errors=True
        )
        self._folder = Path(self._files.name)
        self._lay_out_runtime()
        with ExitStack() as listening:
            listener = listening.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.port: int = listener.getsockname()[1]
            listeners = [listener.fileno()]
            if docker and (bridge := _listener(docker.gateway, self.port)):
                listeners.append(listening.enter_context(bridge).fileno())
            self._process = self._start(python, region, listeners)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def endpoint(self) -> str:
        """The URL that serves every service."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint_in_containers(self) -> str:
        """The same for who calls from a container."""
        return f"http://{self._docker.gateway}:{self.port}" if self._docker else self.endpoint

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

    def _start(self, python: Path, region: str, listeners: list[int]) -> subprocess.Popen[bytes]:
        with (self._folder / "server.log").open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [python, "-I", "-c", _BOOT.format(listeners), _PACKAGES],
                env=self._environment(region),
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=listeners,
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
            # Under a custom endpoint botocore opens a session for a directory bucket, whatever is asked of it.
            "AWS_S3_DISABLE_EXPRESS_SESSION_AUTH": "true",
            "AUTH": "true",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": region,
            # MiniStack would open ports for SFTP and MQTT.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            **self._executor(),
        }

    def _executor(self) -> Mapping[str, str]:
        """Where functions run. Without containers MiniStack is told of no Docker: it would look for some to remove."""
        if self._docker is None or not self._docker.functions:
            return {"LAMBDA_EXECUTOR": "local", "DOCKER_HOST": f"unix://{self._folder}/no-docker"}
        return {
            "LAMBDA_EXECUTOR": "docker",
            "LAMBDA_STRICT": "1",  # a function that finds no container fails; it doesn't become a process
            "DOCKER_HOST": self._docker.host,
            "AWS_ENDPOINT_URL": self.endpoint_in_containers,
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
