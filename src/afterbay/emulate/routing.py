"""Which provider and which operation a path means.

    /openai/v1/chat/completions, /responses, /embeddings, /models[/{id}]
    /anthropic/v1/messages, /messages/count_tokens, /models[/{id}]
    /gemini/v1beta/models[/{model}], /models/{model}:generateContent, :streamGenerateContent, :countTokens,
                                     :embedContent, :batchEmbedContents; the same under /v1

A provider may be there several times: `/openai-b/v1/...` is another one with a profile and numbers of its own. One
called `any` (`/any-b/v1/...`) speaks all three protocols, as some clouds do. There, and without a prefix, the path
decides, and for `/v1/models` the header `anthropic-version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias
from urllib.parse import unquote

import msgspec

from afterbay.emulate.protocols import PROTOCOLS, RESPONSES, Protocol

Operation: TypeAlias = Literal["chat", "embeddings", "batch_embeddings", "count", "models", "model"]

_PREFIX = re.compile(r"/((openai|anthropic|gemini|any)(?:-[a-z0-9]{1,20})?)(/v.*)")
_GOOGLE = re.compile(r"/(?:v1beta|v1)/models/(.+):([A-Za-z]+)")
_MODELS = re.compile(r"/(v1beta|v1)/models(?:/(.+))?")
_PLAIN: Mapping[str, tuple[Protocol, Operation]] = MappingProxyType(
    {
        "/v1/chat/completions": (PROTOCOLS["openai"], "chat"),
        "/v1/responses": (RESPONSES, "chat"),
        "/v1/embeddings": (PROTOCOLS["openai"], "embeddings"),
        "/v1/messages": (PROTOCOLS["anthropic"], "chat"),
        "/v1/messages/count_tokens": (PROTOCOLS["anthropic"], "count"),
    }
)
_VERBS: Mapping[str, Operation] = MappingProxyType(
    {
        "generateContent": "chat",
        "streamGenerateContent": "chat",
        "countTokens": "count",
        "embedContent": "embeddings",
        "batchEmbedContents": "batch_embeddings",
    }
)


class Call(msgspec.Struct, frozen=True):
    """What is asked of whom. `model` and `stream` where the path says them."""

    provider: str
    protocol: Protocol
    operation: Operation
    method: Literal["GET", "POST"]
    model: str | None = None
    stream: bool | None = None


def is_provider(name: str) -> bool:
    """Whether a provider may have this name: `openai`, `openai-b`, `any-b`, ..."""
    return _PREFIX.fullmatch(f"/{name}/v") is not None


def find(path: str, headers: Mapping[str, str]) -> Call | None:
    """The call that a path (as it came, percent-encoded) means; None: there is nothing."""
    match = _PREFIX.fullmatch(path)
    provider, protocol = (match[1], match[2] if match[2] in PROTOCOLS else None) if match else (None, None)
    rest = match[3] if match else path
    call = _rest(rest, protocol, headers)
    if call is None or (protocol is not None and call.protocol.name != protocol):
        return None
    return msgspec.structs.replace(call, provider=provider) if provider else call


def _rest(path: str, protocol: str | None, headers: Mapping[str, str]) -> Call | None:
    if path in _PLAIN:
        spoken, operation = _PLAIN[path]
        return Call(spoken.name, spoken, operation, "POST")
    google = _GOOGLE.fullmatch(path)
    if google is not None and google[2] in _VERBS:
        verb = google[2]
        stream = verb == "streamGenerateContent" if _VERBS[verb] == "chat" else None
        return Call("gemini", PROTOCOLS["gemini"], _VERBS[verb], "POST", unquote(google[1]), stream)
    models = _MODELS.fullmatch(path)
    if models is None:
        return None
    name = protocol or _by_version(models[1], headers)
    model = unquote(models[2]) if models[2] else None
    return Call(name, PROTOCOLS[name], "model" if model else "models", "GET", model)


def _by_version(version: str, headers: Mapping[str, str]) -> str:
    if version == "v1beta" or "x-goog-api-key" in headers:
        return "gemini"
    return "anthropic" if "anthropic-version" in headers else "openai"
