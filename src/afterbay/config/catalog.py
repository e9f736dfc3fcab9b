"""Who providers are: addresses, key variables, dialects, price lists, and the models a key alone brings.

The data is `catalog.toml`, `models.toml` and `names.toml` beside this file; each row says where it is from.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

import msgspec

from afterbay.config.schema import Protocol

CHAT_DIALECT: dict[Protocol, str] = {
    "openai": "openai.chat",
    "anthropic": "anthropic.messages",
    "gemini": "gemini",
    "bedrock": "bedrock.converse",
    "llamacpp": "openai.chat",
    "azure": "openai.chat",
    "vertex": "gemini",
    "cohere": "cohere.chat",
}
EMBED_DIALECT: dict[Protocol, str | None] = {
    "openai": "openai.embeddings",
    "anthropic": None,
    "gemini": "gemini.embeddings",
    "bedrock": None,
    "llamacpp": "openai.embeddings",
    "azure": "openai.embeddings",
    "vertex": None,
    "cohere": "cohere.embeddings",
}


_DATE = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8})$")
_POINTER = re.compile(r"(?:^|[-:/])latest$")
_MODELS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType({"azure": ("openai",), "vertex": ("gemini", "anthropic")})
"""Clouds serve the models of others: whose rows describe them."""


RESPONSES = "openai.responses"


class Row(msgspec.Struct, frozen=True):
    """A provider. `prices` is its list's id in genai-prices; `key_variables` are tried in order.
    `responses`: it has OpenAI's Responses beside chat completions. `tells_cost`: its answers say what it bills."""

    name: str
    protocol: Protocol
    base_url: str
    source: str
    also: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    prices: str | None = None
    models: tuple[str, ...] = ()
    responses: bool = False
    tells_cost: bool = False


class LocalModel(msgspec.Struct, frozen=True):
    """A model of the engine inside. `default`: it is there when nobody chose. `context` is in tokens."""

    name: str
    source: str
    embeds: bool = False
    default: bool = False
    context: int | None = None
    tags: tuple[str, ...] = ()


Reached: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model reached on a benchmark, as a share of 1; `date`: the day of the source, or of its reading (ISO)."""

    bench: str
    value: Reached
    date: str
    source: str


class Model(msgspec.Struct, frozen=True):
    """What is known of a model at a provider. None: no source says it.

    `pinned` is the version that this name, a floating one, stood for. `context` and `max_output` are in tokens; `ends`
    is the day on which it is turned off (ISO 8601), `successor` the row that takes its place. `usd`: input and output,
    a million tokens each, as the fleet of a bare key is ordered by; what is charged is in `config.prices`.
    """

    provider: str
    name: str
    source: str
    pinned: str | None = None
    context: int | None = None
    max_output: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    audio: bool | None = None
    documents: bool | None = None
    json_schema: bool | None = None
    json_object: bool | None = None
    reasoning: bool | None = None
    prefill: bool | None = None
    ends: str | None = None
    successor: str | None = None
    tags: tuple[str, ...] = ()
    usd: tuple[float, float] | None = None
    scores: tuple[Score, ...] = ()

    @property
    def reached(self) -> dict[str, float]:
        """Benchmarks and scores."""
        return {one.bench: one.value for one in self.scores}


class Former(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Older names whose place one model took. `ended`: the day (ISO 8601); `gone`: it ended on an unknown day;
    `version`: they are dated names of that model."""

    provider: str
    names: tuple[str, ...]
    instead: str
    source: str
    ended: str | None = None
    gone: bool = False
    version: bool = False


class Catalog(msgspec.Struct, frozen=True):
    """The whole of the files. `as_of`: the day (ISO 8601) on which what ends was last looked at."""

    provider: tuple[Row, ...]
    local: tuple[LocalModel, ...]
    model: tuple[Model, ...] = ()
    former: tuple[Former, ...] = ()
    as_of: str = ""

    def named(self, name: str) -> Row | None:
        """The provider of this name (`google` and `gemini` are one), or None."""
        return next((row for row in self.provider if name == row.name or name in row.also), None)

    def at(self, base_url: str) -> Row | None:
        """The public provider that answers at the host of this URL, or None."""
        host = host_of(base_url)
        rows = (row for row in self.provider if row.base_url.startswith("https:"))
        return next((row for row in rows if host_of(row.base_url) == host), None)

    def model_at(self, vendor: str, name: str) -> Model | None:
        """What is known of a model at a provider of the catalogue; a dated name is described by its undated one."""
        owners = _MODELS_OF.get(vendor, (vendor,))
        for spelled in (name, undated(name)):
            for row in self.model:
                if row.name == spelled and row.provider in owners:
                    return row
        return None

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
    data: dict[str, object] = {}
    for name in ("catalog.toml", "models.toml", "names.toml"):
        data |= tomllib.loads((files("afterbay.config") / name).read_text("utf-8"))
    return msgspec.convert(data, Catalog)


def undated(name: str) -> str:
    """A model's name without its date: `-2024-11-20`, `-20250514`, `@20250514`."""
    return _DATE.sub("", name)


def pin(name: str, known: Model | None) -> str | None:
    """What to pin instead of a floating name: a version, empty where none is known; None: the name does not float."""
    if known is not None and known.pinned is not None and known.name == name:
        return known.pinned
    return "" if _POINTER.search(name) else None


def embeds(name: str) -> bool:
    """Whether a model of this name makes embeddings and does not chat, as far as its name tells."""
    return "embed" in name.rsplit("/", 1)[-1].lower()
