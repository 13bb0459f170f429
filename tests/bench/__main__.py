"""`make bench`: measures, prints, and writes docs/performance.md and docs/cost.md."""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast_cli import project

from . import cost, cpu_share, packages, report
from .measure import HERE, Bench, stub
from .peers import BOTO3, CUSTODIAN, HOLDFAST, Peer

TOPIC = "arn:aws:sns:eu-west-1:123456789012:security"
IGNORED = project.EVENTS / "ignored" / "failed-s3-PutBucketEncryption__NoSuchBucket.json"
SWEEP, CLOCK = HERE / "events" / "sweep.json", HERE / "events" / "clock.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs; only prints")
    quick = parser.parse_args().quick
    found = measured(rounds=2 if quick else 21, most=30 if quick else 10_000, buckets=100 if quick else 10_000)
    performance, month = report.page(found), cost.page(found)
    print(performance, month, sep="\n")
    if not quick:
        (project.ROOT / "docs" / "performance.md").write_text(performance)
        (project.ROOT / "docs" / "cost.md").write_text(month)
    return 0


def measured(rounds: int, most: int, buckets: int) -> dict[str, Any]:
    """Everything. `most` limits the events of a warm run, `buckets` is what our sweep looks at."""
    load = os.getloadavg()[0]
    python = packages.functions_python()
    peers = packages.all_peers(python, TOPIC)
    by_name = {peer.name: peer for peer in peers}
    with stub() as server:
        bench = Bench(python, server, TOPIC)
        found: dict[str, Any] = {"load": load, "rounds": rounds}
        found["cold"] = step("cold", bench.cold(peers, rounds))
        found["slow"] = step("256 MB", bench.slow(peers, rounds))
        found["warm"] = {peer.name: step(peer.name, bench.warm(peer, min(peer.warm, most))) for peer in peers}
        found["compliant"] = {
            name: step(name, bench.warm(by_name[name], min(1000, most), buckets="right")) for name in (HOLDFAST, BOTO3)
        }
        found["ignored"] = bench.warm(by_name[HOLDFAST], 30, event=IGNORED)
        found["sweeps"] = sweeps(bench, by_name[HOLDFAST], buckets)
        found["runs"] = runs(bench, found, min(200, most))
    found["zips"] = {peer.name: peer.zips for peer in peers}
    found["functions"] = packages.function_sizes()
    found["init_seconds"] = found["cold"][HOLDFAST]["init"] / 1000
    return found | surroundings(python) | cost.from_template()


def sweeps(bench: Bench, ours: Peer, buckets: int) -> dict[str, Any]:
    """Custodian looks at a tenth: it takes so much longer for each."""
    custodian = packages.custodian_by_clock(bench.python, TOPIC)
    return {
        HOLDFAST: step("sweep", bench.sweep(ours, buckets, SWEEP)),
        CUSTODIAN: step("Custodian's sweep", bench.sweep(custodian, buckets // 10, CLOCK)),
    }


def runs(bench: Bench, found: dict[str, Any], events: int) -> dict[str, Any]:
    """The kinds of invocation that a month is made of."""
    watch, trail = packages.holdfast(TOPIC, "watch"), packages.holdfast(TOPIC, "cloudtrail_logging")
    return {
        "tick": bench.warm(watch, events, event=CLOCK),
        "clock": bench.warm(trail, events, event=SWEEP),
        "compliant": found["compliant"][HOLDFAST],
        "fix": found["warm"][HOLDFAST],
    }


def surroundings(python: str) -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.machine()
    locked = (HERE / "requirements" / "custodian.txt").read_text().partition(" ")[0].partition("==")[2]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores of {model}, Linux {platform.release().partition('-')[0]}",
        "python": packages.version_of(python),
        "versions": {"botocore": packages.layer_version("botocore"), "Cloud Custodian": locked},
        "way": cpu_share.way(),
    }


def step(what: str, result: Any) -> Any:
    print(f"{what}: {result}", file=sys.stderr)
    return result


if __name__ == "__main__":
    sys.exit(main())
