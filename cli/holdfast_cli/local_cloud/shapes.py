"""What CloudTrail writes for a request and its answer: `requestParameters` and `responseElements`.

Three hands wrote these shapes: S3's (`s3_shapes`), EC2's (`ec2_shapes`), and the one of all other services, here: the
API's members with a lower first letter.
"""

from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.parsers import create_parser

from . import ec2_shapes, s3_shapes
from .forms import nested, typed
from .wire import Exchange, Operation
from .xml_shapes import Json

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"


def request_parameters(exchange: Exchange, operation: Operation, region: str, account: str) -> Json:
    """The `requestParameters` of a record; None where CloudTrail writes null."""
    if operation.service == "s3":
        return s3_shapes.request(exchange, operation, region, account)
    if operation.service == "ec2":
        return ec2_shapes.request(exchange, operation.name)
    shape = operation.model.input_shape
    return _lowered(shape, _request(exchange, operation, shape), operation) or None if shape else None


def response_elements(exchange: Exchange, operation: Operation) -> Json:
    """The `responseElements` of a record; None where CloudTrail writes null: failures and all S3 bucket calls."""
    if exchange.failed or operation.service == "s3":
        return None
    if operation.service == "ec2":
        return ec2_shapes.response(exchange, operation.name)
    shape = operation.model.output_shape
    return _lowered(shape, _answer(exchange, operation), operation) or None if shape else None


def error(exchange: Exchange, operation: Operation) -> tuple[str, str]:
    """Code and message of a failed call, in the service's own words."""
    found = _answer(exchange, operation)["Error"]
    return found.get("Code") or "InternalFailure", found.get("Message") or ""


def _answer(exchange: Exchange, operation: Operation) -> dict[str, Any]:
    """The answer as a client of the service reads it."""
    raw = {"status_code": exchange.status, "headers": exchange.answer_headers, "body": exchange.answer}
    return _parsed(operation.protocol, raw, operation.model.output_shape)


def _parsed(protocol: str, raw: dict[str, Any], shape: Any) -> dict[str, Any]:
    members = create_parser(protocol).parse(raw, shape)
    return {name: value for name, value in members.items() if name != "ResponseMetadata"}


def _request(exchange: Exchange, operation: Operation, shape: StructureShape) -> dict[str, Any]:
    """The request's members in their types.

    botocore parses answers only, so the body is read as an answer in the shape of the input; what stands in the path
    or the query string is added.
    """
    if operation.protocol == "query":
        return dict(typed(shape, nested(exchange.fields)))
    raw = {"status_code": 200, "headers": exchange.headers, "body": exchange.body}
    members = _parsed(operation.protocol, raw, shape)
    elsewhere = {"uri": operation.labels, "querystring": exchange.fields}
    for name, member in shape.members.items():
        found = elsewhere.get(member.serialization.get("location", ""), {})
        wire = member.serialization.get("name", name)
        members |= {name: found[wire]} if wire in found else {}
    return members


def _lowered(shape: Shape, value: Any, operation: Operation) -> Any:
    """CloudTrail's form of a value: lower first letters (never of a map's keys), dates as text, no secrets."""
    if isinstance(shape, StructureShape):
        members = {name: member for name, member in shape.members.items() if _present(member, value.get(name))}
        shown = {_lower_first(name): _shown(member, value[name], operation) for name, member in members.items()}
        return {name: member for name, member in shown.items() if member is not None}
    if isinstance(shape, ListShape):
        return [_lowered(shape.member, each, operation) for each in value]
    if isinstance(shape, MapShape):
        return {key: _lowered(shape.value, each, operation) for key, each in value.items()}
    return value.strftime("%b %-d, %Y, %-I:%M:%S %p") if isinstance(value, datetime) else value


def _present(shape: Shape, value: Any) -> bool:
    return value is not None and shape.serialization.get("location") != "statusCode"


def _shown(shape: Shape, value: Any, operation: Operation) -> Any:
    """A member, or None to leave it out: the service models mark what is a secret."""
    if shape.metadata.get("sensitive") or shape.type_name == "blob":
        return HIDDEN if operation.service == "ssm" else None
    return _lowered(shape, value, operation)


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]
