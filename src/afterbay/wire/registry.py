"""All dialects by name: one line a dialect, for each of the three things that are asked of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from afterbay.core.request import ChatRequest, EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire import (
    anthropic_messages,
    bedrock,
    cohere,
    gemini,
    openai_chat,
    openai_embeddings,
    openai_responses,
)
from afterbay.wire.anthropic_messages import count as anthropic_count
from afterbay.wire.cohere import embeddings as cohere_embeddings
from afterbay.wire.dialect import Built, Dialect
from afterbay.wire.gemini import count as gemini_count
from afterbay.wire.gemini import embeddings as gemini_embeddings
from afterbay.wire.gemini import paths as gemini_paths
from afterbay.wire.openai_responses import count as responses_count


class EmbedDialect(msgspec.Struct, frozen=True):
    """How vectors are asked for and given, both directions; `relay_path` as in `Dialect`.

    parse_request    (body, model from the path or None) -> EmbedRequest; raises ClientMistake naming the field
    build_request    (request, upstream model) -> Built
    parse_answer     (body) -> vectors in the order of the inputs, and usage; raises ValueError when it is none
    render_answer    (vectors, usage, upstream model, request) -> body
    """

    parse_request: Callable[[bytes, str | None], EmbedRequest]
    build_request: Callable[[EmbedRequest, str], Built]
    parse_answer: Callable[[bytes], tuple[list[list[float]], Usage | None]]
    render_answer: Callable[[list[list[float]], Usage | None, str, EmbedRequest], bytes]
    relay_path: Callable[[str, str], str]


class Counter(msgspec.Struct, frozen=True):
    """How a count of tokens is asked for and given, both directions; names as in `EmbedDialect`."""

    parse_request: Callable[[bytes, str | None], ChatRequest]
    build_request: Callable[[ChatRequest, str], Built]
    parse_answer: Callable[[bytes], int]
    render_answer: Callable[[int], bytes]
    relay_path: Callable[[str, str], str]


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        one.name: one
        for one in (
            openai_chat.DIALECT,
            openai_responses.DIALECT,
            anthropic_messages.DIALECT,
            gemini.DIALECT,
            bedrock.DIALECT,
            cohere.DIALECT,
        )
    }
)

EMBED_DIALECTS: Mapping[str, EmbedDialect] = MappingProxyType(
    {
        "openai.embeddings": EmbedDialect(
            openai_embeddings.parse_request,
            openai_embeddings.build_request,
            openai_embeddings.parse_answer,
            openai_embeddings.render_answer,
            lambda path, model: "/embeddings",
        ),
        "gemini.embeddings": EmbedDialect(
            gemini_embeddings.parse_request,
            gemini_embeddings.build_request,
            gemini_embeddings.parse_answer,
            gemini_embeddings.render_answer,
            gemini_paths.relay_path,
        ),
        "cohere.embeddings": EmbedDialect(
            cohere_embeddings.parse_request,
            cohere_embeddings.build_request,
            cohere_embeddings.parse_answer,
            cohere_embeddings.render_answer,
            lambda path, model: cohere_embeddings.PATH,
        ),
    }
)

EMBEDS_AS: Mapping[str, str] = MappingProxyType({"openai.chat": "openai.embeddings", "gemini": "gemini.embeddings"})
"""A client's protocol -> the dialect in which it asks for vectors."""

COUNTERS: Mapping[str, Counter] = MappingProxyType(
    {
        "anthropic.messages": Counter(
            anthropic_count.parse_count_request,
            anthropic_count.build_count_request,
            anthropic_count.parse_count_answer,
            anthropic_count.render_count_answer,
            lambda path, model: anthropic_count.PATH,
        ),
        "openai.responses": Counter(
            responses_count.parse_count_request,
            responses_count.build_count_request,
            responses_count.parse_count_answer,
            responses_count.render_count_answer,
            lambda path, model: responses_count.PATH,
        ),
        "gemini": Counter(
            gemini_count.parse_count_request,
            gemini_count.build_count_request,
            gemini_count.parse_count_answer,
            gemini_count.render_count_answer,
            gemini_paths.relay_path,
        ),
    }
)
"""By the name of the chat dialect that it belongs to."""
