"""Cohere's chat API, version 2: spoken to providers, and symmetric like every dialect.

`request` reads a body, `build` writes one, `answer` reads answers, `render` writes them, `errors` does both for
errors, `embeddings` makes vectors. Sources: docs.cohere.com/reference/chat and /reference/chat-stream, the types of the
`cohere` SDK 7.3.1 (November 2026), and recorded traffic.
"""

from __future__ import annotations

from afterbay.wire.cohere.answer import StreamParser, parse_answer
from afterbay.wire.cohere.build import CANNOT, PATH, build_request
from afterbay.wire.cohere.errors import parse_error, render_error
from afterbay.wire.cohere.render import Renderer, render_answer
from afterbay.wire.cohere.request import parse_request
from afterbay.wire.dialect import Dialect

DIALECT = Dialect(
    name="cohere.chat",
    relay_path=lambda path, model: PATH,
    cannot=CANNOT,
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=StreamParser,
    parse_answer=parse_answer,
    renderer=Renderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
)

__all__ = ["DIALECT"]
