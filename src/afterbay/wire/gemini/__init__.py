"""Gemini's generateContent and streamGenerateContent, served to clients and spoken to providers.

fields, schema      how Google reads JSON; its Schema as JSON Schema
reader, settings    a client's body -> ChatRequest
writer, turns       ChatRequest -> a body for Gemini
parser, finish      answers -> events
renderer            events -> answers
errors              both ways
embeddings          batchEmbedContents and embedContent, both ways
"""

from __future__ import annotations

from types import MappingProxyType

from afterbay.wire.dialect import Dialect
from afterbay.wire.gemini.errors import parse_error, render_error
from afterbay.wire.gemini.parser import StreamParser, parse_answer
from afterbay.wire.gemini.reader import parse_request
from afterbay.wire.gemini.renderer import StreamRenderer, render_answer
from afterbay.wire.gemini.writer import CANNOT, build_request

DIALECT = Dialect(
    name="gemini",
    endpoint="",
    cannot=MappingProxyType(CANNOT),
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=StreamParser,
    parse_answer=parse_answer,
    renderer=StreamRenderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
)
"""The dialect, whole."""

__all__ = ["DIALECT"]
