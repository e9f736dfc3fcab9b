"""The grammars over recorded traffic: what providers stream, what our parsers make of it, what our renderers write.

A provider's own deviations are accents, named here by API; an accent that no recording needs fails. What our renderers
write for clients has none, but for two cases that the provider's answer itself brings along.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.event import Event, Failed, UsageSeen
from afterbay.testing.grammar import GRAMMARS, event_violations, violations
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import Splitter

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared") / "data" / "wire"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no recordings: AFTERBAY_SHARED names no folder with data/wire"),
]

SPOKEN = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
}
"""The language by the end of an API's name. Cohere's chat is one of its own."""

_COUNTS = "usage beside choices"
ACCENTS: dict[str, tuple[str, ...]] = {
    "anthropic.messages": ("done after stop",),
    "azure.chat": ("chunk of its own first", "no finish key"),
    "azure.responses": ("sealed again",),
    "bedrock.responses": ("no names", "parts in one row"),
    "chatgpt.responses": ("output left out",),
    "cloudflare.chat": (_COUNTS, "role left out", "no finish key"),
    "copilot.chat": (_COUNTS, "chunk of its own first", "no finish key"),
    "databricks.chat": (_COUNTS, "role in every delta", "usage in part", "no arguments", "created per chunk"),
    "deepseek.chat": (_COUNTS,),
    "doubleword.chat": (_COUNTS, "role in every delta", "finish again", "no finish key"),
    "gemini.chat": (_COUNTS, "no identity", "calls in one piece"),
    "gpustack.chat": (_COUNTS, "no done", "role left out", "created per chunk"),
    "groq.chat": (_COUNTS, "created per chunk", "role left out", "other identity", "named error"),
    "huggingface.chat": (_COUNTS, "no done", "no finish key", "role in every delta"),
    "llamacpp.chat": ("usage twice",),
    "mistral.chat": (_COUNTS, "calls in one piece", "content in parts"),
    "mistralrs.chat": (_COUNTS, "role in every delta"),
    "ollama.chat": ("created per chunk", "role in every delta", "calls in one piece"),
    # Two of its recordings, of a model that is not OpenAI's, came through OpenRouter.
    "openai.chat": (_COUNTS, "role in every delta", "finish again", "no arguments"),
    "openai.responses": ("sealed again", "added complete"),
    "openrouter.chat": (_COUNTS, "role in every delta", "finish again", "type again", "done after an error"),
    "openrouter.responses": ("no names", "done", "minted ids"),
    "perplexity.chat": (_COUNTS, "no done", "no finish key", "role in every delta", "other identity"),
    "snowflake.chat": ("no finish key", "no identity", "role in every delta", "no finish"),
    "venice.chat": (_COUNTS, "role in every delta", "type again"),
    "vertex.streamGenerateContent": ("numbers for words", "usage in part"),
    "writer.chat": ("no done", "role in every delta", "no arguments"),
    "xai.chat": (_COUNTS, "role in every delta", "no finish key", "created per chunk"),
}
UNCOUNTED = {"gemini", "openai.responses"}
"""Languages whose last event must have usage: an answer that nobody counted needs an accent in them."""
MASKED = {"copilot.responses"}
"""Ids in these recordings were replaced one by one, so that no two are the same any more."""
UNFINISHED = {"1a63c9f55a842e60"}
"""A whole answer of a model of 2023 without a finish reason. Snowflake never gives one."""
TORN = {"7192646b16099141"}
"""The provider cut a call off after 16 tokens and said `tool_calls`: there is no right end for it in Messages."""


def recorded(*, streams: bool) -> Iterator[tuple[str, str, str, bytes]]:
    """API, language, id and body of all answers with status 200 in one of the languages."""
    for path in sorted(SHARED.glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            host, _, kind = row["api"].partition(".")
            response: dict[str, Any] = row["response"]
            if kind not in SPOKEN or host == "cohere" or response["status"] != 200:
                continue
            body = response["body"]
            is_stream = row["stream"] and body.lstrip().startswith(("data:", "event:", ":", "["))
            if response.get("body_encoding") != "base64" and (is_stream or not streams):
                yield row["api"], SPOKEN[kind], row["id"], body.encode()


def test_recorded_streams_pass_with_their_provider_s_accents() -> None:
    wrong, needed, count = list[str](), dict[str, set[str]](), 0
    for api, dialect, name, body in recorded(streams=True):
        if api in MASKED:
            continue
        count += 1
        accents = ACCENTS.get(api, ())
        wrong += [f"{api} {name}: {said}" for said in violations(dialect, body, *accents)]
        for accent in accents:
            if violations(dialect, body, *(other for other in accents if other != accent)):
                needed.setdefault(api, set()).add(accent)
    assert count > 300
    assert wrong == []
    unneeded = {api: set(accents) - needed.get(api, set()) for api, accents in ACCENTS.items()}
    assert {api: accents for api, accents in unneeded.items() if accents} == {}


def events_of(dialect: str, body: bytes) -> list[Event]:
    """What our parser makes of an answer."""
    spoken = DIALECTS[dialect]
    if not body.lstrip().startswith((b"data:", b"event:", b":")):
        return spoken.parse_answer(body, "seed")
    parser, splitter, out = spoken.stream_parser("seed"), Splitter(), list[Event]()
    for name, data in splitter.feed(body)[1] + splitter.rest()[1]:
        if not parser.is_over:
            parser.push(name, data, out)
    return out


def parsed() -> Iterator[tuple[str, str, list[Event]]]:
    """API, id and events of every answer in a language that we have a parser for."""
    for api, dialect, name, body in recorded(streams=False):
        if dialect in DIALECTS:
            yield api, name, events_of(dialect, body)


def test_our_parsers_keep_the_rules_of_canonical_events() -> None:
    wrong, count = list[str](), 0
    for api, name, events in parsed():
        count += 1
        accents = ("no finish",) if api == "snowflake.chat" or name in UNFINISHED else ()
        wrong += [f"{api} {name}: {said}" for said in event_violations(events, *accents)]
    assert count > 650
    assert wrong == []


@pytest.mark.parametrize("client", [name for name in GRAMMARS if name in DIALECTS])
@pytest.mark.parametrize("include_usage", [True, False])
def test_every_recorded_answer_is_a_good_stream_for_every_client(client: str, include_usage: bool) -> None:
    wrong, count = list[str](), 0
    for api, name, events in parsed():
        if any(isinstance(event, Failed) for event in events):
            continue
        count += 1
        renderer = DIALECTS[client].renderer(Head("s", "m", 5, include_usage, 7))
        raw = b"".join(renderer.render([event]) for event in events) + renderer.finish({"cost_usd": 1})
        accents: tuple[str, ...] = ()
        if client in UNCOUNTED and not any(isinstance(event, UsageSeen) for event in events):
            accents = ("no usage",)
        elif client == "anthropic.messages" and name in TORN:
            accents = ("torn input",)
        wrong += [f"{api} {name}: {said}" for said in violations(client, raw, *accents)]
    assert count > 650
    assert wrong == []
