"""`holdfast validate`: every problem of a settings file, judged as the functions judge it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from holdfast import Event, Misshapen, shape
from holdfast.settings import matches
from holdfast_cli import events, project
from holdfast_cli.checks import problems
from holdfast_cli.deployment import handler
from holdfast_cli.exemptions import covered, overlap
from holdfast_cli.main import app
from hypothesis import given
from hypothesis import strategies as st
from support import HERE
from typer.testing import CliRunner, Result

GUARDRAIL = "s3-default-encryption"
ROLE = "arn:aws:iam::123456789012:role/deploy"
NEXT_MONTH = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
EXEMPTION = {"resource": "arn:aws:s3:::web-*", "owner": "web team", "reason": "public site", "expires": NEXT_MONTH}


@pytest.fixture
def validate(tmp_path: Path) -> Any:
    def run(value: object, *options: str) -> Result:
        path = tmp_path / "settings.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return CliRunner().invoke(app, ["validate", str(path), *options])

    return run


def found(result: Result) -> list[tuple[str, str]]:
    """Path and reason of each line, without the file."""
    lines = [line.partition("settings.json: ")[2].partition(": ") for line in result.stdout.splitlines()]
    return [(at, why) for at, _, why in lines]


GOOD = [
    ({"mode": "enforce", "modes": {GUARDRAIL: "off"}, "baseline_principals": [ROLE]}, ()),
    ({"bucket_key": False, "sse_s3_buckets": ["logs-*"]}, ("--guardrail", GUARDRAIL)),
    (EXEMPTION | {"principal": ROLE}, ("--exemption",)),
    ({"settings": {"mode": "audit"}, f"exemptions/{GUARDRAIL}/web": EXEMPTION}, ()),
    ({"/holdfast/settings": json.dumps({"mode": "audit"})}, ()),
    ({}, ()),
]


@pytest.mark.parametrize(("value", "options"), GOOD)
def test_a_good_file_is_valid(validate: Any, value: object, options: tuple[str, ...]) -> None:
    result = validate(value, *options)
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert result.stdout.endswith("settings.json: valid\n")


def test_every_problem_is_named_with_its_path(validate: Any) -> None:
    result = validate(
        {
            "settings": {"mode": "on", "remediate_existing": "yes", "break_glass_arns": [ROLE, "root"], "moode": 1},
            f"settings/{GUARDRAIL}": {"algorithm": "DES", "accepted_key_arns": ["a", "b"]},
            f"exemptions/{GUARDRAIL}/web": {"resource": "web", "owner": "o", "expires": "2026-02-30"},
        }
    )
    assert result.exit_code == 1
    assert [at for at, _ in found(result)] == [
        "/holdfast/settings",
        "/holdfast/settings.mode",
        "/holdfast/settings.remediate_existing",
        "/holdfast/settings.break_glass_arns[1]",
        f"/holdfast/settings/{GUARDRAIL}.algorithm",
        f"/holdfast/settings/{GUARDRAIL}.accepted_key_arns[0]",
        f"/holdfast/settings/{GUARDRAIL}.accepted_key_arns[1]",
        f"/holdfast/exemptions/{GUARDRAIL}/web",
        f"/holdfast/exemptions/{GUARDRAIL}/web.resource",
    ]
    assert "unknown: moode" in result.stdout
    assert "required: reason" in result.stdout


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        ({"settings/s3-defualt-encryption": {}}, (), "did you mean s3-default-encryption"),
        ({"settings": {"modes": {"s3-defualt-encryption": "off"}}}, (), "did you mean s3-default-encryption"),
        ({"exemptions/s3-default-encryption": EXEMPTION}, (), "nothing reads this"),
        ({"exemptions/s3-default-encryption/team/web": {}}, (), "required: resource"),
        ({"exemptions/s3-defualt-encryption/team/web": EXEMPTION}, (), "did you mean s3-default-encryption"),
        ({"settings": [1]}, (), "is not a dict"),
        ({"settings": "not json"}, (), "not JSON: Expecting value"),
        ({"settings": "\N{BOM}{}"}, (), "byte order mark"),
        ({"settings": "[" * 100_000}, (), "not JSON: maximum recursion depth"),
        ([], (), "is not a dict"),
        (EXEMPTION | {"expires": "2026-02-30"}, ("--exemption",), "day is out of range"),
        (EXEMPTION | {"principal": ROLE.replace("iam", "sts")}, ("--exemption",), "does not look like"),
        ({"key_arn": ""}, ("--guardrail", GUARDRAIL), "does not look like"),
    ],
)
def test_what_a_function_would_not_take_or_not_read_is_invalid(
    validate: Any, value: object, options: tuple[str, ...], said: str
) -> None:
    result = validate(value, *options)
    assert result.exit_code == 1
    assert said in result.stdout


def test_settings_are_judged_together_with_the_stack_that_they_will_meet(validate: Any) -> None:
    key = {"key_arn": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"}
    alone = validate(key, "--guardrail", GUARDRAIL)
    assert alone.exit_code == 1
    assert "together with the stack's parameters" in alone.stdout
    assert validate(key, "--guardrail", GUARDRAIL, "-p", "EncryptionAlgorithm=aws:kms").exit_code == 0


def test_what_is_only_missing_is_a_warning_since_the_stack_may_give_it(validate: Any) -> None:
    lacking = validate({}, "--guardrail", "s3-vpc-only-policy")
    assert (lacking.exit_code, "(warning)" in lacking.stdout) == (0, True)
    stack = ("-p", "DataBuckets=data-*", "-p", "VpcIds=vpc-01234567")
    assert "(warning)" not in validate({}, "--guardrail", "s3-vpc-only-policy", *stack).stdout


def test_an_exemption_that_is_over_is_a_warning(validate: Any) -> None:
    result = validate(EXEMPTION | {"expires": "2020-01-31"}, "--exemption")
    assert result.exit_code == 0
    assert found(result)[0] == ("$.expires", "over since 2020-01-31: it exempts nothing any more (warning)")


def test_an_exemption_for_years_was_passed_over(validate: Any) -> None:
    result = validate(EXEMPTION | {"expires": "2099-01-31"}, "--exemption")
    assert result.exit_code == 0
    assert found(result)[0] == ("$.expires", "more than a year away: by then nobody may know why (warning)")


KEYS, BUCKETS = "arn:aws:kms:eu-west-1:123456789012", "arn:aws:s3:::"


@pytest.mark.parametrize(
    ("guardrail", "resource", "said"),
    [
        ("kms-key-deletion", f"{KEYS}:key/1234abcd", ""),
        ("kms-key-deletion", f"{KEYS}:*key-store/cks-?", ""),
        ("kms-key-deletion", "arn:aws:kms:*1234abcd", ""),
        ("kms-key-deletion", "arn:aws*:k?s:*:key/12*", ""),
        ("kms-key-deletion", f"{KEYS}:alias/lake", "exempts nothing"),
        ("kms-key-deletion", f"{BUCKETS}lake", "exempts nothing"),
        ("kms-key-deletion", "arn:aws:*:::key/1:2", "exempts nothing"),
        ("kms-key-deletion", f"{KEYS}:key/1234abcd/*", "exempts nothing"),
        ("kms-key-deletion", f"{KEYS}:key/*", "nothing but wildcards"),
        ("kms-key-deletion", "arn:aws:*:*", "nothing but wildcards"),
        (GUARDRAIL, f"{BUCKETS}lake", ""),
        (GUARDRAIL, "arn:aws:s3express:eu-west-1:123456789012:bucket/lake--euw1-az1--x-s3", ""),
        (GUARDRAIL, f"{BUCKETS}lake/*", "exempts nothing"),
        (GUARDRAIL, "arn:aws:s3:eu-west-1::lake", "exempts nothing"),
        (GUARDRAIL, f"{BUCKETS}*", "nothing but wildcards"),
        ("s3-public-access-block", "arn:aws:s3::123456789012:account", ""),
        ("s3-vpc-only-policy", "arn:aws:s3::123456789012:account", "exempts nothing"),
        ("vpc-endpoint", "arn:aws:ec2:*:*:vpc/vpc-01234567", ""),
        ("vpc-endpoint", "arn:aws:ec2:*:*:route-table/rtb-01234567", "exempts nothing"),
    ],
)
def test_an_exemption_of_nothing_or_of_everything_was_passed_over(
    validate: Any, guardrail: str, resource: str, said: str
) -> None:
    result = validate({f"exemptions/{guardrail}/web": EXEMPTION | {"resource": resource}})
    assert (result.exit_code, said in result.stdout, result.stdout.count("(warning)")) == (0, True, bool(said))


def test_an_exemption_by_itself_may_be_for_any_guardrail(validate: Any) -> None:
    for resource, warnings in ((f"{KEYS}:key/1234abcd", 0), (f"{BUCKETS}lake", 0), ("arn:aws:sns:*:*:alarms", 1)):
        result = validate(EXEMPTION | {"resource": resource}, "--exemption")
        assert (result.exit_code, result.stdout.count("(warning)")) == (0, warnings)


@pytest.mark.parametrize("guardrail", project.guardrails())
def test_of_all_that_a_guardrail_covers_an_exemption_is_known_to_be_possible(guardrail: str) -> None:
    """Of a pattern in `covers` that isn't taken apart rightly, exemptions would be said to be of nothing."""
    paths = (project.EVENTS / guardrail).glob("*.json")
    targets = {arn for path in paths for arn in handler(guardrail).targets(Event.parse(events.read_one(path), HERE))}
    guarded = [arn for arn in targets if handler(guardrail).fits(arn, HERE)]
    assert guarded
    assert all(any(overlap(arn, glob) for glob in covered(guardrail)) for arn in guarded)


ARNS = [arn for guardrail in project.guardrails() for arn in covered(guardrail)]


@given(st.data())
def test_an_exemption_that_matches_something_guarded_is_never_said_to_exempt_nothing(data: st.DataObject) -> None:
    arn = data.draw(st.sampled_from(ARNS))
    text = "".join(data.draw(st.from_regex(r"[\w.-]{1,4}", fullmatch=True)) if char == "*" else char for char in arn)
    drawn = data.draw(st.lists(st.sampled_from(["same", "?", "*"]), min_size=len(text), max_size=len(text)))
    pattern = "".join(char if kind == "same" else kind for char, kind in zip(text, drawn, strict=True))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    for like in (pattern, f"{text[:start]}*{text[end:]}"):
        assert matches(text, like)
        assert overlap(like, arn), like


def test_machines_get_the_same(validate: Any) -> None:
    told = json.loads(validate({"mode": "on"}, "--json").stdout)
    assert told["valid"] is False
    (finding,) = told["findings"]
    assert (finding["at"], finding["warning"]) == ("$.mode", False)


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        ("{", (), "not JSON"),
        ({}, ("--guardrail", "s3-defualt"), "no guardrail"),
        ({}, ("--guardrail", GUARDRAIL, "--exemption"), "not both"),
        ({}, ("-p", "Mode=of"), "Mode=of"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(
    validate: Any, value: object, options: tuple[str, ...], said: str
) -> None:
    result = validate(value, *options)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert said in result.stderr


def test_a_file_that_begins_with_a_byte_order_mark_was_valid(validate: Any) -> None:
    result = validate("\N{BOM}{}")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "byte order mark" in result.stderr


@pytest.mark.parametrize("name", ["", "/", "/web", "a//web", "web/", "web site", "öffentlich"])
def test_a_name_that_ssm_does_not_take_was_valid(validate: Any, name: str) -> None:
    result = validate({f"exemptions/{GUARDRAIL}/{name}": EXEMPTION})
    assert result.exit_code == 1
    assert "SSM takes no such name" in result.stdout


def test_settings_that_turn_off_what_the_stack_has_on_were_only_a_warning(validate: Any) -> None:
    name, emptied = "s3-vpc-only-policy", json.loads('{"vpc_ids": []}')
    stack = ("-p", "DataBuckets=data-*", "-p", "VpcIds=vpc-01234567")
    for value, options in ((emptied, ("--guardrail", name)), ({f"settings/{name}": emptied}, ())):
        assert "the guardrail would be off" in validate(value, *options, *stack).stdout
        assert validate(value, *options, *stack).exit_code == 1
        assert validate(value, *options).exit_code == 0
        assert validate(value, *options, *stack, "-p", "OrganizationId=o-0123456789").exit_code == 0


@pytest.mark.parametrize(("size", "status", "said"), [(4096, 0, ""), (4097, 0, "Advanced"), (8193, 1, "8192")])
def test_a_value_that_is_too_large_for_ssm_was_valid(validate: Any, size: int, status: int, said: str) -> None:
    names = ["a" * 100] * (size // 104)
    text = json.dumps({"sse_s3_buckets": ["", *names]})
    text = text.replace('""', f'"{"a" * (size - len(text))}"')
    for result in (validate(text, "--guardrail", GUARDRAIL), validate({f"settings/{GUARDRAIL}": text})):
        assert (result.exit_code, said in result.stdout, "bytes" in result.stdout) == (status, True, bool(said))
    assert ("bytes" in validate({f"settings/{GUARDRAIL}": json.loads(text)}).stdout) is (size > 4097)


TWICE = '{"mode": "audit", "modes": {}, "mode": "enforce"}'


def test_a_key_that_stands_twice_was_valid(validate: Any) -> None:
    for text in (TWICE, f'{{"settings": {TWICE}}}', '{"mode": {}, "mode": {}}'):
        result = validate(text)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "'mode' stands there twice" in result.stderr
    stored = validate({"settings": TWICE})
    assert stored.exit_code == 1
    assert found(stored) == [("/holdfast/settings", "not JSON: 'mode' stands there twice")]


@dataclass(frozen=True)
class Part:
    name: Annotated[str, r"[a-z]+"]
    size: Annotated[int, range(1, 10)] = 1

    def __post_init__(self) -> None:
        if self.name == "odd" and self.size % 2 == 0:
            raise Misshapen("odd needs an odd size")


@dataclass(frozen=True)
class Whole:
    main: Part
    parts: tuple[Part, ...] = ()
    by_name: Mapping[str, Part] | None = None
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"main": {"name": "x"}}, []),
        ({}, ["$"]),
        ({"main": {"name": "X", "size": 11}}, ["$.main.name", "$.main.size"]),
        ({"main": {"name": "odd", "size": 2}}, ["$.main"]),
        ({"main": {"size": 0, "colour": 1}}, ["$.main", "$.main", "$.main.size"]),
        ({"main": {"name": "x"}, "parts": [{}, 3, {"name": "y"}]}, ["$.parts[0]", "$.parts[1]"]),
        ({"main": {"name": "x"}, "by_name": {"n": {"name": 1}}, "kind": "c"}, ["$.by_name.n.name", "$.kind"]),
        (None, ["$"]),
    ],
)
def test_problems_are_found_at_every_depth(value: Any, expected: list[str]) -> None:
    assert [str(problem).partition(": ")[0] for problem in problems(Whole, value, "$")] == expected


@pytest.mark.parametrize("value", [{"main": {"name": "x"}}, {}, {"main": {"name": "odd", "size": 2}}, {"main": 1}, []])
def test_there_are_problems_exactly_where_a_function_would_refuse(value: Any) -> None:
    try:
        shape.parse(Whole, value)
        refused = False
    except Misshapen:
        refused = True
    assert bool(list(problems(Whole, value, "$"))) is refused
