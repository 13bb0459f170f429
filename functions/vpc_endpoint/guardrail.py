"""The endpoints that keep data off the internet stay, with their policy, routes, subnets and security groups.

Why: without its endpoint a subnet reaches S3 and other services through NAT and the internet, where neither an endpoint
policy nor `aws:SourceVpc` holds; or it doesn't reach them at all. One call deletes an endpoint and its policy.

Restored: a deleted endpoint is made again from its baseline (else from what EC2 still shows of it, else from AWS
Config), with a new id and the tag `holdfast:replaces`; another endpoint fills its place only if it is as good. Once
`baseline_principals` is set, changes are mended in place: a changed policy, missing route tables, subnets and groups,
added groups, private DNS that is off, a subnet that now uses a route table without its gateway endpoint. Until then
they are audited. Other than gateway endpoints are touched only if `interface_endpoints` is `enforce`. A required
service that a VPC lacks gets a gateway endpoint in all route tables.

Not restored: endpoints that AWS manages, and those whose VPC is gone. While CloudFormation deletes the VPC's stack, or
if parts of a lost endpoint are gone as well, it first waits `grace_seconds`; route tables that are gone are left out.

Can't: bring back route tables, subnets, groups and fixed addresses; guess a policy that nobody knows (AWS Config may
not); make required interface endpoints, or again those to resource configurations and service networks; put an endpoint
into a route table, or give it a private DNS name, that another one to the same service has; judge a second interface
endpoint. To undo a restoration delete the new endpoint, whose id is in the record.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, starmap
from typing import Annotated, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from holdfast import (
    ApiCall,
    Arn,
    Aws,
    BadEvent,
    Case,
    Event,
    Guardrail,
    Violation,
    buckets,
    first,
    listed,
    mapping,
    unless,
)
from holdfast.settings import named

REPLACES = "holdfast:replaces"
REQUIRED = "holdfast:required"
ENDPOINT_ID = re.compile(r"vpce-[\w-]+")
DEAD = ("deleting", "deleted", "rejected", "failed", "expired")
REMAKABLE = ("Gateway", "Interface", "GatewayLoadBalancer")
WITH_GATEWAY = (["s3"], ["s3express"], ["dynamodb"])
FULL_NAMES = ("com.", "cn.", "aws.")  # of services: PrivateLink guide, "AWS services that integrate"
PARTS = {"tables": "RouteTableIds", "subnets": "SubnetIds", "groups": "SecurityGroupIds"}
ASK = {
    "rtb-": ("route_tables", "route_table_id"),
    "subnet-": ("subnets", "subnet_id"),
    "sg-": ("security_groups", "group_id"),
}
NOT_FOUND = "VpcEndpointId VpcID VpcId RouteTableID RouteTableId SubnetID SubnetId Group GroupId".split()
DNS_NAME = "the private DNS name"
PATIENCE = 3600  # seconds in which EC2 is surely done with deleting an endpoint
WEEKS = 60  # of history: AWS Config API, GetResourceConfigHistory answers seven days at a time
BUCKETS = 100  # whose policies are read to tell which name a lost endpoint
TAGS = 50  # EC2 user guide, "Tag restrictions"


@dataclass(frozen=True)
class Settings:
    """`required_services` are those that a VPC (by its id) must reach privately: `s3`, or a full service name.

    `grace_seconds` is how long an endpoint is not made again whose VPC seems to be on its way out.
    """

    interface_endpoints: Literal["audit", "enforce"] = "audit"
    required_services: Mapping[str, tuple[Annotated[str, r"[\w.-]+"], ...]] = field(default_factory=dict)
    grace_seconds: Annotated[int, range(86_401)] = 900


@dataclass(frozen=True)
class Endpoint:
    """`routed` are the subnets that reach a gateway endpoint by one of its route `tables`.

    `loss` is why there is none: it was deleted, and by whom may do so (retired); its VPC is gone (homeless), or its
    VPC's stack is being deleted (leaving); it is being deleted and still has its private DNS name (dying).

    The others are read only where something is wrong. `missing`: lacking parts that exist no more. `strays`: subnets
    that were routed, and the tables they use now. `taken`: what another endpoint to the service has. `named_by`: the
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

    @property
    def id(self) -> str:
        return Arn(self.arn).name

    def left_of(self, ids: Iterable[str]) -> list[str]:
        """Those that it can have."""
        return [id for id in ids if id not in self.missing and id not in self.taken]


@dataclass(frozen=True)
class Vpc:
    """A VPC, the required services that it lacks, and its route tables."""

    id: str
    lacks: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


Known = Case[Endpoint | Vpc, Settings]


def targets(event: Event) -> Iterable[Arn]:
    """Endpoints; or a route table, which stands for the gateway endpoints that it may serve."""
    if "RouteTable" in event.name:
        return [event.arn("ec2", f"route-table/{event.text('routeTableId')}")]
    made = mapping(mapping(event.response.get("CreateVpcEndpointResponse")).get("vpcEndpoint")).get("vpcEndpointId")
    asked = mapping(event.request.get(f"{event.name}Request")).get("VpcEndpointId")
    ids = [id for id in (*listed(made), *listed(asked)) if isinstance(id, str) and ENDPOINT_ID.fullmatch(id)]
    if not ids:
        raise BadEvent(f"{event.name} without an endpoint")
    return [event.arn("ec2", f"vpc-endpoint/{id}") for id in ids if id not in never_there(event)]


def never_there(event: Event) -> set[Any]:
    """The call succeeds though some ids, or all, could not be deleted (EC2 API, DeleteVpcEndpoints)."""
    failed = listed(mapping(event.response.get("DeleteVpcEndpointsResponse")).get("unsuccessful"))
    errors = ((str(first(mapping(item).get("resourceId"))), mapping(mapping(item).get("error"))) for item in failed)
    return {id for id, error in errors if "NotFound" in str(first(error.get("code")))}


def read(case: Known, aws: Aws) -> Endpoint | Vpc | None:
    """The endpoint, or the one that fills its place; else all that is known of it, with its `loss`."""
    if case.target.kind == "vpc":
        return read_vpc(case, aws)
    ask = aws.client("ec2").describe_vpc_endpoints
    answer = unless("InvalidVpcEndpointId.NotFound", ask, VpcEndpointIds=[case.target.name])
    raw: Any = next(iter(answer["VpcEndpoints"]), None) if answer else None
    if raw and alive(raw):
        return looked_at(parsed(raw, aws), baseline(case), aws)
    dying = parsed(raw, aws) if raw else None
    gone = baseline(case) or (dying if whole(dying) else recorded(case.target.name, aws))
    return settled(replace(gone, arn=case.target), case, aws) if gone else None


def baseline(case: Known) -> Endpoint | None:
    return case.baseline if isinstance(case.baseline, Endpoint) else None


def alive(raw: Any) -> bool:
    return raw.get("State", "").lower() not in DEAD


def parsed(raw: Any, aws: Aws) -> Endpoint:
    """From DescribeVpcEndpoints, which leaves out what an endpoint of its type doesn't have."""
    return Endpoint(
        arn=aws.here.arn("ec2", f"vpc-endpoint/{raw['VpcEndpointId']}"),
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
        tags={tag["Key"]: tag["Value"] for tag in raw.get("Tags") or ()},
        managed=bool(raw.get("RequesterManaged")),
    )


def whole(found: Endpoint | None) -> bool:
    """EC2 may have emptied an endpoint that it is deleting: without any way in it is no model for a new one."""
    return found is not None and bool(found.managed or found.tables or found.subnets)


def recorded(id: str, aws: Aws) -> Endpoint | None:
    """From AWS Config, where it is on and knows the policy: without one a new endpoint would let all through."""
    config: Any = aws.client("config")
    if not config.describe_configuration_recorders()["ConfigurationRecorders"]:
        return None
    ask = config.get_paginator("get_resource_config_history").paginate
    pages = islice(ask(resourceType="AWS::EC2::VPCEndpoint", resourceId=id), WEEKS)
    items = (item for page in pages for item in page["configurationItems"] if item.get("configuration"))
    known = (from_config(item, aws) for item in items)
    fit = (endpoint for endpoint in known if endpoint.policy and whole(endpoint))
    return unless("ResourceNotDiscoveredException", lambda: next(fit, None))


def from_config(item: Any, aws: Aws) -> Endpoint:
    """AWS Config keeps what EC2 answered, with small first letters."""

    def raised(fields: dict[str, Any]) -> dict[str, Any]:
        return {name[:1].upper() + name[1:]: value for name, value in fields.items()}

    raw = json.loads(item["configuration"], object_hook=raised)
    return replace(parsed(raw, aws), tags=item.get("tags") or {})


def looked_at(now: Endpoint, before: Endpoint | None, aws: Aws) -> Endpoint:
    """With what it takes to judge it by its baseline."""
    ways = ways_in(now.vpc, aws) if now.type == "Gateway" else {}
    now = replace(now, routed=tuple(sorted(subnet for subnet, table in ways.items() if table in now.tables)))
    if before is None:
        return now
    strays = {subnet: ways[subnet] for subnet in before.routed if ways.get(subnet, "") not in ("", *now.tables)}
    return hindered(replace(now, strays=strays), parts(before) - parts(now) | set(strays.values()), aws)


def parts(endpoint: Endpoint) -> set[str]:
    return {*endpoint.tables, *endpoint.subnets, *endpoint.groups}


def hindered(now: Endpoint, wanted: set[str], aws: Aws) -> Endpoint:
    """With what is in the way of getting these parts."""
    if not wanted:
        return now
    there = set()
    for prefix, (kind, by) in ASK.items():
        if some := [id for id in wanted if id.startswith(prefix)]:
            there |= {item[camel(by)] for item in described(kind, aws, **{by: some})}
    taken = {table: other.id for other in others(now, aws) for table in other.tables if table in wanted}
    return replace(now, missing=tuple(sorted(wanted - there)), taken=taken)


def ways_in(vpc: str, aws: Aws) -> dict[str, str]:
    """The subnets of a VPC and the route table that each uses: its own, or the main one."""
    tables = described("route_tables", aws, vpc_id=[vpc])
    used = [(association, table["RouteTableId"]) for table in tables for association in table.get("Associations", ())]
    own = {association["SubnetId"]: table for association, table in used if association.get("SubnetId")}
    main = next((table for association, table in used if association.get("Main")), "")
    return {subnet["SubnetId"]: own.get(subnet["SubnetId"], main) for subnet in described("subnets", aws, vpc_id=[vpc])}


def described(kind: str, aws: Aws, **filters: list[str]) -> list[Any]:
    """What EC2 describes: `described("subnets", aws, vpc_id=["vpc-1"])`. Imitations of EC2 don't know every filter."""
    wanted = [{"Name": name.replace("_", "-"), "Values": sorted(values)} for name, values in filters.items()]
    pages: Any = aws.client("ec2").get_paginator(f"describe_{kind}").paginate(Filters=wanted)  # type: ignore[call-overload]
    found = [item for page in pages for item in page[camel(kind)]]
    return [item for item in found if all(item[camel(name)] in values for name, values in filters.items())]


def camel(name: str) -> str:
    """EC2's name of a field: `VpcId` for `vpc_id`."""
    return "".join(map(str.title, name.split("_")))


def to_service(like: Endpoint, aws: Aws) -> list[Any]:
    """The VPC's endpoints to the same service, dead ones too."""
    return described("vpc_endpoints", aws, vpc_id=[like.vpc], service_name=[like.service])


def others(like: Endpoint, aws: Aws) -> list[Endpoint]:
    return [parsed(raw, aws) for raw in to_service(like, aws) if alive(raw) and raw["VpcEndpointId"] != like.id]


def settled(gone: Endpoint, case: Known, aws: Aws) -> Endpoint:
    """What became of a lost endpoint: one that fills its place, or how it is lost."""
    theirs = case.event == "DeleteVpcEndpoints" and named(case.actor, case.shared.baseline_principals)
    if gone.managed or gone.loss == "retired" or theirs:
        return replace(gone, loss="retired")
    vpc = described("vpcs", aws, vpc_id=[gone.vpc])
    if not vpc:
        return replace(gone, loss="homeless")
    rivals = [hindered(other, parts(gone) - parts(other), aws) for other in others(gone, aws)]
    if heir := heir_of(gone, rivals):
        return looked_at(heir, gone, aws)
    dying = gone.private_dns and any(raw.get("State", "").lower() == "deleting" for raw in to_service(gone, aws))
    loss: Any = "leaving" if is_leaving(vpc[0], aws) else "dying" if dying else "deleted"
    names = naming(gone.id, aws) if gone.service.endswith(".s3") else ()
    lost = hindered(replace(gone, loss=loss, named_by=names), parts(gone), aws)
    holders = [{DNS_NAME: rival.id} for rival in rivals if gone.private_dns and rival.private_dns]
    return replace(lost, taken=dict(lost.taken) | next(iter(holders), {}))


def heir_of(gone: Endpoint, rivals: list[Endpoint]) -> Endpoint | None:
    """The one that was made in its place; else one that is as good."""
    made = [other for other in rivals if other.tags.get(REPLACES) == gone.id]
    as_good = [other for other in rivals if other.type == gone.type and not changes(replace(other, taken={}), gone)]
    return next(iter(made + as_good), None)


def is_leaving(vpc: Any, aws: Aws) -> bool:
    """True while CloudFormation deletes the stack that the VPC belongs to."""
    tags = {tag["Key"]: tag["Value"] for tag in vpc.get("Tags", ())}
    stack = tags.get("aws:cloudformation:stack-id")
    answer = unless("ValidationError", aws.client("cloudformation").describe_stacks, StackName=stack) if stack else None
    return answer is not None and answer["Stacks"][0]["StackStatus"] == "DELETE_IN_PROGRESS"


def naming(endpoint: str, aws: Aws) -> tuple[str, ...]:
    """Buckets whose policies name an endpoint: a help for the reader, so that no error here may stop the fix."""

    def policy(name: str) -> str:
        try:
            return aws.client("s3").get_bucket_policy(Bucket=name)["Policy"]
        except (ClientError, BotoCoreError):
            return ""

    try:
        return tuple(bucket.name for bucket in islice(buckets(aws), BUCKETS) if endpoint in policy(bucket.name))
    except (ClientError, BotoCoreError):
        return ()


def read_vpc(case: Known, aws: Aws) -> Vpc | None:
    id, region = case.target.name, case.here.region
    wanted = case.settings.required_services.get(id, ())
    names = [name if name.startswith(FULL_NAMES) else f"com.amazonaws.{region}.{name}" for name in wanted]
    if not names:
        return Vpc(id)
    if not described("vpcs", aws, vpc_id=[id]):
        return None
    there = {raw.get("ServiceName") for raw in described("vpc_endpoints", aws, vpc_id=[id]) if alive(raw)}
    tables = sorted(table["RouteTableId"] for table in described("route_tables", aws, vpc_id=[id]))
    return Vpc(id, tuple(name for name in names if name not in there), tuple(tables))


def evaluate(now: Endpoint | Vpc, case: Known) -> Violation | None:
    before = baseline(case)
    if isinstance(now, Vpc):
        return unprovided(now)
    if now.managed or now.loss == "homeless" or (before and before.loss == "retired"):
        return None
    if now.loss:
        return lost(now, case)
    return changed(now, before, case) if before else None


def lost(now: Endpoint, case: Known) -> Violation | None:
    what = f"the endpoint to {now.service} in {now.vpc} is gone"
    if now.loss == "retired":
        return Violation(what)
    audit = only_audited(now, case)
    seconds, why = (0, "") if audit else wait(now, case)
    if seconds or (why := hopeless(now)):
        return Violation(what, todo=why, later=seconds)
    return Violation(what, fix=(make_again(now),), todo=aftermath(now), audit_only=audit)


def only_audited(now: Endpoint, case: Known) -> str:
    guarded = now.type == "Gateway" or case.settings.interface_endpoints == "enforce"
    return "" if guarded else "interface_endpoints is audit"


def wait(now: Endpoint, case: Known) -> tuple[int, str]:
    """For how many seconds not to make it again yet, and why."""
    left = case.settings.grace_seconds - case.waited
    if left > 0 and (now.loss == "leaving" or now.missing):
        return left, f"{now.vpc} may be on its way out: {', '.join(now.missing) or 'its stack'} goes too."
    if now.loss == "dying" and case.waited < PATIENCE:
        return 60, f"The old endpoint is still being deleted and has {DNS_NAME}."
    return 0, ""


def hopeless(now: Endpoint) -> str:
    """Why it can't be made again; empty if it can."""
    if now.loss == "leaving":
        return f"The stack of {now.vpc} is still being deleted. If the VPC is to stay, make the endpoint again."
    if now.type not in REMAKABLE:
        return f"Make it again by hand: Holdfast can't make endpoints of type {now.type}."
    lacks_all = any(ids and not now.left_of(ids) for ids in (now.tables, now.groups))
    if lacks_all or DNS_NAME in now.taken or {*now.subnets} & {*now.missing}:
        return f"It can't be made as it was: {obstacles(now)}. Put that right, or make it again another way."
    return ""


def obstacles(now: Endpoint) -> str:
    said = [f"{id} is gone" for id in now.missing] + [f"{by} has {what}" for what, by in now.taken.items()]
    return ", ".join(said)


def aftermath(now: Endpoint) -> str:
    said = f"The new endpoint has an id of its own: what names {now.id} must name that one."
    if now.named_by:
        said += f" These bucket policies do: {', '.join(now.named_by)}."
    return said + (f" It could not have all that it had: {obstacles(now)}." if now.missing or now.taken else "")


def make_again(now: Endpoint) -> ApiCall:
    gateway, private = now.type == "Gateway", now.type == "Interface"
    more: dict[str, Any] = {api: now.left_of(getattr(now, part)) for part, api in PARTS.items()}
    more["PolicyDocument"] = now.policy
    more["ServiceRegion"] = now.region if now.region != Arn(now.arn).region else ""
    more["IpAddressType"] = "" if gateway and now.ip_type == "ipv4" else now.ip_type
    more["DnsOptions"] = dict(now.dns) if private else {}
    given = {name: value for name, value in more.items() if value}
    if private:
        given["PrivateDnsEnabled"] = now.private_dns
    own = {key: value for key, value in now.tags.items() if not key.startswith("aws:") and key != REPLACES}
    return create(now.vpc, now.service, now.type, given, dict(islice(own.items(), TAGS - 1)) | {REPLACES: now.id})


def create(vpc: str, service: str, type: str, given: Mapping[str, Any], tags: Mapping[str, str]) -> ApiCall:
    """The token is the same for the same loss and baseline: no retry, sweep or second event makes two of it."""
    specification = {"ResourceType": "vpc-endpoint", "Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)]}
    wanted = {"VpcId": vpc, "ServiceName": service, "VpcEndpointType": type, **given}
    wanted["TagSpecifications"] = [specification]
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    return ApiCall("ec2", "create_vpc_endpoint", wanted | {"ClientToken": f"holdfast-{digest[:32]}"})


def changed(now: Endpoint, before: Endpoint, case: Known) -> Violation | None:
    fix, taken = changes(now, before), [table for table in unrouted(now, before) if table in now.taken]
    if not fix and not taken:
        return None
    how = [*starmap(in_words, fix.items()), *(f"{now.taken[table]} has {table}" for table in taken)]
    what = f"the endpoint to {now.service} in {now.vpc} is not as it was: {'; '.join(how)}"
    todo = f"Mend or delete what took its place: {obstacles(now)}." if taken else ""
    if not fix:
        return Violation(what, todo=todo)
    unset = "" if case.shared.baseline_principals else "changes are audited until baseline_principals is set"
    calls = (modify(now, fix),), (modify(now, undone(fix, now)),)
    return Violation(what, *calls, todo=todo, audit_only=only_audited(now, case) or unset)


def changes(now: Endpoint, before: Endpoint) -> dict[str, Any]:
    """What ModifyVpcEndpoint must be told for the endpoint to have again what its baseline has."""
    fix: dict[str, Any] = {
        "AddRouteTableIds": now.left_of(unrouted(now, before)),
        "AddSubnetIds": now.left_of(sorted({*before.subnets} - {*now.subnets})),
        "AddSecurityGroupIds": now.left_of(sorted({*before.groups} - {*now.groups})),
    }
    if now.left_of(before.groups):
        fix["RemoveSecurityGroupIds"] = sorted({*now.groups} - {*before.groups})
    if before.policy and meaning(json.loads(now.policy or "{}")) != meaning(json.loads(before.policy)):
        fix["PolicyDocument"] = before.policy
    if before.private_dns and not now.private_dns:
        fix["PrivateDnsEnabled"] = True
    return {name: value for name, value in fix.items() if value}


def unrouted(now: Endpoint, before: Endpoint) -> list[str]:
    """The route tables that it was in, or that the subnets use which were routed, and that it is not in."""
    used = {table for subnet, table in now.strays.items() if subnet in before.routed}
    return sorted(({*before.tables} | used) - {*now.tables})


def in_words(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{'without' if name.startswith('Add') else 'with'} {', '.join(value)}"
    return "another policy" if name == "PolicyDocument" else "private DNS is off"


def undone(fix: Mapping[str, Any], now: Endpoint) -> dict[str, Any]:
    """The opposite of a fix."""
    opposites = {f"Add{api}": f"Remove{api}" for api in PARTS.values()}
    opposites |= {remove: add for add, remove in opposites.items()}
    were = {"PolicyDocument": now.policy, "PrivateDnsEnabled": now.private_dns}
    return {opposites.get(name, name): were.get(name, value) for name, value in fix.items()}


def modify(now: Endpoint, how: Mapping[str, Any]) -> ApiCall:
    return ApiCall("ec2", "modify_vpc_endpoint", {"VpcEndpointId": now.id, **how})


def meaning(policy: Any) -> Any:
    """For comparison: EC2 doesn't give back the text it got, one thing is a list of one, and order means nothing."""
    if isinstance(policy, list):
        items = sorted(map(meaning, policy), key=str)
        return items[0] if len(items) == 1 else items
    return {key: meaning(policy[key]) for key in sorted(policy)} if isinstance(policy, dict) else policy


def unprovided(vpc: Vpc) -> Violation | None:
    """EC2 knows gateway endpoints to few services (VPC user guide, "Gateway endpoints"); the others need subnets."""
    if not vpc.lacks:
        return None
    simple = [name for name in vpc.lacks if name.startswith("com.amazonaws.") and name.split(".")[3:] in WITH_GATEWAY]
    rest = [name for name in vpc.lacks if name not in simple]
    given, tags = {"RouteTableIds": list(vpc.tables)}, {REQUIRED: vpc.id}
    fix = (create(vpc.id, name, "Gateway", given, tags) for name in simple)
    todo = f"Make an interface endpoint in the subnets that use it: {', '.join(rest)}." if rest else ""
    return Violation(f"{vpc.id} has no endpoint to {', '.join(vpc.lacks)}", fix=tuple(fix), todo=todo)


def gone(case: Known) -> Violation | None:
    if case.target.kind == "vpc":
        return None
    todo = "Make it again by hand. CloudTrail's CreateVpcEndpoint and AWS Config's history may tell how it was."
    return Violation(f"{case.target.name} is gone, and nobody knows how it was", todo=todo)


def inventory(aws: Aws) -> Iterator[Arn]:
    """Endpoints, and VPCs for the services that they may require."""
    for raw in described("vpc_endpoints", aws):
        if alive(raw) and not raw.get("RequesterManaged"):
            yield aws.here.arn("ec2", f"vpc-endpoint/{raw['VpcEndpointId']}")
    yield from (aws.here.arn("ec2", f"vpc/{vpc['VpcId']}") for vpc in described("vpcs", aws))


def newer(found: Endpoint | Vpc, known: Endpoint | Vpc) -> bool:
    """What is as it should be has lost no more than what is gone for good: its new parts are guarded from now on."""
    if not (isinstance(found, Endpoint) and isinstance(known, Endpoint)) or found.loss or found.arn != known.arn:
        return False
    bare = (replace(each, missing=(), strays={}, taken={}, named_by=()) for each in (found, known))
    return next(bare) != next(bare)


def related(touched: Arn, aws: Aws) -> list[Arn]:
    """For a route table the gateway endpoints of its VPC; of all VPCs if the table is gone."""
    if touched.kind != "route-table":
        return [touched]
    vpcs = [raw["VpcId"] for raw in described("route_tables", aws, route_table_id=[touched.name])]
    found = described("vpc_endpoints", aws, vpc_endpoint_type=["Gateway"], **({"vpc_id": vpcs} if vpcs else {}))
    return [aws.here.arn("ec2", f"vpc-endpoint/{raw['VpcEndpointId']}") for raw in found if alive(raw)]


handler: Guardrail[Endpoint | Vpc, Settings] = Guardrail(
    severity="high",
    services=("ec2",),
    covers=(r"arn:{partition}:ec2:{region}:{account}:(vpc-endpoint|vpc)/[\w-]+",),
    settings=Settings,
    targets=targets,
    related=related,
    read=read,
    evaluate=evaluate,
    gone=gone,
    inventory=inventory,
    baseline=Endpoint,
    missing=frozenset(f"Invalid{kind}.NotFound" for kind in NOT_FOUND),
    later={
        "VpcEndpointLimitExceeded": 900,
        "InvalidParameter: conflicting DNS domain": 60,
        "InvalidParameter: must have a Gateway endpoint": 60,
    },
    defensive=frozenset({"ModifyVpcEndpoint"}),
    safer=newer,
)
