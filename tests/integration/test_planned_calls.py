"""Every call that the incidents lead to: botocore knows it, and the guardrail's role may make it. On moto."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import incidents
import pytest
from botocore import xform_name
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from holdfast import ApiCall, shape
from holdfast_cli import template
from support import ALL_MODELS, INCIDENTS, Incident, account, look, records

for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

CASES = [pytest.param(build, id=f"{g}-{name}") for g, builds in INCIDENTS.items() for name, build in builds.items()]

# Where an IAM action is not called like the operation: Service Authorization Reference, Amazon S3.
ACTIONS = {
    ("s3", "PutBucketEncryption"): "s3:PutEncryptionConfiguration",
    ("s3", "PutPublicAccessBlock"): "s3:PutBucketPublicAccessBlock",
    ("s3control", "PutPublicAccessBlock"): "s3:PutAccountPublicAccessBlock",
    ("s3", "PutBucketReplication"): "s3:PutReplicationConfiguration",
    ("s3", "DeleteBucketReplication"): "s3:PutReplicationConfiguration",
}


def led_to(build: Callable[[], Incident]) -> tuple[str, list[ApiCall], list[ApiCall]]:
    """The guardrail, and what it recorded of its calls and of their undo."""
    with account():
        built = build()
        if built.known:
            built.run(look(built.guardrail, built.target))
        built.spoil()
        built.run()
        calls, undo = (
            [shape.parse(ApiCall, call) for record in records() for call in record[kind]] for kind in ("calls", "undo")
        )
        return built.guardrail, calls, undo


def operation(call: ApiCall) -> str:
    """The API's own name of the operation. Raises KeyError if botocore doesn't know it."""
    names = {xform_name(name): name for name in model(call).operation_names}
    return names[call.operation]


def model(call: ApiCall) -> ServiceModel:
    return ServiceModel(ALL_MODELS.load_service_model(call.service, "service-2"), call.service)


def faults(call: ApiCall) -> str:
    """What botocore would not send. No Region and no credentials are needed to tell."""
    expected: Any = model(call).operation_model(operation(call)).input_shape
    report = ParamValidator().validate(dict(call.parameters), expected)
    return str(report.generate_report())


def action(call: ApiCall) -> str:
    return ACTIONS.get((call.service, operation(call)), f"{call.service}:{operation(call)}")


@pytest.mark.parametrize("build", CASES)
def test_planned_calls_are_valid_and_within_the_role(build: Callable[[], Incident]) -> None:
    guardrail, calls, undo = led_to(build)
    assert {call.operation: faults(call) for call in [*calls, *undo] if faults(call)} == {}
    allowed = {action for statement in template.section(guardrail).statements for action in statement.actions}
    assert {action(call) for call in calls} - allowed == set()


def test_the_checks_can_fail() -> None:
    call = ApiCall("s3", "put_bucket_policy", {"Bucket": "lake", "Policy": {"not": "text"}})
    assert "Invalid type for parameter Policy" in faults(call)
    with pytest.raises(KeyError):
        operation(ApiCall("s3", "put_bucket_polixy", {}))
