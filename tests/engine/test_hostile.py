"""What clients and providers may send to hurt: it reaches no other host, costs no more than it should, is no 500."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from afterbay.core.usage import Usage
from afterbay.engine.pipeline import MODEL_CHARS
from afterbay.testing.answers import JSON, answered, ask, failed, streamed
from afterbay.testing.fakes import Hang, MemoryReply, Script
from afterbay.testing.virtual_loop import run
from engine.cases import ANTHROPIC, CLIENTS, OPENAI, PAIRS, gateway, is_clean, serve

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def asks_for(schema: object) -> dict[str, object]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


@pytest.mark.parametrize("keyword", ["$ref", "$schema", "$dynamicRef"])
def test_a_client_s_schema_makes_the_gateway_fetch_nothing(keyword: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0.05)
        url = f"http://127.0.0.1:{inner.getsockname()[1]}/latest/meta-data"
        one = gateway([answered(OPENAI, '{"n": 1}')])
        reply = serve(one, stream=False, **asks_for({keyword: url}))
        with pytest.raises(TimeoutError):
            inner.accept()
    assert (reply.status, one.record.outcome) == (200, "ok")


def test_a_client_s_schema_reads_no_file() -> None:
    one = gateway([answered(OPENAI, '"x"')])
    reply = serve(one, stream=False, **asks_for({"$ref": "file:///etc/hostname"}))
    assert b"hostname" not in reply.body
    assert one.record.attempts[0].outcome == "ok"


@pytest.mark.parametrize("pattern", ["^(a|aa)+$", "^(a+)+$", r"^(a+)\1+b$", "(a{1000}){1000}"])
def test_a_client_s_pattern_takes_no_time(pattern: str) -> None:
    one = gateway([answered(OPENAI, json.dumps("a" * 5000 + "!"))])
    began_s = time.perf_counter()
    serve(one, stream=False, **asks_for({"type": "string", "pattern": pattern}))
    assert time.perf_counter() - began_s < 1


@pytest.mark.parametrize("operation", ["chat", "embeddings", "count_tokens"])
@pytest.mark.parametrize("field", ["messages", "metadata", "unknown", "model", "input", "tools"])
def test_a_request_nested_too_deeply_is_the_client_s_mistake(operation: str, field: str) -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC)
    body = ask("m").replace(b'"model":"m"', b'"model":"m","%b":%b' % (field.encode(), DEEP))
    reply = serve(one, ANTHROPIC if operation == "count_tokens" else OPENAI, body=body, operation=operation)
    assert reply.status == 400
    assert one.record.outcome != "internal_error"


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_nested_too_deeply_is_the_provider_s_mistake(
    client: str, spoken: str, streams: bool, status: int
) -> None:
    sse = streams and status == 200
    bad = Script(steps=(b"data: " + DEEP + b"\n\n",)) if sse else Script(steps=(DEEP,), status=status, headers=JSON)
    one = gateway([bad], spoken=spoken)
    reply = serve(one, client, stream=streams)
    assert reply.status == (400 if status == 400 else 500 if status == 500 else 502)
    assert one.record.outcome != "internal_error"


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_nested_too_deeply_does_not_pass_validation(client: str) -> None:
    one = gateway([answered(client, DEEP.decode())], [answered(client, "{}")], spoken=client)
    wanted = asks_for({}) if client == OPENAI else {"output_config": {"format": {"type": "json_schema", "schema": {}}}}
    serve(one, client, stream=False, **wanted)
    assert [each.outcome for each in one.record.attempts] == ["invalid", "ok"]


@pytest.mark.parametrize("operation", ["chat", "embeddings", "count_tokens"])
def test_a_model_name_of_a_megabyte_is_refused_and_not_kept(operation: str) -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC)
    body = ask("a/" + "x" * 1_000_000, input="x")
    reply = serve(one, ANTHROPIC if operation == "count_tokens" else OPENAI, body=body, operation=operation)
    assert reply.status == 400
    assert len(reply.body) + len(json.dumps(reply.headers)) < 3000
    assert len(one.record.requested_model) <= MODEL_CHARS
    assert one.context.fleet.direct("a", "y") is not None


@pytest.mark.parametrize("name", ["a\r\nx-evil: 1", "a\0b", "\x1b[31m", "é\u2028", "auto\r", "<script>"])
def test_a_model_name_breaks_neither_header_nor_log_line(name: str) -> None:
    plan = gateway([answered(OPENAI, "hi")] * 2)
    for model in (name, f"a/{name}"):
        reply = MemoryReply()
        run(plan.chat(ask(model), reply=reply))
        for key, value in reply.headers.items():
            assert value.isascii(), key
            assert value.isprintable(), key


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("tokens", [-5, 10**9, 10**30])  # some parsers make 0 of what is negative
def test_a_usage_that_cannot_be_is_estimated(client: str, spoken: str, streams: bool, tokens: int) -> None:
    usage = Usage(input_tokens=tokens, output_tokens=1)
    script = streamed(spoken, "hello", usage=usage) if streams else answered(spoken, "hello", usage)
    one = gateway([script], spoken=spoken)
    reply = serve(one, client, stream=streams)
    assert one.record.usage is not None
    assert one.record.usage.is_plausible
    assert 0 <= (one.record.cost_picousd or 0) < 10**9
    if client != spoken:
        assert str(tokens).encode() not in reply.body, "nor is it told"
    if tokens > 0:
        assert one.record.usage.estimated
        assert any("token counts" in warning for warning in one.record.warnings)


@pytest.mark.parametrize("body", [b"<html>a proxy</html>", b"\x1f\x8b\x08\x00junk", b"", b'"text"', b"[1]"])
def test_a_relay_passes_on_no_error_that_is_not_a_json_object(body: bytes) -> None:
    one = gateway([Script(steps=(body,), status=400, headers=JSON)])
    reply = serve(one, stream=False)
    assert reply.status == 400
    assert isinstance(json.loads(reply.body)["error"]["message"], str)


@pytest.mark.parametrize("wish", ["inf", "nan", "1e300", "-1", "-inf", "99999999", "soon"])
@pytest.mark.parametrize("targets", [1, 2])
def test_an_absurd_retry_after_is_clamped(wish: str, targets: int) -> None:
    one = gateway(*([failed(OPENAI, 429, "rate_limit", retry_after=wish)] * 3 for _ in range(targets)))
    reply = serve(one, stream=False)
    assert reply.status in (429, 503)
    assert 0 <= int(reply.headers.get("retry-after", 0)) <= 300
    assert one.record.outcome != "internal_error"


def test_clients_cannot_fill_the_memory_with_targets_that_cool() -> None:
    fleet = gateway([]).context.fleet
    for number in range(20_000):
        fleet.cool(f"a/{number}", 5.0)
    assert len(fleet.cooling) <= 4096
    assert "a/19999" in fleet.cooling


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("begun", [True, False])
def test_a_stream_that_outlives_the_gateway_ends_in_an_error(client: str, spoken: str, begun: bool) -> None:
    one = gateway([Script(steps=(*streamed(spoken, *"abcdef").steps[: 3 if begun else 0], Hang()))], spoken=spoken)
    reply = MemoryReply(gone=False)

    async def ended() -> None:
        task = asyncio.create_task(one.chat(ask("m", stream=True), client, reply=reply))
        await asyncio.sleep(1)
        task.cancel("graceful time is over")
        await task

    run(ended())
    assert b"shutting down" in reply.body
    assert reply.ended_at_s is not None
    assert not is_clean(reply.body, client)
    assert one.record.outcome == "shutting_down"
    assert one.upstreams["a"].open == 0


TOOL = b'"tools":[{"name":"f","input_schema":{"type":"object","properties":{"\xff":{}}}}]'


@pytest.mark.parametrize(
    ("spoken", "operation"),
    [(OPENAI, "chat"), ("openai.responses", "chat"), ("openai.responses", "count_tokens")],
)
def test_a_schema_that_is_no_unicode_is_the_client_s_mistake(spoken: str, operation: str) -> None:
    one = gateway([answered(spoken, "hi")] * 2, spoken=spoken)
    body = ask("m").replace(b'"messages"', TOOL.replace(b'"type":"object",', b"") + b',"messages"')
    reply = serve(one, ANTHROPIC, body=body, operation=operation)
    assert (reply.status, one.record.outcome) == (400, "invalid_json")


def test_arguments_of_a_call_that_are_no_unicode_are_the_client_s_mistake() -> None:
    one = gateway([answered(OPENAI, "hi")])
    call = b'{"type":"tool_use","id":"c","name":"f","input":{"a":"\xed\xa0\x80"}}'
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[%b]}]}' % call
    assert (serve(one, ANTHROPIC, body=body).status, one.record.outcome) == (400, "invalid_json")


@pytest.mark.parametrize("kind", [[], {}, [1]])
def test_a_part_s_type_that_is_no_text_is_the_client_s_mistake(kind: object) -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [{"type": kind, "text": "x"}]}]}).encode()
    assert (serve(one, body=body).status, one.record.outcome) == (400, "invalid_type")


@pytest.mark.parametrize("schema", [b"[]", b'"x"', b"1"])
def test_a_gemini_schema_that_is_no_object_is_the_client_s_mistake(schema: bytes) -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC)
    declared = b'{"functionDeclarations":[{"name":"f","parametersJsonSchema":%b}]}' % schema
    body = b'{"contents":[{"parts":[{"text":"x"}]}],"tools":[%b]}' % declared
    reply = run(one.chat(body, "gemini", path="/v1beta/models/m:generateContent"))
    assert reply.status == 400
