"""Roles, both ways, on a cloud that enforces them: a function does its job, and nothing else, and needs all it has.

The whole job is done by the deployed functions as themselves. Then, for every right of every role, the same code does
the same job as a role that lacks this one right, and it must be that right's call which is denied. What the local
cloud doesn't have or doesn't judge stands in `NOT_HERE`, each with its reason; `integration/test_needs` holds for it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

import pytest
import roles
import support
from botocore import xform_name
from botocore.exceptions import ClientError
from holdfast.event import Place
from holdfast.ledger import now
from holdfast.visit import Delivery
from holdfast.world import World
from holdfast_cli import project, rehearsal
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.identity import Identity
from holdfast_cli.local_cloud.server import ACCOUNT
from iam_needs import Call, needs
from roles import Statement
from support import ALL_MODELS, FAR_FUTURE, ME, REGION

ADMIN, SOMEBODYS = "admin", "somebodys"
STACK, HERE, WATCH = "holdfast", Place(ACCOUNT, "us-east-1"), "Watch"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deploy"
DENIALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
RULES = roles.of_type("AWS::Events::Rule")
Event = dict[str, Any]
Run = Callable[[Event], str]
Job = Callable[["Stage", Run], list[str]]
Row = tuple[str, str, dict[str, Any]]


def ours(event: Event) -> Event:
    """An event as `support` makes it, in this account."""
    text = json.dumps(event).replace(ME, ACCOUNT).replace(REGION, HERE.region)
    made: Event = json.loads(text)
    made["detail"].setdefault("eventTime", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    return made


def call(service: str, name: str, request: Any, **more: Any) -> Event:
    return ours(support.call(service, name, request, **more))


def look(guardrail: str, target: str) -> Event:
    return ours(support.look(guardrail, target))


def sweep() -> Event:
    return ours(support.sweep())


@dataclass
class Stage:
    """The account with the deployed stack, in which only what a test starts runs."""

    cloud: LocalCloud
    vpc: str
    key: str
    ids: Mapping[str, str]
    done: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    copies: Iterator[int] = field(default_factory=count)

    def root(self, service: str) -> Any:
        return self.cloud.client(service)

    def function(self, function: str) -> Any:
        return self.root("lambda").get_function_configuration(FunctionName=self.ids[function])

    def values(self) -> dict[str, str]:
        """What CloudFormation has filled into the roles."""
        return {
            "AWS::Partition": "aws",
            "AWS::Region": HERE.region,
            "AWS::AccountId": ACCOUNT,
            "Ledger.Arn": HERE.arn("dynamodb", f"table/{self.ids['Ledger']}"),
            "FailedQueue.Arn": HERE.arn("sqs", self.ids["FailedQueue"].rpartition("/")[2]),
            "Topic": self.ids["Topic"],
            "Canary": self.ids["Canary"],
        } | {f"{id}.Arn": HERE.arn("events", f"rule/{name}") for id, name in self.ids.items() if id in RULES}

    def rights(self, function: str) -> list[Statement]:
        found = roles.statements(f"{function}Role", options=())
        return [roles.filled(statement, self.values()) for statement in found]

    def role(self, policy: list[dict[str, Any]]) -> Identity:
        """A role beside the functions' own."""
        document = {"Version": "2012-10-17", "Statement": policy}
        return self.cloud.role(f"copy-{next(self.copies)}", document, path="/holdfast/")

    def session(self, function: str) -> Identity:
        """A session of the function's own role, as its process has one."""
        arn = self.function(function)["Role"]
        keys = self.root("sts").assume_role(RoleArn=arn, RoleSessionName="mallory")["Credentials"]
        return replace(
            self.cloud.root,
            arn=arn,
            access_key=keys["AccessKeyId"],
            secret_key=keys["SecretAccessKey"],
            token=keys["SessionToken"],
        )

    def heard(self) -> list[str]:
        """What security was told since the last time, without the names that are new in every account."""
        sqs = self.root("sqs")
        url, found = sqs.get_queue_url(QueueName="heard")["QueueUrl"], []
        while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                found.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        said = (f"{told.get('outcome')}: {told['what']} {told.get('todo', '')}" for told in found)
        return [re.sub(r"[0-9a-f]{8}[0-9a-f-]{5,}|\d{4}-\d\d-\d\dT[\d:.]+Z", "…", text) for text in said]

    def clear(self) -> None:
        """Nothing of a job remains for the next."""
        self.heard()
        table, dynamodb, s3 = self.ids["Ledger"], self.root("dynamodb"), self.root("s3")
        for item in dynamodb.scan(TableName=table)["Items"]:
            dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("guardrail", "target")})
        for bucket in s3.list_buckets()["Buckets"]:
            s3.delete_bucket(Bucket=bucket["Name"])
        for trail in self.root("cloudtrail").list_trails()["Trails"]:
            self.root("cloudtrail").delete_trail(Name=trail["TrailARN"])
        for key in self.root("kms").list_keys()["Keys"]:
            self.root("kms").cancel_key_deletion(KeyId=key["KeyId"])
            self.root("kms").enable_key(KeyId=key["KeyId"])
        ec2 = self.root("ec2")
        if ids := [found["VpcEndpointId"] for found in ec2.describe_vpc_endpoints()["VpcEndpoints"]]:
            ec2.delete_vpc_endpoints(VpcEndpointIds=ids)


def guard_encryption(stage: Stage, run: Run) -> list[str]:
    """A new bucket; and one to which a load balancer delivers its logs, which knows SSE-S3 only."""
    s3 = stage.root("s3")
    for name in ("lake", "logs"):
        s3.create_bucket(Bucket=name)
    delivery = {"Effect": "Allow", "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}}
    statement = delivery | {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return [*(run(call("s3", "CreateBucket", {"bucketName": name})) for name in ("lake", "logs")), run(sweep())]


def guard_public_access_block(stage: Stage, run: Run) -> list[str]:
    s3 = stage.root("s3")
    s3.create_bucket(Bucket="lake")
    s3.delete_public_access_block(Bucket="lake")
    return [run(call("s3", "DeleteBucketPublicAccessBlock", {"bucketName": "lake"}))]


def guard_perimeter(stage: Stage, run: Run) -> list[str]:
    """A new bucket; a website, which has no TLS; a public one, which S3 would refuse."""
    s3, public = stage.root("s3"), {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    for name in ("data-new", "data-website", "data-public"):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_website(Bucket="data-website", WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    s3.delete_public_access_block(Bucket="data-public")
    policy = {"Version": "2012-10-17", "Statement": [public | {"Resource": "arn:aws:s3:::data-public/*"}]}
    s3.put_bucket_policy(Bucket="data-public", Policy=json.dumps(policy))
    s3.put_public_access_block(
        Bucket="data-public", PublicAccessBlockConfiguration={"BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    )
    names = ("data-new", "data-website", "data-public")
    return [*(run(call("s3", "PutBucketPolicy", {"bucketName": name})) for name in names), run(sweep())]


def guard_key(stage: Stage, run: Run) -> list[str]:
    kms, guardrail = stage.root("kms"), "kms-key-deletion"
    key = kms.create_key()["KeyMetadata"]
    known = run(look(guardrail, key["Arn"]))
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    return [known, run(call("kms", "ScheduleKeyDeletion", {"keyId": key["Arn"]})), run(sweep())]


def guard_endpoint(stage: Stage, run: Run) -> list[str]:
    """One that loses a route table, and then is lost; and one that nobody knew."""
    ec2, guardrail = stage.root("ec2"), "vpc-endpoint"
    stage.root("s3").create_bucket(Bucket="names-it")
    place: Any = {"VpcId": stage.vpc, "ServiceName": "com.amazonaws.us-east-1.s3", "VpcEndpointType": "Gateway"}
    table = ec2.create_route_table(VpcId=stage.vpc)["RouteTable"]["RouteTableId"]
    id = ec2.create_vpc_endpoint(**place, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    policy: Any = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::names-it/*"}
    policy |= {"Condition": {"StringNotEquals": {"aws:SourceVpce": id}}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    stage.root("s3").put_bucket_policy(Bucket="names-it", Policy=document)
    ended = [run(look(guardrail, HERE.arn("ec2", f"vpc-endpoint/{id}")))]
    stack = stage.root("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackId"]
    ec2.create_tags(Resources=[stage.vpc], Tags=[{"Key": "aws:cloudformation:stack-id", "Value": stack}])
    ec2.modify_vpc_endpoint(VpcEndpointId=id, RemoveRouteTableIds=[table])
    ended.append(run(call("ec2", "ModifyVpcEndpoint", {"ModifyVpcEndpointRequest": {"VpcEndpointId": id}})))
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    for lost in (id, "vpce-0123456789abcdef0"):
        ended.append(run(call("ec2", "DeleteVpcEndpoints", {"DeleteVpcEndpointsRequest": {"VpcEndpointId": lost}})))
    return [*ended, run(sweep())]


def guard_trail(stage: Stage, run: Run) -> list[str]:
    """One that is stopped, blinded and narrowed, and then deleted."""
    cloudtrail, name = stage.root("cloudtrail"), {"name": "audit"}
    stage.root("s3").create_bucket(Bucket="logs")
    statement = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:PutObject"}
    policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": "arn:aws:s3:::logs/*"}]}
    stage.root("s3").put_bucket_policy(Bucket="logs", Policy=json.dumps(policy))
    whole: Any = {"S3BucketName": "logs", "IsMultiRegionTrail": True, "KmsKeyId": stage.key}
    cloudtrail.create_trail(Name="audit", **whole)
    cloudtrail.put_event_selectors(TrailName="audit", EventSelectors=[EVERYTHING])
    cloudtrail.start_logging(Name="audit")
    ended = [run(look("cloudtrail-logging", HERE.arn("cloudtrail", "trail/audit")))]
    cloudtrail.stop_logging(Name="audit")
    ended.append(run(call("cloudtrail", "StopLogging", name)))
    cloudtrail.put_event_selectors(TrailName="audit", EventSelectors=[{**EVERYTHING, "ReadWriteType": "ReadOnly"}])
    ended.append(run(call("cloudtrail", "PutEventSelectors", {"trailName": "audit"})))
    cloudtrail.update_trail(Name="audit", IsMultiRegionTrail=False)
    ended.append(run(call("cloudtrail", "UpdateTrail", name)))
    cloudtrail.delete_trail(Name="audit")
    return [*ended, run(call("cloudtrail", "DeleteTrail", name)), run(sweep())]


EVERYTHING: Any = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}


def watch(stage: Stage, run: Run) -> list[str]:
    """A page that is due, a first sweep that is over, and a rule that is on."""
    told = {"S": json.dumps({"outcome": "audited", "what": "it was so before"})}
    pages: list[Any] = [{"target": {"S": "key"}, "rev": {"N": "1"}, "told": told}, {"target": {"S": "#survey"}}]
    for page in pages:
        due = {"guardrail": {"S": "kms-key-deletion"}, "due": {"N": str(now())}, "pending": {"S": "pending"}}
        stage.root("dynamodb").put_item(TableName=stage.ids["Ledger"], Item=due | page)
    stage.root("events").enable_rule(Name=stage.ids["VpcEndpointCalls"])
    try:
        return [run({})]
    finally:
        stage.root("events").disable_rule(Name=stage.ids["VpcEndpointCalls"])


# The job of every function, and how its visits end.
JOBS: dict[str, tuple[Job, list[str]]] = {
    "S3DefaultEncryption": (
        guard_encryption,
        ["lake remediated", "logs compliant", "lake compliant, logs compliant"],
    ),
    "S3PublicAccessBlock": (guard_public_access_block, ["lake remediated"]),
    "S3VpcOnlyPolicy": (
        guard_perimeter,
        [
            "data-new remediated",
            "data-website escalated",
            "data-public escalated",
            "data-new compliant, data-public escalated, data-website escalated",
        ],
    ),
    "KmsKeyDeletion": (guard_key, ["key compliant", "key remediated", "key compliant"]),
    "VpcEndpoint": (
        guard_endpoint,
        [
            "vpc-endpoint compliant",
            "vpc-endpoint remediated",
            "vpc-endpoint remediated",
            "vpc-endpoint escalated",
            "vpc compliant, vpc-endpoint compliant, vpc-endpoint escalated",
        ],
    ),
    "CloudtrailLogging": (guard_trail, ["trail compliant", *["trail remediated"] * 4, "trail compliant"]),
    WATCH: (watch, ["canaries 1, digests 1, looks 1, sweeps 1"]),
}

# Rights whose loss can't show in the local cloud, by function and action, and why. Those that only an option of the
# stack gives (its own key, a role to pass) aren't in the roles here at all.
NOT_HERE = {
    ("*", "sqs:SendMessage"): "Lambda sends to the on-failure queue; the local cloud does so without asking the role",
    ("S3DefaultEncryption", "s3express:GetEncryptionConfiguration"): "it has no directory buckets",
    ("S3PublicAccessBlock", "s3:*AccountPublicAccessBlock"): "it has no Block Public Access of accounts",
    (
        "S3PublicAccessBlock",
        "s3:ListAllMyBuckets",
    ): "a sweep begins with the block of the account",
    ("S3PublicAccessBlock", "dynamodb:Query"): "the same",
    ("S3PublicAccessBlock", "organizations:DescribeEffectivePolicy"): "asked only about the account's own block",
    ("KmsKeyDeletion", "kms:DescribeCustomKeyStores"): "it has no custom key stores",
    ("VpcEndpoint", "ec2:DescribeSecurityGroups"): "it forgets the security groups of an endpoint",
    ("VpcEndpoint", "ec2:DescribeVpcAttribute"): "it forgets that an endpoint has private DNS",
    ("VpcEndpoint", "ec2:DescribePrefixLists"): "it has no routes to prefix lists",
    ("VpcEndpoint", "ec2:CreateTags"): "it doesn't judge tags that come with a creation",
    ("VpcEndpoint", "config:GetResourceConfigHistory"): "its AWS Config records nothing",
    ("VpcEndpoint", "route53:AssociateVPCWithHostedZone"): "it forgets that an endpoint has private DNS",
    ("CloudtrailLogging", "cloudtrail:*InsightSelectors"): "it has no Insights",
    ("CloudtrailLogging", "cloudtrail:AddTags"): "it loses the tags that a trail is created with",
}
# AWS judges these calls by several resources; the local cloud by those alone that end like this.
JUDGED_BY = {"ec2:CreateVpcEndpoint": ":vpc/*"}


def deploy(cloud: LocalCloud, **options: str) -> Stage:
    vpc = cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    parameters = {
        "Mode": "enforce",
        "Architecture": "x86_64",
        "EncryptionAlgorithm": "aws:kms",
        "EncryptionKeyArn": key,
        "VpcIds": vpc,
        "DataBuckets": "data-*",
        "BaselinePrincipals": DEPLOYER,
    }
    cloud.deploy(STACK, project.TEMPLATE, parameters | options, rehearsal.LAYER)
    silence(cloud)
    stage = Stage(cloud, vpc, key, cloud.resources(STACK))
    listen(stage)
    cloud.role(ADMIN, EVERYTHING_GOES)
    return stage


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with LocalCloud() as cloud:
        yield deploy(cloud)


def silence(cloud: LocalCloud) -> None:
    """No rule and no schedule starts a function besides the one under test."""
    events, scheduler = cloud.client("events"), cloud.client("scheduler")
    for rule in events.list_rules()["Rules"]:
        events.disable_rule(Name=rule["Name"])
    for schedule in scheduler.list_schedules()["Schedules"]:
        scheduler.delete_schedule(Name=schedule["Name"])


def listen(stage: Stage) -> None:
    sqs, arn = stage.root("sqs"), HERE.arn("sqs", "heard")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    sends = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sends | {"Resource": arn}]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    stage.root("sns").subscribe(TopicArn=stage.ids["Topic"], Protocol="sqs", Endpoint=arn)


def deployed(stage: Stage, function: str) -> Run:
    """The function itself."""

    def run(event: Event) -> str:
        answer = stage.root("lambda").invoke(FunctionName=stage.ids[function], Payload=json.dumps(event))
        said = json.loads(answer["Payload"].read())
        return f"{said['errorType']}: {said['errorMessage']}" if "FunctionError" in answer else in_words(said)

    return run


def in_words(answer: Mapping[str, Any]) -> str:
    """How each kind of target ended, or what the watch did."""
    return ", ".join(sorted({f"{kind(name)} {end}" for name, end in answer.items()}))


def kind(name: str) -> str:
    """A bucket's name; of other ARNs what they are of."""
    return name.split(":")[5].partition("/")[0] if name.startswith("arn:") else name


class Copy:
    """The function's code in this process, as another role. `denied` are the calls that IAM did not let it make."""

    def __init__(self, stage: Stage, function: str, identity: Identity) -> None:
        self.denied: list[Call] = []
        self._calls: list[Call] = []
        self._identity = identity
        deployed = stage.function(function)
        region = {"AWS_REGION": deployed["FunctionArn"].split(":")[3]}
        self._world = World.of(region | deployed["Environment"]["Variables"])
        self._variables = deployed["Environment"]["Variables"]
        session = self._world.aws.session
        session.register_component("data_loader", ALL_MODELS)
        session.register("before-parameter-build", self._note)
        session.register("after-call", self._judge)

    def __call__(self, event: Event) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._identity.environment().items():
                patch.setenv(name, value)
            try:
                return in_words(self._answer(event))
            except Exception as error:
                return f"failed: {type(error).__name__}"

    def _answer(self, event: Event) -> dict[str, Any]:
        if self._world.guardrail == "watch":
            return dict(project.watch().tick(self._world, project.watch().Plan.of(self._variables)))
        handler = project.load(self._world.guardrail).handler
        return dict(handler.handle(event, self._world, Delivery("delivery", FAR_FUTURE)))

    def _note(self, **happening: Any) -> None:
        model = happening["model"]
        self._calls.append(Call(model.service_model.service_name, model.name, dict(happening["params"]), HERE))

    def _judge(self, **happening: Any) -> None:
        if happening["parsed"].get("Error", {}).get("Code") in DENIALS:
            self.denied.append(self._calls[-1])


def rights() -> Iterator[Any]:
    """Function, statement and action for every right that can be lost here."""
    for function in roles.functions():
        for statement in roles.statements(f"{function}Role", options=()):
            for action in statement.actions if statement.effect == "Allow" else ():
                elsewhere = any(fnmatchcase(function, f) and fnmatchcase(action, a) for f, a in NOT_HERE)
                judged = any(resource.endswith(JUDGED_BY.get(action, "")) for resource in statement.resources)
                if judged and not elsewhere:
                    yield pytest.param(function, statement.at, action, id=f"{function}-{statement.at}-{action}")


def played(stage: Stage, function: str, run: Run) -> tuple[list[str], list[str]]:
    """How a job ended, and what security was told."""
    try:
        return JOBS[function][0](stage, run), stage.heard()
    finally:
        stage.clear()


def copied(stage: Stage, function: str, statements: list[dict[str, Any]]) -> Copy:
    return Copy(stage, function, stage.role([statement for statement in statements if statement["Action"]]))


def whole(stage: Stage, function: str) -> tuple[list[str], list[str]]:
    """The same with all rights, once for all of a function's tests."""
    if function not in stage.done:
        copy = copied(stage, function, [statement.document() for statement in stage.rights(function)])
        stage.done[function] = played(stage, function, copy)
        # S3 refuses a public policy in the words that it has for a caller without rights
        assert {call.parameters.get("Bucket") for call in copy.denied} <= {"data-public"}
    return stage.done[function]


@pytest.mark.parametrize("function", roles.functions())
def test_a_function_does_its_whole_job_as_itself(stage: Stage, function: str) -> None:
    ended, told = played(stage, function, deployed(stage, function))
    assert (ended, told) == (JOBS[function][1], whole(stage, function)[1])
    assert told


@pytest.mark.parametrize(("function", "at", "action"), list(rights()))
def test_without_one_of_its_rights_it_does_not(stage: Stage, function: str, at: str, action: str) -> None:
    statements = [s.document(without=action if s.at == at else "") for s in stage.rights(function)]
    copy = copied(stage, function, statements)
    assert played(stage, function, copy) != whole(stage, function)
    assert action in {need.action for call in copy.denied for need in needs(call)}


def test_what_cannot_be_lost_here_is_a_right_of_somebody() -> None:
    held = {(f, action) for f in roles.functions() for s in roles.statements(f"{f}Role") for action in s.actions}
    for function, action in NOT_HERE:
        assert any(fnmatchcase(f, function) and fnmatchcase(a, action) for f, a in held)


EVERYTHING_GOES = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def forbidden(stage: Stage) -> list[Row]:
    """What no attacker may do with a function's role: service, operation, parameters."""
    ids, everything = stage.ids, json.dumps(EVERYTHING_GOES)
    own = {"RoleName": ids["WatchRole"]}
    item = {"guardrail": {"S": "x"}, "target": {"S": "y"}}
    bucket, key, function = {"Bucket": SOMEBODYS}, {"KeyId": stage.key}, {"FunctionName": ids["S3VpcOnlyPolicy"]}
    ledger, topic = {"TableName": ids["Ledger"]}, {"TopicArn": ids["Topic"]}
    failed = {"QueueUrl": ids["FailedQueue"]}
    entry = {"Source": "somebody", "DetailType": "Holdfast Look", "Detail": "{}"}
    return [
        ("iam", "PutRolePolicy", own | {"PolicyName": "more", "PolicyDocument": everything}),
        ("iam", "AttachRolePolicy", own | {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
        ("iam", "DetachRolePolicy", own | {"PolicyArn": ids["EngineRights"]}),
        ("iam", "DeleteRolePolicy", own | {"PolicyName": "WatchRolePolicy0"}),
        ("iam", "UpdateAssumeRolePolicy", own | {"PolicyDocument": everything}),
        ("iam", "DeleteRolePermissionsBoundary", own),
        ("iam", "CreatePolicyVersion", {"PolicyArn": ids["EngineRights"], "PolicyDocument": everything}),
        ("iam", "CreateRole", {"RoleName": "mine", "AssumeRolePolicyDocument": everything}),
        ("iam", "DeleteRole", own),
        ("iam", "CreateUser", {"UserName": "mallory"}),
        ("iam", "CreateAccessKey", {"UserName": "root-helper"}),
        ("iam", "ListRoles", {}),
        ("sts", "AssumeRole", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{ADMIN}", "RoleSessionName": "mallory"}),
        ("lambda", "UpdateFunctionConfiguration", function | {"Environment": {"Variables": {}}}),
        ("lambda", "UpdateFunctionCode", function | {"S3Bucket": "mine", "S3Key": "code.zip"}),
        ("lambda", "DeleteFunction", function),
        (
            "lambda",
            "AddPermission",
            function | {"StatementId": "x", "Action": "lambda:InvokeFunction", "Principal": "*"},
        ),
        ("lambda", "Invoke", function),
        ("lambda", "GetFunction", function),
        ("lambda", "PutFunctionConcurrency", function | {"ReservedConcurrentExecutions": 0}),
        ("events", "DisableRule", {"Name": ids["S3VpcOnlyPolicyCalls"]}),
        ("events", "DeleteRule", {"Name": ids["S3VpcOnlyPolicyCalls"]}),
        ("events", "PutRule", {"Name": "mine", "EventPattern": '{"source": ["aws.s3"]}'}),
        ("events", "PutEvents", {"Entries": [entry]}),
        ("scheduler", "DeleteSchedule", {"Name": ids["WatchTick"]}),
        ("logs", "CreateLogGroup", {"logGroupName": "/aws/lambda/mine"}),
        ("logs", "DeleteLogGroup", {"logGroupName": ids["WatchLog"]}),
        ("logs", "PutRetentionPolicy", {"logGroupName": ids["WatchLog"], "retentionInDays": 1}),
        ("logs", "FilterLogEvents", {"logGroupName": ids["WatchLog"]}),
        ("logs", "DeleteMetricFilter", {"logGroupName": ids["WatchLog"], "filterName": "x"}),
        ("cloudwatch", "DeleteAlarms", {"AlarmNames": [ids["FailedAlarm"]]}),
        ("cloudwatch", "DisableAlarmActions", {"AlarmNames": [ids["FailedAlarm"]]}),
        ("sns", "Subscribe", topic | {"Protocol": "sqs", "Endpoint": HERE.arn("sqs", "mine")}),
        ("sns", "DeleteTopic", topic),
        ("sns", "SetTopicAttributes", topic | {"AttributeName": "Policy", "AttributeValue": everything}),
        ("sns", "Publish", {"TopicArn": HERE.arn("sns", "payments"), "Message": "pay"}),
        ("sqs", "ReceiveMessage", failed),
        ("sqs", "PurgeQueue", failed),
        ("sqs", "DeleteQueue", failed),
        ("sqs", "SendMessage", {"QueueUrl": ids["UndeliveredQueue"], "MessageBody": "x"}),
        ("dynamodb", "DeleteTable", ledger),
        ("dynamodb", "Scan", ledger),
        ("dynamodb", "DeleteItem", ledger | {"Key": item}),
        (
            "dynamodb",
            "UpdateTimeToLive",
            ledger | {"TimeToLiveSpecification": {"Enabled": False, "AttributeName": "e"}},
        ),
        ("dynamodb", "GetItem", {"TableName": "payments", "Key": item}),
        ("dynamodb", "PutItem", {"TableName": "payments", "Item": item}),
        ("ssm", "PutParameter", {"Name": "/holdfast/settings", "Value": '{"mode": "off"}', "Type": "String"}),
        ("ssm", "DeleteParameter", {"Name": "/holdfast/settings"}),
        ("ssm", "GetParametersByPath", {"Path": "/payments"}),
        ("ssm", "GetParameter", {"Name": "/payments/password"}),
        ("secretsmanager", "GetSecretValue", {"SecretId": "payments"}),
        ("s3", "GetObject", bucket | {"Key": "data"}),
        ("s3", "PutObject", bucket | {"Key": "data", "Body": b""}),
        ("s3", "DeleteObject", bucket | {"Key": "data"}),
        ("s3", "ListObjectsV2", bucket),
        ("s3", "DeleteBucket", bucket),
        ("s3", "DeleteBucketPolicy", bucket),
        ("s3", "PutBucketPolicy", bucket | {"Policy": everything}),
        ("s3", "PutBucketVersioning", bucket | {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("s3", "PutBucketAcl", bucket | {"ACL": "public-read"}),
        ("kms", "Decrypt", key | {"CiphertextBlob": b"x"}),
        ("kms", "Encrypt", key | {"Plaintext": b"x"}),
        ("kms", "ScheduleKeyDeletion", key),
        ("kms", "DisableKey", key),
        ("kms", "PutKeyPolicy", key | {"Policy": everything}),
        ("kms", "CreateGrant", key | {"GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:root", "Operations": ["Decrypt"]}),
        ("ec2", "RunInstances", {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1}),
        ("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": ["vpce-0123456789abcdef0"]}),
        ("ec2", "DeleteVpc", {"VpcId": stage.vpc}),
        (
            "ec2",
            "CreateRoute",
            {"RouteTableId": "rtb-12345678", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"},
        ),
        ("ec2", "AuthorizeSecurityGroupIngress", {"GroupId": "sg-12345678", "CidrIp": "0.0.0.0/0", "IpProtocol": "-1"}),
        ("cloudtrail", "StopLogging", {"Name": "audit"}),
        ("cloudtrail", "DeleteTrail", {"Name": "audit"}),
        ("cloudformation", "DeleteStack", {"StackName": STACK}),
        ("organizations", "LeaveOrganization", {}),
    ]


def refusal(identity: Identity, service: str, operation: str, parameters: dict[str, Any]) -> str:
    """The code by which AWS says no, whatever the reason; empty when it says yes."""
    try:
        getattr(identity.client(service), xform_name(operation))(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize("function", roles.functions())
def test_a_role_is_good_for_nothing_but_its_job(stage: Stage, function: str) -> None:
    session, held = stage.session(function), stage.rights(function)
    others = [row for row in forbidden(stage) if not is_granted(row, held)]
    assert len(others) >= 50
    stage.root("s3").create_bucket(Bucket=SOMEBODYS)  # objects are looked for before the caller is judged
    answers = {
        f"{service}:{operation}": refusal(session, service, operation, more) for service, operation, more in others
    }
    assert {call: answer for call, answer in answers.items() if answer not in DENIALS} == {}
    stage.clear()


def is_granted(row: Row, held: list[Statement]) -> bool:
    service, operation, parameters = row
    asked = list(needs(Call(service, operation, parameters, HERE)))
    allowed = [statement for statement in held if statement.effect == "Allow"]
    return bool(asked) and all(any(map(need.met_by, allowed)) for need in asked)


def test_the_same_calls_fail_for_other_reasons_if_somebody_may_make_them(stage: Stage) -> None:
    """In an account without the stack: a denial above is IAM's word on the role, not on the call."""
    with LocalCloud() as empty:
        empty.role(ADMIN, EVERYTHING_GOES)
        somebody = empty.user("somebody", EVERYTHING_GOES)
        assert [row[:2] for row in forbidden(stage) if refusal(somebody, *row) in DENIALS] == []


def test_only_holdfasts_own_roles_publish_to_its_topic(stage: Stage) -> None:
    message = {"TopicArn": stage.ids["Topic"], "Message": "all is well"}
    mallory = stage.cloud.user("publisher", EVERYTHING_GOES)
    lookalike = stage.cloud.role("holdfast", EVERYTHING_GOES)
    ours = stage.role([{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    answers = [refusal(who, "sns", "Publish", message) in DENIALS for who in (mallory, lookalike, ours)]
    assert answers == [True, True, False]


def test_the_job_is_done_with_every_option_of_the_stack_too() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    signing = f"arn:aws:lambda:us-east-1:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"
    trail_role = f"arn:aws:iam::{ACCOUNT}:role/trail-to-logs"
    more = {"PermissionsBoundaryArn": boundary, "CodeSigningConfigArn": signing, "TrailCloudWatchRoleArn": trail_role}
    with LocalCloud() as cloud:
        policy = cloud.client("iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(EVERYTHING_GOES))
        assert policy["Policy"]["Arn"] == boundary
        stage = deploy(cloud, CustomerManagedKey="true", **more)
        assert played(stage, "S3PublicAccessBlock", deployed(stage, "S3PublicAccessBlock"))[0] == ["lake remediated"]
