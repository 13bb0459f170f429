"""A VPC and what is in it, as EC2 describes it.

Sources: EC2 API; VPC user guide, "Route tables".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.aws import Aws, unless

PARTS = {
    "rtb-": ("route_tables", "route_table_id"),
    "subnet-": ("subnets", "subnet_id"),
    "sg-": ("security_groups", "group_id"),
}
# By which EC2 says that there is no such thing (EC2 API, "Client error codes"); it spells some in two ways.
IDS = "VpcEndpointId VpcID VpcId RouteTableID RouteTableId SubnetID SubnetId Group GroupId".split()
NOT_FOUND = frozenset(f"Invalid{name}.NotFound" for name in IDS)


def described(kind: str, aws: Aws, **filters: list[str]) -> list[Any]:
    """What EC2 describes: `described("subnets", aws, vpc_id=["vpc-1"])`. Imitations of EC2 don't know every filter."""
    wanted = [{"Name": name.replace("_", "-"), "Values": sorted(values)} for name, values in filters.items()]
    pages: Any = aws.client("ec2").get_paginator(f"describe_{kind}").paginate(Filters=wanted)  # type: ignore[call-overload]
    found = [item for page in pages for item in page[camel(kind)]]
    return [item for item in found if all(item[camel(name)] in values for name, values in filters.items())]


def camel(name: str) -> str:
    """EC2's name of a field: `VpcId` for `vpc_id`."""
    return "".join(map(str.title, name.split("_")))


def existing(ids: Iterable[str], aws: Aws) -> dict[str, Any]:
    """Those that there are of some route tables, subnets and security groups, by their ids."""
    wanted = list(ids)
    there: dict[str, Any] = {}
    for prefix, (kind, by) in PARTS.items():
        if some := [id for id in wanted if id.startswith(prefix)]:
            there |= {item[camel(by)]: item for item in described(kind, aws, **{by: some})}
    return there


def ways_in(vpc: str, aws: Aws) -> dict[str, str]:
    """The subnets of a VPC and the route table that each uses: its own, or the main one."""
    tables = described("route_tables", aws, vpc_id=[vpc])
    used = [(association, table["RouteTableId"]) for table in tables for association in table.get("Associations", ())]
    own = {association["SubnetId"]: table for association, table in used if association.get("SubnetId")}
    main = next((table for association, table in used if association.get("Main")), "")
    return {subnet["SubnetId"]: own.get(subnet["SubnetId"], main) for subnet in described("subnets", aws, vpc_id=[vpc])}


def leads_out(table: Mapping[str, Any]) -> bool:
    """Whether a route table has a route that neither stays in its VPC nor leads to a gateway endpoint."""
    routes = ((route.get("GatewayId", ""), "DestinationPrefixListId" in route) for route in table.get("Routes", ()))
    return any(to != "local" and not (listed and to.startswith("vpce-")) for to, listed in routes)


def listed(table: Mapping[str, Any]) -> dict[str, str]:
    """The prefix lists to which a route table has routes, and what each leads to (`nat-…`, `vpce-…`)."""
    routes = (route for route in table.get("Routes", ()) if "DestinationPrefixListId" in route)
    return {route["DestinationPrefixListId"]: _target(route) for route in routes}


def _target(route: Mapping[str, Any]) -> str:
    """EC2 has a field for every kind of target: `NatGatewayId`, `TransitGatewayId`, …"""
    kinds = (name for name in route if name.endswith("Id") and not name.startswith("Destination"))
    return next((str(route[name]) for name in kinds if name != "InstanceOwnerId"), "something else")


def has_dns(vpc: str, aws: Aws) -> bool:
    """Whether EC2 gives private DNS names in a VPC (VPC user guide, "DNS attributes for your VPC")."""
    ask = aws.client("ec2").describe_vpc_attribute
    support = ask(VpcId=vpc, Attribute="enableDnsSupport")["EnableDnsSupport"]
    names = ask(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]
    return bool(support.get("Value") and names.get("Value"))


def tags(raw: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in raw.get("Tags") or ()}


def is_leaving(raw: Mapping[str, Any], aws: Aws) -> bool:
    """True while CloudFormation deletes the stack that something belongs to."""
    stack = tags(raw).get("aws:cloudformation:stack-id")
    answer = unless("ValidationError", aws.client("cloudformation").describe_stacks, StackName=stack) if stack else None
    return answer is not None and answer["Stacks"][0]["StackStatus"] == "DELETE_IN_PROGRESS"
