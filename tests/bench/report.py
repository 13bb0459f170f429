"""The measurements as a page. `docs/performance.md` is its output."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import table
from .peers import BOTO3, CLOUDBOTS, CUSTODIAN, HOLDFAST

Found = Mapping[str, Any]
KB, MB = 1000, 1_000_000
QUIET = 0.5  # load of a machine that does nothing else
WAYS = {"cgroup": "a cgroup with periods of 20 ms", "signals": "signals that stop it and let it go every 20 ms"}


@dataclass(frozen=True)
class Target:
    """Something promised: what, what was measured, and the most that it may be."""

    what: str
    measured: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.most

    def row(self) -> tuple[str, ...]:
        measured, most = (f"{_short(value)}{self.unit}" for value in (self.measured, self.most))
        return self.what, measured, f"≤ {most}", "yes" if self.met else "**no**"


def targets(found: Found) -> Iterator[Target]:
    ours, warm, first = found["cold"][HOLDFAST], found["warm"][HOLDFAST], found["slow"]
    for peer, most in ((BOTO3, 0.75), (CLOUDBOTS, 0.5), (CUSTODIAN, 0.3)):
        yield Target(f"cold start to the first fix ÷ {peer}", ours["fix"] / found["cold"][peer]["fix"], most)
    compliant, bare = found["compliant"][HOLDFAST], found["compliant"][BOTO3]
    yield Target("calls of a compliant event: its one read, and one look-up in the ledger", total(compliant), 2)
    yield Target("calls of an ignored event", total(found["ignored"]), 0)
    yield Target(f"warm CPU of a compliant event ÷ {BOTO3}", compliant["cpu"] / bare["cpu"], 1.5)
    yield Target(f"warm CPU of a fix ÷ {BOTO3}", warm["cpu"] / found["warm"][BOTO3]["cpu"], 1.5)
    yield Target("memory after the first event", ours["rss"], 45, " MB")
    grown = f"its growth from the {warm['events'] // 10:,}th to the {warm['events']:,}th event"
    yield Target(grown, warm["rss_after"] - warm["rss_settled"], 0.5, " MB")
    yield Target("first event after INIT at 256 MB", first[HOLDFAST], 100, " ms")
    yield Target("layer, zipped, with the SDK", found["zips"][HOLDFAST]["layer"] / MB, 2, " MB")
    yield Target("largest function, zipped", max(found["functions"].values()) / KB, 5, " KB")
    yield Target("calls of a sweep for each bucket", found["sweeps"][HOLDFAST]["calls_each"], 3)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def total(run: Found) -> int:
    return sum(run["calls"].values())


def page(found: Found) -> str:
    noisy = found["load"] > QUIET
    return table.page(
        "performance.md",
        **{name: found[name] for name in ("date", "machine", "python", "rounds")},
        versions=", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        load=f"It was busy (load {found['load']:.1f}): trust the ratios before the times." if noisy else "",
        peers=_peers(found),
        calls=", ".join(f"{count} × {name}" for name, count in found["cold"][HOLDFAST]["calls"].items()),
        targets=table.table(("", "measured", "promised", "kept"), (target.row() for target in targets(found))),
        sweeps=_sweeps(found),
        zips=_zips(found),
        way=WAYS[found["way"]],
    )


def _peers(found: Found) -> str:
    head = ("INIT, ms", "to the fix, ms", "to the end, ms", "CPU, ms", "calls", "warm CPU, ms", "memory, MB")
    rows = (_peer(name, found) for name in found["cold"])
    return table.table(("", *head, "first event at 256 MB, ms"), rows)


def _peer(name: str, found: Found) -> tuple[str, ...]:
    cold, warm = found["cold"][name], found["warm"][name]
    times = (f"{cold[kind]:.0f}" for kind in ("init", "fix", "done", "cpu"))
    memory = f"{cold['rss']:.0f} → {warm['rss_after']:.0f} after {warm['events']:,}"
    return name, *times, str(total(cold)), f"{warm['cpu']:.1f}", memory, f"{found['slow'][name]:.0f}"


def _sweeps(found: Found) -> str:
    rows = (
        (
            name,
            f"{run['buckets']:,}",
            f"{run['calls_each']:.2f}",
            f"{run['buckets'] / run['seconds']:.0f}",
            f"{run['peak']:.0f}",
        )
        for name, run in found["sweeps"].items()
    )
    return table.table(("", "buckets", "calls for each", "buckets a second", "peak memory, MB"), rows)


def _zips(found: Found) -> str:
    parts = {"the layer": found["zips"][HOLDFAST]["layer"]}
    parts |= {f"`{name}`": size for name, size in found["functions"].items()}
    parts |= {CUSTODIAN: found["zips"][CUSTODIAN]["function"]}
    return table.table(("zipped", "KB"), ((name, f"{size / KB:,.1f}") for name, size in parts.items()))
