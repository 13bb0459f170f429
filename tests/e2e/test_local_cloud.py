"""The account on this machine: calls become CloudTrail's own records, IAM decides, a template lives, nothing stays."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from botocore.exceptions import ClientError
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.errors import DeployFailed, MissingEnvironment, NotStarted, TimedOut
from holdfast_cli.local_cloud.identity import Identity
from holdfast_cli.local_cloud.server import ACCOUNT, environment
from holdfast_cli.local_cloud.waiting import wait_until

Record = dict[str, Any]
Network = tuple[Any, str, list[str], list[str]]
CALLS = {"detail-type": ["AWS API Call via CloudTrail"]}
reads_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SUCCEEDED = CALLS | {"detail": {"errorCode": [{"exists": False}]}}


def allow(*actions: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


class Ear:
    """A queue behind a rule: what the default bus says, in order."""

    def __init__(self, cloud: LocalCloud, name: str, pattern: Mapping[str, Any], region: str = "us-east-1") -> None:
        self._sqs = cloud.client("sqs", region)
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"
        sender = {"Principal": {"Service": "events.amazonaws.com"}, "Resource": arn}
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", **sender}]}
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"Policy": json.dumps(policy)})
        events = cloud.client("events", region)
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "ear", "Arn": arn}])
        self.heard: list[dict[str, Any]] = []

    def event(self, name: str, matches: Callable[[Record], object] = bool) -> dict[str, Any]:
        """The first event of that name whose record matches."""

        def found() -> dict[str, Any] | None:
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                self.heard.append(json.loads(message["Body"]))
            named = (each for each in self.heard if each["detail"]["eventName"] == name)
            return next((each for each in named if matches(each["detail"])), None)

        return wait_until(found, f"event {name}")

    def record(self, name: str, matches: Callable[[Record], object] = bool) -> Record:
        """The record in that event."""
        detail: Record = self.event(name, matches)["detail"]
        return detail

    def names(self) -> set[str]:
        """What has been heard of so far."""
        return {each["detail"]["eventName"] for each in self.heard}


def of(bucket: str) -> Callable[[Record], object]:
    return lambda record: record["requestParameters"]["bucketName"] == bucket


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud
        assert "no record of" not in cloud.server_log()


@pytest.fixture(scope="module")
def ear(cloud: LocalCloud) -> Ear:
    return Ear(cloud, "all", CALLS)


@pytest.fixture(scope="module")
def engineer(cloud: LocalCloud) -> Identity:
    return cloud.user("engineer", allow("s3:*", "kms:*", "ec2:*", "iam:*", "ssm:*", "cloudtrail:*", "lambda:*"))


@pytest.fixture(scope="module")
def nobody(cloud: LocalCloud) -> Identity:
    return cloud.user("nobody", allow("sts:GetCallerIdentity"))


@pytest.fixture(scope="module")
def network(engineer: Identity) -> Network:
    """An EC2 client, a VPC, its two subnets and two route tables."""
    ec2 = engineer.client("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "prod", "Value": "true"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    blocks = ("10.0.1.0/24", "10.0.2.0/24")
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"] for block in blocks]
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in blocks]
    return ec2, vpc, subnets, tables


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    files = {"template.yaml": TEMPLATE, "functions/versions/versions.py": FUNCTION}
    folder = write(tmp_path_factory.mktemp("project"), files)
    layer = write(tmp_path_factory.mktemp("layer"), {"python/library.py": "ALLOWED = True"})
    return cloud.deploy("toy", folder / "template.yaml", {"Status": "Enabled"}, layer)


@pytest.fixture(scope="module")
def run(cloud: LocalCloud, stack: dict[str, str]) -> Callable[..., Any]:
    """Calls the toy's function and gives what it answers."""

    def run(**event: Any) -> Any:
        answer = cloud.client("lambda").invoke(FunctionName=stack["Function"], Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read())

    return run


def denied(call: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


class TestWhoCalled:
    def test_a_users_call_arrives_with_that_user(self, ear: Ear, engineer: Identity) -> None:
        engineer.client("s3").create_bucket(Bucket="by-a-user")
        event = ear.event("CreateBucket", of("by-a-user"))
        record = event["detail"]
        assert event["source"] == "aws.s3"
        assert event["resources"] == []
        assert (event["account"], event["region"]) == (ACCOUNT, "us-east-1")
        identity = record["userIdentity"]
        assert re.fullmatch("AIDA[A-Z0-9]{17}", identity.pop("principalId"))
        assert identity == {
            "type": "IAMUser",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/engineer",
            "accountId": ACCOUNT,
            "accessKeyId": engineer.access_key,
            "userName": "engineer",
        }
        assert record["requestParameters"] == {
            "bucketName": "by-a-user",
            "Host": "by-a-user.s3.us-east-1.amazonaws.com",
        }
        assert record["responseElements"] is None
        assert "resources" not in record  # never for CreateBucket
        assert {"errorCode", "vpcEndpointId"}.isdisjoint(record)

    def test_a_session_names_the_role_that_issued_it_with_its_path(self, cloud: LocalCloud, ear: Ear) -> None:
        session = cloud.role("deployer", allow("s3:CreateBucket"), path="/ci/")
        session.client("s3").create_bucket(Bucket="by-a-role")
        record = ear.record("CreateBucket", of("by-a-role"))
        identity = record["userIdentity"]
        issuer = identity["sessionContext"]["sessionIssuer"]
        assert identity["type"] == "AssumedRole"
        assert identity["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/deployer"
        assert identity["principalId"] == f"{issuer['principalId']}:deployer"
        assert (issuer["arn"], issuer["userName"]) == (f"arn:aws:iam::{ACCOUNT}:role/ci/deployer", "deployer")
        assert identity["sessionContext"]["attributes"]["creationDate"].endswith("Z")

    def test_root_has_no_user_name(self, cloud: LocalCloud, ear: Ear) -> None:
        cloud.client("s3").create_bucket(Bucket="by-root")
        record = ear.record("CreateBucket", of("by-root"))
        assert record["userIdentity"] == {
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": f"arn:aws:iam::{ACCOUNT}:root",
            "accountId": ACCOUNT,
            "accessKeyId": cloud.root.access_key,
        }

    def test_a_rule_hears_its_own_region_and_iam_is_heard_in_us_east_1(self, cloud: LocalCloud, ear: Ear) -> None:
        ireland = Ear(cloud, "ireland", CALLS, "eu-west-1")
        cloud.client("iam", "eu-west-1").create_group(GroupName="anywhere")
        place = {"LocationConstraint": "eu-west-1"}
        cloud.client("s3", "eu-west-1").create_bucket(Bucket="in-ireland", CreateBucketConfiguration=place)
        record = ireland.record("CreateBucket")
        assert record["awsRegion"] == "eu-west-1"
        assert record["requestParameters"]["CreateBucketConfiguration"] == place | {
            "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"
        }
        assert ear.record("CreateGroup")["awsRegion"] == "us-east-1"
        assert "CreateGroup" not in ireland.names()


class TestWhatWasRefused:
    def test_an_iam_denial_leaves_a_record_without_parameters(self, ear: Ear, nobody: Identity) -> None:
        assert denied(nobody.client("iam").create_user, UserName="mallory") == "AccessDenied"
        record = ear.record("CreateUser", lambda record: "errorCode" in record)
        assert record["errorCode"] == "AccessDenied"
        assert "not authorized to perform: iam:CreateUser" in record["errorMessage"]
        assert record["requestParameters"] is record["responseElements"] is None
        assert record["userIdentity"]["userName"] == "nobody"

    def test_kms_calls_it_access_denied_too(self, cloud: LocalCloud, ear: Ear, nobody: Identity) -> None:
        key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
        assert denied(nobody.client("kms").disable_key, KeyId=key) == "AccessDeniedException"
        record = ear.record("DisableKey", lambda record: record["userIdentity"].get("userName") == "nobody")
        assert (record["errorCode"], record["requestParameters"]) == ("AccessDenied", None)

    def test_ec2_keeps_the_parameters_and_prefixes_the_code(self, ear: Ear, nobody: Identity) -> None:
        ec2 = nobody.client("ec2")
        assert denied(ec2.delete_vpc_endpoints, VpcEndpointIds=["vpce-1"]) == "UnauthorizedOperation"
        record = ear.record("DeleteVpcEndpoints", lambda record: "errorCode" in record)
        assert record["errorCode"] == "Client.UnauthorizedOperation"
        assert record["requestParameters"] == {
            "DeleteVpcEndpointsRequest": {"VpcEndpointId": {"tag": 1, "content": "vpce-1"}}
        }

    def test_s3_keeps_the_parameters(self, ear: Ear, nobody: Identity) -> None:
        assert denied(nobody.client("s3").delete_bucket_policy, Bucket="of-others") == "AccessDenied"
        record = ear.record("DeleteBucketPolicy", lambda record: "errorCode" in record)
        assert record["requestParameters"]["bucketName"] == "of-others"
        assert "resources" not in record

    def test_a_rule_that_wants_no_error_code_never_hears_of_it(
        self, cloud: LocalCloud, ear: Ear, nobody: Identity
    ) -> None:
        successes = Ear(cloud, "successes", SUCCEEDED)
        denied(nobody.client("s3").delete_bucket, Bucket="of-others")
        cloud.client("s3").create_bucket(Bucket="last")
        successes.record("CreateBucket", of("last"))
        assert "DeleteBucket" not in successes.names()
        assert ear.record("DeleteBucket")["errorCode"]

    def test_keys_that_nobody_owns_leave_no_record(self, cloud: LocalCloud, ear: Ear, nobody: Identity) -> None:
        stranger = Identity("?", cloud.endpoint, "us-east-1", "AKIA" + "X" * 16, "?")
        assert denied(stranger.client("s3").create_bucket, Bucket="by-a-stranger") == "InvalidAccessKeyId"
        cloud.client("s3").create_bucket(Bucket="after-a-stranger")
        ear.record("CreateBucket", of("after-a-stranger"))
        assert "by-a-stranger" not in json.dumps(ear.heard)


ONLY_OPERATORS = {
    "Effect": "Deny",
    "Condition": {
        "ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/ops/*"},
        "Bool": {"aws:PrincipalIsAWSService": "false"},
    },
}
ONLY_TLS = {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}


def test_a_resource_policy_sees_roles_services_and_tls_as_in_aws(cloud: LocalCloud) -> None:
    topic = cloud.client("sns").create_topic(Name="guarded")["TopicArn"]
    about = {"Principal": "*", "Action": "sns:Publish", "Resource": topic}
    policy = {"Version": "2012-10-17", "Statement": [about | ONLY_OPERATORS, about | ONLY_TLS]}
    cloud.client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))
    operator = cloud.role("operator", allow("sns:Publish"), path="/ops/")
    outsider = cloud.user("outsider", allow("sns:Publish"))
    assert operator.client("sns").publish(TopicArn=topic, Message="mine")["MessageId"]
    assert denied(outsider.client("sns").publish, TopicArn=topic, Message="forged") == "AuthorizationError"


XMLNS = {"xmlns": "http://s3.amazonaws.com/doc/2006-03-01/"}
GRANTEE = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
GRANT = {"Grantee": GRANTEE, "Permission": "READ"}
LOGGED_GRANT = {
    "Grantee": {
        "xsi:type": "Group",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "URI": GRANTEE["URI"],
    },
    "Permission": "READ",
}
S3_CALLS = [
    (
        "put_public_access_block",
        {"PublicAccessBlockConfiguration": {"BlockPublicAcls": False, "BlockPublicPolicy": True}},
        "PutBucketPublicAccessBlock",
        {
            "publicAccessBlock": "",
            "PublicAccessBlockConfiguration": {"BlockPublicAcls": False, "BlockPublicPolicy": True, **XMLNS},
        },
    ),
    ("delete_public_access_block", {}, "DeleteBucketPublicAccessBlock", {"publicAccessBlock": ""}),
    (
        "put_bucket_policy",
        {"Policy": json.dumps({"Version": "2012-10-17", "Statement": []})},
        "PutBucketPolicy",
        {"policy": "", "bucketPolicy": {"Version": "2012-10-17", "Statement": []}},
    ),
    ("delete_bucket_policy", {}, "DeleteBucketPolicy", {"policy": ""}),
    (
        "put_bucket_encryption",
        {
            "ServerSideEncryptionConfiguration": {
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}]
            }
        },
        "PutBucketEncryption",
        {
            "encryption": "",
            "ServerSideEncryptionConfiguration": {
                "Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True},
                **XMLNS,
            },
        },
    ),
    ("delete_bucket_encryption", {}, "DeleteBucketEncryption", {"encryption": ""}),
    (
        "put_bucket_ownership_controls",
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
        "PutBucketOwnershipControls",
        {"ownershipControls": "", "OwnershipControls": {"Rule": {"ObjectOwnership": "ObjectWriter"}, **XMLNS}},
    ),
    ("put_bucket_acl", {"ACL": "private"}, "PutBucketAcl", {"acl": "", "x-amz-acl": "private"}),
    (
        "put_bucket_acl",
        {"AccessControlPolicy": {"Owner": {"ID": "o"}, "Grants": [GRANT, GRANT]}},
        "PutBucketAcl",
        {
            "acl": "",
            "AccessControlPolicy": {
                "Owner": {"ID": "o"},
                "AccessControlList": {"Grant": [LOGGED_GRANT, LOGGED_GRANT]},
                **XMLNS,
            },
        },
    ),
    (
        "put_bucket_lifecycle_configuration",
        {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]}},
        "PutBucketLifecycle",
        {
            "lifecycle": "",
            "LifecycleConfiguration": {
                "Rule": {"Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}},
                **XMLNS,
            },
        },
    ),
]


class TestS3Shapes:
    @pytest.mark.parametrize(("call", "parameters", "name", "expected"), S3_CALLS, ids=lambda value: str(value)[:40])
    def test_flags_and_body_stand_as_cloudtrail_has_them(
        self, ear: Ear, engineer: Identity, call: str, parameters: Any, name: str, expected: Any
    ) -> None:
        s3, bucket = engineer.client("s3"), f"shapes-{os.urandom(4).hex()}"
        s3.create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter")
        if call == "put_bucket_acl":
            s3.delete_public_access_block(Bucket=bucket)
        getattr(s3, call)(Bucket=bucket, **parameters)
        record = ear.record(name, of(bucket))
        host = {"bucketName": bucket, "Host": f"{bucket}.s3.us-east-1.amazonaws.com"}
        assert record["requestParameters"] == host | expected
        assert record["responseElements"] is None
        bucket_itself = {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{bucket}"}
        assert record["resources"] == [bucket_itself]

    def test_objects_are_data_events_and_stay_silent(self, cloud: LocalCloud, ear: Ear, engineer: Identity) -> None:
        s3 = engineer.client("s3")
        s3.create_bucket(Bucket="objects")
        s3.put_object(Bucket="objects", Key="a/b", Body=b"x")
        s3.delete_objects(Bucket="objects", Delete={"Objects": [{"Key": "a/b"}]})
        s3.delete_bucket(Bucket="objects")
        ear.record("DeleteBucket", of("objects"))
        assert {"PutObject", "DeleteObject", "DeleteObjects"}.isdisjoint(ear.names())


class TestKmsShapes:
    def test_the_key_stands_as_arn_whatever_the_caller_typed(self, ear: Ear, engineer: Identity) -> None:
        kms = engineer.client("kms")
        key = kms.create_key()["KeyMetadata"]
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
        kms.cancel_key_deletion(KeyId=key["Arn"])
        kms.enable_key(KeyId=key["KeyId"])

        def about_it(record: Record) -> bool:
            return bool(record.get("resources")) and record["resources"][0]["ARN"] == key["Arn"]

        scheduled = ear.record("ScheduleKeyDeletion", about_it)
        assert scheduled["requestParameters"] == {"keyId": key["KeyId"], "pendingWindowInDays": 7}
        assert scheduled["responseElements"]["keyId"] == key["Arn"]
        assert scheduled["responseElements"]["keyState"] == "PendingDeletion"
        assert re.fullmatch(r"\w{3} \d+, \d{4}, \d+:\d\d:\d\d [AP]M", scheduled["responseElements"]["deletionDate"])
        assert ear.record("CancelKeyDeletion", about_it)["requestParameters"] == {"keyId": key["Arn"]}
        assert ear.record("EnableKey", about_it)["responseElements"] == {"keyId": key["Arn"]}
        assert ear.record("CreateKey", about_it)["responseElements"]["keyMetadata"]["keyId"] == key["KeyId"]

    def test_an_unknown_key_is_forgotten(self, ear: Ear, engineer: Identity) -> None:
        denied(engineer.client("kms").enable_key_rotation, KeyId="11111111-2222-3333-4444-555555555555")
        record = ear.record("EnableKeyRotation")
        assert (record["errorCode"], record["requestParameters"]) == ("NotFoundException", None)


class TestEc2Shapes:
    def test_endpoints_speak_the_xml_style(self, ear: Ear, network: Network) -> None:
        ec2, vpc, subnets, tables = network
        tags = [{"ResourceType": "vpc-endpoint", "Tags": [{"Key": "team", "Value": "data"}]}]
        service = "com.amazonaws.us-east-1.s3"
        gateway = ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=service, RouteTableIds=tables[:1], PolicyDocument="{}", TagSpecifications=tags
        )["VpcEndpoint"]["VpcEndpointId"]
        ec2.create_vpc_endpoint(
            VpcId=vpc, VpcEndpointType="Interface", ServiceName=service, SubnetIds=subnets, PrivateDnsEnabled=True
        )
        created = ear.record("CreateVpcEndpoint")
        assert created["requestParameters"]["CreateVpcEndpointRequest"] == {
            "VpcId": vpc,
            "ServiceName": service,
            "RouteTableId": {"tag": 1, "content": tables[0]},
            "PolicyDocument": "{}",
            "TagSpecification": {
                "tag": 1,
                "ResourceType": "vpc-endpoint",
                "Tag": {"tag": 1, "Key": "team", "Value": "data"},
            },
        }
        endpoint = created["responseElements"]["CreateVpcEndpointResponse"]["vpcEndpoint"]
        assert endpoint["vpcEndpointId"] == gateway
        assert endpoint["routeTableIdSet"] == {"item": tables[0]}
        assert endpoint["ownerId"] == int(ACCOUNT)  # CloudTrail makes a number of it
        interface = ear.record("CreateVpcEndpoint", lambda record: "Interface" in json.dumps(record))
        asked = interface["requestParameters"]["CreateVpcEndpointRequest"]
        assert asked["PrivateDnsEnabled"] is True
        assert asked["SubnetId"] == [{"tag": 1, "content": subnets[0]}, {"tag": 2, "content": subnets[1]}]

    def test_deleting_endpoints_lists_one_as_object_and_several_as_list(self, ear: Ear, network: Network) -> None:
        ec2, vpc, _, _ = network
        ids = [
            ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.us-east-1.{name}")["VpcEndpoint"][
                "VpcEndpointId"
            ]
            for name in ("s3", "dynamodb", "kms")
        ]
        ec2.delete_vpc_endpoints(VpcEndpointIds=ids[:1])
        ec2.delete_vpc_endpoints(VpcEndpointIds=ids[1:])
        one = ear.record("DeleteVpcEndpoints", lambda record: ids[0] in json.dumps(record))
        assert one["requestParameters"] == {
            "DeleteVpcEndpointsRequest": {"VpcEndpointId": {"tag": 1, "content": ids[0]}}
        }
        assert one["responseElements"]["DeleteVpcEndpointsResponse"]["unsuccessful"] == ""
        two = ear.record("DeleteVpcEndpoints", lambda record: ids[1] in json.dumps(record))
        assert two["requestParameters"]["DeleteVpcEndpointsRequest"]["VpcEndpointId"] == [
            {"tag": 1, "content": ids[1]},
            {"tag": 2, "content": ids[2]},
        ]

    def test_route_tables_speak_the_old_style(self, ear: Ear, network: Network) -> None:
        ec2, _, subnets, tables = network
        association = ec2.associate_route_table(RouteTableId=tables[0], SubnetId=subnets[0])["AssociationId"]
        ec2.replace_route_table_association(AssociationId=association, RouteTableId=tables[1])
        ec2.delete_route_table(RouteTableId=tables[0])
        replaced = ear.record("ReplaceRouteTableAssociation")
        assert replaced["requestParameters"] == {"associationId": association, "routeTableId": tables[1]}
        assert replaced["responseElements"]["newAssociationId"].startswith("rtbassoc-")
        deleted = ear.record("DeleteRouteTable")
        assert deleted["requestParameters"] == {"routeTableId": tables[0]}
        assert deleted["responseElements"]["_return"] is True

    def test_tags_and_group_rules_are_items(self, ear: Ear, network: Network) -> None:
        ec2, vpc, _, _ = network
        group = ec2.create_security_group(GroupName="open", Description="to all", VpcId=vpc)["GroupId"]
        world = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[world])
        created = ear.record("CreateVpc")
        assert created["requestParameters"]["tagSpecificationSet"] == {
            "items": [{"resourceType": "vpc", "tags": [{"key": "prod", "value": "true"}]}]
        }
        opened = ear.record("AuthorizeSecurityGroupIngress")
        assert opened["requestParameters"] == {
            "groupId": group,
            "ipPermissions": {
                "items": [
                    {
                        "ipProtocol": "tcp",
                        "fromPort": 22,
                        "toPort": 22,
                        "ipRanges": {"items": [{"cidrIp": "0.0.0.0/0"}]},
                        "groups": {},
                        "ipv6Ranges": {},
                        "prefixListIds": {},
                    }
                ]
            },
        }
        (rule,) = opened["responseElements"]["securityGroupRuleSet"]["items"]
        assert (rule["groupOwnerId"], rule["isEgress"], rule["fromPort"]) == (ACCOUNT, False, 22)


class TestOtherShapes:
    def test_members_lose_their_capital_and_maps_keep_their_keys(self, ear: Ear, engineer: Identity) -> None:
        cloudtrail = engineer.client("cloudtrail")
        cloudtrail.create_trail(Name="main", S3BucketName="logs", IsMultiRegionTrail=True)
        selectors = [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False, "DataResources": []}]
        cloudtrail.put_event_selectors(TrailName="main", EventSelectors=selectors)
        cloudtrail.update_trail(Name="main", KmsKeyId="")
        cloudtrail.stop_logging(Name="main")
        created = ear.record("CreateTrail")
        assert created["requestParameters"] == {"name": "main", "s3BucketName": "logs", "isMultiRegionTrail": True}
        assert created["responseElements"]["trailARN"] == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
        logged = {"readWriteType": "ReadOnly", "includeManagementEvents": False, "dataResources": []}
        assert ear.record("PutEventSelectors")["requestParameters"] == {"trailName": "main", "eventSelectors": [logged]}
        assert ear.record("UpdateTrail")["requestParameters"] == {"name": "main", "kmsKeyId": ""}
        stopped = ear.record("StopLogging")
        assert (stopped["requestParameters"], stopped["responseElements"]) == ({"name": "main"}, None)

    def test_the_query_protocol_is_read_back_in_types(self, ear: Ear, engineer: Identity) -> None:
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        tags = [{"Key": "team", "Value": "data"}]
        engineer.client("iam").create_role(
            RoleName="typed", AssumeRolePolicyDocument=trust, MaxSessionDuration=3600, Tags=tags
        )
        assert ear.record("CreateRole", lambda record: "typed" in json.dumps(record))["requestParameters"] == {
            "roleName": "typed",
            "assumeRolePolicyDocument": trust,
            "maxSessionDuration": 3600,
            "tags": [{"key": "team", "value": "data"}],
        }

    def test_older_lambda_calls_carry_their_version(self, ear: Ear, engineer: Identity) -> None:
        denied(engineer.client("lambda").delete_function, FunctionName="absent")
        denied(engineer.client("lambda").remove_permission, FunctionName="absent", StatementId="one")
        assert ear.record("DeleteFunction20150331")["requestParameters"] == {"functionName": "absent"}
        removed = ear.record("RemovePermission20150331v2")
        assert removed["requestParameters"] == {"functionName": "absent", "statementId": "one"}

    def test_no_secret_gets_into_a_record(self, ear: Ear, engineer: Identity) -> None:
        iam = engineer.client("iam")
        iam.create_user(UserName="with-secrets")
        secret = iam.create_access_key(UserName="with-secrets")["AccessKey"]["SecretAccessKey"]
        iam.create_login_profile(UserName="with-secrets", Password="correct-Horse-7-battery")
        engineer.client("ssm").put_parameter(Name="/secret", Value="staple", Type="SecureString")
        put = ear.record("PutParameter")
        assert put["requestParameters"]["value"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
        for text in (secret, "correct-Horse-7-battery", "staple"):
            assert text not in json.dumps(ear.heard)

    def test_plumbing_is_silent(self, cloud: LocalCloud, ear: Ear) -> None:
        sqs, sns = cloud.client("sqs"), cloud.client("sns")
        queue = sqs.create_queue(QueueName="plumbing")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        topic = sns.create_topic(Name="plumbing")["TopicArn"]
        sns.publish(TopicArn=topic, Message="x")
        cloud.client("events").put_events(Entries=[{"Source": "mine", "DetailType": "x", "Detail": "{}"}])
        cloud.client("kms").generate_random(NumberOfBytes=1)
        cloud.client("sts").get_caller_identity()
        sns.delete_topic(TopicArn=topic)
        ear.record("DeleteTopic")
        silent = {"SendMessage", "ReceiveMessage", "DeleteMessage", "Publish", "PutEvents", "GenerateRandom"}
        assert silent.isdisjoint(ear.names())
        assert "GetCallerIdentity" not in ear.names()


TEMPLATE = """
    Transform: AWS::Serverless-2016-10-31
    Parameters:
      Status: { Type: String }
    Resources:
      Library:
        Type: AWS::Serverless::LayerVersion
        Properties: { ContentUri: nowhere }
      Topic:
        Type: AWS::SNS::Topic
      Versions:
        Type: AWS::Serverless::Function
        Properties:
          Runtime: python3.13
          Handler: versions.handler
          CodeUri: functions/versions
          Layers: [!Ref Library]
          RolePath: /guardrails/
          Timeout: 20
          Environment: { Variables: { STATUS: !Ref Status } }
          Policies:
            - Version: "2012-10-17"
              Statement:
                - { Effect: Allow, Action: s3:PutBucketVersioning, Resource: "arn:aws:s3:::*" }
                - Effect: Allow
                  Action: ssm:GetParametersByPath
                  Resource: !Sub "arn:aws:ssm:${AWS::Region}:${AWS::AccountId}:parameter/settings"
                - Effect: Allow
                  Action: events:PutEvents
                  Resource: "*"
                  Condition: { StringEquals: { "events:source": versions } }
          Events:
            Created:
              Type: EventBridgeRule
              Properties:
                Pattern:
                  source: [aws.s3]
                  detail: { eventName: [CreateBucket], errorCode: [{ exists: false }] }
    Outputs:
      Function: { Value: !Ref Versions }
      Role: { Value: !GetAtt VersionsRole.Arn }
"""
FUNCTION = """
    import importlib.util, os
    import boto3
    from library import ALLOWED

    def handler(event, context):
        if "find" in event:
            return bool(importlib.util.find_spec(event["find"]))
        if "call" in event:
            service, operation, parameters = event["call"]
            return getattr(boto3.client(service), operation)(**parameters).get("FailedEntryCount", 0)
        print("status", os.environ["STATUS"], context.get_remaining_time_in_millis() > 0)
        bucket, s3 = event["detail"]["requestParameters"]["bucketName"], boto3.client("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": os.environ["STATUS"]})
        if ALLOWED:
            s3.delete_bucket(Bucket=bucket)
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return folder


class TestDeployedTemplate:
    def test_a_users_call_starts_the_function_which_acts_as_its_role(
        self, cloud: LocalCloud, ear: Ear, engineer: Identity, stack: dict[str, str]
    ) -> None:
        engineer.client("s3").create_bucket(Bucket="watched")
        fixed = ear.record("PutBucketVersioning", of("watched"))
        assert fixed["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] == stack["Role"]
        assert stack["Role"].startswith(f"arn:aws:iam::{ACCOUNT}:role/guardrails/")
        assert cloud.client("s3").get_bucket_versioning(Bucket="watched")["Status"] == "Enabled"
        refused = ear.record("DeleteBucket", of("watched"))
        assert (refused["errorCode"], refused["userIdentity"]["type"]) == ("AccessDenied", "AssumedRole")
        logs = wait_until(lambda: cloud.logs(stack["Function"]), "logs")
        assert "status Enabled True" in logs

    def test_a_function_sees_the_lambda_runtime_and_none_of_ministack(self, run: Callable[..., Any]) -> None:
        assert [run(find=name) for name in ("boto3", "library", "ministack", "hypercorn")] == [True, True, False, False]

    @pytest.mark.parametrize(
        ("call", "allowed"),
        [
            (("ssm", "get_parameters_by_path", {"Path": "/settings", "Recursive": True}), True),
            (("ssm", "get_parameters_by_path", {"Path": "/others"}), False),
            (("events", "put_events", {"Entries": [{"Source": "versions", "DetailType": "x", "Detail": "{}"}]}), True),
            (("events", "put_events", {"Entries": [{"Source": "others", "DetailType": "x", "Detail": "{}"}]}), False),
        ],
    )
    def test_a_role_reaches_as_far_as_in_aws(self, run: Callable[..., Any], call: Any, *, allowed: bool) -> None:
        answer = run(call=call)
        assert (answer == 0) if allowed else ("not authorized" in answer["errorMessage"])

    def test_only_the_stack_remains_of_a_deploy(self, cloud: LocalCloud, stack: dict[str, str]) -> None:
        names = [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
        assert not [name for name in names if name.startswith("deploy-")]
        assert cloud.resources("toy")["Versions"] == stack["Function"]

    @pytest.mark.parametrize(
        ("template", "reason"),
        [
            ("Resources: { A: { b", "isn't YAML"),
            ("Resources: {A: {Type: AWS::Serverless::Function, Properties: {Handler: a.b}}}", "with id [A] is invalid"),
            ("Resources: {A: {Type: AWS::Serverless::Function, Properties: {CodeUri: gone}}}", "there is no folder"),
            ("Resources: {A: {Type: AWS::Absent::Thing}}", "Unrecognized resource types: [AWS::Absent::Thing]"),
            ("Resources: {A: {Type: AWS::KMS::Alias, Properties: {AliasName: a, TargetKeyId: b}}}", "A (AWS::KMS::Al"),
        ],
    )
    def test_a_bad_template_says_why(self, cloud: LocalCloud, tmp_path: Path, template: str, reason: str) -> None:
        bad = tmp_path / "template.yaml"
        bad.write_text(template)
        with pytest.raises(DeployFailed, match=re.escape(reason)):
            cloud.deploy(f"bad-{os.urandom(2).hex()}", bad, {}, tmp_path)


class TestProcess:
    @reads_proc
    def test_it_listens_on_this_machine_only(self, cloud: LocalCloud) -> None:
        port = int(cloud.endpoint.rpartition(":")[2])
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        listening = [local for _, local, _, state, *_ in sockets if local.endswith(f":{port:04X}") and state == "0A"]
        assert listening == [f"0100007F:{port:04X}"]

    @reads_proc
    def test_nothing_remains(self) -> None:
        with LocalCloud() as cloud:
            cloud.client("s3").create_bucket(Bucket="mine")
            traces = Traces(cloud.endpoint)
        traces.vanish()

    @reads_proc
    def test_nothing_remains_when_its_owner_is_killed(self) -> None:
        command = [sys.executable, "-c", OWNER]
        env = os.environ | {"PYTHONPATH": CLI}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as owner:
            assert owner.stdout
            traces = Traces(owner.stdout.readline().strip())
            owner.send_signal(signal.SIGKILL)
        traces.vanish()

    def test_the_machines_own_settings_lead_nowhere(
        self, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        elsewhere = "http://127.0.0.1:9"
        for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL_STS"):
            monkeypatch.setenv(name, elsewhere)
        monkeypatch.setenv("AWS_PROFILE", "absent")
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
        assert cloud.client("sts").get_caller_identity()["Account"] == ACCOUNT

    def test_other_tools_act_as_an_identity_through_its_environment(self, engineer: Identity) -> None:
        asked = [sys.executable, "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"]
        answer = subprocess.run(asked, env=engineer.environment(), capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == engineer.arn

    def test_without_its_environment_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOLDFAST_LOCAL_CLOUD_PYTHON", str(tmp_path / "python"))
        with pytest.raises(MissingEnvironment, match="make set-up"), LocalCloud():
            pass

    def test_a_server_that_ends_at_once_is_told_with_its_log(self) -> None:
        without_ministack = Path(sys.executable)
        with pytest.raises(NotStarted, match="No module named 'hypercorn'"), LocalCloud(without_ministack):
            pass

    def test_a_ministack_that_has_changed_is_named_with_what_to_do(self) -> None:
        changed = "from ministack.services import eventbridge; eventbridge._put_events = lambda data: None\n"
        check = "from holdfast_cli.local_cloud import contract; contract.check()"
        command = [str(environment()), "-c", f"import sys; sys.path.append({CLI!r})\n{changed}{check}"]
        asked = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
        assert "_put_events takes data, not data allow_aws_source. Pin MiniStack's version" in asked.stderr

    def test_waiting_ends(self) -> None:
        with pytest.raises(TimedOut, match=r"a miracle: not within 0\.1 s"):
            wait_until(lambda: None, "a miracle", 0.1)


CLI = str(Path(__file__).parents[2] / "cli")
OWNER = """
from holdfast_cli.local_cloud.cloud import LocalCloud
with LocalCloud() as cloud:
    print(cloud.endpoint, flush=True)
    input()
"""


class Traces:
    """What a running local cloud has on the machine: a port, processes, a folder."""

    def __init__(self, endpoint: str) -> None:
        self._port = int(endpoint.rpartition(":")[2])
        marker = f"GATEWAY_PORT={self._port}".encode()
        self._processes = [path.parent for path in Path("/proc").glob("[0-9]*/environ") if marker in _read(path)]
        (environ,) = {_read(process / "environ") for process in self._processes}
        self._folder = Path(re.search(rb"TMPDIR=([^\0]+)", environ)[1].decode())  # type: ignore[index]
        assert self._folder.is_dir()

    def vanish(self) -> None:
        """Wait until all of it is gone."""
        wait_until(lambda: not any(_read(process / "environ") for process in self._processes), "the processes' end", 5)
        wait_until(lambda: not self._folder.exists(), "the folder's end", 5)
        wait_until(self._refuses, "the port's end", 5)

    def _refuses(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self._port)) != 0


def _read(path: Path) -> bytes:
    """A file of a process, empty once it is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
