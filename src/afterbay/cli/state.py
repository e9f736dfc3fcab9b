"""What the commands share: the configuration, and the database that it names."""

from __future__ import annotations

import os
import time
from pathlib import Path

from afterbay.cli.speech import Speech
from afterbay.config.retirement import day_of, notices, retiring
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.store.database import Database, open_database, sqlite_path
from afterbay.store.errors import StoreError


def load_quickly(config: Path | None) -> Loaded:
    """The configuration without prices, which cost a process of their own: for commands that show none."""
    return load_snapshot(config, os.environ, look_up=lambda queries: {})


def database_path(snapshot: Snapshot) -> Path:
    """The database's file, absolute: a relative one depends on where the gateway was started."""
    return sqlite_path(snapshot.state.database).absolute()


def existing_database(loaded: Loaded) -> Database:
    """The database, if a gateway or `keys create` made it already: looking must not make one.

    Raises:
        StoreError: there is none; it says what to do.
    """
    path = database_path(loaded.snapshot)
    if not path.exists():
        source = f"state.database in {loaded.path}" if loaded.path is not None else "there is no configuration file"
        raise StoreError(
            f"There is no database {path} yet ({source}).",
            "Run `afterbay serve` or `afterbay ask` first, or name the gateway's configuration: -c FILE.",
        )
    return open_database(loaded.snapshot.state.database)


def introduce(loaded: Loaded, speech: Speech) -> None:
    """Says which configuration is in force, what it spends on, what is doubtful in it, and which models end soon."""
    speech.say(f"configuration: {loaded.path}" if loaded.path else "no configuration file: the embedded models")
    for line in loaded.spends:
        speech.say(line)
    for warning in loaded.snapshot.warnings:
        speech.say(f"warning: {warning}")
    for line in notices(retiring(loaded.snapshot, day_of(time.time())), chosen_here=loaded.path is None):
        speech.say(f"warning: {line}")
