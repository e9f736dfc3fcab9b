"""The one way in: a file, or none, becomes a snapshot. Loading again and comparing hashes is how a reload is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from afterbay.config.document import find_config
from afterbay.config.load import load
from afterbay.config.prices import Prices, Query, prices_of
from afterbay.config.problem import Origin
from afterbay.config.resolve import resolve
from afterbay.config.schema import Config
from afterbay.config.snapshot import Snapshot
from afterbay.config.unconfigured import unconfigured


class Loaded(msgspec.Struct, frozen=True):
    """A snapshot, the configuration that it was made of, where its values came from, and what it will spend on.

    `origins` has the key paths that were written or found; every other value is a default. `spends` has lines to print
    at start, and only where no file was used: a file says itself what it spends on. `path` is the file, None: none.
    """

    snapshot: Snapshot
    config: Config
    origins: Mapping[str, Origin]
    spends: tuple[str, ...] = ()
    path: Path | None = None


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
    if path is None:
        made_up = unconfigured(environ)
        snapshot = resolve(made_up.document, environ, look_up)
        return Loaded(snapshot, made_up.document.config, made_up.document.origins, made_up.spends)
    document = load(path, environ)
    return Loaded(resolve(document, environ, look_up), document.config, document.origins, path=path)
