"""A VPC endpoint: what calls tell of it, how it is read, and the calls that make and change it.

Sources: EC2 API; AWS PrivateLink guide; VPC user guide, "Gateway endpoints".
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from itertools import islice
from operator import itemgetter
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from holdfast.aws import Aws, buckets, unless
from holdfast.event import Arn, BadEvent, Event, first, listed, mapping
from holdfast.model import ApiCall, Violation
from holdfast.network import described, existing, has_dns, leads_out, tags, ways_in
from holdfast.network import listed as to_lists
from holdfast.value import Value

ID = re.compile(r"vpce-[\w-]+")
REMAKABLE = ("Gateway", "Interface", "GatewayLoadBalancer")
DNS_NAME = "the private DNS name"
GONE = ("deleting", "deleted")
REFUSED = ("rejected", "failed", "expired")  # PrivateLink guide, "Endpoint states": they stand, and lead nowhere
PARTS = {"tables": "RouteTableIds", "subnets": "SubnetIds", "groups": "SecurityGroupIds"}
WITH_GATEWAY = (["s3"], ["s3express"], ["dynamodb"])
FULL_NAMES = ("com.", "cn.", "aws.")  # of services: PrivateLink guide, "AWS services that integrate"
WEEKS = 60  # of history: AWS Config API, GetResourceConfigHistory answers seven days at a time
BUCKETS = 100  # whose policies are read to tell which name an endpoint
TAGS = 50  # EC2 user guide, "Tag restrictions"
LATER = {
    "VpcEndpointLimitExceeded": 900,
    "OperationInProgress": 60,  # EC2 makes one change of an endpoint at a time, and some take it minutes
    "InvalidParameter: conflicting DNS domain": 60,
    "InvalidParameter: must have a Gateway endpoint": 60,
}
STUCK = {
    "DuplicateSubnetsInSameZone": (
        "It has another subnet in the zone of one that it lacks. Take that one away from the endpoint, and add its own."
    ),
    "RouteAlreadyExists": "One of its route tables has a route of its own to the service. Delete that route.",
    "InvalidServiceName": "The service is gone, or lets this account in no more. Ask its owner.",
    "InvalidParameter: enableDnsSupport": (
        "Its VPC has DNS switched off. Set enableDnsSupport and enableDnsHostnames to true."
    ),
    "InvalidParameter": "EC2 refuses a part of the endpoint. Put right what it names.",
}


class Endpoint(Value):
    """An endpoint of any type: its parts are route `tables`, or else `subnets` and `groups`.

    `routed` are the subnets that reach a gateway endpoint by one of its route tables.

    `loss` is why there is none: it was deleted, and by whom may do so (retired); its VPC is gone (homeless), or its
    VPC's stack is being deleted (leaving); it is being deleted and still has its private DNS name (dying).

    `refused` is the state of one that stands and leads nowhere: its service's owner has rejected it, or it failed.

    The others are read only where something is wrong. `missing`: lacking parts that exist no more. `strays`: subnets
    that were routed, and the tables they use now. `taken`: what it can't have, and which endpoint to the service has
    it, or why else. `crowded`: subnets that it lacks, and which it has in the same zone instead. `named_by`: the
    buckets whose policies name a lost one.
    """

    arn: str
    vpc: str
    service: str
    type: str = "Gateway"
    policy: str = ""
    private_dns: bool = False
    ip_type: str = ""
    dns: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    tables: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    managed: bool = False
    routed: tuple[str, ...] = ()
    loss: Literal["", "deleted", "retired", "homeless", "leaving", "dying"] = ""
    missing: tuple[str, ...] = ()
    strays: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    named_by: tuple[str, ...] = ()
    refused: str = ""
    crowded: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return Arn(self.arn).name

    @property
    def parts(self) -> set[str]:
        return {*self.subnets, *self.groups, *self.claims}

    @property
    def claims(self) -> set[str]:
        """What no other endpoint to the service can have at the same time."""
        return {*self.tables, *([DNS_NAME] if self.private_dns else ())}

    @property
    def whole(self) -> bool:
        """EC2 may have emptied an endpoint that it is deleting: without any way in it is no model for a new one."""
        return bool(self.managed or self.tables or self.subnets)

    def left_of(self, ids: Iterable[str]) -> list[str]:
        """Those that it can have."""
        return [id for id in ids if id not in self.missing and id not in self.taken]


class Vpc(Value):
    """A VPC and the required services that it lacks, each with the route tables that an endpoint to it can be put into.

    `partly` are those to which something in it has no way: route tables in use, or else endpoints without private DNS.
    """

    id: str
    lacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partly: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def shown(id: str, aws: Aws) -> Any:
    """What EC2 shows of an endpoint, for a while also of a deleted one; None if nothing."""
    ask = aws.client("ec2").describe_vpc_endpoints
    answer = unless("InvalidVpcEndpointId.NotFound", ask, VpcEndpointIds=[id])
    return next(iter(answer["VpcEndpoints"]), None) if answer else None


def parsed(raw: Any, aws: Aws) -> Endpoint:
    """From DescribeVpcEndpoints, which leaves out what an endpoint of its type doesn't have."""
    return Endpoint(
        arn=arn_of(raw, aws),
        vpc=raw["VpcId"],
        service=raw.get("ServiceName") or raw.get("ResourceConfigurationArn") or raw.get("ServiceNetworkArn") or "",
        type=raw.get("VpcEndpointType") or "Gateway",
        policy=raw.get("PolicyDocument") or "",
        private_dns=bool(raw.get("PrivateDnsEnabled")) and raw.get("VpcEndpointType") == "Interface",
        ip_type=raw.get("IpAddressType") or "",
        dns=raw.get("DnsOptions") or {},
        region=raw.get("ServiceRegion") or "",
        tables=tuple(sorted(raw.get("RouteTableIds") or ())),
        subnets=tuple(sorted(raw.get("SubnetIds") or ())),
        groups=tuple(sorted(group["GroupId"] for group in raw.get("Groups") or ())),
        tags=tags(raw),
        managed=bool(raw.get("RequesterManaged")),
        refused=state_of(raw) if state_of(raw) in REFUSED else "",
    )


def recorded(id: str, aws: Aws) -> Endpoint | None:
    """From AWS Config, where it is on and knows the policy: without one a new endpoint would let all through."""
    config: Any = aws.client("config")
    if not config.describe_configuration_recorders()["ConfigurationRecorders"]:
        return None
    ask = config.get_paginator("get_resource_config_history").paginate
    pages = islice(ask(resourceType="AWS::EC2::VPCEndpoint", resourceId=id), WEEKS)
    items = (item for page in pages for item in page["configurationItems"] if item.get("configuration"))
    known = (_from_config(item, aws) for item in items)
    fit = (endpoint for endpoint in known if endpoint.policy and endpoint.whole)
    return unless("ResourceNotDiscoveredException", lambda: next(fit, None))


def _from_config(item: Any, aws: Aws) -> Endpoint:
    """AWS Config keeps what EC2 answered, with small first letters."""

    def raised(fields: dict[str, Any]) -> dict[str, Any]:
        return {name[:1].upper() + name[1:]: value for name, value in fields.items()}

    raw = json.loads(item["configuration"], object_hook=raised)
    return replace(parsed(raw, aws), tags=item.get("tags") or {})


def others(like: Endpoint, found: Iterable[Any], aws: Aws) -> list[Endpoint]:
    """Of those that were found, the living ones but this."""
    return [parsed(raw, aws) for raw in found if is_alive(raw) and raw["VpcEndpointId"] != like.id]


def to_service(like: Endpoint, aws: Aws) -> list[Any]:
    """The VPC's endpoints to the same service, dead ones too."""
    return described("vpc_endpoints", aws, vpc_id=[like.vpc], service_name=[like.service])


def looked_at(now: Endpoint, before: Endpoint | None, aws: Aws) -> Endpoint:
    """With what it takes to judge it by its baseline."""
    ways = ways_in(now.vpc, aws) if now.type == "Gateway" else {}
    now = replace(now, routed=tuple(sorted(subnet for subnet, table in ways.items() if table in now.tables)))
    if before is None:
        return now
    strays = {subnet: ways[subnet] for subnet in before.routed if ways.get(subnet, "") not in ("", *now.tables)}
    wanted = before.parts - now.parts | set(strays.values())
    beside = others(now, to_service(now, aws), aws) if wanted else ()
    return hindered(replace(now, strays=strays), wanted, beside, aws)


def hindered(now: Endpoint, wanted: set[str], beside: Iterable[Endpoint], aws: Aws) -> Endpoint:
    """With what is in the way of getting these parts. `beside` are the VPC's living endpoints to the same service."""
    if not wanted:
        return now
    rivals = [other for other in beside if other.id != now.id]
    has, lacks = ({id for id in ids if id.startswith("subnet-")} for ids in (now.parts, wanted))
    there = existing(wanted | (has if lacks else set()), aws)
    zones = {there[id].get("AvailabilityZone", id): id for id in has - wanted if id in there}
    crowded = {id: zones[zone] for id in sorted(lacks) if (zone := there.get(id, {}).get("AvailabilityZone")) in zones}
    tables = [raw for id, raw in there.items() if id.startswith("rtb-")]
    own = {other.id for other in rivals} | (set() if now.loss else {now.id})
    taken = routed_by_hand(now.service, tables, own, aws)
    if DNS_NAME in wanted and not has_dns(now.vpc, aws):
        taken[DNS_NAME] = f"no private DNS while enableDnsSupport or enableDnsHostnames of {now.vpc} is off"
    taken |= {claim: other.id for other in rivals for claim in other.claims if claim in wanted}
    missing = tuple(sorted(wanted - there.keys() - {DNS_NAME}))
    return replace(now, missing=missing, taken=taken, crowded=crowded)


def routed_by_hand(service: str, tables: Iterable[Any], own: set[str], aws: Aws) -> dict[str, str]:
    """Of these route tables those with a route to the service by something else than its `own` endpoints, and how.

    EC2 puts no second one beside it (VPC user guide, "Gateway endpoints").
    """
    routes = [
        (table["RouteTableId"], id, to) for table in tables for id, to in to_lists(table).items() if to not in own
    ]
    found = described("prefix_lists", aws, prefix_list_name=[service]) if routes else []
    ids = {each["PrefixListId"] for each in found}
    return {table: f"{table} leads {id} to {to}" for table, id, to in routes if id in ids}


def provided(id: str, wanted: Iterable[str], aws: Aws) -> Vpc | None:
    """A VPC that must have endpoints to the wanted services; None if there is none."""
    names = [full_name(name, aws.here.region) for name in wanted]
    if not names:
        return Vpc(id)
    if not described("vpcs", aws, vpc_id=[id]):
        return None
    found = [parsed(raw, aws) for raw in described("vpc_endpoints", aws, vpc_id=[id]) if not is_gone(raw)]
    tables = described("route_tables", aws, vpc_id=[id])
    outward = {table["RouteTableId"]: leads_out(table) for table in tables}
    used = {*ways_in(id, aws).values()}
    lacks: dict[str, tuple[str, ...]] = {}
    partly: dict[str, tuple[str, ...]] = {}
    for name in names:
        to = [endpoint for endpoint in found if endpoint.service == name]
        routed = {table for endpoint in to for table in endpoint.tables if not endpoint.refused}
        useless = tuple(endpoint.id for endpoint in to if endpoint.refused or endpoint.subnets)
        refused = any(endpoint.refused for endpoint in to)
        if any(map(has_name, to)):
            continue
        if routed & (used or routed):
            partly[name] = tuple(sorted(table for table in used - routed if outward.get(table)))
        elif useless and (refused or not has_gateway(name)):
            partly[name] = useless
        else:
            by_hand = routed_by_hand(name, tables, {endpoint.id for endpoint in to}, aws)
            free = tuple(sorted(outward.keys() - routed - by_hand.keys()))
            (lacks if free or not by_hand else partly)[name] = free or tuple(sorted(by_hand))
    return Vpc(id, lacks, {name: parts for name, parts in partly.items() if parts})


def has_name(endpoint: Endpoint) -> bool:
    """Whether the VPC is led there by the name of the service; that of somebody else's service may have none."""
    inbound = endpoint.dns.get("PrivateDnsOnlyForInboundResolverEndpoint")
    named = (endpoint.private_dns and not inbound) or ".vpce-svc-" in endpoint.service
    return bool(endpoint.subnets) and named and not endpoint.refused


def arn_of(raw: Any, aws: Aws) -> Arn:
    return aws.here.arn("ec2", f"vpc-endpoint/{raw['VpcEndpointId']}")


def state_of(raw: Any) -> str:
    """EC2 writes it with a large first letter in some answers."""
    return str(raw.get("State", "")).lower()


def is_gone(raw: Any) -> bool:
    return state_of(raw) in GONE


def is_alive(raw: Any) -> bool:
    """Whether it leads somewhere, or will."""
    return state_of(raw) not in (*GONE, *REFUSED)


def is_dying(found: Iterable[Any]) -> bool:
    """True while EC2 deletes one of these."""
    return any(state_of(raw) == "deleting" for raw in found)


def touched(event: Event) -> list[str]:
    """The ids that a call made or was given, however they are written. Raises BadEvent if there are none."""
    made = mapping(mapping(event.response.get("CreateVpcEndpointResponse")).get("vpcEndpoint")).get("vpcEndpointId")
    asked = mapping(event.request.get(f"{event.name}Request")).get("VpcEndpointId")
    told = event.response if event.name == "CreateVpcEndpoint" else event.request
    named = [*listed(made), *listed(asked)] or _all_of(told)
    ids = [id for id in named if isinstance(id, str) and ID.fullmatch(id)]
    if not ids:
        raise BadEvent(f"{event.name} without an endpoint")
    return [id for id in ids if id not in _never_there(event)]


def _all_of(request: Any) -> list[Any]:
    """All that stands in it, also as other EC2 calls are written (`{"vpcEndpointIdSet": {"items": …}}`)."""
    rest = [request]  # no recursion: whoever writes a field says how deep it goes
    for item in rest:
        rest.extend(item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ())
    return rest


def _never_there(event: Event) -> set[Any]:
    """The call succeeds though some ids, or all, could not be deleted (EC2 API, DeleteVpcEndpoints)."""
    failed = listed(mapping(event.response.get("DeleteVpcEndpointsResponse")).get("unsuccessful"))
    errors = ((str(first(mapping(item).get("resourceId"))), mapping(mapping(item).get("error"))) for item in failed)
    return {id for id, error in errors if "NotFound" in str(first(error.get("code")))}


def full_name(service: str, region: str) -> str:
    """`com.amazonaws.eu-west-1.s3` for `s3`."""
    return service if service.startswith(FULL_NAMES) else f"com.amazonaws.{region}.{service}"


def has_gateway(service: str) -> bool:
    """EC2 knows gateway endpoints to few services (VPC user guide, "Gateway endpoints"); the others need subnets."""
    return service.startswith("com.amazonaws.") and service.split(".")[3:] in WITH_GATEWAY


def naming(endpoint: str, aws: Aws) -> tuple[str, ...]:
    """Buckets whose policies name an endpoint: a help for the reader, so that no error here may stop a fix."""

    def policy(name: str) -> str:
        try:
            return aws.client("s3").get_bucket_policy(Bucket=name)["Policy"]
        except (ClientError, BotoCoreError):
            return ""

    try:
        return tuple(bucket.name for bucket in islice(buckets(aws), BUCKETS) if endpoint in policy(bucket.name))
    except (ClientError, BotoCoreError):
        return ()


def hopeless(now: Endpoint) -> str:
    """Why it can't be made again; empty if it can."""
    if now.loss == "leaving":
        return f"The stack of {now.vpc} is still being deleted. If the VPC is to stay, make the endpoint again."
    if now.type not in REMAKABLE:
        return f"Make it again by hand: Holdfast can't make endpoints of type {now.type}."
    lacks_all = any(ids and not now.left_of(ids) for ids in (now.tables, now.groups))
    if lacks_all or now.taken.get(DNS_NAME, "").startswith("vpce-") or {*now.subnets} & {*now.missing}:
        return f"It can't be made as it was: {obstacles(now)}. Put that right, or make it again another way."
    return ""


def aftermath(now: Endpoint) -> str:
    said = f"The new endpoint has an id of its own: what names {now.id} must name that one."
    if now.named_by:
        said += f" These bucket policies do: {', '.join(now.named_by)}."
    return said + (f" It could not have all that it had: {obstacles(now)}." if now.missing or now.taken else "")


def another(like: Endpoint, marks: Mapping[str, str]) -> ApiCall:
    """Makes one like it, with the parts that it can have, and with these tags."""
    gateway, private = like.type == "Gateway", like.type == "Interface"
    more: dict[str, Any] = {api: like.left_of(getattr(like, part)) for part, api in PARTS.items()}
    more["PolicyDocument"] = like.policy
    more["ServiceRegion"] = like.region if like.region != Arn(like.arn).region else ""
    more["IpAddressType"] = "" if gateway and like.ip_type == "ipv4" else like.ip_type
    more["DnsOptions"] = dict(like.dns) if private else {}
    given = {name: value for name, value in more.items() if value}
    if private:
        given["PrivateDnsEnabled"] = like.private_dns and DNS_NAME not in like.taken
    if private and DNS_NAME in like.taken:
        given.pop("DnsOptions", None)  # they are of the name
    own = {key: value for key, value in like.tags.items() if not key.startswith("aws:") and key not in marks}
    return create(like.vpc, like.service, like.type, given, dict(islice(own.items(), TAGS - len(marks))) | dict(marks))


def create(vpc: str, service: str, type: str, given: Mapping[str, Any], tags: Mapping[str, str]) -> ApiCall:
    """The token is the same for the same loss and baseline: no retry, sweep or second event makes two of it."""
    specification = {"ResourceType": "vpc-endpoint", "Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)]}
    wanted = {"VpcId": vpc, "ServiceName": service, "VpcEndpointType": type, **given}
    wanted["TagSpecifications"] = [specification]
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return ApiCall("ec2", "create_vpc_endpoint", wanted | {"ClientToken": f"holdfast-{digest[:32]}"})


def changes(now: Endpoint, before: Endpoint) -> dict[str, Any]:
    """What ModifyVpcEndpoint must be told for the endpoint to have again what its baseline has."""
    own = now.left_of(sorted({*before.subnets} - {*now.subnets}))
    fix: dict[str, Any] = {
        "AddRouteTableIds": now.left_of(unrouted(now, before)),
        "AddSubnetIds": own,
        "RemoveSubnetIds": sorted({now.crowded[id] for id in own if id in now.crowded}),
        "AddSecurityGroupIds": now.left_of(sorted({*before.groups} - {*now.groups})),
    }
    if now.left_of(before.groups):
        fix["RemoveSecurityGroupIds"] = sorted({*now.groups} - {*before.groups})
    if before.policy and not means_the_same(now.policy, before.policy):
        fix["PolicyDocument"] = before.policy
    nameless = before.private_dns and not now.private_dns
    if nameless and DNS_NAME not in now.taken:
        fix["PrivateDnsEnabled"] = True
    other = any(now.dns.get(name, was) != was for name, was in before.dns.items())  # what EC2 adds is no change
    if fix.get("PrivateDnsEnabled") or (before.private_dns and now.private_dns and other):
        # S3 user guide, "AWS PrivateLink for Amazon S3": left out, it is private DNS for inbound resolvers only
        fix["DnsOptions"] = dict(before.dns)
    if before.ip_type and now.ip_type and now.ip_type != before.ip_type:
        fix["IpAddressType"] = before.ip_type
    return {name: value for name, value in fix.items() if value}


def unheld(now: Endpoint, before: Endpoint) -> list[str]:
    """What it lacks and can't have, because it is taken."""
    wanted = [*unrouted(now, before), *([DNS_NAME] if before.private_dns and not now.private_dns else ())]
    return [claim for claim in wanted if claim in now.taken]


def made_by(call: str, found: Endpoint | Vpc, known: Endpoint | Vpc | None) -> bool:
    """Whether the call can have made it: one on route tables leads subnets elsewhere, and takes away deleted tables."""
    if not (isinstance(found, Endpoint) and isinstance(known, Endpoint)):
        return True
    if call in ("CreateVpcEndpoint", "DeleteVpcEndpoints"):
        return bool(found.loss)
    if "RouteTable" not in call:
        return True
    if call == "DeleteRouteTable":
        return not changes(found, known)  # it was in use by no subnet, and is in no VPC that we know
    taken = {*known.tables} - {*found.tables} - {*found.missing}
    return not taken and changes(found, known).keys() <= {"AddRouteTableIds"}


def unrouted(now: Endpoint, before: Endpoint) -> list[str]:
    """The route tables that it was in, or that the subnets use which were routed, and that it is not in."""
    used = {table for subnet, table in now.strays.items() if subnet in before.routed}
    return sorted(({*before.tables} | used) - {*now.tables})


def in_words(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{'without' if name.startswith('Add') else 'with'} {', '.join(value)}"
    said = {"PolicyDocument": "another policy", "IpAddressType": f"not {value}", "DnsOptions": "other DNS options"}
    return said.get(name, "private DNS is off")


def obstacles(now: Endpoint) -> str:
    return ", ".join([*(f"{id} is gone" for id in now.missing), *(in_the_way(now, what) for what in now.taken)])


def in_the_way(now: Endpoint, what: str) -> str:
    by = now.taken[what]
    return by if " " in by else f"{by} has {what}"


def refused(now: Endpoint) -> Violation:
    what = f"the endpoint to {now.service} in {now.vpc} is {now.refused}"
    return Violation(what, todo="It stands, but leads nowhere: ask the service's owner to accept it, or delete it.")


def bereft(now: Endpoint) -> Violation | None:
    """What is wrong with one that nobody knows from before: in the place of a lost one it may lack what that had."""
    what = f"the endpoint to {now.service} in {now.vpc} lacks what the one before it had"
    return Violation(what, todo=f"Mend or delete what is in its way: {obstacles(now)}.") if now.taken else None


def orphaned(now: Endpoint, before: Endpoint) -> list[str]:
    """Groups in the place of those that it had, all of which are gone."""
    has_own = not before.groups or now.left_of(before.groups)
    return [] if has_own else sorted({*now.groups} - {*before.groups})


def grown(found: Endpoint, known: Endpoint) -> bool:
    """True if it has lost no more than what is gone for good, and has more: its new parts are guarded from now on.

    A late call is not judged by this baseline, so this must do it; and of its names only those who may decide.
    """
    worse = found.loss or found.refused or changes(found, known) or orphaned(found, known)
    if worse or (found.arn, found.private_dns, found.dns) != (known.arn, known.private_dns, known.dns):
        return False
    bare = (replace(each, missing=(), strays={}, taken={}, named_by=(), crowded={}) for each in (found, known))
    return next(bare) != next(bare)


def mending(now: Endpoint, how: Mapping[str, Any]) -> tuple[tuple[ApiCall, ...], tuple[ApiCall, ...]]:
    """The calls that change it so, and those that undo them."""
    parts = steps(now, how)
    return tuple(modify(now, part) for part in parts), tuple(unmodify(now, part) for part in reversed(parts))


def steps(now: Endpoint, how: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What to change by a call of its own, safest first: EC2 makes all of a call, or nothing.

    Subnets whose zone is free come before one is taken away, so that it is not left without any if that can be. Kinds
    of DNS records and of addresses go together: EC2 takes only those that fit.
    """
    subnets = how.get("AddSubnetIds", ())
    order: list[dict[str, Any]] = [
        {"PolicyDocument": how.get("PolicyDocument")},
        {name: how.get(name) for name in ("AddSecurityGroupIds", "RemoveSecurityGroupIds")},
        {"AddSubnetIds": [id for id in subnets if id not in now.crowded]},
        {"RemoveSubnetIds": how.get("RemoveSubnetIds")},
        {"AddSubnetIds": [id for id in subnets if id in now.crowded]},
        {"AddRouteTableIds": how.get("AddRouteTableIds")},
        {name: how.get(name) for name in ("PrivateDnsEnabled", "DnsOptions", "IpAddressType")},
    ]
    found = ({name: value for name, value in step.items() if value} for step in order)
    return [step for step in found if step]


def modify(now: Endpoint, how: Mapping[str, Any]) -> ApiCall:
    return ApiCall("ec2", "modify_vpc_endpoint", {"VpcEndpointId": now.id, **how})


def unmodify(now: Endpoint, how: Mapping[str, Any]) -> ApiCall:
    """The opposite: it makes of the modified one what it is now."""
    opposites = {f"Add{api}": f"Remove{api}" for api in PARTS.values()}
    opposites |= {remove: add for add, remove in opposites.items()}
    were: dict[str, Any] = {"PolicyDocument": now.policy, "IpAddressType": now.ip_type}
    were |= {"PrivateDnsEnabled": now.private_dns, "DnsOptions": dict(now.dns)}
    kept = (name for name in how if name != "DnsOptions" or now.private_dns)
    return modify(now, {opposites.get(name, name): were.get(name, how[name]) for name in kept})


def means_the_same(policy: str, other: str) -> bool:
    """One in which a key stands twice means what no other does: AWS may read the one and `json` the other."""
    one, two = (_meaning(json.loads(text or "{}", object_pairs_hook=tuple)) for text in (policy, other))
    return bool(one == two)


def _meaning(policy: Any) -> Any:
    """For comparison: EC2 doesn't give back the text it got, one thing is a list of one, and order means nothing."""
    if isinstance(policy, list):
        items = sorted(map(_meaning, policy), key=str)
        return items[0] if len(items) == 1 else items
    if isinstance(policy, tuple):
        return tuple((key, _meaning(value)) for key, value in sorted(policy, key=itemgetter(0)))
    return policy
