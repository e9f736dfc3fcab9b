"""Whether a target may be asked at all, and what an attempt may cost: read from what an operator wrote.

Of the gateway nothing is used here but what a price is (a number of picodollars a token). Every target of a decision is
judged, not only the first: each of them can become a retry, a fallback, a hedge or a resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from tests.compliance.oracle import Asked, Config, forbidden

PICO = 1_000_000
"""Picodollars a token of one dollar a million."""


class Question(msgspec.Struct, frozen=True):
    """One request as its client, its key and the operator have it. `sought`: the name that is looked up.

    `models`, `routes`, `providers`: what the key may use; None: no bound. `only`: lists of providers, all of which a
    preference allows. `sets`, `residency`: as in `tests.compliance`.
    """

    name: str
    sought: str
    at: float
    sets: tuple[str, ...] = ()
    residency: str | None = None
    models: frozenset[str] | None = None
    routes: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    only: tuple[frozenset[str], ...] = ()
    kept_by: str = ""
    read: int | None = None
    written: int | None = None


class Money(msgspec.Struct, frozen=True):
    """A budget, as it stands, and what a request has to read (tokens)."""

    left: int
    amount: int
    on_exceeded: str
    read: int
    least_output: int


class Judge:
    """The judge of one configuration. `scores`: what is known of each target on benchmarks, by `provider/name`."""

    def __init__(self, config: Config, scores: dict[str, dict[str, float]]) -> None:
        self.config, self.scores = config, scores
        self.routes: dict[str, Any] = config["routes"]
        self._verdicts: dict[tuple[Any, ...], str] = {}
        self._aliases: dict[tuple[str, str], set[str]] = {}
        self._windows: dict[tuple[str, str], list[int | None]] = {}
        for alias, model in config["models"].items():
            for one in model["deployments"]:
                place = (one["provider"], one["name"])
                self._aliases.setdefault(place, set()).add(alias)
                self._windows.setdefault(place, []).append(model.get("context"))

    def wrong(self, question: Question, provider: str, model: str) -> str:
        """Why a target may not be asked; empty: it may."""
        return (
            self._compliance(question, provider, model)
            or self._rights(question, provider, model)
            or self._demands(question, provider, model)
        )

    def _compliance(self, question: Question, provider: str, model: str) -> str:
        by_route = question.sought if question.sought in self.routes else ""
        key = (by_route, question.sets, question.residency, provider, model, question.at)
        found = self._verdicts.get(key)
        if found is None:
            asked = Asked(self.config, by_route, question.sets, question.residency)
            found = self._verdicts[key] = forbidden(asked, provider, model, question.at)
        return found

    def _rights(self, question: Question, provider: str, model: str) -> str:
        if question.models is not None:
            names = {question.sought, f"{provider}/{model}", *self._aliases.get((provider, model), ())}
            if names.isdisjoint(question.models):
                return f"{provider}/{model} is not a model of this key"
        if question.routes is not None and question.sought in self.routes and question.sought not in question.routes:
            return f"{question.sought} is not a route of this key"
        for allowed in (question.providers, *question.only):
            if allowed is not None and provider not in allowed:
                return f"{provider} is not a provider that may be asked"
        if question.kept_by and provider != question.kept_by:
            return f"{provider} does not keep what {question.kept_by} keeps"
        return ""

    def _demands(self, question: Question, provider: str, model: str) -> str:
        own = self.routes.get(question.sought, {})
        demanded = own.get("min_score") or self.config["defaults"].get("min_score") or {}
        scores = self.scores.get(f"{provider}/{model}", {})
        for name, least in demanded.items():
            if scores.get(name, -1.0) < least:
                return f"{provider}/{model} has {scores.get(name)} on {name}, {least} is demanded"
        if "/" in question.sought:
            return ""  # what no alias names has the catalogue's window, if any
        windows = self._windows.get((provider, model), [])
        if question.read is not None and windows and all(one is not None and question.read > one for one in windows):
            return f"{provider}/{model} has no window for {question.read} tokens"
        return ""

    def price(self, provider: str) -> tuple[int, int] | None:
        """Picodollars of a token read and written; None: the operator did not say."""
        price = self.config["providers"][provider].get("price")
        return None if price is None else (int(price["input"] * PICO), int(price["output"] * PICO))

    def overspent(self, money: Money, kept: Sequence[str], every: Sequence[str]) -> str:
        """Why a budget does not let these providers be asked; empty: it does. `every`: those that could have been."""
        costs = [self._least(one, money) for one in every]
        dearest = max([cost for cost in costs if cost is not None], default=0)
        filled = [cost if cost is not None else max(1, dearest) for cost in costs]
        for one in kept:
            cost = self._least(one, money)
            if cost is None:
                cost = max(1, dearest)
            if cost == 0 or cost <= money.left:
                continue
            if money.on_exceeded == "downgrade" and cost == min(filled):
                continue  # the operator's word: the cheapest go on
            return f"{one} costs {cost}, {money.left} is left ({money.on_exceeded})"
        return ""

    def _least(self, provider: str, money: Money) -> int | None:
        price = self.price(provider)
        return None if price is None else money.read * price[0] + money.least_output * price[1]
