"""A function under Lambda's own runtime interface emulator, on this machine, behind a door to the local cloud."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from e2e.image import RUNTIME, emulator
from holdfast_cli import project
from holdfast_cli.local_cloud.waiting import wait_until

LAYER = project.ROOT / ".build" / "layer-lambda" / "python"
PATH = "/2015-03-31/functions/function/invocations"
PATIENCE = 60


@dataclass
class Emulated:
    """One execution environment, as Lambda makes one: it is cold until the first delivery."""

    process: subprocess.Popen[bytes]
    port: int

    def deliver(self, event: Any, id: str) -> Any:
        """One invocation, under the request id that Lambda keeps when it tries again; what the runtime answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", PATH, json.dumps(event), {"X-Amzn-RequestId": id})
        answer = connection.getresponse().read().decode()
        connection.close()
        return json.loads(answer) if answer.startswith(("{", "[", '"')) else answer

    def kill_runtime(self) -> None:
        """The function's process dies; the emulator doesn't."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        (runtime,) = (int(child) for thread in threads for child in thread.read_text().split())
        os.kill(runtime, signal.SIGKILL)


@contextmanager
def emulated(folder: Path, environment: Mapping[str, str], seconds: int) -> Iterator[Emulated]:
    """The guardrail in `folder`, with the built layer, for `seconds` at most."""
    port, runtime_port = _free_ports()
    command = [str(emulator()), "--log-level", "error", "--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*command, f"{RUNTIME}/bin/python", "-m", "awslambdaric", "guardrail.handler"],
        cwd=folder,
        env={**_runtime(folder, seconds), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: _listens(port), "the emulator")
        yield Emulated(process, port)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _runtime(folder: Path, seconds: int) -> dict[str, str]:
    """What Lambda sets for a function of 256 MB."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(folder),
        "PYTHONPATH": os.pathsep.join([str(folder), str(LAYER)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": folder.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(seconds),
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
    }


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Door:
    """An endpoint before the local cloud's. It lets every call through but the one that it is told to hold.

    A call that is held is never answered and never made: who waits for it waits until its own time is up.
    """

    endpoint: str
    held: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def holding(self, operation: str) -> Iterator[threading.Event]:
        """Gives what tells when the first such call has come."""
        self.held = operation
        self.arrived.clear()
        self.opened.clear()
        try:
            yield self.arrived
        finally:
            self.held = ""
            self.opened.set()

    def lets_through(self, target: str) -> bool:
        if not self.held or not target.endswith(f".{self.held}"):
            return True
        self.arrived.set()
        self.opened.wait(PATIENCE)
        return False


@contextmanager
def door(cloud_endpoint: str) -> Iterator[Door]:
    there = cloud_endpoint.removeprefix("http://")

    class Passage(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not opened.lets_through(self.headers.get("X-Amz-Target", "")):
                self.close_connection = True
                return
            beyond = http.client.HTTPConnection(there, timeout=PATIENCE)
            beyond.request(self.command, self.path, body, dict(self.headers))
            answer = beyond.getresponse()
            content = answer.read()
            beyond.close()
            with suppress(ConnectionError):  # the caller's time may be up
                self._answer(answer, content)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass  # noqa: N815 - the names http.server calls

        def _answer(self, answer: http.client.HTTPResponse, content: bytes) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Passage) as server:
        opened = Door(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield opened
        finally:
            server.shutdown()


def absent() -> str:
    """Why the emulator can't run here; empty where it can."""
    if sys.platform != "linux":
        return "the runtime interface emulator is a Linux program"
    return ""
