"""One Lambda process: INIT is the import of the handler, then come events. Runs on the functions' Python, in each peer.

It imports as little as it can before the handler, and ends by os._exit: Lambda never pays for an interpreter's end.
"""

import json
import os
import sys
import time
from typing import Any

HANDLER, MODE, EVENT, NUMBER, BUCKETS = sys.argv[1:6]
SAMPLED = "orders-landing"  # the bucket of the sample
WARMED = 20  # events before a warm one is measured


class Context:
    function_name = function_version = "bench"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:bench"
    log_group_name = log_stream_name = "bench"
    aws_request_id = "0"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def resident() -> float:
    """Megabytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def peak() -> float:
    """The most that it ever held."""
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def load() -> Any:
    module, _, name = HANDLER.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def event(number: int) -> Any:
    """The sample, of another bucket each time."""
    raw = json.loads(TEXT.replace(SAMPLED, f"{BUCKETS}-{number}"))
    raw["id"] = f"event-{number}"
    return raw


def handle(handler: Any, raw: Any) -> float:
    """CPU seconds that the handler took."""
    context, before = Context(), time.process_time()
    context.aws_request_id = raw.get("id", "0")
    handler(raw, context)
    return time.process_time() - before


def looks() -> Any:
    """What a sweep has asked for since the last time."""
    import http.client

    address = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    connection = http.client.HTTPConnection(address)
    connection.request("GET", "/bench/take")
    return json.loads(connection.getresponse().read())


def sweep(handler: Any, raw: Any) -> dict[str, Any]:
    """The sweep's event, and every look it asks for, as one warm function after another would take them."""
    handle(handler, raw)
    seen = looks()
    calls = seen["calls"]
    for number, detail in enumerate(seen["looks"]):
        handle(handler, {**raw, "id": f"look-{number}", "detail-type": "Holdfast Look", "detail": detail})
    for name, count in looks()["calls"].items():
        calls[name] = calls.get(name, 0) + count
    return {"calls": calls}


def warm(handler: Any) -> dict[str, Any]:
    """What an event costs when all is loaded, in CPU seconds and bytes of log; memory after a tenth of them and all."""
    events, tenth, spent, settled = int(NUMBER), int(NUMBER) // 10, 0.0, resident()
    logged = os.fstat(1).st_size
    for number in range(1, events):
        cost = handle(handler, event(number))
        spent += cost if number > WARMED else 0
        settled = resident() if number == tenth else settled
    logged = os.fstat(1).st_size - logged
    memory = {"rss_settled": settled, "rss_after": resident()}
    return memory | {"warm": spent / (events - 1 - WARMED), "logged": logged / (events - 1)}


def measure(handler: Any) -> dict[str, Any]:
    if MODE == "wait":
        os.write(RESULTS, b"ready\n")
        sys.stdin.readline()
        begun = time.monotonic()
        handle(handler, event(0))
        return {"first": time.monotonic() - begun}
    if MODE == "sweep":
        return sweep(handler, json.loads(TEXT))
    handle(handler, event(0))
    found = {"done": time.monotonic(), "cpu": time.process_time(), "rss": resident()}
    return found | (warm(handler) if MODE == "warm" else {})


RESULTS = os.dup(1)
os.dup2(os.memfd_create("log"), 1)  # logs cost what they cost; nobody reads them here
if __name__ == "__main__":
    handler = load()
    loaded = time.monotonic()
    with open(EVENT) as file:
        TEXT = file.read()
    result = measure(handler)
    os.write(RESULTS, json.dumps({"loaded": loaded, "ended": time.monotonic(), "peak": peak(), **result}).encode())
    os._exit(0)
