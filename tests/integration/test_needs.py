"""Roles, both ways, on moto: what the functions call, they may; and what they may, some run of theirs needs.

`iam_needs` says what IAM is asked for a call. Statements are compared with it down to the kind of resource and the
condition; that IAM sees them as we do shows `e2e/test_roles`, on a cloud that enforces them.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import boto3
import incidents
import pytest
import roles
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from holdfast import Place
from holdfast.ledger import Told, now
from holdfast.world import World
from holdfast_cli import project, template
from iam_needs import Call, needs
from incidents import cloudtrail_logging, vpc_endpoint
from moto.ec2.models import ec2_backends
from roles import Need, Statement
from support import HERE, INCIDENTS, ME, REGION, account, call, look, make_bucket, make_rule, run, sweep, world

for module in pkgutil.iter_modules(incidents.__path__, "incidents."):
    importlib.import_module(module.name)

LOG_ROLE = f"arn:aws:iam::{ME}:role/trail-to-logs"
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ME,
    "Ledger.Arn": HERE.arn("dynamodb", "table/holdfast"),
    "Canary": "/holdfast-canary",
    "Topic": HERE.arn("sns", "security"),
    "TrailCloudWatchRoleArn": LOG_ROLE,
}
WATCH = "Watch"
RULES = {s.guardrail: f"holdfast-{s.logical_id}Calls-1A2B3C4D5E6F" for s in template.functions()}
VALUES |= {f"{s.logical_id}Calls.Arn": HERE.arn("events", f"rule/{RULES[s.guardrail]}") for s in template.functions()}

# Rights that no call of a function needs, since a service uses them in the function's name.
FOR_SERVICES = {
    "sqs:SendMessage": "Lambda sends to the queue what the function could not finish",
    "kms:Decrypt": "DynamoDB, SNS and SQS work under the stack's key, with CustomerManagedKey",
    "kms:GenerateDataKey": "SNS and SQS work under the stack's key, with CustomerManagedKey",
}

Hook = Callable[[World], None]


class Recorder:
    """Hears every call that a world's clients are about to make."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, here: World) -> None:
        here.aws.session.register("before-parameter-build", self._note)

    def _note(self, **happening: Any) -> None:
        model, place = happening["model"], Place(ME, happening["context"]["client_region"])
        self.calls.append(Call(model.service_model.service_name, model.name, dict(happening["params"]), place))


def answered(hook: Hook, answers: dict[str, dict[str, Any]]) -> Hook:
    """With answers of AWS that moto doesn't give: `{"config.GetResourceConfigHistory": …}`."""

    def hooked(here: World) -> None:
        hook(here)
        for name, answer in answers.items():
            reply = (AWSResponse("", 200, HTTPHeaders(), None), answer)
            here.aws.session.register(f"before-call.{name}", lambda reply=reply, **_: reply)

    return hooked


def play_incidents(guardrail: str, hook: Hook) -> None:
    for build in INCIDENTS[guardrail].values():
        with account():
            incident = build()
            if incident.known:
                incident.run(look(guardrail, incident.target), hook=hook)
            incident.spoil()
            incident.run(hook=hook)


def sweep_it(guardrail: str, settings: dict[str, Any], hook: Hook) -> None:
    with account():
        make_bucket()
        run(guardrail, sweep(), settings, hook=hook)


def look_at_a_directory_bucket(hook: Hook) -> None:
    with account():
        target = HERE.arn("s3express", "bucket/fast--euw1-az1--x-s3")
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        answers = {"s3.GetBucketEncryption": {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}}
        run("s3-default-encryption", look("s3-default-encryption", target), hook=answered(hook, answers))


def lose_a_trail_with_insights_and_a_log_group(hook: Hook) -> None:
    def shown(here: World) -> None:
        """moto never says that a trail has Insights (CloudTrail API, Trail)."""
        hook(here)
        here.aws.session.register("after-call.cloudtrail.GetTrail", show_insights)

    def show_insights(**happening: Any) -> None:
        happening["parsed"].get("Trail", {})["HasInsightSelectors"] = True

    with account():
        group = f"arn:aws:logs:{REGION}:{ME}:log-group:trail:*"
        cloudtrail_logging.trail(CloudWatchLogsLogGroupArn=group, CloudWatchLogsRoleArn=LOG_ROLE)
        rate: Any = {"InsightType": "ApiCallRateInsight"}
        boto3.client("cloudtrail").put_insight_selectors(TrailName="audit", InsightSelectors=[rate])
        guardrail, settings = cloudtrail_logging.ID, {"cloudwatch_role_arn": LOG_ROLE}
        run(guardrail, look(guardrail, cloudtrail_logging.TRAIL), settings, hook=shown)
        cloudtrail_logging.delete()
        run(guardrail, call("cloudtrail", "DeleteTrail", {"name": "audit"}), settings, hook=shown)


def lose_an_endpoint_that_only_aws_config_knows(hook: Hook) -> None:
    """In a VPC of a stack, and with a bucket whose policy may name it."""
    with account():
        make_bucket()
        place = vpc_endpoint.vpc()
        id = vpc_endpoint.gateway(place)
        (shown,) = vpc_endpoint.alive()
        del ec2_backends[ME][REGION].vpc_end_points[id]  # moto shows a deleted endpoint for ever, EC2 doesn't
        stack = HERE.arn("cloudformation", "stack/network/1234abcd-12ab-34cd-56ef-1234567890ab")
        ec2_backends[ME][REGION].create_tags([place["vpc"]], {"aws:cloudformation:stack-id": stack})
        item = {"configuration": json.dumps(shown, default=str), "tags": {}}
        answers: dict[str, dict[str, Any]] = {
            "config.DescribeConfigurationRecorders": {"ConfigurationRecorders": [{"name": "default"}]},
            "config.GetResourceConfigHistory": {"configurationItems": [item]},
            "cloudformation.DescribeStacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]},
        }
        event = vpc_endpoint.deletion({"content": id, "tag": 1})
        run(vpc_endpoint.ID, event, hook=answered(hook, answers))


def take_a_subnet_from_an_endpoint(hook: Hook) -> None:
    with account():
        place = vpc_endpoint.vpc()
        id = vpc_endpoint.interface(place)
        options: dict[str, Any] = {"hook": hook, "baseline_principals": [vpc_endpoint.CI]}
        target, settings = HERE.arn("ec2", f"vpc-endpoint/{id}"), {"interface_endpoints": "enforce"}
        run(vpc_endpoint.ID, look(vpc_endpoint.ID, target), settings, **options)
        vpc_endpoint.ec2().modify_vpc_endpoint(VpcEndpointId=id, RemoveSubnetIds=[place["subnet"]])
        event = call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": id}})
        run(vpc_endpoint.ID, event, settings, **options)


def tick_with_everything_due(hook: Hook) -> None:
    with account():
        seen = world("watch")
        page = seen.ledger.page("s3-default-encryption", "arn:aws:s3:::lake")
        page.remember(None, Told("audited", "it is open"))
        seen.ledger.begin_survey("s3-default-encryption", now())
        for rule in RULES.values():
            make_rule(rule)
        here = world("watch")
        hook(here)
        plan = project.watch().Plan(3600, RULES, "/holdfast-canary")
        done = project.watch().tick(here, plan)
        assert min(done["digests"], done["sweeps"]) > 0


MORE: dict[str, tuple[Callable[[Hook], None], ...]] = {
    "s3-default-encryption": (look_at_a_directory_bucket,),
    "cloudtrail-logging": (lose_a_trail_with_insights_and_a_log_group,),
    "vpc-endpoint": (lose_an_endpoint_that_only_aws_config_knows, take_a_subnet_from_an_endpoint),
}
SWEPT = {"s3-vpc-only-policy": {"buckets": ["lake"], "vpc_ids": ["vpc-12345678"]}}


@cache
def needed(function: str) -> tuple[Need, ...]:
    """All that IAM is asked in the function's runs."""
    recorder = Recorder()
    if function == WATCH:
        tick_with_everything_due(recorder)
    else:
        (guardrail,) = (s.guardrail for s in template.functions() if s.logical_id == function)
        play_incidents(guardrail, recorder)
        sweep_it(guardrail, SWEPT.get(guardrail, {}), recorder)
        for play in MORE.get(guardrail, ()):
            play(recorder)
    return tuple({repr(need): need for made in recorder.calls for need in needs(made)}.values())


def granted(function: str) -> list[Statement]:
    said = (roles.filled(statement, VALUES) for statement in roles.statements(f"{function}Role"))
    return [statement for statement in said if statement.effect == "Allow"]


def single(statement: Statement) -> Iterator[Statement]:
    """A statement for each of its actions on each of its resources."""
    for action in statement.actions:
        for resource in statement.resources:
            yield replace(statement, actions=(action,), resources=(resource,))


of_every_function = pytest.mark.parametrize("function", roles.functions())


@of_every_function
def test_what_a_function_calls_its_role_allows_and_what_that_allows_it_calls(function: str) -> None:
    asked, allowed = needed(function), granted(function)
    assert [need for need in asked if not any(map(need.met_by, allowed))] == []
    rights = [one for statement in allowed for one in single(statement) if one.actions[0] not in FOR_SERVICES]
    assert [one for one in rights if not any(need.met_by(one) for need in asked)] == []


@of_every_function
def test_a_role_allows_by_name(function: str) -> None:
    for statement in granted(function):
        assert not [action for action in statement.actions if "*" in action or "?" in action]


def test_rights_that_only_services_use_are_on_the_stacks_own_queue_and_key() -> None:
    for function in roles.functions():
        for statement in roles.statements(f"{function}Role"):
            if set(statement.actions) & FOR_SERVICES.keys():
                assert set(statement.actions) <= FOR_SERVICES.keys()
                assert statement.resources in (("${FailedQueue.Arn}",), ("${Key.Arn}",))


def test_a_right_too_many_and_a_right_too_few_are_seen() -> None:
    asked = needed(WATCH)
    query = Statement("x", ("dynamodb:Query",), (HERE.arn("dynamodb", "table/another"),))
    assert not any(need.met_by(query) for need in asked)
    other = Need("events:PutEvents", HERE.arn("events", "event-bus/default"), {"events:source": "aws.s3"})
    assert not any(map(other.met_by, granted(WATCH)))
