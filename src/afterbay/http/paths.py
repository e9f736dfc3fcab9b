"""Which path means which operation in which protocol: one table."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

Operation: TypeAlias = Literal[
    "chat", "embeddings", "count_tokens", "models", "request", "live", "ready", "metrics", "not_built", "index"
]


class Endpoint(msgspec.Struct, frozen=True):
    """What a path stands for. `dialect` is the protocol that errors are written in; `argument` comes from the path."""

    operation: Operation
    method: str
    dialect: str = "openai.chat"
    argument: str | None = None


_EXACT: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint("chat", "POST"),
    "/v1/messages": Endpoint("chat", "POST", "anthropic.messages"),
    "/v1/messages/count_tokens": Endpoint("count_tokens", "POST", "anthropic.messages"),
    "/v1/embeddings": Endpoint("embeddings", "POST"),
    "/v1/models": Endpoint("models", "GET"),
    "/v1beta/models": Endpoint("models", "GET", "gemini"),
    "/health/live": Endpoint("live", "GET"),
    "/health/ready": Endpoint("ready", "GET"),
    "/metrics": Endpoint("metrics", "GET"),
    "/": Endpoint("index", "GET"),
}

_NOT_BUILT = (
    "/v1/responses",
    "/v1/moderations",
    "/v1/files",
    "/v1/batches",
    "/v1/messages/batches",
    "/v1/feedback",
    "/passthrough",
    "/admin",
    "/ui",
    "/openapi.json",
)
"""Promised by the interface, not there yet: 501 in the client's protocol."""

_GEMINI = re.compile(r"/v1(?:beta)?/models/(?P<model>.+):(?P<verb>[A-Za-z]+)$")


def find(path: str) -> Endpoint | None:
    """The endpoint of a path; None if there is none."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    gemini = _GEMINI.match(path)
    if gemini is not None:
        return Endpoint("not_built", "POST", "gemini", f"Gemini's {gemini['verb']}")
    for prefix in ("/v1/models/", "/v1beta/models/"):
        if path.startswith(prefix) and len(path) > len(prefix):
            dialect = "gemini" if prefix.startswith("/v1beta") else "openai.chat"
            return Endpoint("models", "GET", dialect, path[len(prefix) :])
    if path.startswith("/v1/requests/"):
        return Endpoint("request", "GET", "openai.chat", path.removeprefix("/v1/requests/"))
    for prefix in _NOT_BUILT:
        if path == prefix or path.startswith(prefix + "/"):
            dialect = "anthropic.messages" if prefix.startswith("/v1/messages") else "openai.chat"
            return Endpoint("not_built", "*", dialect, path)
    return None
