"""Endpoints: what is a violation, what is done about it, and when nothing is."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.session
import pytest
import time_machine
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from botocore.validate import validate_parameters
from holdfast import ApiCall, Arn, BadEvent, Case, Event, Misshapen, SharedSettings, Violation
from holdfast.aws import Aws
from holdfast.endpoint import has_name, parsed
from holdfast.guardrail import Unfinished
from holdfast.network import camel, leads_out
from holdfast.shape import parse
from holdfast.world import World
from holdfast_cli import project
from incidents import vpc_endpoint as incidents
from moto.ec2.models import ec2_backends
from support import ALL_MODELS, HERE, MALLORY, ME, REGION, account, call, heard, look, records, run, still_open, sweep

ID = "vpc-endpoint"
guardrail = project.load(ID)
Endpoint, Settings, Vpc = guardrail.Endpoint, guardrail.Settings, guardrail.Vpc

CI = incidents.CI
S3, KMS = (f"com.amazonaws.{REGION}.{name}" for name in ("s3", "kms"))
TARGET = HERE.arn("ec2", "vpc-endpoint/vpce-0aa")
STRICT, OPEN = json.dumps(incidents.STRICT), json.dumps(incidents.OPEN)
NOW = datetime(2040, 1, 1, tzinfo=UTC)

GATEWAY = Endpoint(
    arn=str(TARGET),
    vpc="vpc-1",
    service=S3,
    policy=STRICT,
    ip_type="ipv4",
    dns={"DnsRecordIpType": "ipv4"},
    region=REGION,
    tables=("rtb-1", "rtb-2"),
    tags={"Name": "lake", "aws:cloudformation:stack-name": "network"},
    routed=("subnet-1",),
)
INTERFACE = Endpoint(
    arn=str(TARGET),
    vpc="vpc-1",
    service=KMS,
    type="Interface",
    policy=OPEN,
    private_dns=True,
    ip_type="ipv4",
    dns={"DnsRecordIpType": "ipv4", "PrivateDnsOnlyForInboundResolverEndpoint": False},
    region=REGION,
    subnets=("subnet-1", "subnet-2"),
    groups=("sg-1", "sg-2"),
)
INBOUND = {"DnsRecordIpType": "ipv4", "PrivateDnsOnlyForInboundResolverEndpoint": True}
ENFORCED: dict[str, Any] = {"interface_endpoints": "enforce"}


def case(before: Any = None, *, waited: int = 0, principals: tuple[str, ...] = (CI,), **settings: Any) -> Any:
    shared = SharedSettings(baseline_principals=principals)
    return Case(TARGET, parse(Settings, settings), shared, before, HERE, waited=waited)


def decide(state: Any, before: Any = None, **more: Any) -> Violation:
    found: Violation | None = guardrail.evaluate(state, case(before, **more))
    assert found
    return found


def lost(endpoint: Any = GATEWAY, loss: str = "deleted", **more: Any) -> Any:
    return replace(endpoint, loss=loss, **more)


def modify(*calls: dict[str, Any], **parameters: Any) -> tuple[ApiCall, ...]:
    """One call, or several."""
    given = ({"VpcEndpointId": "vpce-0aa", **each} for each in calls or [parameters])
    return tuple(ApiCall("ec2", "modify_vpc_endpoint", each) for each in given)


def created(violation: Violation) -> dict[str, Any]:
    """The parameters of the one call, without the token and the tags."""
    (made,) = violation.fix
    assert (made.service, made.operation) == ("ec2", "create_vpc_endpoint")
    return {name: value for name, value in made.parameters.items() if name not in ("ClientToken", "TagSpecifications")}


def tags(violation: Violation) -> dict[str, str]:
    (specification,) = violation.fix[0].parameters["TagSpecifications"]
    assert specification["ResourceType"] == "vpc-endpoint"
    return {tag["Key"]: tag["Value"] for tag in specification["Tags"]}


def token(violation: Violation) -> str:
    return str(violation.fix[0].parameters["ClientToken"])


# targets


def found_at(event: dict[str, Any]) -> list[str]:
    return [Arn(target).resource for target in guardrail.targets(Event.parse(event, HERE))]


def deleted(request: Any, unsuccessful: Any = "") -> dict[str, Any]:
    return incidents.deletion(request, unsuccessful)


@pytest.mark.parametrize(
    "odd",
    ["x", {"item": "x"}, {"item": {"resourceId": ["vpce-1"], "error": "x"}}, {"items": [{"resourceId": {"a": 1}}]}],
)
def test_oddly_written_failures_keep_nothing_from_being_looked_at(odd: Any) -> None:
    event = Event.parse(deleted({"content": "vpce-1", "tag": 1}, odd), HERE)
    assert [arn.name for arn in guardrail.targets(event)] == ["vpce-1"]


def failure(id: str, code: str) -> dict[str, Any]:
    return {"resourceId": id, "error": {"code": code, "message": "…"}}


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        pytest.param(deleted({"content": "vpce-1", "tag": 1}), ["vpce-1"], id="one"),
        pytest.param(
            deleted([{"content": "vpce-1", "tag": 1}, {"content": "vpce-2", "tag": 2}]), ["vpce-1", "vpce-2"], id="two"
        ),
        pytest.param(deleted("vpce-1"), ["vpce-1"], id="bare"),
        pytest.param(deleted(["vpce-1", "vpce-2"]), ["vpce-1", "vpce-2"], id="bare list"),
        pytest.param(
            deleted(["vpce-1", "vpce-2"], {"item": failure("vpce-1", "InvalidVpcEndpoint.NotFound")}),
            ["vpce-2"],
            id="one never was",
        ),
        pytest.param(
            deleted(
                ["vpce-1", "vpce-2"], {"item": [failure(f"vpce-{n}", "InvalidVpcEndpoint.NotFound") for n in "12"]}
            ),
            [],
            id="none ever was",
        ),
        pytest.param(
            deleted("vpce-1", {"item": failure("vpce-1", "InvalidParameter")}), ["vpce-1"], id="failed, so it is there"
        ),
        pytest.param(
            call("ec2", "DeleteVpcEndpoints", {"vpcEndpointIdSet": {"items": [{"vpcEndpointId": "vpce-1"}]}}),
            ["vpce-1"],
            id="as other EC2 calls are written",
        ),
        pytest.param(
            call("ec2", "DeleteVpcEndpoints", {"deleteVpcEndpointsRequest": {"vpcEndpointId": ["vpce-1", "vpce-2"]}}),
            ["vpce-1", "vpce-2"],
            id="in other letters",
        ),
        pytest.param(
            call("ec2", "DeleteVpcEndpoints", {"DeleteVpcEndpointsRequest": {"omitted": True}, "ids": "vpce-1"}),
            ["vpce-1"],
            id="in part omitted",
        ),
        pytest.param(deleted(["vpce-1", "../../x y", None, 7]), ["vpce-1"], id="rubbish beside it"),
        pytest.param(
            call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": "vpce-1"}}),
            ["vpce-1"],
            id="modified",
        ),
        pytest.param(
            call("ec2", "CreateVpcEndpoint", None, responseElements=incidents.made("vpce-1")), ["vpce-1"], id="created"
        ),
        pytest.param(call("ec2", "ModifyVpcEndpoint", {"vpcEndpointId": "vpce-1"}), ["vpce-1"], id="modified, bare"),
        pytest.param(
            call("ec2", "ModifyVpcEndpoint", {"modifyVpcEndpointRequest": {"vpcEndpointId": "vpce-1"}}),
            ["vpce-1"],
            id="modified, in other letters",
        ),
        pytest.param(
            call("ec2", "CreateVpcEndpoint", {}, responseElements={"vpcEndpoint": {"vpcEndpointId": "vpce-1"}}),
            ["vpce-1"],
            id="created, bare",
        ),
    ],
)
def test_a_call_leads_to_the_endpoints_that_it_named(event: dict[str, Any], ids: list[str]) -> None:
    assert found_at(event) == [f"vpc-endpoint/{id}" for id in ids]


@pytest.mark.parametrize("name", ["DeleteRouteTable", "ReplaceRouteTableAssociation"])
@pytest.mark.parametrize("id", ["rtb-1", ["rtb-1"]])
def test_a_route_table_stands_for_the_endpoints_that_it_may_serve(name: str, id: Any) -> None:
    assert found_at(call("ec2", name, {"routeTableId": id, "associationId": "rtbassoc-1"})) == ["route-table/rtb-1"]


@pytest.mark.parametrize(
    "event",
    [
        call("ec2", "DeleteVpcEndpoints", None),
        call("ec2", "DeleteVpcEndpoints", {}),
        call("ec2", "DeleteVpcEndpoints", {"DeleteVpcEndpointsRequest": None}),
        deleted(""),
        deleted({"content": "i-1", "tag": 1}),
        call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"omitted": True}}),
        call("ec2", "CreateVpcEndpoint", {"CreateVpcEndpointRequest": {"VpcId": "vpc-1"}}),
        call("ec2", "CreateVpcEndpoint", {"tagSpecification": [{"tags": [{"key": "like", "value": "vpce-1"}]}]}),
        call("ec2", "CreateVpcEndpoint", {}, responseElements={"omitted": True}),
        call("ec2", "DeleteRouteTable", None),
        call("ec2", "ReplaceRouteTableAssociation", {"associationId": "rtbassoc-1"}),
    ],
)
def test_a_call_that_names_nothing_is_not_taken_for_harmless(event: dict[str, Any]) -> None:
    with pytest.raises(BadEvent):
        found_at(event)


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ("CreateVpcEndpoint", 1),
        ("CreateVpcEndpoint__interface", 1),
        ("DeleteVpcEndpoints", 1),
        ("DeleteVpcEndpoints__several", 2),
        ("DeleteVpcEndpoints__partial-failure", 1),
        ("DeleteVpcEndpoints__none-there", 0),
        ("DeleteVpcEndpoints__cloudformation", 1),
        ("DeleteVpcEndpoints__console-2018", 1),
        ("ModifyVpcEndpoint", 1),
        ("ModifyVpcEndpoint__routes", 1),
        ("ModifyVpcEndpoint__groups", 1),
        ("DeleteRouteTable", 1),
        ("ReplaceRouteTableAssociation", 1),
    ],
)
def test_every_sample_event_leads_to_all_that_can_be_there(sample: str, found: int) -> None:
    raw = json.loads((project.EVENTS / ID / f"{sample}.json").read_text())
    assert len(found_at(raw)) == found


# a lost endpoint


def test_a_gateway_endpoint_is_made_again_as_it_was() -> None:
    violation = decide(lost(), GATEWAY)
    assert created(violation) == {
        "VpcId": "vpc-1",
        "ServiceName": S3,
        "VpcEndpointType": "Gateway",
        "PolicyDocument": STRICT,
        "RouteTableIds": ["rtb-1", "rtb-2"],
    }
    assert tags(violation) == {"Name": "lake", "holdfast:replaces": "vpce-0aa"}
    assert (violation.what, violation.audit_only) == (f"the endpoint to {S3} in vpc-1 is gone", "")


def test_an_interface_endpoint_is_made_again_as_it_was() -> None:
    assert created(decide(lost(INTERFACE), INTERFACE, **ENFORCED)) == {
        "VpcId": "vpc-1",
        "ServiceName": KMS,
        "VpcEndpointType": "Interface",
        "PolicyDocument": OPEN,
        "SubnetIds": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1", "sg-2"],
        "PrivateDnsEnabled": True,
        "IpAddressType": "ipv4",
        "DnsOptions": {"DnsRecordIpType": "ipv4", "PrivateDnsOnlyForInboundResolverEndpoint": False},
    }


@pytest.mark.parametrize(
    ("endpoint", "given"),
    [
        pytest.param(replace(GATEWAY, policy=""), {"PolicyDocument": None}, id="policy not known"),
        pytest.param(replace(GATEWAY, ip_type="dualstack"), {"IpAddressType": "dualstack"}, id="gateway for IPv6 too"),
        pytest.param(replace(GATEWAY, region="eu-central-1"), {"ServiceRegion": "eu-central-1"}, id="other Region"),
        pytest.param(replace(INTERFACE, private_dns=False), {"PrivateDnsEnabled": False}, id="no private DNS"),
        pytest.param(
            replace(INTERFACE, type="GatewayLoadBalancer", groups=(), policy="", private_dns=False),
            {"PrivateDnsEnabled": None, "PolicyDocument": None, "DnsOptions": None, "SecurityGroupIds": None},
            id="gateway load balancer",
        ),
    ],
)
def test_only_what_goes_with_the_endpoint_is_given(endpoint: Any, given: dict[str, Any]) -> None:
    parameters = created(decide(lost(endpoint), endpoint, **ENFORCED))
    assert {name: parameters.get(name) for name in given} == given


def test_a_full_set_of_tags_leaves_room_for_ours() -> None:
    many = replace(GATEWAY, tags={f"t{n}": "x" for n in range(50)} | {"holdfast:replaces": "vpce-0older"})
    given = tags(decide(lost(many), many))
    assert (len(given), given["holdfast:replaces"]) == (50, "vpce-0aa")


def test_the_token_is_the_same_for_the_same_loss_and_another_for_another() -> None:
    first, later = (token(decide(lost(named_by=buckets), GATEWAY)) for buckets in ((), ("lake",)))
    assert first == later
    others = (replace(GATEWAY, policy=OPEN), replace(GATEWAY, arn=f"{TARGET}b"), replace(GATEWAY, tables=("rtb-1",)))
    assert len({first, *(token(decide(lost(other), other)) for other in others)}) == 4
    assert len(first) <= 64


def fixes() -> Iterator[ApiCall]:
    yield from decide(lost(), GATEWAY).fix
    yield from decide(lost(INTERFACE), INTERFACE, **ENFORCED).fix
    weakened = replace(INTERFACE, policy=STRICT, private_dns=False, subnets=("subnet-1",), groups=("sg-1", "sg-9"))
    for before, now in ((INTERFACE, weakened), (GATEWAY, replace(GATEWAY, tables=("rtb-1",)))):
        violation = decide(now, before, **ENFORCED)
        yield from violation.fix + violation.undo
    yield from decide(Vpc("vpc-1", {S3: ("rtb-1",)})).fix


@pytest.mark.parametrize("fix", [pytest.param(fix, id=f"{n}-{fix.operation}") for n, fix in enumerate(fixes())])
def test_every_call_is_one_that_ec2_knows(fix: ApiCall) -> None:
    session = botocore.session.get_session()
    session.register_component("data_loader", ALL_MODELS)
    operation = session.get_service_model(fix.service).operation_model(camel(fix.operation))
    assert operation.input_shape
    validate_parameters(fix.parameters, operation.input_shape)
    assert json.loads(json.dumps(fix.parameters)) == fix.parameters


@pytest.mark.parametrize(
    ("state", "waited", "later"),
    [
        pytest.param(lost(), 0, 0, id="all else stands"),
        pytest.param(lost(missing=("rtb-2",)), 0, 900, id="a route table is gone too"),
        pytest.param(lost(missing=("rtb-2",)), 899, 1, id="nearly waited long enough"),
        pytest.param(lost(missing=("rtb-2",)), 900, 0, id="waited long enough"),
        pytest.param(lost(loss="leaving"), 0, 900, id="the stack is being deleted"),
        pytest.param(lost(loss="leaving"), 900, 0, id="the stack is still being deleted"),
        pytest.param(lost(INTERFACE, missing=("subnet-1",)), 0, 900, id="a subnet is gone too"),
        pytest.param(lost(INTERFACE, "dying"), 0, 60, id="the private DNS name is still held"),
        pytest.param(lost(INTERFACE, "dying"), 3599, 60, id="and still"),
        pytest.param(lost(INTERFACE, "dying"), 3600, 0, id="but not for ever"),
    ],
)
def test_it_waits_while_the_vpc_seems_to_go_or_the_name_is_held(state: Any, waited: int, later: int) -> None:
    violation = decide(state, waited=waited, **ENFORCED)
    assert violation.later == later
    assert bool(violation.fix) == (later == 0 and state.loss != "leaving")
    assert violation.todo


def test_grace_seconds_says_for_how_long() -> None:
    state = lost(missing=("rtb-2",))
    assert [decide(state, grace_seconds=seconds).later for seconds in (0, 60)] == [0, 60]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        pytest.param(lost(loss="leaving"), "is still being deleted", id="stack still being deleted"),
        pytest.param(lost(missing=("rtb-1", "rtb-2")), "rtb-1 is gone, rtb-2 is gone", id="no route table is left"),
        pytest.param(
            lost(taken={"rtb-1": "vpce-0bb", "rtb-2": "vpce-0bb"}), "vpce-0bb has rtb-1", id="all route tables taken"
        ),
        pytest.param(lost(INTERFACE, missing=("subnet-2",)), "subnet-2 is gone", id="a subnet is gone"),
        pytest.param(lost(INTERFACE, missing=("sg-1", "sg-2")), "sg-1 is gone, sg-2 is gone", id="no group is left"),
        pytest.param(
            lost(INTERFACE, taken={"the private DNS name": "vpce-0bb"}),
            "vpce-0bb has the private DNS name",
            id="name taken",
        ),
        pytest.param(lost(replace(INTERFACE, type="Resource")), "type Resource", id="resource endpoint"),
        pytest.param(lost(replace(INTERFACE, type="ServiceNetwork")), "type ServiceNetwork", id="service network"),
    ],
)
def test_what_can_not_be_made_again_is_handed_to_a_person(state: Any, says: str) -> None:
    violation = decide(state, waited=900, **ENFORCED)
    assert (violation.fix, violation.later) == ((), 0)
    assert says in violation.todo


def test_what_is_left_of_its_parts_is_used_and_the_rest_named() -> None:
    violation = decide(lost(missing=("rtb-2",)), waited=900)
    assert created(violation)["RouteTableIds"] == ["rtb-1"]
    assert "rtb-2 is gone" in violation.todo
    violation = decide(lost(taken={"rtb-1": "vpce-0bb"}))
    assert created(violation)["RouteTableIds"] == ["rtb-2"]
    assert "vpce-0bb has rtb-1" in violation.todo
    violation = decide(lost(INTERFACE, missing=("sg-2",)), waited=900, **ENFORCED)
    assert created(violation)["SecurityGroupIds"] == ["sg-1"]


def test_the_message_names_the_bucket_policies_that_name_the_old_endpoint() -> None:
    todo = decide(lost(named_by=("lake", "raw"))).todo
    assert "what names vpce-0aa must name that one" in todo
    assert "lake, raw" in todo


@pytest.mark.parametrize(
    ("state", "before"),
    [
        pytest.param(lost(loss="homeless"), GATEWAY, id="its VPC is gone"),
        pytest.param(lost(loss="retired"), lost(loss="retired"), id="who may do so has deleted it"),
        pytest.param(lost(), lost(loss="retired"), id="and others come by later"),
        pytest.param(lost(replace(GATEWAY, managed=True), "retired"), GATEWAY, id="AWS deletes what AWS manages"),
        pytest.param(replace(GATEWAY, managed=True, policy=OPEN), GATEWAY, id="AWS changes what AWS manages"),
        pytest.param(GATEWAY, None, id="first seen"),
    ],
)
def test_nothing_is_wrong(state: Any, before: Any) -> None:
    assert guardrail.evaluate(state, case(before)) is None


@pytest.mark.parametrize("type", ["Interface", "GatewayLoadBalancer", "Resource"])
def test_other_than_gateway_endpoints_are_audited_unless_told(type: str) -> None:
    before = replace(INTERFACE, type=type)
    assert decide(replace(before, private_dns=False), before).audit_only == "interface_endpoints is audit"
    assert not decide(replace(before, private_dns=False), before, **ENFORCED).audit_only


def test_an_audited_loss_shows_the_fix_and_waits_for_nothing() -> None:
    violation = decide(lost(INTERFACE, "dying"))
    assert (violation.later, violation.audit_only) == (0, "interface_endpoints is audit")
    assert created(violation)["PrivateDnsEnabled"] is True


# a changed endpoint


@pytest.mark.parametrize(
    ("before", "now", "fix", "undo", "what"),
    [
        pytest.param(
            GATEWAY,
            replace(GATEWAY, policy=OPEN),
            {"PolicyDocument": STRICT},
            {"PolicyDocument": OPEN},
            "another policy",
            id="opened",
        ),
        pytest.param(
            replace(GATEWAY, policy=OPEN),
            GATEWAY,
            {"PolicyDocument": OPEN},
            {"PolicyDocument": STRICT},
            "another policy",
            id="closed",
        ),
        pytest.param(
            GATEWAY,
            replace(GATEWAY, tables=()),
            {"AddRouteTableIds": ["rtb-1", "rtb-2"]},
            {"RemoveRouteTableIds": ["rtb-1", "rtb-2"]},
            "without rtb-1, rtb-2",
            id="without routes",
        ),
        pytest.param(
            GATEWAY,
            replace(GATEWAY, strays={"subnet-1": "rtb-9"}),
            {"AddRouteTableIds": ["rtb-9"]},
            {"RemoveRouteTableIds": ["rtb-9"]},
            "without rtb-9",
            id="a subnet led around it",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, subnets=("subnet-2",)),
            {"AddSubnetIds": ["subnet-1"]},
            {"RemoveSubnetIds": ["subnet-1"]},
            "without subnet-1",
            id="without a subnet",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, groups=("sg-2", "sg-9")),
            {"AddSecurityGroupIds": ["sg-1"], "RemoveSecurityGroupIds": ["sg-9"]},
            {"RemoveSecurityGroupIds": ["sg-1"], "AddSecurityGroupIds": ["sg-9"]},
            "without sg-1; with sg-9",
            id="other groups",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, private_dns=False),
            {"PrivateDnsEnabled": True, "DnsOptions": INTERFACE.dns},
            {"PrivateDnsEnabled": False},
            "private DNS is off; other DNS options",
            id="private DNS off",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, dns={"DnsRecordIpType": "ipv6"}),
            {"DnsOptions": INTERFACE.dns},
            {"DnsOptions": {"DnsRecordIpType": "ipv6"}},
            "other DNS options",
            id="no record for IPv4",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, dns=INBOUND),
            {"DnsOptions": INTERFACE.dns},
            {"DnsOptions": INBOUND},
            "other DNS options",
            id="private DNS for inbound resolvers only",
        ),
        pytest.param(
            INTERFACE,
            replace(INTERFACE, ip_type="ipv6"),
            {"IpAddressType": "ipv4"},
            {"IpAddressType": "ipv6"},
            "not ipv4",
            id="other addresses",
        ),
        pytest.param(
            GATEWAY,
            replace(GATEWAY, tables=(), missing=("rtb-2",)),
            {"AddRouteTableIds": ["rtb-1"]},
            {"RemoveRouteTableIds": ["rtb-1"]},
            "without rtb-1",
            id="what is gone can not come back",
        ),
    ],
)
def test_a_change_is_mended_in_place_and_can_be_undone(
    before: Any, now: Any, fix: dict[str, Any], undo: dict[str, Any], what: str
) -> None:
    violation = decide(now, before, **ENFORCED)
    assert (violation.fix, violation.undo, violation.audit_only) == (modify(**fix), modify(**undo), "")
    assert violation.what.endswith(f" in vpc-1 is not as it was: {what}")


ALL_CHANGED = replace(
    INTERFACE,
    policy=STRICT,
    private_dns=False,
    ip_type="ipv6",
    subnets=("subnet-9",),
    groups=("sg-9",),
    crowded={"subnet-1": "subnet-9"},
)
NAMED = {"PrivateDnsEnabled": True, "DnsOptions": INTERFACE.dns, "IpAddressType": "ipv4"}


def test_one_part_that_ec2_refused_kept_all_others_from_being_mended() -> None:
    violation = decide(ALL_CHANGED, INTERFACE, **ENFORCED)
    assert violation.fix == modify(
        {"PolicyDocument": OPEN},
        {"AddSecurityGroupIds": ["sg-1", "sg-2"], "RemoveSecurityGroupIds": ["sg-9"]},
        {"AddSubnetIds": ["subnet-2"]},
        {"RemoveSubnetIds": ["subnet-9"]},
        {"AddSubnetIds": ["subnet-1"]},
        NAMED,
    )
    assert violation.undo == modify(
        {"PrivateDnsEnabled": False, "IpAddressType": "ipv6"},
        {"RemoveSubnetIds": ["subnet-1"]},
        {"AddSubnetIds": ["subnet-9"]},
        {"RemoveSubnetIds": ["subnet-2"]},
        {"RemoveSecurityGroupIds": ["sg-1", "sg-2"], "AddSecurityGroupIds": ["sg-9"]},
        {"PolicyDocument": STRICT},
    )
    opened = replace(GATEWAY, policy=OPEN, tables=("rtb-1",))
    assert decide(opened, GATEWAY).fix == modify({"PolicyDocument": STRICT}, {"AddRouteTableIds": ["rtb-2"]})


def test_a_subnet_in_the_place_of_one_that_is_gone_is_left_where_it_is() -> None:
    moved = replace(INTERFACE, subnets=("subnet-2", "subnet-9"), crowded={"subnet-1": "subnet-9"})
    assert [*decide(moved, INTERFACE, **ENFORCED).fix] == [
        *modify({"RemoveSubnetIds": ["subnet-9"]}, {"AddSubnetIds": ["subnet-1"]})
    ]
    assert guardrail.evaluate(replace(moved, missing=("subnet-1",)), case(INTERFACE, **ENFORCED)) is None


NO_DNS = "no private DNS while enableDnsSupport or enableDnsHostnames of vpc-1 is off"


def test_an_endpoint_whose_vpc_has_no_dns_was_not_made_again_at_all() -> None:
    violation = decide(lost(INTERFACE, taken={"the private DNS name": NO_DNS}), INTERFACE, **ENFORCED)
    parameters = created(violation)
    assert (parameters["PrivateDnsEnabled"], "DnsOptions" in parameters) == (False, False)
    assert (parameters["PolicyDocument"], parameters["SecurityGroupIds"]) == (OPEN, ["sg-1", "sg-2"])
    assert f"It could not have all that it had: {NO_DNS}." in violation.todo
    made = replace(INTERFACE, arn=f"{TARGET}b", private_dns=False, taken={"the private DNS name": NO_DNS})
    assert guardrail.heir_of(INTERFACE, [made], "") is None
    tagged = replace(made, tags={"holdfast:replaces": "vpce-0aa"})
    assert guardrail.heir_of(INTERFACE, [tagged], "") is tagged
    assert decide(tagged, INTERFACE, **ENFORCED).todo == f"Mend or delete what is in its way: {NO_DNS}."


@pytest.mark.parametrize("state", ["rejected", "failed", "expired"])
def test_an_endpoint_that_its_service_refuses_was_taken_for_lost(state: str) -> None:
    refused = replace(INTERFACE, refused=state)
    violation = decide(refused, INTERFACE, **ENFORCED)
    assert (violation.fix, violation.what) == ((), f"the endpoint to {KMS} in vpc-1 is {state}")
    assert "ask the service's owner to accept it, or delete it" in violation.todo
    assert guardrail.evaluate(refused, case(refused, **ENFORCED)) is None, "it was so when it was first seen"
    assert not guardrail.newer(replace(refused, subnets=("subnet-1", "subnet-2", "subnet-3")), INTERFACE)
    assert guardrail.newer(INTERFACE, refused)
    assert not has_name(refused)


def test_changes_are_audited_until_somebody_may_make_them() -> None:
    violation = decide(replace(GATEWAY, policy=OPEN), GATEWAY, principals=())
    assert violation.audit_only == "changes are audited until baseline_principals is set"
    assert not decide(lost(), GATEWAY, principals=()).audit_only


@pytest.mark.parametrize(
    ("now", "before"),
    [
        pytest.param(GATEWAY, GATEWAY, id="the same"),
        pytest.param(replace(GATEWAY, tables=("rtb-1", "rtb-2", "rtb-3")), GATEWAY, id="more route tables"),
        pytest.param(replace(INTERFACE, subnets=("subnet-1", "subnet-2", "subnet-3")), INTERFACE, id="more subnets"),
        pytest.param(INTERFACE, replace(INTERFACE, private_dns=False), id="private DNS switched on"),
        pytest.param(replace(GATEWAY, tags={}), GATEWAY, id="other tags"),
        pytest.param(replace(GATEWAY, tables=("rtb-1",), missing=("rtb-2",)), GATEWAY, id="a route table deleted"),
        pytest.param(replace(INTERFACE, groups=(), missing=("sg-1", "sg-2")), INTERFACE, id="all groups deleted"),
        pytest.param(GATEWAY, replace(GATEWAY, policy=""), id="policy not known before"),
        pytest.param(INTERFACE, replace(INTERFACE, dns={}), id="DNS options not known before"),
        pytest.param(
            replace(INTERFACE, dns=INTERFACE.dns | {"PrivateDnsPreference": "ALL_DOMAINS"}),
            INTERFACE,
            id="a DNS option that EC2 did not show before",
        ),
        pytest.param(replace(INTERFACE, dns={}), INTERFACE, id="DNS options that EC2 shows no more"),
        pytest.param(
            replace(INTERFACE, private_dns=False, dns=INBOUND),
            replace(INTERFACE, private_dns=False),
            id="DNS options without private DNS",
        ),
        pytest.param(replace(GATEWAY, strays={"subnet-9": "rtb-9"}), GATEWAY, id="a subnet that never was routed"),
    ],
)
def test_what_takes_nothing_away_is_left_alone(now: Any, before: Any) -> None:
    assert guardrail.evaluate(now, case(before, **ENFORCED)) is None


def test_a_state_that_somebody_accepts_is_right_by_itself() -> None:
    led = replace(GATEWAY, tables=("rtb-1",), routed=(), strays={"subnet-1": "rtb-9"}, taken={"rtb-9": "vpce-0bb"})
    assert decide(led, GATEWAY).fix
    assert guardrail.evaluate(led, case(led)) is None


def test_a_route_table_that_another_endpoint_has_is_handed_to_a_person() -> None:
    led = replace(GATEWAY, strays={"subnet-1": "rtb-9"}, taken={"rtb-9": "vpce-0bb"})
    violation = decide(led, GATEWAY)
    assert (violation.fix, violation.what.endswith("vpce-0bb has rtb-9")) == ((), True)
    assert "Mend or delete what is in its way: vpce-0bb has rtb-9" in violation.todo
    beside = decide(replace(led, tables=("rtb-1",)), GATEWAY)
    assert beside.fix == modify(AddRouteTableIds=["rtb-2"])
    assert "vpce-0bb has rtb-9" in beside.todo


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param(lambda policy: policy, True, id="the same"),
        pytest.param(lambda policy: policy | {"Statement": policy["Statement"][0]}, True, id="a list of one"),
        pytest.param(lambda policy: dict(reversed(policy.items())), True, id="another order"),
        pytest.param(lambda policy: policy | {"Version": "2008-10-17"}, False, id="another version"),
        pytest.param(
            lambda policy: policy | {"Statement": [policy["Statement"][0] | {"Resource": "*"}]}, False, id="wider"
        ),
        pytest.param(lambda policy: policy | {"Statement": policy["Statement"] * 2}, False, id="another statement"),
    ],
)
def test_policies_are_compared_by_what_they_mean(changed: Any, same: bool) -> None:
    now = replace(GATEWAY, policy=json.dumps(changed(incidents.STRICT), indent=2))
    assert (guardrail.evaluate(now, case(GATEWAY)) is None) == same


def test_a_key_that_stands_twice_hid_the_policy_that_ec2_may_have_read() -> None:
    twice = f'{{"Statement":{json.dumps(incidents.OPEN["Statement"])},{STRICT[1:]}'
    assert json.loads(twice) == incidents.STRICT
    assert decide(replace(GATEWAY, policy=twice), GATEWAY).fix == modify(PolicyDocument=STRICT)
    assert guardrail.evaluate(replace(GATEWAY, policy=twice), case(replace(GATEWAY, policy=twice))) is None


def test_an_endpoint_with_other_dns_options_filled_the_place_of_one_that_was_better() -> None:
    other = replace(INTERFACE, arn=f"{TARGET}b")
    assert guardrail.heir_of(INTERFACE, [other], "") is other
    assert guardrail.heir_of(INTERFACE, [replace(other, dns=INBOUND)], "") is None


def test_the_baseline_follows_what_was_added_and_what_is_gone_for_good() -> None:
    more = replace(GATEWAY, tables=("rtb-1", "rtb-2", "rtb-3"), routed=("subnet-1", "subnet-2"))
    assert guardrail.newer(more, GATEWAY)
    assert guardrail.newer(replace(GATEWAY, tables=("rtb-1",), missing=("rtb-2",)), GATEWAY)
    assert not guardrail.newer(GATEWAY, GATEWAY)
    assert not guardrail.newer(GATEWAY, replace(GATEWAY, missing=("rtb-3",), taken={"rtb-4": "vpce-0bb"}))
    assert not guardrail.newer(lost(), GATEWAY)
    assert not guardrail.newer(replace(GATEWAY, arn=f"{TARGET}b"), GATEWAY)
    assert not guardrail.newer(Vpc("vpc-1"), GATEWAY)


# required services


@pytest.mark.parametrize(
    ("service", "made"),
    [
        (S3, True),
        (f"com.amazonaws.{REGION}.dynamodb", True),
        (f"com.amazonaws.{REGION}.s3express", True),
        ("com.amazonaws.cn-north-1.s3", True),
        (KMS, False),
        (f"com.amazonaws.{REGION}.ecr.dkr", False),
        (f"com.amazonaws.vpce.{REGION}.vpce-svc-0123456789abcdef0", False),
        ("aws.api.us-east-1.kendra-ranking", False),
        ("cn.com.amazonaws.cn-north-1.s3", False),
    ],
)
def test_a_required_service_gets_a_gateway_endpoint_where_there_are_some(service: str, made: bool) -> None:
    violation = decide(Vpc("vpc-1", {service: ("rtb-1", "rtb-2")}))
    assert violation.what == f"vpc-1 has no endpoint to {service}"
    assert (service in violation.todo) == (not made)
    assert [fix.parameters["RouteTableIds"] for fix in violation.fix] == [["rtb-1", "rtb-2"]] * made
    assert all(tags(violation) == {"holdfast:required": "vpc-1"} for _ in violation.fix)


def test_a_vpc_that_lacks_nothing_is_right() -> None:
    assert guardrail.evaluate(Vpc("vpc-1"), case()) is None


def test_nothing_is_said_of_a_vpc_that_is_gone() -> None:
    assert guardrail.gone(replace(case(), target=HERE.arn("ec2", "vpc/vpc-1"))) is None


def test_what_nobody_knows_is_never_guessed() -> None:
    violation = guardrail.gone(case())
    assert (violation.fix, bool(violation.todo)) == ((), True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"interface_endpoints": "yes"}, "interface_endpoints"),
        ({"required_services": {"vpc-1": "s3"}}, "required_services.vpc-1"),
        ({"required_services": {"vpc-1": ["s3; rm"]}}, "required_services.vpc-1[0]"),
        ({"required_services": ["s3"]}, "required_services"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"grace_seconds": 86_401}, "grace_seconds"),
        ({"grace": 1}, "unknown: grace"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(Misshapen, match=says.replace("[", r"\[")):
        parse(Settings, settings, ID)


# against an account


class Scene:
    """A VPC with a gateway endpoint that Holdfast knows, unless `known` says otherwise."""

    def __init__(self, *, known: bool = True, interface: bool = False) -> None:
        self.place = incidents.vpc()
        self.id = (incidents.interface if interface else incidents.gateway)(self.place)
        self.target = HERE.arn("ec2", f"vpc-endpoint/{self.id}")
        self.settings: dict[str, Any] = {**ENFORCED}
        if known:
            assert self.look() == "compliant"

    def look(self, **shared: Any) -> str:
        return run(ID, look(ID, self.target), self.settings, **shared).outcome

    def delete(self) -> None:
        incidents.delete(self.id)()

    def lose_with_a_table(self) -> None:
        """It was in two route tables, and one of them goes with it."""
        ec2_backends[ME][REGION].vpc_end_points[self.id].route_table_ids.append(self.place["aside"])
        self.look()
        incidents.drop(self.id, self.place["aside"])
        self.delete()
        boto3.client("ec2").delete_route_table(RouteTableId=self.place["aside"])

    def deleted(self, actor: str = MALLORY, **shared: Any) -> str:
        event = incidents.deletion({"content": self.id, "tag": 1})
        event["detail"]["userIdentity"]["arn"] = actor
        return run(ID, event, self.settings, **shared).outcome

    def state(self, state: str) -> None:
        """Moto knows no `deleting`."""
        ec2_backends[ME][REGION].vpc_end_points[self.id].state = state

    def read(self, aws: Aws | None = None, before: Any = None) -> Any:
        known = replace(case(before), target=self.target)
        return guardrail.read(known, aws or Aws(HERE))

    @staticmethod
    def manage(id: str) -> None:
        """AWS manages it now."""
        managed: Any = ec2_backends[ME][REGION].vpc_end_points[id]
        managed.requester_managed = True


@pytest.fixture
def scene() -> Iterator[Scene]:
    with account():
        yield Scene()


@pytest.fixture
def strange() -> Iterator[Scene]:
    """Holdfast has not seen it."""
    with account():
        yield Scene(known=False)


@pytest.fixture
def private() -> Iterator[Scene]:
    with account():
        yield Scene(interface=True)


def others(scene: Scene) -> list[dict[str, Any]]:
    return [found for found in incidents.alive() if found["VpcEndpointId"] != scene.id]


def test_a_deletion_is_told_with_the_new_endpoint(scene: Scene) -> None:
    scene.delete()
    assert scene.deleted() == "remediated"
    (new,) = others(scene)
    (message,) = heard()
    assert message["left"]["arn"].endswith(new["VpcEndpointId"])
    assert {tag["Key"]: tag["Value"] for tag in new["Tags"]} == {"Name": "lake", "holdfast:replaces": scene.id}


def test_the_new_endpoint_is_guarded_like_the_old_one(scene: Scene) -> None:
    scene.delete()
    scene.deleted()
    (second,) = others(scene)
    incidents.delete(second["VpcEndpointId"])()
    event = incidents.deletion({"content": second["VpcEndpointId"], "tag": 1}) | {"id": "second"}
    assert run(ID, event, scene.settings).outcome == "remediated"
    (third,) = incidents.alive()
    assert incidents.shape(third) == incidents.shape(second)
    assert run(ID, sweep(), scene.settings, remediate_existing=True).writes == []


def test_an_old_event_does_not_bring_back_what_its_owner_has_taken_away_since(scene: Scene) -> None:
    shared: dict[str, Any] = {"baseline_principals": [CI]}
    scene.delete()
    assert scene.deleted(**shared) == "remediated"
    (second,) = others(scene)
    incidents.delete(second["VpcEndpointId"])()
    event = incidents.deletion({"content": second["VpcEndpointId"], "tag": 1}) | {"id": "second"}
    event["detail"] |= {"eventID": "second", "userIdentity": {"type": "AssumedRole", "arn": CI, "accountId": ME}}
    assert run(ID, event, scene.settings, delivery="d2", **shared).outcome == "exempt"
    again = incidents.deletion({"content": scene.id, "tag": 1})
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=26)):
        again["detail"]["eventTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert run(ID, again, scene.settings, delivery="d3", **shared).writes == []


def test_the_new_endpoint_has_its_place_even_if_it_is_changed(scene: Scene) -> None:
    before = scene.read()
    scene.delete()
    scene.deleted()
    (new,) = others(scene)
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=new["VpcEndpointId"], PolicyDocument=OPEN)
    assert scene.deleted() == "audited"  # its policy; no second one is made
    known = replace(case(before), target=scene.target, moved_to=HERE.arn("ec2", f"vpc-endpoint/{new['VpcEndpointId']}"))
    assert guardrail.read(known, Aws(HERE)).id == new["VpcEndpointId"]


def test_a_deletion_by_who_may_delete_stands(scene: Scene) -> None:
    scene.delete()
    assert scene.deleted(CI, baseline_principals=[CI]) == "exempt"
    swept = run(ID, sweep(), scene.settings, remediate_existing=True)
    assert (swept.outcomes[scene.target], swept.writes, others(scene)) == ("compliant", [], [])
    assert "ListBuckets" not in swept.calls


def test_an_endpoint_that_was_never_seen_is_made_again_from_what_is_left_of_it(strange: Scene) -> None:
    before = [incidents.shape(found) for found in incidents.alive()]
    strange.delete()
    assert strange.deleted() == "remediated"
    assert [incidents.shape(found) for found in incidents.alive()] == before


def test_an_endpoint_that_ec2_has_emptied_is_no_model_for_a_new_one(strange: Scene) -> None:
    strange.delete()
    ec2_backends[ME][REGION].vpc_end_points[strange.id].route_table_ids = []
    assert strange.deleted() == "escalated"
    assert others(strange) == []


def test_an_endpoint_that_was_first_seen_empty_is_no_model_either(strange: Scene) -> None:
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=strange.id, RemoveRouteTableIds=[strange.place["routed"]])
    strange.look()
    strange.delete()
    assert strange.deleted() == "escalated"
    assert others(strange) == []


def test_an_endpoint_that_nobody_knows_is_handed_to_a_person(strange: Scene) -> None:
    strange.delete()
    ec2_backends[ME][REGION].vpc_end_points.clear()
    assert strange.deleted() == "escalated"
    (message,) = heard()
    assert "Make it again by hand" in message["todo"]


def test_another_endpoint_that_is_as_good_fills_the_place(scene: Scene) -> None:
    scene.delete()
    new = incidents.gateway(scene.place)
    assert scene.deleted() == "compliant"
    assert [found["VpcEndpointId"] for found in others(scene)] == [new]


def test_what_a_batch_leaves_no_time_for_is_asked_for_again(scene: Scene) -> None:
    second = incidents.gateway(incidents.vpc())
    incidents.delete(second)()
    scene.delete()
    event = incidents.deletion([{"content": scene.id, "tag": 1}, {"content": second, "tag": 2}])
    asked: list[Any] = []

    def listen(here: World) -> None:
        here.aws.session.register("before-call.events.PutEvents", lambda **call: asked.append(call["params"]["body"]))

    with pytest.raises(Unfinished, match="DeleteVpcEndpoints"):
        run(ID, event, scene.settings, ends=0, hook=listen)
    assert any(second in str(body) for body in asked)
    assert [message["target"] for message in heard()] == [scene.target]


@pytest.mark.parametrize("kind", ["Interface", "Gateway"])
def test_a_tag_makes_no_other_endpoint_fill_the_place(scene: Scene, kind: str) -> None:
    """Whoever may tag one could else delete the other unseen."""
    if kind == "Gateway":
        new = incidents.gateway(scene.place | {"routed": scene.place["aside"]}, incidents.OPEN)
    else:
        new = incidents.interface(scene.place)
        ec2_backends[ME][REGION].vpc_end_points[new].service_name = incidents.SERVICE
    boto3.client("ec2").create_tags(Resources=[new], Tags=[{"Key": "holdfast:replaces", "Value": scene.id}])
    scene.delete()
    assert scene.deleted() == "remediated"
    assert any(scene.place["routed"] in found.get("RouteTableIds", ()) for found in others(scene))


def test_another_endpoint_that_lets_everything_through_does_not(scene: Scene) -> None:
    """EC2 refuses two of a service in one route table, so nothing can be made."""
    scene.delete()
    new = incidents.gateway(scene.place, incidents.OPEN)
    assert scene.deleted() == "escalated"
    (message,) = heard()
    assert f"{new} has {scene.place['routed']}" in message["todo"]


def test_one_in_another_route_table_does_not_either(scene: Scene) -> None:
    incidents.gateway(scene.place | {"routed": scene.place["aside"]})
    scene.delete()
    assert scene.deleted() == "remediated"
    assert len(others(scene)) == 2


def test_an_interface_endpoint_waits_for_its_private_dns_name(private: Scene) -> None:
    private.delete()
    private.state("deleting")
    assert (private.deleted(), private.look(), others(private), heard()) == ("deferred", "deferred", [], [])
    private.state("deleted")
    assert private.look() == "remediated"
    assert [new["PrivateDnsEnabled"] for new in others(private)] == [True]
    assert [message["outcome"] for message in heard()] == ["remediated"]


def test_another_endpoint_with_the_private_dns_name_is_told(private: Scene) -> None:
    private.delete()
    other = incidents.interface(private.place | {"group": private.place["default"]})
    assert private.deleted() == "escalated"
    (message,) = heard()
    assert f"{other} has the private DNS name" in message["todo"]


def test_with_a_route_table_gone_it_waits_and_then_does_without(scene: Scene) -> None:
    scene.lose_with_a_table()
    with time_machine.travel(NOW, tick=False) as clock:
        assert scene.deleted() == "deferred"
        clock.shift(timedelta(seconds=899))
        assert scene.look() == "deferred"
        clock.shift(timedelta(seconds=1))
        assert scene.look() == "remediated"
    (new,) = others(scene)
    assert new["RouteTableIds"] == [scene.place["routed"]]


def test_nothing_is_done_once_the_vpc_is_gone(scene: Scene) -> None:
    scene.delete()
    ec2_backends[ME][REGION].vpcs.pop(scene.place["vpc"])
    assert (scene.deleted(), scene.look(), heard(), still_open()) == ("compliant", "compliant", [], [])


def test_what_waited_is_dropped_when_the_vpc_goes(scene: Scene) -> None:
    scene.lose_with_a_table()
    assert scene.deleted() == "deferred"
    ec2_backends[ME][REGION].vpcs.pop(scene.place["vpc"])
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=901)):
        assert (scene.look(), heard(), still_open()) == ("compliant", [], [])


@pytest.mark.parametrize(
    ("status", "loss"),
    [("DELETE_IN_PROGRESS", "leaving"), ("DELETE_FAILED", "deleted"), ("CREATE_COMPLETE", "deleted"), ("", "deleted")],
)
def test_a_stack_that_is_being_deleted_takes_its_endpoints_with_it(scene: Scene, status: str, loss: str) -> None:
    before = scene.read()
    stack = f"arn:aws:cloudformation:{REGION}:{ME}:stack/network/1234abcd-12ab-34cd-56ef-1234567890ab"
    backend = ec2_backends[ME][REGION]
    backend.create_tags([scene.place["vpc"]], {"aws:cloudformation:stack-id": stack})
    scene.delete()
    aws = Aws(HERE)
    with Stubber(aws.client("cloudformation")) as cloudformation:
        if status:
            described = {"StackName": "network", "CreationTime": NOW, "StackStatus": status}
            cloudformation.add_response("describe_stacks", {"Stacks": [described]}, {"StackName": stack})
        else:
            cloudformation.add_client_error("describe_stacks", "ValidationError", "does not exist")
        assert scene.read(aws, before).loss == loss


@pytest.mark.parametrize(
    ("items", "found"),
    [
        pytest.param([{"policyDocument": STRICT}], True, id="whole"),
        pytest.param([None, {"policyDocument": STRICT}], True, id="the last item is of the deletion"),
        pytest.param([{}], False, id="no policy"),
        pytest.param([{"policyDocument": STRICT, "routeTableIds": []}], False, id="no way in"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_aws_config_is_believed_where_it_knows_all(items: list[dict[str, Any] | None], found: bool) -> None:
    fields = {
        "vpcEndpointId": "vpce-0aa",
        "vpcEndpointType": "Gateway",
        "vpcId": "vpc-1",
        "serviceName": S3,
        "state": {"value": "available"},
        "routeTableIds": ["rtb-1", "rtb-2"],
        "groups": [],
    }
    history = [{"configurationItemStatus": "ResourceDeleted"} if i is None else item(fields | i) for i in items]
    aws = Aws(HERE)
    with Stubber(aws.client("config")) as config:
        config.add_response("describe_configuration_recorders", {"ConfigurationRecorders": [{"name": "default"}]})
        asked = {"resourceType": "AWS::EC2::VPCEndpoint", "resourceId": "vpce-0aa"}
        config.add_response("get_resource_config_history", {"configurationItems": history}, asked)
        assert guardrail.recorded("vpce-0aa", aws) == (
            replace(GATEWAY, ip_type="", dns={}, region="", routed=(), tags={"Name": "lake"}) if found else None
        )


def item(fields: dict[str, Any]) -> dict[str, Any]:
    return {"configurationItemStatus": "OK", "configuration": json.dumps(fields), "tags": {"Name": "lake"}}


def test_aws_config_may_be_off_or_know_nothing() -> None:
    aws = Aws(HERE)
    with Stubber(aws.client("config")) as config:
        config.add_response("describe_configuration_recorders", {"ConfigurationRecorders": []})
        assert guardrail.recorded("vpce-0aa", aws) is None
        config.add_response("describe_configuration_recorders", {"ConfigurationRecorders": [{"name": "default"}]})
        config.add_client_error("get_resource_config_history", "ResourceNotDiscoveredException")
        assert guardrail.recorded("vpce-0aa", aws) is None


def test_bucket_policies_that_name_the_old_endpoint_are_listed(scene: Scene) -> None:
    s3 = boto3.client("s3")
    for name in ("lake", "raw", "plain"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, id in (("lake", scene.id), ("raw", "vpce-0other")):
        condition = {"StringNotEquals": {"aws:SourceVpce": id}}
        statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": condition}
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    scene.delete()
    scene.deleted()
    (message,) = heard()
    assert "These bucket policies do: lake." in message["todo"]


def test_bucket_policies_that_can_not_be_read_stop_nothing() -> None:
    aws = Aws(HERE)
    with Stubber(aws.client("s3")) as s3:
        s3.add_client_error("list_buckets", "AccessDenied")
        assert guardrail.naming("vpce-0aa", aws) == ()
        s3.add_response("list_buckets", {"Buckets": [{"Name": "locked"}, {"Name": "lake"}]})
        s3.add_client_error("get_bucket_policy", "AccessDenied")
        s3.add_response("get_bucket_policy", {"Policy": '{"aws:SourceVpce": "vpce-0aa"}'})
        assert guardrail.naming("vpce-0aa", aws) == ("lake",)


def modified(scene: Scene, **how: Any) -> dict[str, Any]:
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=scene.id, **how)
    return call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": scene.id}})


def refuses(operation: str, code: str, message: str = "", *, given: str = "") -> Any:
    """EC2 refuses these calls, or those with this parameter."""

    def answer(params: Any, **_: Any) -> Any:
        if any(name.startswith(given) for name in params["body"]):
            raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    return lambda here: here.aws.session.register(f"before-call.ec2.{operation}", answer)


def opened(scene: Scene) -> dict[str, Any]:
    return modified(scene, PolicyDocument=json.dumps(incidents.OPEN | {"Version": "2012-10-17"}))


def policy_of(scene: Scene) -> Any:
    (found,) = boto3.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[scene.id])["VpcEndpoints"]
    return json.loads(found["PolicyDocument"])


def without_name(scene: Scene) -> None:
    """Moto's ModifyVpcEndpoint knows no private DNS."""
    ec2_backends[ME][REGION].vpc_end_points[scene.id].private_dns_enabled = False


def set_dns(scene: Scene, on: bool) -> None:
    boto3.client("ec2").modify_vpc_attribute(VpcId=scene.place["vpc"], EnableDnsHostnames={"Value": on})


SHARED: dict[str, Any] = {"baseline_principals": [CI]}
CONFLICT = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for kms in the VPC"
NEEDS_DNS = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true"


@pytest.mark.parametrize(
    ("code", "message", "outcome", "says"),
    [
        ("InvalidParameter", NEEDS_DNS, "escalated", "Set enableDnsSupport and enableDnsHostnames to true"),
        ("InvalidParameter", "Something else", "escalated", "Something else"),
        ("InvalidParameter", CONFLICT, "deferred", ""),
        ("OperationInProgress", "VpcEndpoint modify operation in progress", "deferred", ""),
    ],
)
def test_private_dns_that_ec2_refused_kept_an_open_policy(
    private: Scene, code: str, message: str, outcome: str, says: str
) -> None:
    without_name(private)
    refusal = refuses("ModifyVpcEndpoint", code, message, given="PrivateDnsEnabled")
    assert run(ID, opened(private), private.settings, hook=refusal, **SHARED).outcome == outcome
    assert policy_of(private) == incidents.OPEN
    assert [says in message["todo"] for message in heard()] == [True] * (outcome == "escalated")
    assert bool(still_open()) == (outcome == "deferred")


def test_private_dns_is_left_out_while_the_vpc_has_none_and_comes_back_with_it(private: Scene) -> None:
    event = opened(private)
    without_name(private)
    set_dns(private, on=False)
    result = run(ID, event, private.settings, **SHARED)
    assert (result.outcome, result.writes, policy_of(private)) == ("escalated", ["ModifyVpcEndpoint"], incidents.OPEN)
    (message,) = heard()
    assert f"enableDnsHostnames of {private.place['vpc']} is off" in message["todo"]
    before = replace(private.read(), private_dns=True)
    set_dns(private, on=True)
    assert [call.parameters["PrivateDnsEnabled"] for call in decide(private.read(before=before), before).fix] == [True]


def test_another_endpoint_with_the_private_dns_name_kept_an_open_policy(private: Scene) -> None:
    event = opened(private)
    without_name(private)
    other = incidents.interface(private.place)
    assert run(ID, event, private.settings, **SHARED).outcome == "escalated"
    assert policy_of(private) == incidents.OPEN
    assert f"{other} has the private DNS name" in heard()[0]["todo"]


def test_a_route_that_ec2_did_not_make_kept_an_open_policy(scene: Scene) -> None:
    table = scene.place["routed"]
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=scene.id, AddRouteTableIds=[scene.place["aside"]])
    scene.look()
    event = opened(scene)
    ec2_backends[ME][REGION].vpc_end_points[scene.id].route_table_ids.clear()
    by_hand(scene)
    result = run(ID, event, scene.settings, **SHARED)
    assert (result.outcome, result.writes) == ("escalated", ["ModifyVpcEndpoint"] * 2)
    (message,) = heard()
    assert f"{table} leads pl-" in message["todo"]
    assert (policy_of(scene), reached(scene)) == (incidents.STRICT, [[scene.place["aside"]]])


def test_a_refused_route_table_kept_an_open_policy(scene: Scene) -> None:
    event = opened(scene)
    ec2_backends[ME][REGION].vpc_end_points[scene.id].route_table_ids.clear()
    refusal = refuses("ModifyVpcEndpoint", "RouteAlreadyExists", given="AddRouteTableId")
    assert run(ID, event, scene.settings, hook=refusal, **SHARED).outcome == "escalated"
    assert "Delete that route" in heard()[0]["todo"]
    assert policy_of(scene) == incidents.STRICT


def by_hand(scene: Scene) -> str:
    """A route to the service, in the place of the endpoint's, that leads out."""
    clear(scene)
    return incidents.routed_out(scene.place, scene.place["routed"], S3)


def clear(scene: Scene) -> None:
    """Of routes to prefix lists."""
    table = ec2_backends[ME][REGION].route_tables[scene.place["routed"]]
    for prefix in [route.destination_prefix_list_id for route in table.routes]:
        if prefix:
            ec2_backends[ME][REGION].delete_route(table.id, prefix)


def reached(scene: Scene) -> list[list[str]]:
    """The route tables of each endpoint."""
    return [found["RouteTableIds"] for found in incidents.alive()]


def test_a_route_made_by_hand_kept_a_deleted_endpoint_from_all_its_tables(scene: Scene) -> None:
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=scene.id, AddRouteTableIds=[scene.place["aside"]])
    scene.look()
    scene.state("deleted")
    out = by_hand(scene)
    assert scene.deleted() == "escalated"
    (message,) = heard()
    assert f"{scene.place['routed']} leads pl-" in message["todo"]
    assert out in message["todo"]
    assert reached(scene) == [[scene.place["aside"]]]
    assert (scene.look(), len(incidents.alive()), heard()) == ("escalated", 1, [])


def test_with_routes_made_by_hand_in_all_its_tables_it_is_left_to_a_person(scene: Scene) -> None:
    scene.delete()
    out = by_hand(scene)
    assert (scene.deleted(), reached(scene)) == ("escalated", [])
    (message,) = heard()
    assert (message["calls"], out in message["todo"]) == ([], True)


def test_it_waits_while_the_old_routes_are_still_there(scene: Scene) -> None:
    """EC2 refuses new ones beside them."""
    scene.state("deleting")
    assert (scene.deleted(), others(scene)) == ("deferred", [])
    clear(scene)
    assert (scene.look(), reached(scene)) == ("remediated", [[scene.place["routed"]]])


def test_a_deleted_endpoint_was_not_made_again_while_its_vpc_had_no_dns(private: Scene) -> None:
    private.delete()
    set_dns(private, on=False)
    assert private.deleted() == "escalated"
    (new,) = others(private)
    assert (new["PrivateDnsEnabled"], new["Groups"][0]["GroupId"]) == (False, private.place["group"])
    assert "enableDnsSupport" in heard()[0]["todo"]
    assert (private.look(), len(others(private)), heard()) == ("escalated", 1, [])


def test_a_tagged_endpoint_that_lacks_what_a_third_has_passed_for_one_that_nobody_knew() -> None:
    with account():
        unknown = Scene(known=False, interface=True)
        unknown.delete()
        tagged = incidents.interface(unknown.place)
        ec2_backends[ME][REGION].vpc_end_points[tagged].private_dns_enabled = False
        boto3.client("ec2").create_tags(Resources=[tagged], Tags=[{"Key": "holdfast:replaces", "Value": unknown.id}])
        third = incidents.interface(unknown.place | {"group": unknown.place["default"]})
        assert unknown.deleted() == "escalated"
        assert f"{third} has the private DNS name" in heard()[0]["todo"]


@pytest.mark.parametrize(
    ("code", "message", "says"),
    [
        ("InvalidServiceName", "The Vpc Endpoint Service does not exist", "Ask its owner"),
        ("InvalidParameter", NEEDS_DNS, "Set enableDnsSupport and enableDnsHostnames to true"),
        ("RouteAlreadyExists", "", "Delete that route"),
    ],
)
def test_nobody_was_told_why_an_endpoint_could_not_be_made_again(
    scene: Scene, code: str, message: str, says: str
) -> None:
    scene.delete()
    event, refusal = incidents.deletion(scene.id), refuses("CreateVpcEndpoint", code, message)
    assert run(ID, event, scene.settings, hook=refusal).outcome == "escalated"
    assert [says in message["todo"] for message in heard()] == [True]


@pytest.mark.parametrize("state", ["rejected", "failed", "expired"])
def test_an_endpoint_that_its_service_refuses_was_made_again_at_every_sweep(private: Scene, state: str) -> None:
    private.state(state)
    for n in range(3):
        swept = run(ID, sweep(f"sweep-{n}"), private.settings, remediate_existing=True, delivery=f"d{n}")
        assert (swept.outcomes[private.target], swept.writes) == ("escalated", [])
    assert [message["what"].endswith(f" is {state}") for message in heard()] == [True]


def test_a_change_is_only_audited_until_baseline_principals_is_set(scene: Scene) -> None:
    event = modified(scene, PolicyDocument=OPEN)
    result = run(ID, event)
    assert (result.outcome, result.writes) == ("audited", [])
    (message,) = heard()
    assert message["reason"] == "changes are audited until baseline_principals is set"
    assert run(ID, event, baseline_principals=[CI]).outcome == "remediated"


def test_a_change_by_who_may_change_it_is_the_new_baseline(scene: Scene) -> None:
    event = modified(scene, PolicyDocument=OPEN)
    event["detail"]["userIdentity"]["arn"] = CI
    assert run(ID, event, baseline_principals=[CI]).outcome == "exempt"
    assert scene.look(baseline_principals=[CI]) == "compliant"
    scene.delete()
    assert scene.deleted() == "remediated"
    (new,) = others(scene)
    assert json.loads(new["PolicyDocument"]) == incidents.OPEN


def test_a_responder_may_shut_an_endpoint(scene: Scene) -> None:
    responder = f"arn:aws:iam::{ME}:role/responder"
    shut = json.dumps({"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]})
    event = modified(scene, PolicyDocument=shut)
    event["detail"]["userIdentity"]["arn"] = responder
    outcome = run(ID, event, responder_principals=[responder], baseline_principals=[CI]).outcome
    assert (outcome, scene.look(baseline_principals=[CI])) == ("exempt", "compliant")


def test_an_interface_endpoint_is_audited_unless_told(private: Scene) -> None:
    private.settings = {}
    private.delete()
    assert (private.deleted(), others(private)) == ("audited", [])


def test_clearing_away_an_unused_route_table_is_no_attack(scene: Scene) -> None:
    boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=scene.id, AddRouteTableIds=[scene.place["aside"]])
    scene.look()
    boto3.client("ec2").delete_route_table(RouteTableId=scene.place["aside"])
    incidents.drop(scene.id, scene.place["aside"])
    event = call("ec2", "DeleteRouteTable", {"routeTableId": scene.place["aside"]})
    assert run(ID, event, baseline_principals=[CI]).outcomes == {scene.target: "compliant"}
    scene.delete()
    assert scene.deleted() == "remediated"


def test_a_route_table_leads_to_the_gateway_endpoints_of_its_vpc_only(scene: Scene) -> None:
    elsewhere = incidents.vpc()
    incidents.gateway(elsewhere)
    incidents.interface(scene.place)
    moved = {"associationId": "rtbassoc-1", "routeTableId": scene.place["aside"]}
    assert list(run(ID, call("ec2", "ReplaceRouteTableAssociation", moved)).outcomes) == [scene.target]


def test_a_deleted_route_table_leads_to_all_gateway_endpoints(scene: Scene) -> None:
    other = HERE.arn("ec2", f"vpc-endpoint/{incidents.gateway(incidents.vpc())}")
    outcomes = run(ID, call("ec2", "DeleteRouteTable", {"routeTableId": "rtb-0gone"})).outcomes
    assert set(outcomes) == {scene.target, other}


def test_a_new_main_route_table_without_the_endpoint_is_seen() -> None:
    with account():
        place = incidents.vpc()
        ec2 = boto3.client("ec2")
        ec2.disassociate_route_table(AssociationId=place["association"])
        main: Any = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [place["vpc"]]}]
        (table,) = ec2.describe_route_tables(Filters=main)["RouteTables"]
        id = incidents.gateway(place | {"routed": table["RouteTableId"]})
        found = guardrail.read(replace(case(), target=HERE.arn("ec2", f"vpc-endpoint/{id}")), Aws(HERE))
        assert found.routed == (place["subnet"],)
        ec2.associate_route_table(RouteTableId=place["aside"], SubnetId=place["subnet"])
        known = replace(case(found), target=HERE.arn("ec2", f"vpc-endpoint/{id}"))
        assert decide(guardrail.read(known, Aws(HERE)), found).fix[0].parameters["AddRouteTableIds"] == [place["aside"]]


def test_a_required_service_that_never_was_is_made_and_only_once(scene: Scene) -> None:
    ours = HERE.arn("ec2", f"vpc/{incidents.vpc()['vpc']}")
    settings = {"required_services": {ours.name: ["s3"], scene.place["vpc"]: ["s3"], "vpc-0gone": ["s3"]}}
    first = run(ID, sweep(), settings, remediate_existing=True)
    assert (first.outcomes[ours], first.writes) == ("remediated", ["CreateVpcEndpoint"])
    assert run(ID, sweep(), settings, remediate_existing=True).writes == []
    (new,) = [found for found in incidents.alive() if found["VpcId"] == ours.name]
    tables = boto3.client("ec2").describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [ours.name]}])
    assert set(new["RouteTableIds"]) == {table["RouteTableId"] for table in tables["RouteTables"]}
    assert run(ID, look(ID, HERE.arn("ec2", "vpc/vpc-0gone")), settings).outcome == "compliant"


def test_a_route_made_by_hand_kept_a_required_endpoint_from_being_made(required: "Required") -> None:
    settings = {"required_services": {required.place["vpc"]: ["s3"]}}
    incidents.routed_out(required.place, required.place["aside"], S3)
    assert run(ID, look(ID, required.target), settings).outcome == "remediated"
    (made,) = incidents.alive()
    assert required.place["aside"] not in made["RouteTableIds"]
    assert required.place["routed"] in made["RouteTableIds"]


def test_of_a_required_service_no_second_endpoint_is_made_beside_one_that_failed(required: "Required") -> None:
    id = required.endpoint(S3, RouteTableIds=[required.place["routed"]])
    ec2_backends[ME][REGION].vpc_end_points[id].state = "failed"
    assert required.read("s3") == Vpc(required.place["vpc"], {}, {S3: (id,)})


def test_a_required_gateway_endpoint_that_no_table_leads_to_is_none(scene: Scene) -> None:
    """Traffic takes it only by the routes in its tables (AWS PrivateLink guide, "Gateway endpoints")."""
    place = incidents.vpc()
    incidents.ec2().create_vpc_endpoint(VpcEndpointType="Gateway", VpcId=place["vpc"], ServiceName=S3)
    settings = {"required_services": {place["vpc"]: ["s3"]}}
    asked = look(ID, HERE.arn("ec2", f"vpc/{place['vpc']}"))
    assert run(ID, asked, settings, remediate_existing=True).writes == ["CreateVpcEndpoint"]


class Required:
    """A VPC that must reach S3 and KMS: `routed` is its subnet's route table, `aside` nobody's."""

    def __init__(self, place: dict[str, str]) -> None:
        self.place, self.target = place, HERE.arn("ec2", f"vpc/{place['vpc']}")

    def endpoint(self, service: str, **how: Any) -> str:
        made = incidents.ec2().create_vpc_endpoint(VpcId=self.place["vpc"], ServiceName=service, **how)
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def interface(self, service: str, named: bool = True) -> str:
        how: Any = {"VpcEndpointType": "Interface", "SubnetIds": [self.place["subnet"]], "PrivateDnsEnabled": named}
        return self.endpoint(service, **how)

    def led_out(self, table: str) -> None:
        """A subnet that leaves the VPC by this route table."""
        ec2, gateway = (
            incidents.ec2(),
            incidents.ec2().create_internet_gateway()["InternetGateway"]["InternetGatewayId"],
        )
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.place["vpc"])
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)

    def subnet(self, table: str) -> None:
        subnet = incidents.ec2().create_subnet(VpcId=self.place["vpc"], CidrBlock="10.1.2.0/24")["Subnet"]["SubnetId"]
        incidents.ec2().associate_route_table(RouteTableId=table, SubnetId=subnet)

    def read(self, *services: str) -> Any:
        required: Any = case(required_services={self.place["vpc"]: list(services)})
        return guardrail.read(replace(required, target=self.target), Aws(HERE))


@pytest.fixture
def required() -> Iterator[Required]:
    with account():
        yield Required(incidents.vpc())


def test_an_endpoint_in_a_route_table_of_no_subnet_counted_as_a_way_to_a_required_service(required: Required) -> None:
    required.endpoint(S3, RouteTableIds=[required.place["aside"]])
    found = required.read("s3")
    assert (list(found.lacks), found.partly, required.place["routed"] in found.lacks[S3]) == ([S3], {}, True)
    assert required.place["aside"] not in found.lacks[S3]
    assert required.read(S3) == found
    settings = {"required_services": {required.place["vpc"]: ["s3"]}}
    assert run(ID, look(ID, required.target), settings).outcome == "remediated"
    assert required.read("s3") == Vpc(required.place["vpc"])


@pytest.mark.parametrize("service", [S3, KMS])
def test_an_endpoint_without_private_dns_counted_as_a_way_to_a_required_service(
    required: Required, service: str
) -> None:
    id = required.interface(service, named=False)
    found = required.read(service)
    assert (list(found.lacks), found.partly) == (([S3], {}) if service == S3 else ([], {KMS: (id,)}))
    ec2_backends[ME][REGION].vpc_end_points[id].private_dns_enabled = True
    assert required.read(service) == Vpc(required.place["vpc"])


@pytest.mark.parametrize(
    ("endpoint", "has"),
    [
        (INTERFACE, True),
        (replace(INTERFACE, dns={}), True),
        (replace(INTERFACE, dns=INBOUND), False),
        (replace(INTERFACE, private_dns=False), False),
        (replace(INTERFACE, subnets=()), False),
        (GATEWAY, False),
    ],
)
def test_private_dns_for_inbound_resolvers_leads_nobody_in_the_vpc(endpoint: Any, has: bool) -> None:
    assert has_name(endpoint) == has


def test_of_other_peoples_services_no_private_dns_is_demanded(required: Required) -> None:
    service = f"com.amazonaws.vpce.{REGION}.vpce-svc-0123456789abcdef0"
    assert required.read(service).lacks.keys() == {service}
    required.interface(service, named=False)
    assert required.read(service) == Vpc(required.place["vpc"])


def test_of_route_tables_only_those_are_named_that_lead_a_subnet_out(required: Required) -> None:
    required.endpoint(S3, RouteTableIds=[required.place["routed"]])
    required.led_out(required.place["aside"])
    assert required.read("s3") == Vpc(required.place["vpc"]), "no subnet uses it"
    required.subnet(required.place["aside"])
    assert required.read("s3") == Vpc(required.place["vpc"], {}, {S3: (required.place["aside"],)})
    incidents.ec2().delete_route(RouteTableId=required.place["aside"], DestinationCidrBlock="0.0.0.0/0")
    assert required.read("s3") == Vpc(required.place["vpc"]), "an isolated subnet needs no way"


@pytest.mark.parametrize(
    ("routes", "out"),
    [
        ([], False),
        ([{"GatewayId": "local"}], False),
        ([{"GatewayId": "local"}, {"GatewayId": "vpce-1", "DestinationPrefixListId": "pl-1"}], False),
        ([{"GatewayId": "vpce-1", "DestinationCidrBlock": "0.0.0.0/0"}], True),
        ([{"GatewayId": "local"}, {"NatGatewayId": "nat-1"}], True),
        ([{"TransitGatewayId": "tgw-1", "DestinationPrefixListId": "pl-1"}], True),
    ],
)
def test_a_route_leads_out_unless_it_stays_or_ends_at_a_gateway_endpoint(routes: list[Any], out: bool) -> None:
    assert leads_out({"Routes": routes}) == out


def test_what_has_no_way_to_a_required_service_is_named() -> None:
    violation = decide(Vpc("vpc-1", {KMS: ()}, {S3: ("rtb-1", "rtb-2")}))
    assert violation.what == f"vpc-1 has no endpoint to {KMS}; no way to {S3} by rtb-1, rtb-2"
    assert violation.fix == ()
    assert violation.todo == (
        f"Make an interface endpoint in the subnets that use it: {KMS}. "
        "Add these route tables to its gateway endpoint, in the place of other routes to the service; "
        "have these endpoints accepted, and switch on their private DNS."
    )
    unnamed = decide(Vpc("vpc-1", partly={KMS: ("vpce-0bb",)}))
    assert unnamed.what == f"vpc-1 has no way to {KMS} by vpce-0bb"


def test_a_required_interface_endpoint_is_asked_for(scene: Scene) -> None:
    vpc = HERE.arn("ec2", f"vpc/{scene.place['vpc']}")
    settings = {"required_services": {vpc.name: ["s3", "kms"]}}
    assert run(ID, look(ID, vpc), settings).outcome == "escalated"
    (message,) = heard()
    assert (message["calls"], KMS in message["todo"]) == ([], True)


def test_the_inventory_is_what_lives_and_is_ours(scene: Scene) -> None:
    dead, managed = incidents.gateway(incidents.vpc()), incidents.gateway(incidents.vpc())
    incidents.delete(dead)()
    scene.manage(managed)
    found = list(guardrail.inventory(Aws(HERE)))
    assert [arn for arn in found if arn.kind == "vpc-endpoint"] == [scene.target]
    vpcs = {vpc["VpcId"] for vpc in boto3.client("ec2").describe_vpcs()["Vpcs"]}
    assert {arn.name for arn in found if arn.kind == "vpc"} == vpcs


def test_an_endpoint_that_aws_manages_is_left_to_aws(strange: Scene) -> None:
    strange.manage(strange.id)
    strange.delete()
    assert (strange.deleted(), others(strange)) == ("compliant", [])


def test_a_missed_deletion_is_found_by_the_sweep(scene: Scene) -> None:
    scene.delete()
    assert run(ID, sweep(), scene.settings, remediate_existing=True).outcomes[scene.target] == "remediated"
    assert [record["outcome"] for record in records()] == ["remediated"]


def test_an_endpoint_that_another_run_makes_again_meanwhile_is_not_in_its_own_way() -> None:
    with account():
        incident = incidents.deleted()
        incident.run(look(ID, incident.target))
        incident.spoil()
        inner: list[str] = []

        def meanwhile(**_: Any) -> None:
            if not inner:
                inner.append(incident.run(delivery="d2").outcome)

        first = "before-call.ec2.DescribeRouteTables"
        outer = run(ID, incident.event, hook=lambda world: world.aws.session.register(first, meanwhile))
        assert (inner, outer.outcome, incident.safe()) == (["remediated"], "compliant", True)
        assert {message["outcome"] for message in heard()} == {"remediated"}


def test_a_group_in_the_place_of_those_that_were_deleted_is_told_and_not_taken_for_good() -> None:
    swapped = replace(INTERFACE, groups=("sg-3",), missing=("sg-1", "sg-2"))
    violation = guardrail.evaluate(swapped, case(INTERFACE, **ENFORCED))
    assert violation.what.endswith("sg-3 is in the place of its own groups")
    assert (violation.fix, "lets in no more" in violation.todo) == ((), True)
    assert not guardrail.newer(swapped, INTERFACE)


@pytest.mark.parametrize(
    "found",
    [
        replace(GATEWAY, policy=json.dumps(incidents.OPEN)),
        replace(INTERFACE, private_dns=not INTERFACE.private_dns),
        replace(INTERFACE, dns={"PrivateDnsOnlyForInboundResolverEndpoint": "true"}),
    ],
)
def test_what_was_not_judged_by_the_baseline_does_not_become_it(found: Any) -> None:
    known = GATEWAY if found.type == "Gateway" else INTERFACE
    assert not guardrail.newer(replace(found, subnets=("subnet-9",)), known)


@pytest.mark.parametrize("name", ["DeleteRouteTable", "DisassociateRouteTable"])
def test_a_call_on_a_route_table_blesses_no_policy(name: str) -> None:
    """It leads to every gateway endpoint that it may have led to, if need be to all of the account."""
    with account():
        id = incidents.gateway(incidents.vpc())
        target = HERE.arn("ec2", f"vpc-endpoint/{id}")
        shared: Any = {"baseline_principals": [incidents.CI]}
        run(ID, look(ID, target), **shared)
        boto3.client("ec2").modify_vpc_endpoint(VpcEndpointId=id, PolicyDocument=json.dumps(incidents.OPEN))
        cleared = call("ec2", name, {"routeTableId": "rtb-0", "associationId": "rtbassoc-0"}, actor=incidents.CI)
        assert run(ID, cleared, delivery="d1", **shared).outcome == "deferred"
        request = {"ModifyVpcEndpointRequest": {"VpcEndpointId": id, "PolicyDocument": json.dumps(incidents.OPEN)}}
        theirs = call("ec2", "ModifyVpcEndpoint", request, id="event-2")
        assert run(ID, theirs, delivery="d2", **shared).outcome == "remediated"


def test_an_heir_is_held_to_what_it_replaces_and_not_to_how_it_was_made() -> None:
    with account():
        place = incidents.vpc()
        shared: Any = {"baseline_principals": [incidents.CI]}
        id = incidents.gateway(place)
        run(ID, look(ID, HERE.arn("ec2", f"vpc-endpoint/{id}")), **shared)
        given: Any = {"VpcEndpointType": "Gateway", "VpcId": place["vpc"], "ServiceName": incidents.SERVICE}
        policy = json.dumps(incidents.OPEN)
        made = boto3.client("ec2").create_vpc_endpoint(**given, PolicyDocument=policy)["VpcEndpoint"]["VpcEndpointId"]
        event = call("ec2", "CreateVpcEndpoint", {}, responseElements=incidents.made(made))
        assert run(ID, event, delivery="d1", **shared).outcome == "compliant", "no route leads there"
        incidents.delete(id)()
        strict = json.dumps(incidents.STRICT)
        boto3.client("ec2").modify_vpc_endpoint(
            VpcEndpointId=made, PolicyDocument=strict, AddRouteTableIds=[place["routed"]]
        )
        run(ID, incidents.deletion({"content": id, "tag": 1}), delivery="d2", **shared)
        modified = call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": made}}, id="e3")
        result = run(ID, modified, delivery="d3", **shared)
        assert (result.outcome, result.writes) == ("compliant", [])


def test_what_one_answer_calls_gone_and_the_next_shows_is_not_made_again() -> None:
    def denies(**_: Any) -> Any:
        if answers:
            return None
        answers.append(True)
        raise ClientError({"Error": {"Code": "InvalidVpcEndpointId.NotFound", "Message": "no"}}, "DescribeVpcEndpoints")

    answers: list[bool] = []
    with account():
        id = incidents.gateway(incidents.vpc())
        target = HERE.arn("ec2", f"vpc-endpoint/{id}")
        run(ID, look(ID, target))
        hook = lambda world: world.aws.session.register("before-call.ec2.DescribeVpcEndpoints", denies)  # noqa: E731
        result = run(ID, incidents.deletion({"content": id, "tag": 1}), delivery="d1", hook=hook)
        assert (answers, result.outcome, result.writes) == ([True], "compliant", [])


SHOWN = {
    "VpcEndpointId": "vpce-0aa",
    "VpcId": "vpc-1",
    "ServiceName": KMS,
    "VpcEndpointType": "Interface",
    "PolicyDocument": OPEN,
    "PrivateDnsEnabled": True,
    "IpAddressType": "ipv4",
    "DnsOptions": INTERFACE.dns,
    "ServiceRegion": REGION,
    "SubnetIds": ["subnet-2", "subnet-1"],
    "Groups": [{"GroupId": "sg-2"}, {"GroupId": "sg-1"}],
}


@pytest.mark.parametrize(
    ("raw", "endpoint"),
    [
        (SHOWN, INTERFACE),
        (SHOWN | {"VpcEndpointType": ""}, replace(INTERFACE, type="Gateway", private_dns=False)),
        (SHOWN | {"ServiceName": "", "ResourceConfigurationArn": "a"}, replace(INTERFACE, service="a")),
        (SHOWN | {"ServiceName": "", "ServiceNetworkArn": "b"}, replace(INTERFACE, service="b")),
        (SHOWN | {"ServiceName": ""}, replace(INTERFACE, service="")),
    ],
)
def test_all_that_ec2_shows_of_an_endpoint_is_read(raw: dict[str, Any], endpoint: Any) -> None:
    assert parsed(raw, Aws(HERE)) == endpoint


def test_an_endpoint_is_asked_for_by_its_id_and_may_not_be_there() -> None:
    aws = Aws(HERE)
    with Stubber(aws.client("ec2")) as ec2:
        ec2.add_response("describe_vpc_endpoints", {"VpcEndpoints": []}, {"VpcEndpointIds": ["vpce-0aa"]})
        assert guardrail.shown("vpce-0aa", aws) is None
        ec2.assert_no_pending_responses()
    assert guardrail.is_alive({})
    assert not guardrail.is_dying([{}])


def test_a_call_without_an_endpoint_is_named_in_the_refusal() -> None:
    with pytest.raises(BadEvent, match=r"^DeleteVpcEndpoints without an endpoint$"):
        found_at(call("ec2", "DeleteVpcEndpoints", {}))


def test_a_vpc_of_which_nothing_is_required_lacks_nothing(required: Required) -> None:
    assert required.read() == Vpc(required.place["vpc"])


def test_no_more_than_a_hundred_bucket_policies_are_read() -> None:
    aws, policy = Aws(HERE), {"Policy": '{"aws:SourceVpce": "vpce-0aa"}'}
    with Stubber(aws.client("s3")) as s3:
        s3.add_response("list_buckets", {"Buckets": [{"Name": f"bucket-{n}"} for n in range(101)]})
        for _ in range(100):
            s3.add_response("get_bucket_policy", policy)
        assert guardrail.naming("vpce-0aa", aws) == tuple(f"bucket-{n}" for n in range(100))


def test_the_token_does_not_hang_on_the_order_of_what_is_given() -> None:
    given = {"PolicyDocument": STRICT, "RouteTableIds": ["rtb-1"]}
    one, two = (
        guardrail.create("vpc-1", S3, "Gateway", dict(items), {}).parameters["ClientToken"]
        for items in (given.items(), reversed(given.items()))
    )
    assert one == two
    assert len(one) == len("holdfast-") + 32


STRAYED = replace(GATEWAY, strays={"subnet-1": "rtb-9"})


@pytest.mark.parametrize(
    ("name", "found", "known", "can"),
    [
        ("CreateVpcEndpoint", GATEWAY, GATEWAY, False),
        ("CreateVpcEndpoint", lost(), GATEWAY, True),
        ("DeleteVpcEndpoints", replace(GATEWAY, policy=OPEN), GATEWAY, False),
        ("DeleteVpcEndpoints", lost(), GATEWAY, True),
        ("ModifyVpcEndpoint", replace(GATEWAY, policy=OPEN), GATEWAY, True),
        ("DeleteRouteTable", replace(GATEWAY, tables=("rtb-1",), missing=("rtb-2",)), GATEWAY, True),
        ("DeleteRouteTable", STRAYED, GATEWAY, False),
        ("AssociateRouteTable", STRAYED, GATEWAY, True),
        ("AssociateRouteTable", GATEWAY, GATEWAY, True),
        ("AssociateRouteTable", replace(STRAYED, policy=OPEN), GATEWAY, False),
        ("AssociateRouteTable", replace(STRAYED, tables=("rtb-1",)), GATEWAY, False),
        ("DisassociateRouteTable", replace(STRAYED, tables=("rtb-1",), missing=("rtb-2",)), GATEWAY, True),
        ("DeleteVpcEndpoints", GATEWAY, None, True),
        ("DeleteVpcEndpoints", Vpc("vpc-1"), GATEWAY, True),
    ],
)
def test_what_a_call_can_have_made_of_an_endpoint(name: str, found: Any, known: Any, can: bool) -> None:
    assert guardrail.made_by(name, found, known) == can


NEW_ID = "The new endpoint has an id of its own: what names vpce-0aa must name that one."
OUT = "vpc-1 may be on its way out:"
UNMADE = f"Make an interface endpoint in the subnets that use it: {KMS}."


@pytest.mark.parametrize(
    ("state", "waited", "todo"),
    [
        (lost(), 0, NEW_ID),
        (lost(named_by=("lake", "raw")), 0, f"{NEW_ID} These bucket policies do: lake, raw."),
        (lost(missing=("rtb-2",)), 900, f"{NEW_ID} It could not have all that it had: rtb-2 is gone."),
        (lost(missing=("rtb-2", "rtb-3")), 0, f"{OUT} rtb-2, rtb-3 goes too."),
        (lost(loss="leaving"), 0, f"{OUT} its stack goes too."),
        (lost(INTERFACE, "dying"), 0, "The old endpoint is still being deleted and has the private DNS name."),
        (replace(GATEWAY, policy=OPEN), 0, ""),
        (
            replace(GATEWAY, strays={"subnet-1": "rtb-9"}, taken={"rtb-9": "vpce-0bb"}),
            0,
            "Mend or delete what is in its way: vpce-0bb has rtb-9.",
        ),
        (Vpc("vpc-1", {S3: ("rtb-1",)}), 0, ""),
        (Vpc("vpc-1", {KMS: (), S3: ("rtb-1",)}), 0, UNMADE),
        (Vpc("vpc-1", {KMS: (), "aws.api.x": ()}), 0, f"{UNMADE[:-1]}, aws.api.x."),
    ],
)
def test_what_an_operator_must_do_is_said_and_nothing_else(state: Any, waited: int, todo: str) -> None:
    before = INTERFACE if getattr(state, "type", "") == "Interface" else GATEWAY
    assert decide(state, before, waited=waited, **ENFORCED).todo == todo


def test_what_is_wrong_is_named_in_full() -> None:
    assert decide(Vpc("vpc-1", {KMS: (), S3: ("rtb-1",)})).what == f"vpc-1 has no endpoint to {KMS}, {S3}"
    assert decide(Vpc("vpc-1", {S3: ("rtb-1",)})).fix[0].parameters["VpcEndpointType"] == "Gateway"
    violation = guardrail.gone(case())
    assert violation.what == "vpce-0aa is gone, and nobody knows how it was"
    assert violation.todo == (
        "Make it again by hand. CloudTrail's CreateVpcEndpoint and AWS Config's history may tell how it was."
    )


def test_a_deletion_that_was_accepted_is_told_without_a_fix() -> None:
    violation = decide(lost(loss="retired"), GATEWAY)
    assert (violation.what, violation.fix, violation.todo) == (f"the endpoint to {S3} in vpc-1 is gone", (), "")


def test_an_heir_with_our_tag_is_excused_only_what_another_has() -> None:
    heir = replace(GATEWAY, arn=f"{TARGET}b", tables=("rtb-1",), taken={"rtb-2": "vpce-0cc"})
    assert guardrail.heir_of(GATEWAY, [heir], "") is None
    tagged = replace(heir, tags={"holdfast:replaces": "vpce-0aa"})
    assert guardrail.heir_of(GATEWAY, [tagged], "") is tagged
    assert guardrail.heir_of(GATEWAY, [replace(tagged, taken={})], "") is None
    assert guardrail.heir_of(GATEWAY, [replace(heir, tags={"holdfast:replaces": "vpce-0dd"})], "") is None
