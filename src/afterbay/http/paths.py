"""Which path means which operation in which protocol: one table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias
from urllib.parse import parse_qs

import msgspec

from afterbay.wire import gemini
from afterbay.wire.dialect import Dialect
from afterbay.wire.gemini.paths import Asked, read_path
from afterbay.wire.registry import DIALECTS

Operation: TypeAlias = Literal[
    "chat",
    "responses",
    "embeddings",
    "count_tokens",
    "moderations",
    "compaction",
    "response",
    "models",
    "request",
    "feedback",
    "reconnect",
    "live",
    "ready",
    "metrics",
    "not_built",
    "index",
    "admin",
]


class Endpoint(msgspec.Struct, frozen=True):
    """What a path stands for.

    `method`: those that it takes, with blanks between them. `dialect` is the protocol that errors are written in;
    `argument` comes from the path. `model` and `stream` are what the path says of a request, where its protocol has
    that in the path.
    """

    operation: Operation
    method: str
    dialect: str = "openai.chat"
    argument: str | None = None
    model: str | None = None
    stream: bool | None = None


_EXACT: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint("chat", "POST"),
    "/v1/responses": Endpoint("responses", "POST", "openai.responses"),
    "/v1/responses/input_tokens": Endpoint("count_tokens", "POST", "openai.responses"),
    "/v1/responses/compact": Endpoint("compaction", "POST", "openai.responses"),
    "/v1/messages": Endpoint("chat", "POST", "anthropic.messages"),
    "/v1/messages/count_tokens": Endpoint("count_tokens", "POST", "anthropic.messages"),
    "/v1/embeddings": Endpoint("embeddings", "POST"),
    "/v1/moderations": Endpoint("moderations", "POST"),
    "/v1/feedback": Endpoint("feedback", "POST"),
    "/v1/models": Endpoint("models", "GET"),
    "/v1beta/models": Endpoint("models", "GET", "gemini"),
    "/health/live": Endpoint("live", "GET"),
    "/health/ready": Endpoint("ready", "GET"),
    "/metrics": Endpoint("metrics", "GET"),
    "/": Endpoint("index", "GET"),
}

_NOT_BUILT = (
    "/v1/files",
    "/v1/batches",
    "/v1/messages/batches",
    "/admin",
    "/ui",
    "/openapi.json",
)
"""Promised by the interface, not there yet: 501 in the client's protocol."""

ADMIN_PREFIX = "/admin/v1/"
"""What follows is read in `afterbay.http.admin`."""

_OPENAI_ONLY = frozenset({"chat", "embeddings", "moderations"})
"""Operations whose paths without a dialect of their own are OpenAI's alone."""

_KEPT = re.compile(r"/v1/responses/(?P<id>[^/]+)(?P<part>|/cancel|/input_items)")
_STREAM = re.compile(r"/v1/requests/[^/]+/stream")
_KEPT_METHODS = {"": "GET DELETE", "/cancel": "POST", "/input_items": "GET"}

_GEMINI: Mapping[str, Operation] = MappingProxyType(
    {
        "generateContent": "chat",
        "streamGenerateContent": "chat",
        "countTokens": "count_tokens",
        "embedContent": "embeddings",
        "batchEmbedContents": "embeddings",
    }
)
"""Gemini's methods. Its path is read as its dialect reads it (`afterbay.wire.gemini.paths`)."""


_VERSION_TWICE = re.compile(r"v1(?:beta|alpha)?/models/")
"""How a model's name begins where a base URL ends in a version that the SDK adds once more."""
_PASSED_ON = re.compile(r"(?:/openai)?(/v1(?:beta|alpha)?/.+)")


def find(path: str) -> Endpoint | None:
    """The endpoint of a path; None if there is none."""
    path = path.removeprefix("/openai") if path.startswith("/openai/v1/") else path  # so Groq's SDK asks, always
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    gemini = read_path(path)
    if gemini is not None and not _VERSION_TWICE.match(gemini.model):
        return _gemini(gemini)
    for prefix in ("/v1/models/", "/v1beta/models/"):
        if path.startswith(prefix) and len(path) > len(prefix):
            dialect = "gemini" if prefix.startswith("/v1beta") else "openai.chat"
            return Endpoint("models", "GET", dialect, path[len(prefix) :])
    kept = _KEPT.fullmatch(path)
    if kept is not None:
        return Endpoint("response", _KEPT_METHODS[kept["part"]], "openai.responses", kept["id"])
    if _STREAM.fullmatch(path):
        return Endpoint("reconnect", "GET DELETE")
    if path.startswith("/v1/requests/"):
        return Endpoint("request", "GET", "openai.chat", path.removeprefix("/v1/requests/"))
    if path.startswith(ADMIN_PREFIX):  # whatever follows: who may administer is told what there is
        return Endpoint("admin", "GET POST PATCH DELETE", "openai.chat", path.removeprefix(ADMIN_PREFIX))
    for prefix in _NOT_BUILT:
        if path == prefix or path.startswith(prefix + "/"):
            dialect = "anthropic.messages" if prefix.startswith("/v1/messages") else "openai.chat"
            return Endpoint("not_built", "*", dialect, path)
    return None


def instead_of(path: str) -> str | None:
    """What to do without an endpoint that is not built: a provider's own is there. None: there is nothing like it."""
    wanted = next((one for one in ("/v1/files", "/v1/batches", "/v1/messages/batches") if path.startswith(one)), None)
    if wanted is not None:
        return f"A provider's own is there: /passthrough/{{provider}}{wanted}."
    if read_path(path) is not None:
        return f"Built are {', '.join(_GEMINI)}; a provider's own methods are at /passthrough/{{provider}}{path[:200]}."
    return None


def hint(path: str) -> str:
    """What to do where there is no such endpoint: mostly the base URL is not the one that the SDK wants."""
    bases = "OpenAI's clients use /v1 as their base URL, Anthropic's and Gemini's the address alone."
    bare = path.rstrip("/").replace("/v1beta/openai/", "/v1/")  # where Google answers OpenAI's clients
    if bare == "/passthrough":
        return "Name a provider of this gateway: /passthrough/{provider}/..."
    meant = next((one for one in _EXACT if len(bare) > 1 and (bare.endswith(one) or one.endswith(bare))), None)
    of_model = max(bare.rfind(f"/{version}/models/") for version in ("v1", "v1beta", "v1alpha"))
    if of_model >= 0 and find(bare[of_model:]) is not None:
        meant = bare[of_model:]
    if meant is not None:
        return f"Did you mean {meant[:200]}? {bases}"
    own = _PASSED_ON.fullmatch(bare)
    passed = f" Any other endpoint of a provider is at /passthrough/{{provider}}{own[1][:200]}." if own else ""
    return bases + passed


def error_dialect(endpoint: Endpoint | None, path: str, headers: Mapping[str, str], query: str) -> str:
    """The protocol to write an error in, before anything is known but the head of a request.

    Where several protocols share a path, or none has it, the headers tell whose client it is.
    """
    if endpoint is not None and (endpoint.dialect != "openai.chat" or endpoint.operation in _OPENAI_ONLY):
        return endpoint.dialect
    if "anthropic-version" in headers:
        return "anthropic.messages"
    if "x-goog-api-key" in headers or "key" in parse_qs(query):
        return "gemini"
    return "gemini" if path.startswith("/v1beta/") and "authorization" not in headers else "openai.chat"


def _gemini(asked: Asked) -> Endpoint:
    operation = _GEMINI.get(asked.method)
    if operation is None:
        return Endpoint("not_built", "POST", "gemini", f"Gemini's method {asked.method[:60]!r}")
    return Endpoint(operation, "POST", "gemini", None, asked.model, asked.method == "streamGenerateContent")


def dialect_of(endpoint: Endpoint, query: str) -> Dialect:
    """The client's dialect. Google's servers stream a JSON array to who does not ask for `alt=sse`."""
    if endpoint.dialect == "gemini" and endpoint.stream and parse_qs(query).get("alt", [""])[-1] != "sse":
        return gemini.ARRAY_DIALECT
    return DIALECTS[endpoint.dialect]
