"""What must hold for any answer, any request and any cut of the bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Document, Image, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.core.usage import Usage
from afterbay.wire.anthropic_messages import DIALECT
from afterbay.wire.dialect import Head
from wire.anthropic_support import check_grammar, parse_stream
from wire.drawn import counts, few, json_objects, names, pieces, words

HEAD = Head(seed="s", model="m", input_tokens=7)
solid = words.filter(lambda text: bool(text.strip()))


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer as a provider of this dialect could give it: blocks one after the other."""
    events: list[Event] = [Started("msg_1", "m")]
    calls, last = 0, ""
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "redacted", "tool"]), max_size=6)):
        if kind == last and kind in ("text", "thinking"):
            events.append(BlockBreak())
        last = kind
        match kind:
            case "text":
                events += [TextDelta(piece) for piece in pieces(draw, draw(words))]
            case "thinking":
                events += [ReasoningDelta(piece) for piece in pieces(draw, draw(words))]
                events.append(ReasoningSignature(draw(names)))
            case "redacted":
                events.append(ReasoningSignature(draw(names), redacted=True))
            case _:
                events.append(ToolCallStarted(calls, f"toolu_{calls}", draw(names)))
                events += [ToolCallDelta(calls, piece) for piece in pieces(draw, draw(json_objects))]
                calls += 1
    reasons = ["stop", "length", "content_filter", "pause", "stop_sequence", *(["tool_calls"] if calls else [])]
    finish = draw(st.sampled_from(reasons))
    ends: list[Event] = [
        Finished(finish, draw(words) if finish == "stop_sequence" else None),
        UsageSeen(draw(st.builds(Usage, counts, counts, counts, counts, counts))),
    ]
    return events + (ends if draw(st.booleans()) else ends[::-1])


def rendered(events: list[Event], one_by_one: bool = True) -> bytes:
    renderer = DIALECT.renderer(HEAD)
    body = b"".join(renderer.render([event]) for event in events) if one_by_one else renderer.render(events)
    return body + renderer.finish()


@few
@given(answers(), st.lists(st.integers(0, 10**5), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_events(events: list[Event], cuts: list[int]) -> None:
    raw = rendered(events)
    assert parse_stream(raw, cuts) == parse_stream(raw)


@few
@given(answers(), st.booleans())
def test_events_rendered_and_parsed_are_the_same_answer(events: list[Event], one_by_one: bool) -> None:
    raw = rendered(events, one_by_one)
    check_grammar(raw)
    got, complete = parse_stream(raw)
    assert complete
    assert fold(got) == fold(events)
    plain = [event for event in got if not isinstance(event, UsageSeen | Finished)]
    assert plain == [event for event in events if not isinstance(event, UsageSeen | Finished)]
    body, losses = DIALECT.render_answer(fold(events), HEAD, None)
    assert losses == ()
    assert fold(DIALECT.parse_answer(body, "s")) == fold(events)


@st.composite
def jumbled(draw: st.DrawFn) -> list[Event]:
    """An answer of a dialect that interleaves: pieces of calls, text and reasoning in any order."""
    arguments = draw(st.lists(json_objects, max_size=3))
    tracks: list[list[Event]] = [
        [ToolCallStarted(call, f"id{call}", "f"), *(ToolCallDelta(call, piece) for piece in pieces(draw, text))]
        for call, text in enumerate(arguments)
    ]
    tracks.append([TextDelta(text) for text in draw(st.lists(words, max_size=3))])
    tracks.append([ReasoningDelta(text) for text in draw(st.lists(words, max_size=2))])
    tracks.append([RefusalDelta(text) for text in draw(st.lists(words, max_size=1))])
    tracks.append([TextDelta("other", choice=1), Extra("logprobs")])
    events: list[Event] = []
    while any(tracks):
        track = draw(st.sampled_from([track for track in tracks if track]))
        events.append(track.pop(0))
    return events


@few
@given(jumbled())
def test_interleaved_events_give_a_valid_stream_that_loses_nothing(events: list[Event]) -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render(events[:3]) + renderer.ping() + renderer.render(events[3:]) + renderer.finish()
    check_grammar(raw)
    assert renderer.losses == {"choices", "logprobs"}
    want, got = fold(e for e in events if not getattr(e, "choice", 0)), fold(parse_stream(raw)[0])

    def of(kind: Any, reply: Any) -> list[Any]:
        return [part for part in reply.choices[0].message.parts if isinstance(part, kind)]

    def calls(reply: Any) -> list[Any]:
        return sorted((c.id, msgspec.json.decode(c.arguments)) for c in of(ToolUse, reply))

    assert [item[0] for item in calls(got)] == [item[0] for item in calls(want)]
    assert dict(calls(got)) == dict(calls(want))
    for kind, event in ((Text, (TextDelta, RefusalDelta)), (Thinking, (ReasoningDelta,))):
        written = "".join(e.text for e in events if isinstance(e, event) and not e.choice)
        assert sorted("".join(part.text for part in of(kind, got))) == sorted(written)


images = st.one_of(
    st.builds(Image, url=st.just("https://x/y.png")),
    st.builds(Image, data=st.just("iVBORw0KGgo="), media_type=st.just("image/png")),
)
documents = st.one_of(
    st.builds(Document, text=words, name=st.none() | words),
    st.builds(Document, data=st.just("JVBERi0="), media_type=st.just("application/pdf"), name=st.none() | words),
    st.builds(Document, url=st.just("https://x/y.pdf")),
)
texts = st.builds(Text, solid)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = [Message("system", tuple(draw(st.lists(texts, min_size=1, max_size=2))))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        parts = draw(st.lists(st.one_of(texts, images, documents), min_size=1, max_size=3))
        messages.append(Message("user", tuple(parts)))
        said: list[Any] = draw(st.lists(texts, max_size=1))
        if draw(st.booleans()):
            said.insert(0, Thinking(draw(words), draw(names)))
        uses = [ToolUse(f"t{turn}_{n}", draw(names), draw(json_objects)) for n in range(draw(st.integers(0, 2)))]
        if not said and not uses:
            said = [Text("ok")]
        messages.append(Message("assistant", (*said, *uses)))
        results = []
        for use in uses:
            content = tuple(draw(st.lists(st.one_of(texts, images, documents), max_size=2)))
            results.append(ToolResult(use.id, content, draw(st.booleans())))
        if results:
            messages.append(Message("tool", tuple(results)))
    return (*messages, Message("user", (Text("go on"),)))


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    schema = b'{"type":"object","properties":{"a":{"type":"string"}}}'
    tools = tuple(ToolSpec(name, draw(st.none() | words), schema, draw(st.none() | st.booleans())) for name in "ab")
    closed = b'{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}'
    tools = tuple(msgspec.structs.replace(tool, schema=closed) if tool.strict else tool for tool in tools)
    tools = tools if draw(st.booleans()) else ()
    reasoning = draw(
        st.none()
        | st.builds(Reasoning, st.just("high"))
        | st.builds(Reasoning, st.none() | st.just("low"), st.integers(1024, 3999), st.none() | st.booleans())
        | st.builds(Reasoning, st.none(), st.sampled_from([0, -1])),
    )
    thinks = reasoning is not None and reasoning.budget_tokens not in (None, 0)
    forced = [] if thinks else [ToolChoice("required"), ToolChoice("tool", "a")]  # thinking excludes these
    choice = draw(st.none() | st.sampled_from([ToolChoice("auto"), *forced]))
    warm = not thinks and draw(st.booleans())
    streams = draw(st.booleans())
    return ChatRequest(
        model="m",
        messages=draw(conversations()),
        tools=tools,
        tool_choice=choice if tools else None,
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools and choice else None,
        sampling=Sampling(
            max_output_tokens=draw(st.integers(4000, 9000)),
            temperature=draw(st.floats(0, 1)) if warm else None,
            top_p=None if warm else draw(st.none() | st.floats(0.95 if thinks else 0, 1)),
            top_k=None if thinks else draw(st.none() | st.integers(1, 500)),
            stop=tuple(draw(st.lists(solid, max_size=2))),
        ),
        response_format=draw(st.none() | st.just(ResponseFormat("json_schema", schema=closed))),
        reasoning=reasoning,
        stream=streams,
        include_usage=streams,
    )


@few
@given(requests())
def test_a_request_built_and_parsed_is_the_same(request: ChatRequest) -> None:
    built = DIALECT.build_request(request, "m")
    assert built.losses == ()
    assert DIALECT.parse_request(built.body, None, None) == request
