"""Every recorded exchange of the Messages API, against an expectation read here by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.event import Reply, fold
from afterbay.core.message import Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.anthropic_messages import DIALECT
from afterbay.wire.anthropic_messages.count import build_count_request, parse_count_answer, parse_count_request
from afterbay.wire.dialect import Head
from wire.anthropic_support import (
    FINISH,
    check_grammar,
    is_sse,
    message_of,
    needs_recordings,
    parse_any,
    parse_stream,
    recorded,
    sse,
)
from wire.counts import counts

pytestmark = [pytest.mark.shared, needs_recordings]

ROWS = recorded()
ANSWERS = [row for row in ROWS if row["response"]["status"] == 200]
ERRORS = [row for row in ROWS if row["response"]["status"] != 200]
by_id = {"ids": lambda row: row["id"]}
HEAD = Head(seed="s", model="m")


def expected(row: dict[str, Any]) -> tuple[list[Any], str | None, str | None, Usage, set[str]]:
    """Parts, finish, stop sequence, usage and the kinds of what has no canonical form."""
    body = row["response"]["body"]
    events = sse(body.encode()) if is_sse(row) else []
    message = message_of(events) if events else json.loads(body)
    parts: list[Any] = []
    extras: set[str] = {"citations" for event in events if event.get("delta", {}).get("type") == "citations_delta"}
    for block in message["content"]:
        match block["type"]:
            case "text":
                parts += [Text(block["text"])] if block["text"] else []
                extras |= {"citations"} if block.get("citations") else set()
            case "thinking":
                parts.append(Thinking(block["thinking"], block["signature"] or None))
            case "redacted_thinking":
                parts.append(Thinking(redacted=block["data"]))
            case "tool_use":
                parts.append((block["id"], block["name"], block["input"]))
            case other:
                extras.add(other)
    usage = message["usage"]
    thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    counts = Usage(
        usage["input_tokens"],
        usage.get("cache_read_input_tokens") or 0,
        usage.get("cache_creation_input_tokens") or 0,
        usage["output_tokens"] - thinking,
        thinking,
    )
    return parts, FINISH[message["stop_reason"]], message["stop_sequence"], counts, extras


def shown(reply: Reply) -> list[Any]:
    return [
        (part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolUse) else part
        for part in reply.choices[0].message.parts
    ]


def test_all_recordings_are_there() -> None:
    assert (len(ROWS), len(ANSWERS), len(ERRORS)) == (153, 144, 9)


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_folds_to_what_the_recording_says(row: dict[str, Any]) -> None:
    reply = fold(parse_any(row))
    parts, finish, sequence, usage, extras = expected(row)
    assert shown(reply) == parts
    assert (reply.choices[0].finish, reply.choices[0].stop_sequence) == (finish, sequence)
    assert counts(reply.usage) == usage
    assert set(reply.extras) == extras
    assert reply.error is None
    assert reply.id.startswith(("msg_", "gen-"))
    assert reply.model


@pytest.mark.parametrize("row", [row for row in ANSWERS if is_sse(row)], **by_id)
def test_a_recorded_stream_is_complete_only_with_its_end(row: dict[str, Any]) -> None:
    raw = row["response"]["body"].encode()
    assert parse_stream(raw)[1]
    assert not parse_stream(raw[: raw.rindex(b"event: message_stop")])[1]


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_rendered_and_read_again_is_the_same(row: dict[str, Any]) -> None:
    events = parse_any(row)
    want = fold(events)
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    check_grammar(raw)
    body, losses = DIALECT.render_answer(want, HEAD, None)
    assert renderer.losses == set(losses) == set(want.extras)
    for got in (fold(parse_stream(raw)[0]), fold(DIALECT.parse_answer(body, "seed"))):
        assert shown(got) == shown(want)
        assert got.choices[0].finish == want.choices[0].finish
        assert got.choices[0].stop_sequence == want.choices[0].stop_sequence
        assert counts(got.usage) == counts(want.usage)


@pytest.mark.parametrize("row", ERRORS, **by_id)
def test_an_error_is_understood(row: dict[str, Any]) -> None:
    answer = row["response"]
    error = DIALECT.parse_error(answer["status"], answer["headers"], answer["body"].encode())
    kinds = {400: "invalid_request", 401: "authentication", 404: "not_found"}
    assert error.kind == kinds[answer["status"]]
    assert error.message == json.loads(answer["body"])["error"]["message"]
    assert error.status == answer["status"]


def normal(node: Any) -> Any:
    """A body with what means the same written the same: strings as blocks, false and absent, runs of one role."""
    body = json.loads(json.dumps(node))
    for holder in [*body["messages"], body]:
        key = "system" if holder is body else "content"
        if isinstance(holder.get(key), str):
            holder[key] = [{"type": "text", "text": holder[key]}]
    turns: list[dict[str, Any]] = []
    for turn in body["messages"]:
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += turn["content"]
        elif turn["content"]:
            turns.append(turn)
    body["messages"] = turns
    for turn in turns:
        for block in turn["content"]:
            if block["type"] == "tool_result":
                if isinstance(block.get("content"), str):
                    block["content"] = [{"type": "text", "text": block["content"]}] if block["content"] else []
                if not block.get("is_error"):
                    block.pop("is_error", None)
                if not block.get("content"):
                    block.pop("content", None)
    for key in ("stream", "system", "tools", "stop_sequences"):
        if not body.get(key):
            body.pop(key, None)
    if "output_format" in body:
        body["output_config"] = {"format": body.pop("output_format")}
    return body


def without_hints(node: Any, hints: tuple[str, ...]) -> Any:
    if isinstance(node, dict):
        return {key: without_hints(value, hints) for key, value in node.items() if key not in hints}
    return [without_hints(item, hints) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize("row", ROWS, **by_id)
def test_a_request_read_and_built_again_keeps_all_but_what_it_names(row: dict[str, Any]) -> None:
    sent = row["request"]["body"]
    raw = json.dumps(sent).encode()
    if not all(isinstance(turn, dict) for turn in sent["messages"]):
        with pytest.raises(ClientMistake) as caught:
            DIALECT.parse_request(raw, None, None)
        assert caught.value.param == "messages[0]"
        assert row["response"]["status"] == 400
        return
    request = DIALECT.parse_request(raw, None, None)
    built = DIALECT.build_request(request, sent["model"])
    assert set(built.losses) == {*request.foreign, *request.hints}
    got, want = normal(json.loads(built.body)), normal(without_hints(sent, request.hints))
    if not request.foreign:
        assert got == want
    again = DIALECT.parse_request(built.body, None, None)
    assert again.foreign == again.hints == ()
    assert DIALECT.build_request(again, sent["model"]).body == built.body


def test_every_foreign_field_of_the_recordings_is_one_that_has_no_canonical_form() -> None:
    kinds = set()
    for row in ROWS:
        if all(isinstance(turn, dict) for turn in row["request"]["body"]["messages"]):
            request = DIALECT.parse_request(json.dumps(row["request"]["body"]).encode(), None, None)
            kinds |= {name.rsplit("].", 1)[-1] for name in request.foreign}
    assert kinds == {
        "citations",
        "defer_loading",
        "source.type=file",
        "type=advisor_20260301",
        "type=search_result",
        "type=server_tool_use",
        "type=tool_addition",
        "type=tool_reference",
        "type=tool_search_tool_bm25_20251119",
        "type=tool_search_tool_regex_20251119",
        "type=web_fetch_20250910",
        "type=web_fetch_tool_result",
        "type=web_search_20250305",
    }


def test_recorded_token_counts_are_read_and_asked_again() -> None:
    rows = recorded("anthropic.count_tokens")
    assert len(rows) == 6
    for row in rows:
        request = parse_count_request(json.dumps(row["request"]["body"]).encode())
        built = json.loads(build_count_request(request, "m").body)
        assert "max_tokens" not in built
        assert built["messages"]
        if row["response"]["status"] == 200:
            assert parse_count_answer(row["response"]["body"].encode()) > 0
