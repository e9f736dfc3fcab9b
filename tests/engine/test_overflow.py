"""A history that does not fit a window: what its provider is sent, what the client is told, who else is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, BEDROCK, GEMINI, LIMITS, OPENAI, check, gateway, serve, text

from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.policy.plan import Overflow, Route
from afterbay.testing.answers import answered, failed, streamed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

RESPONSES, COHERE = "openai.responses", "cohere.chat"
SPOKEN = (OPENAI, ANTHROPIC, GEMINI, BEDROCK, COHERE, RESPONSES)
CLIENTS = (OPENAI, ANTHROPIC, GEMINI, RESPONSES)
PATHS = {GEMINI: "/v1beta/models/m:generateContent", RESPONSES: "/v1/responses"}
WINDOW = 4_000
"""Of the targets: an answer of usual length takes a quarter, a fifth is added to what is read."""


def turns(count: int, words: int = 100) -> tuple[Message, ...]:
    """Instructions, a talk of so many turns, each about 285 tokens, and a last question."""
    said = [
        Message(role, (Text(f"{role}-{number} " + "word " * words),))
        for number in range(count)
        for role in ("user", "assistant")
    ]
    return (Message("system", (Text("Be brief."),)), *said, Message("user", (Text("and now?"),)))  # type: ignore[arg-type]


def body(client: str, messages: tuple[Message, ...], **fields: Any) -> bytes:
    """A request in the client's own protocol."""
    written = json.loads(DIALECTS[client].build_request(ChatRequest("m", messages), "m").body)
    return json.dumps(written | ({"store": False} if client == RESPONSES else {}) | fields).encode()


def trimming(mode: Overflow = "trim_oldest", **fields: Any) -> Route:
    return Route("defaults", overflow=mode, **fields)


def request(one: MemoryGateway, client: str = OPENAI, **fields: Any) -> MemoryReply:
    sent = fields.pop("body", None) or body(client, fields.pop("messages", turns(20)), **fields)
    operation = "responses" if client == RESPONSES else "chat"
    reply = run(one.chat(sent, client, path=PATHS.get(client, ""), operation=operation))
    check(one)
    return reply


def sent(one: MemoryGateway, name: str = "a", at: int = 0) -> bytes:
    upstream: ScriptedUpstream = one.upstreams[name]
    return upstream.sent[at].body


def questions(raw: bytes) -> list[int]:
    """The numbers of the questions in a body."""
    return [number for number in range(100) if b"user-%d " % number in raw]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("spoken", SPOKEN)
def test_every_protocol_gets_what_fits_its_window_and_every_client_is_told(client: str, spoken: str) -> None:
    one = gateway([answered(spoken, "hi")], spoken=spoken, route=trimming(), context_tokens=WINDOW)
    reply = request(one, client)
    assert reply.status == 200
    raw = sent(one)
    kept = questions(raw)
    assert kept == list(range(kept[0], 20))
    assert 4 <= len(kept) < 12
    assert b"Be brief." in raw
    assert b"and now?" in raw
    told = reply.headers["x-afterbay-warnings"]
    assert f"too long for a/up: {2 * kept[0]} messages (about " in told
    assert "left out from 2" in told
    assert told == "; ".join(one.record.warnings)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_the_answer_to_a_shortened_request_is_relayed(client: str, stream: bool) -> None:
    script = (streamed if stream else answered)(client, "hi")
    one = gateway([script], spoken=client, route=trimming("middle_out"), context_tokens=WINDOW)
    reply = serve(one, client, body=body(client, turns(20), stream=stream))
    assert reply.status == 200
    kept = questions(sent(one))
    assert kept[:1] == [0]
    assert kept[-1] == 19
    assert (text(reply.body, client) == "hi") if stream else (b"hi" in reply.body)
    assert (b'"usage":{' in reply.body.replace(b" ", b"")) is (client == ANTHROPIC or not stream)


def test_what_fits_goes_as_it_came_byte_for_byte() -> None:
    one = gateway([answered(OPENAI, "hi")], route=trimming(), context_tokens=WINDOW)
    raw = body(OPENAI, turns(5), model="up", odd={"a": 1})
    reply = run(one.chat(raw.replace(b'"up"', b'"m" '), OPENAI))
    assert reply.status == 200
    assert sent(one) == raw.replace(b'"up"', b'"up" ')
    assert "x-afterbay-warnings" not in reply.headers


def test_a_route_that_says_nothing_sends_everything() -> None:
    one = gateway([answered(OPENAI, "hi")], context_tokens=WINDOW)
    assert request(one).status == 200
    assert questions(sent(one)) == list(range(20))


def test_each_target_gets_what_its_own_window_holds() -> None:
    first = target("a/up", context_tokens=WINDOW, priority=0)
    second = target("b/up", ANTHROPIC, context_tokens=2 * WINDOW, priority=1)
    third = target("c/up", priority=2, context_tokens=100_000)
    one = MemoryGateway(
        snapshot(alias("m", first, second, third), defaults=trimming()),
        a=ScriptedUpstream(failed(OPENAI, 500, "server")),
        b=ScriptedUpstream(failed(ANTHROPIC, 500, "server")),
        c=ScriptedUpstream(answered(OPENAI, "hi")),
    )
    reply = request(one, messages=turns(30))
    assert reply.status == 200
    kept = [len(questions(sent(one, name))) for name in "abc"]
    assert kept[0] < kept[1] < kept[2] == 30
    told = reply.headers["x-afterbay-warnings"]
    assert "too long for a/up" in told
    assert "too long for b/up" in told
    assert "too long for c/up" not in told


@pytest.mark.parametrize("mode", ["trim_oldest", "middle_out", "larger_model"])
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI])
def test_a_provider_that_counts_more_tokens_sends_the_request_on(mode: Overflow, spoken: str) -> None:
    said = {
        OPENAI: "This model's maximum context length is 4000 tokens.",
        ANTHROPIC: "prompt is too long: 5000 tokens > 4000 maximum",
        GEMINI: "The input token count (5000) exceeds the maximum number of tokens allowed (4000).",
    }
    scripts = [[failed(spoken, 400, "invalid_request", said[spoken])], [answered(OPENAI, "hi")]]
    one = gateway(*scripts, spoken=(spoken, OPENAI), route=trimming(mode))
    assert request(one).status == 200
    assert [attempt.code for attempt in one.record.attempts] == ["context_length_exceeded", None]
    strict = gateway(scripts[0], spoken=spoken)
    reply = request(strict)
    assert reply.status == 400
    assert len(strict.record.attempts) == 1


@pytest.mark.parametrize("known", [WINDOW, None])
def test_a_single_target_that_says_how_many_tokens_it_counted_is_asked_again_for_fewer(known: int | None) -> None:
    said = "This model's maximum context length is 3000 tokens. However, your messages resulted in 12,000 tokens."
    one = gateway(
        [failed(OPENAI, 400, "invalid_request", said), answered(OPENAI, "hi")], route=trimming(), context_tokens=known
    )
    reply = request(one)
    assert reply.status == 200
    first, second = questions(sent(one)), questions(sent(one, at=1))
    assert 0 < len(second) < len(first) / 2
    assert [attempt.why for attempt in one.record.attempts] == ["primary", "retry"]
    assert reply.headers["x-afterbay-warnings"].count("too long for a/up") == (2 if known else 1)


def test_who_says_it_again_and_again_is_not_asked_for_ever() -> None:
    too_long = failed(OPENAI, 400, "invalid_request", "This model's maximum context length is reached.")
    one = gateway([too_long] * 3, route=trimming(), context_tokens=WINDOW, limits=LIMITS)
    assert request(one).status == 400
    assert len(one.record.attempts) == 3
    kept = [len(questions(sent(one, at=at))) for at in range(3)]
    assert kept == sorted(kept, reverse=True)


def test_any_other_mistake_of_the_client_ends_the_request() -> None:
    one = gateway([failed(OPENAI, 400, "invalid_request", "no")], [answered(OPENAI, "hi")], route=trimming())
    assert request(one).status == 400


@pytest.mark.parametrize(("mode", "status"), [("trim_oldest", 400), ("middle_out", 200)])
def test_one_question_that_is_too_long_is_shortened_or_refused(mode: Overflow, status: int) -> None:
    one = gateway([answered(OPENAI, "hi")], route=trimming(mode), context_tokens=WINDOW)
    reply = request(one, messages=(Message("user", (Text("word " * 20_000),)),))
    assert reply.status == status
    if status == 400:
        error: Any = reply.json["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
        assert "its window is 4000, and what must stay has about" in error["message"]
    else:
        assert b"characters left out" in sent(one)
        assert "1 text shortened in the middle by about" in reply.headers["x-afterbay-warnings"]


def test_an_answer_that_has_no_room_is_not_asked_for() -> None:
    one = gateway([answered(OPENAI, "hi")], route=trimming(), context_tokens=WINDOW)
    reply = request(one, messages=turns(5), max_tokens=30_000)
    assert reply.status == 200
    assert questions(sent(one)) == list(range(5)), "half of the window is for the history"
    limit = json.loads(sent(one))["max_tokens"]
    assert 1_500 < limit < WINDOW
    assert f"the answer has at most {limit} tokens" in reply.headers["x-afterbay-warnings"]


def test_a_field_that_only_the_clients_own_bytes_can_say_keeps_the_history_whole() -> None:
    fields: dict[str, Any] = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=trimming(), context_tokens=WINDOW)
    reply = request(one, ANTHROPIC, **fields)
    assert reply.status == 400
    assert b"nothing can be left out" in reply.body
    drops = trimming(drop_unsupported=True)
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=drops, context_tokens=WINDOW)
    reply = request(one, ANTHROPIC, **fields)
    assert reply.status == 200
    assert "dropped: tools[0].type=web_search_20250305" in reply.headers["x-afterbay-warnings"]


def test_headers_that_a_relay_passes_on_go_with_a_shortened_request_too() -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=trimming(), context_tokens=WINDOW)
    serve(one, ANTHROPIC, body=body(ANTHROPIC, turns(20)), headers={"anthropic-beta": "x"})
    assert one.upstreams["a"].sent[0].headers["anthropic-beta"] == "x"


def test_a_conversation_that_is_continued_by_its_id_is_trimmed_and_kept_whole() -> None:
    scripts = [answered(OPENAI, "word " * 500) for _ in range(12)]
    one = gateway(scripts, route=trimming(), context_tokens=WINDOW)
    previous: dict[str, Any] = {}
    for number in range(12):
        asked = json.dumps({"model": "m", "input": f"user-{number} " + "word " * 50, **previous}).encode()
        reply = run(one.chat(asked, RESPONSES, path="/v1/responses", operation="responses"))
        assert reply.status == 200
        previous = {"previous_response_id": reply.json["id"]}
    first, last = questions(sent(one, at=3)), questions(sent(one, at=11))
    assert first == list(range(first[0], 4))
    assert last[-1] == 11
    assert last[0] > 0
    kept = one.responses
    whole = gateway([answered(OPENAI, "hi")])
    whole.context.responses = kept
    asked = json.dumps({"model": "m", "input": "all?", **previous}).encode()
    assert run(whole.chat(asked, RESPONSES, path="/v1/responses", operation="responses")).status == 200
    assert questions(sent(whole)) == list(range(12)), "what one target had no room for is not forgotten"


def test_what_is_not_told_of_usage_is_estimated_from_what_was_sent() -> None:
    counted = []
    for route in (None, trimming()):
        one = gateway([answered(OPENAI, "hi", usage=None)], route=route, context_tokens=WINDOW)
        request(one)
        assert one.record.usage is not None
        counted.append(one.record.usage.input_tokens)
    assert counted[1] < WINDOW < counted[0]


def test_a_limit_of_money_counts_what_is_sent() -> None:
    dear = 4_000_000_000  # picodollars: less than the whole history costs to read, more than what is left of it
    whole = gateway([answered(OPENAI, "hi")], route=Route("defaults", max_cost_picousd=dear), context_tokens=WINDOW)
    assert request(whole).status == 402
    one = gateway([answered(OPENAI, "hi")], route=trimming(max_cost_picousd=dear), context_tokens=WINDOW)
    assert request(one).status == 200


def larger(*, second: int | None = 100_000, route: Route | None = None) -> MemoryGateway:
    """Aliases: `m` (small, falls back to `n`), `n` (small as well, falls back to `o`), `o` and `p` (large)."""
    aliases = (
        alias("m", target("a/up", context_tokens=WINDOW), fallback=("n",)),
        alias("n", target("b/up", context_tokens=WINDOW), fallback=("o",)),
        alias("o", target("c/up", context_tokens=second)),
        alias("p", target("d/up", context_tokens=100_000, price=None)),
    )
    routes = (route,) if route is not None else ()
    scripts = {name: ScriptedUpstream(answered(OPENAI, name)) for name in "abcd"}
    return MemoryGateway(snapshot(*aliases, routes=routes, defaults=trimming("larger_model")), **scripts)


def asked(one: MemoryGateway) -> str:
    return "".join(name for name, upstream in one.upstreams.items() if upstream.sent)


def test_a_larger_model_is_looked_for_among_candidates_then_among_their_fallbacks() -> None:
    every = Route("r", overflow="larger_model", candidates=("m", "n", "p"), tasks={"chat": "m"})
    one = larger(route=every)
    reply = request(one, model="r")
    assert (reply.status, asked(one)) == (200, "d"), "a candidate goes before what only a candidate falls back to"
    assert "too long for a/up, b/up: a model with a larger window is asked" in reply.headers["x-afterbay-warnings"]
    one = larger(route=Route("r", overflow="larger_model", candidates=("m", "n"), tasks={"chat": "m"}))
    assert (request(one, model="r").status, asked(one)) == (200, "c")
    assert one.record.rule == "larger window"
    one = larger(route=every)
    reply = request(one, model="r", messages=turns(3))
    assert (asked(one), "x-afterbay-warnings" in reply.headers) == ("a", False)


def test_an_alias_has_its_own_fallbacks_and_else_the_request_is_refused() -> None:
    one = larger()
    reply = request(one, model="m")
    error: Any = reply.json["error"]
    assert (reply.status, error["code"], asked(one)) == (400, "context_length_exceeded", "")
    one = larger()
    assert (request(one, model="n").status, asked(one)) == (200, "c")


def test_who_refuses_after_all_is_followed_by_the_cheapest_that_is_larger() -> None:
    route = Route("r", overflow="larger_model", candidates=("m", "p", "n"), tasks={"chat": "m"})
    one = larger(route=route)
    too_long = failed(OPENAI, 400, "invalid_request", "This model's maximum context length is 6 tokens.")
    one.upstreams["d"] = ScriptedUpstream(too_long)
    assert request(one, model="r").status == 200
    assert [attempt.target for attempt in one.record.attempts] == ["d/up", "c/up"]


def test_a_body_that_cannot_be_read_is_relayed_as_it_is() -> None:
    one = gateway([answered(OPENAI, "hi")], route=trimming(), context_tokens=WINDOW)
    odd = json.dumps({"model": "m", "messages": [{"role": "user", "content": 5}]}).encode()
    assert request(one, body=odd).status == 200
    assert json.loads(sent(one))["messages"][0]["content"] == 5


def test_a_stream_that_breaks_is_gone_on_with_from_what_was_sent_of_it() -> None:
    half = Script(steps=(*streamed(ANTHROPIC, "one two three ", "four").steps[:3],))
    one = gateway(
        [half],
        [streamed(ANTHROPIC, "four")],
        spoken=ANTHROPIC,
        route=trimming(resume="on"),
        context_tokens=WINDOW,
        prefill=True,
    )
    reply = serve(one, ANTHROPIC, body=body(ANTHROPIC, turns(20), stream=True))
    assert reply.status == 200
    assert one.record.attempts[-1].why == "resume"
    again = sent(one, "b")
    assert questions(again) == questions(sent(one))
    assert b"one two three" in again
