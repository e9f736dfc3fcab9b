"""Only the value of the top-level `model` changes; every other byte stays."""

from __future__ import annotations

import json
import time
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from afterbay.wire.splice import replace_model

TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "model",
        '"model"',
        '"model": "m"',
        '\\"model\\": \\"m\\"',
        ",",
        "{",
        "}]",
        "\\",
        "\\\\",
        "世界",
        "\u2028",
        '"',
        "m",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)
SPACES = st.sampled_from(["", " ", "\n", "\t \r\n", "  "])
MODELS = ['"model"', '"\\u006dodel"', '"mo\\u0064el"']


@st.composite
def objects(draw: st.DrawFn) -> tuple[list[bytes], str]:
    """A JSON object as pieces; the second is the value to be replaced, and no other `model` comes after it."""
    before = [(key, value) for key, value in draw(st.lists(st.tuples(TEXTS, VALUES), max_size=4))]
    after = [(key, value) for key, value in draw(st.lists(st.tuples(TEXTS, VALUES), max_size=4)) if key != "model"]
    ascii_only, spaces = draw(st.booleans()), draw(st.lists(SPACES, min_size=4, max_size=4))
    a, b, c, d = spaces

    def write(key: str, value: Any) -> str:
        return f"{a}{json.dumps(key, ensure_ascii=ascii_only)}{b}:{c}{json.dumps(value, ensure_ascii=ascii_only)}{d}"

    def clean(key: str, value: Any) -> Any:
        return value if key != "model" else "earlier"

    old = json.dumps(draw(TEXTS), ensure_ascii=ascii_only)
    head = "{" + "".join(write(key, clean(key, value)) + "," for key, value in before)
    head += f"{a}{draw(st.sampled_from(MODELS))}{b}:{c}"
    tail = d + "".join("," + write(key, value) for key, value in after) + "}" + a
    pieces = [part.encode("utf-8", "surrogatepass") for part in (head, old, tail)]
    return pieces, draw(st.sampled_from(["up", "a/b", 'odd "quoted" \\ name', "模型"]))


@given(objects())
@settings(max_examples=600, deadline=None)
def test_only_the_last_top_level_model_changes(made: tuple[list[bytes], str]) -> None:
    (head, old, tail), new = made
    changed = replace_model(head + old + tail, new)
    assert changed.startswith(head)
    assert changed.endswith(tail)
    assert json.loads(changed[len(head) : len(changed) - len(tail)]) == new


@given(objects())
@settings(max_examples=200, deadline=None)
def test_all_other_fields_mean_the_same(made: tuple[list[bytes], str]) -> None:
    pieces, new = made
    body = b"".join(pieces)
    assert json.loads(replace_model(body, new)) == json.loads(body) | {"model": new}


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"model":"m"}', b'{"model":"up"}'),
        (b'{"x":{"model":"m"},"model":"m"}', b'{"x":{"model":"m"},"model":"up"}'),
        (b'{"model":"m","x":[{"model":"m"}]}', b'{"model":"up","x":[{"model":"m"}]}'),
        (b'{"model":"m","model":"n"}', b'{"model":"m","model":"up"}'),
        (b'{"\\u006dodel":"m","x":{"model":"n"}}', b'{"\\u006dodel":"up","x":{"model":"n"}}'),
        (b'{"model":"a","\\u006dodel":"b"}', b'{"model":"a","\\u006dodel":"up"}'),
        (b'{"x":"\\"model\\": \\"m\\"","model" : "m"}', b'{"x":"\\"model\\": \\"m\\"","model" : "up"}'),
        (b'{"x":["model","m"],"model":"m"}', b'{"x":["model","m"],"model":"up"}'),
        (b'{"x":{},"y":[],"model":"m","z":"model"}', b'{"x":{},"y":[],"model":"up","z":"model"}'),
    ],
)
def test_the_right_model_is_found(body: bytes, changed: bytes) -> None:
    assert replace_model(body, "up") == changed


def test_a_body_without_a_model_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no top-level string 'model'"):
        replace_model(b'{"x":{"model":"m"},"y":{"model":"m"}}', "up")


@pytest.mark.parametrize("filler", ["x", "\\n", '\\"'])
def test_a_body_of_megabytes_with_a_nested_model_does_not_stop_the_loop(filler: str) -> None:
    long = filler * (4_000_000 // len(filler))
    body = b'{"x":{"model":"m"},"long":"' + long.encode() + b'","model":"m"}'

    def took_s() -> float:
        began = time.thread_time()
        assert replace_model(body, "up").endswith(b'"model":"up"}')
        return time.thread_time() - began

    assert min(took_s() for _ in range(3)) < 0.5  # usually a quarter of it; the least, for machines are shared
