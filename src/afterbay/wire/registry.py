"""All dialects by name: one line a dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire import anthropic_messages, gemini, openai_chat, openai_embeddings
from afterbay.wire.dialect import Built, Dialect
from afterbay.wire.gemini import embeddings as gemini_embeddings


class EmbedDialect(msgspec.Struct, frozen=True):
    """How a provider makes embeddings: build a request, read vectors and usage out of its answer."""

    build_request: Callable[[EmbedRequest, str], Built]
    parse_answer: Callable[[bytes], tuple[list[list[float]], Usage | None]]


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {one.name: one for one in (openai_chat.DIALECT, anthropic_messages.DIALECT, gemini.DIALECT)}
)

EMBED_DIALECTS: Mapping[str, EmbedDialect] = MappingProxyType(
    {
        "openai.embeddings": EmbedDialect(openai_embeddings.build_request, openai_embeddings.parse_answer),
        "gemini.embeddings": EmbedDialect(gemini_embeddings.build_request, gemini_embeddings.parse_answer),
    }
)
