"""What is asked of a bucket policy before it is written, and what people read of it, word for word."""

from typing import Any

import pytest
from holdfast import Arn, Place
from holdfast.perimeter import doubts, excess, locked_out, request, strangers, way_out
from holdfast.policy import Request
from support import HERE, MALLORY, ME

LAKE = Arn("arn:aws:s3:::lake")
OUTSIDE = {
    "aws:securetransport": "true",
    "s3:tlsversion": "1.3",
    "aws:principalisawsservice": "false",
    "aws:viaawsservice": "false",
    "aws:sourcevpc": None,
    "aws:sourcevpce": None,
    "aws:vpceorgid": None,
    "aws:principalservicename": None,
}
GRANT: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"{LAKE}/*"}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:GetObject", f"{LAKE}/data/part-0"),
        ("s3:GetObjectVersion", f"{LAKE}/data/part-0"),
        ("s3:ListBucket", str(LAKE)),
    ],
)
def test_an_ordinary_caller_comes_over_tls_from_outside_every_vpc(action: str, resource: str) -> None:
    who = {"aws:principalarn": MALLORY, "aws:principalaccount": ME}
    asked = request(LAKE, "Mallory", MALLORY, action, sourcevpc="vpc-1")
    assert asked == Request("Mallory", MALLORY, action, resource, OUTSIDE | who | {"aws:sourcevpc": "vpc-1"})
    service = request(LAKE, "logs", "logging.s3.amazonaws.com", action)
    named = {"aws:principalservicename": "logging.s3.amazonaws.com"}
    assert service == Request("logs", "logging.s3.amazonaws.com", action, resource, OUTSIDE | named)


def test_services_that_act_for_outsiders_are_denied_in_the_words_of_the_iam_user_guide() -> None:
    """Its "AWS global condition context keys": names in this case, values of Bool and Null as text."""
    inside = {"aws:PrincipalArn": [HERE.role]}
    internet = {"StringEquals": {"aws:PrincipalServiceName": "cloudfront.amazonaws.com"}}
    assert strangers(HERE, "o-a1b2c3d4e5", [], ["156460612806"], inside) == {
        "HoldfastCloudFront": internet,
        "HoldfastForwarded": {
            "Bool": {"aws:ViaAWSService": "true"},
            "StringNotEqualsIfExists": {"aws:PrincipalAccount": [ME], "aws:PrincipalOrgID": ["o-a1b2c3d4e5"]},
            "ArnNotLikeIfExists": inside,
        },
        "HoldfastServices": {
            "Bool": {"aws:PrincipalIsAWSService": "true"},
            "Null": {"aws:SourceAccount": "false"},
            "StringNotEqualsIfExists": {
                "aws:SourceAccount": [ME, "156460612806"],
                "aws:SourceOrgID": ["o-a1b2c3d4e5"],
            },
        },
    }
    ours = "arn:aws:cloudfront::111111111111:distribution/EDFDVBD6EXAMPLE"
    but_ours = internet | {"ArnNotEqualsIfExists": {"aws:SourceArn": [ours]}}
    assert strangers(HERE, None, [ours], [], inside) == {"HoldfastCloudFront": but_ours}


def test_who_was_let_in_for_sure_must_be_let_in_for_sure() -> None:
    asked = [request(LAKE, "Mallory", MALLORY, "s3:GetObject")]
    nothing: dict[str, Any] = {"Statement": []}
    unsure = {"Statement": [GRANT | {"Effect": "Deny", "Condition": {"StringEquals": {"aws:UserAgent": "x"}}}]}
    shut = {"Statement": [GRANT | {"Effect": "Deny"}]}
    assert locked_out(asked, nothing, unsure) == locked_out(asked, unsure, shut) == ["Mallory"]
    assert locked_out(asked, shut, unsure) == locked_out(asked, unsure, nothing) == locked_out(asked, shut, shut) == []


def test_statements_that_s3_may_take_for_public_are_named() -> None:
    assert doubts({"Statement": []}) == ""
    said = "; S3, which blocks public policies here, may take it for one (Site, one without Sid)"
    assert doubts({"Statement": [GRANT | {"Sid": "Site"}, GRANT]}) == said
    assert doubts({"Statement": [GRANT | {"Sid": "x" * 300}]}).count("x") == 200


def test_who_denies_holdfast_is_told_both_ways_out() -> None:
    assert way_out(LAKE, Place(ME, "cn-north-1", "aws-cn")) == (
        "It denies Holdfast's role (or the bucket is another account's by now). Whoever else may change it takes that "
        "out. The account's root user always may: aws s3api delete-bucket-policy --bucket lake; or, from the "
        "organisation's management account, the same in the session of: "
        f"aws sts assume-root --target-principal {ME} "
        "--task-policy-arn arn=arn:aws-cn:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    )


def test_networks_that_are_none_or_as_good_as_everything_are_named() -> None:
    assert excess(["10.0.0.0/33", "x"]) == "10.0.0.0/33, x: no address, and no network"
    assert excess(["0.0.0.0/1"]) == "as good as everything: in all, more than a /8, or a /16 of IPv6"
    assert excess(["198.51.100.0/24"]) == ""
