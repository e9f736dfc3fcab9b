"""Raw requests under virtual time: times, pieces, hang-ups and failures at every await, what the record says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from afterbay.config.schema import LimitsConfig
from afterbay.core.decision import Record
from afterbay.core.errors import ClientMistake
from afterbay.engine.passthrough import AT_ONCE_BYTES, Raw, serve_passthrough
from afterbay.engine.tunnel import sendable, serve_tunnel
from afterbay.policy.plan import Limits
from afterbay.ports import ClientGone, Closed, SocketRefused, TransportError
from afterbay.providers.keys import ProviderKeys
from afterbay.testing.answers import answered, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream, Wait
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.passages import ScriptedBody, ScriptedPassage, ScriptedSocket
from afterbay.testing.sweeps import How, Interrupted
from afterbay.testing.virtual_loop import run

LIMITS = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=8.0, total_s=60.0)
BOUNDS = LimitsConfig(socket_idle=30.0, socket_total=100.0)  # type: ignore[arg-type]  # seconds are floats
OK = Script(steps=(b"one", b"two"))


def gateway(upstream: ScriptedUpstream) -> MemoryGateway:
    """A gateway in front of one provider called `up`."""
    plan = snapshot(alias("m", target("up/gpt")), limits=LIMITS, bounds=BOUNDS)
    return MemoryGateway(plan, up=upstream)


async def pass_through(
    one: MemoryGateway,
    reply: MemoryReply,
    body: ScriptedBody | None = None,
    rest: str = "/v1/files",
    headers: dict[str, str] | None = None,
) -> None:
    call = one.call(b"", headers=headers)
    await serve_passthrough(one.context, call, Raw("POST", "up", rest), body or ScriptedBody(), reply)


def served(upstream: ScriptedUpstream, *args: Any, **options: Any) -> tuple[MemoryReply, Record]:
    one, reply = gateway(upstream), MemoryReply()
    run(pass_through(one, reply, *args, **options))
    return reply, one.record


def test_a_raw_request_with_a_limit_of_money_is_refused_since_none_could_hold() -> None:
    upstream = ScriptedPassage(OK)
    reply, record = served(upstream, headers={"x-afterbay-max-cost-usd": "1"})
    assert (reply.status, record.outcome, upstream.sent) == (400, "invalid_value", [])


def test_the_record_says_which_key_a_raw_request_went_out_with() -> None:
    upstream = ScriptedPassage(OK, OK)
    upstream.keys = ProviderKeys("up", 2)
    one, reply = gateway(upstream), MemoryReply()

    async def twice() -> None:
        await pass_through(one, reply)
        await pass_through(one, MemoryReply())

    run(twice())
    assert [record.attempts[0].key for record in one.records] == [1, 2]


def test_a_small_body_goes_whole_and_a_large_one_as_it_comes() -> None:
    small, large = ScriptedPassage(OK), ScriptedPassage(OK)
    served(small, ScriptedBody(b"a" * 1000, b"b"), headers={"content-length": "1001"})
    assert small.sent[0].body == b"a" * 1000 + b"b"
    assert "content-length" not in small.sent[0].headers, "who sends it whole counts it"
    pieces = [bytes([65 + at]) * (AT_ONCE_BYTES // 2) for at in range(6)]
    _, record = served(large, ScriptedBody(*pieces), headers={"content-length": str(3 * AT_ONCE_BYTES)})
    assert large.sent[0].body == b"".join(pieces)
    assert large.sent[0].headers["content-length"] == str(3 * AT_ONCE_BYTES)
    assert record.request_bytes == 3 * AT_ONCE_BYTES


def test_bytes_pass_as_they_come_and_the_record_counts_them() -> None:
    reply, record = served(ScriptedPassage(Script(steps=(Wait(2.0), b"one", Wait(3.0), b"two"))))
    assert [(at, data) for at, data in reply.pieces if data] == [(2.0, b"one"), (5.0, b"two")]
    assert (record.outcome, record.status, record.response_bytes, record.ttft_s) == ("ok", 200, 6, 2.0)
    assert (record.operation, record.provider, record.rule) == ("passthrough", "up", "POST")
    assert (record.usage, record.cost_picousd) == (None, None)


@pytest.mark.parametrize(
    ("script", "at_s", "code"),
    [
        (Script(headers_take_s=500.0), 20.0, "timeout_first_token"),
        (Script(steps=(b"one", HANG)), 8.0, "timeout_between_tokens"),
        (Script(steps=(HANG,)), 8.0, "timeout_between_tokens"),
        (Script(steps=(b"x", Wait(7.0)) * 20), 60.0, "deadline_exceeded"),
        (Script(connect_takes_s=9.0), 5.0, "connection"),
        (Script(dies_before_headers="it hung up"), 0.0, "connection"),
        (Script(steps=(b"one", Wait(1.0), Cut())), 1.0, "cut"),
    ],
)
def test_every_time_limit_and_every_way_to_break(script: Script, at_s: float, code: str) -> None:
    upstream = ScriptedPassage(script)
    reply, record = served(upstream)
    assert (record.outcome, record.duration_s) == (code, at_s)
    assert record.attempts[0].outcome == {"connection": "connection", "cut": "cut"}.get(code, "timeout")
    if script.steps:
        assert upstream.sent[0].closed_at_s == at_s
        assert reply.ended_at_s is None, "a broken answer has no end"
    else:
        assert reply.status in (502, 504)
        assert code in ("connection", str(reply.json["error"]["code"]))  # type: ignore[index]  # an error is an object


def test_while_the_client_reads_the_provider_is_not_late() -> None:
    one, reply = gateway(ScriptedPassage(Script(steps=(b"a", b"b", b"c")))), MemoryReply(write_s=[15.0, 15.0])
    run(pass_through(one, reply))
    assert (one.record.outcome, reply.body) == ("ok", b"abc")


def test_while_a_client_uploads_the_provider_is_not_late_but_the_whole_has_its_time() -> None:
    piece = b"x" * AT_ONCE_BYTES
    _, record = served(ScriptedPassage(OK), ScriptedBody(piece, piece, Wait(30.0), piece))
    assert (record.outcome, record.duration_s) == ("ok", 30.0)
    reply, record = served(ScriptedPassage(OK), ScriptedBody(piece, piece, Wait(300.0), piece))
    assert (record.outcome, reply.status, record.duration_s) == ("deadline_exceeded", 504, 60.0)


@pytest.mark.parametrize("large", [False, True])
def test_a_body_that_is_refused_on_the_way_is_the_client_s_error(large: bool) -> None:
    head = (b"x" * AT_ONCE_BYTES, b"y") if large else (b"x",)
    mistake = ClientMistake("too large", status=413, kind="too_large", code="body_too_large")
    reply, record = served(ScriptedPassage(OK), ScriptedBody(*head, mistake))
    assert (reply.status, record.outcome) == (413, "body_too_large")


@pytest.mark.parametrize("large", [False, True])
def test_a_client_that_leaves_in_its_upload_is_gone(large: bool) -> None:
    head = (b"x" * AT_ONCE_BYTES, b"y") if large else (b"x",)
    one = gateway(ScriptedPassage(OK))
    with pytest.raises(ClientGone):
        run(pass_through(one, MemoryReply(), ScriptedBody(*head, ClientGone())))
    assert one.record.outcome == "client_closed"


def test_a_gateway_that_ends_says_so() -> None:
    one, reply = gateway(ScriptedPassage(Script(headers_take_s=15.0))), MemoryReply(gone=False)

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(pass_through(one, reply))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])

    run(main())
    assert (one.record.outcome, reply.status) == ("shutting_down", 503)


def test_an_upstream_that_takes_no_raw_requests_is_a_501() -> None:
    reply, record = served(ScriptedUpstream())
    assert (reply.status, record.outcome) == (501, "not_built")


@pytest.mark.parametrize(("status", "outcome"), [(404, "not_found"), (429, "rate_limit"), (500, "server"), (302, "ok")])
def test_a_provider_s_error_passes_and_the_record_names_it(status: int, outcome: str) -> None:
    script = Script(steps=(b'{"error": "no"}',), status=status, headers={"retry-after": "3"})
    reply, record = served(ScriptedPassage(script))
    assert (reply.status, reply.body, reply.headers["retry-after"]) == (status, b'{"error": "no"}', "3")
    assert (record.outcome, record.status) == (outcome, status)


PATHS = {
    "openai.chat": "/v1/chat/completions",
    "openai.responses": "/v1/responses",
    "anthropic.messages": "/v1/messages",
    "gemini": "/v1beta/models/gpt:generateContent",
}


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("streams", [True, False])
def test_usage_and_cost_of_what_a_dialect_reads(dialect: str, streams: bool) -> None:
    script = streamed(dialect, "Hello") if streams else answered(dialect, "Hello")
    reply, record = served(ScriptedPassage(script), rest=PATHS[dialect])
    assert reply.body == b"".join(step for step in script.steps if isinstance(step, bytes))
    assert record.usage is not None
    assert record.usage.total > 0
    assert not record.usage.estimated
    assert record.cost_picousd is not None
    assert record.cost_picousd > 0


@pytest.mark.parametrize("steps", [(b"{",), (b"[1]",), (b"\xff" * 100,), (b"[" * 100_000,), (b"x" * (5 << 20),), ()])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "audio/mpeg"])
@pytest.mark.parametrize("rest", [*PATHS.values(), "/v1/embeddings"])
def test_what_cannot_be_read_passes_and_costs_nobody_knows_what(steps: tuple[bytes, ...], kind: str, rest: str) -> None:
    reply, record = served(ScriptedPassage(Script(steps=steps, headers={"content-type": kind})), rest=rest)
    assert reply.body == b"".join(steps)
    assert (record.outcome, record.usage, record.cost_picousd) == ("ok", None, None)


def test_usage_of_embeddings() -> None:
    body = b'{"object":"list","data":[{"index":0,"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":7}}'
    _, record = served(
        ScriptedPassage(Script(steps=(body,), headers={"content-type": "application/json"})), rest="/v1/embeddings"
    )
    assert record.usage is not None
    assert record.usage.input_tokens == 7


CASES: dict[str, Any] = {
    "answer": lambda: (ScriptedPassage(Script(steps=(Wait(1.0), b"a", Wait(1.0), b"b"), headers_take_s=1.0)), ()),
    "upload": lambda: (ScriptedPassage(OK), (b"x" * AT_ONCE_BYTES, Wait(1.0), b"y", b"z")),
    "late": lambda: (ScriptedPassage(Script(headers_take_s=500.0)), (b"x",)),
    "stall": lambda: (ScriptedPassage(Script(steps=(b"a", HANG))), ()),
    "broken": lambda: (ScriptedPassage(Script(steps=(b"a", Cut()))), ()),
    "error": lambda: (ScriptedPassage(Script(dies_before_headers="no")), ()),
}


def disturbed(name: str, at: int, how: How, error: Exception | None = None) -> tuple[MemoryGateway, Interrupted, Any]:
    async def main() -> tuple[MemoryGateway, Interrupted, Any]:
        upstream, steps = CASES[name]()
        one = gateway(upstream)
        trouble = Interrupted(pass_through(one, MemoryReply(), ScriptedBody(*steps)), at, how, error)
        task = trouble.start()
        await asyncio.wait([task])
        return one, trouble, asyncio.CancelledError() if task.cancelled() else task.exception()

    return run(main())


@pytest.mark.parametrize("how", ["cancel", "cancel late", "fail"])
@pytest.mark.parametrize("name", CASES)
def test_trouble_at_any_await_leaves_one_record_and_nothing_open(
    name: str, how: How, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    points = disturbed(name, 0, how)[1].points
    for at in range(1, points + 1):
        one, trouble, end = disturbed(name, at, how)
        assert trouble.done
        record = one.record
        assert record.outcome
        assert all(each.outcome and each.ended_s is not None for each in record.attempts)
        assert one.context.fleet._in_flight == 0
        for sent in one.upstreams["up"].sent:
            assert sent.closed_at_s is not None or sent.read_bytes == 0
        if how != "fail":
            assert end is None or isinstance(end, asyncio.CancelledError), f"await {at}: {end!r}"
            assert end is not None or how == "cancel late", f"await {at}: a hang-up was swallowed"


# WebSockets


def tunnelled(
    client: ScriptedSocket, provider: Any, at: int = 0, how: How = "cancel"
) -> tuple[MemoryGateway, Interrupted, Any]:
    async def main() -> tuple[MemoryGateway, Interrupted, Any]:
        steps = provider if isinstance(provider, list) else [provider]
        one = gateway(ScriptedPassage(sockets=steps))
        work = serve_tunnel(one.context, one.call(b""), Raw("GET", "up", "/v1/realtime"), ("realtime",), client)
        trouble = Interrupted(work, at, how)
        task = trouble.start()
        await asyncio.wait([task])
        return one, trouble, asyncio.CancelledError() if task.cancelled() else task.exception()

    return run(main())


def test_messages_cross_and_ends_are_told() -> None:
    client = ScriptedSocket("a", Wait(2.0), b"b", HANG)
    provider = ScriptedSocket(Wait(1.0), "x", Wait(3.0), Closed(4001, "done"))
    one, _, end = tunnelled(client, provider)
    assert end is None
    assert (provider.got, client.got) == (["a", b"b"], ["x"])
    assert client.accepted is not None
    assert client.accepted[1]["x-afterbay-provider"] == "up"
    assert (client.told, provider.told) == (Closed(4001, "done"), Closed(4001, "done"))
    record = one.record
    assert (record.outcome, record.finish, record.status, record.duration_s) == ("ok", "4001", 101, 4.0)
    assert (record.request_bytes, record.response_bytes) == (2, 1)
    assert one.context.open_streams == 0


@pytest.mark.parametrize(
    ("closed", "sent"),
    [
        (Closed(1000), Closed(1000)),
        (Closed(1005), Closed(1000)),
        (Closed(1006, "gone"), Closed(1011, "gone")),
        (Closed(1015), Closed(1011)),
        (Closed(1004), Closed(1011)),
        (Closed(0), Closed(1011)),
        (Closed(999), Closed(1011)),
        (Closed(2999), Closed(1011)),
        (Closed(5000), Closed(1011)),
        (Closed(3000, "x" * 200), Closed(3000, "x" * 123)),
        (Closed(4999, "é" * 100), Closed(4999, "é" * 61)),
    ],
)
def test_codes_that_are_not_for_the_wire_are_mapped(closed: Closed, sent: Closed) -> None:
    assert sendable(closed) == sent


def test_a_client_that_vanishes_and_a_provider_that_breaks() -> None:
    client, provider = ScriptedSocket(Wait(1.0), Closed(1006)), ScriptedSocket(HANG)
    one, _, _ = tunnelled(client, provider)
    assert (one.record.outcome, provider.told) == ("client_closed", Closed(1011))
    client, provider = ScriptedSocket(HANG), ScriptedSocket(Wait(1.0), Closed(1006))
    one, _, _ = tunnelled(client, provider)
    assert (one.record.outcome, client.told) == ("cut", Closed(1011))


def test_idle_is_counted_from_the_last_message_either_way_and_old_is_old() -> None:
    client, provider = ScriptedSocket(Wait(20.0), "a", HANG), ScriptedSocket(Wait(40.0), "x", HANG)
    one, _, _ = tunnelled(client, provider)
    assert (one.record.outcome, one.record.duration_s, one.record.finish) == ("socket_idle", 70.0, "1001")
    client = ScriptedSocket(*[step for _ in range(50) for step in (Wait(10.0), "a")])
    one, _, _ = tunnelled(client, ScriptedSocket(HANG))
    assert (one.record.outcome, one.record.duration_s) == ("socket_total", 100.0)


def test_a_client_may_shorten_its_socket_s_time() -> None:
    client = ScriptedSocket(*[step for _ in range(50) for step in (Wait(10.0), "a")])

    async def main() -> MemoryGateway:
        one = gateway(ScriptedPassage(sockets=[ScriptedSocket(HANG)]))
        call = one.call(b"", headers={"x-afterbay-timeout-ms": "15000"})
        await serve_tunnel(one.context, call, Raw("GET", "up", "/v1/realtime"), (), client)
        return one

    record = run(main()).record
    assert (record.outcome, record.duration_s) == ("socket_total", 15.0)


def test_who_takes_nothing_any_more_is_idle() -> None:
    client, provider = ScriptedSocket("a", HANG, stuck=1), ScriptedSocket("x", "y", "z", HANG)
    one, _, _ = tunnelled(client, provider)
    assert (one.record.outcome, client.got) == ("socket_idle", ["x"])


def test_a_slow_reader_gets_one_message_at_a_time() -> None:
    client = ScriptedSocket(HANG, send_s=2.0)
    one, _, _ = tunnelled(client, ScriptedSocket("x", "y", "z", Closed(1000)))
    assert (client.got, one.record.duration_s) == (["x", "y", "z"], 6.0)


@pytest.mark.parametrize(
    ("provider", "status", "outcome", "tried"),
    [
        (SocketRefused(403, {"x-a": "b"}, b"no"), 403, "permission", "error"),
        (SocketRefused(103, {}, b""), 502, "invalid_request", "error"),
        (TransportError("refused", connected=False), 502, "connection", "connection"),
        ([Wait(50.0), TransportError("late", connected=True)], 504, "timeout_first_token", "timeout"),
    ],
)
def test_a_client_is_not_let_in_before_the_provider_is_there(
    provider: Any, status: int, outcome: str, tried: str
) -> None:
    client = ScriptedSocket()
    one, _, end = tunnelled(client, provider)
    assert end is None
    assert client.refused is not None
    assert client.refused[0] == status
    if outcome != "invalid_request":
        assert one.record.outcome == outcome
    assert one.record.attempts[0].outcome == tried


@pytest.mark.parametrize("how", ["cancel", "cancel late", "fail"])
def test_trouble_at_any_await_of_a_tunnel_closes_both_sides(how: How, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")

    def case(at: int) -> tuple[ScriptedSocket, ScriptedSocket, MemoryGateway, Interrupted, Any]:
        client = ScriptedSocket("a", Wait(2.0), "b", HANG)
        provider = ScriptedSocket(Wait(1.0), "x", Wait(3.0), Closed(1000))
        one, trouble, end = tunnelled(client, provider, at, how)
        return client, provider, one, trouble, end

    for at in range(1, case(0)[3].points + 1):
        client, provider, one, trouble, end = case(at)
        assert end is None or isinstance(end, asyncio.CancelledError | OSError), f"await {at}: {end!r}"
        assert trouble.done
        assert one.record.outcome
        assert one.context.open_streams == one.context.fleet._in_flight == 0
        if client.accepted is not None:
            assert provider.told is not None, f"await {at}"
            assert client.told is not None, f"await {at}"
