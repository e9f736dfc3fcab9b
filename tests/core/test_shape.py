"""The shape of a request has nothing in it that was said, and stands for it all the same."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.message import Audio, Document, Image, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.core.shape import filled, filler, measure, shaped
from afterbay.policy.facts import count_words
from afterbay.policy.quantity import estimate_text
from afterbay.wire.features import features

SAID = re.compile("[QZ]{6}")
"""Whatever somebody said in these tests: no shape may hold it."""

said = st.text("QZ", min_size=6, max_size=12)
phrases = st.builds("{} {}".format, said, said)
"""Where a word of the protocol stands: one word may stay."""
numbers = st.integers(7_000_000, 7_999_999)
values = st.recursive(
    said | numbers | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(said, inner, max_size=3),
    max_leaves=8,
)
schemas = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"]), "description": said})
    | st.fixed_dictionaries({"enum": st.lists(said, min_size=1), "default": said, "pattern": said, "format": phrases}),
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "title": said,
            "properties": st.dictionaries(said, inner, max_size=3),
            "required": st.lists(said, max_size=2),
            "$defs": st.dictionaries(said, inner, max_size=2),
            "items": inner,
            "anyOf": st.lists(inner, max_size=2),
            "$ref": said.map(lambda name: f"#/$defs/{name}"),
            "x-own": said,
        }
    ),
    max_leaves=6,
)
json_of = msgspec.json.encode
parts = st.one_of(
    st.builds(Text, said),
    st.builds(Thinking, said, said, said),
    st.builds(ToolUse, said, said, values.map(lambda one: json_of({"QZQZQZ": one}).decode()) | said, said),
    st.builds(ToolResult, said, st.lists(st.builds(Text, said), max_size=2).map(tuple), st.booleans(), said),
    st.builds(Image, url=said, detail=phrases),
    st.builds(Image, data=said, media_type=phrases),
    st.builds(Document, text=said, name=said),
    st.builds(Document, data=said, name=said),
    st.builds(Audio, said, st.just("wav")),
)
requests = st.builds(
    ChatRequest,
    st.just("m"),
    st.lists(
        st.builds(
            Message, st.sampled_from(["system", "user", "assistant"]), st.lists(parts, max_size=3).map(tuple), said
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    st.lists(st.builds(ToolSpec, said, said, schemas.map(json_of)), max_size=2).map(tuple),
    st.none() | st.builds(ToolChoice, st.just("tool"), said),
    sampling=st.builds(Sampling, temperature=st.just(0.5), stop=st.lists(said, max_size=2).map(tuple)),
    response_format=st.none()
    | st.builds(ResponseFormat, st.just("json_schema"), said, schemas.map(json_of), st.none(), said),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from(["low", "QZ" * 50])),
)


@settings(max_examples=200, deadline=None)
@given(requests)
def test_nothing_that_was_said_is_in_a_shape(request: ChatRequest) -> None:
    plain = msgspec.to_builtins(shaped(request), builtin_types=(bytes,))
    text = re.sub(r"\s", "", repr(plain))
    assert not SAID.search(text)
    assert not re.search("7[0-9]{6}", text), "numbers in arguments and schemas' values are said, too"


@settings(max_examples=200, deadline=None)
@given(requests)
def test_a_shape_needs_the_same_features_and_has_as_many_messages(request: ChatRequest) -> None:
    shape = shaped(request)
    assert features(shape) == features(request)
    assert [(one.role, len(one.parts)) for one in shape.messages] == [
        (one.role, len(one.parts)) for one in request.messages
    ]


def test_what_belongs_together_still_does() -> None:
    call = ToolUse("call_QZQZQZ", "look_QZQZQZ", '{"city":"QZQZQZ"}')
    request = ChatRequest(
        "m",
        (Message("assistant", (call,)), Message("tool", (ToolResult("call_QZQZQZ", (Text("QZQZQZ sun"),)),))),
        (
            ToolSpec(
                "look_QZQZQZ", None, b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
            ),
        ),
        ToolChoice("tool", "look_QZQZQZ"),
    )
    shape = shaped(request)
    used, result = shape.messages[0].parts[0], shape.messages[1].parts[0]
    assert isinstance(used, ToolUse)
    assert isinstance(result, ToolResult)
    assert used.id == result.id
    assert used.name == shape.tools[0].name == (shape.tool_choice.name if shape.tool_choice else "")
    schema = msgspec.json.decode(shape.tools[0].schema)
    assert list(msgspec.json.decode(used.arguments)) == schema["required"] == list(schema["properties"])


@given(st.text(st.characters(codec="ascii"), max_size=200) | st.text("你好, 世界 a1", max_size=60))
def test_filler_counts_as_the_text_did(text: str) -> None:
    there = filled(measure(text))
    assert len(there) == len(text)
    assert estimate_text(there) == estimate_text(text)
    if text.isascii() and measure(text) == f"~{len(text)}.{len(text.split())}.0~":
        assert count_words(there) == count_words(text)


def test_filler_may_begin_with_a_word_and_stays_as_long() -> None:
    assert filled(
        '{"a":"~5.1.0~","b":"~30.5.0~"}', "extract"
    ) == '{"a":"xxxxx","b":"extract xxxxx xxxxx xxxx xxxx"}'.replace(
        "extract xxxxx xxxxx xxxx xxxx", filler(30, 5, 0, "extract")
    )
    assert filler(30, 5, 0, "extract").startswith("extract x")
    assert len(filler(30, 5, 0, "extract")) == 30
    assert filler(3, 1, 0, "extract") == "xxx"
    assert filler(0, 0) == ""
    assert filler(4, 0, 2) == "....字字"


@pytest.mark.parametrize("shape", ["~999999999.1.0~" * 3, "~99999999999999999999.1.1~", "~1.2~", "no measure"])
def test_a_shape_that_lies_fills_no_memory(shape: str) -> None:
    assert len(filled(shape)) <= 40 * 1024 * 1024
