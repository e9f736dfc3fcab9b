"""From `ModelConfig` to `plan.Alias`: which deployments answer to a name, what they cost and cannot do."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterbay.config.catalog import LocalModel, Model, catalog, embeds, pin
from afterbay.config.facts import check_facts, own_facts, standing, useless
from afterbay.config.load import Document
from afterbay.config.prices import FREE, Prices, Query, picousd_per_token
from afterbay.config.problem import Problem, child, did_you_mean
from afterbay.config.schema import Capabilities, DeploymentConfig, ModelConfig, PriceConfig, RateConfig
from afterbay.config.snapshot import Provider
from afterbay.config.upstreams import Upstream, may_be_listed
from afterbay.core.decision import Target
from afterbay.core.usage import Kind, Price
from afterbay.policy.plan import Alias
from afterbay.policy.resume import takes_prefill
from afterbay.wire.registry import DIALECTS

LACKING: dict[str, frozenset[str]] = {
    "tools": frozenset({"tools", "tool_choice", "parallel_tool_calls"}),
    "vision": frozenset({"images", "image_urls"}),
    "audio": frozenset({"audio"}),
    "documents": frozenset({"documents", "document_urls"}),
    "json_schema": frozenset({"response_format", "json_object"}),
    "reasoning": frozenset({"reasoning"}),
}
"""What a capability set to false takes away, by the names of `afterbay.wire.features`. Prefill is no client's field."""

ENGINE_LACKS = ("vision", "reasoning")
"""Capabilities that the embedded engine has not, unless the configuration says so: it loads no image projector, and
none of its models takes a reasoning effort."""

ENGINE_CANNOT = frozenset().union(*(LACKING[name] for name in ENGINE_LACKS))

KNOWN_LACKING = LACKING | {"json_schema": frozenset({"response_format"}), "json_object": frozenset({"json_object"})}
"""What the catalogue takes away: it tells an answer in JSON from one in a given schema, which many models cannot do."""


class Place(msgspec.Struct, frozen=True):
    """One deployment of an alias, before its price is known. `path` is where it is configured."""

    alias: str
    path: str
    upstream: Upstream
    name: str
    weight: float
    priority: int | None
    own: DeploymentConfig
    local: LocalModel | None = None


def places(document: Document, upstreams: Mapping[str, Upstream], problems: list[Problem]) -> list[Place]:
    """Every deployment of every alias at a provider that is there."""
    found: list[Place] = []
    for alias, model in document.config.models.items():
        path = child("models", alias)
        if not alias.strip():
            problems.append(document.problem(path, "a model has no name", "a name that clients can ask for"))
        for where, deployment in _deployments(document, alias, path, model, problems):
            upstream = upstreams.get(deployment.provider)
            if upstream is None:
                continue  # complained about where providers are resolved
            local = _local(document, where, upstream, deployment.name, problems)
            priority = deployment.priority if deployment.priority is not None else model.priority
            own = own_facts(model, deployment)
            check_facts(document, where, deployment.compliance, problems)
            found.append(Place(alias, where, upstream, deployment.name, deployment.weight, priority, own, local))
    return found


def _deployments(
    document: Document, alias: str, path: str, model: ModelConfig, problems: list[Problem]
) -> list[tuple[str, DeploymentConfig]]:
    if model.deployments:
        check_facts(document, path, model.compliance, problems)
        if model.provider is not None or model.name is not None:
            what = "both `deployments` and `provider` or `name` are set"
            problems.append(document.problem(path, what, "one of them", "Move the provider into deployments."))
        return [(f"{path}.deployments[{i}]", one) for i, one in enumerate(model.deployments)]
    if model.provider is None:
        remedy = "Add `provider: NAME`, a name under providers."
        problems.append(document.problem(path, "the model has no provider", "`provider` or `deployments`", remedy))
        return []
    name = model.name if model.name is not None else alias
    check_facts(document, path, model.compliance, problems)
    return [(path, DeploymentConfig(model.provider, name, model.weight, model.priority))]


def _local(document: Document, path: str, upstream: Upstream, name: str, problems: list[Problem]) -> LocalModel | None:
    """The engine's model of this name. Weights of one's own need their own chat template: a llama.cpp server has it."""
    if not upstream.is_engine:
        return None
    known = catalog().local_named(name)
    if known is None:
        names = [model.name for model in catalog().local]
        own = "Serve it with llama-server and give its base_url." if name.endswith(".gguf") else ""
        remedy = own or did_you_mean(name, names)
        problems.append(document.problem(f"{path}.name", f"the engine has no model `{name}`", ", ".join(names), remedy))
    return known


def price_query(place: Place) -> Query | None:
    """What to ask the price lists for this place; None: it has a price of its own, or no list can know it."""
    upstream, config = place.upstream, place.upstream.config
    if upstream.served is None or upstream.is_engine or config.price is not None:
        return None
    if upstream.row is not None:
        return Query(place.name, provider=upstream.row.prices) if upstream.row.prices else None
    url = upstream.served.base_url
    return Query(place.name, base_url=url) if may_be_listed(url) else None


def alias_of(name: str, model: ModelConfig, its_places: list[Place], prices: Prices) -> Alias:
    """The alias with its targets in order of priority; a place at a provider that is left out is left out."""
    targets = [target(place, model, prices) for place in its_places if place.upstream.served is not None]
    unique = list({one.id: one for one in reversed(targets)}.values())[::-1]
    return Alias(
        name=name,
        targets=tuple(sorted(unique, key=by_priority)),
        fallback=model.fallback,
        tags=frozenset(model.tags),
    )


def by_priority(one: Target) -> tuple[bool, int]:
    """Sorting key: lower priorities first, those without one last, otherwise as in the file."""
    return one.priority is None, one.priority or 0


def target(place: Place, model: ModelConfig, prices: Prices) -> Target:
    """One deployment as policies see it."""
    served = place.upstream.served
    assert served is not None, place.path  # noqa: S101 - places without are filtered by the caller
    capabilities = model.capabilities
    known_embeds = place.local.embeds if place.local is not None else embeds(place.name)
    known = known_model(served, place.name)
    is_embedder = known_embeds if capabilities.embeddings is None else capabilities.embeddings
    compliance, facts = standing(served, place.own)
    made = Target(
        id=f"{served.name}/{place.name}",
        alias=place.alias,
        provider=served.name,
        name=place.name,
        dialect=served.dialect_of(place.name, is_embedder),
        price=_price(place, model, prices),
        tells_cost=_tells_cost(place, model),
        context_tokens=model.context or window(place.local or known, is_embedder),
        max_output=known.max_output if known is not None else None,
        cannot=_cannot(capabilities, place) | known_lacks(known, capabilities),
        tags=frozenset(model.tags),
        region=place.own.region if place.own.region is not None else served.region,
        compliance=compliance,
        facts=facts,
        weight=place.weight,
        priority=place.priority,
        embeds=is_embedder,
        speaks=() if is_embedder else served.also_speaks,
        maker=served.maker_of(place.name),
        scores=(known.reached if known is not None else {}) | model.scores,
    )
    made = at_host(made, served)
    own, listed = capabilities.prefill, known.prefill if known is not None else None
    stated = listed if own is None else own
    return made if stated is None else msgspec.structs.replace(made, prefill=stated)


def at_host(made: Target, provider: Provider) -> Target:
    """The target with what its provider's way of speaking the dialect adds and takes away."""
    vendor = "" if provider.is_embedded else provider.vendor
    prefill = takes_prefill(vendor, made.dialect, made.name, provider.base_url)
    made = msgspec.structs.replace(made, prefill=prefill)
    host = DIALECTS[made.dialect].hosts.get(vendor) if made.dialect in DIALECTS else None
    if host is None:
        return msgspec.structs.replace(made, vendor=vendor)
    cannot = made.cannot | host.cannot(made.name)
    return msgspec.structs.replace(made, vendor=vendor, cannot=cannot, can=host.can, unsaid=host.unsaid)


def known_model(provider: Provider, name: str) -> Model | None:
    """What the catalogue knows of a model of this name at this provider."""
    return catalog().model_at(provider.vendor, name) if provider.vendor else None


def window(known: LocalModel | Model | None, embeds_only: bool) -> int | None:
    """The context window to hold a request against; None for an embedder: its window is for each text, not for all."""
    return known.context if known is not None and not embeds_only else None


def known_lacks(known: Model | None, capabilities: Capabilities) -> frozenset[str]:
    """What the catalogue says a model cannot do, unless the configuration says that it can."""
    if known is None:
        return frozenset()
    off = [name for name in KNOWN_LACKING if getattr(known, name) is False]
    return frozenset().union(*(KNOWN_LACKING[name] for name in off if getattr(capabilities, name, None) is None))


def floating(its_places: list[Place]) -> list[str]:
    """A warning for each name that stands for another version from one day to the next."""
    found: list[str] = []
    for place in its_places:
        served = place.upstream.served
        is_own_name = place.upstream.config.kind == "azure"  # a deployment, called as its owner likes
        known = served is not None and not is_own_name
        version = pin(place.name, known_model(served, place.name)) if served is not None and known else None
        if version is not None:
            instead = f"`{version}`" if version else "a version"
            found.append(f"{place.path}.name: `{place.name}` is a floating pointer; pin {instead}.")
    return found


def lacking_nothing(its_places: list[Place]) -> list[str]:
    """A warning for each fact that a deployment is said to lack, and would not have anyway."""
    return [
        text
        for place in its_places
        if place.upstream.served is not None
        for text in useless(place.path, place.upstream.served, place.own)
    ]


def _cannot(capabilities: Capabilities, place: Place) -> frozenset[str]:
    off = {name for name in LACKING if getattr(capabilities, name) is False}
    if place.local is not None:
        off |= {name for name in ENGINE_LACKS if getattr(capabilities, name) is None}
    return frozenset().union(*(LACKING[name] for name in off))


def _price(place: Place, model: ModelConfig, prices: Prices) -> Price | None:
    own = model.price or place.upstream.config.price
    if own is not None:
        return _own_price(own)
    if place.upstream.is_engine:
        return FREE
    query = price_query(place)
    return prices.get(query) if query is not None else None


def _tells_cost(place: Place, model: ModelConfig) -> bool:
    """Whether what the provider tells is what it bills. A price of the operator's own goes before it."""
    row, has_own = place.upstream.row, (model.price or place.upstream.config.price) is not None
    return row is not None and row.tells_cost and not has_own


def _own_price(own: PriceConfig) -> Price:
    tiers = sorted((int(above), _own_rates(rates, own)) for above, rates in own.above.items())
    services = sorted((name, _own_rates(rates, own)) for name, rates in own.services.items())
    return msgspec.structs.replace(_own_rates(own, own), tiers=tuple(tiers), services=tuple(services))


def _own_rates(own: RateConfig, usual: PriceConfig) -> Price:
    """The rates; what is not by the token costs as usual where they do not say it."""
    search = usual.search if own.search is None else own.search
    request = usual.request if own.request is None else own.request
    kinds: list[tuple[Kind, float | None]] = [
        ("cache_write_1h", own.cache_write_1h),
        ("audio_input", own.audio_input),
        ("image_input", own.image_input),
        ("audio_output", own.audio_output),
        ("image_output", own.image_output),
        ("search", None if search is None else search * 1000),  # of a thousand; as if of a million
    ]
    return Price(
        input=picousd_per_token(own.input),
        output=picousd_per_token(own.output),
        cached_input=picousd_per_token(own.input if own.cached_input is None else own.cached_input),
        cache_write=picousd_per_token(own.input if own.cache_write is None else own.cache_write),
        kinds=tuple((kind, picousd_per_token(rate)) for kind, rate in kinds if rate is not None),
        request=picousd_per_token((request or 0) * 1000),
    )
