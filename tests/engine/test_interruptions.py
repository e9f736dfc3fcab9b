"""A client that hangs up at any point, and an await that fails at any point: what must hold holds all the same.

Each case is run once undisturbed to count its awaits, then once for each of them with the trouble there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, CLIENTS, GEMINI, OPENAI, gateway, is_clean

from afterbay.core.decision import Record
from afterbay.engine.pipeline import serve_chat
from afterbay.policy.plan import Limits
from afterbay.ports import ClientGone, KeptResponse, TransportError
from afterbay.store.memory import MemoryResponses
from afterbay.testing.answers import answered, ask, failed, stream, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.sweeps import How, Interrupted
from afterbay.testing.virtual_loop import run

LIMITS = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=8.0, total_s=60.0, hold_s=10.0, max_attempts=5)


def slowly(spoken: str, *texts: str) -> Script:
    """A stream with a pause before each event."""
    steps: list[Any] = []
    for piece in stream(spoken, *texts):
        steps += [Wait(1.0), piece]
    return Script(steps=tuple(steps), connect_takes_s=1.0, headers_take_s=1.0)


def until(spoken: str, last: str) -> list[bytes]:
    """The events of a stream up to the one that says `last`."""
    pieces = stream(spoken, "Hey", last, "more")
    return pieces[: 1 + next(at for at in range(len(pieces)) if last.encode() in pieces[at])]


def has_all(reply: MemoryReply, client: str) -> bool:
    """Whether the client has the whole answer, though perhaps not its last bytes."""
    return b'"finish_reason":"stop"' in reply.body if client == OPENAI else is_clean(reply.body, client)


def cases() -> dict[str, tuple[Callable[[str], MemoryGateway], dict[str, Any]]]:
    """Requests of every shape, by name."""

    def made(*scripts: Callable[[str], list[Script]], spoken: str | None = None) -> Callable[[str], MemoryGateway]:
        return lambda client: gateway(
            *(script(spoken or client) for script in scripts), spoken=spoken or client, limits=LIMITS
        )

    late = lambda d: [Script(steps=(Wait(15.0), *stream(d, "hi")))]  # noqa: E731
    return {
        "relayed stream": (made(lambda d: [slowly(d, "Hey", "zwo")]), {"stream": True}),
        "translated stream": (made(lambda d: [slowly(d, "Hey", "zwo")], spoken=GEMINI), {"stream": True}),
        "relayed answer": (made(lambda d: [answered(d, "Hey")]), {"stream": False}),
        "translated answer": (made(lambda d: [answered(d, "Hey")], spoken=GEMINI), {"stream": False}),
        "fallback": (made(lambda d: [failed(d, 500, "server")], lambda d: [streamed(d, "hi")]), {"stream": True}),
        "timeout and fallback": (made(lambda d: [Script(steps=(HANG,))], late), {"stream": True}),
        "wait and retry": (
            made(lambda d: [failed(d, 429, "rate_limit", retry_after="15"), streamed(d, "hi")]),
            {"stream": True},
        ),
        "held, then an error": (made(lambda d: [Script(steps=(Wait(15.0), Cut()))]), {"stream": True}),
        "error": (made(lambda d: [failed(d, 400, "invalid_request")]), {"stream": False}),
        "spare": (made(lambda d: [streamed(d)], lambda d: [failed(d, 500, "server")]), {"stream": True}),
        "stall": (made(lambda d: [Script(steps=(*until(d, "zwo"), HANG))]), {"stream": True}),
    }


NAMES = list(cases())


class Outcome:
    """What is left of one run."""

    def __init__(self, gateway: MemoryGateway, reply: MemoryReply, trouble: Interrupted, end: BaseException | None):
        self.gateway, self.reply, self.trouble, self.end = gateway, reply, trouble, end

    def check(self) -> Record:
        """One record, attempts closed, upstreams closed at once, nothing counted twice."""
        record = self.gateway.record
        for attempt in record.attempts:
            assert attempt.outcome is not None
            assert attempt.ended_s is not None
        for upstream in self.gateway.upstreams.values():
            for sent in upstream.sent:
                assert sent.closed_at_s is not None or sent.read_bytes == 0, "an upstream was left open"
        assert self.gateway.context.fleet._in_flight == 0
        known = [each.cost_picousd for each in record.attempts]
        total = None if None in known else sum(cost for cost in known if cost is not None)
        assert record.cost_picousd == total
        return record


def attempt(name: str, client: str, at: int, how: How, error: Exception | None = None, **reply: Any) -> Outcome:
    """Runs a case with the trouble at its await number `at`."""
    make, fields = cases()[name]

    async def main() -> Outcome:
        one, out = make(client), MemoryReply(**reply)
        trouble = Interrupted(serve_chat(one.context, one.call(ask("m", **fields), client), out), at, how, error)
        task = trouble.start()
        await asyncio.wait([task])
        end = asyncio.CancelledError() if task.cancelled() else task.exception()
        return Outcome(one, out, trouble, end)

    return run(main())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", NAMES)
def test_undisturbed_every_case_comes_to_its_end(name: str, client: str) -> None:
    done = attempt(name, client, 0, "cancel")
    assert done.end is None
    assert done.check().outcome != "client_closed"
    assert done.trouble.points > 2


@pytest.mark.parametrize("how", ["cancel", "cancel late"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("write_s", [0.0, 0.7])
def test_a_client_may_hang_up_at_any_await(name: str, client: str, how: How, write_s: float) -> None:
    points = attempt(name, client, 0, how, write_s=write_s).trouble.points
    for at in range(1, points + 1):
        left = attempt(name, client, at, how, write_s=write_s)
        assert left.trouble.done
        record = left.check()
        if left.end is None:
            assert how == "cancel late", f"await {at}: a hang-up was swallowed"
        else:
            assert isinstance(left.end, asyncio.CancelledError), f"await {at}: {left.end!r}"
        if record.outcome == "ok":
            assert left.reply.ended_at_s is not None or has_all(left.reply, client)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_client_may_hang_up_at_any_instant(name: str, client: str) -> None:
    ends_s = attempt(name, client, 0, "cancel").gateway.record.duration_s
    make, fields = cases()[name]

    async def main(after_s: float) -> tuple[MemoryGateway, MemoryReply, float]:
        one, reply, loop = make(client), MemoryReply(), asyncio.get_running_loop()
        call = one.call(ask("m", **fields), client)
        task = loop.create_task(serve_chat(one.context, call, reply))
        loop.call_at(after_s, task.cancel)
        await asyncio.wait([task])
        return one, reply, loop.time()

    instants = [0.25 + 0.5 * step for step in range(int(ends_s / 0.5))]
    for after_s in instants:
        one, reply, ended_s = run(main(after_s))
        record = one.record
        assert record.outcome == ("ok" if has_all(reply, client) else "client_closed")
        assert ended_s == after_s, "it ends at once"
        for sent in (sent for upstream in one.upstreams.values() for sent in upstream.sent):
            assert sent.closed_at_s is None or sent.closed_at_s <= after_s
        if record.attempts and record.attempts[-1].ended_s == after_s:
            assert record.attempts[-1].outcome == record.outcome


@pytest.mark.parametrize("error", [OSError("broken on purpose"), ClientGone("gone")], ids=["OSError", "ClientGone"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", NAMES)
def test_any_await_may_fail_and_the_request_is_settled_once(
    name: str, client: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    points = attempt(name, client, 0, "fail").trouble.points
    for at in range(1, points + 1):
        left = attempt(name, client, at, "fail", error)
        record = left.check()
        assert left.trouble.done
        if isinstance(error, ClientGone):
            assert left.end is None or isinstance(left.end, ClientGone)
        if isinstance(left.end, OSError):
            assert left.reply.started, "only a client's side that is broken lets an error out"
        if record.outcome == "ok":
            assert left.reply.ended_at_s is not None or has_all(left.reply, client)


def test_usage_that_was_seen_before_the_hang_up_is_settled() -> None:
    make, fields = cases()["relayed stream"]

    async def main() -> Record:
        one = make(ANTHROPIC)
        call = one.call(ask("m", **fields), ANTHROPIC)
        task = asyncio.get_running_loop().create_task(serve_chat(one.context, call, MemoryReply()))
        await asyncio.sleep(5.5)
        task.cancel()
        await asyncio.wait([task])
        return one.record

    record = run(main())
    assert record.outcome == "client_closed"
    assert record.usage is not None
    assert record.cost_picousd is not None


def test_two_runs_of_a_case_are_the_same_to_the_last_bit() -> None:
    for name in NAMES:
        first, second = (attempt(name, OPENAI, 0, "cancel") for _ in "ab")
        assert first.gateway.record == second.gateway.record
        assert first.reply.pieces == second.reply.pieces


def test_a_library_that_ends_a_cancelled_await_in_its_own_error_does_not_stop_the_clock() -> None:
    error = TransportError("the connection was closed", connected=True)

    async def main(at: int) -> tuple[MemoryGateway, Interrupted, int]:
        one, out = gateway([Script(steps=(HANG,))], [Script(steps=(HANG,))], limits=LIMITS), MemoryReply()
        trouble = Interrupted(serve_chat(one.context, one.call(ask("m", stream=True)), out), at, "fail", error)
        task = trouble.start()
        await asyncio.wait([task])
        assert task.exception() in (None, error)  # the latter: the client's side broke
        return one, trouble, task.cancelling()

    for at in range(1, run(main(0))[1].points + 1):
        one, _, cancelling = run(main(at))
        assert cancelling == 0, "the watchdog takes its cancellation back"
        assert one.record.duration_s <= LIMITS.total_s


ENDS: list[tuple[str, bytes, str]] = [
    (OPENAI, ask("m", stream=True), ""),
    (ANTHROPIC, ask("m", stream=True), ""),
    (GEMINI, b'{"contents":[{"parts":[{"text":"x"}]}]}', "/v1beta/models/m:streamGenerateContent"),
    ("openai.responses", b'{"model":"m","input":"x","stream":true}', "/v1/responses"),
]


@pytest.mark.parametrize("how", ["cancel", "cancel late", "fail"])
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI, "openai.responses"])
@pytest.mark.parametrize(("client", "body", "path"), ENDS)
def test_nothing_follows_the_end_of_a_stream(client: str, body: bytes, path: str, spoken: str, how: How) -> None:
    operation = "responses" if client == "openai.responses" else "chat"

    async def case(at: int) -> bool:
        one, reply = gateway([streamed(spoken, "hi")] * 3, spoken=spoken), MemoryReply(gone=False)
        serving = one.chat(body, client, path=path, query="alt=sse", operation=operation, reply=reply)
        interrupted = Interrupted(serving, at, how)
        with contextlib.suppress(asyncio.CancelledError):
            await interrupted.start()  # fails where a stream breaks its grammar
        assert one.record.outcome
        return interrupted.done

    at = 1
    while run(case(at)):
        at += 1
    assert at > 5


@pytest.mark.parametrize(
    ("client", "body", "path"),
    [
        ("openai.responses", b'{"model":"m","input":"x"}', "/v1/responses/input_tokens"),
        (GEMINI, b'{"contents":[{"parts":[{"text":"x"}]}]}', "/v1beta/models/m:countTokens"),
    ],
)
def test_a_count_that_the_gateway_s_end_cuts_short_is_answered(client: str, body: bytes, path: str) -> None:
    async def case() -> MemoryReply:
        one, reply = gateway([Script(steps=(HANG,))], spoken=client), MemoryReply(gone=False)
        serving = asyncio.ensure_future(one.chat(body, client, path=path, operation="count_tokens", reply=reply))
        await asyncio.sleep(1)
        serving.cancel()
        await serving
        return reply

    assert run(case()).status == 503


def test_a_whole_stream_has_http_s_own_end_when_the_gateway_ends_while_it_is_kept() -> None:
    class SlowResponses(MemoryResponses):
        async def put(self, response: KeptResponse) -> None:
            await asyncio.sleep(5)

    async def case() -> tuple[MemoryGateway, MemoryReply]:
        spoken = "openai.responses"
        one, reply = gateway([streamed(spoken, "hi")], spoken=spoken), MemoryReply(gone=False)
        one.context.responses = SlowResponses(now=lambda: 0.0)
        body = b'{"model":"m","input":"x","stream":true}'
        serving = asyncio.ensure_future(
            one.chat(body, spoken, path="/v1/responses", operation="responses", reply=reply)
        )
        await asyncio.sleep(1)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        return one, reply

    one, reply = run(case())
    assert b"response.completed" in reply.body
    assert reply.ended_at_s is not None
    assert one.record.outcome == "ok"
