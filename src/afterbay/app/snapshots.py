"""Targets that no configuration names: `provider/model`, asked for by a client, made on the spot."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from afterbay.config.catalog import catalog, embeds
from afterbay.config.prices import FREE, Query, prices_of
from afterbay.config.schema import Capabilities
from afterbay.config.snapshot import Provider, Snapshot, anywhere_at
from afterbay.config.targets import ENGINE_CANNOT, at_host, known_lacks, known_model, window
from afterbay.core.decision import Target
from afterbay.engine.fleet import Fleet

logger = logging.getLogger("afterbay.app")


def direct_target(snapshot: Snapshot, provider_name: str, model: str) -> Target | None:
    """A target for a model of a configured provider; None if there is no such provider. Its price is not known yet."""
    provider = snapshot.providers.get(provider_name)
    if provider is None:
        return None
    embedded = catalog().local_named(model) if provider.is_embedded else None
    if provider.is_embedded and embedded is None:
        return None  # a client may not name files to load
    row = catalog().named(provider.vendor) if provider.vendor else None
    known = known_model(provider, model)
    standing = _standing(snapshot, provider, model)
    embedder = embedded.embeds if embedded is not None else embeds(model)
    made = Target(
        id=f"{provider.name}/{model}",
        alias=f"{provider.name}/{model}",
        provider=provider.name,
        name=model,
        dialect=provider.dialect_of(model, embedder),
        price=FREE if provider.is_embedded else None,
        tells_cost=row is not None and row.tells_cost,
        context_tokens=window(embedded or known, embedder),
        max_output=known.max_output if known is not None else None,
        cannot=ENGINE_CANNOT if embedded is not None else known_lacks(known, Capabilities()),
        region=standing.region,
        compliance=standing.compliance,
        facts=standing.facts,
        embeds=embedder,
        speaks=() if embedder else provider.also_speaks,
        maker=provider.maker_of(model),
    )
    return at_host(made, provider)


def _standing(snapshot: Snapshot, provider: Provider, model: str) -> Target:
    """Whose facts and region such a target has: the deployment's that is configured so; else it could be any."""
    named = f"{provider.name}/{model}"
    configured = (one for alias in snapshot.aliases.values() for one in alias.targets if one.id == named)
    return next(configured, None) or anywhere_at(snapshot, provider)


async def price_later(fleet: Fleet, target: Target) -> None:
    """Looks up the price of such a target, off the event loop, for the requests after the first one."""
    provider = fleet.snapshot.providers[target.provider]
    query = _query(provider, target.name)
    try:
        prices = await asyncio.to_thread(prices_of, [query])
    except Exception:
        logger.exception("the price of %s could not be looked up", target.id)
        return
    if query in prices:
        fleet.learn(msgspec.structs.replace(target, price=prices[query]))


def _query(provider: Provider, model: str) -> Query:
    row = catalog().named(provider.vendor) if provider.vendor else None
    return Query(model, row.prices) if row is not None and row.prices else Query(model, base_url=provider.base_url)
