"""template.yaml, built and deployed by SAM, untouched; what it then does to whom, seen by others; and its end."""

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import Report
from e2e.engine import ARCHITECTURE, Engine
from e2e.image import RUNTIME
from e2e.terminal import Terminal
from e2e.witnesses import PATIENCE, Witnesses
from holdfast.event import role_of
from holdfast.model import Outcome
from holdfast_cli import project
from holdfast_cli.demo.incidents import INCIDENTS, Incident, blocked, key, new_bucket, unblock
from holdfast_cli.demo.stage import STACK, Stage, build, furnish
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.waiting import wait_until
from holdfast_cli.shell import surroundings
from support import look

pytestmark = pytest.mark.e2e
REGION = "eu-west-1"
ANSWERED = [each for each in INCIDENTS if each.outcome != "ignored"]
RETAINED = {"Ledger"}
# Samples about what the local cloud lacks: custom key stores, directory buckets, an account's own Block Public Access.
NOT_IN_THE_LOCAL_CLOUD = (
    "ConnectCustomKeyStore",
    "DisconnectCustomKeyStore",
    "CreateBucket__directory",
    "DeleteAccountPublicAccessBlock",
    "PutAccountPublicAccessBlock",
)


@dataclass(frozen=True)
class Deployed:
    """The stack that SAM made, and who works with it."""

    stage: Stage
    type: Terminal
    witnesses: Witnesses

    @property
    def cloud(self) -> LocalCloud:
        return self.stage.cloud


@pytest.fixture(scope="module")
def deployed(containers: Engine | None, report: Report) -> Iterator[Deployed]:
    with LocalCloud(region=REGION, docker=containers) as cloud:
        stage = build(cloud)
        type = Terminal(surroundings(cloud))
        type(how_to_build(containers, report))
        values = {**stage.parameters, "Architecture": ARCHITECTURE}
        type(f"sam deploy --config-env local --parameter-overrides {' '.join(f'{k}={v}' for k, v in values.items())}")
        outputs = outputs_of(cloud)
        furnish(stage, outputs["TopicArn"])
        yield Deployed(stage, type, Witnesses.of(stage, outputs))


def how_to_build(containers: Engine | None, report: Report) -> str:
    """SAM wants the runtime's own Python; AWS's image has it."""
    if (RUNTIME / "bin" / "python3.13").exists():
        return "sam build"
    if containers:
        return "sam build --use-container"
    report.absent.append("SAM, and the stack that it deploys: there is no Python 3.13")
    pytest.skip(report.absent[-1])


@pytest.fixture(scope="module")
def targets(deployed: Deployed) -> dict[str, str]:
    """Everything that will be attacked, made first: what Holdfast does to a new bucket must be over by then."""
    made = {incident.title: incident.arrange(deployed.stage) for incident in ANSWERED}
    deployed.stage.settle()
    return made


def outputs_of(cloud: LocalCloud) -> dict[str, str]:
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def test_every_guardrail_has_an_incident() -> None:
    assert {incident.guardrail for incident in ANSWERED} == set(project.guardrails())


@pytest.mark.parametrize("incident", ANSWERED, ids=lambda incident: incident.title)
def test_an_incident_is_answered_told_and_recorded(
    incident: Incident, deployed: Deployed, targets: Mapping[str, str], report: Report
) -> None:
    stage, seen, target = deployed.stage, deployed.witnesses, targets[incident.title]
    actor = role_of(stage.people[incident.who].arn)
    incident.decide(stage)
    called = time.monotonic()
    incident.act(stage, target)
    wait_until(lambda: incident.safe(seen.view, target), f"{incident.title}: the fix", PATIENCE)
    report.seconds[incident.title] = time.monotonic() - called if incident.outcome == "remediated" else None

    def about_this(told: Mapping[str, Any]) -> bool:
        return (told["target"], told["guardrail"], told["actor"]["arn"]) == (target, incident.guardrail, actor)

    told = seen.message(incident.title, about_this)
    event = seen.event(told["id"])
    record = seen.closed(incident.guardrail, target, told["id"])
    assert told["outcome"] == incident.outcome
    assert (event["source"], event["resources"], event["detail"]) == ("holdfast", [target], told)
    assert (record["outcome"], record["actor"]["arn"]) == (incident.outcome, actor)
    assert incident.safe(seen.view, target)


@pytest.mark.parametrize("guardrail", project.guardrails())
def test_every_sample_is_answered_by_the_deployed_function(guardrail: str, deployed: Deployed) -> None:
    function = deployed.cloud.client("lambda")
    for sample in (project.EVENTS / guardrail).glob("*.json"):
        if not sample.stem.startswith(NOT_IN_THE_LOCAL_CLOUD):
            answer = function.invoke(FunctionName=f"{STACK}-{guardrail}", Payload=sample.read_text())
            outcomes = json.loads(answer["Payload"].read())
            assert set(outcomes.values()) <= set(Outcome), f"{sample.stem}: {outcomes}"


def test_sam_logs_shows_what_a_function_wrote(deployed: Deployed) -> None:
    deployed.stage.wake("kms-key-deletion")
    shown = deployed.type("sam logs --config-env local --name KmsKeyDeletion")
    assert re.search(r'"message": ?"done"', shown)


def test_sam_remote_invoke_gives_the_deployed_functions_answer(deployed: Deployed) -> None:
    target = key(deployed.stage)
    event = json.dumps(look("kms-key-deletion", target))
    answer = deployed.type(f"sam remote invoke KmsKeyDeletion --config-env local --event {shlex.quote(event)}")
    assert json.loads(answer) == {target: "compliant"}


@pytest.fixture(scope="module")
def local_invoke(deployed: Deployed, containers: Engine | None, report: Report) -> Callable[[str, Path], Any]:
    """README's command, after the one that it wants before, for a guardrail and a sample."""
    if containers is None:
        pytest.skip(report.absent[-1])
    readme = (project.ROOT / "README.md").read_text()
    deployed.type("holdfast variables > .build/variables.json")
    (line,) = re.findall(r"^sam local invoke .*$", readme, re.MULTILINE)

    def invoke(guardrail: str, sample: Path) -> Any:
        written = line.replace("KmsKeyDeletion", section(guardrail))
        event = str(sample.relative_to(project.ROOT))
        return json.loads(deployed.type(re.sub(r"events/\S+", event, written)))

    return invoke


def section(guardrail: str) -> str:
    """The function's name in the template."""
    return guardrail.title().replace("-", "")


@pytest.mark.parametrize("guardrail", project.guardrails())
def test_sam_local_invoke_gives_the_functions_answer(guardrail: str, local_invoke: Callable[[str, Path], Any]) -> None:
    samples = (project.EVENTS / guardrail).glob("*.json")
    answer = local_invoke(guardrail, min(s for s in samples if not s.stem.startswith(NOT_IN_THE_LOCAL_CLOUD)))
    assert answer
    assert set(answer.values()) <= set(Outcome), answer


def test_sam_local_invoke_mends_what_the_sample_names(
    deployed: Deployed, local_invoke: Callable[[str, Path], Any]
) -> None:
    sample = project.EVENTS / "s3-public-access-block" / "DeleteBucketPublicAccessBlock.json"
    name = json.loads(sample.read_text())["detail"]["requestParameters"]["bucketName"]
    events, rule = deployed.cloud.client("events"), deployed.stage.rules["S3PublicAccessBlockCalls"]
    events.disable_rule(Name=rule)
    target = new_bucket(deployed.stage, name)
    unblock("deploy")(deployed.stage, target)
    assert local_invoke("s3-public-access-block", sample) == {target: "remediated"}
    assert blocked(deployed.witnesses.view, target)
    events.enable_rule(Name=rule)


def test_the_watch_ticks_under_sam_local_invoke(deployed: Deployed, local_invoke: Callable[[str, Path], Any]) -> None:
    answer = json.loads(deployed.type("sam local invoke Watch --config-env local"))
    assert set(answer) == {"looks", "digests", "sweeps", "canaries"}


class TestDelete:
    """The last: nothing is left but the ledger, and what it holds."""

    def test_nothing_is_left_but_what_is_retained_on_purpose(self, deployed: Deployed) -> None:
        cloud = deployed.cloud
        kinds = {each["LogicalResourceId"]: each for each in resources_of(cloud)}
        wait_until(lambda: is_between_ticks(cloud), "a minute in which nothing runs", 2 * PATIENCE + 60)
        deployed.type("sam delete --config-env local --no-prompts")
        assert {kind["ResourceType"] for kind in kinds.values()} - set(THERE) == PARTS
        left = {name for name, each in kinds.items() if is_there(cloud, each)}
        assert left == RETAINED

    def test_the_records_are_still_read(self, deployed: Deployed, targets: Mapping[str, str]) -> None:
        (told, *_) = deployed.witnesses.oncall.heard
        message = json.loads(told["Message"])
        assert deployed.witnesses.closed(message["guardrail"], message["target"], message["id"])


def is_between_ticks(cloud: LocalCloud) -> bool:
    """The watch has just ticked, and nobody runs any more: a function that still did would make its log group anew."""
    ticked = logged(cloud, f"/aws/lambda/{STACK}-watch", 25)
    running = [name for name in log_groups(cloud) if logged(cloud, name, 3)]
    return ticked and not running


def log_groups(cloud: LocalCloud) -> list[str]:
    pages = (
        cloud.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/aws/lambda/{STACK}-")
    )
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def logged(cloud: LocalCloud, group: str, seconds: int) -> bool:
    """Whether something was written to a log group in the last seconds."""
    since = int((time.time() - seconds) * 1000)
    return bool(cloud.client("logs").filter_log_events(logGroupName=group, startTime=since)["events"])


def resources_of(cloud: LocalCloud) -> list[dict[str, Any]]:
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]


# How each kind of resource is seen to be there: the service, its listing, and where the names or ARNs are in it.
THERE = {
    "AWS::CloudWatch::Alarm": ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    "AWS::DynamoDB::Table": ("dynamodb", "list_tables", "TableNames[]"),
    "AWS::SSM::Parameter": ("ssm", "describe_parameters", "Parameters[].Name"),
    "AWS::Events::Rule": ("events", "list_rules", "Rules[].Name"),
    "AWS::IAM::ManagedPolicy": ("iam", "list_policies", "Policies[].Arn"),
    "AWS::IAM::Role": ("iam", "list_roles", "Roles[].RoleName"),
    "AWS::Lambda::Function": ("lambda", "list_functions", "Functions[].FunctionName"),
    "AWS::Lambda::LayerVersion": ("lambda", "list_layers", "Layers[].LatestMatchingVersion.LayerVersionArn"),
    "AWS::Logs::LogGroup": ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    "AWS::SNS::Topic": ("sns", "list_topics", "Topics[].TopicArn"),
    "AWS::SQS::Queue": ("sqs", "list_queues", "QueueUrls[]"),
    "AWS::Scheduler::Schedule": ("scheduler", "list_schedules", "Schedules[].Name"),
}
# These belong to one of those, and go with it.
PARTS = {
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}


def is_there(cloud: LocalCloud, resource: Mapping[str, Any]) -> bool:
    if resource["ResourceType"] in PARTS:
        return False
    service, listing, where = THERE[resource["ResourceType"]]
    pages = cloud.client(service).get_paginator(listing).paginate()
    return resource["PhysicalResourceId"] in pages.search(where)
