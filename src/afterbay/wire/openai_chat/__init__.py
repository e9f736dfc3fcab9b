"""OpenAI's chat completions, which most providers and local servers speak with their own accents.

`request` reads requests, `build` writes them, `accents` knows which host wants them otherwise; `answer` reads answers,
`render` writes them; errors are `wire.openai_errors`.
Source: the OpenAI API reference (chat completions, read November 2026) and recorded traffic of 27 hosts.
"""

from __future__ import annotations

from functools import partial

from afterbay.wire.dialect import Dialect, Host
from afterbay.wire.openai_chat.accents import ACCENTS
from afterbay.wire.openai_chat.answer import ChunkParser, parse_answer
from afterbay.wire.openai_chat.render import ChunkRenderer, render_answer
from afterbay.wire.openai_chat.request import build_request, parse_request
from afterbay.wire.openai_chat.trail import Trail
from afterbay.wire.openai_errors import parse_error, render_error

CANNOT = {
    "top_k": "chat completions have no top_k",
    "document_urls": "chat completions take files inline or by file id, not by URL",
}

HOSTS = {
    vendor: Host(partial(build_request, accent=accent), accent.features, accent.can, accent.unsaid)
    for vendor, accent in ACCENTS.items()
}

DIALECT = Dialect(
    name="openai.chat",
    relay_path=lambda path, model: "/chat/completions",
    cannot=CANNOT,
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=ChunkParser,
    parse_answer=parse_answer,
    renderer=ChunkRenderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
    trail=Trail,
    hosts=HOSTS,
)
