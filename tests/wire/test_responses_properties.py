"""What must hold for any answer, any request and any cut of the bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.event import (
    BlockBreak,
    Event,
    Extra,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Document, Image, Message, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.sse import Splitter
from wire.drawn import counts, few, json_objects, names, pieces, words
from wire.responses_support import check_grammar, parse_stream, sdk_stream

HEAD = Head(seed="s", model="m")


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer as a provider of this dialect could give it, its pieces in order."""
    events: list[Event] = [Started("resp_s", "m")]
    calls, last = 0, ""
    for kind in draw(st.lists(st.sampled_from(["text", "refusal", "thinking", "open", "proof", "tool"]), max_size=6)):
        group = "thinking" if kind == "open" else kind
        if last == group and kind in ("text", "refusal", "thinking", "open"):
            events.append(BlockBreak())
        last = group if kind in ("text", "refusal", "open") else ""
        match kind:
            case "text":
                events += [TextDelta(piece) for piece in pieces(draw, draw(words))]
            case "refusal":
                events += [RefusalDelta(piece) for piece in pieces(draw, draw(words))]
            case "thinking" | "open":
                events += [ReasoningDelta(piece) for piece in pieces(draw, draw(words))]
                events += [ReasoningSignature(f"|{draw(names)}")] if kind == "thinking" else []
            case "proof":
                events += [BlockBreak()] if isinstance(events[-1], ReasoningDelta) else []
                events.append(ReasoningSignature(f"|{draw(names)}"))
            case _:
                events.append(ToolCallStarted(calls, f"call_{calls}", draw(names)))
                events += [ToolCallDelta(calls, piece) for piece in pieces(draw, draw(json_objects))]
                calls += 1
    finish = draw(st.sampled_from(["tool_calls" if calls else "stop", "length", "content_filter"]))
    ends: list[Event] = [Finished(finish), UsageSeen(draw(st.builds(Usage, counts, counts, counts, counts, counts)))]
    return events + (ends if draw(st.booleans()) else ends[::-1])


def rendered(events: list[Event], one_by_one: bool = True) -> bytes:
    renderer = DIALECT.renderer(HEAD)
    body = b"".join(renderer.render([event]) for event in events) if one_by_one else renderer.render(events)
    return body + renderer.finish()


def without_ids(reply: Reply) -> Reply:
    """A stream announces an item's id before its proof has come, so ids of proofs may differ."""
    for choice in reply.choices:
        choice.message = Message(
            "assistant",
            tuple(
                Thinking(part.text, "|" + part.signature.partition("|")[2])
                if isinstance(part, Thinking) and part.signature
                else part
                for part in choice.message.parts
            ),
        )
    return reply


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
    assert without_ids(fold(got)) == fold(events)
    body, losses = DIALECT.render_answer(fold(events), HEAD, None)
    assert losses == ()
    assert without_ids(fold(DIALECT.parse_answer(body, "s"))) == fold(events)


@few
@given(answers(), st.integers(0, 10**5))
def test_a_stream_cut_anywhere_is_never_complete(events: list[Event], cut: int) -> None:
    raw = rendered(events)
    end = raw.rindex(b"event: ")
    parser = DIALECT.stream_parser("s")
    for name, data in Splitter().feed(raw[: cut % end])[1]:
        parser.push(name, data, [])
    assert not parser.is_complete


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
    tracks.append([BlockBreak(), ReasoningSignature("x|y"), BlockBreak()])
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
    parts = fold(parse_stream(raw)[0]).choices[0].message.parts
    own = [event for event in events if not getattr(event, "choice", 0)]
    want = fold(own).choices[0].message.parts
    assert [part for part in parts if isinstance(part, ToolUse)] == [part for part in want if isinstance(part, ToolUse)]
    for part, event in ((Text, TextDelta), (Refusal, RefusalDelta), (Thinking, ReasoningDelta)):
        said = "".join(one.text for one in parts if isinstance(one, part))
        assert said == "".join(one.text for one in own if isinstance(one, event))


@settings(max_examples=25, deadline=None)
@given(st.one_of(answers(), jumbled()))
def test_the_sdk_reads_any_stream_as_it_was_said(events: list[Event]) -> None:
    raw = rendered(events)
    response = sdk_stream(raw)[1]
    own = fold(event for event in events if not getattr(event, "choice", 0)).choices[0].message
    assert response.output_text == own.text()
    calls = [(item.call_id, item.arguments) for item in response.output if item.type == "function_call"]
    assert calls == [(part.id, part.arguments) for part in own.parts if isinstance(part, ToolUse)]


images = st.one_of(
    st.builds(Image, url=st.just("https://x/y.png"), detail=st.none() | st.just("low")),
    st.builds(Image, data=st.just("iVBORw0KGgo="), media_type=st.just("image/png")),
)
documents = st.one_of(
    st.builds(Document, data=st.just("JVBERi0="), media_type=st.just("application/pdf"), name=words),
    st.builds(Document, url=st.just("https://x/y.pdf"), name=st.none() | words),
)
texts = st.builds(Text, words)
said = st.one_of(
    texts,
    st.builds(Refusal, words),
    st.builds(Thinking, words | st.just(""), names.map(lambda one: f"rs_{one}|{one}")),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = [Message("system", tuple(draw(st.lists(texts, min_size=1, max_size=2))))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        parts = draw(st.lists(st.one_of(texts, images, documents), min_size=1, max_size=3))
        messages.append(Message("user", tuple(parts)))
        if draw(st.booleans()):
            role: Any = draw(st.sampled_from(["system", "developer"]))
            messages.append(Message(role, tuple(draw(st.lists(texts, min_size=1, max_size=2)))))
        answered: list[Any] = draw(st.lists(said, max_size=3))
        uses = [ToolUse(f"t{turn}_{n}", draw(names), draw(json_objects)) for n in range(draw(st.integers(0, 2)))]
        if answered or uses:
            messages.append(Message("assistant", (*answered, *uses)))
        results = []
        for use in uses:
            content = tuple(draw(st.lists(st.one_of(texts, images, documents), max_size=2)))
            results.append(ToolResult(use.id, content))
        if results:
            messages.append(Message("tool", tuple(results)))
    return (*messages, Message("user", (Text("go on"),)))


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    schema = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
    tools = tuple(ToolSpec(name, draw(st.none() | words), schema, draw(st.booleans())) for name in "ab")
    tools = tools if draw(st.booleans()) else ()
    choice = draw(
        st.none() | st.sampled_from([*map(ToolChoice, ("auto", "none", "required")), ToolChoice("tool", "a")])
    )  # type: ignore[arg-type]  # modes
    form = st.builds(
        ResponseFormat, st.just("json_schema"), names, st.just(schema), st.none() | st.booleans(), st.none() | words
    )
    streams = draw(st.booleans())
    return ChatRequest(
        model="gpt-5",
        messages=draw(conversations()),
        tools=tools,
        tool_choice=choice if tools else None,
        parallel_tool_calls=draw(st.none() | st.booleans()) if tools else None,
        sampling=Sampling(
            max_output_tokens=draw(st.none() | st.integers(16, 9000)),
            temperature=draw(st.none() | st.floats(0, 2)),
            top_p=draw(st.none() | st.floats(0, 1)),
            logprobs=draw(st.none() | st.just(True)),
            top_logprobs=draw(st.none() | st.integers(0, 20)),
        ),
        response_format=draw(st.none() | st.just(ResponseFormat("json_object")) | form),
        reasoning=draw(
            st.none()
            | st.builds(Reasoning, st.sampled_from(["none", "low", "xhigh"]), show=st.none() | st.just(True))
            | st.just(Reasoning(show=True))
        ),
        stream=streams,
        include_usage=streams,
    )


@few
@given(requests())
def test_a_request_built_and_parsed_is_the_same(request: ChatRequest) -> None:
    built = DIALECT.build_request(request, "gpt-5")
    assert built.losses == ()
    assert DIALECT.parse_request(built.body, None, None) == request
