"""Endpoints that are lost or weakened, and subnets that are led around them."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import boto3
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.vpcs import VPCEndPoint
from support import HERE, ME, REGION, Incident, call, incident

ID = "vpc-endpoint"
CI = f"arn:aws:iam::{ME}:role/deploy"
SERVICE = f"com.amazonaws.{REGION}.s3"
XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"
STRICT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"}],
}
OPEN = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}
KEPT = ("VpcId", "ServiceName", "VpcEndpointType", "PolicyDocument", "RouteTableIds", "SubnetIds")

create_anew, modify_any = EC2Backend.create_vpc_endpoint, EC2Backend.modify_vpc_endpoint


def create_once(backend: EC2Backend, **given: Any) -> VPCEndPoint:
    """moto keeps a client token and takes no notice of it. EC2 API, "Ensuring idempotency": it makes one of the two."""
    token = given.get("client_token")
    twin = (made for made in backend.vpc_end_points.values() if token and made.client_token == token)
    if found := next(twin, None):
        return found
    refuse_beside_a_route(backend, given["service_name"], given.get("route_table_ids") or [])
    if given.get("private_dns_enabled") and not backend.vpcs[given["vpc_id"]].enable_dns_hostnames:
        raise EC2ClientError("InvalidParameter", "Enabling private DNS requires both enableDnsSupport and …")
    for other in backend.vpc_end_points.values():
        if (other.vpc_id, other.service_name, other.state) == (given["vpc_id"], given["service_name"], "available"):
            refuse_a_second(other, given)
    return create_anew(backend, **given)


def refuse_a_second(other: VPCEndPoint, given: dict[str, Any]) -> None:
    """moto makes any. PrivateLink guide, "Gateway endpoints": a route table has one for a service, a VPC one name."""
    if {*(other.route_table_ids or ())} & {*(given.get("route_table_ids") or ())}:
        raise EC2ClientError("RouteAlreadyExists", "the route table already has a route with the prefix list")
    both_named = other.private_dns_enabled and given.get("private_dns_enabled")
    if other.vpc_endpoint_type == given.get("endpoint_type") == "Interface" and both_named:
        raise EC2ClientError("InvalidParameter", "there is already a conflicting DNS domain in the VPC")


def refuse_beside_a_route(backend: EC2Backend, service: str, tables: list[str], own: str = "") -> None:
    """moto puts another beside it. VPC user guide, "Gateway endpoints": a table has one route to a prefix list."""
    lists = {each.id for each in backend.managed_prefix_lists.values() if each.prefix_list_name == service}
    routes = (route for id in tables for route in backend.route_tables[id].routes)
    if any(route.destination_prefix_list_id in lists and getattr(route.gateway, "id", "") != own for route in routes):
        raise EC2ClientError("RouteAlreadyExists", "the route table already has a route with the prefix list")


def modify_fitting(backend: EC2Backend, **how: Any) -> None:
    """moto makes any change. PrivateLink guide, "Interface endpoints": one subnet in a zone; it goes by what was."""
    endpoint: Any = backend.vpc_end_points[how["vpc_id"]]
    refuse_beside_a_route(backend, endpoint.service_name, how["add_route_tables"], endpoint.id)
    zones = [backend.get_subnet(id).availability_zone for id in (*(endpoint.subnet_ids or ()), *how["add_subnets"])]
    if how["add_subnets"] and len({*zones}) < len(zones):
        raise EC2ClientError("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone")
    modify_any(backend, **how)


def delete_once(backend: EC2Backend, vpce_ids: list[str] | None = None) -> None:
    """moto deletes a dead one's routes again, and fails. EC2 API, DeleteVpcEndpoints: it is `unsuccessful`."""
    delete_all(backend, [id for id in vpce_ids or [] if backend.vpc_end_points[id].state == "available"])


delete_all = EC2Backend.delete_vpc_endpoints
setattr(EC2Backend, "modify_vpc_endpoint", modify_fitting)  # noqa: B010 - mypy takes no other function for it
setattr(EC2Backend, "delete_vpc_endpoints", delete_once)  # noqa: B010 - mypy takes no other function for it
setattr(EC2Backend, "create_vpc_endpoint", create_once)  # noqa: B010 - mypy takes no other function for it


@cache
def ec2() -> Any:
    """One for all tests: the model of EC2 is large."""
    return boto3.client("ec2")


def vpc() -> dict[str, str]:
    """A VPC with one subnet, whose route table is `routed`; the table `aside` is nobody's."""
    made = ec2().create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    ec2().modify_vpc_attribute(VpcId=made, EnableDnsHostnames={"Value": True})
    subnet = subnet_of(made, "10.1.1.0/24")
    routed, aside = (ec2().create_route_table(VpcId=made)["RouteTable"]["RouteTableId"] for _ in range(2))
    association = ec2().associate_route_table(RouteTableId=routed, SubnetId=subnet)["AssociationId"]
    group = ec2().create_security_group(VpcId=made, GroupName="endpoints", Description="HTTPS")["GroupId"]
    of_vpc = [{"Name": "vpc-id", "Values": [made]}, {"Name": "group-name", "Values": ["default"]}]
    (default,) = ec2().describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    return {
        "vpc": made,
        "subnet": subnet,
        "routed": routed,
        "aside": aside,
        "association": association,
        "group": group,
        "default": default["GroupId"],
    }


def subnet_of(vpc: str, block: str, zone: str = "a") -> str:
    made = ec2().create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{REGION}{zone}")
    return str(made["Subnet"]["SubnetId"])


def routed_out(place: dict[str, str], table: str, service: str = "") -> str:
    """Leads a prefix list to an internet gateway: the customer's own, or that of a service. Returns the gateway."""
    if service:
        by_name = [{"Name": "prefix-list-name", "Values": [service]}]
        prefix = ec2().describe_prefix_lists(Filters=by_name)["PrefixLists"][0]["PrefixListId"]
    else:
        own = ec2().create_managed_prefix_list(PrefixListName="offices", MaxEntries=1, AddressFamily="IPv4")
        prefix = own["PrefixList"]["PrefixListId"]
    out = ec2().create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2().attach_internet_gateway(InternetGatewayId=out, VpcId=place["vpc"])
    ec2().create_route(RouteTableId=table, DestinationPrefixListId=prefix, GatewayId=out)
    return str(out)


def gateway(place: dict[str, str], policy: Any = STRICT) -> str:
    made = ec2().create_vpc_endpoint(
        VpcEndpointType="Gateway",
        VpcId=place["vpc"],
        ServiceName=SERVICE,
        RouteTableIds=[place["routed"]],
        PolicyDocument=json.dumps(policy),
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "Name", "Value": "lake"}]}],
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def interface(place: dict[str, str]) -> str:
    made = ec2().create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=place["vpc"],
        ServiceName=f"com.amazonaws.{REGION}.kms",
        SubnetIds=[place["subnet"]],
        SecurityGroupIds=[place["group"]],
        PrivateDnsEnabled=True,
        PolicyDocument=json.dumps(OPEN),
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def alive() -> list[dict[str, Any]]:
    return [found for found in ec2().describe_vpc_endpoints()["VpcEndpoints"] if found["State"] == "available"]


def shape(found: dict[str, Any]) -> dict[str, Any]:
    """What must be as before; the id may differ."""
    kept = {name: found.get(name) for name in KEPT} | {"Groups": [group["GroupId"] for group in found["Groups"]]}
    return kept | {"PolicyDocument": json.loads(found["PolicyDocument"])}


def as_now() -> Callable[[], bool]:
    """Asks later whether the endpoints are as they are now."""
    before = [shape(found) for found in alive()]
    return lambda: [shape(found) for found in alive()] == before


def made(id: str) -> dict[str, Any]:
    """CreateVpcEndpoint's answer."""
    return {"CreateVpcEndpointResponse": {"xmlns": XMLNS, "vpcEndpoint": {"vpcEndpointId": id, "state": "pending"}}}


def build(event: dict[str, Any], id: str, spoil: Callable[[], object], **more: Any) -> Incident:
    options: dict[str, Any] = {"known": True, "shared": {"baseline_principals": [CI]}} | more
    return Incident(
        guardrail=ID,
        event=event,
        target=HERE.arn("ec2", f"vpc-endpoint/{id}"),
        spoil=spoil,
        safe=as_now(),
        **options,
    )


def delete(*ids: str) -> Callable[[], object]:
    return lambda: ec2().delete_vpc_endpoints(VpcEndpointIds=list(ids))


def drop(id: str, table: str) -> None:
    """Moto leaves a deleted route table with the endpoint; EC2 knows it no more."""
    ec2_backends[ME][REGION].vpc_end_points[id].route_table_ids.remove(table)


def deletion(request: Any, unsuccessful: Any = "") -> dict[str, Any]:
    answer = {"DeleteVpcEndpointsResponse": {"xmlns": XMLNS, "unsuccessful": unsuccessful}}
    asked = {"DeleteVpcEndpointsRequest": {"VpcEndpointId": request}}
    return call("ec2", "DeleteVpcEndpoints", asked, responseElements=answer)


@incident(ID, "CreateVpcEndpoint")
def gone_before_its_creation_was_seen() -> Incident:
    id = gateway(vpc())
    event = call("ec2", "CreateVpcEndpoint", {"CreateVpcEndpointRequest": {}}, responseElements=made(id))
    return build(event, id, delete(id))


@incident(ID, "DeleteVpcEndpoints")
def deleted() -> Incident:
    id = gateway(vpc())
    return build(deletion({"content": id, "tag": 1}), id, delete(id), shared={})


@incident(ID, "DeleteVpcEndpoints--partial-failure")
def deleted_beside_one_that_never_was() -> Incident:
    id = gateway(vpc())
    error = {"code": "InvalidVpcEndpoint.NotFound", "message": "The VpcEndpoint Id 'vpce-0dead' does not exist"}
    event = deletion(
        [{"content": "vpce-0dead", "tag": 1}, {"content": id, "tag": 2}],
        {"item": {"resourceId": "vpce-0dead", "error": error}},
    )
    return build(event, id, delete(id))


@incident(ID, "DeleteVpcEndpoints--interface")
def interface_deleted() -> Incident:
    id = interface(vpc())
    return build(deletion({"content": id, "tag": 1}), id, delete(id), settings={"interface_endpoints": "enforce"})


@incident(ID, "DeleteVpcEndpoints--beside-another-route")
def deleted_where_another_prefix_list_is_routed() -> Incident:
    place = vpc()
    routed_out(place, place["routed"])
    id = gateway(place)
    return build(deletion({"content": id, "tag": 1}), id, delete(id))


@incident(ID, "DeleteVpcEndpoints--replaced-by-an-open-one")
def replaced_by_an_open_one() -> Incident:
    """A route table takes one gateway endpoint to a service: nothing fits in beside the open one."""
    place = vpc()
    id = gateway(place)

    def spoil() -> None:
        delete(id)()
        gateway(place, OPEN)

    return build(deletion({"content": id, "tag": 1}), id, spoil, outcome="escalated")


@incident(ID, "ModifyVpcEndpoint")
def opened() -> Incident:
    id = gateway(vpc())
    request = {"ModifyVpcEndpointRequest": {"VpcEndpointId": id, "PolicyDocument": json.dumps(OPEN)}}
    event = call("ec2", "ModifyVpcEndpoint", request)
    return build(event, id, lambda: ec2().modify_vpc_endpoint(VpcEndpointId=id, PolicyDocument=json.dumps(OPEN)))


@incident(ID, "ModifyVpcEndpoint--routes")
def unrouted() -> Incident:
    place = vpc()
    id = gateway(place)
    request = {"VpcEndpointId": id, "RemoveRouteTableId": {"content": place["routed"], "tag": 1}}
    event = call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": request})
    return build(event, id, lambda: ec2().modify_vpc_endpoint(VpcEndpointId=id, RemoveRouteTableIds=[place["routed"]]))


@incident(ID, "ModifyVpcEndpoint--groups")
def regrouped() -> Incident:
    place = vpc()
    id = interface(place)
    wide = ec2().create_security_group(VpcId=place["vpc"], GroupName="wide", Description="All")["GroupId"]
    request = {
        "VpcEndpointId": id,
        "AddSecurityGroupId": {"content": wide, "tag": 1},
        "RemoveSecurityGroupId": {"content": place["group"], "tag": 1},
    }
    event = call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": request})

    def spoil() -> None:
        ec2().modify_vpc_endpoint(VpcEndpointId=id, AddSecurityGroupIds=[wide], RemoveSecurityGroupIds=[place["group"]])

    return build(event, id, spoil, settings={"interface_endpoints": "enforce"})


@incident(ID, "ModifyVpcEndpoint--same-zone")
def moved_within_a_zone_and_opened() -> Incident:
    """EC2 refuses the own subnet beside the other, and with it all else that the call was to mend."""
    place = vpc()
    id = interface(place)
    other = subnet_of(place["vpc"], "10.1.9.0/24")
    wide = ec2().create_security_group(VpcId=place["vpc"], GroupName="wide", Description="All")["GroupId"]
    event = call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": id}})

    def spoil() -> None:
        ec2().modify_vpc_endpoint(VpcEndpointId=id, RemoveSubnetIds=[place["subnet"]])
        policy = json.dumps(OPEN | {"Version": "2012-10-17"})
        ec2().modify_vpc_endpoint(
            VpcEndpointId=id, AddSubnetIds=[other], AddSecurityGroupIds=[wide], PolicyDocument=policy
        )

    return build(event, id, spoil, settings={"interface_endpoints": "enforce"})


def reroute(place: dict[str, str]) -> None:
    ec2().replace_route_table_association(AssociationId=place["association"], RouteTableId=place["aside"])


def reaches(id: str, table: str) -> Callable[[], bool]:
    def check() -> bool:
        (found,) = ec2().describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"]
        return table in found["RouteTableIds"] or table not in uses()

    return check


def uses() -> set[str]:
    """The route tables that subnets use."""
    tables = ec2().describe_route_tables(Filters=[{"Name": "association.main", "Values": ["false"]}])["RouteTables"]
    return {table["RouteTableId"] for table in tables if table["Associations"]}


@incident(ID, "ReplaceRouteTableAssociation")
def led_around() -> Incident:
    place = vpc()
    id = gateway(place)
    request = {"associationId": place["association"], "routeTableId": place["aside"]}
    event = call("ec2", "ReplaceRouteTableAssociation", request)
    led = build(event, id, lambda: reroute(place))
    return replace(led, safe=reaches(id, place["aside"]))


@incident(ID, "DisassociateRouteTable")
def left_to_the_main_table() -> Incident:
    place = vpc()
    id = gateway(place)
    tables = ec2().describe_route_tables(Filters=[{"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    (main,) = (table["RouteTableId"] for table in tables if table["VpcId"] == place["vpc"])
    event = call("ec2", "DisassociateRouteTable", {"associationId": place["association"]})
    led = build(event, id, lambda: ec2().disassociate_route_table(AssociationId=place["association"]))
    return replace(led, safe=lambda: main in ec2().describe_vpc_endpoints()["VpcEndpoints"][0]["RouteTableIds"])


@incident(ID, "AssociateRouteTable")
def led_around_in_two_steps() -> Incident:
    place = vpc()
    id = gateway(place)

    def spoil() -> None:
        ec2().disassociate_route_table(AssociationId=place["association"])
        ec2().associate_route_table(RouteTableId=place["aside"], SubnetId=place["subnet"])

    request = {"routeTableId": place["aside"], "subnetId": place["subnet"]}
    led = build(call("ec2", "AssociateRouteTable", request), id, spoil)
    return replace(led, safe=reaches(id, place["aside"]))


@incident(ID, "DeleteRouteTable")
def led_around_and_table_deleted() -> Incident:
    """EC2 deletes no route table that a subnet uses: the subnet was moved before."""
    place = vpc()
    id = gateway(place)

    def spoil() -> None:
        reroute(place)
        ec2().delete_route_table(RouteTableId=place["routed"])
        drop(id, place["routed"])

    led = build(call("ec2", "DeleteRouteTable", {"routeTableId": place["routed"]}), id, spoil)
    return replace(led, safe=reaches(id, place["aside"]))
