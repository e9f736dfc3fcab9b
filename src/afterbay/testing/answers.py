"""Requests and answers in every dialect, as short as a test wants them, made by the dialects themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.errors import ErrorKind, GatewayError
from afterbay.core.event import Event, Finished, FinishReason, Started, TextDelta, UsageSeen, fold
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Usage
from afterbay.testing.fakes import Script
from afterbay.testing.grammar import GRAMMARS, grammar_of, violations
from afterbay.wire import aws_stream
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

USAGE = Usage(input_tokens=11, output_tokens=7)
JSON: Mapping[str, str] = MappingProxyType({"content-type": "application/json"})


def ask(model: str, text: str = "hello", **fields: Any) -> bytes:
    """A chat request in the words that chat completions and messages share; `fields` are added."""
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}
    return msgspec.json.encode(body)


def built(dialect: str, model: str, text: str = "hello") -> bytes:
    """A chat request as a dialect builds it."""
    request = ChatRequest(model, (Message("user", (Text(text),)),))
    return DIALECTS[dialect].build_request(request, model).body


def events_of(texts: Sequence[str], usage: Usage | None = USAGE, finish: FinishReason = "stop") -> list[Event]:
    """An answer of these texts as events."""
    said: list[Event] = [TextDelta(text) for text in texts]
    counted: list[Event] = [UsageSeen(usage)] if usage is not None else []
    return [Started("answer-1", "upstream-model"), *said, *counted, Finished(finish)]


def stream(dialect: str, *texts: str, usage: Usage | None = USAGE, finish: FinishReason = "stop") -> list[bytes]:
    """A streamed answer, cut into whole events. Each text is one event, or several where the dialect has it so."""
    head = Head("seed", "upstream-model", 1_770_000_000, include_usage=usage is not None)
    renderer = DIALECTS[dialect].renderer(head)
    pieces = [renderer.render([event]) for event in events_of(texts, usage, finish)]
    whole = b"".join(pieces) + renderer.finish(None)
    if DIALECTS[dialect].stream_type == aws_stream.CONTENT_TYPE:
        return _frames(whole)
    if dialect in GRAMMARS and (usage is None or usage.is_plausible):  # others say what no provider can mean
        accents = ("no usage",) if usage is None and "no usage" in grammar_of(dialect).ACCENTS else ()
        wrong = violations(dialect, whole, *accents)
        assert not wrong, f"the {dialect} stream breaks its grammar: {wrong}"  # noqa: S101
    return re.findall(rb".+?(?:\r\n\r\n|\n\n)", whole, re.DOTALL)


def _frames(whole: bytes) -> list[bytes]:
    """Amazon's frames: each begins with its own length."""
    found: list[bytes] = []
    while whole:
        length = int.from_bytes(whole[:4], "big")
        found.append(whole[:length])
        whole = whole[length:]
    return found


def streamed(dialect: str, *texts: str, usage: Usage | None = USAGE, finish: FinishReason = "stop") -> Script:
    """The script of a provider that streams these texts."""
    headers = {"content-type": DIALECTS[dialect].stream_type}
    return Script(steps=tuple(stream(dialect, *texts, usage=usage, finish=finish)), headers=headers)


def whole(dialect: str, text: str, usage: Usage | None = USAGE, finish: FinishReason = "stop") -> bytes:
    """A whole answer."""
    head = Head("seed", "upstream-model", 1_770_000_000)
    reply = fold(events_of([text] if text else [], usage, finish))
    return DIALECTS[dialect].render_answer(reply, head, None)[0]


def answered(dialect: str, text: str, usage: Usage | None = USAGE, finish: FinishReason = "stop") -> Script:
    """The script of a provider that answers with this text."""
    return Script(steps=(whole(dialect, text, usage, finish),), headers=JSON)


def failed(
    dialect: str, status: int, kind: ErrorKind, message: str = "no", *, retry_after: str | None = None
) -> Script:
    """The script of a provider that answers with an error of its own."""
    error = GatewayError(message, status=status, kind=kind)
    headers = dict(JSON) | ({"retry-after": retry_after} if retry_after is not None else {})
    return Script(steps=(DIALECTS[dialect].render_error(error, "upstream-1"),), status=status, headers=headers)
