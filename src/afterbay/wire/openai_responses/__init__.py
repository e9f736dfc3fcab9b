"""OpenAI's Responses API: served to clients, spoken to providers.

Besides the dialect, `history` has what a store of responses needs: `previous_response_id`, `expand`, `input_items`.
Source: the OpenAI API reference (November 2026), the SDK 3.57 and recorded traffic of 11 hosts.
"""

from __future__ import annotations

from afterbay.wire.dialect import Dialect
from afterbay.wire.openai_errors import parse_error, render_error
from afterbay.wire.openai_responses.answer import StreamParser, parse_answer
from afterbay.wire.openai_responses.build import CANNOT, build_request
from afterbay.wire.openai_responses.render import Renderer, render_answer
from afterbay.wire.openai_responses.request import parse_request
from afterbay.wire.openai_responses.trail import Trail

DIALECT = Dialect(
    name="openai.responses",
    relay_path=lambda path, model: "/responses",
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
)

__all__ = ["DIALECT"]
