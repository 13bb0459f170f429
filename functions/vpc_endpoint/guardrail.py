"""The endpoints that keep data off the internet stay, with their policy, routes, subnets and security groups.

Why: without its endpoint a subnet reaches S3 and other services through NAT and the internet, where neither an endpoint
policy nor `aws:SourceVpc` holds; or it doesn't reach them at all. One call deletes an endpoint and its policy.

Restored: a deleted endpoint is made again from its baseline (else from what EC2 still shows of it, else from AWS
Config), with a new id and the tag `holdfast:replaces`; another endpoint fills its place only if it is as good. Once
`baseline_principals` is set, changes are mended in place: a changed policy, missing route tables, subnets and groups,
added groups, private DNS that is off or set otherwise, a subnet that now uses a route table without its gateway
endpoint. Until then they are audited. Each is mended by a call of its own, the policy first: what EC2 refuses is told,
and keeps nothing else open. A subnet that stands in for one of its own in the same zone is taken out. Other than
gateway endpoints are touched only if `interface_endpoints` is `enforce`. A required service that a VPC lacks gets a
gateway endpoint in all route tables; if only some subnets have one, or one without private DNS, that is told.

Not restored: endpoints that AWS manages, and those whose VPC is gone. While CloudFormation deletes the VPC's stack, or
if parts of a lost endpoint are gone as well, it first waits `grace_seconds`; route tables that are gone are left out.
One that its service's owner has rejected, that failed or has expired is told, and no other is made.

Can't: bring back route tables, subnets, groups and fixed addresses; guess a policy that nobody knows (AWS Config may
not); make required interface endpoints, or again those to resource configurations and service networks; put an endpoint
into a route table, or give it a private DNS name, that another one to the same service has, or where somebody's own
route leads to the service; give private DNS while the VPC's DNS attributes are off (it is made without, which is told);
judge a second interface endpoint; see a narrower route past an endpoint, a VPC's DNS that is switched off later, or
what the rules of a security group say (groups are compared by id). EC2 makes one change of an endpoint at a time, and
may take minutes: the next is then deferred. To undo a restoration delete the new endpoint, whose id is in the record.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from itertools import starmap
from typing import Annotated, Any, Literal

from holdfast import Arn, Aws, Case, Event, Guardrail, Value, Violation
from holdfast.endpoint import (
    DNS_NAME,
    LATER,
    STUCK,
    Endpoint,
    Vpc,
    aftermath,
    another,
    arn_of,
    bereft,
    changes,
    create,
    grown,
    has_gateway,
    hindered,
    hopeless,
    in_the_way,
    in_words,
    is_alive,
    is_dying,
    is_gone,
    looked_at,
    made_by,
    mending,
    naming,
    obstacles,
    orphaned,
    others,
    parsed,
    provided,
    recorded,
    refused,
    shown,
    to_service,
    touched,
    unheld,
)
from holdfast.network import NOT_FOUND, described, is_leaving
from holdfast.settings import named

REPLACES = "holdfast:replaces"
REQUIRED = "holdfast:required"
PATIENCE = 3600  # seconds in which EC2 is surely done with deleting an endpoint


class Settings(Value):
    """`required_services` are those that a VPC (by its id) must reach privately: `s3`, or a full service name. By a
    gateway endpoint in the route tables that lead its subnets out, or an interface endpoint with private DNS.

    `grace_seconds` is how long an endpoint is not made again whose VPC seems to be on its way out.
    """

    interface_endpoints: Literal["audit", "enforce"] = "audit"
    required_services: Mapping[str, tuple[Annotated[str, r"[\w.-]+"], ...]] = field(default_factory=dict)
    grace_seconds: Annotated[int, range(86_401)] = 900


Known = Case[Endpoint | Vpc, Settings]


def targets(event: Event) -> Iterable[Arn]:
    """Endpoints; or a route table, which stands for the gateway endpoints that it may serve.

    DisassociateRouteTable names only the association, which is gone by then.
    """
    if event.name == "DisassociateRouteTable":
        return [event.arn("ec2", f"route-table/{event.text('associationId')}")]
    if "RouteTable" in event.name:
        return [event.arn("ec2", f"route-table/{event.text('routeTableId')}")]
    return [event.arn("ec2", f"vpc-endpoint/{id}") for id in touched(event)]


def read(case: Known, aws: Aws) -> Endpoint | Vpc | None:
    """The endpoint, or the one that fills its place; else all that is known of it, with its `loss`."""
    id = case.target.name
    if case.target.kind == "vpc":
        return provided(id, case.settings.required_services.get(id, ()), aws)
    raw = shown(id, aws)
    seen = parsed(raw, aws) if raw else None
    if seen and not is_gone(raw):
        return looked_at(seen, baseline(case), aws)
    gone = next((each for each in (baseline(case), seen) if each and each.whole), None) or recorded(id, aws)
    return settled(replace(gone, arn=case.target), case, aws) if gone else None


def baseline(case: Known) -> Endpoint | None:
    return case.baseline if isinstance(case.baseline, Endpoint) else None


def settled(gone: Endpoint, case: Known, aws: Aws) -> Endpoint:
    """What became of a lost endpoint: one that fills its place, or how it is lost."""
    theirs = case.event == "DeleteVpcEndpoints" and named(case.actor, case.shared.baseline_principals)
    if gone.managed or gone.loss == "retired" or theirs:
        return replace(gone, loss="retired")
    vpc = described("vpcs", aws, vpc_id=[gone.vpc])
    if not vpc:
        return replace(gone, loss="homeless")
    # Asked for once: between two answers another run may have made it again, which would then seem to be in its way.
    found = to_service(gone, aws)
    if there := next((raw for raw in found if raw["VpcEndpointId"] == gone.id and not is_gone(raw)), None):
        return looked_at(parsed(there, aws), baseline(case), aws)  # EC2's first answer was wrong
    living = others(gone, found, aws)
    rivals = [hindered(other, gone.parts - other.parts, living, aws) for other in living]
    if heir := heir_of(gone, rivals, case.moved_to):
        return looked_at(heir, gone, aws)
    if case.moved_to:
        return replace(gone, loss="homeless")  # the one made in its place answers for itself
    dying = gone.private_dns and is_dying(found)
    loss: Any = "leaving" if is_leaving(vpc[0], aws) else "dying" if dying else "deleted"
    names = naming(gone.id, aws) if gone.service.endswith(".s3") else ()
    lost = hindered(replace(gone, loss=loss, named_by=names), gone.parts, living, aws)
    lingers = loss == "deleted" and any(by.endswith(gone.id) for by in lost.taken.values())
    return replace(lost, loss="dying") if lingers else lost


def heir_of(gone: Endpoint, rivals: list[Endpoint], made: str) -> Endpoint | None:
    """The one that was `made` in its place; else one that is as good.

    Anybody may write our tag: it only excuses the lack of what another has taken.
    """
    for other in rivals:
        tagged = other.tags.get(REPLACES) == gone.id
        as_it_is = other if tagged else replace(other, taken={})
        if other.arn == made or (other.type == gone.type and not changes(as_it_is, gone) and not orphaned(other, gone)):
            return other
    return None


def evaluate(now: Endpoint | Vpc, case: Known) -> Violation | None:
    before = baseline(case)
    if isinstance(now, Vpc):
        return unprovided(now)
    if now.managed or now.loss == "homeless" or (before and before.loss == "retired"):
        return None
    if now.loss:
        return lost(now, case)
    if now.refused:
        return refused(now) if before and not before.refused else None
    return changed(now, before, case) if before else bereft(now)


def lost(now: Endpoint, case: Known) -> Violation | None:
    what = f"the endpoint to {now.service} in {now.vpc} is gone"
    if now.loss == "retired":
        return Violation(what)
    audit = only_audited(now, case)
    seconds, why = (0, "") if audit else wait(now, case)
    if seconds or (why := hopeless(now)):
        return Violation(what, todo=why, later=seconds)
    fix = another(now, {REPLACES: now.id})
    return Violation(what, fix=(fix,), todo=aftermath(now), audit_only=audit)


def only_audited(now: Endpoint, case: Known) -> str:
    guarded = now.type == "Gateway" or case.settings.interface_endpoints == "enforce"
    return "" if guarded else "interface_endpoints is audit"


def wait(now: Endpoint, case: Known) -> tuple[int, str]:
    """For how many seconds not to make it again yet, and why."""
    left = case.settings.grace_seconds - case.waited
    if left > 0 and (now.loss == "leaving" or now.missing):
        return left, f"{now.vpc} may be on its way out: {', '.join(now.missing) or 'its stack'} goes too."
    if now.loss == "dying" and case.waited < PATIENCE:
        has = DNS_NAME if now.private_dns else "its routes"
        return 60, f"The old endpoint is still being deleted and has {has}."
    return 0, ""


def changed(now: Endpoint, before: Endpoint, case: Known) -> Violation | None:
    fix, taken = changes(now, before), unheld(now, before)
    strangers = orphaned(now, before)
    if not (fix or taken or strangers):
        return None
    how = [*starmap(in_words, fix.items()), *(in_the_way(now, what) for what in taken)]
    how += [f"{group} is in the place of its own groups" for group in strangers]
    what = f"the endpoint to {now.service} in {now.vpc} is not as it was: {'; '.join(how)}"
    todo = f"Mend or delete what is in its way: {obstacles(now)}." if taken else ""
    if strangers:
        todo = f"{todo} Its own groups are gone: give it one that lets in no more than they did.".strip()
    if not fix:
        return Violation(what, todo=todo)
    unset = "" if case.shared.baseline_principals else "changes are audited until baseline_principals is set"
    return Violation(what, *mending(now, fix), todo=todo, audit_only=only_audited(now, case) or unset)


def unprovided(vpc: Vpc) -> Violation | None:
    said = [f"no endpoint to {', '.join(vpc.lacks)}"] if vpc.lacks else []
    said += [f"no way to {name} by {', '.join(parts)}" for name, parts in vpc.partly.items()]
    if not said:
        return None
    simple = [name for name in vpc.lacks if has_gateway(name)]
    rest = [name for name in vpc.lacks if name not in simple]
    tags = {REQUIRED: vpc.id}
    fix = (create(vpc.id, name, "Gateway", {"RouteTableIds": list(vpc.lacks[name])}, tags) for name in simple)
    todo = f"Make an interface endpoint in the subnets that use it: {', '.join(rest)}. " if rest else ""
    if vpc.partly:
        todo += (
            "Add these route tables to its gateway endpoint, in the place of other routes to the service; "
            "have these endpoints accepted, and switch on their private DNS."
        )
    return Violation(f"{vpc.id} has {'; '.join(said)}", fix=tuple(fix), todo=todo.strip())


def gone(case: Known) -> Violation | None:
    if case.target.kind == "vpc":
        return None
    todo = "Make it again by hand. CloudTrail's CreateVpcEndpoint and AWS Config's history may tell how it was."
    return Violation(f"{case.target.name} is gone, and nobody knows how it was", todo=todo)


def inventory(aws: Aws) -> Iterator[Arn]:
    """Endpoints, and VPCs for the services that they may require."""
    for raw in described("vpc_endpoints", aws):
        if is_alive(raw) and not raw.get("RequesterManaged"):
            yield arn_of(raw, aws)
    yield from (aws.here.arn("ec2", f"vpc/{vpc['VpcId']}") for vpc in described("vpcs", aws))


def newer(found: Endpoint | Vpc, known: Endpoint | Vpc) -> bool:
    return isinstance(found, Endpoint) and isinstance(known, Endpoint) and grown(found, known)


def related(target: Arn, aws: Aws) -> list[Arn]:
    """For a route table the gateway endpoints of its VPC; of all VPCs if the table is gone."""
    if target.kind != "route-table":
        return [target]
    vpcs = [raw["VpcId"] for raw in described("route_tables", aws, route_table_id=[target.name])]
    found = described("vpc_endpoints", aws, vpc_endpoint_type=["Gateway"], **({"vpc_id": vpcs} if vpcs else {}))
    return [arn_of(raw, aws) for raw in found if is_alive(raw)]


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
    missing=NOT_FOUND,
    later=LATER,
    stuck=STUCK,
    defensive=frozenset({"ModifyVpcEndpoint"}),
    lost=lambda found: isinstance(found, Endpoint) and bool(found.loss),
    safer=newer,
    made_by=made_by,
)
