"""Deliveries at once in processes of their own, against one account that is served to them."""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

from holdfast.visit import Delivery
from holdfast_cli import project
from support import FAR_FUTURE, Incident, world

ready: list[Barrier] = []


def deliver_at_once(incident: Incident, number: int, address: str) -> list[str]:
    """The outcomes, or what was raised, of each process."""
    context = multiprocessing.get_context("spawn")
    begin, given = context.Barrier(number), (incident.guardrail, incident.event, incident.settings, incident.shared)
    with ProcessPoolExecutor(number, context, _begin, (begin, address)) as pool:
        return list(pool.map(_deliver, [given] * number, range(number)))


def _begin(begin: Barrier, address: str) -> None:
    ready.append(begin)
    os.environ["AWS_ENDPOINT_URL"] = address


def _deliver(given: tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], number: int) -> str:
    guardrail, event, settings, shared = given
    here = world(guardrail, settings, **shared)
    ready[0].wait()
    try:
        ended = project.load(guardrail).handler.handle(event, here, Delivery(str(number), FAR_FUTURE))
        return str(ended[next(iter(ended))])
    except Exception as error:  # what a test should see of another process
        return repr(error)
