"""Random configurations: small, full of fallbacks, and with facts that end while they are in force."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.compliance.oracle import Config

FACTS = ("soc2", "zdr", "gdpr")
REGIONS = ("eu", "eu", "us", "eu-west-1")
SETS = ("s0", "s1", "s2")
ALIASES = ("m0", "m1", "m2", "m3")
EMBEDDER = "e0"
ROUTES = ("auto", "r0", "r1")
DAYS = tuple(f"2026-02-0{day}" for day in range(1, 8))
"""The first is over when the simulated time begins, at 2:40 on the second."""


def configuration(random: Random) -> Config:
    """One configuration, as it would be written."""
    sets = {name: _set(random) for name in SETS}
    if random.random() < 0.1:
        sets["default"] = _set(random)
    providers = {f"p{at}": _provider(random, at) for at in range(random.randint(2, 5))}
    providers["p0"] |= {"kind": "openai", "base_url": "http://10.0.0.1/v1"}  # one that makes vectors
    models = {name: _model(random, name, list(providers)) for name in ALIASES}
    models[EMBEDDER] = _model(random, EMBEDDER, [name for name, one in providers.items() if one["kind"] == "openai"])
    models[EMBEDDER]["capabilities"] = {"embeddings": True}
    return {
        "providers": providers,
        "models": models,
        "routes": {name: _route(random) for name in ROUTES},
        "defaults": _defaults(random),
        "policies": {"compliance": sets, "health": {"interval": 0}},
    }


def _some(random: Random, of: tuple[str, ...], share: float) -> list[str]:
    return [one for one in of if random.random() < share]


def _facts(random: Random, share: float) -> list[Any]:
    found: list[Any] = []
    for name in _some(random, FACTS, share):
        long: dict[str, str] = {"fact": name}
        if random.random() < 0.4:
            long["until"] = random.choice(DAYS)
        if random.random() < 0.5:
            long["source"] = "https://trust.test"
        found.append(long if len(long) > 1 or random.random() < 0.2 else name)
    return found


def _set(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"require": _some(random, FACTS, 0.3)}
    if random.random() < 0.3:
        found["residency"] = random.choice(REGIONS[1:3])
    if random.random() < 0.15:
        found["sourced"] = True
    return found


def _provider(random: Random, at: int) -> dict[str, Any]:
    kind = random.choice(("openai", "openai", "anthropic"))
    found: dict[str, Any] = {"kind": kind, "api_key": "k", "base_url": f"http://10.0.0.{at}"}
    if kind == "openai":
        found["base_url"] += "/v1"
        found["api"] = random.choice(("chat", "responses", "responses"))
    if random.random() < 0.8:
        found["region"] = random.choice(REGIONS)
    if random.random() < 0.9:
        found["compliance"] = _facts(random, 0.85)
    return found


def _model(random: Random, alias: str, providers: list[str]) -> dict[str, Any]:
    if alias == EMBEDDER:
        found: dict[str, Any] = {}
    else:
        found = {"fallback": _some(random, ALIASES, 0.5)}
    found["deployments"] = [_deployment(random, f"{alias}-{at}", providers) for at in range(random.randint(1, 3))]
    found |= _own(random, 0.15)
    return found


def _deployment(random: Random, name: str, providers: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"provider": random.choice(providers), "name": name} | _own(random, 0.3)
    if random.random() < 0.4:
        found["priority"] = random.randint(1, 2)
    return found


def _own(random: Random, share: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if random.random() < share:
        found["compliance"] = _facts(random, 0.5)
    if random.random() < share:
        found["lacks"] = _some(random, FACTS, 0.4)
    if random.random() < share:
        found["region"] = random.choice(REGIONS)
    return found


def _behaviour(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if random.random() < 0.6:
        found["hedge"] = {"after": random.choice(("500ms", "3s")), "max_share": 1, "max_extra_cost": 9, "width": 3}
    if random.random() < 0.6:
        found["resume"] = random.choice(("safe", "on"))
    if random.random() < 0.3:
        found["reconnect"] = "20s"
    if random.random() < 0.5:
        found["tool_reask"] = 1
    return found


def _route(random: Random) -> dict[str, Any]:
    found = _behaviour(random)
    if random.random() < 0.6:
        found["compliance"] = random.choice(SETS)
    if random.random() < 0.7:
        found["fallback"] = _some(random, ALIASES, 0.6)
    if random.random() < 0.5:
        found["tasks"] = {"chat": random.choice(ALIASES)}
    if random.random() < 0.5:
        found["complexity"] = {"low": random.choice(ALIASES), "high": random.choice(ALIASES)}
    return found


def _defaults(random: Random) -> dict[str, Any]:
    found = _behaviour(random)
    found["timeouts"] = {"first_token": "8s", "between_tokens": "6s", "total": "60s"}
    found["unsupported"] = "drop"
    if random.random() < 0.3:
        found["compliance"] = random.choice(SETS)
    return found
