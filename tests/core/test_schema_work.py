"""Schemas and arguments of strangers: how long judging takes is known before it begins."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from afterbay.core.event import Finished, ToolCallDelta, ToolCallStarted
from afterbay.core.schema_work import MOST_EXPLAINED, MOST_JUDGED, work
from afterbay.wire.toolcalls.filter import CallFilter, Rules

INTEGER = {"type": "integer"}


def of(schema: Any, **more: Any) -> bytes:
    return json.dumps({"type": "object", "properties": {"x": schema}, **more}).encode()


def recursive(width: int) -> bytes:
    again = {"type": "array", "items": {"$ref": "#/$defs/n"}}
    return of({"$ref": "#/$defs/n"}, **{"$defs": {"n": {"anyOf": [INTEGER, *[again] * width]}}})


def nested(levels: int) -> Any:
    value: Any = "a"
    for _ in range(levels):
        value = [value]
    return {"x": value}


def ladder(steps: int) -> bytes:
    """Every step refers to the next one twice, on the spot."""
    rungs = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(steps)}
    return of({"$ref": "#/$defs/d0"}, **{"$defs": rungs | {f"d{steps}": INTEGER}})


HOSTILE = {
    "unions that refer to themselves": (recursive(2), nested(40)),
    "a ladder of references": (ladder(40), {"x": "a"}),
    "a circle on the spot": (of({"$ref": "#/properties/x"}), {"x": 1}),
    "many branches, many items": (of({"type": "array", "items": {"anyOf": [INTEGER] * 1000}}), {"x": ["a"] * 3000}),
    "a long wrong list": (of({"type": "array", "items": INTEGER}), {"x": ["a"] * 100_000}),
    "deep nesting": (recursive(1), nested(900)),
}


def judged(schema: bytes, value: Any) -> tuple[str, str]:
    flow = CallFilter(Rules(tools={"t": schema}))
    flow.push([ToolCallStarted(0, "a", "t"), ToolCallDelta(0, json.dumps(value)), Finished("tool_calls")])
    (verdict,) = flow.verdicts
    return verdict.outcome, verdict.detail


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_schema_takes_no_time(kind: str) -> None:
    began = time.process_time()
    assert judged(*HOSTILE[kind])[0] in ("unseen", "invalid", "ok")
    assert time.process_time() - began < 5


def test_what_is_too_much_is_said() -> None:
    assert judged(*HOSTILE["a ladder of references"]) == ("unseen", "its schema takes too long to check")
    assert judged(*HOSTILE["a long wrong list"]) == ("invalid", "its arguments do not fit the schema")


def test_a_schema_that_refers_to_itself_is_judged_where_the_value_is_small() -> None:
    assert judged(recursive(1), nested(3))[0] == "invalid"
    assert judged(recursive(1), {"x": [[1]]}) == ("ok", "")


@pytest.mark.parametrize(
    ("schema", "value", "steps"),
    [
        (of(INTEGER), {"x": 1}, 2 * 2),
        (of({"anyOf": [INTEGER, INTEGER]}), {"x": 1}, 5 * 2),
        (of({"type": "array", "items": INTEGER}), {"x": [1, 2, 3]}, 3 * 5),
        (of(INTEGER, allOf=[{"$ref": "#/$defs/a"}], **{"$defs": {"a": {"properties": {"y": INTEGER}}}}), {}, 4),
        (of(INTEGER, dependentSchemas={"x": {}}), {}, 2),
    ],
)
def test_steps_are_schemas_on_the_way_times_values(schema: bytes, value: Any, steps: int) -> None:
    assert work(schema, value) == steps


@pytest.mark.parametrize("schema", [of({"$ref": "#/nowhere"}), of({"$ref": "other"}), of({"$ref": 1}), b"{"])
def test_where_there_is_no_telling_it_is_too_much(schema: bytes) -> None:
    assert work(schema, {"x": 1}) > MOST_JUDGED


def test_an_ordinary_tool_is_far_from_the_limits() -> None:
    item = {"type": "object", "properties": {name: {"type": ["string", "null"]} for name in "abcdefgh"}}
    schema = of({"type": "array", "items": {"$ref": "#/$defs/i"}}, **{"$defs": {"i": item}})
    value = {"x": [dict.fromkeys("abcdefgh", "v")] * 20}
    assert work(schema, value) < MOST_EXPLAINED
