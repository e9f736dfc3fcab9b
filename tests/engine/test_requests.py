"""What a request needs of a target: features, protocols, keys; embeddings and token counts take the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, CLIENTS, GEMINI, OPENAI, gateway, serve, text

from afterbay.core.request import ChatRequest
from afterbay.engine.fleet import Fleet
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.plan import Compliance, Route
from afterbay.policy.rights import Rights
from afterbay.ports import ClientGone, Key
from afterbay.testing.answers import JSON, answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.sweeps import Interrupted
from afterbay.testing.virtual_loop import run
from afterbay.wire.features import features, strip


def test_a_feature_that_no_target_has_is_a_400_that_names_it() -> None:
    one = gateway([], spoken=ANTHROPIC)
    reply = serve(one, n=2, temperature=0.5)
    told: Any = reply.json["error"]
    assert (reply.status, told["code"], told["param"]) == (400, "unsupported_field", "n")
    assert one.record.outcome == "unsupported_field"
    assert [rejected.reason for rejected in one.record.rejected] == []


def test_drop_takes_out_what_is_lacking_and_nothing_else() -> None:
    one = gateway([streamed(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=Route("d", drop_unsupported=True))
    reply = serve(one, n=2, temperature=0.5, stop=["x"])
    sent = one.upstreams["a"].sent[0].json
    assert (sent["temperature"], sent["stop_sequences"], "n" in sent) == (0.5, ["x"], False)
    assert reply.headers["x-afterbay-warnings"] == "dropped: n"
    assert one.record.warnings == ["dropped: n"]


def test_drop_takes_out_a_temperature_beyond_the_targets_range() -> None:
    one = gateway([streamed(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=Route("d", drop_unsupported=True))
    serve(one, temperature=1.5)
    assert "temperature" not in one.upstreams["a"].sent[0].json
    assert one.record.warnings


@pytest.mark.parametrize(
    ("client", "fields"),
    [
        ("openai.responses", {"conversation": "conv_1"}),
        ("openai.responses", {"prompt": {"id": "pmpt_1"}}),
        (ANTHROPIC, {"thread": {"id": "t"}}),
        (ANTHROPIC, {"container": "c"}),
        (GEMINI, {"cachedContent": "cachedContents/1"}),
    ],
)
def test_drop_takes_out_nothing_that_stands_for_the_conversation(client: str, fields: dict[str, Any]) -> None:
    one = gateway([streamed(OPENAI, "hi")], spoken=OPENAI, route=Route("d", drop_unsupported=True))
    asked: Any = {
        "openai.responses": {"input": "hi", "max_tool_calls": 1, "background": True},
        ANTHROPIC: {"mcp_servers": [{"url": "x"}]},
        GEMINI: {"contents": [{"parts": [{"text": "hi"}]}], "of_next_year": 1},
    }[client]
    body = (
        ask("m", **asked, **fields) if client == ANTHROPIC else msgspec.json.encode({"model": "m", **asked, **fields})
    )
    path = "/v1beta/models/m:streamGenerateContent" if client == GEMINI else ""
    reply = run(one.chat(body, client, path=path))
    (name,) = fields
    assert reply.status == 400
    told = reply.json["error"]["message"]  # type: ignore[index]
    assert f"The field '{name}' is not supported" in told
    assert "unsupported: drop" not in told
    assert not one.upstreams["a"].sent


def test_a_tool_of_another_protocol_that_is_dropped_is_called_dropped() -> None:
    one = gateway([streamed(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=Route("d", drop_unsupported=True))
    search = {"type": "web_search", "external_web_access": False}
    body = msgspec.json.encode({"model": "m", "input": "hello", "tools": [search], "store": False, "stream": True})
    reply = run(one.chat(body, "openai.responses"))
    assert "dropped: tools[0].type=web_search" in reply.headers["x-afterbay-warnings"]


def test_drop_works_where_the_protocol_is_the_same_too() -> None:
    one = gateway([streamed(OPENAI, "hi")], cannot=frozenset({"n"}), route=Route("d", drop_unsupported=True))
    serve(one, n=2, top_p=0.3)
    sent = one.upstreams["a"].sent[0].json
    assert ("n" in sent, sent["top_p"]) == (False, 0.3)


def test_a_translated_request_is_written_as_its_provider_wants_it() -> None:
    one = gateway([streamed(OPENAI, "hi")], vendor="mistral", can=frozenset({"top_k"}))
    serve(one, ANTHROPIC, top_k=5)
    sent = one.upstreams["a"].sent[0].json
    assert (sent["top_k"], "stream_options" in sent) == (5, False)


def test_a_relayed_request_is_not_rewritten_for_its_provider() -> None:
    one = gateway([streamed(OPENAI, "hi")], vendor="mistral")
    serve(one, seed=5)
    sent = one.upstreams["a"].sent[0].json
    assert (sent["seed"], "random_seed" in sent) == (5, False)


def test_a_provider_that_lacks_a_field_is_passed_over_for_one_that_has_it() -> None:
    plan = snapshot(
        alias("m", target("a/up", vendor="groq", cannot=frozenset({"n"}), priority=0), target("b/up", priority=1))
    )
    ups = {"a": ScriptedUpstream(), "b": ScriptedUpstream(streamed(OPENAI, "hi"))}
    one = MemoryGateway(plan, **ups)
    assert serve(one, n=2).status == 200
    assert one.record.provider == "b"


def test_a_wish_about_effort_is_dropped_with_a_warning_and_removes_nobody() -> None:
    one = gateway([streamed(OPENAI, "hi")], cannot=frozenset({"reasoning"}))
    reply = serve(one, reasoning_effort="high")
    assert "reasoning_effort" not in one.upstreams["a"].sent[0].json
    assert "dropped: reasoning" in reply.headers["x-afterbay-warnings"]


def test_a_field_of_the_clients_own_protocol_keeps_only_its_own_targets() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    one = gateway([], [streamed(ANTHROPIC, "hi")], spoken=(OPENAI, ANTHROPIC))
    reply = serve(one, ANTHROPIC, tools=tools)
    assert text(reply.body, ANTHROPIC) == "hi"
    assert [rejected.target for rejected in one.record.rejected] == ["a/up"]
    assert one.upstreams["b"].sent[0].json["tools"] == tools, "and relays it as it is"


def test_a_body_that_cannot_be_translated_is_still_relayed() -> None:
    body = ask("m", stream=True).replace(b'"user"', b'"odd role"')
    one = gateway([], [streamed(OPENAI, "hi")], spoken=(ANTHROPIC, OPENAI))
    assert text(serve(one, body=body).body, OPENAI) == "hi"


def test_a_key_that_may_not_use_a_model_is_refused() -> None:
    key = Key("k1", "team", rights=Rights(models=frozenset({"other"})))
    one = gateway([])
    reply = serve(one, key=key)
    assert (reply.status, one.record.outcome) == (403, "policy_no_candidate")
    assert (one.record.key_id, one.record.key_name) == ("k1", "team")
    assert "may not use" in reply.json["error"]["message"]  # type: ignore[index]


def test_a_fallback_passes_the_same_filters() -> None:
    plan = snapshot(
        alias("m", target("a/x", region="eu"), fallback=("n", "o")),
        alias("n", target("b/x", region="us")),
        alias("o", target("c/x", region="eu")),
        defaults=Route("d", compliance=(Compliance(residency="eu"),)),
    )
    bad, good = failed(OPENAI, 500, "server"), streamed(OPENAI, "hi")
    one = MemoryGateway(plan, a=ScriptedUpstream(bad), b=ScriptedUpstream(), c=ScriptedUpstream(good))
    assert text(serve(one).body, OPENAI) == "hi"
    assert one.upstreams["b"].sent == []


@pytest.mark.parametrize(("words", "goes_to"), [(5, "a"), (1500, "b")])
def test_auto_routes_by_the_length_of_the_last_turn(words: int, goes_to: str) -> None:
    route = Route("auto", complexity={"low": "m", "high": "n"}, candidates=("m", "n"))
    plan = snapshot(alias("m", target("a/x")), alias("n", target("b/x")), routes=(route,))
    ups: dict[str, Any] = {name: ScriptedUpstream(streamed(OPENAI, "hi")) for name in "ab"}
    one = MemoryGateway(plan, **ups)
    serve(one, body=ask("auto", "word " * words, stream=True))
    assert one.record.provider == goes_to
    assert one.record.route == "auto"


def test_a_direct_name_reaches_a_model_that_is_not_configured() -> None:
    one = gateway([streamed(OPENAI, "hi")])
    serve(one, body=ask("a/vendor/model-9", stream=True))
    assert one.upstreams["a"].sent[0].json["model"] == "vendor/model-9"
    assert (one.record.upstream_model, one.record.rule) == ("vendor/model-9", "direct")


def test_a_prompt_beyond_every_window_is_refused_before_it_is_sent() -> None:
    one = gateway([], spoken=ANTHROPIC, context_tokens=100)
    reply = serve(one, body=ask("m", "word " * 2000))
    assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")  # type: ignore[index]
    assert "its window is 100" in reply.json["error"]["message"]  # type: ignore[index]


# --- embeddings

VECTORS = (
    b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,1.0]}],"model":"up",'
    b'"usage":{"prompt_tokens":3,"total_tokens":3}}'
)
EMBED: Mapping[str, Any] = {"spoken": "openai.embeddings", "embeds": True}


def test_vectors_of_cohere_and_its_errors_are_read_in_its_own_words() -> None:
    vectors = b'{"id":"1","embeddings":{"float":[[0.5,1.0]]},"texts":["hi"],"meta":{"billed_units":{"input_tokens":3}}}'
    good = Script(steps=(vectors,), headers=JSON)
    plan = snapshot(alias("m", target("a/up", "cohere.embeddings", embeds=True)))
    one = MemoryGateway(plan, a=ScriptedUpstream(failed("cohere.chat", 503, "overloaded"), good))
    reply = embed(one)
    assert reply.status == 200, reply.body
    assert reply.json["data"][0]["embedding"] == [0.5, 1.0]  # type: ignore[index]
    assert [attempt.outcome for attempt in one.record.attempts] == ["error", "ok"]


def embed(one: MemoryGateway, body: bytes = b'{"model":"m","input":"hi"}', **options: Any) -> MemoryReply:
    return serve(one, body=body, operation="embeddings", **options)


def test_embeddings_are_relayed_and_counted() -> None:
    one = gateway([Script(steps=(VECTORS,), headers=JSON)], **EMBED)
    reply = embed(one)
    assert reply.body == VECTORS
    assert one.upstreams["a"].sent[0].body == b'{"model":"up","input":"hi"}'
    assert (one.record.cost_picousd, one.record.outcome, one.record.operation) == (3_000_000, "ok", "embeddings")
    assert reply.headers["x-afterbay-cost-usd"] == "0.000003"


def test_embeddings_without_a_count_are_estimated() -> None:
    bare = VECTORS.split(b',"usage"')[0] + b"}"
    one = gateway([Script(steps=(bare,), headers=JSON)], price=None, **EMBED)
    assert embed(one).body == bare
    assert one.record.usage is not None
    assert one.record.usage.estimated
    assert one.record.cost_picousd is None


@pytest.mark.parametrize(
    "bad",
    [
        Script(steps=(b"nonsense",), headers=JSON),
        Script(steps=(VECTORS.replace(b'"data":[', b'"data":[],"x":['),), headers=JSON),
        failed(OPENAI, 500, "server"),
        Script(steps=(Cut(),)),
        Script(steps=(HANG,)),
    ],
)
def test_embeddings_fall_back_as_chat_does(bad: Script) -> None:
    one = gateway([bad], [Script(steps=(VECTORS,), headers=JSON)], **EMBED)
    assert embed(one).body == VECTORS
    assert len(one.record.attempts) == 2


def test_a_wrong_embedding_request_is_the_clients_and_its_attempt_is_closed() -> None:
    one = gateway([], **EMBED)
    reply = embed(one, b'{"model":"m","input":{}}')
    assert reply.status == 400


def test_a_wrong_embedding_request_is_passed_on_by_a_provider() -> None:
    script = failed(OPENAI, 400, "invalid_request", "too long")
    one = gateway([script], **EMBED)
    assert embed(one).body == script.steps[0]


def test_a_slow_reader_of_vectors_is_not_the_providers_delay() -> None:
    one = gateway([Script(steps=(VECTORS,), headers=JSON)], [], **EMBED)
    reply = embed(one, reply=MemoryReply(write_s=50.0))
    assert (reply.body, reply.ended_at_s, len(one.record.attempts)) == (VECTORS, 50.0, 1)


def test_chat_models_do_not_embed() -> None:
    reply = embed(gateway([]))
    assert (reply.status, reply.json["error"]["code"]) == (400, "wrong_operation")  # type: ignore[index]


# --- counting tokens


def count(one: MemoryGateway, **options: Any) -> MemoryReply:
    return serve(one, ANTHROPIC, body=ask("m", "hello there"), operation="count_tokens", **options)


def test_tokens_are_counted_by_the_provider_itself() -> None:
    one = gateway([Script(steps=(b'{"input_tokens": 42}',), headers=JSON)], spoken=ANTHROPIC)
    reply = count(one, headers={"anthropic-beta": "x"})
    assert reply.json["input_tokens"] == 42
    assert one.upstreams["a"].sent[0].headers == {"anthropic-beta": "x"}
    assert one.record.operation == "count_tokens"


@pytest.mark.parametrize(
    "script",
    [
        failed(ANTHROPIC, 500, "server"),
        Script(refused="no"),
        Script(steps=(HANG,)),
        Script(steps=(b"{}",)),
        Script(steps=(b"x",)),
    ],
)
def test_tokens_are_estimated_where_the_provider_does_not_say(script: Script) -> None:
    one = gateway([script], spoken=ANTHROPIC)
    reply = count(one)
    assert reply.json["input_tokens"] > 0  # type: ignore[operator]
    assert "estimated" in reply.headers["x-afterbay-warnings"]


def test_tokens_of_a_protocol_that_does_not_count_are_estimated() -> None:
    one = gateway([], spoken=OPENAI)
    assert count(one).status == 200
    assert one.upstreams["a"].sent == []


def test_a_provider_of_another_protocol_counts_too() -> None:
    one = gateway([Script(steps=(b'{"totalTokens": 42}',), headers=JSON)], spoken=GEMINI)
    reply = count(one)
    assert reply.json["input_tokens"] == 42
    assert "x-afterbay-warnings" not in reply.headers
    (sent,) = one.upstreams["a"].sent
    assert sent.path == "/v1beta/models/up:countTokens"


def test_a_wrong_request_to_count_is_told() -> None:
    one = gateway([], spoken=ANTHROPIC)
    reply = serve(one, ANTHROPIC, body=b"{}", operation="count_tokens")
    assert reply.status == 400


@pytest.mark.parametrize("error", [None, ClientGone("gone")])
def test_a_client_may_leave_while_tokens_are_counted(error: Exception | None) -> None:
    from afterbay.engine.count import serve_count

    async def main(at: int) -> tuple[MemoryGateway, int]:
        one = gateway([Script(steps=(b'{"input_tokens": 42}',), headers=JSON)], spoken=ANTHROPIC)
        work = serve_count(one.context, one.call(ask("m"), ANTHROPIC), MemoryReply())
        trouble = Interrupted(work, at, "cancel" if error is None else "fail", error)
        await asyncio.wait([task := trouble.start()])
        assert at == 0 or task.cancelled() or isinstance(task.exception(), ClientGone)
        return one, trouble.points

    points = run(main(0))[1]
    for at in range(1, points + 1):
        assert run(main(at))[0].record.outcome == "client_closed"


# --- the parts


def chat(**fields: Any) -> ChatRequest:
    from afterbay.wire.registry import DIALECTS

    return DIALECTS[OPENAI].parse_request(ask("m", **fields), None, None)


IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
INLINE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILE = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, set()),
        ({"temperature": 1.5}, {"temperature", "temperature_above_1"}),
        ({"n": 1}, set()),
        ({"n": 3, "stop": "x", "seed": 1}, {"n", "stop", "seed"}),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": [TOOL], "parallel_tool_calls": True, "tool_choice": "auto"}, {"tools"}),
        (
            {"tools": [TOOL], "parallel_tool_calls": False, "tool_choice": "required"},
            {"tools", "parallel_tool_calls", "tool_choice"},
        ),
        ({"response_format": {"type": "json_object"}}, {"json_object"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, {"response_format"}),
        ({"reasoning_effort": "low"}, {"reasoning"}),
        ({"text": [IMAGE]}, {"images", "image_urls"}),
        ({"text": [INLINE, AUDIO, FILE]}, {"images", "audio", "documents", "document_files"}),
    ],
)
def test_features_are_found_and_stripped_without_a_trace(fields: dict[str, Any], found: set[str]) -> None:
    request = chat(**fields)
    assert features(request) == found
    assert features(strip(request, frozenset(found))) == set()
    assert strip(request, frozenset()) == request


def test_a_retired_world_closes_when_its_last_request_has_left() -> None:
    async def main(leaves: bool) -> tuple[float, bool]:
        upstream = ScriptedUpstream()
        fleet = Fleet(snapshot(alias("m", target("a/x"))), lambda *_: upstream, lambda *_: None)
        fleet.upstream(target("a/x"))
        fleet.enter()
        if leaves:
            asyncio.get_running_loop().call_later(3.0, fleet.leave)
        await fleet.retire(10.0)
        return asyncio.get_running_loop().time(), upstream.is_closed

    assert run(main(True)) == (3.0, True)
    assert run(main(False)) == (10.0, True)


def test_direct_targets_are_bounded_and_learnt() -> None:
    made: list[str] = []

    def make(_: object, provider: str, model: str) -> Any:
        made.append(model)
        return target(f"{provider}/{model}", price=None)

    fleet = Fleet(snapshot(), lambda *_: ScriptedUpstream(), make)
    for number in range(1100):
        fleet.direct("p", str(number))
    fleet.direct("p", "1099")
    assert len(made) == 1100
    fleet.direct("p", "0")
    assert made[-1] == "0"
    better = target("p/0")
    fleet.learn(better)
    assert fleet.direct("p", "0") is better


def test_an_embedded_engine_has_connections_for_each_of_its_models() -> None:
    plan = snapshot(alias("m", target("l/x"), target("l/y")))
    provider = msgspec.structs.replace(plan.providers["l"], kind="llamacpp", base_url="")
    plan = msgspec.structs.replace(plan, providers={"l": provider})
    fleet = Fleet(plan, lambda *_: ScriptedUpstream(), lambda *_: None)
    assert fleet.upstream(target("l/x")) is not fleet.upstream(target("l/y"))
    assert fleet.upstream(target("l/x")) is fleet.upstream(target("l/x"))


def test_a_watchdog_rings_only_when_its_last_deadline_has_passed() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with Watchdog(loop) as dog:
            dog.set(1.0)
            dog.set(5.0)
            try:
                await asyncio.sleep(99)
            except asyncio.CancelledError:
                assert dog.calm()
            assert not dog.calm(), "nothing to take back twice"
        return loop.time()

    assert run(main()) == 5.0


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_with_tool_calls_is_not_held_to_the_schema_of_its_text(client: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = msgspec.json.encode(
        {
            "id": "x",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )
    wish = (
        {"response_format": {"type": "json_object"}}
        if client == OPENAI
        else {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    )
    one = gateway([Script(steps=(body,), headers=JSON)])
    reply = serve(one, client, stream=False, **wish)
    assert (reply.status, one.record.finish, one.record.warnings) == (200, "tool_calls", [])


def test_a_text_that_fits_is_answered(  # the plain way through validation
) -> None:
    one = gateway([answered(OPENAI, '{"a": 1}')])
    assert serve(one, stream=False, response_format={"type": "json_object"}).status == 200
