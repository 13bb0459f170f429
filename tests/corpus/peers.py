"""What other checkers say of the policies in public.yaml; they are no oracles, each differs from the labels somewhere.

They pin what we don't want beside us, so each runs in an environment of its own and its verdicts are kept:

    uv run --no-project --python 3.11 --with pyyaml --with policyuniverse==1.5.1.20231109 \
        python tests/corpus/peers.py policyuniverse > tests/corpus/verdicts/policyuniverse.json

and the same for c7n (--with c7n==0.9.53) and prowler (--with prowler==5.46.0).
"""

import copy
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

Judge = Callable[[Any], bool]


def policyuniverse() -> Judge:
    policies = import_module("policyuniverse.policy")
    return lambda policy: bool(policies.Policy(policy).is_internet_accessible())


def c7n() -> Judge:
    """As its filter `cross-account` asks with `everyone_only`."""
    access = import_module("c7n.filters.iamaccess")
    return lambda policy: bool(access.PolicyChecker({"everyone_only": True}).check(policy))


def prowler() -> Judge:
    """As its checks of bucket policies ask."""
    policies = import_module("prowler.providers.aws.services.iam.lib.policy")
    return lambda policy: bool(policies.is_policy_public(policy, "123456789012"))


def corpus() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("public.yaml").read_text())["policies"]
    return found


def digest() -> str:
    """Of what was judged: verdicts on another corpus are none."""
    texts = "\n".join(f"{entry['id']} {entry['policy']}" for entry in corpus())
    return hashlib.sha256(texts.encode()).hexdigest()


def verdicts(judge: Judge) -> Iterator[tuple[str, str]]:
    for entry in corpus():
        try:
            public = judge(copy.deepcopy(json.loads(entry["policy"])))
        except Exception as error:  # whatever it is, it is their answer
            yield entry["id"], f"fails: {type(error).__name__}"
        else:
            yield entry["id"], "public" if public else "not public"


if __name__ == "__main__":
    name = sys.argv[1]
    logging.disable()
    judge = {"policyuniverse": policyuniverse, "c7n": c7n, "prowler": prowler}[name]()
    found = {"checker": name, "version": version(name), "corpus": digest(), "verdicts": dict(verdicts(judge))}
    print(json.dumps(found, indent=1))
