"""From a configuration to the snapshot that is served: names looked up, defaults folded in, doubts said aloud.

What cannot be meant is an error (a route to a model that is not there); what can be lived with is a warning (a fallback
that names nothing, a key that a later release honours).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from afterbay.config.aims import idle_learning
from afterbay.config.budgets import budget_rules
from afterbay.config.catalog import catalog, undated
from afterbay.config.facts import check_agreement
from afterbay.config.load import Document
from afterbay.config.preferences import preferences_of
from afterbay.config.prices import Prices, Query, prices_of
from afterbay.config.problem import ConfigError, Problem, child, did_you_mean
from afterbay.config.retirement import former_names
from afterbay.config.routes import compliance_sets, resolve_route
from afterbay.config.schema import Config, HealthConfig, ModelConfig
from afterbay.config.schema_route import NOT_BUILT, CascadeConfig, RouteConfig
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.targets import Place, alias_of, by_priority, floating, lacking_nothing, places, price_query
from afterbay.config.trained import NOTHING, Trained
from afterbay.config.upstreams import Upstream, resolve_upstreams
from afterbay.core.secret import Secret
from afterbay.policy.allowance import Rule
from afterbay.policy.plan import Alias, HealthRules, Route

AUTO = "auto"
"""The route that always exists."""

DEFAULTS = "defaults"
"""The name of the route that requests by alias take."""

_SHOWN = 5


def resolve(
    document: Document,
    environ: Mapping[str, str],
    look_up: Callable[[Iterable[Query]], Prices] = prices_of,
    trained: Trained = NOTHING,
) -> Snapshot:
    """The snapshot of a configuration. `look_up` finds prices (by default in a process of its own); `trained` is what
    the files hold that its routes name.

    Raises:
        ConfigError: names that nothing answers to, and whatever else cannot be meant.
    """
    problems: list[Problem] = list(trained.problems)
    warnings: list[str] = []
    upstreams = resolve_upstreams(document, environ, problems, warnings)
    _check_names(document, problems)
    document = _with_local_models(document, upstreams, warnings)
    found = places(document, upstreams, problems)
    queries = [query for place in found if (query := price_query(place)) is not None]
    aliases = _aliases(document, found, look_up(queries) if not problems else {})
    check_agreement(document, aliases, problems)
    by_name = _upstream_names(aliases.values())
    names = _Names(document, aliases, by_name, problems, warnings)
    aliases = {name: names.with_fallback(alias) for name, alias in aliases.items()}
    everything = tuple(one.name for one in sorted(aliases.values(), key=_alias_order))
    routes = {
        name: resolve_route(document, name, route, everything, names.alias, problems, trained)
        for name, route in ({AUTO: RouteConfig()} | dict(document.config.routes)).items()
    }
    defaults = resolve_route(document, DEFAULTS, RouteConfig(), (), names.alias, problems, is_defaults=True)
    _check_unknown_model(document, aliases, routes, problems)
    budgets = budget_rules(document, problems)
    preferences = preferences_of(document, upstreams, {*aliases, *routes}, problems)
    if problems:
        raise ConfigError(problems)
    warnings += _not_honoured(document.config) + _unanswered(aliases) + lacking_nothing(found)
    warnings += _unpredicted(document.config, trained, aliases, routes) + _accepting_all(document)
    if document.file:  # what a bare key brings was chosen here
        warnings += floating(found)
    providers = {name: one.served for name, one in upstreams.items() if one.served is not None}
    snapshot = _snapshot(document, providers, aliases, routes, defaults, by_name, budgets)
    warnings += idle_learning(snapshot, has_routes=bool(document.config.routes))
    former = former_names({*aliases, *routes}, by_name, resolves=not document.file)
    snapshot = msgspec.structs.replace(snapshot, preferences=preferences, former=former)
    return msgspec.structs.replace(
        snapshot, hash=fingerprint(snapshot), warnings=tuple(dict.fromkeys(warnings)), source=document.file or None
    )


class _Names:
    """Looks up the names that routes and fallback lists mention."""

    def __init__(
        self,
        document: Document,
        aliases: Mapping[str, Alias],
        by_name: Mapping[str, str],
        problems: list[Problem],
        warnings: list[str],
    ) -> None:
        self._document, self._aliases, self._by_name = document, aliases, by_name
        self._problems, self._warnings = problems, warnings

    def alias(self, name: str, path: str, required: bool) -> str | None:
        """The alias called `name`, or that has a deployment called so upstream; else an error, or only a warning."""
        if name in self._aliases:
            return name
        if name in self._by_name:
            return self._by_name[name]
        hint = did_you_mean(name, self._aliases)
        if required:
            what = f"there is no model `{name}`"
            remedy = hint or f"Add it under models: {name}: {{provider: ..., name: ...}}."
            self._problems.append(self._document.problem(path, what, "a name under models", remedy))
        else:
            found = self._document.problem(
                path, f"there is no model `{name}`, so this fallback never happens", "", hint
            )
            self._warnings.append(found.text())
        return None

    def with_fallback(self, alias: Alias) -> Alias:
        """The alias with the fallback list that can be honoured: names that are there, itself left out, no repeats."""
        if not alias.fallback:
            return alias
        path = f"{child('models', alias.name)}.fallback"
        found = [self.alias(name, f"{path}[{i}]", required=False) for i, name in enumerate(alias.fallback)]
        kept = tuple(dict.fromkeys(name for name in found if name is not None and name != alias.name))
        return msgspec.structs.replace(alias, fallback=kept)


def _check_names(document: Document, problems: list[Problem]) -> None:
    for name in document.config.models:
        if name == AUTO or name in document.config.routes:
            path = child("models", name)
            what = f"`{name}` is a route" + (" that always exists" if name == AUTO else " too")
            problems.append(document.problem(path, what, "one name for one thing", "Rename the model or the route."))
    if "" in document.config.routes:
        problems.append(document.problem('routes[""]', "a route has no name", "a name that clients can ask for"))


def _with_local_models(document: Document, upstreams: Mapping[str, Upstream], warnings: list[str]) -> Document:
    """The engine that no model names brings its own models."""
    config = document.config
    used = {d.provider for model in config.models.values() for d in model.deployments}
    used |= {model.provider for model in config.models.values() if model.provider is not None}
    engines = [name for name, one in upstreams.items() if one.is_engine and name not in used]
    models: dict[str, ModelConfig] = dict(config.models)
    for engine in engines:
        for local in (model.name for model in catalog().local if model.default):
            if local in models or local in config.routes:
                warnings.append(f"providers.{engine} brings a model `{local}`, but that name is taken: it is left out.")
            else:
                models[local] = ModelConfig(provider=engine, name=local)
    changed = msgspec.structs.replace(config, models=models)
    return msgspec.structs.replace(document, config=changed) if engines else document


def _aliases(document: Document, found: list[Place], prices: Prices) -> dict[str, Alias]:
    by_alias: dict[str, list[Place]] = {}
    for place in found:
        by_alias.setdefault(place.alias, []).append(place)
    return {
        name: alias_of(name, model, by_alias.get(name, []), prices) for name, model in document.config.models.items()
    }


def _alias_order(alias: Alias) -> tuple[bool, bool, bool, int]:
    """Where nothing else decides: models that chat first, then by priority, then as in the file."""
    if not alias.targets:
        return True, True, True, 0
    return (False, alias.targets[0].embeds, *by_priority(alias.targets[0]))


def _upstream_names(aliases: Iterable[Alias]) -> dict[str, str]:
    """Upstream names to aliases. A name as written wins over one without its date, the first alias over later ones."""
    exact: dict[str, str] = {}
    short: dict[str, str] = {}
    for alias in aliases:
        for target in alias.targets:
            exact.setdefault(target.name, alias.name)
            short.setdefault(undated(target.name), alias.name)
    return short | exact


def _check_unknown_model(
    document: Document, aliases: Mapping[str, Alias], routes: Mapping[str, Route], problems: list[Problem]
) -> None:
    name = document.config.unknown_model
    if name != "error" and name not in aliases and name not in routes:
        hint = did_you_mean(name, ["error", *routes, *aliases])
        wanted = "error, or a name under models or routes"
        problems.append(document.problem("unknown_model", f"there is no model or route `{name}`", wanted, hint))


def _not_honoured(config: Config) -> list[str]:
    """One warning for each key that is set and that this release does not honour."""
    places_: list[tuple[str, RouteConfig]] = [("defaults", config.defaults)]
    places_ += [(child("routes", name), route) for name, route in config.routes.items()]
    paths = [f"{path}.{key}" for path, route in places_ for key in NOT_BUILT if getattr(route, key) not in (None, {})]
    return [f"{path} is not honoured by this release." for path in paths]


def _unpredicted(
    config: Config, trained: Trained, aliases: Mapping[str, Alias], routes: Mapping[str, Route]
) -> list[str]:
    """What a predictor knows that is no model here, and candidates that it does not know."""
    found: list[str] = []
    for name, route in routes.items():
        own = config.routes[name].predictor if name in config.routes else None
        file = own if own is not None else config.defaults.predictor
        if file is None or file not in trained.knows:
            continue
        path = "defaults.predictor" if own is None else f"{child('routes', name)}.predictor"
        known = trained.knows[file]
        strange = [one for one in known if one not in aliases]
        if strange:
            is_are = "is no model" if len(strange) == 1 else "are no models"
            found.append(f"{path}: {_listed(strange)} {is_are} here: what `{file}` says of them is ignored.")
        lacking = [one for one in route.candidates if one not in known and aliases[one].targets]
        if lacking:
            found.append(f"{path}: `{file}` says nothing of {_listed(lacking)}: they come after all that it knows.")
    return found


def _accepting_all(document: Document) -> list[str]:
    """One warning for each `accept` without an `acceptor`."""
    sections = {"defaults": document.config.defaults} | {
        child("routes", name): route for name, route in document.config.routes.items()
    }
    return [
        f"{path}.cascade.accept: changes nothing without `acceptor`."
        for path, route in sections.items()
        if isinstance(route.cascade, CascadeConfig)
        and route.cascade.acceptor is None
        and f"{path}.cascade.accept" in document.origins
    ]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more


def _unanswered(aliases: Mapping[str, Alias]) -> list[str]:
    if not any(alias.targets for alias in aliases.values()):
        return ["There is no model that can answer by name: only `provider/model` can be asked for. Add models."]
    names = [name for name, alias in aliases.items() if not alias.targets]
    if not names:
        return []
    return [f"No provider can answer for {_listed(names)}: such requests go to the fallback, if any."]


def _snapshot(
    document: Document,
    providers: Mapping[str, Provider],
    aliases: Mapping[str, Alias],
    routes: Mapping[str, Route],
    defaults: Route,
    by_name: Mapping[str, str],
    budgets: tuple[Rule, ...],
) -> Snapshot:
    return Snapshot(
        hash="",
        providers=providers,
        aliases=aliases,
        routes=routes,
        defaults=defaults,
        by_upstream_name=by_name,
        unknown_model=document.config.unknown_model,
        limits=document.config.limits,
        state=document.config.state,
        telemetry=document.config.telemetry,
        compliance=compliance_sets(document),
        budgets=budgets,
        health=_health(document.config.policies.health),
        region=region_of(document.config),
    )


def region_of(config: Config) -> str | None:
    """Where the gateway is; None also for a blank name, as a variable that is empty gives one."""
    return (config.region or "").strip() or None


def _health(config: HealthConfig) -> HealthRules:
    return HealthRules(
        interval_s=float(config.interval),
        latency_p95_s=float(config.latency_p95),
        error_rate=config.error_rate,
        window_s=float(config.window),
        eject_s=float(config.eject),
    )


def fingerprint(snapshot: Snapshot) -> str:
    """16 hex digits of SHA-256 over everything that changes behaviour; secrets go in as digests of their own."""
    plain = msgspec.structs.replace(snapshot, hash="", warnings=(), source=None)
    return hashlib.sha256(msgspec.json.encode(plain, enc_hook=_encode, order="deterministic")).hexdigest()[:16]


def _encode(value: object) -> object:
    if isinstance(value, Secret):
        return hashlib.sha256(value.reveal().encode()).hexdigest()
    if isinstance(value, float):  # Seconds
        return float(value)
    raise NotImplementedError(type(value).__name__)
