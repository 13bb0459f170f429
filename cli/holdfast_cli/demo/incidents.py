"""What happens on the stage: each incident is one ordinary API call of somebody, and what should come of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from holdfast_cli.demo.stage import STACK, Stage, until

ATTACKERS_ACCOUNT = "999999999999"
BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
TRAIL = "company-trail"


@dataclass(frozen=True)
class Incident:
    """`arrange` makes the thing as its owner would and returns its ARN; `act` is the one call that is watched.

    `safe` says, by reading the account from outside, whether the thing is as it should be. `outcome` is what should
    come of it; "ignored" means that no rule may fire. `decide` is what the operators decide right before.
    """

    title: str
    guardrail: str
    who: str
    deed: str
    arrange: Callable[[Stage], str]
    act: Callable[[Stage, str], object]
    safe: Callable[[Stage, str], bool]
    outcome: str = "remediated"
    decide: Callable[[Stage], object] = lambda stage: None


def name(arn: str) -> str:
    return arn.rpartition(":")[2].rpartition("/")[2]


def document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def bucket(stage: Stage, title: str) -> str:
    """A new bucket, once Holdfast has given it what every bucket must have."""
    arn = new_bucket(stage, title)
    until(lambda: encrypted(stage, arn) and "HoldfastTls" in sids(stage, arn), f"{title} to be guarded")
    return arn


def new_bucket(stage: Stage, title: str) -> str:
    region = stage.cloud.region
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    stage.root("s3").create_bucket(Bucket=title, **place)
    return f"arn:aws:s3:::{title}"


def statements(stage: Stage, arn: str) -> list[dict[str, Any]]:
    try:
        text = stage.root("s3").get_bucket_policy(Bucket=name(arn))["Policy"]
    except ClientError:
        return []
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def sids(stage: Stage, arn: str) -> set[str]:
    return {statement.get("Sid", "") for statement in statements(stage, arn)}


def encrypted(stage: Stage, arn: str) -> bool:
    answer = stage.root("s3").get_bucket_encryption(Bucket=name(arn))["ServerSideEncryptionConfiguration"]
    return bool(answer["Rules"][0]["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID") == stage.key)


def use_foreign_key(stage: Stage, arn: str) -> None:
    foreign = f"arn:aws:kms:{stage.cloud.region}:{ATTACKERS_ACCOUNT}:key/0bad0bad-0bad-0bad-0bad-0bad0bad0bad"
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": foreign}
    stage.people["mallory"].client("s3").put_bucket_encryption(
        Bucket=name(arn),
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]},
    )


def team_bucket(stage: Stage) -> str:
    """A data bucket that a team may read; the perimeter is Holdfast's."""
    arn = bucket(stage, "data-lake")
    team = {"Sid": "TeamReads", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account(stage)}:root"}}
    ours = statements(stage, arn)
    owners = team | {"Action": "s3:GetObject", "Resource": f"{arn}/*"}
    stage.root("s3").put_bucket_policy(Bucket=name(arn), Policy=document([owners, *ours]))
    return arn


def account(stage: Stage) -> str:
    return str(stage.root("sts").get_caller_identity()["Account"])


def open_perimeter(stage: Stage, arn: str) -> None:
    """The policy keeps all its statements; the perimeter only gets one more VPC, and a partner gets in."""
    standing = statements(stage, arn)
    for statement in standing:
        if statement.get("Sid") == "HoldfastVpcOnly":
            condition = next(keys for keys in statement["Condition"].values() if "aws:SourceVpc" in keys)
            condition["aws:SourceVpc"] = [stage.vpc, "vpc-0bad0bad0bad0bad0"]
    partner = {"Sid": "Partner", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ATTACKERS_ACCOUNT}:root"}}
    partner |= {"Action": "s3:GetObject", "Resource": f"{arn}/*"}
    s3 = stage.people["mallory"].client("s3")
    s3.put_bucket_policy(Bucket=name(arn), Policy=document([*standing, partner]))


def perimeter_stands(stage: Stage, arn: str) -> bool:
    return "vpc-0bad" not in json.dumps(statements(stage, arn)) and "TeamReads" in sids(stage, arn)


def blocked(stage: Stage, arn: str) -> bool:
    try:
        answer = stage.root("s3").get_public_access_block(Bucket=name(arn))["PublicAccessBlockConfiguration"]
    except ClientError:
        return False
    return all(answer.get(flag) for flag in BLOCK)


def unblock(who: str) -> Callable[[Stage, str], object]:
    return lambda stage, arn: stage.people[who].client("s3").delete_public_access_block(Bucket=name(arn))


def key(stage: Stage) -> str:
    arn: str = stage.root("kms").create_key(Description="orders")["KeyMetadata"]["Arn"]
    return arn


def usable(stage: Stage, arn: str) -> bool:
    return bool(stage.root("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled")


def endpoint(stage: Stage) -> str:
    ec2, region = stage.root("ec2"), stage.cloud.region
    table = ec2.create_route_table(VpcId=stage.vpc)["RouteTable"]["RouteTableId"]
    made = ec2.create_vpc_endpoint(
        VpcId=stage.vpc, ServiceName=f"com.amazonaws.{region}.s3", VpcEndpointType="Gateway", RouteTableIds=[table]
    )["VpcEndpoint"]["VpcEndpointId"]
    arn = f"arn:aws:ec2:{region}:{account(stage)}:vpc-endpoint/{made}"
    until(lambda: "baseline" in page(stage, "vpc-endpoint", arn), "the endpoint's baseline")
    return arn


def page(stage: Stage, guardrail: str, target: str) -> dict[str, Any]:
    """Holdfast's memory of a target."""
    table = stage.cloud.resources(STACK)["Ledger"]
    key = {"guardrail": {"S": guardrail}, "target": {"S": target}}
    item: dict[str, Any] = stage.root("dynamodb").get_item(TableName=table, Key=key).get("Item", {})
    return item


def endpoint_stands(stage: Stage, arn: str) -> bool:
    place = [{"Name": "vpc-id", "Values": [stage.vpc]}]
    found = stage.root("ec2").describe_vpc_endpoints(Filters=place)["VpcEndpoints"]
    return any(each["State"].lower() in ("available", "pending") and each["RouteTableIds"] for each in found)


def delete_endpoint(stage: Stage, arn: str) -> None:
    stage.people["deploy"].client("ec2").delete_vpc_endpoints(VpcEndpointIds=[name(arn)])


def trail(stage: Stage, called: str = TRAIL) -> str:
    """One of the company's trails, known to Holdfast by the clock of its guardrail."""
    cloudtrail = stage.root("cloudtrail")
    arn: str = f"arn:aws:cloudtrail:{stage.cloud.region}:{account(stage)}:trail/{called}"
    if any(each["TrailARN"] == arn for each in cloudtrail.list_trails()["Trails"]):
        return arn
    bucket(stage, f"{called}-logs")
    cloudtrail.create_trail(
        Name=called, S3BucketName=f"{called}-logs", IsMultiRegionTrail=True, EnableLogFileValidation=True
    )
    every = [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}]
    cloudtrail.start_logging(Name=called)  # first: Holdfast would mend a trail that is configured and not on
    cloudtrail.put_event_selectors(TrailName=called, EventSelectors=every)
    clock = {"detail-type": "Holdfast Sweep", "source": "holdfast", "detail": {"guardrail": "cloudtrail-logging"}}
    stage.root("lambda").invoke(FunctionName=f"{STACK}-cloudtrail-logging", Payload=json.dumps(clock))
    until(lambda: "baseline" in page(stage, "cloudtrail-logging", arn), "the trail's baseline")
    return arn


def other_trail(stage: Stage) -> str:
    """Not yet fought over: the third break of one within an hour is told as a fight."""
    return trail(stage, "data-events")


def records_all(stage: Stage, arn: str) -> bool:
    cloudtrail = stage.root("cloudtrail")
    try:
        status = cloudtrail.get_trail_status(Name=arn)
        selectors = cloudtrail.get_event_selectors(TrailName=arn).get("EventSelectors", [])
    except ClientError:
        return False
    whole = [each for each in selectors if each["IncludeManagementEvents"] and each["ReadWriteType"] == "All"]
    return bool(status["IsLogging"] and whole)


def blind(stage: Stage, arn: str) -> None:
    """Management events off, reads only: the trail still says that it is logging."""
    reads = [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": False, "DataResources": []}]
    stage.people["mallory"].client("cloudtrail").put_event_selectors(TrailName=name(arn), EventSelectors=reads)


def try_to_delete(stage: Stage, arn: str) -> None:
    try:
        stage.people["intern"].client("cloudtrail").delete_trail(Name=name(arn))
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise


def only_audit(stage: Stage) -> None:
    settings = {"modes": {"s3-default-encryption": "audit"}}
    stage.root("ssm").put_parameter(Name="/holdfast/settings", Value=json.dumps(settings), Type="String")
    stage.reload("s3-default-encryption")


INCIDENTS = (
    Incident(
        "A key is scheduled for deletion",
        "kms-key-deletion",
        "mallory",
        "schedules the key of the orders table for deletion in 7 days",
        key,
        lambda stage, arn: (
            stage.people["mallory"].client("kms").schedule_key_deletion(KeyId=name(arn), PendingWindowInDays=7)
        ),
        usable,
    ),
    Incident(
        "A key is switched off",
        "kms-key-deletion",
        "mallory",
        "disables the key, so that nothing under it can be read",
        key,
        lambda stage, arn: stage.people["mallory"].client("kms").disable_key(KeyId=name(arn)),
        usable,
    ),
    Incident(
        "New data goes under a foreign key",
        "s3-default-encryption",
        "mallory",
        "sets a bucket's default encryption to a key of another account",
        lambda stage: bucket(stage, "payments"),
        use_foreign_key,
        encrypted,
    ),
    Incident(
        "A bucket loses its public access block",
        "s3-public-access-block",
        "deploy",
        "deletes the bucket's Block Public Access",
        lambda stage: bucket(stage, "customer-exports"),
        unblock("deploy"),
        blocked,
    ),
    Incident(
        "A data bucket is opened by a merged policy",
        "s3-vpc-only-policy",
        "mallory",
        "adds a VPC of theirs to the perimeter, and a partner to the readers",
        team_bucket,
        open_perimeter,
        perimeter_stands,
    ),
    Incident(
        "The S3 endpoint of a VPC is deleted",
        "vpc-endpoint",
        "deploy",
        "deletes the gateway endpoint, so that data takes the internet",
        endpoint,
        delete_endpoint,
        endpoint_stands,
    ),
    Incident(
        "The audit trail is stopped",
        "cloudtrail-logging",
        "mallory",
        "stops the company's trail",
        trail,
        lambda stage, arn: stage.people["mallory"].client("cloudtrail").stop_logging(Name=name(arn)),
        records_all,
    ),
    Incident(
        "The audit trail is blinded",
        "cloudtrail-logging",
        "mallory",
        "lets the trail run, but without management events",
        trail,
        blind,
        records_all,
    ),
    Incident(
        "The audit trail is deleted",
        "cloudtrail-logging",
        "mallory",
        "deletes one of the company's trails",
        other_trail,
        lambda stage, arn: stage.people["mallory"].client("cloudtrail").delete_trail(Name=name(arn)),
        records_all,
    ),
    Incident(
        "A call that was denied",
        "cloudtrail-logging",
        "intern",
        "tries to delete the trail and may not",
        trail,
        try_to_delete,
        records_all,
        "ignored",
    ),
    Incident(
        "A bucket that is exempt",
        "s3-public-access-block",
        "deploy",
        "opens the company's website, which has an exemption",
        lambda stage: bucket(stage, "company-website"),
        unblock("deploy"),
        lambda stage, arn: not blocked(stage, arn),
        "exempt",
    ),
    Incident(
        "The same in audit mode",
        "s3-default-encryption",
        "mallory",
        "sets a foreign key while the guardrail only audits",
        lambda stage: bucket(stage, "sandbox"),
        use_foreign_key,
        lambda stage, arn: not encrypted(stage, arn),
        "audited",
        only_audit,
    ),
)
