"""Every recorded exchange of Converse and ConverseStream, against an expectation read here by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.event import Reply, fold
from afterbay.core.message import Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.wire.bedrock import DIALECT
from afterbay.wire.dialect import Head
from wire.bedrock_support import body_of, needs_recordings, parse_any, parse_stream, recorded
from wire.golden.case import BEDROCK
from wire.golden.sdk_types import complaints
from wire.golden.shapes import faults

pytestmark = [pytest.mark.shared, needs_recordings]

ROWS = recorded()
ANSWERS = [row for row in ROWS if row["response"]["status"] == 200]
STREAMS = [row for row in ANSWERS if "events" in row["response"]]
ERRORS = [row for row in ROWS if row["response"]["status"] != 200]
by_id = {"ids": lambda row: row["id"]}
HEAD = Head(seed="s", model="m")
FINISH = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
}


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """The answer as one body; a stream's events are folded as the service's description says."""
    if "events" not in row["response"]:
        return dict(json.loads(row["response"]["body"]))
    blocks: dict[int, dict[str, Any]] = {}
    answer: dict[str, Any] = {}
    for event in row["response"]["events"]:
        payload = event["payload"]
        match event["headers"][":event-type"]:
            case "contentBlockStart":
                start = payload["start"]
                start = {"toolUse": {**start["toolUse"], "input": ""}} if "toolUse" in start else start
                blocks[payload["contentBlockIndex"]] = start
            case "contentBlockDelta":
                _add(blocks.setdefault(payload["contentBlockIndex"], {}), payload["delta"])
            case "messageStop" | "metadata":
                answer |= payload
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    answer["output"] = {"message": {"content": [blocks[index] for index in sorted(blocks)]}}
    return answer


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        said = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        said["text"] += delta["reasoningContent"].get("text", "")
        said |= {k: v for k, v in delta["reasoningContent"].items() if k == "signature"}
    elif "citation" in delta:
        block.setdefault("citationsContent", {"content": [], "citations": []})["citations"].append(delta["citation"])


def expected(row: dict[str, Any]) -> tuple[list[Any], str, Usage, set[str]]:
    """Parts, finish, usage, and the kinds of what has no canonical form."""
    answer = whole(row)
    parts: list[Any] = []
    extras: set[str] = {"trace"} if answer.get("trace") else set()
    for block in answer["output"]["message"]["content"]:
        if "text" in block:
            parts += [Text(block["text"])] if block["text"] else []
        elif "citationsContent" in block:
            text = "".join(one["text"] for one in block["citationsContent"]["content"])
            parts += [Text(text)] if text else []
            extras.add("citations")
        elif "reasoningContent" in block:
            said = block["reasoningContent"]["reasoningText"]
            parts.append(Thinking(said["text"], said.get("signature")))
        elif "toolUse" in block and block["toolUse"].get("type") == "server_tool_use":
            extras.add("server_tool_use")
        elif "toolUse" in block:
            use = block["toolUse"]
            parts.append((use["toolUseId"], use["name"], use["input"]))
        else:
            extras.add(block["toolResult"]["type"])
    usage = answer["usage"]
    counts = Usage(
        usage["inputTokens"],
        usage.get("cacheReadInputTokens", 0),
        usage.get("cacheWriteInputTokens", 0),
        usage["outputTokens"],
    )
    assert counts.total == usage["totalTokens"], "the buckets are disjoint"
    return parts, FINISH[answer["stopReason"]], counts, extras


def shown(reply: Reply) -> list[Any]:
    return [
        (part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolUse) else part
        for part in reply.choices[0].message.parts
    ]


def test_all_recordings_are_there() -> None:
    assert (len(ROWS), len(ANSWERS), len(STREAMS), len(ERRORS)) == (47, 45, 13, 2)


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_folds_to_what_the_recording_says(row: dict[str, Any]) -> None:
    reply = fold(parse_any(row))
    parts, finish, usage, extras = expected(row)
    assert shown(reply) == parts
    assert (reply.choices[0].finish, reply.usage) == (finish, usage)
    assert set(reply.extras) == extras
    assert reply.error is None


@pytest.mark.parametrize("row", STREAMS, **by_id)
def test_a_recorded_stream_is_the_same_under_any_cut_and_complete_only_with_its_end(row: dict[str, Any]) -> None:
    raw = body_of(row)
    whole_events, is_complete = parse_stream(raw)
    assert is_complete
    assert parse_stream(raw, list(range(0, len(raw), 7)))[0] == whole_events
    assert not parse_stream(raw[: raw.rindex(b"messageStop")])[1]


@pytest.mark.parametrize("row", ANSWERS, **by_id)
def test_an_answer_rendered_and_read_again_is_the_same(row: dict[str, Any]) -> None:
    events = parse_any(row)
    want = fold(events)
    renderer = DIALECT.renderer(HEAD)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    body, losses = DIALECT.render_answer(want, HEAD, None)
    assert renderer.losses == set(losses) == set(want.extras)
    for got in (fold(parse_stream(raw)[0]), fold(DIALECT.parse_answer(body, "seed"))):
        assert shown(got) == shown(want)
        assert (got.choices[0].finish, got.usage) == (want.choices[0].finish, want.usage)


@pytest.mark.parametrize("row", ERRORS, **by_id)
def test_an_error_is_understood(row: dict[str, Any]) -> None:
    answer = row["response"]
    error = DIALECT.parse_error(answer["status"], answer["headers"], body_of(row))
    assert (error.kind, error.status) == ("invalid_request", 400)
    assert error.message == json.loads(answer["body"])["message"]


def model_of(row: dict[str, Any]) -> str:
    return str(row["request"]["path"]).split("/")[2].replace("%3A", ":").replace("%2F", "/")


@pytest.mark.parametrize("row", ROWS, **by_id)
def test_a_request_read_and_built_again_says_the_same(row: dict[str, Any]) -> None:
    sent, stream = row["request"]["body"], row["api"].endswith("Stream")
    request = DIALECT.parse_request(json.dumps(sent).encode(), model_of(row), stream)
    built = DIALECT.build_request(request, model_of(row))
    assert built.path.replace("%3A", ":") == row["request"]["path"].replace("%3A", ":")
    body = json.loads(built.body)
    if row["response"]["status"] == 200 and not request.foreign:
        assert complaints(BEDROCK, body) == faults(BEDROCK, body) == []
    again = DIALECT.parse_request(built.body, model_of(row), stream)
    rebuilt = DIALECT.build_request(again, model_of(row))
    assert rebuilt.body == built.body
    if request.foreign or request.hints:
        return
    for key in ("messages", "system", "inferenceConfig"):
        assert body.get(key) == (normal(sent.get(key)) or None), key
    assert set(built.losses) <= {"top_p", "response_format.additionalProperties=false"}, built.losses


def normal(node: Any) -> Any:
    """A part of a body without what says nothing."""
    if isinstance(node, dict):
        return {key: normal(value) for key, value in node.items() if (key, value) != ("status", "success")}
    return [normal(item) for item in node] if isinstance(node, list) else node


def test_every_foreign_field_of_the_recordings_is_one_that_has_no_canonical_form() -> None:
    kinds, hints = set(), set()
    for row in ROWS:
        request = DIALECT.parse_request(json.dumps(row["request"]["body"]).encode(), "m", False)
        kinds |= {name.rsplit("].", 1)[-1] for name in request.foreign}
        hints |= set(request.hints)
    assert kinds == {"citations", "guardContent", "guardrailConfig", "systemTool", "toolResult", "toolUse"}
    assert hints == {"cachePoint"}
