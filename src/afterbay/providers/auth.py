"""How each kind of provider wants its key, and the headers that every request to it carries."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from afterbay.wire.anthropic_messages.build import HEADERS

_BEARER = ("authorization", "Bearer ")
_KEY_HEADER: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "openai": _BEARER,
        "llamacpp": _BEARER,
        "cohere": _BEARER,
        "anthropic": ("x-api-key", ""),
        "gemini": ("x-goog-api-key", ""),
        "azure": ("api-key", ""),
        "vertex": ("x-goog-api-key", ""),
        "bedrock": _BEARER,  # an API key of Bedrock; without one requests are signed
    }
)
"""(header, prefix) by provider kind. Sources: the API references, "Authentication", November 2026;
for azure and vertex the clients of openai 3.57.0 and google-genai 3.6.1."""

_ALWAYS: Mapping[str, Mapping[str, str]] = MappingProxyType({"anthropic": HEADERS})


def key_headers(kind: str, key: str | None) -> dict[str, str]:
    """The headers that identify the gateway to a provider of this kind; without a key only what it wants always."""
    headers = dict(_ALWAYS.get(kind, {}))
    if key is not None:
        name, prefix = _KEY_HEADER[kind]
        headers[name] = prefix + key
    return headers
