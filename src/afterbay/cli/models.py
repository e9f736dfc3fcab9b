"""`afterbay models`: what a client may ask for, what is behind each name, what it costs and cannot do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from afterbay.cli.figures import UNKNOWN, megabytes, per_million, seconds
from afterbay.cli.speech import Speech, print_json, print_table
from afterbay.cli.state import database_path
from afterbay.config.listing import abilities, considered
from afterbay.config.retirement import day_of, ending
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.targets import known_model
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Target
from afterbay.policy.compliance import lasting
from afterbay.store.answers import ModelSummary

HEALTH_S = 3600.0
"""How far back the request log is asked how a model does."""
HEADINGS = (
    "name",
    "provider/model",
    "can",
    "cannot",
    "window",
    "max out",
    "in $/M",
    "out $/M",
    "tags",
    "scores",
    "compliance",
    "region",
    "state",
)
_ALWAYS = ("name", "provider/model", "in $/M", "out $/M", "state")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a route (`candidates` in order), or one deployment of an alias. Prices are USD per million tokens."""

    name: str
    kind: str
    candidates: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    embeds: bool = False
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    ends: str | None = None
    successor: str | None = None
    days_left: int | None = None
    tags: tuple[str, ...] = ()
    scores: Mapping[str, float] = {}
    price_input: float | None = None
    price_output: float | None = None
    price_tiers_above: tuple[int, ...] = ()
    fallback: tuple[str, ...] = ()
    compliance: tuple[str, ...] = ()
    region: str | None = None
    state: str = ""


def run_models(config: Path | None, as_json: bool) -> None:
    """Prints the table."""
    loaded = load_snapshot(config, os.environ)
    found = listed(loaded.snapshot, _recent(loaded))
    if as_json:
        print_json(found)
        return
    rows = [_row(one, found[i - 1].name if i else "") for i, one in enumerate(found)]
    kept = [i for i, name in enumerate(HEADINGS) if name in _ALWAYS or any(row[i] not in ("", "-") for row in rows)]
    print_table([HEADINGS[i] for i in kept], [[row[i] for i in kept] for row in rows])
    speech = Speech(sys.stderr)
    instead = loaded.snapshot.unknown_model
    speech.say("any other name is an error" if instead == "error" else f"any other name means `{instead}`")
    speech.say("`provider/model` reaches any model of a configured provider")


def listed(snapshot: Snapshot, recent: Mapping[str, ModelSummary]) -> list[Listed]:
    """Routes with what they would consider, then aliases with all their deployments."""
    found = [
        Listed(name=name, kind="route", candidates=considered(snapshot, route))
        for name, route in snapshot.routes.items()
    ]
    for alias in snapshot.aliases.values():
        if not alias.targets:
            found.append(Listed(name=alias.name, kind="alias", fallback=alias.fallback, state="no provider"))
        for target in alias.targets:
            state = _state(target, snapshot.providers[target.provider], recent.get(alias.name))
            found.append(_deployment(target, snapshot.providers[target.provider], alias.fallback, state))
    return found


def _deployment(target: Target, provider: Provider, fallback: tuple[str, ...], state: str) -> Listed:
    price, known = target.price, known_model(provider, target.name)
    can, cannot = abilities(provider, target)
    end = ending(provider, target.name)
    days = (date.fromisoformat(end.ends) - day_of(time.time())).days if end is not None and end.ends else None
    if end is not None and days is not None:
        instead = f", then {end.successor}" if end.successor else ""
        state = f"{state}; {'ends' if days > 0 else 'ended'} {end.ends}{instead}"
    return Listed(
        name=target.alias,
        kind="alias",
        provider=target.provider,
        model=target.name,
        can=can,
        cannot=cannot,
        embeds=target.embeds,
        context_tokens=target.context_tokens,
        max_output_tokens=known.max_output if known is not None else None,
        ends=end.ends if end is not None else None,
        successor=end.successor if end is not None else None,
        days_left=days,
        tags=tuple(sorted(target.tags)) or (known.tags if known is not None else ()),
        scores=target.scores,
        price_input=price.input / 1e6 if price is not None else None,
        price_output=price.output / 1e6 if price is not None else None,
        price_tiers_above=tuple(above for above, _ in price.tiers) if price is not None else (),
        fallback=fallback,
        compliance=tuple(sorted(lasting(target, time.time()))),
        region=target.region,
        state=state,
    )


def _state(target: Target, provider: Provider, recent: ModelSummary | None) -> str:
    """What is known without asking the provider: installed or not, a key or none, and how it did in the last hour."""
    key = "key set" if provider.keys else "no key"
    parts = [_installed(target.name) if provider.is_embedded else key]
    if recent is not None:
        failed = f", {recent.failed} failed" if recent.failed else ""
        ttft = f", ttft p50 {seconds(recent.ttft_p50_s)}" if recent.ttft_p50_s is not None else ""
        parts.append(f"last hour {recent.requests} requests{failed}{ttft}")
    return "; ".join(parts)


def _installed(name: str) -> str:
    from afterbay.local.catalog import MODELS
    from afterbay.local.install import is_installed

    known = next((model for model in MODELS if model.id == name), None)
    if known is None:
        return "not a model of the engine"
    return f"{'installed' if is_installed(known) else 'not installed'}, {megabytes(known.size_bytes)}"


def _recent(loaded: Loaded) -> Mapping[str, ModelSummary]:
    """How each alias did lately, by the request log; nothing where there is none."""
    if not database_path(loaded.snapshot).exists():
        return {}
    from afterbay.store.database import open_database
    from afterbay.store.reading import SqliteReading

    reading = SqliteReading(open_database(loaded.snapshot.state.database))
    return {one.model: one for one in reading.by_model(time.time() - HEALTH_S)}


def _row(one: Listed, above: str) -> tuple[Any, ...]:
    """The cells of a row; a second deployment of a name does not repeat it."""
    if one.kind == "route":
        return (one.name, f"one of: {', '.join(one.candidates)}", *["-"] * 10, "route")
    name = f"  {one.name}" if one.name == above else one.name
    target = f"{one.provider}/{one.model}" if one.provider is not None else "-"
    cannot = "chat (it embeds)" if one.embeds else ", ".join(one.cannot) or "-"
    return (
        name,
        target,
        ", ".join(one.can) or "-",
        cannot,
        _tokens(one.context_tokens),
        _tokens(one.max_output_tokens),
        _price(one.price_input, one),
        _price(one.price_output, one),
        ", ".join(one.tags) or "-",
        ", ".join(f"{bench} {value:g}" for bench, value in one.scores.items()) or "-",
        ", ".join(one.compliance) or "-",
        one.region or "-",
        one.state,
    )


def _tokens(count: int | None) -> str:
    return str(count) if count is not None else "-"


def _price(usd: float | None, one: Listed) -> str:
    if one.provider is None:
        return "-"
    if usd is None:
        return UNKNOWN
    more = "+" if one.price_tiers_above else ""
    return per_million(round(usd * 1e6)) + more
