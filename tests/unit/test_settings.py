"""What people decide: defaults, overrides, exemptions, and what is refused."""

import json
from typing import Any

import pytest
import time_machine
from botocore.exceptions import EndpointConnectionError
from holdfast import Misshapen, shape
from holdfast.settings import Choices, Defaults, Exemption, Parameters, SharedSettings, choose, matches, named
from support import ME

ROLE = f"arn:aws:iam::{ME}:role/ci"
EXEMPTION = {"resource": "arn:aws:s3:::lake", "owner": "data", "reason": "migration", "expires": "2030-06-30"}


def chosen(parameters: dict[str, Any] | None = None, **defaults: Any) -> Choices:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (parameters or {}).items()}
    return choose("x", Defaults(defaults, {"own": 1}), texts)


def test_audit_is_the_default() -> None:
    assert chosen().mode("x") == "audit"


def test_parameters_override_the_stack_and_a_guardrails_mode_the_common_one() -> None:
    assert chosen(mode="enforce").mode("x") == "enforce"
    assert chosen({"settings": {"mode": "audit"}}, mode="enforce").mode("x") == "audit"
    both = chosen({"settings": {"mode": "audit", "modes": {"x": "enforce"}}})
    assert (both.mode("x"), both.mode("y")) == ("enforce", "audit")


def test_own_settings_override_by_key() -> None:
    assert chosen({"settings/x": {"more": 2}}).own == {"own": 1, "more": 2}


def test_only_a_guardrails_own_path_can_break_it() -> None:
    broken = {"settings/y": "not json", "exemptions/y/a": "[]", "exemptions/xx/a": "{"}
    assert chosen(broken).exemptions == {}


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"settings": "no"}, r"/holdfast/settings: not JSON"),
        ({"settings": "[]"}, r"/holdfast/settings: not a JSON object"),
        ({"settings": "[" * 100_000}, r"/holdfast/settings: not JSON"),
        ({"settings": {"mode": "observe"}}, r"/holdfast/settings\.mode: 'observe' is not one of"),
        ({"settings": {"modes": {"x": "on"}}}, r"/holdfast/settings\.modes\.x: "),
        ({"settings/x": "{"}, r"/holdfast/settings/x: not JSON"),
        ({"exemptions/x/a": "{"}, r"/holdfast/exemptions/x/a: not JSON"),
        ({"exemptions/x/a": {}}, r"/holdfast/exemptions/x/a: required: resource, owner, reason, expires"),
        ({"exemptions/x/a": EXEMPTION | {"expires": "soon"}}, r"exemptions/x/a\.expires"),
        ({"exemptions/x/a": EXEMPTION | {"expires": "2030-02-31"}}, r"exemptions/x/a: expires"),
        ({"exemptions/x/a": EXEMPTION | {"principal": f"arn:aws:sts::{ME}:assumed-role/a/b"}}, r"principal"),
        ({"exemptions/x/a": EXEMPTION | {"principal": "arn:aws:iam::*:role/a"}}, r"principal"),
        ({"exemptions/x/a": EXEMPTION | {"resource": "*"}}, r"resource"),
        ({"exemptions/x/a": EXEMPTION | {"owner": " "}}, r"owner"),
        ({"exemptions/x/a": EXEMPTION | {"reason": " "}}, r"reason"),
    ],
)
def test_what_is_malformed_is_refused_by_name(parameters: dict[str, Any], why: str) -> None:
    with pytest.raises(Misshapen, match=why):
        chosen(parameters)


def test_an_exemption_covers_its_pattern_until_the_end_of_its_day() -> None:
    exemption = shape.parse(Exemption, EXEMPTION | {"resource": "arn:aws:s3:::la*"})
    with time_machine.travel("2030-06-30T23:59:00Z", tick=False):
        assert exemption.covers("arn:aws:s3:::lake", "")
        assert not exemption.covers("arn:aws:s3:::other", "")
    with time_machine.travel("2030-07-01T00:00:00Z", tick=False):
        assert not exemption.covers("arn:aws:s3:::lake", "")


@pytest.mark.parametrize("written", ["2030-06-30T12:00Z", "2030-06-30T12:00:00", "2030-06-30T12:00:00Z"])
def test_an_exemption_may_end_at_a_time(written: str) -> None:
    assert shape.parse(Exemption, EXEMPTION | {"expires": written}).until == 1_909_051_200


def test_an_exemption_for_a_principal_covers_nobody_else() -> None:
    exemption = shape.parse(Exemption, EXEMPTION | {"principal": ROLE})
    with time_machine.travel("2030-01-01", tick=False):
        assert exemption.covers("arn:aws:s3:::lake", ROLE)
        assert not exemption.covers("arn:aws:s3:::lake", ROLE + "2")
        assert not exemption.covers("arn:aws:s3:::lake", "")


def test_brackets_in_a_pattern_mean_themselves() -> None:
    exemption = shape.parse(Exemption, EXEMPTION | {"resource": "arn:aws:s3:::l[a-z]ke"})
    assert not exemption.covers("arn:aws:s3:::lake", "")


def test_brackets_in_a_pattern_match_brackets() -> None:
    assert matches("role/a[1]", "role/?[1]")
    assert not matches("role/a1", "role/?[1]")


def test_an_exemption_counts_to_its_very_last_second() -> None:
    exemption = shape.parse(Exemption, EXEMPTION | {"expires": "2030-06-30T12:00:00Z"})
    for moment, covered in ((exemption.until, True), (exemption.until + 1, False)):
        with time_machine.travel(moment, tick=False):
            assert exemption.covers("arn:aws:s3:::lake", "") == covered


def test_an_exemption_goes_by_the_name_of_its_parameter() -> None:
    assert list(chosen({"exemptions/x/team/a": EXEMPTION}).exemptions) == ["team/a"]


def test_nobody_is_named_by_nothing() -> None:
    assert not named("", ("*",))
    assert not named(ROLE, ())
    assert named(ROLE, (f"arn:aws:iam::{ME}:role/c*",))


def test_the_templates_empty_lists_are_not_settings() -> None:
    environment = {
        "HOLDFAST_SHARED": '{"mode": "audit", "break_glass_arns": [""]}',
        "HOLDFAST_SETTINGS": '{"key_arn": "", "buckets": ["a", "b"], "names": []}',
    }
    assert Defaults.of(environment) == Defaults({"mode": "audit"}, {"buckets": ["a", "b"]})
    assert Defaults.of({}) == Defaults({}, {})


def test_a_comma_too_many_in_a_list_parameter_stops_no_guardrail() -> None:
    environment = {"HOLDFAST_SHARED": f'{{"break_glass_arns": ["{ROLE}", ""], "responder_principals": ["", ""]}}'}
    assert Defaults.of(environment).shared == {"break_glass_arns": [ROLE]}


class Store:
    """Stands for SSM: answers, or fails."""

    def __init__(self) -> None:
        self.answer: dict[str, str] | None = {"settings": "{}"}

    def client(self, service: str) -> Any:
        return self

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        assert asked["Recursive"]  # exemptions lie two levels deep
        if self.answer is None:
            raise EndpointConnectionError(endpoint_url="down")
        return [{"Parameters": [{"Name": f"/holdfast/{n}", "Value": v} for n, v in self.answer.items()]}]


def test_a_copy_is_good_for_a_minute_then_read_again_and_kept_while_it_cannot_be() -> None:
    store = Store()
    parameters = Parameters(store)  # type: ignore[arg-type]
    with time_machine.travel(1_800_000_000, tick=False) as clock:
        assert parameters.read() == ({"settings": "{}"}, "")
        store.answer = {"settings": '{"mode": "off"}'}
        assert parameters.read() == ({"settings": "{}"}, "")
        clock.shift(61)
        assert parameters.read() == ({"settings": '{"mode": "off"}'}, "")
        store.answer = None
        clock.shift(61)
        assert parameters.read() == ({"settings": '{"mode": "off"}'}, 'Could not connect to the endpoint URL: "down"')


def test_without_a_copy_an_unreadable_store_is_an_error_not_an_empty_one() -> None:
    store = Store()
    store.answer = None
    with pytest.raises(EndpointConnectionError, match="down"):
        Parameters(store).read()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fixes_per_target", "fixes_per_actor", "calls_per_fix"])
def test_a_limit_under_which_nothing_would_be_mended_is_refused(name: str) -> None:
    with pytest.raises(Misshapen, match=f"{name}: 0 is not from 1"):
        shape.parse(SharedSettings, {name: 0}, "shared")
    assert getattr(shape.parse(SharedSettings, {name: 1}, "shared"), name) == 1
