"""`GET /v1/models`: what a key may choose from, in the shape that the client's SDK reads.

Each shape has its own required fields; what it has no field for stands in `afterbay`, one object that is the same in
all of them. SDKs keep it (openai, anthropic) or drop it (google-genai).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from afterbay.config.snapshot import About, Snapshot
from afterbay.core.decision import Target
from afterbay.policy.filters import provider_gap
from afterbay.policy.rights import EVERYTHING, NO_WISH, Rights
from afterbay.ports import Key

Listed: TypeAlias = list[tuple[str, About]]
Tell: TypeAlias = Callable[[Snapshot, str], About]
"""What is known of a name; it stands in files that this layer does not read."""

_UNKNOWN_DAY = "1970-01-01T00:00:00Z"
"""What Anthropic's shape has where the day of the release is not known (its reference, November 2026)."""


def nothing_known(snapshot: Snapshot, name: str) -> About:
    """What the names alone say."""
    return About("route" if name in snapshot.routes else "alias", chat=True)


def shape_of(headers: Mapping[str, str], query: str, dialect: str) -> Callable[[Listed], dict[str, Any]]:
    """The shape that a client reads, by how it asks."""
    if "anthropic-version" in headers:
        return _anthropic
    if dialect == "gemini" or "x-goog-api-key" in headers or "key=" in query:
        return _gemini
    return _openai


def visible_models(snapshot: Snapshot, key: Key | None) -> list[str]:
    """Names that a key may ask for and that a provider which it may use answers: routes, then aliases.

    A name without any target stays: whoever asks for it is told what is wrong with it.
    """
    rights = key.rights if key is not None else EVERYTHING
    routes = [name for name in snapshot.routes if rights.routes is None or name in rights.routes]
    named = [name for name in (*routes, *snapshot.aliases) if rights.models is None or name in rights.models]
    return named if rights.providers is None else [name for name in named if _is_reached(name, snapshot, rights)]


def _is_reached(name: str, snapshot: Snapshot, rights: Rights) -> bool:
    targets = _behind(name, snapshot)
    return not targets or any(provider_gap(rights, NO_WISH, one.provider) is None for one in targets)


def _behind(name: str, snapshot: Snapshot) -> list[Target]:
    """The targets that a name may lead to, fallbacks included."""
    route, alias = snapshot.routes.get(name), snapshot.aliases.get(name)
    names = (name, *(alias.fallback if alias is not None else ()))
    if route is not None:
        names = (*(route.candidates or snapshot.aliases), *(route.fallback or ()))
    return [one for each in names if each in snapshot.aliases for one in snapshot.aliases[each].targets]


def _openai(listed: Listed) -> dict[str, Any]:
    return {"object": "list", "data": [_openai_one(name, known) for name, known in listed]}


def _openai_one(name: str, known: About) -> dict[str, Any]:
    """OpenAI's fields (openai 3.57.0, types/model.py): the end is one of them."""
    one = {"id": name, "object": "model", "created": 0, "owned_by": known.provider or "afterbay"}
    end = {"shutdown_date": known.ends} if known.ends is not None else {}
    return one | end | {"afterbay": msgspec.to_builtins(known)}


def _anthropic(listed: Listed) -> dict[str, Any]:
    data = [_anthropic_one(name, known) for name, known in listed]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _anthropic_one(name: str, known: About) -> dict[str, Any]:
    """Anthropic's fields (anthropic 2.13.0, types/model_info.py): limits and retirement are among them."""
    one: dict[str, Any] = {"id": name, "type": "model", "display_name": name, "created_at": _UNKNOWN_DAY}
    one["lifecycle"] = "active" if known.ends is None else "deprecated"
    if known.ends is not None:
        one["retires_at"] = f"{known.ends}T00:00:00Z"
    if known.context is not None:
        one["max_input_tokens"] = known.context
    if known.max_output is not None:
        one["max_tokens"] = known.max_output
    return one | {"afterbay": msgspec.to_builtins(known)}


def _gemini(listed: Listed) -> dict[str, Any]:
    return {"models": [_gemini_one(name, known) for name, known in listed]}


def _gemini_one(name: str, known: About) -> dict[str, Any]:
    one: dict[str, Any] = {"name": f"models/{name}", "displayName": name}
    if known.context is not None:
        one["inputTokenLimit"] = known.context
    if known.max_output is not None:
        one["outputTokenLimit"] = known.max_output
    chats = ["generateContent", "streamGenerateContent", "countTokens"]
    embeds = known.kind == "alias" and known.provider is not None and not known.chat
    one["supportedGenerationMethods"] = ["embedContent"] if embeds else chats
    return one | {"afterbay": msgspec.to_builtins(known)}
