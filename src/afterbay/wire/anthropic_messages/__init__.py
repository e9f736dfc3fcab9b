"""Anthropic's Messages API: served to clients, spoken to providers."""

from __future__ import annotations

from afterbay.wire.anthropic_messages.answer import StreamParser, parse_answer
from afterbay.wire.anthropic_messages.build import CANNOT, build_request
from afterbay.wire.anthropic_messages.errors import parse_error, render_error
from afterbay.wire.anthropic_messages.render import Renderer, render_answer
from afterbay.wire.anthropic_messages.request import parse_request
from afterbay.wire.anthropic_messages.trail import Trail
from afterbay.wire.dialect import Dialect

DIALECT = Dialect(
    name="anthropic.messages",
    relay_path=lambda path, model: "/v1/messages",
    cannot=CANNOT,
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=StreamParser,
    parse_answer=parse_answer,
    renderer=Renderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
    trail=Trail,
    tool_name=r"[a-zA-Z0-9_-]{1,128}",
)
"""The dialect, whole. A tool's name: "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'" (the API's own words,
modelcontextprotocol/modelcontextprotocol#1345)."""

__all__ = ["DIALECT"]
