"""Kept responses: read again, forgotten, their items in pages, and all of it at the provider that keeps them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import LIMITS, OPENAI, check

from afterbay.ports import KeptResponse, Key
from afterbay.testing.answers import JSON, answered
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script
from afterbay.testing.memory_gateway import NOON_S, MemoryGateway, alias, snapshot, target
from afterbay.testing.passages import ScriptedPassage
from afterbay.testing.virtual_loop import run

RESPONSES = "openai.responses"
MADE = {"id": "resp_1", "object": "response", "output": []}
ITEMS = [{"id": f"msg_{number}", "type": "message"} for number in range(25)]
OWN = KeptResponse("resp_1", None, NOON_S, "", "m", None, json.dumps(ITEMS).encode(), json.dumps(MADE).encode())
PARTS = [("", "GET"), ("", "DELETE"), ("/cancel", "POST"), ("/input_items", "GET")]
THEIRS = KeptResponse("resp_up", None, NOON_S, "a", "up")


def gateway(*scripts: Script, kept: KeptResponse = OWN) -> MemoryGateway:
    plan = snapshot(alias("m", target("a/up", RESPONSES)), limits=LIMITS)
    one = MemoryGateway(plan, a=ScriptedPassage(*scripts))
    run(one.responses.put(kept))
    return one


def ask(one: MemoryGateway, path: str, method: str = "GET", query: str = "", key: Key | None = None) -> MemoryReply:
    path = f"/v1/responses/{path}"
    reply = run(one.chat(b"", RESPONSES, path=path, method=method, query=query, operation="response", key=key))
    assert one.records[-1].outcome
    return reply


def test_a_response_is_read_again_until_it_is_deleted() -> None:
    one = gateway()
    assert ask(one, "resp_1").json == MADE
    assert ask(one, "resp_1", "DELETE").json == {"id": "resp_1", "object": "response", "deleted": True}
    gone = ask(one, "resp_1")
    assert (gone.status, gone.json["error"]["code"]) == (404, "response_not_found")  # type: ignore[index]
    assert "store: false" in gone.json["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "method"), [("", "GET"), ("", "DELETE"), ("/cancel", "POST"), ("/input_items", "GET")]
)
def test_another_key_finds_nothing(path: str, method: str) -> None:
    one = gateway()
    assert ask(one, f"resp_1{path}", method, key=Key("key_1", "other")).status == 404
    assert run(one.responses.get("resp_1")) is not None


@pytest.mark.parametrize(
    ("query", "first", "last", "count", "more"),
    [
        ("", 24, 5, 20, True),
        ("order=asc", 0, 19, 20, True),
        ("order=asc&limit=100", 0, 24, 25, False),
        ("limit=3&after=msg_10", 9, 7, 3, True),
        ("order=asc&after=msg_23", 24, 24, 1, False),
    ],
)
def test_its_items_come_in_pages(query: str, first: int, last: int, count: int, more: bool) -> None:
    page: Any = ask(gateway(), "resp_1/input_items", query=query).json
    assert (page["object"], page["has_more"], len(page["data"])) == ("list", more, count)
    assert (page["first_id"], page["last_id"]) == (f"msg_{first}", f"msg_{last}")


def test_after_the_last_item_there_is_an_empty_page() -> None:
    page = ask(gateway(), "resp_1/input_items", query="order=asc&after=msg_24").json
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("after=msg_99", "after"),
    ],
)
def test_a_wrong_page_is_named(query: str, param: str) -> None:
    reply = ask(gateway(), "resp_1/input_items", query=query)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)  # type: ignore[index]


def test_what_was_not_made_in_the_background_is_neither_cancelled_nor_streamed_again() -> None:
    one = gateway()
    for reply in (ask(one, "resp_1/cancel", "POST"), ask(one, "resp_1", query="stream=true")):
        assert (reply.status, reply.json["error"]["code"]) == (400, "not_in_background")  # type: ignore[index]


@pytest.mark.parametrize(("part", "method"), PARTS)
def test_what_a_provider_keeps_is_asked_of_it(part: str, method: str) -> None:
    one = gateway(Script(steps=(b'{"id": "resp_up"', b"}"), headers=JSON), kept=THEIRS)
    reply = ask(one, f"resp_up{part}", method, query="limit=2&key=secret")
    assert (reply.status, reply.body) == (200, b'{"id": "resp_up"}')
    passage = one.upstreams["a"]
    assert isinstance(passage, ScriptedPassage)
    assert (passage.methods, passage.sent[0].path) == ([method], f"/responses/resp_up{part}?limit=2")
    assert (run(one.responses.get("resp_up")) is None) is (method == "DELETE")
    assert check(one).provider == "a"


def test_a_stream_of_a_background_response_passes_as_it_comes() -> None:
    events = (b"event: response.created\ndata: {}\n\n", b"event: response.completed\ndata: {}\n\n")
    one = gateway(Script(steps=events, headers={"content-type": "text/event-stream"}), kept=THEIRS)
    reply = ask(one, "resp_up", query="stream=true&starting_after=3")
    assert [data for _, data in reply.pieces] == list(events)
    assert reply.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize(("status", "outcome"), [(200, "ok"), (404, "not_found"), (500, "server")])
def test_the_record_says_what_a_keeper_answered(status: int, outcome: str) -> None:
    one = gateway(Script(steps=(b"{}",), status=status, headers=JSON), kept=THEIRS)
    assert ask(one, "resp_up").status == status
    assert one.records[-1].outcome == outcome


def test_a_keepers_error_is_passed_on() -> None:
    body = b'{"error":{"message":"gone","type":"invalid_request_error","param":null,"code":null}}'
    one = gateway(Script(steps=(body,), status=404, headers=JSON), kept=THEIRS)
    reply = ask(one, "resp_up", "DELETE")
    assert (reply.status, reply.body) == (404, body)
    assert run(one.responses.get("resp_up")) is not None


@pytest.mark.parametrize("script", [Script(refused="no"), Script(steps=(HANG,)), Script(steps=(Cut("x"),))])
def test_a_keeper_that_fails_is_told(script: Script) -> None:
    reply = ask(gateway(script, kept=THEIRS), "resp_up")
    assert (reply.status, reply.json["error"]["code"]) == (502, "keeper_unreachable")  # type: ignore[index]


def test_a_keeper_that_is_not_configured_any_more_is_told() -> None:
    from_before = KeptResponse("resp_up", None, NOON_S, "gone", "up")
    reply = ask(gateway(kept=from_before), "resp_up")
    assert "not configured any more" in reply.json["error"]["message"]  # type: ignore[index]


def test_tokens_of_a_response_are_counted_or_estimated() -> None:
    body = b'{"model":"m","input":"hello there"}'
    counted = gateway(Script(steps=(b'{"object":"response.input_tokens","input_tokens":7}',), headers=JSON))
    fields: dict[str, Any] = {"path": "/v1/responses/input_tokens", "operation": "count_tokens"}
    reply = run(counted.chat(body, RESPONSES, **fields))
    assert reply.json == {"object": "response.input_tokens", "input_tokens": 7}
    (sent,) = counted.upstreams["a"].sent
    assert (sent.path, sent.body) == ("/responses/input_tokens", body.replace(b'"m"', b'"up"'))
    plan = snapshot(alias("m", target("a/up", OPENAI)))
    estimated = run(MemoryGateway(plan, a=ScriptedPassage()).chat(body, RESPONSES, **fields))
    assert estimated.json["input_tokens"] > 0  # type: ignore[operator]
    assert "estimated" in estimated.headers["x-afterbay-warnings"]


def test_a_conversation_is_compacted_by_a_provider_of_the_protocol_alone() -> None:
    body = b'{"model":"m","input":[{"role":"user","content":"x"}]}'
    made = {"id": "c", "object": "response.compaction", "output": [{"type": "compaction", "encrypted_content": "g"}]}
    made["usage"] = {"input_tokens": 9, "output_tokens": 4}
    one = gateway(Script(steps=(json.dumps(made).encode(),), headers=JSON))
    fields: dict[str, Any] = {"path": "/v1/responses/compact", "operation": "compaction"}
    assert run(one.chat(body, RESPONSES, **fields)).json == made
    assert one.upstreams["a"].sent[0].path == "/responses/compact"
    usage = check(one).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (9, 4)
    other = MemoryGateway(snapshot(alias("m", target("a/up", OPENAI))), a=ScriptedPassage(answered(OPENAI, "x")))
    refused = run(other.chat(body, RESPONSES, **fields))
    assert (refused.status, refused.json["error"]["code"]) == (400, "wrong_operation")  # type: ignore[index]


@pytest.mark.parametrize("limit", ["000000001" + "0" * 5000, "0000000019999999", "1" * 10])
def test_a_limit_of_many_digits_is_the_client_s_mistake(limit: str) -> None:
    reply = ask(gateway(), "resp_1/input_items", query=f"limit={limit}")
    assert (reply.status, reply.json["error"]["param"]) == (400, "limit")  # type: ignore[index]


def test_a_kept_response_is_found_under_every_path_that_leads_to_it() -> None:
    one = gateway()
    reply = run(one.chat(b"", RESPONSES, path="/openai/v1/responses/resp_1", method="GET", operation="response"))
    assert reply.json == MADE
