"""A guardrail of the smallest kind, on one parameter of SSM, and what tests of the one path do to it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError
from holdfast import ApiCall, Arn, Aws, Case, Event, Guardrail, NoSettings, Violation
from holdfast.world import World
from support import HERE, ME, Result, call, items, run

ID = "toy"
TARGET = HERE.arn("ssm", "parameter/flag")
PIPELINE = f"arn:aws:iam::{ME}:role/pipeline"
RESPONDER = f"arn:aws:iam::{ME}:role/responder"
EMERGENCY = f"arn:aws:iam::{ME}:role/emergency"


@dataclass(frozen=True)
class Flag:
    """A parameter that must not say `bad`, and must not change without a say of those who may."""

    value: str


def read(case: Case[Flag, NoSettings], aws: Aws) -> Flag:
    if case.target.name == "broken":
        raise ValueError("broken")
    return Flag(aws.client("ssm").get_parameter(Name=case.target.name)["Parameter"]["Value"])


def evaluate(flag: Flag, case: Case[Flag, NoSettings]) -> Violation | None:
    good = case.baseline.value if case.baseline else "good"
    if flag.value.startswith("wait") and case.waited < 60:
        return Violation("the flag has to wait", later=30)
    if flag.value == "hopeless":
        return Violation("the flag is hopeless", todo="Burn it.")
    if flag.value in ("bad", "stubborn") or (case.baseline and flag.value != good):
        return Violation(f"the flag is {flag.value}", fix=(put(good),), undo=(put(flag.value),))
    return None


def gone(case: Case[Flag, NoSettings]) -> Violation:
    if case.baseline is None:
        return Violation("the flag was taken away", todo="Nobody knows how it was.")
    return Violation("the flag was taken away", fix=(put(case.baseline.value),))


def put(value: str) -> ApiCall:
    return ApiCall("ssm", "put_parameter", {"Name": "flag", "Value": value, "Type": "String", "Overwrite": True})


def targets(event: Event) -> list[Arn]:
    return [event.arn("ssm", f"parameter/{event.text('name')}")]


TOY: Guardrail[Flag, NoSettings] = Guardrail(
    severity="high",
    services=("ssm",),
    covers=(r"arn:{partition}:ssm:{region}:{account}:parameter/\w+",),
    settings=NoSettings,
    targets=targets,
    read=read,
    evaluate=evaluate,
    gone=gone,
    inventory=lambda aws: [TARGET],
    baseline=Flag,
    missing=frozenset({"ParameterNotFound", "InvalidResourceId"}),
    defensive=frozenset({"LockParameter"}),
)
FORGETFUL = replace(TOY, baseline=None)
LABEL = {"ResourceType": "Parameter", "ResourceId": "flag", "Tags": [{"Key": "fixed", "Value": "yes"}]}
SHORT = Violation("the flag has no label", fix=(ApiCall("ssm", "add_tags_to_resource", LABEL),))


def set_flag(value: str) -> None:
    boto3.client("ssm").put_parameter(Name="flag", Value=value, Type="String", Overwrite=True)


def flag() -> str:
    return boto3.client("ssm").get_parameter(Name="flag")["Parameter"]["Value"]


def event(name: str = "PutParameter", **more: Any) -> dict[str, Any]:
    return call("ssm", name, {"name": "flag"}, **more)


def pages() -> dict[str, dict[str, Any]]:
    return {item["target"]: item for item in items() if item["guardrail"] == ID and "rev" in item}


def handle(raw: dict[str, Any] | None = None, **more: Any) -> Result:
    return run(ID, raw or event(), handler=more.pop("handler", TOY), **more)


class Died(BaseException):
    """The process is gone: no `except Exception` sees this."""


def dying(at: int, when: str) -> Callable[[World], object]:
    """A world whose process dies before or after its `at`-th call."""
    count = 0

    def die(**_: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Died

    return lambda world: world.aws.session.register(when, die)


def down(*services: str) -> Callable[[World], object]:
    def refuse(**happening: Any) -> None:
        if happening["model"].service_model.service_name in services:
            raise EndpointConnectionError(endpoint_url="https://down")

    return lambda world: world.aws.session.register("before-call", refuse)


def refusing(code: str, operation: str = "PutParameter", service: str = "ssm") -> Callable[[World], object]:
    """A world in which AWS answers one operation with an error."""

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "not now"}}, operation)

    return lambda world: world.aws.session.register(f"before-call.{service}.{operation}", refuse)


def while_it_tells(act: Callable[[], object]) -> Callable[[World], object]:
    """A world in which something happens when the run has looked for the last time."""
    done: list[object] = []

    def meanwhile(**_: Any) -> None:
        if not done:
            done.append(act())

    return lambda world: world.aws.session.register("before-call.sns.Publish", meanwhile)
