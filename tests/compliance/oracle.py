"""Who may be asked, read from the configuration as it was written: nothing of the gateway's is used here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

Config = dict[str, Any]
Facts = dict[str, tuple[str, str]]
"""Name -> (source, last day), both empty where nothing is said."""

NEVER = "9999"


class Place(msgspec.Struct, frozen=True):
    """A model at a provider: what is stated of it, and where it computes."""

    provider: str
    model: str
    facts: Facts
    region: str | None


class Asked(msgspec.Struct, frozen=True):
    """What a client asks for: a name of the configuration, as one key, with one header. `whole`: no model is looked at;
    `kept`: it is about an answer that was asked for by that name."""

    config: Config
    name: str
    sets: tuple[str, ...] = ()
    residency: str | None = None
    whole: bool = False
    kept: bool = False


def _stated(entries: Iterable[Any]) -> Facts:
    found: Facts = {}
    for one in entries:
        if isinstance(one, str):
            found[one] = ("", "")
        else:
            found[one["fact"]] = (one.get("source", ""), one.get("until", ""))
    return found


def places(config: Config) -> Iterator[tuple[str, Place]]:
    """Every deployment, with its alias."""
    for alias, model in config["models"].items():
        for one in model["deployments"]:
            provider = config["providers"][one["provider"]]
            facts = _stated(provider.get("compliance", ()))
            facts |= _stated(model.get("compliance", ()))
            facts |= _stated(one.get("compliance", ()))
            for name in (*model.get("lacks", ()), *one.get("lacks", ())):
                facts.pop(name, None)
            region = one.get("region") or model.get("region") or provider.get("region")
            yield alias, Place(one["provider"], one["name"], facts, region)


def _everything_at(config: Config, provider: str) -> list[Place]:
    own = config["providers"][provider]
    whole = Place(provider, "", _stated(own.get("compliance", ())), own.get("region"))
    return [whole, *(one for _, one in places(config) if one.provider == provider)]


def meant(asked: Asked, provider: str, model: str) -> list[Place]:
    """The places that something sent to a provider may reach; all of them must be allowed."""
    config = asked.config
    if asked.kept:
        named = [one for alias, one in places(config) if alias == asked.name and one.provider == provider]
        return named or _everything_at(config, provider)
    named = [one for _, one in places(config) if (one.provider, one.model) == (provider, model)]
    return named if named and not asked.whole else _everything_at(config, provider)


def policies(asked: Asked) -> list[dict[str, Any] | None]:
    """What holds; None: a set that is not there."""
    config = asked.config
    sets: dict[str, Any] = config["policies"]["compliance"]
    own = config["routes"].get(asked.name, {}) if not asked.whole else {}
    names = [own.get("compliance") or config["defaults"].get("compliance"), *asked.sets]
    found = [sets.get(name) for name in names if name is not None]
    if "default" in sets:
        found.append(sets["default"])
    if asked.residency is not None:
        found.append({"residency": asked.residency})
    return found


def forbidden(asked: Asked, provider: str, model: str, at: float) -> str:
    """Why a provider may not be asked for this at a moment; empty: it may."""
    today = datetime.fromtimestamp(at, UTC).date().isoformat()
    for one in meant(asked, provider, model):
        for policy in policies(asked):
            if policy is None:
                return "a set that is not there"
            for name in policy.get("require", ()):
                source, last = one.facts.get(name, ("", "0000"))
                if today > (last or NEVER) or (policy.get("sourced") and not source):
                    return f"{one.provider}/{one.model} without {name} on {today}"
            if policy.get("residency") is not None and policy["residency"] != one.region:
                return f"{one.provider}/{one.model} in {one.region}"
    return ""
