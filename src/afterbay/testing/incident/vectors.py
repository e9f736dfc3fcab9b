"""Stand-ins for embeddings: texts of the same measure, and as many vectors as were asked for."""

from __future__ import annotations

from typing import Final

import msgspec

from afterbay.core.decision import Record
from afterbay.core.request import EmbedRequest
from afterbay.core.shape import filler
from afterbay.core.usage import Usage
from afterbay.engine.embed import ERRORS_AS
from afterbay.wire.dialect import Dialect
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS, EMBEDS_AS
from afterbay.wire.splice import rename_model, replace_model

_SIZE: Final = 8
"""A vector that nobody computed needs no more numbers."""


class Vectors:
    """A request for vectors, and the answers to it. `body` is the client's."""

    def __init__(self, record: Record, body: bytes) -> None:
        self._request = EMBED_DIALECTS[EMBEDS_AS[record.protocol]].parse_request(body, record.requested_model)

    def answer(self, dialect: str, model: str, usage: Usage | None) -> bytes:
        """The answer of a target."""
        wanted = self._request.dimensions or _SIZE
        vectors = [[0.0] * min(wanted, _SIZE)] * len(self._request.inputs)
        return EMBED_DIALECTS[dialect].render_answer(vectors, usage, model, self._request)


def errors_of(dialect: str) -> Dialect:
    """The dialect in which a target of this one tells errors."""
    return DIALECTS[ERRORS_AS[dialect]]


def plain_body(record: Record, chars: int) -> bytes:
    """A request for the vector of one text of this length."""
    request = EmbedRequest(record.requested_model, (filler(chars, max(chars // 6, 1)),))
    return EMBED_DIALECTS[EMBEDS_AS[record.protocol]].build_request(request, record.requested_model).body


def named(record: Record, body: bytes, stand_in: str) -> bytes:
    """The body with the model's name in place of what stands for it."""
    if record.protocol == "gemini":
        return rename_model(body, stand_in, record.requested_model)
    return replace_model(body, record.requested_model)


def asked_of(record: Record, spoken: str, model: str, raw: bytes) -> bytes:
    """The client's body, made from what was sent to a target."""
    client = EMBEDS_AS[record.protocol]
    if spoken == client:
        return named(record, raw, model)
    request = msgspec.structs.replace(EMBED_DIALECTS[spoken].parse_request(raw, model), model=record.requested_model)
    return EMBED_DIALECTS[client].build_request(request, record.requested_model).body
