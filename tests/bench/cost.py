"""What a month costs, from what was measured and what AWS publishes. `docs/cost.md` is its output."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from holdfast_cli import project, template

from . import table
from .cpu_share import SHARE

FLEETS = (1, 100, 5000)
HOURS = 730
MINUTES = HOURS * 60
DAYS = HOURS / 24
MEMORY = 256 / 1024  # GB
LATENCY = 0.015  # seconds that AWS takes to answer one call
PLATFORM_LOG = 700  # bytes of Lambda's own lines (start, report) for an invocation, in JSON
FIX_WRITES = 12  # write units of a fix: the open record with its index entry, then a transaction of two items, doubled
BATCH = 50  # targets of one look


@dataclass(frozen=True)
class Prices:
    """USD in us-east-1; for which unit, and where AWS publishes it, is in SOURCES."""

    lambda_second: float = 0.0000133334
    lambda_request: float = 0.20e-6
    dynamo_read: float = 0.125e-6
    dynamo_write: float = 0.625e-6
    publish: float = 0.50e-6
    mail: float = 2.00e-5
    event: float = 1.00e-6
    schedule: float = 1.00e-6
    alarm: float = 0.10
    metric: float = 0.30
    log_gb: float = 0.50
    key: float = 1.00


SOURCES = {
    "lambda_second": ("Lambda, arm64, a GB-second", "lambda/pricing"),
    "lambda_request": ("Lambda, a request", "lambda/pricing"),
    "dynamo_read": ("DynamoDB on demand, a read unit", "dynamodb/pricing/on-demand"),
    "dynamo_write": ("DynamoDB on demand, a write unit", "dynamodb/pricing/on-demand"),
    "publish": ("SNS, a publish", "sns/pricing"),
    "mail": ("SNS, an e-mail", "sns/pricing"),
    "event": ("EventBridge, a custom event (AWS's own are free)", "eventbridge/pricing"),
    "schedule": ("EventBridge Scheduler, an invocation", "eventbridge/pricing"),
    "alarm": ("CloudWatch, a standard alarm for a month", "cloudwatch/pricing"),
    "metric": ("CloudWatch, a custom metric for a month, by the hour in which it is sent", "cloudwatch/pricing"),
    "log_gb": ("CloudWatch Logs, a GB taken in", "cloudwatch/pricing"),
    "key": ("KMS, a key for a month (`CustomerManagedKey=true` only)", "kms/pricing"),
}


@dataclass(frozen=True)
class Use:
    """An account in one Region for a month: what it holds, and what happens in it."""

    looked_at: int = 350
    events: int = 300
    fixes: int = 10


@dataclass(frozen=True)
class Run:
    """One kind of invocation, as measured: its calls, its CPU seconds at full speed, its log."""

    calls: float
    cpu: float
    log: float

    @property
    def seconds(self) -> float:
        """What is billed at 256 MB: the CPU at its share, and AWS's answers."""
        return self.cpu / SHARE + self.calls * LATENCY


def month(found: Mapping[str, Any], use: Use, prices: Prices) -> dict[str, float]:
    """USD for one account, by service."""
    runs = {name: _run(warm) for name, warm in found["runs"].items()}
    looks = use.looked_at * DAYS
    batches, starts = looks / BATCH, found["guardrails"] * DAYS
    ticks, clocks = MINUTES, MINUTES / 5
    invoked = ticks + clocks + starts + batches + use.events
    seconds = ticks * runs["tick"].seconds + clocks * runs["clock"].seconds + looks * runs["compliant"].seconds
    seconds += (
        starts * runs["clock"].seconds
        + (use.events - use.fixes) * runs["compliant"].seconds
        + use.fixes * runs["fix"].seconds
    )
    seconds += (use.events + starts) * found["init_seconds"]  # as if each found no warm function
    log = ticks * runs["tick"].log + clocks * runs["clock"].log + use.events * runs["fix"].log
    log += looks * 40 + invoked * PLATFORM_LOG
    reads = ticks * 1.0 + clocks * 2.0 + looks + use.events
    hours = min(HOURS, use.events / found["guardrails"] + DAYS)  # in which a guardrail has something to count
    metrics = found["steady_metrics"] + found["event_metrics"] * hours / HOURS
    return {
        "CloudWatch alarms": found["alarms"] * prices.alarm,
        "CloudWatch metrics": metrics * prices.metric,
        "CloudWatch Logs": log / 1e9 * prices.log_gb,
        "Lambda": seconds * MEMORY * prices.lambda_second + invoked * prices.lambda_request,
        "EventBridge Scheduler": (ticks + clocks) * prices.schedule,
        "EventBridge events": (batches + starts / found["guardrails"] + use.fixes) * prices.event,
        "DynamoDB": reads * prices.dynamo_read + use.fixes * FIX_WRITES * prices.dynamo_write,
        "SNS": use.fixes * (prices.publish + prices.mail),
        "SSM parameters (standard)": 0.0,
    }


def _run(warm: Mapping[str, Any]) -> Run:
    return Run(sum(warm["calls"].values()), warm["cpu"] / 1000, warm["logged"])


def from_template() -> dict[str, int]:
    """What is deployed and costs by being there: alarms, guardrails, metrics."""
    alarms = sum(one["Type"] == "AWS::CloudWatch::Alarm" for one in template.load()["Resources"].values())
    guardrails = len(project.guardrails())
    return {"alarms": alarms, "guardrails": guardrails, "steady_metrics": 5, "event_metrics": 3 * guardrails}


def page(found: Mapping[str, Any]) -> str:
    use, prices = Use(), Prices()
    return table.page(
        "cost.md",
        **{name: found[name] for name in ("date", "guardrails", "alarms", "steady_metrics")},
        **asdict(use),
        latency=f"{LATENCY} s",
        months=_months(month(found, use, prices), prices),
        runs=_runs(found),
        prices=_prices(prices),
    )


def _months(costs: Mapping[str, float], prices: Prices) -> str:
    lines = {**costs, "**all**": sum(costs.values()), "and with `CustomerManagedKey=true`": prices.key}
    head = ("USD a month", *(f"{fleet:,} account{'s' * (fleet > 1)}" for fleet in FLEETS))
    return table.table(head, ((name, *(f"{cost * fleet:,.2f}" for fleet in FLEETS)) for name, cost in lines.items()))


def _runs(found: Mapping[str, Any]) -> str:
    rows = [(name, *_columns(_run(warm))) for name, warm in found["runs"].items()]
    init = ("INIT, if cold", "0", "", f"{1000 * found['init_seconds']:.0f}", "")
    return table.table(("invocation", "calls", "CPU ms", "billed ms at 256 MB", "bytes of log"), [*rows, init])


def _columns(run: Run) -> tuple[str, ...]:
    return f"{run.calls:.0f}", f"{1000 * run.cpu:.1f}", f"{1000 * run.seconds:.0f}", f"{run.log:.0f}"


def _prices(prices: Prices) -> str:
    rows = (
        (SOURCES[name][0], _amount(price), f"<https://aws.amazon.com/{SOURCES[name][1]}/>")
        for name, price in asdict(prices).items()
    )
    return table.table(("what", "USD", "published at"), rows)


def _amount(price: float) -> str:
    """Without needless noughts, and never as a power of ten."""
    return f"{price:.10f}".rstrip("0") if price < 0.01 else f"{price:.2f}"
