"""Who delivers logs into buckets: as a service, or, older, as one of AWS's own accounts."""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from holdfast.event import Arn, listed, mapping

SERVICES = ("cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com", "logging.s3.amazonaws.com")

# Elastic Load Balancing user guide, "Enable access logs": by Region, the account that writes them
LOAD_BALANCERS = frozenset(
    "127311923021 033677994240 027434742980 797873946194 098369216593 "
    "754344448648 589379963580 718504428378 383597477331 600734575887 114774131450 783225319266 582318560864 "
    "985666609251 054676820928 156460612806 652711504416 635631232127 009996457667 897822967062 076674570225 "
    "507241528517 048591011584 190560391635".split()
)

# The same page, and Redshift management guide, "Database audit logging"
SSE_S3_ONLY = LOAD_BALANCERS | {
    "logdelivery.elasticloadbalancing.amazonaws.com",
    "logdelivery.elb.amazonaws.com",
    "redshift.amazonaws.com",
}

# CloudWatch Logs user guide, "Amazon S3 bucket server-side encryption": what it delivers (flow logs, for one) is
# unreadable under the AWS-managed key.
VENDED = frozenset({"delivery.logs.amazonaws.com"})


def admits(services: frozenset[str], policy: str, bucket: Arn) -> bool:
    """True if a statement allows one of these to put objects into the bucket."""
    try:
        statements = listed(mapping(json.loads(policy)).get("Statement"))
    except ValueError:
        return False
    return any(delivers(services, mapping(statement), bucket) for statement in statements)


def delivers(services: frozenset[str], statement: Mapping[str, Any], bucket: Arn) -> bool:
    """NotPrincipal, NotAction and NotResource are nobody's way to admit log delivery: they don't count."""
    principals = listed(list(mapping(statement.get("Principal")).values()))
    return (
        statement.get("Effect") == "Allow"
        and any(part in services for name in principals for part in str(name).split(":"))
        and any(fnmatchcase("s3:putobject", str(action).lower()) for action in listed(statement.get("Action")))
        and any(reaches(str(resource), bucket) for resource in listed(statement.get("Resource")))
    )


def reaches(resource: str, bucket: Arn) -> bool:
    """True if a policy's resource is about objects of the bucket, and not only about the bucket itself."""
    head, slash, _ = resource.partition("/")
    return fnmatchcase(bucket, head) and bool(slash or head.endswith("*"))
