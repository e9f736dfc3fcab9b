"""Anything as a request or an answer: only the errors that are declared come out, in time proportional to the bytes."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.core.event import Event, fold
from afterbay.wire import aws_stream, openai_embeddings
from afterbay.wire.anthropic_messages.count import parse_count_answer, parse_count_request
from afterbay.wire.dialect import Head
from afterbay.wire.features import features
from afterbay.wire.framing import splitter_for
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS
from afterbay.wire.splice import replace_model
from afterbay.wire.sse import Splitter

NAMES = sorted(DIALECTS)
WORDS = st.sampled_from(
    """
    model messages role content type text tool_calls function name arguments id index choices delta
    finish_reason usage prompt_tokens completion_tokens input_tokens output_tokens error message code
    status user assistant system tool tool_use tool_result image image_url url source base64 media_type
    data thinking signature input_schema tools parameters contents parts candidates functionCall args
    functionResponse inlineData usageMetadata promptTokenCount message_start content_block_start
    content_block_delta text_delta input_json_delta message_delta stop_reason stop n stream
    response_format json_schema schema tool_choice max_tokens thought thoughtSignature finishReason STOP
    object input embedding dimensions encoding_format content_block message_stop logprobs refusal
    annotations
    response response.created response.output_item.added response.output_item.done
    response.output_text.delta response.output_text.done response.function_call_arguments.delta
    response.completed response.incomplete response.failed output output_index content_index item message
    reasoning function_call function_call_output call_id summary encrypted_content incomplete_details
    input_text input_image input_file output_text file_data instructions include tool_choice allowed_tools
    """.split()  # noqa: SIM905  # a list would fill two pages
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [0, 1, -1, 10**30, 1e300, "", "\0", "\u2028", "x" * 300, "data:;base64,", "data:image/png;base64,AA", "{"]
    ),
    WORDS,
)
JSON: Any = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)
BODIES = JSON.map(lambda value: json.dumps(value).encode())
NOT_JSON = st.one_of(st.binary(max_size=80), BODIES.map(lambda body: body[: len(body) // 2]))
EVENTS = st.tuples(st.sampled_from([None, b"error", b"message_start", b"x"]), st.one_of(BODIES, NOT_JSON))
LENIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def request_around(value: Any, at: list[str]) -> bytes:
    """A nearly right request with something else at one place."""
    body: dict[str, Any] = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    }
    place: Any = body
    for step in at[:-1]:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(at[-1]) if at[-1].isdigit() else at[-1]] = value
    return json.dumps(body).encode()


PLACES = st.sampled_from(
    """
    model messages messages.0 messages.0.role messages.0.content messages.0.content.0
    messages.0.content.0.text messages.0.tool_calls tools tools.0 tools.0.function
    tools.0.function.parameters tool_choice system contents contents.0.parts contents.0.parts.0
    response_format output_config thinking reasoning_effort stop n temperature stream stream_options
    input input.0 input.0.role input.0.type input.0.content input.0.content.0 input.0.content.0.type text
    reasoning include store truncation instructions metadata generationConfig
    safetySettings systemInstruction toolConfig logit_bias
    """.split()  # noqa: SIM905  # likewise
).map(lambda path: path.split("."))


@pytest.mark.parametrize("name", NAMES)
@given(body=st.one_of(BODIES, NOT_JSON, st.builds(request_around, JSON, PLACES)))
@LENIENT
def test_any_request_is_read_or_is_the_client_s_mistake(name: str, body: bytes) -> None:
    for ask in (DIALECTS[name].parse_request, lambda body, *_: parse_count_request(body)):
        try:
            request = ask(body, "m", False)
        except ClientMistake as mistake:
            for dialect in DIALECTS.values():
                json.loads(dialect.render_error(mistake, "req_1"))
            continue
        features(request)


@pytest.mark.parametrize("name", NAMES)
@given(body=st.builds(request_around, JSON, PLACES))
@LENIENT
def test_a_request_that_was_read_can_be_built_for_every_provider(name: str, body: bytes) -> None:
    try:
        request = DIALECTS[name].parse_request(body, "m", False)
    except ClientMistake:
        return
    for dialect in DIALECTS.values():
        if not features(request) & dialect.cannot.keys():
            built = dialect.build_request(request, "up")
            json.loads(built.body)
            assert built.path.isprintable()


@given(body=st.one_of(BODIES, NOT_JSON))
@LENIENT
def test_any_embeddings_request_is_read_or_is_the_client_s_mistake(body: bytes) -> None:
    try:
        request = openai_embeddings.parse_request(body)
    except ClientMistake:
        return
    for dialect in EMBED_DIALECTS.values():
        dialect.build_request(request, "m")


@pytest.mark.parametrize("name", NAMES)
@given(body=st.one_of(BODIES, NOT_JSON))
@LENIENT
def test_any_whole_answer_is_read_or_a_value_error(name: str, body: bytes) -> None:
    try:
        events = DIALECTS[name].parse_answer(body, "seed")
    except ValueError:
        return
    for dialect in DIALECTS.values():
        json.loads(dialect.render_answer(fold(events), Head("seed", "m"), {})[0])


@given(body=st.one_of(BODIES, NOT_JSON))
@LENIENT
def test_any_vectors_and_counts_are_read_or_a_value_error(body: bytes) -> None:
    for read in (*(dialect.parse_answer for dialect in EMBED_DIALECTS.values()), parse_count_answer):
        try:
            read(body)
        except ValueError:
            continue


@pytest.mark.parametrize("name", NAMES)
@given(
    events=st.lists(
        st.tuples(st.sampled_from([None, b"error", b"message_start", b"x"]), st.one_of(BODIES, NOT_JSON)), max_size=5
    )
)
@LENIENT
def test_any_event_is_read_or_a_value_error_and_can_be_shown(
    name: str, events: list[tuple[bytes | None, bytes]]
) -> None:
    parser, renderers = (
        DIALECTS[name].stream_parser("seed"),
        [one.renderer(Head("seed", "m")) for one in DIALECTS.values()],
    )
    for kind, data in events:
        out: list[Event] = []
        try:
            parser.push(kind, data, out)
        except ValueError:
            continue
        for renderer in renderers:
            for _, shown in Splitter().feed(renderer.render(out))[1]:
                json.loads(shown)
    for renderer in renderers:
        renderer.finish({})


@pytest.mark.parametrize("name", NAMES)
@given(status=st.integers(400, 999), body=st.one_of(BODIES, NOT_JSON), wait=st.text(max_size=20))
@LENIENT
def test_any_error_is_read(name: str, status: int, body: bytes, wait: str) -> None:
    headers = {"retry-after": wait, "retry-after-ms": wait, "date": wait}
    assert isinstance(DIALECTS[name].parse_error(status, headers, body), ProviderError)


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds. Without the garbage collector, whose work grows with everything else that is alive."""
    gc.disable()
    try:
        began_s = time.process_time()
        work()
        return time.process_time() - began_s
    finally:
        gc.enable()


def grows_evenly(work: Callable[[int], Callable[[], object]], small: int) -> None:
    """Ten times the input takes about ten times as long; quadratic work would take a hundred."""
    short_s = max(min(_seconds(work(small)) for _ in range(2)), 0.001)
    assert min(_seconds(work(10 * small)) for _ in range(2)) < 30 * short_s


def openai_request(count: int) -> bytes:
    turns: list[dict[str, Any]] = []
    for number in range(count):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        turns += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "x"},
        ]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}, *turns]}).encode()


@pytest.mark.parametrize("spoken", NAMES)
def test_long_conversations_with_tools_take_time_by_their_length_only(spoken: str) -> None:
    def work(count: int) -> Callable[[], object]:
        body = openai_request(count)
        parse, build = DIALECTS["openai.chat"].parse_request, DIALECTS[spoken].build_request
        return lambda: build(parse(body, None, None), "m")

    grows_evenly(work, 300)


@pytest.mark.parametrize("kind", ["text", "arguments", "unfinished", "calls", "choices"])
@pytest.mark.parametrize("shown", NAMES)
def test_long_streams_take_time_by_their_length_only(kind: str, shown: str) -> None:
    def event(number: int) -> bytes:
        call: dict[str, Any] = {"index": number if kind == "calls" else 0, "function": {"arguments": "abcdefgh"}}
        if kind == "unfinished":  # two calls at once, the first of which seems to end with every piece
            call = {"index": number % 2, "function": {"arguments": '{"a":"' if number < 2 else "}" * 50}}
        if kind == "calls" or number == 0 or (kind == "unfinished" and number == 1):
            call |= {"id": f"c{number}", "type": "function"}
            call["function"] |= {"name": "f"}
        delta = {"content": "abcdefgh"} if kind in ("text", "choices") else {"tool_calls": [call]}
        choice = {"index": number if kind == "choices" else 0, "delta": delta, "finish_reason": None}
        return json.dumps({"id": "c", "choices": [choice]}).encode()

    def work(count: int) -> Callable[[], object]:
        events = [event(number) for number in range(count)]

        def read() -> None:
            parser, renderer, all_of_it = (
                DIALECTS["openai.chat"].stream_parser("s"),
                DIALECTS[shown].renderer(Head("s", "m")),
                list[Event](),
            )
            for data in events:
                out: list[Event] = []
                parser.push(None, data, out)
                renderer.render(out)
                all_of_it += out
            renderer.finish({})
            fold(all_of_it)

        return read

    grows_evenly(work, 400)


@pytest.mark.parametrize(
    "filling",
    ['"model":"x",', '"a":{"model":"x"},', '"\\\\":"\\"model\\":",', '"k":[[[[]]]],', '"a":"' + "\\\\" * 40 + '",'],
)
def test_replacing_the_model_takes_time_by_the_body_s_length_only(filling: str) -> None:
    def work(count: int) -> Callable[[], object]:
        body = ("{" + filling * count + '"model":"m"}').encode()
        return lambda: replace_model(body, "other")

    grows_evenly(work, 2000)
    assert json.loads(replace_model(("{" + filling * 5 + '"model":"m"}').encode(), "other"))["model"] == "other"


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/json", "application/x-ndjson", aws_stream.CONTENT_TYPE]
)
def test_an_event_in_tiny_pieces_takes_little_more_memory_than_it_is_long(kind: str) -> None:
    splitter = splitter_for(kind, 1 << 24)
    body = b'data: {"a":"' if kind == "text/event-stream" else b'{"a":"'
    whole = aws_stream.event("x", b"y" * 400_000) if kind == aws_stream.CONTENT_TYPE else body + b"y" * 400_000
    tracemalloc.start()
    try:
        for at in range(0, len(whole) - 8, 2):
            splitter.feed(whole[at : at + 2])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1_500_000
