"""Gemini's generateContent and streamGenerateContent, served to clients and spoken to providers.

fields, schema      how Google reads JSON; its Schema as JSON Schema
reader, settings    a client's body -> ChatRequest
writer, turns       ChatRequest -> a body for Gemini
parser, finish      answers -> events
renderer, array     events -> answers, streamed as SSE or as a JSON array
errors              both ways
embeddings          batchEmbedContents and embedContent, both ways
count               countTokens, both ways
paths               which model and method a path names
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from afterbay.wire.dialect import Dialect
from afterbay.wire.gemini.array import ArrayRenderer
from afterbay.wire.gemini.errors import parse_error, render_error
from afterbay.wire.gemini.parser import StreamParser, parse_answer
from afterbay.wire.gemini.paths import relay_path
from afterbay.wire.gemini.reader import parse_request
from afterbay.wire.gemini.renderer import StreamRenderer, render_answer
from afterbay.wire.gemini.trail import ArrayTrail, Trail
from afterbay.wire.gemini.writer import CANNOT, build_request

DIALECT = Dialect(
    name="gemini",
    relay_path=relay_path,
    cannot=MappingProxyType(CANNOT),
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=StreamParser,
    parse_answer=parse_answer,
    renderer=StreamRenderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
    trail=Trail,
    comments=False,
    streams_json=True,
    tool_name=r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}",
)
"""The dialect, whole. A tool's name: "must start with a letter or an underscore", letters, digits, underscores, dots
and dashes, "a maximum length of 64": what all of Google's references agree on (generativelanguage v1beta and Vertex
`FunctionDeclaration.name`, November 2026; newer ones allow colons and 128)."""

ARRAY_DIALECT = msgspec.structs.replace(
    DIALECT, renderer=ArrayRenderer, trail=ArrayTrail, stream_type="application/json; charset=UTF-8"
)
"""The same to a client that asks for a stream without `alt=sse`."""

__all__ = ["ARRAY_DIALECT", "DIALECT"]
