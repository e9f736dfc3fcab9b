"""What is known of the names that clients may ask for: for the list of models, and for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from afterbay.config.retirement import ending
from afterbay.config.snapshot import About, Provider, Snapshot
from afterbay.config.targets import KNOWN_LACKING, known_model
from afterbay.core.decision import Target
from afterbay.policy.plan import Route


def about(snapshot: Snapshot, name: str) -> About:
    """What is known of a route or an alias; of an alias with several deployments, of the first."""
    route = snapshot.routes.get(name)
    if route is not None:
        return About("route", chat=True, candidates=considered(snapshot, route))
    alias = snapshot.aliases[name]
    if not alias.targets:
        return About("alias", chat=False)
    target = alias.targets[0]
    can, cannot = abilities(snapshot.providers[target.provider], target)
    end = _end(snapshot, alias.targets)
    return About(
        "alias",
        chat=not target.embeds,
        provider=target.provider,
        model=target.name if target.name != name else None,
        context=target.context_tokens,
        max_output=target.max_output,
        can=can,
        cannot=cannot,
        tags=tuple(sorted(alias.tags)),
        price=_price(target),
        scores=target.scores,
        ends=end[0] if end is not None else None,
        successor=end[1] if end is not None else None,
    )


def considered(snapshot: Snapshot, route: Route) -> tuple[str, ...]:
    """What a question by this route may go to: embedders are candidates of embeddings only."""
    names = dict.fromkeys((*route.candidates, *(route.fallback or ())))
    return tuple(name for name in names if any(not target.embeds for target in snapshot.aliases[name].targets))


def abilities(provider: Provider, target: Target) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a target is known to be able to do, and what it is known not to."""
    known = known_model(provider, target.name)
    cannot = tuple(word for word, features in KNOWN_LACKING.items() if features <= target.cannot)
    can = tuple(word for word in KNOWN_LACKING if getattr(known, word, None) is True and word not in cannot)
    return can, cannot


def _price(target: Target) -> Mapping[str, float]:
    price = target.price
    return {} if price is None else {"input": price.input / 1e6, "output": price.output / 1e6}


def _end(snapshot: Snapshot, targets: tuple[Target, ...]) -> tuple[str, str | None] | None:
    """The day on which the last of them ends, and what takes its place; None: one of them goes on."""
    known = [ending(snapshot.providers[one.provider], one.name) for one in targets]
    days = [(one.ends, one.successor) for one in known if one is not None and one.ends is not None]
    return max(days, key=lambda one: date.fromisoformat(one[0])) if days and len(days) == len(known) else None
