"""An account in memory, a hundred times as quick as moto: a key, a bucket, a trail, an endpoint and the ledger.

It answers as botocore's clients do, and only to the calls that the random turns lead to; a test holds it against moto.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from holdfast import ApiCall, Place
from holdfast.ledger import Ledger
from holdfast.settings import Defaults
from holdfast.world import World
from incidents.vpc_endpoint import SERVICE, STRICT
from support import HERE, ME, REGION

from faults.harness import Died

KEY = HERE.arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab")
TRAIL = HERE.arn("cloudtrail", "trail/audit")
VPC, SUBNET, ROUTED = "vpc-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60718", "rtb-0a1b2c3d4e5f60718"
ENDPOINT = "vpce-0a1b2c3d4e5f60718"
# What S3 gives every bucket.
SSE: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}
Item = dict[str, Any]


def gateway() -> Item:
    """As DescribeVpcEndpoints shows it, but for what nobody asks for."""
    return {
        "VpcEndpointId": ENDPOINT,
        "VpcEndpointType": "Gateway",
        "VpcId": VPC,
        "ServiceName": SERVICE,
        "State": "available",
        "PolicyDocument": json.dumps(STRICT),
        "RouteTableIds": [ROUTED],
        "Tags": [{"Key": "Name", "Value": "lake"}],
    }


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Operation")


@dataclass
class Account:
    """`told` are the records that went out, `bus` what the watch asked for."""

    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    key: str = "Enabled"
    logging: bool = True
    encryption: Any = field(default_factory=lambda: SSE)
    block: Any = None
    policy: str | None = None
    endpoints: dict[str, Item] = field(default_factory=lambda: {ENDPOINT: gateway()})
    told: list[dict[str, Any]] = field(default_factory=list)
    bus: list[dict[str, Any]] = field(default_factory=list)

    def kms_describe_key(self, KeyId: str) -> Any:
        return {"KeyMetadata": {"KeyState": self.key, "Arn": KEY, "KeyManager": "CUSTOMER"}}

    def kms_disable_key(self, KeyId: str) -> Any:
        if self.key not in ("Enabled", "Disabled"):
            raise refused("KMSInvalidStateException")
        self.key = "Disabled"
        return {}

    def kms_enable_key(self, KeyId: str) -> Any:
        if self.key not in ("Enabled", "Disabled"):
            raise refused("KMSInvalidStateException")
        self.key = "Enabled"
        return {}

    def kms_schedule_key_deletion(self, KeyId: str, PendingWindowInDays: int) -> Any:
        if self.key == "PendingDeletion":
            raise refused("KMSInvalidStateException")
        self.key = "PendingDeletion"
        return {}

    def kms_cancel_key_deletion(self, KeyId: str) -> Any:
        if self.key != "PendingDeletion":
            raise refused("KMSInvalidStateException")
        self.key = "Disabled"
        return {}

    def kms_list_keys(self) -> Any:
        return {"Keys": [{"KeyArn": KEY}]}

    def s3_list_buckets(self, BucketRegion: str) -> Any:
        return {"Buckets": [{"Name": "lake"}]}

    def s3_get_bucket_encryption(self, Bucket: str) -> Any:
        return {"ServerSideEncryptionConfiguration": self.encryption}

    def s3_put_bucket_encryption(self, Bucket: str, ServerSideEncryptionConfiguration: Any) -> Any:
        self.encryption = ServerSideEncryptionConfiguration
        return {}

    def s3_get_public_access_block(self, Bucket: str) -> Any:
        if self.block is None:
            raise refused("NoSuchPublicAccessBlockConfiguration")
        return {"PublicAccessBlockConfiguration": self.block}

    def s3_put_public_access_block(self, Bucket: str, PublicAccessBlockConfiguration: Any) -> Any:
        self.block = PublicAccessBlockConfiguration
        return {}

    def s3_delete_public_access_block(self, Bucket: str) -> Any:
        self.block = None
        return {}

    def s3_get_bucket_policy(self, Bucket: str) -> Any:
        if self.policy is None:
            raise refused("NoSuchBucketPolicy")
        return {"Policy": self.policy}

    def s3_put_bucket_policy(self, Bucket: str, Policy: str) -> Any:
        self.policy = Policy
        return {}

    def s3_delete_bucket_policy(self, Bucket: str) -> Any:
        self.policy = None
        return {}

    def s3_get_bucket_replication(self, Bucket: str) -> Any:
        raise refused("ReplicationConfigurationNotFoundError")

    def s3_get_bucket_website(self, Bucket: str) -> Any:
        raise refused("NoSuchWebsiteConfiguration")

    def cloudtrail_get_trail_status(self, Name: str) -> Any:
        return {"IsLogging": self.logging}

    def cloudtrail_get_trail(self, Name: str) -> Any:
        covers = ("IsMultiRegionTrail", "IncludeGlobalServiceEvents", "LogFileValidationEnabled")
        return {"Trail": dict.fromkeys(covers, True) | {"S3BucketName": "audit-logs"}}

    def cloudtrail_list_tags(self, ResourceIdList: list[str]) -> Any:
        return {"ResourceTagList": [{"TagsList": []}]}

    def cloudtrail_get_event_selectors(self, TrailName: str) -> Any:
        return {"EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": True}]}

    def cloudtrail_list_trails(self) -> Any:
        return {"Trails": [{"TrailARN": TRAIL, "HomeRegion": REGION}]}

    def cloudtrail_start_logging(self, Name: str) -> Any:
        self.logging = True
        return {}

    def cloudtrail_stop_logging(self, Name: str) -> Any:
        self.logging = False
        return {}

    def ec2_describe_vpc_endpoints(self, VpcEndpointIds: list[str] | None = None, Filters: Any = ()) -> Any:
        """With those that are deleted, as EC2 shows them for a while; `described` looks after the filters."""
        if VpcEndpointIds and VpcEndpointIds[0] not in self.endpoints:
            raise refused("InvalidVpcEndpointId.NotFound")
        return {"VpcEndpoints": [dict(self.endpoints[id]) for id in VpcEndpointIds or self.endpoints]}

    def config_describe_configuration_recorders(self) -> Any:
        return {"ConfigurationRecorders": []}

    def ec2_describe_vpcs(self, Filters: Any) -> Any:
        return {"Vpcs": [{"VpcId": VPC}]}

    def ec2_describe_subnets(self, Filters: Any) -> Any:
        return {"Subnets": [{"SubnetId": SUBNET, "VpcId": VPC}]}

    def ec2_describe_route_tables(self, Filters: Any) -> Any:
        return {"RouteTables": [{"RouteTableId": ROUTED, "VpcId": VPC, "Associations": [{"SubnetId": SUBNET}]}]}

    def ec2_create_vpc_endpoint(self, ClientToken: str, TagSpecifications: Any, **given: Any) -> Any:
        for made in self.endpoints.values():
            if made.get("ClientToken") == ClientToken:
                return {"VpcEndpoint": made}
        id = f"vpce-{len(self.endpoints):017x}"
        fresh = {"VpcEndpointId": id, "State": "available", "ClientToken": ClientToken, "RouteTableIds": []}
        self.endpoints[id] = fresh | given | {"Tags": TagSpecifications[0]["Tags"]}
        return {"VpcEndpoint": fresh}

    def ec2_modify_vpc_endpoint(self, VpcEndpointId: str, **how: Any) -> Any:
        endpoint = self.endpoints[VpcEndpointId]
        left = {*endpoint["RouteTableIds"], *how.get("AddRouteTableIds", ())} - {*how.get("RemoveRouteTableIds", ())}
        policy = how.get("PolicyDocument", endpoint["PolicyDocument"])
        self.endpoints[VpcEndpointId] = endpoint | {"RouteTableIds": sorted(left), "PolicyDocument": policy}
        return {"Return": True}

    def ec2_delete_vpc_endpoints(self, VpcEndpointIds: list[str]) -> Any:
        for id in VpcEndpointIds:
            self.endpoints[id] = self.endpoints[id] | {"State": "deleted"}
        return {"Unsuccessful": []}

    def sns_publish(self, Message: str, **_: Any) -> Any:
        self.told.append(json.loads(json.loads(Message)["default"]))
        return {}

    def events_put_events(self, Entries: list[Any]) -> Any:
        self.bus += [entry for entry in Entries if entry["DetailType"] != "Holdfast Record"]
        return {"FailedEntryCount": 0}

    def dynamodb_get_item(self, TableName: str, Key: Item, ConsistentRead: bool = False) -> Any:
        item = self.items.get(named(Key))
        return {"Item": dict(item)} if item else {}

    def dynamodb_update_item(self, **update: Any) -> Any:
        if not self._holds(update):
            raise refused("ConditionalCheckFailedException")
        return {"Attributes": self._make(update)}

    def dynamodb_transact_write_items(self, TransactItems: list[Any]) -> Any:
        for one in TransactItems:
            if "Update" in one and not self._holds(one["Update"]):
                raise refused("ConditionalCheckFailedException")
        for one in TransactItems:
            if "Update" in one:
                self._make(one["Update"])
            else:
                self.items[named(one["Put"]["Item"])] = one["Put"]["Item"]
        return {}

    def dynamodb_query(self, ExpressionAttributeValues: Item, IndexName: str = "", **how: Any) -> Any:
        """The ledger's three questions; the filters are the caller's, who gets more than it asked for."""
        values = ExpressionAttributeValues
        if IndexName:
            due = [
                item for item in self.items.values() if int(item.get("due", FOREVER)["N"]) <= int(values[":now"]["N"])
            ]
            return {"Items": due}
        of = [item for key, item in self.items.items() if key[0] == values[":g"]["S"]]
        return {"Items": [item for item in of if "FilterExpression" not in how or "rev" in item]}

    def _holds(self, update: Item) -> bool:
        condition = renamed(update.get("ConditionExpression", ""), update)
        item = self.items.get(named(update["Key"]), {})
        if lacks := re.fullmatch(r"attribute_not_exists\((\w+)\)", condition):
            return lacks[1] not in item
        if newer := re.fullmatch(r"attribute_not_exists\((\w+)\) OR \w+ < (:\w+)", condition):
            at = int(update["ExpressionAttributeValues"][newer[2]]["N"])
            return newer[1] not in item or int(item[newer[1]]["N"]) < at
        name, _, value = condition.partition(" = ")
        return not condition or item.get(name) == update["ExpressionAttributeValues"][value]

    def _make(self, update: Item) -> Item:
        item = self.items.setdefault(named(update["Key"]), dict(update["Key"]))
        sets, _, removes = renamed(update["UpdateExpression"], update).partition("REMOVE ")
        for name, value in re.findall(r"(\w+) = (:\w+)", sets):
            item[name] = update["ExpressionAttributeValues"][value]
        for name, value in re.findall(r"ADD (\w+) (:\w+)", sets):
            more = int(update["ExpressionAttributeValues"][value]["N"])
            item[name] = {"N": str(int(item.get(name, {"N": "0"})["N"]) + more)}
        for name in re.findall(r"\w+", removes):
            item.pop(name, None)
        return item


FOREVER = {"N": "9" * 12}


def named(key: Item) -> tuple[str, str]:
    return key["guardrail"]["S"], key["target"]["S"]


def renamed(expression: str, update: Item) -> str:
    return re.sub(r"#\w+", lambda found: update["ExpressionAttributeNames"][found[0]], expression)


@dataclass
class Client:
    """A service of the account, as botocore shows it."""

    call: Callable[[str, Mapping[str, Any]], Any]

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **parameters: self.call(operation, parameters)

    def get_paginator(self, operation: str) -> "Paginator":
        return Paginator(getattr(self, operation))


@dataclass
class Paginator:
    ask: Callable[..., Any]

    def paginate(self, **parameters: Any) -> Iterator[Any]:
        yield self.ask(**parameters)


@dataclass
class QuickAws:
    """The door to the account. At call number `at` of a run the process dies, or the answer is lost, as `how` says."""

    account: Account
    here: Place = HERE
    at: int = 0
    how: str = ""
    count: int = 0

    def client(self, service: str, region: str = "") -> Any:
        return Client(lambda operation, parameters: self._call(f"{service}_{operation}", parameters))

    def apply(self, call: ApiCall) -> Any:
        return self._call(f"{call.service}_{call.operation}", call.parameters)

    def _call(self, name: str, parameters: Mapping[str, Any]) -> Any:
        self.count += 1
        hit = self.count == self.at
        if hit and self.how == "refused":
            raise refused("InternalFailure")
        answer = getattr(self.account, name)(**parameters)
        if hit and self.how == "dies":
            raise Died
        if hit and self.how == "lost":
            raise refused("RequestTimeout")
        return answer


@dataclass
class Known:
    """The SSM parameters, as if they had just been read."""

    values: dict[str, str]

    def read(self) -> tuple[Mapping[str, str], str]:
        return self.values, ""


def world(guardrail: str, aws: Any, parameters: dict[str, str], settings: Mapping[str, Any], **shared: Any) -> World:
    topic = f"arn:aws:sns:{REGION}:{ME}:security"
    known: Any = Known(parameters)
    return World(
        guardrail, aws, Ledger(aws, "holdfast"), topic, Defaults({"mode": "enforce"} | shared, settings), known
    )
