"""Providers that refuse, break, or answer badly: who is tried next, and what the client is told."""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any

import msgspec
import pytest
from tests.engine.cases import (
    ANTHROPIC,
    BEDROCK,
    CLIENTS,
    GEMINI,
    LIMITS,
    OPENAI,
    PAIRS,
    TARGETS,
    error,
    gateway,
    is_clean,
    serve,
    text,
)

from afterbay.policy.plan import Limits, Route
from afterbay.testing.answers import JSON, answered, failed, stream, streamed
from afterbay.testing.fakes import Cut, Script, Step, Wait
from afterbay.wire import aws_stream

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def wants_schema(client: str) -> dict[str, Any]:
    """The fields that ask for JSON of `SCHEMA`."""
    if client == OPENAI:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}
    return {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_server_error_is_answered_by_the_next_target(client: str, spoken: str) -> None:
    one = gateway([failed(spoken, 500, "server")], [streamed(spoken, "hi")], spoken=spoken)
    reply = serve(one, client)
    assert text(reply.body, client) == "hi"
    assert reply.headers["x-afterbay-attempts"] == "2"
    record = one.record
    assert [(each.target, each.why, each.outcome, each.status) for each in record.attempts] == [
        ("a/up", "primary", "error", 500),
        ("b/up", "fallback", "ok", 200),
    ]
    assert (record.provider, record.outcome, record.cost_picousd) == ("b", "ok", 25_000_000)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (Script(refused="no connection: refused"), "connection"),
        (Script(connect_takes_s=9.0), "connection"),
        (Script(dies_before_headers="the connection broke: reset"), "connection"),
        (Script(steps=(Cut(),)), "cut"),
        (Script(), "cut"),
        (Script(steps=(b"<html>please log in</html>",), headers={"content-type": "text/html"}), "cut"),
        (Script(steps=(b"<html>please log in</html>",), headers=JSON), "error"),
        (Script(steps=(b"",), status=204), "error"),
        (Script(status=302, headers={"location": "http://evil"}), "error"),
        (Script(steps=(b"{}",), headers=JSON), "error"),
        (Script(steps=(b'{"error": {"message": "busy", "type": "server_error"}}',), headers=JSON), "error"),
        (Script(steps=(b'{"error"', Cut()), status=500, headers=JSON), "cut"),
    ],
)
def test_any_broken_answer_before_the_commit_is_invisible(script: Script, outcome: str) -> None:
    one = gateway([script], [streamed(OPENAI, "hi")])
    reply = serve(one)
    assert reply.body == b"".join(stream(OPENAI, "hi"))
    assert [each.outcome for each in one.record.attempts] == [outcome, "ok"]


def test_a_slow_connection_is_given_up_after_the_time_to_connect() -> None:
    one = gateway([Script(connect_takes_s=9.0)], [streamed(OPENAI, "hi")])
    serve(one)
    assert one.upstreams["b"].sent[0].at_s == LIMITS.connect_s


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_wrong_request_is_not_tried_again_and_the_providers_words_pass(client: str, streams: bool) -> None:
    script = failed(client, 400, "invalid_request", "max_tokens: too many")
    one = gateway([script], [], spoken=client)
    reply = serve(one, client, stream=streams)
    assert (reply.status, reply.body) == (400, script.steps[0])
    assert one.record.outcome in ("invalid_request", "invalid_request_error")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("client", "spoken"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_a_wrong_request_of_another_protocol_is_told_in_the_clients_own(client: str, spoken: str) -> None:
    one = gateway([failed(spoken, 400, "invalid_request", "too many tokens")], [], spoken=spoken)
    reply = serve(one, client)
    assert reply.status == 400
    told: Any = reply.json["error"]
    assert "too many tokens" in told["message"]
    assert told["type"] == "invalid_request_error"


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_ours_to_mend_and_their_text_stays_here(client: str, spoken: str, status: int) -> None:
    kind: Any = "authentication" if status == 401 else "permission"
    one = gateway([failed(spoken, status, kind, "bad key sk-secret")], spoken=spoken)
    reply = serve(one, client)
    assert reply.status == 502
    assert b"sk-secret" not in reply.body
    assert one.record.outcome == "upstream_authentication"


def test_all_targets_failed_is_one_error_that_names_them() -> None:
    one = gateway([failed(OPENAI, 500, "server", "secret text")], [Script(refused="no connection")])
    reply = serve(one)
    assert (reply.status, one.record.outcome) == (502, "all_targets_failed")
    assert b"a/up: error; b/up: connection" in reply.body
    assert b"secret text" not in reply.body
    assert reply.headers["x-should-retry"] == "false"
    assert one.record.cost_picousd == 0


def test_all_targets_busy_is_503() -> None:
    one = gateway([failed(OPENAI, 429, "rate_limit")], [failed(OPENAI, 429, "rate_limit")])
    assert serve(one).status == 503


@pytest.mark.parametrize(("status", "shown"), [(402, 402), (404, 404), (413, 413), (500, 500), (503, 503), (529, 529)])
def test_one_target_keeps_its_own_status(status: int, shown: int) -> None:
    one = gateway([failed(OPENAI, status, "server")])
    assert serve(one).status == shown


@pytest.mark.parametrize("client", CLIENTS)
def test_the_only_target_is_waited_for_as_long_as_it_asks(client: str) -> None:
    one = gateway([failed(client, 429, "rate_limit", retry_after="4"), streamed(client, "hi")], spoken=client)
    reply = serve(one, client)
    assert text(reply.body, client) == "hi"
    first, second = (sent.at_s for sent in one.upstreams["a"].sent)
    assert first == 0.0
    assert 4.0 <= second <= 4.25, "never earlier, and not all at once"
    assert [each.why for each in one.record.attempts] == ["primary", "retry"]


def test_nobody_waits_where_another_target_can_answer() -> None:
    one = gateway([failed(OPENAI, 429, "rate_limit", retry_after="4")], [streamed(OPENAI, "hi")])
    serve(one)
    assert one.record.duration_s == 0.0
    assert one.context.fleet.cooling == {"a/up": 4.0}


@pytest.mark.parametrize(
    ("said", "shown", "cooling"), [("1e9", "300", 300.0), ("inf", "300", 300.0), ("250", "250", 250.0)]
)
def test_a_retry_after_beyond_reason_is_cut_to_the_longest_believed(said: str, shown: str, cooling: float) -> None:
    one = gateway([failed(OPENAI, 429, "rate_limit", retry_after=said)])
    reply = serve(one)
    assert (reply.status, reply.headers["retry-after"]) == (429, shown)
    assert one.context.fleet.cooling == {"a/up": cooling}


@pytest.mark.parametrize("said", ["nan", "-5", "soon"])
def test_a_retry_after_that_means_nothing_breaks_nothing(said: str) -> None:
    scripts = [failed(OPENAI, 429, "rate_limit", retry_after=said)] * 5
    reply = serve(gateway(scripts))
    assert reply.status in (429, 503)


def test_a_starting_target_is_waited_for() -> None:
    one = gateway([Script(refused="it starts", starting_s=3.0), streamed(OPENAI, "hi")])
    assert text(serve(one).body, OPENAI) == "hi"
    assert 3.0 <= one.upstreams["a"].sent[1].at_s <= 3.25


def test_max_attempts_holds() -> None:
    limits = Limits(first_token_s=20.0, max_attempts=2)
    one = gateway([failed(OPENAI, 500, "server")], [failed(OPENAI, 500, "server")], [], limits=limits)
    assert serve(one).status == 502
    assert len(one.record.attempts) == 2


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_cut_after_the_commit_is_an_error_event_and_never_a_clean_end(client: str, spoken: str) -> None:
    pieces = stream(spoken, "Hey", "zwo", " you")
    until = next(at for at in range(len(pieces)) if b"zwo" in pieces[at])
    for end in (Cut(), b""):
        one = gateway([Script(steps=(*pieces[: until + 1], end))], [], spoken=spoken)
        reply = serve(one, client)
        assert error(reply.body)["message"]
        assert not is_clean(reply.body, client)
        assert text(reply.body.rsplit(b"data: ", 1)[0], client) == "Heyzwo"
        assert (one.record.outcome, one.record.status, one.record.attempts[0].outcome) == ("cut", 200, "cut")
        assert one.record.usage is not None
        assert one.record.usage.estimated or spoken != OPENAI
        assert reply.ended_at_s is not None


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_a_cut_before_the_commit_is_invisible(client: str, spoken: str) -> None:
    one = gateway([Script(steps=(b": hello\n\n", Cut()))], [streamed(spoken, "hi")], spoken=spoken)
    assert text(serve(one, client).body, client) == "hi"


IN_STREAM = {
    OPENAI: b'data: {"error":{"message":"it broke","type":"server_error","code":500}}\n\n',
    "anthropic.messages": (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"it broke"}}\n\n'
    ),
    GEMINI: b'data: {"error":{"code":503,"message":"it broke","status":"UNAVAILABLE"}}\n\n',
    BEDROCK: aws_stream.exception("serviceUnavailableException", b'{"message":"it broke"}'),
}


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_an_error_in_a_stream_before_output_leads_to_the_next_target(client: str, spoken: str) -> None:
    one = gateway([Script(steps=(IN_STREAM[spoken],))], [streamed(spoken, "hi")], spoken=spoken)
    assert text(serve(one, client).body, client) == "hi"
    assert [each.outcome for each in one.record.attempts] == ["error", "ok"]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("together", [True, False])
def test_an_error_in_a_stream_after_output_ends_it_once(client: str, spoken: str, together: bool) -> None:
    pieces = stream(spoken, "Hel")
    said = list(pieces[: 1 + next(at for at in range(len(pieces)) if b"Hel" in pieces[at])])
    steps: tuple[Step, ...] = (
        (b"".join(said) + IN_STREAM[spoken],) if together else (*said, IN_STREAM[spoken], Wait(1.0))
    )
    one = gateway([Script(steps=steps)], [], spoken=spoken)
    reply = serve(one, client)
    assert "it broke" in error(reply.body)["message"]
    assert reply.body.count(b"it broke") == 1
    assert not is_clean(reply.body, client)
    assert reply.ended_at_s is not None


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("streams", [True, False])
def test_an_empty_answer_leads_to_the_next_target(client: str, spoken: str, streams: bool) -> None:
    empty = streamed(spoken) if streams else answered(spoken, "")
    good = streamed(spoken, "hi") if streams else answered(spoken, "hi")
    one = gateway([empty], [good], spoken=spoken)
    assert b"hi" in serve(one, client, stream=streams).body
    assert [each.outcome for each in one.record.attempts] == ["empty", "ok"]
    assert one.record.cost_picousd is not None


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("streams", [True, False])
def test_an_empty_answer_is_delivered_for_want_of_a_better_one(client: str, spoken: str, streams: bool) -> None:
    empty = streamed(spoken) if streams else answered(spoken, "")
    one = gateway([empty], [failed(spoken, 500, "server")], spoken=spoken)
    reply = serve(one, client, stream=streams)
    assert (reply.status, one.record.outcome, one.record.provider) == (200, "ok", "a")
    assert "did not pass validation" in reply.headers["x-afterbay-warnings"]
    if streams:
        assert is_clean(reply.body, client)
        assert text(reply.body, client) == ""


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
@pytest.mark.parametrize("bad", ["no JSON", '{"n": "one"}'])
def test_an_answer_that_misses_the_schema_leads_to_the_next_target(client: str, spoken: str, bad: str) -> None:
    one = gateway([answered(spoken, bad)], [answered(spoken, '{"n": 1}')], spoken=spoken)
    reply = serve(one, client, stream=False, **wants_schema(client))
    assert b'{\\"n\\": 1}' in reply.body
    first = one.record.attempts[0]
    assert (first.outcome, first.cost_picousd) == ("invalid", 25_000_000)
    assert one.record.cost_picousd == 50_000_000
    assert one.record.usage is not None
    assert one.record.usage.output_tokens == 14


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_misses_the_schema_is_delivered_for_want_of_a_better_one(client: str) -> None:
    one = gateway([answered(client, "no JSON")], [answered(client, "")], [failed(client, 500, "server")], spoken=client)
    reply = serve(one, client, stream=False, **wants_schema(client))
    assert b"no JSON" in reply.body
    assert (one.record.provider, one.record.outcome, one.record.status) == ("a", "ok", 200)
    assert one.record.warnings == ["the answer did not pass validation, and no other target gave a better one"]


def test_a_route_that_does_not_validate_takes_every_answer() -> None:
    one = gateway([answered(OPENAI, "no JSON")], [], route=Route("d", stages=frozenset()))
    assert b"no JSON" in serve(one, stream=False, **wants_schema(OPENAI)).body


def test_json_without_a_schema_must_be_json() -> None:
    one = gateway([answered(OPENAI, "no")], [answered(OPENAI, "[1]")])
    assert b"[1]" in serve(one, stream=False, response_format={"type": "json_object"}).body


def test_a_schema_that_is_none_is_not_judged() -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": 7}}}
    one = gateway([answered(OPENAI, "[1]")])
    assert b"[1]" in serve(one, stream=False, response_format=wish).body


def test_an_answer_that_would_take_long_to_hold_against_its_schema_is_not_judged() -> None:
    """A union that refers to itself doubles with every level of the answer."""
    tree = {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}], "not": {}}
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": tree}}
    deep = '{"a":' * 40 + "1" + "}" * 40
    one = gateway([answered(OPENAI, deep)])
    before = perf_counter()
    assert serve(one, stream=False, response_format=wish).status == 200
    assert perf_counter() - before < 5


@pytest.mark.parametrize("size", [1, 20_000])
def test_of_a_long_answer_only_yes_or_no_is_asked(size: int) -> None:
    wish = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"items": {"const": "wrong"}}}}
    one = gateway([answered(OPENAI, json.dumps(["x"] * size))], [answered(OPENAI, '["wrong"]')])
    assert serve(one, stream=False, response_format=wish).status == 200
    told = one.record.attempts[0].error or ""
    assert told.startswith("the answer does not fit the schema")
    assert ("wrong" in told) is (size == 1)


@pytest.mark.parametrize("listed", [True, False])
def test_a_refusal_leads_on_only_where_the_route_says_so(listed: bool) -> None:
    on: Any = {"error"} | ({"refusal"} if listed else set())
    refusal = answered(OPENAI, "no", finish="content_filter")
    one = gateway([refusal], [answered(OPENAI, "yes")], route=Route("d", fallback_on=frozenset(on)))
    assert ("yes" if listed else "no") in serve(one, stream=False).body.decode()


def test_a_failed_generation_is_not_an_answer() -> None:
    odd = answered(OPENAI, "half").steps[0].replace(b'"stop"', b'"error"')  # type: ignore[union-attr]
    one = gateway([Script(steps=(odd,), headers=JSON)], [answered(OPENAI, "whole")])
    assert b"whole" in serve(one, stream=False).body
    assert one.record.attempts[0].outcome == "invalid"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model": 5}', b'{"messages": []}', b'{"model": "m", "stream": 1}', b"\xff"]
)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_body_that_is_no_request_is_the_clients_mistake(body: bytes, client: str) -> None:
    one = gateway([], spoken=client)
    from afterbay.testing.virtual_loop import run

    reply = run(one.chat(body, client))
    assert reply.status == 400
    assert "error" in reply.json
    assert (one.record.status, one.record.attempts) == (400, [])


def test_an_unknown_model_is_told_with_the_nearest_names() -> None:
    reply = serve(gateway([]), body=msgspec.json.encode({"model": "n", "messages": []}))
    assert reply.status == 404
    assert b"nearest names are: m" in reply.body


def test_a_fault_of_the_gateway_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    one = gateway([])  # its provider expects no request at all
    reply = serve(one)
    assert (reply.status, one.record.outcome) == (500, "internal_error")
    assert "was not expected" not in reply.body.decode()
    assert "failed by a fault of the gateway" in caplog.text
    assert one.record.attempts[0].outcome == "error"


@pytest.mark.parametrize("spoken", TARGETS)
def test_what_was_sent_is_the_targets_protocol(spoken: str) -> None:
    one = gateway([streamed(spoken, "hi")], spoken=spoken)
    serve(one)
    sent = one.upstreams["a"].sent[0]
    assert ("contents" if spoken == GEMINI else "messages") in sent.json
    assert sent.is_read_up


def test_a_body_that_no_target_can_be_sent_says_what_is_wrong_with_it() -> None:
    one = gateway([answered(OPENAI, "hi")])
    reply = serve(one, ANTHROPIC, body=b'{"model": "m", "max_tokens": 5}')
    told = msgspec.json.decode(reply.body)["error"]
    assert (reply.status, told["message"]) == (400, "The field 'messages' is missing. Add it and send again.")
