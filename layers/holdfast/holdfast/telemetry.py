"""Logs and metrics: Powertools takes the service, which is the guardrail's id, from POWERTOOLS_SERVICE_NAME."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger()
metrics = Metrics(namespace="Holdfast")


def count(name: str, number: int = 1) -> None:
    metrics.add_metric(name=name[:1].upper() + name[1:], unit=MetricUnit.Count, value=number)


def delay(event_time: str) -> None:
    """How long the event was on its way: AWS promises no figure, so it is measured. Nothing for a look."""
    try:
        called = datetime.fromisoformat(event_time)
    except ValueError:
        return
    if called.tzinfo is not None:
        elapsed = (datetime.now(UTC) - called).total_seconds()
        metrics.add_metric(name="Delay", unit=MetricUnit.Seconds, value=max(elapsed, 0.0))


def flush() -> None:
    if metrics.metric_set:
        metrics.flush_metrics()


def unrecorded(record: Any) -> None:
    """The line that the UNRECORDED alarm watches for: the record as it is told, because DynamoDB did not take it."""
    logger.error("UNRECORDED", extra={"record": record})
