"""Responses and their memory: who keeps them, how they are continued, by whom."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI, check, gateway

from afterbay.core.event import Finished, Started, ToolCallDelta, ToolCallStarted, UsageSeen, fold
from afterbay.ports import KeptResponse, Key
from afterbay.testing.answers import JSON, USAGE, answered, failed, streamed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import NOON_S, MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

RESPONSES = "openai.responses"
OTHERS = (OPENAI, ANTHROPIC, GEMINI)


def respond(one: MemoryGateway, *, key: Key | None = None, **fields: Any) -> MemoryReply:
    body = json.dumps({"model": "m", "input": "hello"} | fields).encode()
    return run(one.chat(body, RESPONSES, path="/v1/responses", operation="responses", key=key))


def final(reply: MemoryReply) -> Any:
    """The response object, whole or from the last event."""
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return reply.json
    last = [line for line in reply.body.split(b"\n") if line.startswith(b"data: ")][-1]
    return json.loads(last[6:])["response"]


def sent(one: MemoryGateway, number: int = -1, name: str = "a") -> Any:
    return json.loads(one.upstreams[name].sent[number].body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spoken", OTHERS)
def test_a_response_of_any_provider_is_continued_by_its_id(spoken: str, stream: bool) -> None:
    script = streamed if stream else answered
    one = gateway([script(spoken, "Bern"), script(spoken, "Aare"), script(spoken, "blue")], spoken=spoken)
    first = final(respond(one, input="Capital?", instructions="Be brief.", stream=stream))
    second = final(respond(one, input="River?", previous_response_id=first["id"], stream=stream))
    third = final(respond(one, input="Colour?", previous_response_id=second["id"], stream=stream))
    assert (second["previous_response_id"], third["previous_response_id"]) == (first["id"], second["id"])
    said = json.dumps(sent(one))
    order = [said.index(f'"{word}"') for word in ("Capital?", "Bern", "River?", "Aare", "Colour?")]
    assert order == sorted(order)
    assert "Be brief." not in said, "instructions do not carry over, as at OpenAI"


def test_the_answer_repeats_what_was_asked() -> None:
    one = gateway([answered(OPENAI, "hi")], spoken=OPENAI)
    asked = final(respond(one, temperature=0.5, metadata={"a": "b"}, instructions="x", max_output_tokens=40))
    wanted = {"temperature": 0.5, "metadata": {"a": "b"}, "instructions": "x", "max_output_tokens": 40}
    assert {name: asked[name] for name in wanted} == wanted


def test_a_response_that_is_not_to_be_stored_is_not() -> None:
    one = gateway([answered(OPENAI, "hi")], spoken=OPENAI)
    made = final(respond(one, store=False))
    reply = respond(one, previous_response_id=made["id"])
    assert (reply.status, reply.json["error"]["code"]) == (400, "previous_response_not_found")  # type: ignore[index]
    assert made["id"] in reply.json["error"]["message"]  # type: ignore[index]


def test_a_response_belongs_to_the_key_that_asked_for_it() -> None:
    one = gateway([answered(OPENAI, "secret"), answered(OPENAI, "more")], spoken=OPENAI)
    made = final(respond(one, key=Key("key_1", "a")))
    for other in (Key("key_2", "b"), None):
        assert respond(one, key=other, previous_response_id=made["id"]).status == 400
    assert respond(one, key=Key("key_1", "a"), previous_response_id=made["id"]).status == 200


def test_tool_calls_and_reasoning_of_earlier_turns_come_back_to_their_maker() -> None:
    said = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQBCkY"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "x"}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "output_tokens": 5},
    }
    one = gateway(
        [Script(steps=(json.dumps(said).encode(),), headers=JSON), answered(ANTHROPIC, "ok")], spoken=ANTHROPIC
    )
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]
    made = final(respond(one, tools=tools))
    result = [{"type": "function_call_output", "call_id": "toolu_1", "output": "seen"}]
    assert respond(one, tools=tools, input=result, previous_response_id=made["id"]).status == 200
    turns = sent(one)["messages"]
    assert turns[1]["content"] == said["content"]
    assert turns[2]["content"][0]["tool_use_id"] == "toolu_1"


PATCH = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}}
CALLED = [ToolCallStarted(0, "call_1", "patch"), ToolCallDelta(0, '{"input":"*** a\\n"}'), Finished("tool_calls")]


def calling(spoken: str, *, stream: bool) -> Script:
    """A provider that calls the function that stands for `PATCH`."""
    dialect, head = DIALECTS[spoken], Head("seed", "up", 1_770_000_000, include_usage=True)
    events = [Started("answer-1", "up"), *CALLED[:2], UsageSeen(USAGE), *CALLED[2:]]
    if not stream:
        return Script(steps=(dialect.render_answer(fold(events), head, None)[0],), headers=JSON)
    renderer = dialect.renderer(head)
    raw = renderer.render(events) + renderer.finish(None)
    return Script(steps=(raw,), headers={"content-type": dialect.stream_type})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("spoken", OTHERS)
def test_a_call_of_text_is_kept_and_continued_with_its_result(spoken: str, stream: bool) -> None:
    script = streamed if stream else answered
    one = gateway([calling(spoken, stream=stream), script(spoken, "done")], spoken=spoken)
    first = final(respond(one, tools=[PATCH], stream=stream))
    (call,) = first["output"]
    assert (call["type"], call["call_id"], call["input"]) == ("custom_tool_call", "call_1", "*** a\n")
    result = [{"type": "custom_tool_call_output", "call_id": "call_1", "output": "patched"}]
    second = final(respond(one, tools=[PATCH], input=result, previous_response_id=first["id"], stream=stream))
    assert second["output"][0]["content"][0]["text"] == "done"
    said = json.dumps(sent(one))
    assert said.index("*** a") < said.index("patched")
    assert "start: X" in said


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_is_built_anew_for_its_own_protocol_is_kept_here_and_has_its_calls_of_text(stream: bool) -> None:
    plain = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    one = gateway(
        [calling(RESPONSES, stream=stream), answered(RESPONSES, "done")],
        spoken=RESPONSES,
        cannot=frozenset({"reasoning"}),
    )
    reply = respond(one, tools=[plain, PATCH], reasoning={"effort": "low"}, stream=stream)
    assert {tool["type"] for tool in sent(one)["tools"]} == {"function"}
    made = final(reply)
    assert [(item["type"], item.get("input")) for item in made["output"]] == [("custom_tool_call", "*** a\n")]
    kept = run(one.context.responses.get(made["id"]))
    assert kept is not None
    assert kept.provider == "", "it was asked to keep nothing"


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_of_the_protocol_keeps_its_own_and_continues_it_byte_for_byte(stream: bool) -> None:
    script = streamed if stream else answered
    one = gateway([script(RESPONSES, "a"), script(RESPONSES, "b")], spoken=RESPONSES)
    made = final(respond(one, stream=stream))
    assert run(one.context.responses.get(made["id"])).provider == "a"  # type: ignore[union-attr]
    body = json.dumps({"model": "m", "input": "more", "previous_response_id": made["id"], "stream": stream}).encode()
    run(one.chat(body, RESPONSES, path="/v1/responses", operation="responses"))
    assert one.upstreams["a"].sent[1].body == body.replace(b'"m"', b'"up"')
    assert one.upstreams["a"].sent[1].path == "/responses"


def test_what_a_provider_keeps_only_that_provider_continues() -> None:
    one = gateway(
        [failed(RESPONSES, 400, "invalid_request"), answered(RESPONSES, "late")],
        [answered(RESPONSES, "a")],
        spoken=RESPONSES,
    )
    run(one.context.responses.put(_kept("resp_up", "b")))
    reply = respond(one, previous_response_id="resp_up")
    assert (reply.status, reply.headers["x-afterbay-provider"]) == (200, "b")
    assert one.upstreams["a"].sent == []


def _kept(response_id: str, provider: str) -> Any:
    return KeptResponse(response_id, None, NOON_S, provider, "m")


def test_a_response_that_nobody_here_made_is_the_providers_to_judge() -> None:
    one = gateway([answered(RESPONSES, "known")], spoken=RESPONSES)
    assert respond(one, previous_response_id="resp_from_before").status == 200
    assert sent(one)["previous_response_id"] == "resp_from_before"


def test_a_missing_link_in_the_chain_is_named() -> None:
    one = gateway([answered(OPENAI, "a"), answered(OPENAI, "b")], spoken=OPENAI)
    first = final(respond(one))
    second = final(respond(one, previous_response_id=first["id"]))
    run(one.context.responses.delete(first["id"]))
    reply = respond(one, previous_response_id=second["id"])
    assert (reply.status, first["id"] in reply.json["error"]["message"]) == (400, True)  # type: ignore[index]


def test_a_store_that_fails_costs_the_memory_not_the_answer() -> None:
    class Broken:
        async def get(self, response_id: str) -> None:
            return None

        async def put(self, response: object) -> None:
            raise OSError("disk full")

        async def delete(self, response_id: str) -> bool:
            return False

    one = gateway([answered(OPENAI, "hi")], spoken=OPENAI)
    one.context.responses = Broken()  # type: ignore[assignment]
    assert respond(one).status == 200
    assert any("could not be kept" in warning for warning in check(one).warnings)


def test_a_chat_client_s_proofs_pass_from_responses_and_back() -> None:
    """A Responses target that thinks, asked by an Anthropic client, gets its encrypted reasoning back."""
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    content = [{"type": "output_text", "text": "hi", "annotations": []}]
    answer = {
        "id": "resp_1",
        "object": "response",
        "model": "up",
        "status": "completed",
        "output": [reasoning, message | {"content": content}],
    }
    script = Script(steps=(json.dumps(answer).encode(),), headers=JSON)
    one = gateway([script, script], spoken=RESPONSES)
    asked: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]}
    first = run(one.chat(json.dumps(asked).encode(), ANTHROPIC)).json
    asked["messages"] += [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": "y"}]
    run(one.chat(json.dumps(asked).encode(), ANTHROPIC))
    back = [item for item in sent(one)["input"] if item["type"] == "reasoning"]
    assert back == [reasoning]


def test_sealed_reasoning_of_one_maker_is_not_relayed_to_another_of_the_same_protocol() -> None:
    one = MemoryGateway(
        snapshot(alias("a", target("a/up", RESPONSES)), alias("b", target("b/up", RESPONSES, maker="azure"))),
        a=ScriptedUpstream(_sealed("a"), _sealed("a")),
        b=ScriptedUpstream(_sealed("b"), _sealed("b")),
    )
    said: list[Any] = [{"role": "user", "content": "hi"}]
    for model in ("a", "b", "a", "b"):
        said += final(respond(one, input=said, store=False, model=model))["output"]
        said.append({"role": "user", "content": "and?"})

    assert _proofs(one, "b", 0) == ["gAAA-a"], "until the second maker has answered once, nothing is known of it"
    assert _proofs(one, "a", 1) == ["gAAA-a"], "only its own"
    assert _proofs(one, "b", 1) == ["gAAA-b"]


def _sealed(by: str) -> Script:
    item = {"type": "reasoning", "id": f"rs_{by}", "summary": [], "encrypted_content": f"gAAA-{by}"}
    content = [{"type": "output_text", "text": by, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    answer = {"id": f"resp_{by}", "object": "response", "model": "up", "status": "completed", "output": [item, message]}
    return Script(steps=(json.dumps(answer).encode(),), headers=JSON)


def _proofs(one: MemoryGateway, upstream: str, number: int) -> list[str]:
    items = sent(one, number, upstream)["input"]
    return [item["encrypted_content"] for item in items if item.get("type") == "reasoning"]


@pytest.mark.parametrize("operation", ["responses", "compaction", "count_tokens"])
@pytest.mark.parametrize("name", ["previous_response_id", "\\u0070revious_response_id", "previous_response\\u005fid"])
def test_what_a_provider_keeps_for_one_key_no_other_key_goes_on_with(operation: str, name: str) -> None:
    one = gateway([answered(RESPONSES, "secret")], spoken=RESPONSES)
    made = final(respond(one, key=Key("key_1", "one")))
    body = b'{"model":"m","input":"repeat it","%b":"%b"}' % (name.encode(), made["id"].encode())
    reply = run(one.chat(body, RESPONSES, operation=operation, key=Key("key_2", "two")))
    assert (reply.status, reply.json["error"]["code"]) == (400, "previous_response_not_found")  # type: ignore[index]
    assert len(one.upstreams["a"].sent) == 1, "the provider, which sees one account, was not asked"
