"""Runs peers in fresh processes against the stub, one after another in turns, so that a busy minute hits all alike."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_cli import project

from .cpu_share import slowed
from .peers import Peer

HERE = Path(__file__).parent
SAMPLE = project.EVENTS / "s3-default-encryption" / "CreateBucket.json"
PATIENCE = 1800  # seconds; the longest sweep


@dataclass(frozen=True)
class Stub:
    """The server, for the benchmark: it hands over what it has seen since the last time."""

    address: str

    def take(self) -> dict[str, Any]:
        return self._ask("take")

    def stock(self, buckets: int) -> None:
        self._ask(f"stock/{buckets}")

    def _ask(self, what: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/bench/{what}", timeout=10) as answer:  # noqa: S310 - our own
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def stub() -> Iterator[Stub]:
    command = [sys.executable, str(HERE / "stub.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield Stub(f"http://127.0.0.1:{server.stdout.readline().strip()}")
        server.terminate()


@dataclass(frozen=True)
class Bench:
    python: str
    server: Stub
    topic: str

    def cold(self, peers: Sequence[Peer], rounds: int) -> dict[str, dict[str, Any]]:
        """By peer the medians of a process that takes one event; times in milliseconds from its start."""
        runs: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
        for turn in range(-1, rounds):  # the first turn only fills the page cache
            for peer in peers:
                found = self._cold(peer)
                runs[peer.name] += [found] if turn >= 0 else []
        return {name: _medians(found) for name, found in runs.items()}

    def _cold(self, peer: Peer) -> dict[str, Any]:
        found = self._run(peer, "cold")
        seen = self.server.take()
        if not seen["fixed"]:
            raise RuntimeError(f"{peer.name} did not set the encryption; it called {seen['calls']}")
        times = {"init": found["loaded"], "fix": seen["fixed"], "done": found["done"]}
        milliseconds = {name: 1000 * (at - found["begun"]) for name, at in times.items()}
        return milliseconds | {"cpu": 1000 * found["cpu"], "rss": found["rss"], "calls": seen["calls"]}

    def slow(self, peers: Sequence[Peer], rounds: int) -> dict[str, float]:
        """By peer the median time of the first event after INIT, with the CPU share of 256 MB, in milliseconds."""
        runs: dict[str, list[float]] = {peer.name: [] for peer in peers}
        for _ in range(rounds):
            for peer in peers:
                runs[peer.name].append(1000 * self._slow(peer))
        return {name: statistics.median(found) for name, found in runs.items()}

    def _slow(self, peer: Peer) -> float:
        self.server.take()
        with self._start(peer, "wait") as process:
            assert process.stdin
            assert process.stdout
            process.stdout.readline()
            with slowed(process):
                process.stdin.write(b"\n")
                process.stdin.flush()
                found: dict[str, Any] = json.loads(process.stdout.read())
        return float(found["first"])

    def warm(self, peer: Peer, events: int, *, buckets: str = "broken", event: Path = SAMPLE) -> dict[str, Any]:
        """CPU milliseconds and calls per warm event, log bytes, and memory after the first and the last one."""
        found = self._run(peer, "warm", events, event, buckets)
        calls = self.server.take()["calls"]
        often = {name: round(count / events) for name, count in calls.items() if count >= events / 2}
        kept = {name: found[name] for name in ("rss", "rss_settled", "rss_after", "peak", "logged")}
        return kept | {"cpu": 1000 * found["warm"], "calls": often, "events": events}

    def sweep(self, peer: Peer, buckets: int, event: Path) -> dict[str, Any]:
        """All buckets of an account that holds so many, none of them broken."""
        self.server.stock(buckets)
        found = self._run(peer, "sweep", event=event)
        seconds = found["ended"] - found["loaded"]
        kept = {name: found[name] for name in ("calls", "peak")}
        return kept | {"buckets": buckets, "seconds": seconds, "calls_each": sum(found["calls"].values()) / buckets}

    def _run(
        self, peer: Peer, mode: str, number: int = 0, event: Path = SAMPLE, buckets: str = "broken"
    ) -> dict[str, Any]:
        self.server.take()
        begun = time.monotonic()
        with self._start(peer, mode, number, event, buckets) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        if process.returncode:
            raise RuntimeError(f"{peer.name}, {mode}: ended with {process.returncode}")
        return {"begun": begun, **json.loads(out)}

    def _start(
        self, peer: Peer, mode: str, number: int = 0, event: Path = SAMPLE, buckets: str = "broken"
    ) -> "subprocess.Popen[bytes]":
        """With BENCH_DEBUG in the environment, what it prints to stderr is seen."""
        what = (peer.handler, mode, str(event), str(number), buckets)
        command = [self.python, "-sP", str(HERE / "driver.py"), *what]
        return subprocess.Popen(
            command,
            env=self._environment(peer),
            cwd=peer.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_DEBUG") else subprocess.DEVNULL,
        )

    def _environment(self, peer: Peer) -> dict[str, str]:
        """As Lambda sets it, and nothing of this machine's own: no CA bundle, no profile, no proxy."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(map(str, peer.paths)),
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's code is read-only
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_SESSION_TOKEN": "example",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": self.server.address,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "LAMBDA_TASK_ROOT": str(peer.paths[0]),
            "TOPIC": self.topic,
            **peer.environment,
        }


def _medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of numbers the median; what is not a number is the same in every run, or the last one's."""
    return {
        name: statistics.median(run[name] for run in runs) if isinstance(value, float) else value
        for name, value in runs[-1].items()
    }
