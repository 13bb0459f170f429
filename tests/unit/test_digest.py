"""The one message about what was so before Holdfast came."""

import json
from typing import Any

from holdfast.digest import SHOWN, digest
from holdfast.ledger import Baseline, Told
from support import HERE, ME, REGION

TOPIC = "arn:aws:sns:eu-west-1:123456789012:security"
BROKEN = ("arn:aws:s3:::lake", Told("audited", "the bucket is open"), None)


def parameters(*pages: tuple[str, Told, Baseline | None]) -> dict[str, Any]:
    call = digest("s3-default-encryption", HERE, pages, TOPIC)
    assert call is not None
    assert (call.service, call.operation) == ("sns", "publish")
    return dict(call.parameters)


def test_it_is_all_that_a_topic_needs() -> None:
    left = ("arn:aws:s3:::pond", Told("", ""), Baseline(1, {}, ""))
    sent = parameters(BROKEN, ("arn:aws:s3:::well", Told("escalated", "it is stuck"), None), left)
    summary = "2 were broken before Holdfast came; 1 baselines were taken at first sight"
    broken = ["arn:aws:s3:::lake - the bucket is open", "arn:aws:s3:::well - it is stuck"]
    names = {"guardrail": "s3-default-encryption", "account": ME, "region": REGION}
    assert json.loads(json.loads(sent.pop("Message"))["default"]) == names | {
        "version": 1,
        "kind": "digest",
        "what": summary,
        "broken": broken,
    }
    told = names | {"severity": "medium", "outcome": "audited"}
    assert sent == {
        "TopicArn": TOPIC,
        "Subject": f"[digest] s3-default-encryption: {summary}"[:99],
        "MessageStructure": "json",
        "MessageAttributes": {n: {"DataType": "String", "StringValue": v} for n, v in told.items()},
    }


def test_a_mail_says_what_is_broken_and_what_to_do() -> None:
    assert json.loads(parameters(BROKEN)["Message"])["email"] == (
        f"s3-default-encryption in account {ME}, {REGION}: "
        "1 were broken before Holdfast came; 0 baselines were taken at first sight.\n"
        "\n"
        "arn:aws:s3:::lake - the bucket is open\n"
        "\n"
        "They are left as they are: mend or exempt them, or set remediate_existing."
    )


def test_baselines_alone_ask_nothing_of_anybody() -> None:
    pages = [("arn:aws:s3:::pond", Told("compliant", ""), Baseline(1, {}, by)) for by in ("", "arn:x")]
    mail = json.loads(parameters(*pages)["Message"])["email"]
    assert mail.endswith("0 were broken before Holdfast came; 1 baselines were taken at first sight.\n")


def test_of_many_the_rest_is_counted() -> None:
    assert "more" not in parameters(*[BROKEN] * SHOWN)["Message"]
    sent = json.loads(parameters(*[BROKEN] * (SHOWN + 2))["Message"])
    assert "\nand 2 more\n" in sent["email"]
    assert len(json.loads(sent["default"])["broken"]) == SHOWN
    assert json.loads(sent["default"])["what"].startswith(f"{SHOWN + 2} were broken")


def test_nothing_wrong_and_nothing_new_is_not_told() -> None:
    settled = ("arn:aws:s3:::pond", Told("exempt", "it may"), Baseline(1, {}, "arn:x"))
    assert digest("s3-default-encryption", HERE, [settled], TOPIC) is None
