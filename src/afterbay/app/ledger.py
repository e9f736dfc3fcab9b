"""The name of this process in the ledger, and the end of those that are gone.

A process that is killed leaves what it had leased. Whoever starts next gives it back: what its requests cost is in the
log by then as far as anybody knows it, so what is left of its leases was not spent.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
from pathlib import Path

from afterbay.store.database import Database
from afterbay.store.leases import holders, retire

logger = logging.getLogger("afterbay.app")


def holder_name() -> str:
    """A name that no other process has, or had: its id, when it began, and chance."""
    return f"{os.getpid()}-{_began(os.getpid())}-{secrets.token_hex(4)}"


def retire_dead(database: Database, own: str, now_s: float) -> None:
    """Gives back what processes had leased that do not run any more. Trouble is said, and left to the next start."""
    try:
        for name in holders(database):
            if name != own and not _runs(name):
                retire(database, name, now_s)
    except sqlite3.Error as trouble:
        logger.warning("leases of ended processes could not be given back: %s", trouble)


def _runs(name: str) -> bool:
    """Whether the process that has this name runs. Where that cannot be asked it is taken to."""
    pid, _, rest = name.partition("-")
    if not pid.isdigit() or os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # alive and someone else's, or no process id at all
    return rest.partition("-")[0] == _began(int(pid))  # in a container the next process gets the same id


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did (proc_pid_stat(5), field 22); 0 where nobody knows."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return "0"
    return stat.rpartition(")")[2].split()[19]
