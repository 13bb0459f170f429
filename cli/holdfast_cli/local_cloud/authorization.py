"""What IAM judges a call by, where MiniStack doesn't know it.

- The resource: MiniStack takes `*` for the calls in `_RESOURCES`, so a policy that names the resource, as least
  privilege wants it, never allows them. The ARN of a rule on the default bus has no bus in it.
- The condition keys `events:source`, `aws:PrincipalIsAWSService`, `aws:ViaAWSService`; and `aws:PrincipalArn`, which is
  a session's role, not the session. Every call counts as come over TLS, as it would in AWS.

Without this the functions' roles and policies would have to be written for MiniStack.
"""

import json
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator  # type: ignore[import-not-found]
from ministack.services import iam  # type: ignore[import-not-found]

# The operation, the parameter that names its resource, and the resource's ARN.
_RESOURCES = {
    "AddTags": ("ResourceId", "{name}"),
    "GetParametersByPath": ("Path", "arn:aws:ssm:{region}:{account}:parameter{name}"),
    "ListTags": ("ResourceIdList", "{name}"),
    "ListTargetsByRule": ("Rule", "arn:aws:events:{region}:{account}:rule/{name}"),
    "ModifyVpcEndpoint": ("VpcEndpointId", "arn:aws:ec2:{region}:{account}:vpc-endpoint/{name}"),
}


def role_of(session_arn: str) -> Mapping[str, str]:
    """The role of a session, as IAM has it (`Arn`, `RoleId`): a session's own ARN has lost the role's path."""
    account, name = session_arn.split(":")[4], session_arn.split("/")[1]
    role: Mapping[str, str] | None = iam._roles.get(name)
    return role or {"Arn": f"arn:aws:iam::{account}:role/{name}", "RoleId": name}


def complete() -> None:
    """Put AWS's answers beside MiniStack's own."""
    resource_of, context_of = iam_actions.extract_resource_arn, iam_actions.request_tag_context
    value_of = iam_evaluator._resolve_condition_key

    def extract_resource_arn(service: str, method: str, path: str, *request: Any) -> str:
        found: str = resource_of(service, method, path, *request)
        return _named_resource(*request) if found == "*" else found.replace(":rule/default/", ":rule/")

    def request_tag_context(service: str, action: str, body: bytes, params: Mapping[str, Any]) -> dict[str, Any]:
        sources = {"events:source": _source(body)} if action == "events:PutEvents" else {}
        return {**context_of(service, action, body, params), **sources}

    def resolve_condition_key(key: str, context: Any) -> Any:
        known = _global_keys(context).get(key.lower())
        return value_of(key, context) if known is None else known

    iam_actions.extract_resource_arn, iam_actions.request_tag_context = extract_resource_arn, request_tag_context
    iam_evaluator._resolve_condition_key = resolve_condition_key


def _global_keys(context: Any) -> dict[str, str]:
    by_service = context.principal_type == "Service"
    session = ":assumed-role/" in context.principal_arn
    return {
        "aws:securetransport": "true",
        "aws:viaawsservice": "false",
        "aws:principalisawsservice": "true" if by_service else "false",
        "aws:principalarn": role_of(context.principal_arn)["Arn"] if session else context.principal_arn,
    }


def _named_resource(
    headers: Mapping[str, str], body: bytes, params: Mapping[str, Any], region: str, account: str
) -> str:
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    operation = target or _first(params.get("Action"))
    parameter, arn = _RESOURCES.get(operation, ("", "*"))
    name = _first((json.loads(body) if target else params).get(parameter))
    return arn.format(name=name, region=region, account=account) if name else "*"


def _source(body: bytes) -> str | list[str]:
    sources = sorted({entry.get("Source", "") for entry in json.loads(body)["Entries"]})
    return sources[0] if len(sources) == 1 else sources


def _first(value: Any) -> str:
    return str(value[0] if isinstance(value, list) and value else value or "")
