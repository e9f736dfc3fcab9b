"""Two hundred streams at once: mixed clients, mixed providers, and bytes that arrive cut at random places.

Text, reasoning and tool calls, with characters of two to four bytes, so that many cuts fall inside one. Every stream
keeps its grammar (`LiveGateway` sees to it), and says what it says uncut, which is what the provider said.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest

from afterbay.core.event import (
    Event,
    Finished,
    ReasoningDelta,
    Reply,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Message, Text, Thinking, ToolUse
from afterbay.core.usage import Usage
from afterbay.http import paths
from afterbay.testing.grammar import GRAMMARS, violations
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayServer, pieces
from afterbay.testing.stream_watch import dialect_of
from afterbay.wire.dialect import Head
from afterbay.wire.gemini import ARRAY_DIALECT
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import Splitter

STREAMS = 200
HELLO = [{"role": "user", "content": "hello"}]
WORDS = ("Grüße ", "naïve ", "Fluß\n", "日本語 ", "🙂🙃 ", '"quoted" \\ ', "data: [DONE]\n\n", "plain ", "é", "\u2028")


class Client(NamedTuple):
    """How a protocol asks for a stream: the path, and what its body has beside a model."""

    path: str
    body: Mapping[str, Any]
    dialect: str


_CONTENTS = {"contents": [{"parts": [{"text": "hello"}]}]}
CLIENTS: dict[str, Client] = {
    "chat": Client(
        "/v1/chat/completions",
        {"messages": HELLO, "stream_options": {"include_usage": True}},
        "openai.chat",
    ),
    "responses": Client("/v1/responses", {"input": "hello", "store": False}, "openai.responses"),
    "messages": Client("/v1/messages", {"messages": HELLO, "max_tokens": 999}, "anthropic.messages"),
    "gemini": Client("/v1beta/models/{model}:streamGenerateContent?alt=sse", _CONTENTS, "gemini"),
    "gemini array": Client("/v1beta/models/{model}:streamGenerateContent", _CONTENTS, "gemini"),
}
PROVIDERS = {"openai": "openai.chat", "anthropic": "anthropic.messages", "google": "gemini"}


def answer(number: int) -> list[Event]:
    """What a model says: reasoning, text, up to three calls, in any order of blocks that every protocol has."""
    rng = random.Random(number)

    def said(most: int) -> list[str]:
        return ["".join(rng.choices(WORDS, k=rng.randint(1, 3))) for _ in range(rng.randint(1, most))]

    events: list[Event] = [Started(f"msg_{number}", "up")]
    if rng.random() < 0.5:
        events += [ReasoningDelta(text) for text in said(5)]
    if rng.random() < 0.9:
        events += [TextDelta(text) for text in said(9)]
    calls = rng.randint(0, 3)
    for call in range(calls):
        arguments = json.dumps({"text": "".join(said(4)), "n": [1.5, None]}, ensure_ascii=rng.random() < 0.5)
        events.append(ToolCallStarted(call, f"toolu_{number}_{call}", "f"))
        cut = rng.randint(1, len(arguments) - 1)
        events += [ToolCallDelta(call, piece) for piece in (arguments[:cut], arguments[cut:])]
    finish = "tool_calls" if calls else rng.choice(["stop", "length"])
    return [*events, Finished(finish), UsageSeen(Usage(number + 1, 0, 0, 5, 0))]  # type: ignore[arg-type]


def provider(request: Received) -> Answer:
    """Plays all providers. The model's name is the number of the answer, and whether its bytes are cut."""
    is_gemini = "/models/" in request.path
    model = request.path.rpartition("/models/")[2].partition(":")[0] if is_gemini else json.loads(request.body)["model"]
    number, _, cut = model.removeprefix("answer-").partition("-")
    dialect, kind = DIALECTS[dialect_of(request.path)], "text/event-stream"
    if is_gemini:
        dialect = dialect if "alt=sse" in request.path else ARRAY_DIALECT
        kind = dialect.stream_type
    renderer = dialect.renderer(Head(f"s{number}", model, 5, True, 3))
    body = b"".join(renderer.render([event]) for event in answer(int(number))) + renderer.finish()
    return Answer(200, {"content-type": kind}, body, int(number) if cut else None)


async def ask(http: aiohttp.ClientSession, url: str, number: int, *, cut: bool) -> tuple[str, bytes]:
    """The stream that a client gets of an answer, by the number's protocols; and the language it is in."""
    names, spoken = list(CLIENTS), list(PROVIDERS)
    client = CLIENTS[names[number % len(names)]]
    model = f"{spoken[number // len(names) % len(spoken)]}/answer-{number}" + ("-cut" if cut else "")
    body = dict(client.body) if "{model}" in client.path else {"model": model, "stream": True, **client.body}
    headers = {"anthropic-version": "2023-06-01"} if client.dialect == "anthropic.messages" else {}
    async with http.post(url + client.path.replace("{model}", model), json=body, headers=headers) as response:
        raw = await response.read()
        assert response.status == 200, raw
        return client.dialect, raw


def read(dialect: str, raw: bytes) -> Reply:
    """What a client makes of a stream."""
    spoken = DIALECTS[dialect]
    if raw.startswith(b"["):
        return fold(spoken.parse_answer(raw, "seed"))
    parser, splitter, events = spoken.stream_parser("seed"), Splitter(), list[Event]()
    for name, data in splitter.feed(raw)[1]:
        parser.push(name, data, events)
    assert parser.is_complete
    assert splitter.rest()[0] == b""
    return fold(events)


def told(message: Message) -> tuple[str, str, list[tuple[str, str, Any]]]:
    """Text, reasoning and calls: what all protocols carry."""
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    reasoning = "".join(part.text for part in message.parts if isinstance(part, Thinking))
    calls = [(one.id, one.name, json.loads(one.arguments)) for one in message.parts if isinstance(one, ToolUse)]
    return text, reasoning, calls


async def all_at_once(url: str, *, cut: bool) -> list[tuple[str, bytes]]:
    connector = aiohttp.TCPConnector(limit=STREAMS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as http:
        return await asyncio.gather(*(ask(http, url, number, cut=cut) for number in range(STREAMS)))


def test_there_is_a_client_for_every_language() -> None:
    """A new path for chats needs a line in `CLIENTS`."""
    streamed = ("chat", "responses")
    served = {endpoint.dialect for endpoint in paths._EXACT.values() if endpoint.operation in streamed} | {"gemini"}
    assert {client.dialect for client in CLIENTS.values()} == served
    assert served <= GRAMMARS.keys()
    assert set(PROVIDERS.values()) <= set(DIALECTS)
    assert len(CLIENTS) * len(PROVIDERS) * 5 <= STREAMS


def test_many_streams_are_cut_inside_a_character() -> None:
    def is_whole(piece: bytes) -> bool:
        return piece.decode("utf-8", "ignore").encode() == piece

    request = b'{"model": "answer-%d-cut"}'
    sent = [provider(Received("POST", "/v1/chat/completions", {}, request % number)) for number in range(STREAMS)]
    split = [not all(map(is_whole, pieces(answer.body, answer.seed))) for answer in sent]
    assert sum(split) > STREAMS / 3


@pytest.fixture(scope="module")
def upstream() -> Any:
    with ReplayServer(provider) as server:
        yield server


async def test_two_hundred_mixed_streams_in_random_pieces_say_what_was_said(upstream: ReplayServer) -> None:
    address = upstream.url
    kinds = {"openai": ("openai", f"{address}/v1"), "anthropic": ("anthropic", address), "google": ("gemini", address)}
    config = {
        "providers": {
            name: {"kind": kind, "base_url": base_url, "api_key": "sk-up"} for name, (kind, base_url) in kinds.items()
        }
    }
    gateway = await asyncio.to_thread(LiveGateway(config).__enter__)
    try:
        in_pieces = await all_at_once(gateway.url, cut=True)
        whole = await all_at_once(gateway.url, cut=False)
    finally:
        await asyncio.to_thread(gateway.close)
    assert gateway.watch.streams == 2 * STREAMS
    assert gateway.watch.broken == []
    for number, ((dialect, cut), (_, uncut)) in enumerate(zip(in_pieces, whole, strict=True)):
        assert violations(dialect, cut) == []
        got, same, wanted = read(dialect, cut), read(dialect, uncut), fold(answer(number))
        assert (got.choices, got.usage) == (same.choices, same.usage), f"stream {number}"
        assert told(got.choices[0].message) == told(wanted.choices[0].message), f"stream {number}"
        assert got.choices[0].finish == wanted.choices[0].finish
        assert got.usage == wanted.usage
