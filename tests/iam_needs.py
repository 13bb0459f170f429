"""What IAM must allow for an AWS call, by the Service Authorization Reference.

Most actions are called like their operation. `ACTIONS` has those that aren't, `RESOURCES` the ARNs that the calls of a
service are judged by, and `needs` what else a call takes because of its parameters.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast import Place
from roles import Need

Parameters = Mapping[str, Any]

ACTIONS = {
    ("s3", "ListBuckets"): "s3:ListAllMyBuckets",
    ("s3", "GetBucketEncryption"): "s3:GetEncryptionConfiguration",
    ("s3", "PutBucketEncryption"): "s3:PutEncryptionConfiguration",
    ("s3", "GetBucketReplication"): "s3:GetReplicationConfiguration",
    ("s3", "GetPublicAccessBlock"): "s3:GetBucketPublicAccessBlock",
    ("s3", "PutPublicAccessBlock"): "s3:PutBucketPublicAccessBlock",
    ("s3control", "GetPublicAccessBlock"): "s3:GetAccountPublicAccessBlock",
    ("s3control", "PutPublicAccessBlock"): "s3:PutAccountPublicAccessBlock",
}
PARTS = {"RouteTableId": "route-table", "SubnetId": "subnet", "SecurityGroupId": "security-group"}


@dataclass(frozen=True)
class Call:
    """A call of the API as botocore made it: the service's and the operation's names in its models."""

    service: str
    operation: str
    parameters: Parameters
    here: Place

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.here.partition}:{service}:{self.here.region}:{self.here.account}:{resource}"


def needs(call: Call) -> Iterator[Need]:
    """All that IAM is asked about."""
    match call.service:
        case "cloudtrail":
            yield from _cloudtrail(call)
        case "dynamodb":
            yield from _dynamodb(call)
        case "ec2":
            yield from _ec2(call)
        case "events":
            yield from _events(call)
        case "s3":
            yield from _s3(call)
        case _:
            found = RESOURCES.get(call.service)
            yield Need(action(call), found(call) if found else "*")


def action(call: Call) -> str:
    return ACTIONS.get((call.service, call.operation), f"{call.service}:{call.operation}")


def _key(call: Call) -> str:
    key = str(call.parameters.get("KeyId", ""))
    return key if key.startswith("arn:") or not key else call.arn("kms", f"key/{key}")


RESOURCES: dict[str, Callable[[Call], str]] = {
    "kms": lambda call: _key(call) or "*",
    "ssm": lambda call: call.arn("ssm", f"parameter{call.parameters.get('Path') or call.parameters['Name']}"),
    "sns": lambda call: str(call.parameters["TopicArn"]),
    "cloudformation": lambda call: str(call.parameters["StackName"]),
    # An account's ARN has its organisation's id in it, and the management account's.
    "organizations": lambda call: f"arn:aws:organizations::999999999999:account/o-exampleorg/{call.here.account}",
}


def _s3(call: Call) -> Iterator[Need]:
    bucket = str(call.parameters.get("Bucket", ""))
    if bucket.endswith("--x-s3"):
        express = action(call).replace("s3:", "s3express:")
        yield Need(express, call.arn("s3express", f"bucket/{bucket}"))
    else:
        yield Need(action(call), f"arn:{call.here.partition}:s3:::{bucket}" if bucket else "*")


def _dynamodb(call: Call) -> Iterator[Need]:
    """A transaction is judged by what is in it."""
    within = call.parameters.get("TransactItems")
    if within is not None:
        for item in within:
            for verb, parameters in item.items():
                yield from _dynamodb(Call(call.service, f"{verb}Item", parameters, call.here))
        return
    index = f"/index/{call.parameters['IndexName']}" if "IndexName" in call.parameters else ""
    yield Need(action(call), call.arn("dynamodb", f"table/{call.parameters['TableName']}{index}"))


def _events(call: Call) -> Iterator[Need]:
    if rule := call.parameters.get("Rule") or call.parameters.get("Name"):
        yield Need(action(call), call.arn("events", f"rule/{rule}"))
    for entry in call.parameters.get("Entries", ()):
        bus = call.arn("events", f"event-bus/{entry.get('EventBusName', 'default')}")
        yield Need(action(call), bus, {"events:source": entry["Source"]})


def _ec2(call: Call) -> Iterator[Need]:
    if call.operation == "DescribeVpcAttribute":
        yield Need(action(call), call.arn("ec2", f"vpc/{call.parameters['VpcId']}"))
        return
    if call.operation not in ("CreateVpcEndpoint", "ModifyVpcEndpoint"):
        yield Need(action(call))
        return
    given = call.parameters
    for name, value in given.items():
        kind = PARTS.get(name.removeprefix("Add").removeprefix("Remove").removesuffix("s"))
        yield from (Need(action(call), call.arn("ec2", f"{kind}/{id}")) for id in (value if kind else ()))
    yield Need(action(call), call.arn("ec2", f"vpc-endpoint/{given.get('VpcEndpointId', 'new')}"))
    if "VpcId" in given:
        yield Need(action(call), call.arn("ec2", f"vpc/{given['VpcId']}"))
    if "TagSpecifications" in given:
        yield Need("ec2:CreateTags", call.arn("ec2", "vpc-endpoint/new"), {"ec2:CreateAction": call.operation})
    if given.get("PrivateDnsEnabled"):
        yield Need("route53:AssociateVPCWithHostedZone")  # PrivateLink guide, private DNS names


def _cloudtrail(call: Call) -> Iterator[Need]:
    given = call.parameters
    named = given.get("TrailName") or given.get("Name") or next(iter(given.get("ResourceIdList", ())), "")
    trail = named if named.startswith("arn:") or not named else call.arn("cloudtrail", f"trail/{named}")
    yield Need(action(call), trail or "*")
    if given.get("TagsList"):
        yield Need("cloudtrail:AddTags", trail)
    if role := given.get("CloudWatchLogsRoleArn"):
        yield Need("iam:PassRole", role, {"iam:PassedToService": "cloudtrail.amazonaws.com"})
