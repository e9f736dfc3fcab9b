"""What reports take from the configuration in force: prices of deployments, and which one is the best."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake
from afterbay.core.usage import Price
from afterbay.policy.bill import Weights
from afterbay.policy.plan import Route


def weights_of(snapshot: Snapshot) -> dict[str, Weights]:
    """What tokens count for at each deployment whose price is known (`policy.bill`)."""
    found = {}
    for target in _targets(snapshot):
        price = target.price
        if price is not None and price.input:
            relative = (Fraction(one, price.input) for one in (price.cached_input, price.cache_write, price.output))
            found[target.id] = Weights(*relative)
    return found


def best_of(snapshot: Snapshot, wanted: str = "") -> tuple[str, Price]:
    """The deployment that every answer would have come from, and its price.

    `wanted`: an alias or `provider/name`; else the strongest model of the route `auto`: the first of its
    `complexity.high`, else of its `fallback`, else of its candidates.

    Raises:
        ClientMistake: there is none, or its price is not known.
    """
    name = wanted or _strongest(snapshot)
    alias = snapshot.aliases.get(name)
    meant = alias.targets if alias is not None else [one for one in _targets(snapshot) if one.id == name]
    if not meant:
        raise _wrong(f"There is no model {name[:80]!r} to compare with.", "Name one that `afterbay models` lists.")
    for target in meant:
        if target.price is not None:
            return target.id, target.price
    raise _wrong(
        f"What {name} costs is not known, so nothing can be said to be saved.",
        "Set `price` of its provider in the configuration, or name another model.",
    )


def _strongest(snapshot: Snapshot) -> str:
    auto = snapshot.routes.get("auto", Route("auto"))
    names = (*([auto.complexity["high"]] if "high" in auto.complexity else ()), *(auto.fallback or ()))
    usable = [name for name in (*names, *auto.candidates) if name in snapshot.aliases]
    return usable[0] if usable else ""


def _targets(snapshot: Snapshot) -> Iterator[Target]:
    for alias in snapshot.aliases.values():
        yield from alias.targets


def _wrong(message: str, remedy: str) -> ClientMistake:
    return ClientMistake(message, code="invalid_value", param="best", remedy=remedy)
