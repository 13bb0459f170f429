"""Several hundred bucket policies, labelled by AWS's documentation, then judged: none that is open is taken for safe.

tests/corpus/public.yaml asks what S3 asks before it blocks a policy, perimeter.yaml whether the perimeter is closed.
What other checkers say of the former is in verdicts/, and who is right where they differ in adjudications.yaml.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus.peers import digest
from holdfast import Arn, Case, SharedSettings, shape
from holdfast.policy import covers, load, public_grants
from holdfast_cli import project
from iam import Call, Json, denied
from support import HERE, ME

CORPUS = Path(__file__).parents[1] / "corpus"
guardrail = project.load("s3-vpc-only-policy")
BUCKET = HERE.bucket("lake")
ETL = f"arn:aws:iam::{ME}:role/etl"

SETTINGS: dict[str, Json] = {
    "vpc": {"buckets": ["lake"], "vpc_ids": ["vpc-0a1b2c3d4e5f60718"], "service_role_arns": [ETL]},
    "office": {"buckets": ["lake"], "organization_id": "o-a1b2c3d4e5", "allowed_source_ips": ["198.51.100.0/24"]},
}


def corpus(name: str) -> Any:
    return yaml.load((CORPUS / f"{name}.yaml").read_text(), yaml.CSafeLoader)


PUBLIC, PERIMETER = corpus("public"), corpus("perimeter")


def cases(found: dict[str, Any]) -> list[Any]:
    return [pytest.param(entry, id=entry["id"]) for entry in found["policies"]]


def is_public(text: str) -> bool:
    """As the guardrail asks it. What can't be read is not taken for safe: the look fails."""
    try:
        return bool(public_grants(load(text)))
    except ValueError:
        return True


def perimeter(settings: str) -> Json:
    case: Any = Case(Arn(BUCKET), shape.parse(guardrail.Settings, SETTINGS[settings]), SharedSettings(), None, HERE)
    found: Json = guardrail.required(guardrail.Bucket("lake"), case)[0]
    return found


def is_closed(text: str, required: Json) -> bool:
    try:
        return covers(load(text)["Statement"], required)
    except ValueError:
        return False


def outsider(gets_in: Json) -> Call:
    """A call from outside every VPC and the office, but for what `gets_in` says of it."""
    principal, action = gets_in["principal"], gets_in["action"]
    keys = {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false", "aws:SecureTransport": "true"}
    if principal.startswith("arn:"):
        keys |= {"aws:PrincipalArn": principal, "aws:PrincipalAccount": principal.split(":")[4]}
    keys |= gets_in.get("keys", {})
    resource = BUCKET if action == "s3:ListBucket" else f"{BUCKET}/raw/part-0"
    return Call(principal, action, resource, {name: value for name, value in keys.items() if value is not None})


@pytest.mark.parametrize("entry", cases(PUBLIC))
def test_no_policy_that_s3_calls_public_is_taken_for_anything_else(entry: Json) -> None:
    assert is_public(entry["policy"]) == (entry["public"] or "stricter" in entry)


STRICTER = [case for case in cases(PUBLIC) if "stricter" in case.values[0]]


@pytest.mark.parametrize("entry", STRICTER)
def test_a_policy_that_only_we_call_public_is_put_right_while_public_ones_are_blocked(entry: Json) -> None:
    bucket = guardrail.Bucket("lake", load(entry["policy"]), blocks_public=True)
    case: Any = Case(Arn(BUCKET), shape.parse(guardrail.Settings, SETTINGS["vpc"]), SharedSettings(), None, HERE)
    assert guardrail.evaluate(bucket, case).fix


@pytest.mark.parametrize("entry", cases(PERIMETER))
def test_no_policy_that_lets_an_outsider_in_is_taken_for_closed(entry: Json) -> None:
    required = perimeter(entry.get("settings", "vpc"))
    assert is_closed(entry["policy"], required) == (entry["closed"] and "stricter" not in entry)


@pytest.mark.parametrize("entry", [c for c in cases(PERIMETER) if "principal" in c.values[0].get("gets_in", {})])
def test_whoever_is_said_to_get_in_is_denied_by_ours_alone(entry: Json) -> None:
    """The labels, proved by an evaluator that shares nothing with the judge."""
    call = outsider(entry["gets_in"])
    ours = {"Version": "2012-10-17", "Statement": [perimeter(entry.get("settings", "vpc"))]}
    assert denied(ours, call)
    assert not denied(load(entry["policy"]), call)


@pytest.mark.parametrize("found", [PUBLIC, PERIMETER], ids=["public", "perimeter"])
def test_every_label_names_its_sentence_and_every_sentence_is_used(found: dict[str, Any]) -> None:
    ids = [entry["id"] for entry in found["policies"]]
    assert len(ids) == len(set(ids))
    assert {entry["by"] for entry in found["policies"]} == set(found["sources"])


def test_only_a_safe_policy_may_be_judged_more_strictly() -> None:
    assert [entry["id"] for entry in PUBLIC["policies"] if "stricter" in entry and entry["public"]] == []
    assert [entry["id"] for entry in PERIMETER["policies"] if "stricter" in entry and not entry["closed"]] == []
    assert [entry["id"] for entry in PERIMETER["policies"] if entry["closed"] == ("gets_in" in entry)] == []


def test_the_corpus_is_as_large_as_was_promised() -> None:
    assert len(PUBLIC["policies"]) + len(PERIMETER["policies"]) >= 300


CHECKERS = ["policyuniverse", "c7n", "prowler"]
ADJUDICATED: dict[str, list[Json]] = corpus("adjudications")


def verdicts(checker: str) -> Json:
    found: Json = json.loads((CORPUS / "verdicts" / f"{checker}.json").read_text())
    return found


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_verdicts_of_other_checkers_are_on_this_very_corpus(checker: str) -> None:
    assert verdicts(checker)["corpus"] == digest(), "record them again: tests/corpus/peers.py says how"


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_disagreement_with_another_checker_is_adjudicated_once(checker: str) -> None:
    theirs = verdicts(checker)["verdicts"]
    differ = [
        entry["id"]
        for entry in PUBLIC["policies"]
        if theirs[entry["id"]] != ("public" if is_public(entry["policy"]) else "not public")
    ]
    assert sorted(policy for group in ADJUDICATED[checker] for policy in group["policies"]) == sorted(differ)


@pytest.mark.parametrize("checker", CHECKERS)
def test_whoever_is_said_to_be_right_says_what_the_label_says(checker: str) -> None:
    labels, theirs = {entry["id"]: entry for entry in PUBLIC["policies"]}, verdicts(checker)["verdicts"]
    for group in ADJUDICATED[checker]:
        for policy in group["policies"]:
            label = labels[policy]["public"]
            judged = is_public(labels[policy]["policy"]) if group["right"] == "judge" else theirs[policy] == "public"
            assert judged == label, policy
