"""Every recorded exchange of the Responses API, of all providers, against an expectation read here by hand."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from afterbay.core.event import Reply, fold
from afterbay.core.message import Refusal, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from wire.counts import counts
from wire.responses_support import (
    check_grammar,
    is_sse,
    needs_recordings,
    parse_any,
    parse_stream,
    recorded,
    sdk_stream,
    sse,
)

pytestmark = [pytest.mark.shared, needs_recordings]

ROWS = recorded()
ANSWERS = [row for row in ROWS if row["response"]["status"] == 200]
ERRORS = [row for row in ROWS if row["response"]["status"] != 200]
by_id = {"ids": lambda row: f"{row['provider']} {row['id']}"}
HEAD = Head(seed="s", model="m")


def expected(row: dict[str, Any]) -> dict[str, Any]:
    """Text, refusal, reasoning, proofs, calls, finish and usage, as the whole items have them."""
    body = row["response"]["body"]
    if is_sse(row):
        events = sse(body.encode())
        response = next(event["response"] for event in reversed(events) if "response" in event)
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        items = items or response["output"]
    else:
        response = json.loads(body)
        items = response["output"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    thoughts = [item for item in items if item["type"] == "reasoning"]
    shown = [part for item in thoughts for part in [*(item.get("content") or ()), *(item.get("summary") or ())]]
    calls = [item for item in items if item["type"] == "function_call"]
    why = (response.get("incomplete_details") or {}).get("reason")
    usage = response["usage"]
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    written = (usage.get("input_tokens_details") or {}).get("cache_write_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "text": "".join(part["text"] for part in parts if part["type"] == "output_text"),
        "refusal": "".join(part["refusal"] for part in parts if part["type"] == "refusal"),
        "reasoning": "".join(part["text"] for part in shown).split(),
        "proofs": [f"{x['id']}|{x['encrypted_content']}" for x in thoughts if x.get("encrypted_content")],
        "calls": [(item["call_id"], item["name"], json.loads(item["arguments"])) for item in calls],
        "finish": {"max_output_tokens": "length", None: "tool_calls" if calls else "stop"}[why],
        "usage": Usage(
            usage["input_tokens"] - cached - written, cached, written, usage["output_tokens"] - reasoning, reasoning
        ),
        "extras": ({item["type"] for item in items} - {"message", "reasoning", "function_call"})
        | {"phase=commentary" for item in items if item.get("phase") == "commentary"},
    }


def shown(reply: Reply) -> dict[str, Any]:
    parts = reply.choices[0].message.parts
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "refusal": "".join(part.text for part in parts if isinstance(part, Refusal)),
        "reasoning": "".join(part.text for part in parts if isinstance(part, Thinking)).split(),
        "proofs": [part.signature for part in parts if isinstance(part, Thinking) and part.signature],
        "calls": [(part.id, part.name, json.loads(part.arguments)) for part in parts if isinstance(part, ToolUse)],
        "finish": reply.choices[0].finish,
        "usage": counts(reply.usage),
        "extras": set(reply.extras) - {"annotations", "logprobs"},
    }


def test_all_recordings_are_there() -> None:
    assert (len(ROWS), len(ANSWERS), len(ERRORS)) == (168, 159, 9)
    assert len({row["provider"] for row in ROWS}) == 11


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_folds_to_what_the_recording_says(row: dict[str, Any]) -> None:
    reply = fold(parse_any(row))
    want = expected(row)
    got = shown(reply)
    if len(want["reasoning"]) != len(got["reasoning"]):  # parts without a space between them
        want["reasoning"], got["reasoning"] = "".join(want["reasoning"]), "".join(got["reasoning"])
    assert got == want
    assert reply.error is None
    assert reply.id
    assert reply.model


@pytest.mark.parametrize("row", [row for row in ANSWERS if is_sse(row)], **by_id)
def test_a_recorded_stream_is_complete_only_with_its_end_and_however_it_is_cut(row: dict[str, Any]) -> None:
    raw = row["response"]["body"].encode()
    assert parse_stream(raw)[1]
    end = max(raw.rfind(b'"response.completed"'), raw.rfind(b'"response.incomplete"'))
    assert not parse_stream(raw[: raw.rindex(b"data:", 0, end)])[1]
    assert parse_stream(raw, list(range(3, len(raw), 97))) == parse_stream(raw)


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_rendered_and_read_again_is_the_same(row: dict[str, Any]) -> None:
    events = parse_any(row)
    want = fold(events)
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    check_grammar(raw)
    body, losses = DIALECT.render_answer(want, HEAD, None)
    assert renderer.losses == set(losses) == set(want.extras)
    expecting = shown(want) | {"extras": set()}
    assert shown(fold(DIALECT.parse_answer(body, "seed"))) == expecting
    got = shown(fold(parse_stream(raw)[0]))
    for one in (got, expecting):
        one["proofs"] = [proof.partition("|")[2] for proof in one["proofs"]]
    assert got == expecting
    if want.choices[0].finish != "length":
        assert sdk_stream(raw)[1].output_text == expecting["text"]


@pytest.mark.parametrize("row", ERRORS, **by_id)
def test_an_error_is_understood(row: dict[str, Any]) -> None:
    answer = row["response"]
    error = DIALECT.parse_error(answer["status"], answer["headers"], answer["body"].encode())
    assert error.kind == {400: "invalid_request", 401: "authentication"}[answer["status"]]
    body = json.loads(answer["body"])
    inner = body.get("error", body.get("detail"))
    assert error.message == (inner if isinstance(inner, str) else inner["message"])


@pytest.mark.parametrize("row", ROWS, **by_id)
def test_a_request_read_and_built_again_is_read_the_same(row: dict[str, Any]) -> None:
    sent = {"model": "m"} | row["request"]["body"]
    request = DIALECT.parse_request(json.dumps(sent).encode(), None, None)
    built = DIALECT.build_request(request, request.model)
    assert set(built.losses) - {"thinking", "content.text", "max_output_tokens"} == {*request.foreign, *request.hints}
    if not request.messages:
        return
    again = DIALECT.parse_request(built.body, None, None)
    assert again.foreign == again.hints == ()
    rebuilt = DIALECT.build_request(again, request.model)
    assert rebuilt.body == built.body
    if "thinking" not in built.losses:
        assert again.messages == request.messages


def test_every_foreign_field_of_the_recordings_is_one_that_has_no_canonical_form() -> None:
    kinds = Counter[str]()
    for row in ROWS:
        request = DIALECT.parse_request(json.dumps({"model": "m"} | row["request"]["body"]).encode(), None, None)
        kinds.update({name.rsplit("].", 1)[-1] for name in request.foreign})
    assert set(kinds) == {
        "defer_loading",
        "namespace",
        "previous_response_id",
        "prompt",
        "reasoning.mode=pro",
        "truncation=auto",
        "type=additional_tools",
        "type=code_interpreter",
        "type=file_search",
        "type=mcp",
        "type=tool_search",
        "type=tool_search_call",
        "type=tool_search_output",
        "type=web_search",
        "type=web_search_call",
        "type=web_search_preview",
    }
