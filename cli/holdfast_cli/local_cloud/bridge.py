"""The server process: MiniStack, and behind each changing API call the CloudTrail event of it.

Runs in MiniStack's own environment, which pins its own botocore (`cloud.LocalCloud` starts it). The event goes onto
the default bus with source `aws.<service>`, which PutEvents refuses to clients; so this calls one private function of
MiniStack, `_put_events(data, allow_aws_source)`; `contract` guards it.
"""

import asyncio
import contextvars
import json
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypercorn.asyncio import serve  # type: ignore[import-not-found]
from hypercorn.config import Config  # type: ignore[import-not-found]
from ministack import app  # type: ignore[import-not-found]
from ministack.core import container_reaper  # type: ignore[import-not-found]
from ministack.core.iam_evaluator import resolve_caller_identity  # type: ignore[import-not-found]
from ministack.core.responses import set_request_region  # type: ignore[import-not-found]
from ministack.services import eventbridge  # type: ignore[import-not-found]

from . import contract
from .authorization import complete, role_of
from .records import Caller, record
from .wire import Exchange, Operation, Scope, changing_call, scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_LARGEST_EVENT = 256 * 1024
_log = logging.getLogger("holdfast.bridge")


class Tap:
    """Keeps what passes between a client and MiniStack."""

    def __init__(self, scope: Message) -> None:
        self._scope = scope
        self._request: list[bytes] = []
        self._answer: list[bytes] = []
        self._start: Message = {"status": 500, "headers": []}

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, with the request's body kept."""

        async def tapped() -> Message:
            message = await receive()
            self._request.append(message.get("body", b""))
            return message

        return tapped

    def sending(self, send: Send) -> Send:
        """`send`, with the answer kept."""

        async def tapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._start = message
            self._answer.append(message.get("body", b""))
            await send(message)

        return tapped

    def exchange(self) -> Exchange:
        """All that has passed."""
        return Exchange(
            method=self._scope["method"],
            path=self._scope["raw_path"].decode("latin-1"),
            query=self._scope["query_string"].decode("latin-1"),
            headers=_headers(self._scope["headers"]),
            body=b"".join(self._request),
            status=self._start["status"],
            answer_headers=_headers(self._start["headers"]),
            answer=b"".join(self._answer),
            client=self._scope["client"][0],
        )


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


class Bridge:
    """MiniStack as an ASGI application that also tells EventBridge what was called.

    One thread writes the records, so events keep the order of the calls, and no client waits for them.
    """

    def __init__(self, inner: Asgi) -> None:
        self._inner = inner
        self._writer = ThreadPoolExecutor(max_workers=1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request; the context MiniStack leaves behind holds its account and Region."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            tap = Tap(scope)
            await self._inner(scope, tap.receiving(receive), tap.sending(send))
            self._writer.submit(contextvars.copy_context().run, _tell, tap.exchange())
        else:
            await self._inner(scope, receive, send)


def _tell(exchange: Exchange) -> None:
    try:
        if (signed := scope(exchange)) and (operation := changing_call(exchange, signed.service)):
            _publish(exchange, operation, signed)
    except Exception:
        # One odd call must not silence the calls after it; LocalCloud.server_log() shows the line.
        _log.exception("no record of %s %s", exchange.method, exchange.path)


def _publish(exchange: Exchange, operation: Operation, signed: Scope) -> None:
    """Put the record of one call on the default bus; a caller whom nobody knows leaves no record."""
    if caller := _caller(signed.key):
        detail = json.dumps(record(exchange, operation, signed, caller))
        entry = {"Source": f"aws.{operation.service}", "DetailType": "AWS API Call via CloudTrail", "Detail": detail}
        set_request_region(signed.region)
        if len(detail) <= _LARGEST_EVENT:  # CloudTrail sends larger ones to its trail only
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _caller(key: str) -> Caller | None:
    identity = resolve_caller_identity(key)
    if identity is None:
        return None
    account, arn = identity["accountId"], identity["userArn"]
    if ":assumed-role/" not in arn:
        return Caller(account, arn, identity["userId"], key)
    role, session = role_of(arn), arn.rpartition("/")[2]
    since = identity["session"].get("IssuedAt", 0.0)
    return Caller(account, arn, f"{role['RoleId']}:{session}", key, role["Arn"], role["RoleId"], since)


def _remove_containers() -> None:
    """Those that this server's functions ran in."""
    if os.environ["LAMBDA_EXECUTOR"] != "docker":
        return
    import docker  # takes a tenth of a second: only for those who have containers

    label = f"{container_reaper.INSTANCE_LABEL}={container_reaper.instance_id()}"
    try:
        with ThreadPoolExecutor() as pool:
            for container in docker.from_env().containers.list(all=True, sparse=True, filters={"label": label}):
                pool.submit(container.remove, force=True)
    except docker.errors.DockerException:
        _log.exception("containers of functions are left")


def _vanish() -> None:
    """End this process group (the functions' processes are in it) and remove its files.

    The parent made the group and TMPDIR for this server alone. Nothing is worth an orderly end: all state is memory.
    """
    _remove_containers()
    os.killpg(0, signal.SIGTERM)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _vanish_with_parent() -> None:
    sys.stdin.buffer.read()
    _vanish()


def main(*listeners: int) -> None:
    """Serve on listening sockets, inherited as file descriptors, until the parent closes our standard input."""
    contract.check()
    complete()
    # MiniStack starts functions with this: the bare interpreter, so that they don't see MiniStack's own packages.
    sys.executable = os.path.realpath(sys.executable)
    threading.Thread(target=_vanish_with_parent, daemon=True).start()
    config = Config()
    config.bind = [f"fd://{listener}" for listener in listeners]
    config.keep_alive_timeout = 75
    asyncio.run(serve(Bridge(app.app), config))
    _vanish()
