"""Resource policies, judged offline: what they deny, whether one says as much as another, whether they are public.

Sources: IAM user guide, "JSON policy elements reference" (Principal, Action, Resource, Condition operators) and "Policy
evaluation logic"; S3 user guide, "The meaning of public". Every answer is True, False, or None where the policy
uses something that can't be judged here. What None means depends on the question: a denial that is needed must be True,
a denial that would lock somebody out must be False.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any

from holdfast.value import Value

Document = dict[str, Any]
Statement = Mapping[str, Any]
VARIABLE = re.compile(r"\$\{")
NOBODY = "anonymous"


class Request(Value):
    """A call as a policy sees it. `principal` is an ARN, a service's name, or NOBODY.

    `context` has lower-case keys; None is a key that the request doesn't have, and of a key that is not mentioned
    nobody knows.
    """

    who: str
    principal: str
    action: str
    resource: str
    context: Mapping[str, str | None] = field(default_factory=dict)


def load(text: str) -> Document:
    """Raises ValueError for what is not a policy. A single statement becomes a list of one."""
    policy = json.loads(text, object_pairs_hook=_unambiguous)
    if not isinstance(policy, dict):
        raise ValueError("not a policy document")
    return policy | {"Statement": [s for s in several(policy.get("Statement")) if isinstance(s, dict)]}


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """IAM user guide, "Policy grammar notes": no key stands twice. Else AWS could read one and we the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"not a policy document: one of {', '.join(found)} stands twice")
    return found


def dump(policy: Document) -> str:
    """As short as can be: S3 counts bytes."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def several(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def merge(policy: Document, ours: Iterable[Statement]) -> Document:
    """Ours put right by Sid, at the place where they stood; everything else stays as it is, in its order."""
    wanted = {str(statement["Sid"]): dict(statement) for statement in ours}
    merged: list[Any] = []
    waiting = dict(wanted)
    for statement in policy["Statement"]:
        sid = statement.get("Sid")
        if sid not in wanted:
            merged.append(statement)
        elif sid in waiting:
            merged.append(waiting.pop(sid))
    return policy | {"Statement": [*merged, *waiting.values()]}


def denies(policy: Document, request: Request) -> bool | None:
    """Whether a statement denies the request."""
    return some(applies(s, request) for s in policy["Statement"] if s.get("Effect") != "Allow")


def applies(statement: Statement, request: Request) -> bool | None:
    """Whether the statement is about the request."""
    return every(
        [
            named(statement, request.principal),
            listed(statement, "Action", request.action, _like_action),
            listed(statement, "Resource", request.resource, _like),
            *(
                holds(operator, values, request.context[key.lower()]) if key.lower() in request.context else None
                for operator, key, values in conditions(statement)
            ),
        ]
    )


def every(answers: Iterable[bool | None]) -> bool | None:
    """Three-valued: False if one is, else None if one is, else True."""
    found = set(answers)
    return False if False in found else None if None in found else True


def some(answers: Iterable[bool | None]) -> bool | None:
    found = set(answers)
    return True if True in found else None if None in found else False


def negated(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def named(statement: Statement, principal: str) -> bool | None:
    """Whether Principal names it. NotPrincipal with a role also needs its session and account, so it stays unsure."""
    if "NotPrincipal" in statement:
        return True if some(_names(statement["NotPrincipal"], principal)) is False else None
    return some(_names(statement.get("Principal"), principal))


def _names(element: Any, principal: str) -> Iterator[bool | None]:
    if element == "*":
        yield True
    elif isinstance(element, Mapping):
        for kind, values in element.items():
            yield from (_is(kind, str(value), principal) for value in several(values))


def _is(kind: str, name: str, principal: str) -> bool | None:
    if kind == "Service":
        return name == principal or name == "*"
    if kind != "AWS":
        return None  # a canonical user or a federation: not told from an ARN
    if name == "*":
        return True
    if ":assumed-role/" in name:
        return None if name.split("/")[1] == principal.rpartition("/")[2] else False  # one session, or another's role
    if ":federated-user/" in name:
        return None
    if name.startswith("arn:") or name.isdigit():
        account = principal.split(":")[4] if principal.startswith("arn:") else ""
        is_account = name.isdigit() or name.endswith(":root")
        return principal == name or (is_account and account != "" and account in name)
    return None  # the id of a principal, which may be gone


def listed(statement: Statement, element: str, value: str, like: Callable[[str, str], bool | None]) -> bool | None:
    if element in statement:
        return some(like(value, str(pattern)) for pattern in several(statement[element]))
    without = f"Not{element}"
    if without in statement:
        return negated(some(like(value, str(pattern)) for pattern in several(statement[without])))
    return None


def conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    """Operator, key and values of each test; all of them must hold."""
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, values in keys.items():
            yield operator, key, [_text(value) for value in several(values)]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def holds(operator: str, values: list[str], found: str | None) -> bool | None:
    """Whether one test holds for a key's value; `found` is None when the request doesn't have the key.

    An absent key satisfies `…IfExists`, every negated operator, and `ForAllValues`; it fails all others.
    """
    quantifier, _, base = operator.rpartition(":")
    base, if_exists = base.removesuffix("IfExists"), base.endswith("IfExists")
    if not values or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        return None
    if operator == "Null":
        return any((value.lower() == "true") == (found is None) for value in values)
    negative = "Not" in base
    test = TESTS.get(base.replace("Not", "", 1))
    if test is None:
        return None
    if found is None and quantifier == "ForAnyValue":
        return None if if_exists or negative else False
    if found is None:
        return if_exists or negative or quantifier == "ForAllValues"
    answer = some(None if VARIABLE.search(value) else test(found, value) for value in values)
    return negated(answer) if negative else answer


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    translated = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in glob)
    return re.compile(translated, re.DOTALL)


def _like(value: str, glob: str) -> bool | None:
    return None if VARIABLE.search(glob) else bool(_pattern(glob).fullmatch(value))


def _like_action(value: str, glob: str) -> bool | None:
    return _like(value.lower(), glob.lower())


def _arn_like(value: str, glob: str) -> bool | None:
    """Part by part: a `*` in one part doesn't reach into the next."""
    parts, globs = value.split(":", 5), glob.split(":", 5)
    if len(globs) < 6 or len(parts) < 6:
        return None if _like(value, glob) else False
    return every(_like(part, pattern) for part, pattern in zip(parts, globs, strict=True))


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _numeric(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool | None]:
    def test(value: str, wanted: str) -> bool | None:
        left, right = _number(value), _number(wanted)
        return None if left is None or right is None else compare(left, right)

    return test


def _in_network(value: str, network: str) -> bool | None:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return None


TESTS: dict[str, Callable[[str, str], bool | None]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "IpAddress": _in_network,
    "NumericEquals": _numeric(lambda left, right: left == right),
    "NumericLessThan": _numeric(lambda left, right: left < right),
    "NumericLessThanEquals": _numeric(lambda left, right: left <= right),
    "NumericGreaterThan": _numeric(lambda left, right: left > right),
    "NumericGreaterThanEquals": _numeric(lambda left, right: left >= right),
}


def covers(found: Iterable[Statement], required: Statement) -> bool:
    """True if the denials that were found certainly deny all that the required one denies.

    Each action pattern and resource of the required statement must be denied by one found statement, for everybody, and
    under no condition that the required one doesn't imply. Judged key by key over the values that tell them apart,
    present and absent, so how a condition is written doesn't matter.
    """
    denials = [s for s in found if s.get("Effect") == "Deny" and _for_everybody(s) and _implied(s, required)]
    pairs = [(a, r) for a in several(required.get("Action")) for r in several(required.get("Resource"))]
    return bool(pairs) and all(
        any(_contains(s, "Action", action, str.lower) and _contains(s, "Resource", resource, str) for s in denials)
        for action, resource in pairs
    )


def _for_everybody(statement: Statement) -> bool:
    principal = statement.get("Principal")
    return principal == "*" or (isinstance(principal, Mapping) and "*" in several(principal.get("AWS")))


def _contains(statement: Statement, element: str, glob: str, fold: Callable[[str], str]) -> bool:
    """True if one of the statement's patterns matches all that `glob` matches. Its `?` is no match for a `*`."""
    return any(_glob_contains(fold(str(wide)), fold(str(glob))) for wide in several(statement.get(element)))


def _glob_contains(wide: str, narrow: str) -> bool:
    translated = "".join({"*": ".*", "?": "[^*]"}.get(char, re.escape(char)) for char in wide)
    return re.fullmatch(translated, narrow, re.DOTALL) is not None


def _implied(statement: Statement, required: Statement) -> bool:
    """True if the statement's conditions hold in every request in which the required one's do."""
    ours, theirs = list(conditions(required)), list(conditions(statement))
    for key in {key.lower() for _, key, _ in theirs}:
        tests = [(operator, values) for operator, name, values in theirs if name.lower() == key]
        premises = [(operator, values) for operator, name, values in ours if name.lower() == key]
        if not all(_is_comparable(*test, premises) for test in tests):
            return False
        for value in samples([value for _, values in (*tests, *premises) for value in values]):
            if every(holds(*premise, value) for premise in premises) is not True:
                continue
            if every(holds(*test, value) for test in tests) is not True:
                return False
    return True


def _is_comparable(operator: str, values: list[str], premises: list[tuple[str, list[str]]]) -> bool:
    """False for a test on patterns that lets more escape. Samples don't exhaust patterns, so these are compared."""
    if not re.search("Like|Arn|IgnoreCase", operator):
        return True
    if "Not" not in operator:
        return "StringLike" in operator and "*" in values
    admitted = [value for premise, names in premises if "Not" in premise for value in names]
    return "IgnoreCase" not in operator and all(any(_glob_contains(wide, v) for wide in admitted) for v in values)


ORDINARY = (
    "something-else",
    "true",
    "false",
    "000000000000",
    "vpc-00000000000000000",
    "arn:aws:iam::000000000000:role/somebody",
    "arn:aws:iam::000000000000:user/somebody",
    "203.0.113.99",
    "2001:db8::99",
    "1.0",
    "1.1",
    "1.2",
    "1.3",
)


def samples(mentioned: Iterable[str]) -> list[str | None]:
    """Values of a key that tell apart tests which mention these: absent, ordinary, on and beside each of them."""
    found: dict[str | None, None] = dict.fromkeys((None, *ORDINARY))
    for value in mentioned:
        bare = value.replace("?", "q")
        found |= dict.fromkeys((value, value.swapcase(), value + "x", "x" + value))
        found |= dict.fromkeys((bare.replace("*", ""), bare.replace("*", "x0"), bare.replace("*", "a:b/c")))
        found |= dict.fromkeys(_beside(value))
    return list(found)


def _beside(value: str) -> Iterator[str]:
    """Just below and above a number; first, last and neighbouring addresses of a network."""
    if (number := _number(value)) is not None:
        yield from (str(number - 0.05), str(number + 0.05))
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return
    first, last = network.network_address, network.broadcast_address
    yield from (str(first), str(last))
    yield from (str(first - 1) for _ in range(int(first) > 0))
    yield from (str(last + 1) for _ in range(int(last) < (1 << last.max_prefixlen) - 1))


# S3 user guide, "The meaning of public": a condition on one of these with fixed values makes a grant non-public.
FIXING = frozenset(
    "aws:principalorgid aws:principalaccount aws:principalarn aws:sourcearn aws:sourcevpc aws:sourcevpce "
    "aws:sourceowner aws:sourceaccount aws:userid s3:dataaccesspointarn s3:dataaccesspointaccount "
    "s3:x-amz-server-side-encryption-aws-kms-key-id".split()
)
FIXED = ("StringEquals", "StringLike", "StringEqualsIgnoreCase", "ArnEquals", "ArnLike")
UNFIXED = re.compile(r"[*?]|\$\{")
PRIVATE = tuple(ipaddress.IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 in the clothes of IPv6


def public_grants(policy: Document) -> list[Statement]:
    """The statements for which S3 would call the policy public; when in doubt, one is."""
    return [s for s in policy["Statement"] if s.get("Effect") == "Allow" and _is_open(s) and not _is_fixed(s)]


def _is_open(statement: Statement) -> bool:
    """Open to more than named principals; whoever a web identity provider signs in counts as anybody."""
    principal = statement.get("Principal")
    if not isinstance(principal, Mapping) or "Federated" in principal:
        return True
    return any(UNFIXED.search(str(name)) for names in principal.values() for name in several(names))


def _is_fixed(statement: Statement) -> bool:
    return any(_fixes(operator, key.lower(), values) for operator, key, values in conditions(statement))


def _fixes(operator: str, key: str, values: list[str]) -> bool:
    if operator == "IpAddress":
        return key == "aws:sourceip" and bool(values) and _are_narrow(values)
    if operator not in FIXED or key not in FIXING or not values:
        return False
    if key == "aws:userid" and any(":" in value for value in values):
        return False  # a role's session is whatever its caller says
    if key == "s3:dataaccesspointarn":  # any access point of a fixed account will do
        values = [re.sub(r"(?<=:accesspoint/)[^$]*$", "", value) for value in values]
    return not any(value == NOBODY or UNFIXED.search(value) for value in values)


def _are_narrow(ranges: list[str]) -> bool:
    """S3 calls broad ranges public: wider than /8, and /32 for IPv6. Many that are less add up."""
    try:
        found = [ipaddress.ip_network(each, strict=False) for each in ranges]
    except ValueError:
        return False
    six = [n for n in found if isinstance(n, ipaddress.IPv6Network)]
    four = [n for n in found if isinstance(n, ipaddress.IPv4Network) and not any(map(n.subnet_of, PRIVATE))]
    broad = sum(n.num_addresses for n in ipaddress.collapse_addresses(four)) > 1 << 24
    broad_six = sum(n.num_addresses for n in ipaddress.collapse_addresses(six)) > 1 << 96
    return not (broad or broad_six or any(n.overlaps(MAPPED) for n in six))
