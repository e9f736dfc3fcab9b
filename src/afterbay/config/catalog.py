"""Who providers are: addresses, key variables, dialects, price lists, and the models a key alone brings.

The data is `catalog.toml` beside this file; each row says where it is from.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

import msgspec

from afterbay.config.schema import Protocol

CHAT_DIALECT: dict[Protocol, str] = {
    "openai": "openai.chat",
    "anthropic": "anthropic.messages",
    "gemini": "gemini",
    "llamacpp": "openai.chat",
    "azure": "openai.chat",
    "vertex": "gemini",
}
EMBED_DIALECT: dict[Protocol, str | None] = {
    "openai": "openai.embeddings",
    "anthropic": None,
    "gemini": "gemini.embeddings",
    "llamacpp": "openai.embeddings",
    "azure": "openai.embeddings",
    "vertex": None,
}


class Row(msgspec.Struct, frozen=True):
    """A provider. `prices` is its list's id in genai-prices; `key_variables` are tried in order."""

    name: str
    protocol: Protocol
    base_url: str
    source: str
    also: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    prices: str | None = None
    models: tuple[str, ...] = ()


class LocalModel(msgspec.Struct, frozen=True):
    """A model of the engine inside. `default`: it is there when nobody chose. `context` is in tokens."""

    name: str
    source: str
    embeds: bool = False
    default: bool = False
    context: int | None = None


class Catalog(msgspec.Struct, frozen=True):
    """The whole file."""

    provider: tuple[Row, ...]
    local: tuple[LocalModel, ...]

    def named(self, name: str) -> Row | None:
        """The provider of this name (`google` and `gemini` are one), or None."""
        return next((row for row in self.provider if name == row.name or name in row.also), None)

    def at(self, base_url: str) -> Row | None:
        """The public provider that answers at the host of this URL, or None."""
        host = host_of(base_url)
        rows = (row for row in self.provider if row.base_url.startswith("https:"))
        return next((row for row in rows if host_of(row.base_url) == host), None)

    def local_named(self, name: str) -> LocalModel | None:
        """The engine's model of this name, or None."""
        return next((model for model in self.local if model.name == name), None)


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # an address in broken brackets
        return ""


@cache
def catalog() -> Catalog:
    """The catalogue, read once."""
    text = (files("afterbay.config") / "catalog.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Catalog)


def embeds(name: str) -> bool:
    """Whether a model of this name makes embeddings and does not chat, as far as its name tells."""
    return "embed" in name.rsplit("/", 1)[-1].lower()
