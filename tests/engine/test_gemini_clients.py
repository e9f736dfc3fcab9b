"""Clients of Gemini's protocol: the model in the path, streams as SSE or as a JSON array, on v1 and v1beta."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, check, gateway

from afterbay.policy.plan import Limits
from afterbay.testing.answers import JSON, answered, failed, stream, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run

ASKED = b'{ "contents": [{"role":"user","parts":[{"text":"hello"}]}], "generationConfig": {"topK": 3} }'
TARGETS = (OPENAI, ANTHROPIC, GEMINI)


def generate(one: MemoryGateway, verb: str, query: str = "", body: bytes = ASKED, **fields: Any) -> MemoryReply:
    path = fields.pop("path", f"/v1beta/models/m:{verb}")
    operation = {"countTokens": "count_tokens"}.get(verb, "embeddings" if "mbed" in verb else "chat")
    reply = run(one.chat(body, GEMINI, path=path, query=query, operation=operation, **fields))
    check(one)
    return reply


def as_array(texts: list[str]) -> Script:
    """Google's stream to who does not ask for SSE: pretty JSON, in pieces that end anywhere."""
    frames = [json.loads(frame.split(b"data: ")[1]) for frame in stream(GEMINI, *texts)]
    data = json.dumps(frames, indent=2).encode()
    return Script(steps=tuple(data[at : at + 7] for at in range(0, len(data), 7)), headers=JSON)


def said(chunks: list[dict[str, Any]]) -> str:
    return "".join(
        part.get("text", "") for chunk in chunks for one in chunk["candidates"] for part in one["content"]["parts"]
    )


@pytest.mark.parametrize("spoken", TARGETS)
def test_a_whole_answer_of_any_provider(spoken: str) -> None:
    body = ASKED if spoken != OPENAI else ASKED.replace(b'"topK": 3', b'"topP": 1')
    reply = generate(gateway([answered(spoken, "Grüße")], spoken=spoken), "generateContent", body=body)
    assert reply.status == 200
    assert said([reply.json]) == "Grüße"
    assert reply.json["usageMetadata"]["totalTokenCount"] == 18  # type: ignore[index]


@pytest.mark.parametrize("spoken", TARGETS)
def test_a_stream_of_any_provider_as_sse(spoken: str) -> None:
    body = ASKED if spoken != OPENAI else ASKED.replace(b'"topK": 3', b'"topP": 1')
    one = gateway([streamed(spoken, "Grü", "ße")], spoken=spoken)
    reply = generate(one, "streamGenerateContent", "alt=sse", body)
    frames = [json.loads(line[6:]) for line in reply.body.split(b"\r\n") if line]
    assert said(frames) == "Grüße"
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert frames[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("spoken", TARGETS)
def test_a_stream_of_any_provider_as_an_array(spoken: str) -> None:
    body = ASKED if spoken != OPENAI else ASKED.replace(b'"topK": 3', b'"topP": 1')
    script = as_array(["Grü", "ße"]) if spoken == GEMINI else streamed(spoken, "Grü", "ße")
    reply = generate(gateway([script], spoken=spoken), "streamGenerateContent", body=body)
    assert said(json.loads(reply.body)) == "Grüße"
    assert reply.headers["content-type"].startswith("application/json")
    assert len(reply.pieces) > 1, "it is sent while it comes"


def test_a_relayed_array_is_the_providers_byte_for_byte() -> None:
    script = as_array(["a", "b", "c"])
    one = gateway([script], spoken=GEMINI)
    reply = generate(one, "streamGenerateContent")
    assert reply.body == b"".join(step for step in script.steps if isinstance(step, bytes))
    assert one.record.usage is not None
    assert one.record.usage.output_tokens == 7


def test_a_provider_that_frames_otherwise_than_the_client_wants_is_translated() -> None:
    as_sse = gateway([as_array(["a", "b"])], spoken=GEMINI)
    reply = generate(as_sse, "streamGenerateContent", "alt=sse")
    assert reply.body.startswith(b"data: {")
    assert reply.headers["content-type"].startswith("text/event-stream")
    reply = generate(gateway([streamed(GEMINI, "a", "b")], spoken=GEMINI), "streamGenerateContent")
    assert said(json.loads(reply.body)) == "ab"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_a_relay_keeps_body_version_method_and_query_but_the_key(version: str) -> None:
    one = gateway([answered(GEMINI, "a")], spoken=GEMINI)
    path = f"/{version}/models/m:generateContent"
    generate(one, "generateContent", "key=secret&$alt=json", path=path)
    (sent,) = one.upstreams["a"].sent
    assert sent.body == ASKED
    assert sent.path == f"/{version}/models/up:generateContent?$alt=json"


@pytest.mark.parametrize("query", ["", "alt=sse"])
@pytest.mark.parametrize("spoken", TARGETS)
def test_a_cut_stream_ends_in_an_error_in_its_own_framing(spoken: str, query: str) -> None:
    body = ASKED if spoken != OPENAI else ASKED.replace(b'"topK": 3', b'"topP": 1')
    script = as_array(["begun"]) if spoken == GEMINI and not query else streamed(spoken, "begun")
    begun = next(at for at, step in enumerate(script.steps) if b"begun" in step) + 1 if script.headers != JSON else 0
    cut = Script(steps=(*script.steps[:begun], Cut("gone")), headers=script.headers)
    if spoken == GEMINI and not query:  # the first item is whole, the second is not
        whole = b"".join(step for step in script.steps if isinstance(step, bytes))
        cut = Script(steps=(whole[:-40], Cut("gone")), headers=script.headers)
    reply = generate(gateway([cut], spoken=spoken), "streamGenerateContent", query, body)
    frames = reply.body.split(b"\r\n\r\n") if query else []
    chunks = [json.loads(one.removeprefix(b"data: ")) for one in frames if one] if query else json.loads(reply.body)
    assert said(chunks[:-1]) == "begun"
    assert chunks[-1]["error"]["code"] == 502
    assert "finishReason" not in json.dumps(chunks)


def test_a_stream_that_waits_is_kept_alive_by_what_its_framing_allows() -> None:
    slow = Script(steps=(Wait(35), *streamed(OPENAI, "late").steps))
    limits = Limits(connect_s=5, first_token_s=60, between_tokens_s=8, total_s=100, hold_s=10)
    body = ASKED.replace(b'"topK": 3', b'"topP": 1')
    for query in ("", "alt=sse"):
        reply = generate(gateway([slow], spoken=OPENAI, limits=limits), "streamGenerateContent", query, body)
        assert reply.body.startswith(b"\r\n\r\n\r\n"), "pings at 10, 20 and 30 s"
        assert b"late" in reply.body
        if not query:
            assert said(json.loads(reply.body)) == "late"


def test_an_error_before_the_stream_has_its_status() -> None:
    reply = generate(gateway([failed(GEMINI, 400, "invalid_request")], spoken=GEMINI), "streamGenerateContent")
    assert (reply.status, reply.json["error"]["code"]) == (400, 400)  # type: ignore[index]


def test_what_only_google_has_is_refused_elsewhere_by_name() -> None:
    body = b'{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"googleSearch":{}}]}'
    reply = generate(gateway([], spoken=ANTHROPIC), "generateContent", body=body)
    assert reply.status == 400
    assert "tools.googleSearch" in reply.json["error"]["message"]  # type: ignore[index]


COUNTED = b'{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"hello"}]}]}}'


@pytest.mark.parametrize("body", [ASKED, COUNTED])
def test_tokens_are_counted_by_google_or_estimated(body: bytes) -> None:
    asked = ASKED.replace(b', "generationConfig": {"topK": 3}', b"") if body is ASKED else body
    one = gateway([Script(steps=(b'{"totalTokens": 9}',), headers=JSON)], spoken=GEMINI)
    assert generate(one, "countTokens", body=asked).json == {"totalTokens": 9}
    (sent,) = one.upstreams["a"].sent
    assert sent.path == "/v1beta/models/up:countTokens"
    assert sent.body == asked.replace(b"models/m", b"models/up")
    estimated = generate(gateway([], spoken=OPENAI), "countTokens", body=asked)
    assert estimated.json["totalTokens"] > 0  # type: ignore[operator]
    assert "estimated" in estimated.headers["x-afterbay-warnings"]


def test_an_anthropic_provider_counts_for_a_gemini_client() -> None:
    one = gateway([Script(steps=(b'{"input_tokens": 12}',), headers=JSON)], spoken=ANTHROPIC)
    assert generate(one, "countTokens", body=ASKED).json == {"totalTokens": 12}


def test_a_count_that_hangs_is_estimated_within_the_clients_time() -> None:
    one = gateway([Script(steps=(HANG,), headers=JSON)], spoken=GEMINI, limits=LIMITS)
    reply = generate(one, "countTokens", headers={"x-afterbay-timeout-ms": "700"})
    assert reply.json["totalTokens"] > 0  # type: ignore[operator]
    assert reply.ended_at_s is not None
    assert reply.ended_at_s <= 0.8


SINGLE = b'{"model":"models/m","content":{"parts":[{"text":"hi"}]},"outputDimensionality":2}'
BATCH = b'{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}'


def embedder(vectors: int, spoken: str) -> MemoryGateway:
    if spoken == "gemini.embeddings":
        answer: Any = {"embeddings": [{"values": [0.5, 1.0]}] * vectors}
    else:
        data = [{"embedding": [0.5, 1.0], "index": index} for index in range(vectors)]
        answer = {"data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    script = Script(steps=(json.dumps(answer).encode(),), headers=JSON)
    return gateway([script], spoken=spoken, embeds=True)


def test_embeddings_relayed_to_google_change_only_in_the_models_name() -> None:
    one = embedder(2, "gemini.embeddings")
    reply = generate(one, "batchEmbedContents", body=BATCH)
    assert reply.json == {"embeddings": [{"values": [0.5, 1.0]}] * 2}
    (sent,) = one.upstreams["a"].sent
    assert sent.path == "/v1beta/models/up:batchEmbedContents"
    assert sent.body == BATCH.replace(b"models/m", b"models/up")


@pytest.mark.parametrize(("verb", "body", "count"), [("embedContent", SINGLE, 1), ("batchEmbedContents", BATCH, 2)])
def test_embeddings_of_another_provider(verb: str, body: bytes, count: int) -> None:
    one = embedder(count, "openai.embeddings")
    reply = generate(one, verb, body=body)
    wanted = {"embeddings": [{"values": [0.5, 1.0]}] * 2} if count == 2 else {"embedding": {"values": [0.5, 1.0]}}
    assert {name: reply.json[name] for name in wanted} == wanted
    assert reply.json["usageMetadata"] == {"promptTokenCount": 4}
    assert json.loads(one.upstreams["a"].sent[0].body)["input"] == (["hi"] if count == 1 else ["a", "b"])


def test_a_tasks_type_that_only_google_knows_is_refused_elsewhere() -> None:
    body = SINGLE.replace(b'"outputDimensionality":2', b'"taskType":"RETRIEVAL_QUERY"')
    reply = generate(embedder(1, "openai.embeddings"), "embedContent", body=body)
    assert reply.status == 400
    assert "taskType" in reply.json["error"]["message"]  # type: ignore[index]
