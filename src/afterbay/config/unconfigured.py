"""The configuration of those who wrote none: what the keys in the environment and the engine inside bring."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterbay.config.catalog import Row, catalog, embeds
from afterbay.config.load import Document
from afterbay.config.problem import Origin, child
from afterbay.config.schema import Config, ModelConfig, ProviderConfig
from afterbay.config.schema_route import RouteConfig

ENGINE = "local"
"""The name of the provider that is the engine inside."""

_BETTER_FIRST = ("local", "local-small")


class Unconfigured(msgspec.Struct, frozen=True):
    """A made-up configuration, and what it will spend money on, one line for each key found."""

    document: Document
    spends: tuple[str, ...]


def unconfigured(environ: Mapping[str, str]) -> Unconfigured:
    """Providers whose key is found, with their models; the engine's own models; `auto` over all of them.

    An older name goes to the model that took its place, any other unknown one to `auto`, which tries hosted models
    before local ones, better before smaller.
    """
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    origins: dict[str, Origin] = {}
    spends: list[str] = []
    for row in catalog().provider:
        variable = next((name for name in row.key_variables if environ.get(name)), None)
        if variable is None:
            continue
        origin = Origin("environment", variables=(variable,))
        providers[row.name] = ProviderConfig(kind=row.name, api_key=environ[variable])  # type: ignore[arg-type]
        origins[f"providers.{row.name}.api_key"] = origin
        for model in row.models:
            models[model] = _hosted(row, model)
            origins[f"{child('models', model)}.provider"] = origin
        spends.append(f"will spend on {row.name} (key from {variable}): {', '.join(row.models)}")
    auto = _auto([name for name in models if not embeds(name)], models)
    if "low" in auto.complexity:
        low, high = auto.complexity["low"], auto.complexity["high"]
        spends.append(f"will spend by `auto` on {low} for short requests and extraction, on {high} for all others")
    providers[ENGINE] = ProviderConfig(kind="llamacpp")
    models |= {
        local.name: ModelConfig(provider=ENGINE, name=local.name, tags=local.tags)
        for local in catalog().local
        if local.default
    }
    config = Config(
        providers=providers,
        models=models,
        routes={"auto": msgspec.structs.replace(auto, fallback=_order(list(models)))},
        unknown_model="auto",
    )
    return Unconfigured(Document(config, origins, ""), tuple(spends))


def _hosted(row: Row, name: str) -> ModelConfig:
    """One model that a key brings. One whose end is announced has its successor as a fallback: then it answers."""
    known = catalog().model_at(row.name, name)
    if known is None:
        return ModelConfig(provider=row.name, name=name)
    fallback = (known.successor,) if known.successor in row.models else ()
    return ModelConfig(provider=row.name, name=name, tags=known.tags, fallback=fallback)


def _auto(hosted: list[str], models: Mapping[str, ModelConfig]) -> RouteConfig:
    """What `auto` picks of the hosted models: the first one, and for short requests and extraction the cheapest that
    its provider has for such.

    Why no other provider, however cheap: that its key is set does not say that it may see every prompt. The first
    model is the dearest that is picked; others are only fallen back to.
    """
    if not hosted:
        return RouteConfig()
    strong = hosted[0]
    ours = [name for name in hosted if models[name].provider == models[strong].provider]
    usual = _usd(models[strong])
    rated = [(rate, name) for name in ours if "cheap" in models[name].tags and (rate := _usd(models[name])) is not None]
    cheap = min(rated, default=None)
    if usual is None or cheap is None or cheap[0] >= usual:
        return RouteConfig()
    low = cheap[1]
    return RouteConfig(
        tasks={"code": strong, "reasoning": strong, "extract": low},  # the first named is what nothing else decides
        complexity={"low": low, "high": strong},
    )


def _usd(model: ModelConfig) -> float | None:
    """What a million tokens cost, three parts input and one part output, by the catalogue."""
    known = catalog().model_at(model.provider or "", model.name or "")
    return None if known is None or known.usd is None else (3 * known.usd[0] + known.usd[1]) / 4


def _order(names: list[str]) -> tuple[str, ...]:
    """Hosted models in the catalogue's order, the engine's better model before its small one, embedders last."""
    local = [name for name in _BETTER_FIRST if name in names]
    chat = [name for name in names if name not in local and not embeds(name)]
    return (*chat, *local, *(name for name in names if embeds(name)))
