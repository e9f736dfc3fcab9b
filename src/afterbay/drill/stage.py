"""A configuration without the world: what a drill needs of it, with nothing in it that leads to a provider.

Keys that are not set are stood in for, and none that is set goes anywhere: providers on loopback get names for keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from afterbay.config.catalog import catalog
from afterbay.config.document import find_config, read_text
from afterbay.config.schema import Protocol, StateConfig, TelemetryConfig
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Target
from afterbay.core.secret import Secret

_NAMED = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADDRESS = "http://drill.invalid"
"""`.invalid` is never resolved (RFC 2606), and a drill does not even try."""
_BEGINS_ADDRESS = r"(?:base_url|proxy)[\"']?\s*:\s*[\"']?\$\{"
_STAND_INS = (
    (re.compile(r"KEY|TOKEN|SECRET", re.IGNORECASE), ""),
    (re.compile(r"REGION|LOCATION", re.IGNORECASE), "us-east-1"),
    (re.compile(r"URL|ENDPOINT", re.IGNORECASE), _ADDRESS),
)
"""What a variable that is not set is taken to hold, by its name; the first that fits, else (empty) a text of its own,
so that two keys stay two."""

_CLOUD: Mapping[str, str] = MappingProxyType(
    {
        "AWS_REGION": "us-east-1",
        "AZURE_OPENAI_ENDPOINT": _ADDRESS,
        "GOOGLE_CLOUD_PROJECT": "drill",
    }
)
"""Variables that clouds are configured by without being named in the file."""

_PLAYED_AS: Mapping[Protocol, Protocol] = MappingProxyType(
    {
        "openai": "openai",
        "azure": "openai",
        "llamacpp": "openai",
        "bedrock": "openai",
        "cohere": "openai",
        "anthropic": "anthropic",
        "gemini": "gemini",
        "vertex": "gemini",
    }
)
EMULATED = frozenset({"openai.chat", "openai.responses", "anthropic.messages", "gemini"})
"""Dialects that the emulator speaks; others are played in chat completions."""


class Staged(msgspec.Struct, frozen=True):
    """A loaded configuration, and the variables in it that are not set."""

    loaded: Loaded
    missing: tuple[str, ...] = ()


def load_for_drill(path: Path | None, environ: Mapping[str, str], folder: Path | None = None) -> Staged:
    """Loads a configuration as `afterbay serve` would, but for keys: those that are missing do not matter.

    Raises:
        ConfigError: with every problem that was found.
    """
    path = path if path is not None else find_config(environ, folder if folder is not None else Path())
    if path is None:
        return Staged(load_snapshot(None, environ, folder))
    text = read_text(path)
    wanted = dict.fromkeys(_NAMED.findall(text))
    given = {name: value for name, value in environ.items() if value}
    missing = tuple(name for name in wanted if name not in given)
    keys = [name for row in catalog().provider for name in row.key_variables]
    stand_ins = {name: _stand_in(name, text) for name in (*keys, *missing)}
    return Staged(load_snapshot(path, {**_CLOUD, **stand_ins, **given}), missing)


def _stand_in(name: str, text: str) -> str:
    """What a variable is taken to hold: an address if it begins one in the file, else by its name."""
    if re.search(_BEGINS_ADDRESS + re.escape(name) + r"\}", text):
        return _ADDRESS
    own = f"stands-in-for-{name.lower()}"
    return next((value for pattern, value in _STAND_INS if pattern.search(name)), "") or own


def emulated_name(place: int) -> str:
    """What the provider at this place of a drill is called at the emulator."""
    return f"any-p{place}"


def drill_key(place: int, number: int) -> str:
    """Key `number`, from 1, of the provider at this place."""
    return f"drill-key-{place}-{number}"


def on_loopback(plan: Snapshot, ports: Mapping[str, int], database: str) -> Snapshot:
    """The configuration with these providers, and no others, on ports of this machine; its state in `database`.

    Nothing of what leads elsewhere is left: addresses, keys, headers, proxies, collectors. Places count in the order of
    `ports`.
    """
    providers = {name: _played(plan.providers[name], place, port) for place, (name, port) in enumerate(ports.items())}
    aliases = {
        name: msgspec.structs.replace(
            alias, targets=tuple(_retold(target) for target in alias.targets if target.provider in providers)
        )
        for name, alias in plan.aliases.items()
    }
    return msgspec.structs.replace(
        plan,
        providers=providers,
        aliases=aliases,
        state=StateConfig(database=database),
        telemetry=TelemetryConfig(),
        former={},  # a drill asks for what is configured
    )


def _played(provider: Provider, place: int, port: int) -> Provider:
    kind = _PLAYED_AS[provider.kind]
    root = f"http://127.0.0.1:{port}/{emulated_name(place)}"
    dialect = provider.chat_dialect or ""
    return Provider(
        name=provider.name,
        kind=kind,
        base_url=f"{root}/v1" if kind == "openai" else root,
        chat_dialect=dialect if dialect in EMULATED else "openai.chat",
        embed_dialect=None,
        keys=tuple(Secret(drill_key(place, number + 1)) for number in range(len(provider.keys) or 1)),
        region=provider.region,
        compliance=provider.compliance,
        facts=provider.facts,
        concurrent=provider.concurrent,
        vendor=provider.vendor,
    )


def _retold(target: Target) -> Target:
    """A target in a protocol that the emulator speaks."""
    dialect = target.dialect if target.dialect in EMULATED else "openai.chat"
    return msgspec.structs.replace(target, dialect=dialect)
