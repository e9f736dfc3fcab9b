"""The configuration of those who wrote none: what the keys in the environment and the engine inside bring."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afterbay.config.catalog import catalog, embeds
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

    An unknown model name goes to `auto`, and `auto` tries hosted models before local ones, better before smaller.
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
            models[model] = ModelConfig(provider=row.name, name=model)
            origins[f"{child('models', model)}.provider"] = origin
        spends.append(f"will spend on {row.name} (key from {variable}): {', '.join(row.models)}")
    providers[ENGINE] = ProviderConfig(kind="llamacpp")
    models |= {local.name: ModelConfig(provider=ENGINE, name=local.name) for local in catalog().local if local.default}
    config = Config(
        providers=providers,
        models=models,
        routes={"auto": RouteConfig(fallback=_order(list(models)))},
        unknown_model="auto",
    )
    return Unconfigured(Document(config, origins, ""), tuple(spends))


def _order(names: list[str]) -> tuple[str, ...]:
    """Hosted models in the catalogue's order, the engine's better model before its small one, embedders last."""
    local = [name for name in _BETTER_FIRST if name in names]
    chat = [name for name in names if name not in local and not embeds(name)]
    return (*chat, *local, *(name for name in names if embeds(name)))
