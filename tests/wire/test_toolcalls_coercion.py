"""Arguments that nearly fit their schema: fitted without loss, or left alone."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.json_schema import compile_schema
from afterbay.wire.toolcalls.coercion import coerce, misfit


def fitted(schema: Any, value: Any) -> Any:
    """What becomes of `{"x": value}` where `x` has this schema."""
    found = coerce(json.dumps({"x": value}), of(schema))
    return None if found is None else json.loads(found[0])["x"]


def of(schema: Any, **fields: Any) -> Any:
    return compile_schema({"type": "object", "properties": {"x": schema}, **fields}, linear_patterns=True)


INTEGER, NUMBER, STRING, BOOLEAN = ({"type": kind} for kind in ("integer", "number", "string", "boolean"))
STRINGS = {"type": "array", "items": STRING}


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        (INTEGER, "3", 3),
        (INTEGER, " -12 ", -12),
        (INTEGER, "3.0", 3),
        (NUMBER, "3", 3),
        (NUMBER, "0.25", 0.25),
        (NUMBER, "1e3", 1000.0),
        (BOOLEAN, "true", True),
        (BOOLEAN, "False", False),
        (STRING, 3, "3"),
        (STRING, True, "true"),
        (STRING, 0.5, "0.5"),
        (STRINGS, "a", ["a"]),
        (STRINGS, 3, ["3"]),
        (STRINGS, '["a","b"]', ["a", "b"]),
        ({"type": "array", "items": INTEGER}, '["1",2]', [1, 2]),
        ({"type": "object", "properties": {"n": INTEGER}}, '{"n":"1"}', {"n": 1}),
        ({"enum": ["Celsius", "Kelvin"]}, "celsius", "Celsius"),
        ({"const": "Now"}, "NOW", "Now"),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "4", 4),
        ({"type": ["integer", "null"]}, "4", 4),
        ({"oneOf": [{"enum": ["A"]}, INTEGER]}, "a", "A"),
    ],
)
def test_a_value_is_fitted_without_loss(schema: Any, value: Any, wanted: Any) -> None:
    got = fitted(schema, value)
    assert got == wanted
    assert type(got) is type(wanted)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, "3.5"),
        (INTEGER, "three"),
        (INTEGER, "0x10"),
        (INTEGER, "007"),
        (INTEGER, 3.5),
        (INTEGER, True),
        (NUMBER, "NaN"),
        (NUMBER, "0.12345678901234567890"),
        (BOOLEAN, "yes"),
        (BOOLEAN, 1),
        (STRING, ["a"]),
        (STRING, {"a": 1}),
        (STRINGS, {"a": 1}),
        ({"type": "object"}, "[1]"),
        ({"type": "object"}, "{broken"),
        ({"enum": ["a", "A"]}, "á"),
        ({"enum": ["up", "UP"]}, "Up"),
        ({"enum": [1, 2]}, "one"),
        ({"type": "integer", "minimum": 5}, "3"),
        ({"type": "string", "minLength": 9}, "short"),
        ({"type": "array", "items": INTEGER}, ["1", "two"]),
    ],
)
def test_what_would_lose_or_not_fit_is_left_alone(schema: Any, value: Any) -> None:
    assert fitted(schema, value) is None


def test_null_for_a_property_that_may_be_left_out_is_left_out() -> None:
    found = coerce('{"x":null,"y":1}', of(STRING))
    assert found == ('{"y":1}', ("x: null to nothing",))


def test_null_for_a_property_that_is_required_stays_wrong() -> None:
    assert coerce('{"x":null}', of(STRING, required=["x"])) is None


def test_a_property_that_is_not_allowed_is_never_taken_away() -> None:
    assert coerce('{"x":"3","z":1}', of(INTEGER, additionalProperties=False)) is None


def test_every_change_is_named() -> None:
    schema = {"type": "object", "properties": {"n": INTEGER, "all": {"type": "array", "items": STRING}}}
    found = coerce('{"x":{"n":"1","all":["a",2]}}', of(schema))
    assert found is not None
    assert sorted(found[1]) == ["x.all.1: integer to string", "x.n: string to integer"]


def test_a_long_number_is_not_rounded_on_the_way() -> None:
    assert coerce('{"x":"1","y":0.12345678901234567890}', of(INTEGER)) is None
    assert coerce('{"x":"1","y":123456789012345678901234567890}', of(INTEGER)) is not None


def test_arguments_that_need_many_changes_are_wrong() -> None:
    assert fitted({"type": "array", "items": INTEGER}, ["1"] * 60) == [1] * 60
    assert fitted({"type": "array", "items": INTEGER}, ["1"] * 100) is None


KINDS = st.sampled_from(["integer", "number", "string", "boolean", "array", "object", "null"])
SCHEMAS = st.recursive(
    st.builds(lambda kind: {"type": kind}, KINDS) | st.just({"enum": ["a", "B", "3"]}),
    lambda inner: (
        st.builds(lambda one: {"type": "array", "items": one}, inner)
        | st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
        | st.builds(lambda one: {"type": "object", "properties": {"x": one}}, inner)
    ),
    max_leaves=4,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["3", "true", "A", "b", "[1]", '{"x":"1"}', ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("x"), inner, max_size=1),
    max_leaves=4,
)


@given(SCHEMAS, VALUES)
def test_the_result_fits_or_nothing_is_changed(schema: Any, value: Any) -> None:
    validator = of(schema)
    text = json.dumps({"x": value})
    if misfit(json.loads(text), validator) is None:
        return
    found = coerce(text, validator)
    if found is not None:
        assert misfit(json.loads(found[0]), validator) is None
        assert found[1]


def test_a_misfit_names_the_place() -> None:
    assert misfit({"x": "a"}, of(INTEGER)) == 'x: "a" is not of type "integer"'
    assert misfit({}, of(INTEGER, required=["x"])) == 'arguments: "x" is a required property'
    assert misfit({"x": 1}, of(INTEGER)) is None
