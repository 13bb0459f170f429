"""Who delivers logs into buckets: as a service, or, older, as one of AWS's own accounts."""

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
