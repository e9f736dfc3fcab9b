"""Answers whose provider counted nothing: the client gets the gateway's estimate, and is told that it is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, BEDROCK, GEMINI, OPENAI, gateway, serve

from afterbay.core.event import TextDelta, UsageSeen, fold
from afterbay.core.usage import Usage
from afterbay.engine.meter import Meter
from afterbay.policy.plan import Route
from afterbay.testing.answers import answered, ask, streamed
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.grammar import violations
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import Splitter

RESPONSES = "openai.responses"
CLIENTS = (OPENAI, ANTHROPIC, GEMINI, RESPONSES)
SPOKEN = (OPENAI, GEMINI, RESPONSES)
"""Protocols whose answers may come without usage."""
CROSS = [(client, spoken) for client in CLIENTS for spoken in SPOKEN if client != spoken]
TEXT = "The capital of Switzerland is Bern, on the river Aare."
WARNING = "estimated: the provider told no token counts"


def asked(one: MemoryGateway, client: str, *, stream: bool) -> MemoryReply:
    path = f"/v1beta/models/m:{'streamGenerateContent' if stream else 'generateContent'}" if client == GEMINI else ""
    body: Any = {
        OPENAI: json.loads(ask("m", stream=stream, stream_options={"include_usage": True})),
        ANTHROPIC: json.loads(ask("m", stream=stream)),
        GEMINI: {"contents": [{"parts": [{"text": "hello"}]}]},
        RESPONSES: {"model": "m", "input": "hello", "stream": stream},
    }[client]
    query = "alt=sse" if client == GEMINI and stream else ""
    return run(one.chat(json.dumps(body).encode(), client, path=path, query=query))


def told(reply: MemoryReply, client: str, *, stream: bool) -> tuple[Usage, dict[str, Any]]:
    """The client's usage, and the note beside it."""
    dialect = DIALECTS[client]
    if not stream:
        note: dict[str, Any] = reply.json["afterbay"]  # type: ignore[assignment]
        usage = fold(dialect.parse_answer(reply.body, "s")).usage
    else:
        assert violations(client, reply.body) == []
        parser, out = dialect.stream_parser("s"), []
        said = Splitter().feed(reply.body)[1]
        for name, data in said:
            parser.push(name, data, out)
        usage = [event.usage for event in out if isinstance(event, UsageSeen)][-1]
        (note,) = [n for _, data in said if b'"afterbay"' in data for n in [_note(json.loads(data))]]
    assert usage is not None
    return usage, note


def _note(event: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = event.get("afterbay") or event["response"]["afterbay"]
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "spoken"), CROSS)
def test_the_usage_is_the_estimate_and_is_marked(client: str, spoken: str, stream: bool) -> None:
    script = streamed(spoken, TEXT[:9], TEXT[9:], usage=None) if stream else answered(spoken, TEXT, usage=None)
    one = gateway([script], spoken=spoken)
    reply = asked(one, client, stream=stream)
    usage, note = told(reply, client, stream=stream)
    recorded = one.record.usage
    assert recorded is not None
    assert recorded.estimated
    assert (usage.total_input, usage.total_output) == (recorded.total_input, recorded.total_output)
    assert usage.total_output > 5
    assert note["usage_estimated"] is True
    assert one.record.warnings.count(WARNING) == 1
    assert (WARNING in reply.headers.get("x-afterbay-warnings", "")) is not stream


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spoken", [*SPOKEN[1:], ANTHROPIC, BEDROCK])
def test_a_provider_that_counts_is_believed(spoken: str, stream: bool) -> None:
    one = gateway([(streamed if stream else answered)(spoken, TEXT)], spoken=spoken)
    usage, note = told(asked(one, OPENAI, stream=stream), OPENAI, stream=stream)
    assert usage == Usage(11, 0, 0, 7)
    assert "usage_estimated" not in note
    assert one.record.warnings == []


def test_a_count_that_cannot_be_is_told_as_such_and_replaced() -> None:
    one = gateway([streamed(GEMINI, TEXT, usage=Usage(11, output_tokens=10**12))], spoken=GEMINI)
    usage, note = told(asked(one, OPENAI, stream=True), OPENAI, stream=True)
    assert 5 < usage.total_output < 100
    assert note["usage_estimated"] is True
    assert one.record.warnings == ["estimated: the provider's token counts cannot be right"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_relayed_answer_is_left_as_it_came(stream: bool) -> None:
    script = streamed(OPENAI, TEXT, usage=None) if stream else answered(OPENAI, TEXT, usage=None)
    one = gateway([script], spoken=OPENAI)
    reply = asked(one, OPENAI, stream=stream)
    assert reply.body == b"".join(step for step in script.steps if isinstance(step, bytes))
    assert one.record.usage is not None
    assert one.record.usage.estimated


def test_an_answer_without_output_has_no_usage() -> None:
    one = gateway([streamed(GEMINI, usage=None)], spoken=GEMINI, route=Route("d"))
    reply = serve(one, OPENAI, stream_options={"include_usage": True})
    assert b"usage_estimated" not in reply.body


def test_an_output_that_was_never_counted_is_estimated_beside_the_input_that_was() -> None:
    one = Meter()
    one.see([UsageSeen(Usage(input_tokens=12)), TextDelta("ten words of text are said here, about ten or so")])
    counted = one.counted()
    assert counted is not None
    assert (counted.input_tokens, counted.estimated) == (12, True)
    assert counted.output_tokens > 5
    one.see([UsageSeen(Usage(input_tokens=12, output_tokens=9))])
    assert one.counted() == Usage(input_tokens=12, output_tokens=9)
