"""What Holdfast writes comes back as events, to every guardrail whose rule in the template takes them.

With all guardrails at work in one account, and so for every ordered pair, there is a fixed point after one hop: what
the first one wrote may lead another to a fix, but what comes of that leads nobody to a write.
"""

import time
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from holdfast_cli import events, rules
from holdfast_cli.local_cloud.records import Caller, record
from holdfast_cli.local_cloud.wire import Exchange, changing_call, scope
from support import HERE, ME, Incident

from faults import harness
from faults.harness import Call, Figure, Scene, begun, deliver

BUILDERS = harness.incidents()
CALLER = Caller(ME, f"arn:aws:sts::{ME}:assumed-role/guardrail/run", "AROA:run", "AKIAX", HERE.role, "AROA", 0.0)
# As an account has them that uses everything.
SETTINGS: dict[str, dict[str, Any]] = {
    "s3-public-access-block": {"account_level": True},
    "s3-vpc-only-policy": {"buckets": ["*"], "vpc_ids": ["vpc-0a1b2c3d4e5f60718"]},
    "vpc-endpoint": {"interface_endpoints": "enforce"},
}


def echo(call: Call) -> dict[str, Any]:
    """The event that CloudTrail writes of a call."""
    exchange = crossed(call)
    signed = scope(exchange)
    assert signed
    operation = changing_call(exchange, signed.service)
    assert operation, call
    return events.envelope(record(exchange, operation, signed, CALLER))


def crossed(call: Call) -> Exchange:
    request = call.request
    assert isinstance(request, AWSPreparedRequest)
    address, _, query = str(request.url).partition("?")
    host, _, path = address.removeprefix("https://").partition("/")
    bucket = host.partition(".s3.")[0] if ".s3." in host else ""
    headers = {k.lower(): v.decode() if isinstance(v, bytes) else str(v) for k, v in request.headers.items()}
    return Exchange(
        method=str(request.method),
        path=f"/{bucket}/{path}".replace("//", "/") if bucket else f"/{path}",
        query=query,
        headers=headers,
        body=request.body if isinstance(request.body, bytes) else str(request.body or "").encode(),
        status=200,
        answer_headers={},
        answer=call.answer,
    )


def hop(scene: Scene, writes: list[Call], figure: Figure) -> list[Call]:
    """All guardrails that hear of these writes; and what they write themselves."""
    further: list[Call] = []
    for event in map(echo, writes):
        for guardrail in rules.starts(event):
            own = scene.incident if guardrail == scene.incident.guardrail else None
            settings = own.settings if own else SETTINGS.get(guardrail, {})
            other = Incident(guardrail, event, "", lambda: None, lambda: True, settings, scene.incident.shared)
            ended = deliver(other, id=f"echo-{time.time()}")
            assert not ended.failed, (guardrail, event["detail"]["eventName"], ended.error)
            figure("echoes")
            further += ended.line.changes
    return further


@pytest.mark.parametrize("name", BUILDERS)
def test_own_writes_lead_to_a_fixed_point_after_one_hop(name: str, figure: Figure) -> None:
    with begun(BUILDERS[name]) as scene:
        scene.incident.spoil()
        first = scene.deliver().line.changes
        second = hop(scene, first, figure)
        assert hop(scene, second, figure) == []
        assert scene.incident.safe() == (scene.incident.outcome == "remediated")
