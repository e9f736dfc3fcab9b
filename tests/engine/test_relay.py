"""Client and provider speak the same protocol: bytes pass as they came, in both directions."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.engine.cases import ANTHROPIC, CLIENTS, GEMINI, OPENAI, PAIRS, error, events, gateway, is_clean, serve, text

from afterbay.testing.answers import JSON, answered, ask, stream, streamed, whole
from afterbay.testing.fakes import Cut, Script, Wait
from afterbay.testing.memory_gateway import target


@pytest.mark.parametrize("client", CLIENTS)
def test_a_relayed_stream_is_the_providers_byte_for_byte(client: str) -> None:
    one = gateway([streamed(client, "Hel", "lo 世界")], spoken=client)
    reply = serve(one, client)
    assert reply.body == b"".join(stream(client, "Hel", "lo 世界"))
    assert (reply.status, reply.ended_at_s) == (200, 0.0)
    assert reply.headers["x-afterbay-model"] == "up"
    assert reply.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("client", CLIENTS)
@given(cuts=st.lists(st.integers(1, 60), max_size=60))
@settings(max_examples=40, deadline=None)
def test_a_relayed_stream_is_the_same_however_the_network_cuts_it(client: str, cuts: list[int]) -> None:
    sent = b"".join(stream(client, "Hel", "lo", " 世界"))
    pieces, rest = list[bytes](), sent
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    one = gateway([Script(steps=(*pieces, rest))], spoken=client)
    reply = serve(one, client)
    assert reply.body == sent
    assert all(data.endswith(b"\n\n") for _, data in reply.pieces), "half an event is never sent"
    assert one.record.usage is not None
    assert (one.record.usage.input_tokens, one.record.usage.output_tokens) == (11, 7)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_relayed_answer_is_the_providers_byte_for_byte(client: str) -> None:
    odd = whole(client, "hi").replace(b"{", b"{ ", 1) + b"\n"
    one = gateway([Script(steps=(odd[:9], odd[9:]), headers=JSON)], spoken=client)
    reply = serve(one, client, stream=False)
    assert reply.body == odd
    assert reply.headers["x-afterbay-cost-usd"] == "0.000025"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_relayed_request_changes_only_in_its_model(client: str) -> None:
    body = (
        b'{ "stream" :true,"max_tokens":5,  "model":"m","messages":[{"role":"user","content":"m \\u4e16"}], "x":1e0 }'
    )
    one = gateway([streamed(client, "a")], spoken=client)
    serve(one, client, body=body)
    (sent,) = one.upstreams["a"].sent
    assert sent.body == body.replace(b'"model":"m"', b'"model":"up"')
    assert (sent.path, sent.connect_s) == ("/chat/completions" if client == OPENAI else "/v1/messages", 5.0)


def test_a_relayed_request_for_a_model_of_the_same_name_is_not_touched() -> None:
    body = ask("a/up", stream=True)
    one = gateway([streamed(OPENAI, "a")])
    serve(one, body=body.replace(b"a/up", b"m"))
    assert b'"model":"up"' in one.upstreams["a"].sent[0].body


def test_the_clients_own_headers_stay_here_but_for_the_protocols() -> None:
    headers = {
        "authorization": "Bearer secret",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "x",
        "cookie": "c",
    }
    one = gateway([streamed(ANTHROPIC, "a")], spoken=ANTHROPIC)
    serve(one, ANTHROPIC, headers=headers, query="beta=true")
    (sent,) = one.upstreams["a"].sent
    assert sent.headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "x"}
    assert sent.path == "/v1/messages?beta=true"


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_every_pair_of_protocols_streams_the_same_text(client: str, spoken: str) -> None:
    one = gateway([streamed(spoken, "Hel", "lo 世界")], spoken=spoken)
    reply = serve(one, client)
    assert text(reply.body, client) == "Hello 世界"
    assert is_clean(reply.body, client)
    record = one.record
    assert (record.outcome, record.status, record.finish) == ("ok", 200, "stop")
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.estimated) == (11, 7, False)
    assert record.cost_picousd == 11 * 1_000_000 + 7 * 2_000_000
    assert record.response_bytes == len(reply.body)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_every_pair_of_protocols_answers_the_same_text(client: str, spoken: str) -> None:
    one = gateway([answered(spoken, "hi 世界")], spoken=spoken)
    reply = serve(one, client, stream=False)
    assert "hi 世界" in reply.body.decode()
    assert reply.headers["content-type"] == "application/json"
    assert (one.record.outcome, one.record.cost_picousd) == ("ok", 25_000_000)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_whole_answer_to_a_request_for_a_stream_becomes_a_stream(client: str, spoken: str) -> None:
    one = gateway([answered(spoken, "hi 世界")], spoken=spoken)
    reply = serve(one, client)
    assert text(reply.body, client) == "hi 世界"
    assert is_clean(reply.body, client)
    assert reply.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_without_usage_is_counted_here_and_marked(client: str) -> None:
    one = gateway([streamed(GEMINI, "hello there, you", usage=None)], spoken=GEMINI)
    serve(one, client)
    usage = one.record.usage
    assert usage is not None
    assert usage.estimated
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert one.record.cost_picousd


def test_an_unknown_price_is_an_unknown_cost() -> None:
    one = gateway([streamed(OPENAI, "a")], price=None)
    serve(one)
    assert one.record.cost_picousd is None
    assert one.record.usage is not None


@pytest.mark.parametrize("client", CLIENTS)
def test_the_time_to_first_token_is_that_of_the_first_output(client: str) -> None:
    head, *rest = stream(client, "a", "b")
    one = gateway([Script(steps=(head, Wait(3.0), *rest), headers_take_s=1.5)], spoken=client)
    serve(one, client)
    record = one.record
    begins_with_text = client == OPENAI
    assert record.ttft_s == (1.5 if begins_with_text else 4.5)
    assert record.attempts[0].headers_s == 1.5
    assert record.duration_s == 4.5


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("cut", [b'data: {"half', b"event: odd\nda", b"data: 1", b": com"])
def test_half_an_event_before_a_cut_is_never_sent(client: str, cut: bytes) -> None:
    whole_events = stream(client, "a", "b")[: 2 if client == OPENAI else 3]
    one = gateway([Script(steps=(*whole_events, cut, Cut()))], spoken=client)
    reply = serve(one, client)
    assert cut not in reply.body
    assert not is_clean(reply.body, client)
    assert error(reply.body)
    assert one.record.attempts[0].outcome == "cut"


@pytest.mark.parametrize("cut", [b'data: {"choices":[],"usa', b"data: [DO", b"event: half", b": half"])
def test_half_an_event_after_the_answer_is_never_sent(cut: bytes) -> None:
    until_finish = stream(OPENAI, "a", usage=None)[:-1]
    one = gateway([Script(steps=(*until_finish, cut))])
    reply = serve(one)
    assert reply.body == b"".join(until_finish)
    assert one.record.outcome == "ok"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_last_event_without_its_blank_line_is_whole(client: str) -> None:
    sent = b"".join(stream(client, "a"))
    one = gateway([Script(steps=(sent.rstrip(b"\n"),))], spoken=client)
    assert serve(one, client).body == sent


@pytest.mark.parametrize("client", CLIENTS)
def test_an_event_that_is_no_json_ends_the_stream_after_what_came_before(client: str) -> None:
    first, *rest = stream(OPENAI, "a", "b")
    one = gateway([Script(steps=(first + b": comment\n\n" + b"data: {broken\n\n", *rest))])
    reply = serve(one, client)
    assert "cannot be read" in error(reply.body)["message"]
    assert b"{broken" not in reply.body
    assert not is_clean(reply.body, client)
    if client == OPENAI:
        assert reply.body.startswith(first + b": comment\n\n")


def test_an_event_of_another_shape_passes_a_relay_untouched() -> None:
    first, *rest = stream(OPENAI, "a", "b")
    odd = (b"data: [1]\n\n", b'data: {"choices": 5}\n\n')
    one = gateway([Script(steps=(first, *odd, *rest))])
    assert serve(one).body == b"".join((first, *odd, *rest))


def test_an_event_of_another_shape_ends_a_translation() -> None:
    first, *rest = stream(OPENAI, "a", "b")
    one = gateway([Script(steps=(first, b'data: {"choices": 5}\n\n', *rest))])
    assert "cannot be read" in error(serve(one, ANTHROPIC).body)["message"]


def test_an_event_above_the_limit_ends_the_attempt() -> None:
    from afterbay.config.schema import LimitsConfig
    from afterbay.testing.fakes import ScriptedUpstream
    from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot

    plan = snapshot(alias("m", target("a/up"), target("b/up")), bounds=LimitsConfig(event_bytes=1000))
    huge = Script(steps=(b"data: " + b"x" * 2000,))
    empty = Script(steps=(b": nothing\n\n" * 200,))
    for first in (huge, empty):
        one = MemoryGateway(plan, a=ScriptedUpstream(first, first), b=ScriptedUpstream(first, first))
        reply = serve(one)
        assert (reply.status, one.record.outcome) == (502, "all_targets_failed")


def test_a_note_of_cost_is_beside_the_final_usage_of_a_translation() -> None:
    one = gateway([streamed(OPENAI, "a")])
    notes = [event["afterbay"] for event in events(serve(one, ANTHROPIC).body) if "afterbay" in event]
    assert notes == [{"provider": "a", "model": "up", "cost_usd": 0.000025}]


def test_an_estimate_counts_tools_their_calls_and_their_results() -> None:
    words = "word " * 1000
    spoken: list[dict[str, Any]] = [
        {"role": "user", "content": "Read it"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {"path": words}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": words}]},
    ]
    tools = [{"name": "read", "description": words, "input_schema": {"type": "object", "description": words}}]
    one = gateway([], spoken=OPENAI)
    reply = serve(one, ANTHROPIC, body=ask("m", messages=spoken, tools=tools), operation="count_tokens")
    assert 4 * 1300 < json.loads(reply.body)["input_tokens"] < 4 * 1500


def test_a_whole_answer_with_an_odd_field_is_relayed_and_its_use_estimated() -> None:
    odd = b'{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":"9"}'
    one = gateway([Script(steps=(odd,), headers={"content-type": "application/json"})])
    reply = serve(one, stream=False)
    assert (reply.status, reply.body) == (200, odd)
    assert one.record.usage is not None
    assert one.record.usage.estimated
    assert "could not be read" in one.record.warnings[0]


def test_a_provider_that_streams_json_lines_is_read_and_the_client_gets_its_own_framing() -> None:
    lines = tuple(frame.removeprefix(b"data: ").rstrip() + b"\n" for frame in stream(OPENAI, "a", "b"))
    for client in CLIENTS:
        one = gateway([Script(steps=lines, headers={"content-type": "application/x-ndjson"})], spoken=OPENAI)
        reply = serve(one, client)
        assert text(reply.body, client) == "ab"
        assert is_clean(reply.body, client)
        assert reply.headers["content-type"].startswith("text/event-stream")
