"""Requests that a gateway refuses because it ends: each protocol's error, when to come back, and a record."""

from __future__ import annotations

import json

import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI, gateway

from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.engine.pipeline import refuse
from afterbay.testing.answers import ask
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run


class NoBody:
    """A request without one."""

    is_over = True

    async def read(self) -> bytes:
        return b""


def refused(client: str, body: bytes) -> tuple[MemoryGateway, MemoryReply]:
    async def case() -> tuple[MemoryGateway, MemoryReply]:
        one, reply = gateway([]), MemoryReply()
        await refuse(one.context, one.call(body, client), reply, "chat")
        return one, reply

    return run(case())


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC, GEMINI, "openai.responses"])
def test_a_refused_request_has_its_protocol_s_error_and_its_record(client: str) -> None:
    one, reply = refused(client, ask("m", stream=True))
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert "x-should-retry" not in reply.headers, "trying again is right"
    assert "shutting down" in json.dumps(reply.json["error"])
    assert (one.record.outcome, one.record.status, one.record.attempts) == ("shutting_down", 503, [])
    assert one.record.requested_model == "m"
    assert one.context.fleet._in_flight == 0


def test_what_is_wrong_with_a_refused_request_is_for_the_next_gateway_to_say() -> None:
    for body in (b"", b"{", b"[]", b'{"model": 7}'):
        one, reply = refused(OPENAI, body)
        assert (reply.status, one.record.outcome) == (503, "shutting_down")


def test_raw_requests_are_refused_before_anybody_is_asked() -> None:
    async def case() -> tuple[MemoryGateway, MemoryReply]:
        one, reply = gateway([]), MemoryReply()
        one.context.drain.close()
        call = one.call(b"", OPENAI, path="/passthrough/a/v1/x")
        await serve_passthrough(one.context, call, Raw("POST", "a", "/v1/x"), NoBody(), reply)
        return one, reply

    one, reply = run(case())
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    assert (one.record.outcome, one.record.attempts) == ("shutting_down", [])
