"""The log knows of a request before its first attempt, and what came of it before the client has the last byte."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, BEDROCK, CLIENTS, GEMINI, OPENAI, PAIRS, gateway, serve
from tests.engine.leaving import RESPONSES, ROUTE

from afterbay.core.decision import Record
from afterbay.core.errors import Capacity
from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.engine.tunnel import serve_tunnel
from afterbay.policy.allowance import Rule, Unit
from afterbay.policy.charge import charge_of
from afterbay.ports import Closed, SocketRefused
from afterbay.store.memory import MemoryRequestLog
from afterbay.testing.answers import JSON, answered, failed, stream, streamed
from afterbay.testing.fakes import Cut, MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.passages import ScriptedBody, ScriptedPassage, ScriptedSocket
from afterbay.testing.virtual_loop import run

ENDS = {OPENAI: b"[DONE]", ANTHROPIC: b"message_stop", GEMINI: b"", BEDROCK: b""}


class NotingLog(MemoryRequestLog):
    """A log that notes what a client and the providers had seen whenever it was told something."""

    def __init__(self, one: MemoryGateway, reply: MemoryReply) -> None:
        super().__init__()
        self.begun: list[Record] = []
        self.settled: list[Record] = []
        self.had: list[bytes] = []
        """What the client had of the body when the last word was said."""
        self.was_over: list[bool] = []
        self.asked_before = 0
        self._one, self._reply = one, reply

    def begin(self, record: Record) -> None:
        self.begun.append(record)
        self.asked_before = sum(len(upstream.sent) for upstream in self._one.upstreams.values())

    def settle(self, record: Record) -> None:
        self.settled.append(record)
        self.had.append(self._reply.body)
        self.was_over.append(self._reply.ended_at_s is not None)


def noted(one: MemoryGateway, reply: MemoryReply) -> NotingLog:
    one.log = one.context.log = NotingLog(one, reply)
    return one.log


def same(settled: Record, final: Record) -> None:
    """What was said before the last byte is what the record says, but for the last moment."""
    last = {"duration_s": 0.0, "response_bytes": 0, "circumstances": None, "stages_s": {}, "attempts": []}
    assert msgspec.structs.replace(settled, **last) == msgspec.structs.replace(final, **last)
    for before, after in zip(settled.attempts, final.attempts, strict=True):
        assert msgspec.structs.replace(before, ended_s=None) == msgspec.structs.replace(after, ended_s=None)
        assert before.ended_s is not None


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_streams_outcome_is_noted_before_its_last_event(client: str, spoken: str) -> None:
    one, reply = gateway([streamed(spoken, "Hel", "lo")], spoken=spoken), MemoryReply()
    log = noted(one, reply)
    serve(one, client, reply=reply)
    assert (len(log.begun), log.asked_before, log.begun[0].outcome) == (1, 0, "unknown")
    assert not log.was_over[-1]
    assert ENDS[client] not in log.had[-1]
    assert ENDS[client] in reply.body
    assert log.had[-1], "what comes before the end does not wait"
    same(log.settled[-1], one.record)


def test_a_stream_whose_counts_come_after_its_reason_to_stop_is_noted_with_them() -> None:
    pieces = stream(OPENAI, "Hel", "lo")
    one, reply = gateway([Script(steps=tuple(pieces))]), MemoryReply()
    log = noted(one, reply)
    serve(one, reply=reply, stream_options={"include_usage": True})
    usage = log.settled[-1].usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (11, 7, False)
    same(log.settled[-1], one.record)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI])
def test_a_whole_answers_outcome_is_noted_before_its_status(client: str, spoken: str) -> None:
    one, reply = gateway([answered(spoken, "hi")], spoken=spoken), MemoryReply()
    log = noted(one, reply)
    serve(one, client, reply=reply, stream=False)
    assert (log.had, log.was_over, len(log.begun)) == ([b""], [False], 1)
    same(log.settled[0], one.record)
    assert log.settled[0].cost_picousd == one.record.cost_picousd != None  # noqa: E711  # it has a price


def test_a_refused_request_costs_nothing_and_is_noted_before_it_is_told() -> None:
    one, reply = gateway([]), MemoryReply()
    log = noted(one, reply)
    serve(one, reply=reply, body=b'{"model": "nobody"}')
    assert (log.begun, log.had) == ([], [b""])
    same(log.settled[0], one.record)
    assert log.settled[0].outcome == "model_not_found"


def test_an_error_of_all_targets_is_noted_before_it_is_told() -> None:
    one, reply = gateway([failed(OPENAI, 500, "server")], [failed(OPENAI, 500, "server")]), MemoryReply()
    log = noted(one, reply)
    serve(one, reply=reply, stream=False)
    assert (log.had, len(log.begun), len(one.record.attempts)) == ([b""], 1, 2)
    same(log.settled[-1], one.record)


def test_an_error_in_the_middle_of_a_stream_is_noted_before_its_event() -> None:
    broken = Script(steps=(*stream(OPENAI, "Hel", "lo")[:2], Cut()))
    one, reply = gateway([broken]), MemoryReply()
    log = noted(one, reply)
    serve(one, reply=reply)
    assert b"error" in reply.body
    assert b"error" not in log.had[-1]
    same(log.settled[-1], one.record)


def test_an_error_event_that_is_relayed_is_noted_before_it_goes_out() -> None:
    said = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"no"}}\n\n'
    broken = Script(steps=(*stream(ANTHROPIC, "Hel", "lo")[:4], said))
    one, reply = gateway([broken], spoken=ANTHROPIC), MemoryReply()
    log = noted(one, reply)
    serve(one, ANTHROPIC, reply=reply)
    assert said in reply.body
    assert b"overloaded_error" not in log.had[-1]
    assert log.settled[-1].outcome not in ("ok", "")
    assert one.record.outcome not in ("ok", "")


def test_a_client_that_leaves_at_once_changes_the_outcome_that_was_noted() -> None:
    class Leaves(MemoryReply):
        async def start(self, status: int, headers: Any) -> None:
            await super().start(status, headers)
            task = asyncio.current_task()
            assert task is not None
            self.hang_up(task)
            await asyncio.sleep(0)

    one, reply = gateway([answered(OPENAI, "hi")]), Leaves()
    log = noted(one, reply)

    async def ask() -> None:
        with pytest.raises(asyncio.CancelledError):
            await one.chat(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}', reply=reply)

    run(ask())
    assert log.settled[-1].outcome == "ok"
    assert one.record.outcome == "client_closed"


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC, RESPONSES])
def test_a_stream_that_a_client_may_come_back_to_is_noted_before_it_ends(client: str) -> None:
    one, reply = gateway([streamed(client, "Hel", "lo")], spoken=client, route=ROUTE), MemoryReply()
    log = noted(one, reply)
    serve(one, client, reply=reply)
    assert not log.was_over[-1]
    assert len(reply.body) > len(log.had[-1])
    assert log.settled[-1].outcome == one.record.outcome == "ok"


def test_a_log_that_takes_nothing_may_refuse_and_then_nobody_is_asked() -> None:
    class Refusing(MemoryRequestLog):
        def begin(self, record: Record) -> None:
            raise Capacity("full", code="journal_full")

    one = gateway([answered(OPENAI, "hi")])
    one.log = one.context.log = Refusing()
    reply = serve(one, stream=False)
    assert (reply.status, one.record.outcome, one.upstreams["a"].sent) == (503, "journal_full", [])


def test_the_last_bytes_wait_for_a_log_that_goes_to_the_disk() -> None:
    class Slow(MemoryRequestLog):
        def settle(self, record: Record) -> Any:
            return asyncio.sleep(2.0)

    one, reply = gateway([streamed(OPENAI, "Hel", "lo")]), MemoryReply()
    one.log = one.context.log = Slow()
    serve(one, reply=reply)
    assert reply.pieces[0][0] == 0.0
    assert reply.ended_at_s == 2.0


def budgeted(*units: Unit) -> tuple[NotingLog, Record]:
    """What the log is told of a request whose model has a limit of each of these."""
    script = ScriptedUpstream(streamed(OPENAI, "Hel", "lo"))
    rules = tuple(Rule(unit, "model", unit, "month", 1 << 50) for unit in units)
    plan = snapshot(alias("m", target("a/up")))
    one, reply = MemoryGateway(msgspec.structs.replace(plan, budgets=rules), a=script), MemoryReply()
    log = noted(one, reply)
    serve(one, reply=reply, max_tokens=1000)
    return log, one.record


def test_what_was_set_aside_is_charged_if_the_gateway_ends_and_to_whom() -> None:
    log, record = budgeted("picousd", "tokens")
    (intent,), settled = log.begun, log.settled[-1]
    assert intent.accounts == settled.accounts == record.accounts == ("model:m",)
    assert settled.charged_picousd == record.charged_picousd == record.cost_picousd
    assert intent.charged_picousd > (record.cost_picousd or 0) > 0
    assert (intent.cost_picousd, intent.route) == (None, "m")
    assert intent.usage is not None
    assert intent.usage.estimated
    assert intent.usage.total > 0
    assert charge_of(intent).requests == 1


def test_without_a_limit_of_tokens_an_intent_says_nothing_of_them() -> None:
    log, _ = budgeted("requests")
    assert (log.begun[0].usage, log.begun[0].charged_picousd) == (None, 0)
    assert log.begun[0].accounts == ("model:m",)


def test_the_log_may_do_what_it_likes_with_what_it_is_given() -> None:
    class Spoiling(MemoryRequestLog):
        def begin(self, record: Record) -> None:
            record.requested_model = "x"

        def settle(self, record: Record) -> None:
            for attempt in record.attempts:
                attempt.target = "x"

    one = gateway([failed(OPENAI, 500, "server")], [streamed(OPENAI, "a")])
    one.log = one.context.log = Spoiling()
    serve(one)
    assert one.record.requested_model == "m"
    assert [attempt.target for attempt in one.record.attempts] == ["a/up", "b/up"]


# Raw requests


def passed(script: Script, method: str = "POST", rest: str = "/v1/chat/completions") -> tuple[NotingLog, MemoryReply]:
    plan = snapshot(alias("m", target("up/gpt")))
    one, reply = MemoryGateway(plan, up=ScriptedPassage(script)), MemoryReply()
    log = noted(one, reply)

    async def serve_raw() -> None:
        await serve_passthrough(one.context, one.call(b""), Raw(method, "up", rest), ScriptedBody(), reply)

    run(serve_raw())
    assert (len(log.begun), log.asked_before, len(log.settled)) == (1, 0, 1)
    same(log.settled[0], one.record)
    return log, reply


def test_a_raw_answer_of_known_length_is_noted_before_its_last_byte() -> None:
    log, reply = passed(Script(steps=(b"one", b"two"), headers={"content-length": "6"}))
    assert (log.had, reply.body) == ([b"one"], b"onetwo")


def test_a_raw_answer_of_unknown_length_is_noted_before_its_end() -> None:
    log, _ = passed(Script(steps=(b"one", b"two"), headers={}))
    assert (log.had, log.was_over) == ([b"onetwo"], [False])


def test_a_raw_stream_is_noted_before_its_last_event() -> None:
    log, reply = passed(streamed(OPENAI, "Hel", "lo"))
    assert b"[DONE]" not in log.had[0]
    assert b"[DONE]" in reply.body
    assert log.settled[0].usage is not None


@pytest.mark.parametrize(
    ("method", "script"),
    [
        ("HEAD", Script(headers={"content-length": "9"})),
        ("DELETE", Script(status=204, headers={})),
        ("GET", Script(headers={"content-length": "0"})),
    ],
)
def test_a_raw_answer_without_a_body_is_noted_before_its_status(method: str, script: Script) -> None:
    log, reply = passed(script, method, "/v1/files/1")
    assert (log.was_over, reply.ended_at_s) == ([False], 0.0)
    assert log.settled[0].status == script.status


def test_a_raw_error_is_noted_as_one() -> None:
    log, _ = passed(Script(status=404, steps=(b"{}",), headers=JSON))
    assert log.settled[0].outcome == "not_found"


class NotedSocket(ScriptedSocket):
    """A client's WebSocket that notes what the log knew when it was told goodbye."""

    log: NotingLog
    knew: int | None = None

    async def close(self, code: int, reason: str) -> None:
        self.knew = len(self.log.settled)
        await super().close(code, reason)

    async def refuse(self, status: int, headers: Any, body: bytes) -> None:
        self.knew = len(self.log.settled)
        await super().refuse(status, headers, body)


@pytest.mark.parametrize(
    "provider", [ScriptedSocket("x", Closed(1000)), SocketRefused(403, {}, b"no")], ids=["served", "refused"]
)
def test_a_websocket_is_noted_before_its_goodbye(provider: Any) -> None:
    client = NotedSocket("hello", Closed(1000))
    one = MemoryGateway(snapshot(alias("m", target("up/gpt"))), up=ScriptedPassage(sockets=[provider]))
    client.log = noted(one, MemoryReply())

    async def serve_socket() -> None:
        await serve_tunnel(one.context, one.call(b""), Raw("GET", "up", "/v1/realtime"), (), client)

    run(serve_socket())
    assert (client.knew, len(client.log.begun)) == (1, 1)
    assert client.log.settled[0].outcome == one.record.outcome
