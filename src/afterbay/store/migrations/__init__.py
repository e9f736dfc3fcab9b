"""The way from an older database to this release's tables: Alembic scripts, run from here and not from a shell.

A migration runs in one write transaction: it either happened or it did not, and a second process waits for the first
and then finds nothing to do. There is no way down: restore the backup.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from afterbay.store.errors import StoreError
from afterbay.store.reading import engine

if TYPE_CHECKING:
    from afterbay.store.database import Database

_log = logging.getLogger(__name__)


def configuration() -> Config:
    """Alembic's configuration, made here so that no `alembic.ini` has to lie anywhere."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def newest() -> str | None:
    """The last revision among the scripts."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def upgrade(database: Database, found: str | None) -> None:
    """Brings the tables to this release's revision.

    Raises:
        StoreError: its revision (`found`) is not one of ours, its tables are not those of it, or it cannot be written.
    """
    config = configuration()
    logging.getLogger("alembic").setLevel(logging.WARNING)  # what it does is said here, in our words
    try:
        with engine(database).connect() as connection:
            connection.execute(sa.text("BEGIN IMMEDIATE"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.execute(sa.text("COMMIT"))
        _log.info("the tables of %s are of revision %s now; they were of %s", database.path, newest(), found)
    except SQLAlchemyError as broken:
        what = getattr(broken, "orig", None) or broken
        raise StoreError(
            f"The database {database.path} cannot be brought from revision {found!r} to this release's: {what}.",
            "It is as it was. Check its permissions and the free space; else use the release that wrote it.",
        ) from broken
    except CommandError as unknown:
        raise StoreError(
            f"The database {database.path} is at revision {found!r}, which this release does not know.",
            "It was written by a newer release: use that one, or restore a backup made with this one.",
        ) from unknown
