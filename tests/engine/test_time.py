"""Time limits: the first token, the gap between tokens, the whole request, the client's own, and held headers."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.cases import (
    ANTHROPIC,
    BEDROCK,
    CLIENTS,
    GEMINI,
    LIMITS,
    OPENAI,
    PAIRS,
    error,
    events,
    gateway,
    is_clean,
    serve,
    text,
)

from afterbay.core.errors import ErrorKind
from afterbay.policy.plan import Limits, Route
from afterbay.testing.answers import JSON, answered, ask, failed, stream, streamed, whole
from afterbay.testing.fakes import HANG, MemoryReply, Script, Step, Wait
from afterbay.testing.virtual_loop import run
from afterbay.wire import aws_stream

PINGS = {
    OPENAI: b": ping\n\n",
    ANTHROPIC: b'event: ping\ndata: {"type":"ping"}\n\n',
    GEMINI: b": ping\n\n",
    BEDROCK: aws_stream.event("ping", b"{}"),  # it has none: whatever it may send some day
}


def parts(spoken: str, *texts: str) -> tuple[list[bytes], list[bytes]]:
    """A stream up to the event with the first text, and the rest."""
    pieces = stream(spoken, *texts)
    at = next(at for at in range(len(pieces)) if texts[0].encode() in pieces[at])
    return pieces[: at + 1], pieces[at + 1 :]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("where", ["connecting", "headers", "body", "pings"])
def test_no_first_token_in_time_leads_to_the_next_target(client: str, spoken: str, where: str) -> None:
    ping: tuple[Step, ...] = (PINGS[spoken], Wait(3.0)) * 20
    slow = {
        "connecting": Script(headers_take_s=500.0),
        "headers": Script(headers_take_s=500.0),
        "body": Script(steps=(HANG,)),
        "pings": Script(steps=ping),
    }[where]
    one = gateway([slow], [streamed(spoken, "hi")], spoken=spoken)
    reply = serve(one, client)
    assert text(reply.body, client) == "hi"
    assert one.upstreams["b"].sent[0].at_s == LIMITS.first_token_s
    first = one.record.attempts[0]
    assert (first.outcome, first.ended_s) == ("timeout", 20.0)
    assert first.usage is not None
    assert first.usage.estimated, "its provider may count the prompt"
    assert first.cost_picousd == first.usage.input_tokens * 1_000_000
    assert one.record.cost_picousd == sum(each.cost_picousd or 0 for each in one.record.attempts)


@pytest.mark.parametrize("streams", [True, False])
def test_without_another_target_a_timeout_is_504(streams: bool) -> None:
    one = gateway([Script(steps=(HANG,))])
    reply = serve(one, stream=streams)
    told = error(reply.body) if streams else reply.json["error"]
    assert "first_token = 20 s" in told["message"]  # type: ignore[index]
    assert one.record.outcome == "timeout_first_token"
    assert reply.status == (200 if streams else 504)  # a stream's headers went out after `hold`


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("pinging", [False, True])
def test_a_stall_after_the_commit_is_an_error_event_and_ends_the_upstream(
    client: str, spoken: str, pinging: bool
) -> None:
    said, _ = parts(spoken, "Hey")
    end: tuple[Step, ...] = (PINGS[spoken], Wait(3.0)) * 20 if pinging else (HANG,)
    one = gateway([Script(steps=(*said, *end))], [], spoken=spoken)
    reply = serve(one, client)
    assert "between_tokens = 8 s" in error(reply.body)["message"]
    assert not is_clean(reply.body, client)
    assert one.upstreams["a"].sent[0].closed_at_s == LIMITS.between_tokens_s
    assert (one.record.outcome, one.record.attempts[0].outcome) == ("timeout_between_tokens", "timeout")
    assert one.record.usage is not None
    assert one.record.usage.estimated or spoken == ANTHROPIC


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_slow_stream_that_goes_on_is_not_a_stall(client: str, spoken: str) -> None:
    pieces = stream(spoken, *(f"word{n} " for n in range(9)))
    steps: list[Step] = []
    for piece in pieces:
        steps += [Wait(5.0), piece]
    one = gateway([Script(steps=tuple(steps))], spoken=spoken)
    reply = serve(one, client)
    assert is_clean(reply.body, client)
    assert one.record.duration_s == 5.0 * len(pieces)


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_the_whole_time_ends_a_stream_in_an_error_event(client: str, spoken: str) -> None:
    pieces = stream(spoken, *(f"word{n} " for n in range(40)))
    steps: list[Step] = []
    for piece in pieces:
        steps += [piece, Wait(5.0)]
    one = gateway([Script(steps=tuple(steps))], spoken=spoken)
    reply = serve(one, client)
    assert error(reply.body)
    assert not is_clean(reply.body, client)
    assert one.upstreams["a"].sent[0].closed_at_s == LIMITS.total_s
    assert one.record.outcome == "deadline_exceeded"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_whole_time_before_the_commit_is_504(client: str) -> None:
    limits = Limits(first_token_s=20.0, total_s=30.0)
    one = gateway([Script(headers_take_s=99.0)], [Script(headers_take_s=99.0)], spoken=client, limits=limits)
    reply = serve(one, client, stream=False)
    assert (reply.status, one.record.outcome, one.record.duration_s) == (504, "deadline_exceeded", 30.0)
    assert [each.outcome for each in one.record.attempts] == ["timeout", "timeout"]


@pytest.mark.parametrize(("asked", "ends"), [("7000", 7.0), ("500000", 100.0), ("1", 0.001)])
def test_a_client_may_shorten_its_time_and_not_lengthen_it(asked: str, ends: float) -> None:
    one = gateway([Script(steps=(HANG,))], limits=Limits(first_token_s=300.0, total_s=100.0))
    reply = serve(one, stream=False, headers={"x-afterbay-timeout-ms": asked})
    assert (reply.status, one.record.duration_s) == (504, ends)


@pytest.mark.parametrize("asked", ["", "0", "-5", "soon", "1.5", "nan", "9" * 400, "9" * 5000])
def test_a_time_that_is_none_is_the_clients_mistake(asked: str) -> None:
    one = gateway([])
    reply = serve(one, headers={"x-afterbay-timeout-ms": asked})
    assert (reply.status, one.record.outcome) == (400, "invalid_value")


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_held_headers_go_out_with_pings_and_fallback_stays_possible(client: str, spoken: str) -> None:
    limits = Limits(first_token_s=35.0, total_s=100.0, hold_s=10.0)
    one = gateway([Script(steps=(HANG,))], [streamed(spoken, "hi")], spoken=spoken, limits=limits)
    reply = serve(one, client)
    assert (reply.status, reply.started_at_s) == (200, 10.0)
    assert [at for at, _ in reply.pieces[:3]] == [10.0, 20.0, 30.0]
    assert all(data == reply.pieces[0][1] for _, data in reply.pieces[:3]), "pings"
    assert text(reply.body, client) == "hi"
    assert is_clean(reply.body, client)
    assert [each.outcome for each in one.record.attempts] == ["timeout", "ok"]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_failure_after_held_headers_is_an_error_event(client: str, spoken: str) -> None:
    kinds: list[tuple[int, ErrorKind]] = [(400, "invalid_request"), (500, "server")]
    for status, kind in kinds:
        slow = failed(spoken, status, kind, "broken")
        one = gateway([Script(slow.steps, status, slow.headers, headers_take_s=15.0)], spoken=spoken)
        reply = serve(one, client)
        assert reply.started_at_s == 10.0
        assert "broken" in error(reply.body)["message"]
        assert not is_clean(reply.body, client)
        assert one.record.status == 200
        assert reply.ended_at_s == 15.0


def test_headers_are_not_held_for_a_whole_answer() -> None:
    slow = answered(OPENAI, "hi")
    one = gateway([Script(slow.steps, headers=JSON, headers_take_s=15.0)])
    reply = serve(one, stream=False)
    assert reply.started_at_s == 15.0
    assert reply.json["object"] == "chat.completion"


def test_no_ping_follows_the_first_output() -> None:
    said, rest = parts(OPENAI, "Hey")
    one = gateway([Script(steps=(Wait(12.0), *said, Wait(7.9), *rest))])
    reply = serve(one)
    assert [at for at, data in reply.pieces if data == b": ping\n\n"] == [10.0]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_slow_reader_is_not_the_providers_stall(client: str, spoken: str) -> None:
    one = gateway([streamed(spoken, "Hey", "zwo", "three")], spoken=spoken)
    reply = serve(one, client, reply=MemoryReply(write_s=9.0))
    assert is_clean(reply.body, client)
    assert one.record.outcome == "ok"


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_slow_reader_of_a_whole_answer_gets_all_of_it(client: str, spoken: str, streams: bool) -> None:
    one = gateway([answered(spoken, "Hey")], [], spoken=spoken)
    reply = serve(one, client, stream=streams, reply=MemoryReply(write_s=30.0))
    assert b"Hey" in reply.body
    assert reply.ended_at_s is not None
    assert (one.record.outcome, len(one.record.attempts)) == ("ok", 1)


def test_a_slow_reader_does_not_hide_a_stall_either() -> None:
    said, _ = parts(OPENAI, "Hey")
    steps: tuple[Step, ...] = (PINGS[OPENAI], Wait(2.0)) * 40
    one = gateway([Script(steps=(*said, *steps))], [])
    reply = serve(one, reply=MemoryReply(write_s=1.0))
    assert "between_tokens" in error(reply.body)["message"]
    closed = one.upstreams["a"].sent[0].closed_at_s
    assert closed is not None
    assert 8.0 <= closed <= 14.0


@pytest.mark.parametrize("streams", [True, False])
def test_a_reader_that_reads_nothing_does_not_keep_its_request_for_ever(streams: bool) -> None:
    script = streamed(OPENAI, "Hey", "zwo") if streams else answered(OPENAI, "Hey")
    one = gateway([script])
    reply = serve(one, stream=streams, reply=MemoryReply(stuck=0))
    assert one.record.outcome == "deadline_exceeded"
    assert LIMITS.total_s <= one.record.duration_s <= LIMITS.total_s + 5
    assert reply.ended_at_s is None, "what broke off must not look complete"
    assert one.upstreams["a"].sent[0].closed_at_s is not None


def test_a_reader_that_reads_no_ping_does_not_keep_its_request_for_ever() -> None:
    one = gateway([Script(steps=(Wait(12.0), *stream(OPENAI, "Hey")))])
    serve(one, reply=MemoryReply(stuck=0))
    assert one.record.duration_s <= LIMITS.total_s + 5


def test_a_reader_that_does_not_take_a_spare_does_not_keep_its_request_for_ever() -> None:
    one = gateway([answered(OPENAI, "")])
    serve(one, stream=False, reply=MemoryReply(stuck=0))
    assert one.record.outcome == "deadline_exceeded"
    assert one.record.duration_s == LIMITS.total_s


@pytest.mark.parametrize("client", CLIENTS)
def test_a_whole_answer_that_breaks_off_gets_no_event_in_its_body(client: str) -> None:
    one = gateway([Script(steps=(whole(client, "Hey"),), headers=JSON)], spoken=client)
    reply = serve(one, client, stream=False, reply=MemoryReply(stuck=0))
    assert reply.body == whole(client, "Hey")
    assert reply.ended_at_s is None


def test_a_cooling_target_is_tried_last_until_it_is_free_again() -> None:
    ok = streamed(OPENAI, "hi")
    one = gateway([failed(OPENAI, 429, "rate_limit", retry_after="30"), ok], [ok, ok, ok])

    async def three() -> None:
        for pause in (0.0, 29.0, 2.0):
            await asyncio.sleep(pause)
            await one.chat(ask("m", stream=True))

    run(three())
    tried = [[each.target for each in record.attempts] for record in one.records]
    assert tried == [["a/up", "b/up"], ["b/up"], ["a/up"]]


def test_pings_are_the_clients_protocols() -> None:
    one = gateway([Script(steps=(Wait(12.0), *stream(GEMINI, "hi")))], spoken=GEMINI)
    reply = serve(one, ANTHROPIC)
    assert events(reply.pieces[0][1]) == [{"type": "ping"}]


def test_the_default_route_is_what_holds_for_an_alias() -> None:
    one = gateway([Script(steps=(HANG,))], route=Route("d"), limits=Limits(first_token_s=1.0))
    assert serve(one).status == 504
