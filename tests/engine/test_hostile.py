"""What clients and providers may send to hurt: it reaches no other host, costs no more than it should, is no 500."""

from __future__ import annotations

import json
import socket
import time

import pytest

from afterbay.testing.answers import JSON, answered, ask
from afterbay.testing.fakes import Script
from engine.cases import ANTHROPIC, CLIENTS, OPENAI, PAIRS, gateway, serve

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
