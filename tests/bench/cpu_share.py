"""The CPU that a 256 MB function gets after INIT: 256/1769 of one (Lambda guide, "Configure Lambda function memory").

Lambda hands it out in slices of 20 ms, as people observe (pwrdrvr/lambda-dispatch, issue 246). A cgroup does the same
here, of either version; where this user may not make one, the process is stopped and let go by signals.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

SHARE = 256 / 1769
PERIOD = 20_000  # microseconds
V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")


def way() -> str:
    """How the share is kept on this machine."""
    try:
        with _group():
            return "cgroup"
    except OSError:
        return "signals"


@contextmanager
def slowed(process: "Popen[bytes]") -> Iterator[None]:
    """Inside, the process gets no more than its share; it must come to its end there."""
    if way() == "cgroup":
        with _group() as group:
            (group / "cgroup.procs").write_text(str(process.pid))
            yield
            process.wait()
        return
    over = threading.Event()
    beat = threading.Thread(target=_stop_and_go, args=(process.pid, over))
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


@contextmanager
def _group() -> Iterator[Path]:
    quota = str(int(PERIOD * SHARE))
    v1 = (V1 / "cpu.cfs_quota_us").exists() or (V1 / "cpu.shares").exists()
    group = (V1 if v1 else V2) / f"holdfast-bench-{os.getpid()}"
    group.mkdir()
    try:
        if v1:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(quota)
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        yield group
    finally:
        group.rmdir()


def _stop_and_go(process: int, over: threading.Event) -> None:
    run = PERIOD * SHARE / 1e6
    try:
        while not over.is_set():
            os.kill(process, signal.SIGSTOP)
            time.sleep(PERIOD / 1e6 - run)
            os.kill(process, signal.SIGCONT)
            time.sleep(run)
    except ProcessLookupError:
        return
