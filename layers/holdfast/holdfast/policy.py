"""Resource policies, judged offline: what they deny, whether one says as much as another, whether they are public.

Sources: IAM user guide, "JSON policy elements reference" (Principal, Action, Resource, Condition operators) and "Policy
evaluation logic"; S3 user guide, "The meaning of public". Every answer is True, False, or None where the policy
uses something that can't be judged here. What None means depends on the question: a denial that is needed must be True,
a denial that would lock somebody out must be False.

Whoever may write a policy also says how much work it is to read. So no pattern becomes a regular expression, which may
take for ever to give up, and where two lists would be held against each other there is a limit to that (WORK).
"""

import ipaddress
import json
import re
from bisect import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field
from functools import cache, lru_cache, partial
from itertools import accumulate, starmap
from typing import Any

from holdfast.value import Value

Document = dict[str, Any]
Statement = Mapping[str, Any]
Answer = bool | None
Condition = tuple[str, frozenset[str]]  # an operator and its values
VARIABLE = re.compile(r"\$\{")
LONE = re.compile(r"[\ud800-\udfff]")
# IAM user guide, "Numeric condition operators": an integer or decimal value; so many digits are exact in a float
NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
NOBODY = "anonymous"


class Number(str):
    """A number in the very words of the policy: 10.00 is not to come back as 10.0, nor 1e400 as Infinity."""


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
    policy = json.loads(
        text, object_pairs_hook=_unambiguous, parse_float=Number, parse_int=Number, parse_constant=_refused
    )
    if not isinstance(policy, dict):
        raise ValueError("not a policy document")
    return policy | {"Statement": [_shaped(s) for s in several(policy.get("Statement")) if isinstance(s, dict)]}


def _shaped(statement: Document) -> Document:
    """IAM user guide, "Grammar of the IAM JSON policy language". What else is odd names nobody, or nothing."""
    tests = statement.get("Condition", {})
    if not (isinstance(tests, dict) and all(isinstance(keys, dict) for keys in tests.values())):
        raise ValueError("not a policy document: the Condition of a statement is no object of objects")
    if not isinstance(statement.get("Sid", ""), str):
        raise ValueError("not a policy document: the Sid of a statement is no text")
    return statement


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """IAM user guide, "Policy grammar notes": no key stands twice. Else AWS could read one and we the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"not a policy document: one of {', '.join(found)} stands twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"not a policy document: {constant} is not JSON")


def dump(policy: Document) -> str:
    """As short as can be: S3 counts bytes. Half a character, which is no UTF-8, stays the escape that it was."""
    return LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", _written(policy))


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_written(key)}:{_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    return value if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


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


def denies(policy: Document, request: Request) -> Answer:
    """Whether a statement denies the request."""
    return denial(policy)(request)


def denial(policy: Document) -> Callable[[Request], Answer]:
    """As `denies`, for many requests: each pattern is held against each value once."""
    denials = [about(s) for s in policy["Statement"] if s.get("Effect") != "Allow"]
    return lambda request: some(each(request) for each in denials)


def applies(statement: Statement, request: Request) -> Answer:
    """Whether the statement is about the request."""
    return about(statement)(request)


def about(statement: Statement) -> Callable[[Request], Answer]:
    who, what = cache(partial(named, statement)), cache(listed(statement, "Action", str.lower))
    where = cache(listed(statement, "Resource", str))
    tests = [(key.lower(), cache(judge(operator, values))) for operator, key, values in conditions(statement)]

    def answers(request: Request) -> Iterator[Answer]:
        yield who(request.principal)
        yield what(request.action)
        yield where(request.resource)
        yield from (test(request.context[key]) if key in request.context else None for key, test in tests)

    return lambda request: every(answers(request))


def every(answers: Iterable[Answer]) -> Answer:
    """Three-valued: False if one is, else None if one is, else True. Nothing is asked after a False."""
    sure = True
    for answer in answers:
        if answer is False:
            return False
        sure = sure and answer is not None
    return sure or None


def some(answers: Iterable[Answer]) -> Answer:
    return negated(every(map(negated, answers)))


def negated(answer: Answer) -> Answer:
    return None if answer is None else not answer


def named(statement: Statement, principal: str) -> Answer:
    """Whether Principal names it. NotPrincipal with a role also needs its session and account, so it stays unsure."""
    if "NotPrincipal" in statement:
        return True if some(_names(statement["NotPrincipal"], principal)) is False else None
    return some(_names(statement.get("Principal"), principal))


def _names(element: Any, principal: str) -> Iterator[Answer]:
    if element == "*":
        yield True
    elif isinstance(element, Mapping):
        for kind, values in element.items():
            yield from (_is(kind, str(value), principal) for value in several(values))


def _is(kind: str, name: str, principal: str) -> Answer:
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


def listed(statement: Statement, element: str, fold: Callable[[str], str]) -> Callable[[str], Answer]:
    """Whether Action or Resource, or the Not of it, lists a value."""
    name = element if element in statement else f"Not{element}"
    if name not in statement:
        return lambda value: None
    test = _fixed([fold(pattern) for pattern in _texts(statement[name])], _like)
    return lambda value: test(fold(value)) if name == element else negated(test(fold(value)))


def _fixed(values: Collection[str], test: "Test") -> Callable[[str], Answer]:
    """One of the values passes the test; of a value with a policy variable nobody knows."""
    known = [value for value in values if not VARIABLE.search(value)]
    passes, rest = test(known), False if len(known) == len(values) else None
    return lambda found: some((passes(found), rest))


def conditions(statement: Statement) -> Iterator[tuple[str, str, list[str]]]:
    """Operator, key and values of each test; all of them must hold."""
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, values in keys.items():
            yield operator, key, _texts(values)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def holds(operator: str, values: list[str], found: str | None) -> Answer:
    """Whether one test holds for a key's value; `found` is None when the request doesn't have the key."""
    return judge(operator, values)(found)


def judge(operator: str, values: Collection[str]) -> Callable[[str | None], Answer]:
    """As `holds`, for many values.

    An absent key satisfies `…IfExists`, every negated operator, and `ForAllValues`; it fails all others.
    """
    quantifier, _, base = operator.rpartition(":")
    base, if_exists = base.removesuffix("IfExists"), base.endswith("IfExists")
    if not values or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        return lambda found: None
    if operator == "Null":
        return lambda found: any((value.lower() == "true") == (found is None) for value in values)
    negative = "Not" in base
    test = TESTS.get(base.replace("Not", "", 1))
    if test is None:
        return lambda found: None
    absent: Answer = if_exists or negative or quantifier == "ForAllValues"
    if quantifier == "ForAnyValue":
        absent = None if if_exists or negative else False
    passes = _fixed(values, test)

    def answer(found: str | None) -> Answer:
        if found is None:
            return absent
        return negated(passes(found)) if negative else passes(found)

    return answer


# Made of the values that a policy mentions: whether what is found is, or matches, one of them.
Test = Callable[[list[str]], Callable[[str], Answer]]


def _equal(fold: Callable[[str], str]) -> Test:
    def test(wanted: list[str]) -> Callable[[str], Answer]:
        folded = frozenset(map(fold, wanted))
        return lambda value: fold(value) in folded

    return test


def _like(globs: Iterable[str], is_glob: bool = False) -> Callable[[str], bool]:
    """One of the globs matches a text; or, where that is a glob too, all that it matches."""
    plain, wild = _parted(globs)
    if "*" in wild:
        return lambda text: True

    def test(text: str) -> bool:
        places = _places(text, is_glob) if wild else {}
        return text in plain or any(_matches(glob, places) for glob in wild)

    return test


def _parted(globs: Iterable[str]) -> tuple[frozenset[str], list[str]]:
    """Those without and those with wildcards."""
    found = frozenset(globs)
    wild = [glob for glob in found if "*" in glob or "?" in glob]
    return found.difference(wild), wild


def _places(text: str, is_glob: bool = False) -> dict[str, int]:
    """Where each character stands, as bits of a number; at "?" where any does, and at "" the end.

    A `?` of one glob is no match for a `*` of another.
    """
    found: dict[str, int] = {}
    for place, char in enumerate(text):
        found[char] = found.get(char, 0) | 1 << place
    end = 1 << len(text)
    return found | {"?": end - 1 & ~(found.get("*", 0) if is_glob else 0), "": end}


def _matches(glob: str, places: Mapping[str, int]) -> bool:
    """In as many steps as the glob has characters: all the places to which it can have come are one number."""
    come, end = 1, places[""]
    for char in glob:
        come = -(come & -come) & (end | end - 1) if char == "*" else (come & places.get(char, 0)) << 1
        if not come:
            return False
    return bool(come & end)


def _arn_like(arns: Iterable[str]) -> Callable[[str], Answer]:
    """Part by part: a `*` in one part doesn't reach into the next."""
    plain, wild = _parted(arns)

    def test(value: str) -> Answer:
        whole, parts = _places(value), [_places(part) for part in value.split(":", 5)]

        def is_like(glob: str) -> Answer:
            globs = glob.split(":", 5)
            if len(globs) < 6 or len(parts) < 6:
                return None if _matches(glob, whole) else False
            return all(map(_matches, globs, parts))

        return some(map(is_like, (*({value} & plain), *wild)))

    return test


def _number(value: str) -> float | None:
    """None for what only Python takes for one (`1_2`, `１.２`, `infinity`): nobody knows what AWS makes of it."""
    return float(value) if NUMBER.fullmatch(value) else None


def _numeric(compare: Callable[[float, float], bool]) -> Test:
    def test(wanted: list[str]) -> Callable[[str], Answer]:
        numbers = [_number(each) for each in wanted]

        def answers(left: float | None) -> Iterator[Answer]:
            yield from (None if left is None or right is None else compare(left, right) for right in numbers)

        return lambda value: some(answers(_number(value)))

    return test


def _in_network(networks: list[str]) -> Callable[[str], Answer]:
    found = [network(each) for each in networks]
    ends = sorted((_order(each[0]), _order(each[-1])) for each in found if each)
    firsts, lasts = [first for first, _ in ends], list(accumulate((last for _, last in ends), max))
    otherwise = None if None in found else False

    def test(value: str) -> Answer:
        address = network(value)
        if address is None or "/" in value:
            return None
        before = bisect(firsts, place := _order(address[0]))
        return True if before and lasts[before - 1] >= place else otherwise

    return test


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1024)
def network(value: str) -> Network | None:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def _order(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> tuple[int, int]:
    return address.version, int(address)


TESTS: dict[str, Test] = {
    "StringEquals": _equal(str),
    "StringEqualsIgnoreCase": _equal(str.lower),
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _equal(str.lower),
    "IpAddress": _in_network,
    "NumericEquals": _numeric(lambda left, right: left == right),
    "NumericLessThan": _numeric(lambda left, right: left < right),
    "NumericLessThanEquals": _numeric(lambda left, right: left <= right),
    "NumericGreaterThan": _numeric(lambda left, right: left > right),
    "NumericGreaterThanEquals": _numeric(lambda left, right: left >= right),
}


WORK = 300_000  # characters of patterns to go through before a policy is taken for one that can't be judged


def covers(found: Iterable[Statement], required: Statement) -> bool:
    """True if the denials that were found certainly deny all that the required one denies.

    Each action pattern and resource of the required statement must be denied by one found statement, for everybody, and
    under no condition that the required one doesn't imply. Judged key by key over the values that tell them apart,
    present and absent, so how a condition is written doesn't matter.
    """
    actions, resources = _texts(required.get("Action")), _texts(required.get("Resource"))
    sure, work = [], 0
    for statement in found:
        if statement.get("Effect") != "Deny" or not _for_everybody(statement):
            continue
        does = _contained(statement, "Action", actions, str.lower)
        to = _contained(statement, "Resource", resources, str)
        unlike = _unlike(statement, required) if does and to else []
        effort = sum(_effort(tests + premises) for tests, premises in unlike)
        if does and to and work + effort <= WORK:
            work += effort
            sure += [(does, to)] if all(starmap(_implied, unlike)) else []
    by_action = {frozenset(n for n, (does, _) in enumerate(sure) if action in does) for action in actions}
    by_resource = {frozenset(n for n, (_, to) in enumerate(sure) if resource in to) for resource in resources}
    return bool(by_action and by_resource) and all(one & other for one in by_action for other in by_resource)


def _texts(value: Any) -> list[str]:
    return [_text(each) for each in several(value)]


def _for_everybody(statement: Statement) -> bool:
    principal = statement.get("Principal")
    return principal == "*" or (isinstance(principal, Mapping) and "*" in several(principal.get("AWS")))


def _contained(statement: Statement, element: str, globs: list[str], fold: Callable[[str], str]) -> set[str]:
    """Those of the globs of which one of the statement's patterns matches all that they match."""
    test = _like(map(fold, _texts(statement.get(element))), is_glob=True)
    return {glob for glob in globs if test(fold(glob))}


def _unlike(statement: Statement, required: Statement) -> list[tuple[list[Condition], list[Condition]]]:
    """By key, the statement's tests that the required one doesn't have, and those that it has."""
    theirs, ours = _by_key(statement), _by_key(required)
    pairs = [(tests, ours.get(key, set())) for key, tests in theirs.items()]
    return [(list(tests - premises), list(premises)) for tests, premises in pairs if tests - premises]


def _by_key(statement: Statement) -> dict[str, set[Condition]]:
    found: dict[str, set[Condition]] = {}
    for operator, key, values in conditions(statement):
        found.setdefault(key.lower(), set()).add((operator, frozenset(values)))
    return found


def _effort(tests: list[Condition]) -> int:
    """How many characters of patterns are gone through if the tests are asked on all samples; a number is like one."""
    once = len(tests)
    for operator, values in tests:
        once += sum(map(len, _parted(values)[1])) if re.search("Like|Arn", operator) else 0
        once += len(values) if "Numeric" in operator else 0
    return once * (len(ORDINARY) + 11 * sum(len(values) for _, values in tests))


def _implied(tests: list[Condition], premises: list[Condition]) -> bool:
    """True if the tests of a key hold in every request in which the premises do."""
    if not all(_is_comparable(*test, premises) for test in tests):
        return False
    asked, given = [judge(*test) for test in tests], [judge(*premise) for premise in premises]
    return all(
        every(test(value) for test in asked) is True
        for value in samples(value for _, values in (*tests, *premises) for value in values)
        if every(premise(value) for premise in given) is True
    )


def _is_comparable(operator: str, values: frozenset[str], premises: list[Condition]) -> bool:
    """False for a test on patterns that lets more escape. Samples don't exhaust patterns, so these are compared."""
    if not re.search("Like|Arn|IgnoreCase", operator):
        return True
    if "Not" not in operator:
        return "StringLike" in operator and "*" in values
    admitted = _like((name for premise, names in premises if "Not" in premise for name in names), is_glob=True)
    return "IgnoreCase" not in operator and all(map(admitted, values))


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
        yield from (f"{number - 0.05:f}", f"{number + 0.05:f}")
    if (found := network(value)) is None:
        return
    first, last = found[0], found[-1]
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
        return key == "aws:sourceip" and bool(values) and are_narrow(values)
    if operator not in FIXED or key not in FIXING or not values:
        return False
    if key == "aws:userid" and any(":" in value for value in values):
        return False  # a role's session is whatever its caller says
    if key == "s3:dataaccesspointarn":  # any access point of a fixed account will do
        values = [value if "$" in value else value.partition(":accesspoint/")[0] for value in values]
    return not any(value == NOBODY or UNFIXED.search(value) for value in values)


def are_narrow(ranges: Iterable[str], widest_six: int = 32) -> bool:
    """S3 calls broad ranges public: wider than /8, and /32 for IPv6. Many that are less add up."""
    found = list(filter(None, parsed := [network(each) for each in ranges]))
    if None in parsed:
        return False
    six = [n for n in found if isinstance(n, ipaddress.IPv6Network)]
    four = [n for n in found if isinstance(n, ipaddress.IPv4Network) and not any(map(n.subnet_of, PRIVATE))]
    broad = sum(n.num_addresses for n in ipaddress.collapse_addresses(four)) > 1 << 24
    broad_six = sum(n.num_addresses for n in ipaddress.collapse_addresses(six)) > 1 << 128 - widest_six
    return not (broad or broad_six or any(n.overlaps(MAPPED) for n in six))
