"""The one way in: a file, or none, becomes a snapshot. Loading again and comparing hashes is how a reload is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from afterbay.config.document import find_config, read_text
from afterbay.config.fields import Seconds
from afterbay.config.load import parse
from afterbay.config.prices import Prices, Query, prices_of
from afterbay.config.problem import Origin
from afterbay.config.resolve import resolve
from afterbay.config.schema import Config, StateConfig
from afterbay.config.snapshot import Snapshot
from afterbay.config.trained import NOTHING, Trained, read_trained
from afterbay.config.unconfigured import unconfigured
from afterbay.core.usage import Price


class Loaded(msgspec.Struct, frozen=True):
    """A snapshot, the configuration that it was made of, where its values came from, and what it will spend on.

    `origins` has the key paths that were written or found; every other value is a default. `spends` has lines to print
    at start, and only where no file was used: a file says itself what it spends on. `path` is the file, None: none.
    `trained` is what the files hold that routes name.
    """

    snapshot: Snapshot
    config: Config
    origins: Mapping[str, Origin]
    spends: tuple[str, ...] = ()
    path: Path | None = None
    trained: Trained = NOTHING


class Source(msgspec.Struct, frozen=True):
    """All that a configuration is made of, beside the environment: another process makes the same one of it, whatever
    becomes of the file meanwhile. No secret is in it that is not written in the file.

    `text`: what stands in the file at `path`; None: there is no file. `prices`: what was found on the price lists.
    """

    path: str | None
    text: str | None
    prices: tuple[tuple[Query, Price], ...]
    hash: str


class Changed(Exception):
    """What was made of a source is not what it was made of before: the environment or the program is another one."""


def read_source(path: Path | None, environ: Mapping[str, str], folder: Path | None = None) -> tuple[Loaded, Source]:
    """As `load_snapshot`, and what it was made of.

    Raises:
        ConfigError: with every problem that was found.
    """
    path = path if path is not None else find_config(environ, folder if folder is not None else Path())
    text = None if path is None else read_text(path)
    found: dict[Query, Price] = {}

    def look_up(queries: Iterable[Query]) -> Prices:
        found.update(prices_of(queries))
        return found

    loaded = _load(path, text, environ, look_up)
    name = None if path is None else str(path)
    return loaded, Source(name, text, tuple(found.items()), loaded.snapshot.hash)


def load_source(source: Source, environ: Mapping[str, str]) -> Loaded:
    """The configuration again.

    Raises:
        ConfigError: it cannot be made here. Changed: it is another one.
    """
    path = None if source.path is None else Path(source.path)
    prices = dict(source.prices)
    loaded = _load(path, source.text, environ, lambda queries: prices)
    if loaded.snapshot.hash != source.hash:
        raise Changed(f"it is {loaded.snapshot.hash[:12]} here and {source.hash[:12]} where it was read")
    return loaded


def state_to_json(state: StateConfig) -> bytes:
    """The section `state`, for another process that is to keep it whatever the file says later."""
    return msgspec.json.encode(state, enc_hook=float)  # durations are floats of a class of their own


def state_from_json(text: bytes) -> StateConfig:
    """What `state_to_json` was given.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return msgspec.json.decode(text, type=StateConfig, dec_hook=_duration)


def _duration(kind: type, value: Any) -> Any:
    if kind is Seconds:
        return Seconds(value)
    raise NotImplementedError(kind.__name__)


def load_snapshot(
    path: Path | None,
    environ: Mapping[str, str],
    folder: Path | None = None,
    look_up: Callable[[Iterable[Query]], Prices] = prices_of,
) -> Loaded:
    """Loads the file at `path`, else the one found in `folder` (default: the current one) or the XDG folder, else none.

    Raises:
        ConfigError: with every problem that was found.
    """
    path = path if path is not None else find_config(environ, folder if folder is not None else Path())
    return _load(path, None if path is None else read_text(path), environ, look_up)


def _load(
    path: Path | None, text: str | None, environ: Mapping[str, str], look_up: Callable[[Iterable[Query]], Prices]
) -> Loaded:
    if path is None or text is None:
        made_up = unconfigured(environ)
        snapshot = resolve(made_up.document, environ, look_up)
        return Loaded(snapshot, made_up.document.config, made_up.document.origins, made_up.spends)
    document = parse(text, str(path), environ)
    trained = read_trained(document)
    snapshot = resolve(document, environ, look_up, trained)
    return Loaded(snapshot, document.config, document.origins, path=path, trained=trained)
