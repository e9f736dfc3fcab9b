"""`afterbay run`: a program with a key of its own, a cap on what it spends, and a receipt."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from afterbay.cli.coding_agents import Place, agent_name, how_to_get, how_to_go_on, start_of
from afterbay.cli.figures import dollars
from afterbay.cli.foreground import Foreground
from afterbay.cli.keys import doubts, may_be_asked
from afterbay.cli.nearby import Quiet, gateway_for
from afterbay.cli.receipt import Run, receipt_of, show, told
from afterbay.cli.rights import Wanted
from afterbay.cli.speech import Misuse, Speech
from afterbay.cli.state import database_path, load_quickly
from afterbay.config.catalog import catalog
from afterbay.config.problem import is_secret
from afterbay.config.watch import Loaded
from afterbay.core.decision import Record
from afterbay.core.errors import GatewayError
from afterbay.core.secret import Secret
from afterbay.core.usage import picousd
from afterbay.core.words import closest
from afterbay.policy.rights import EVERYTHING, NO_WISH, Rights
from afterbay.store.answers import Columns, Filter
from afterbay.store.charges import charged_to
from afterbay.store.database import open_database
from afterbay.store.errors import StoreError
from afterbay.store.keyring import BY_OPERATOR
from afterbay.store.keys import SqliteKeys
from afterbay.store.reading import SqliteReading
from afterbay.store.register import Wish

LIFE_S: Final = 3600.0
"""So long a key lives on where nobody renews it, because this process was killed."""
RENEW_S: Final = LIFE_S / 2
LOOK_S: Final = 20.0
"""How often it is looked whether the key has to be renewed, by the clock of days: it goes on while a machine sleeps."""
PAGE_ROWS: Final = 500
NOT_FOUND: Final = 127
_GEMINI_SETTINGS: Final = {
    "darwin": "/Library/Application Support/GeminiCli/settings.json",
    "linux": "/etc/gemini-cli/settings.json",
}


class Options(msgspec.Struct, frozen=True):
    """What the command line says. `model`: the name to ask for, empty: the program's own; `small`: for small work."""

    cap_usd: float = 5.0
    model: str = "auto"
    small: str | None = None
    bounds: Wanted = Wanted()
    as_json: bool = False


class Asked:
    """What is asked with a key, as it comes into the log."""

    def __init__(self, reading: SqliteReading, key_name: str) -> None:
        self.records: list[Record] = []
        self._reading, self._only = reading, Filter(Columns(key_name=key_name))
        self._cursor = reading.last_cursor()

    def read(self) -> int:
        """Reads what is new; how many there are by now."""
        while page := self._reading.after(self._cursor, self._only, PAGE_ROWS):
            self.records += (one.record for one in page)
            self._cursor = page[-1].cursor
        return len(self.records)


class Lent(msgspec.Struct, frozen=True):
    """A throwaway key while it lives, and who made it."""

    id: str
    name: str
    secret: Secret
    rights: Rights
    by: str


def run_program(config: Path | None, command: tuple[str, ...], options: Options) -> int:
    """Runs a program to its end; its exit code.

    Raises:
        GatewayError, StoreError, ConfigError: it could not be started; no key is left behind.
    """
    speech = Speech(sys.stderr)
    loaded = load_quickly(config)
    _check(command[0], loaded, options, speech)
    database = open_database(loaded.snapshot.state.database)
    began_s, began_at = time.monotonic(), time.time()
    with (
        closing(SqliteKeys(database)) as keys,
        _lent(keys, agent_name(command[0]), options, os.environ, loaded) as key,
        _gateway(config, key, asked := Asked(SqliteReading(database), key.name), speech) as url,
        _folder() as folder,
    ):
        place = Place(url, key.secret, options.model or None, options.small or options.model or None, folder)
        start = start_of(command, os.environ, place, _key_variables(loaded), _settings(command[0]))
        for path, data in start.files.items():
            path.write_bytes(data)
        cap = dollars(picousd(options.cap_usd))
        speech.say(f"running {command[0]} with the key {key.id}; it may spend {cap}")
        code = Foreground().run(start.arguments, start.environ)
        took_s = time.monotonic() - began_s
    run = Run(
        command[0], key.id, began_at, took_s, code, picousd(options.cap_usd), charged_to(database, f"key:{key.id}")
    )
    receipt = receipt_of(run, asked.records)
    with suppress(OSError):  # the terminal may be gone
        if options.as_json:
            print(msgspec.json.encode(told(receipt)).decode(), flush=True)
        else:
            show(receipt, how_to_go_on(command[0]), sys.stderr)
    return code


def _check(program: str, loaded: Loaded, options: Options, speech: Speech) -> None:
    """Whether there is anything to run, and anybody to ask.

    Raises:
        SystemExit: 127, as a shell has it: there is no such program.
        Misuse: there is no such model.
    """
    if shutil.which(program) is None:
        speech.error(f"There is no program {program!r} in PATH. {how_to_get(program)}")
        raise SystemExit(NOT_FOUND)
    for name in filter(None, (options.model, options.small)):
        if name != "auto" and not may_be_asked(loaded.snapshot, name):
            near = closest(name, [*loaded.snapshot.aliases, *loaded.snapshot.routes])
            hint = f"The nearest names are: {', '.join(near)}." if near else "`afterbay models` lists what there is."
            raise Misuse(f"No model or route is called '{name}'.", remedy=hint)
    for doubt in doubts(loaded.snapshot, options.bounds.on(EVERYTHING), NO_WISH):
        speech.say(f"warning: {doubt}")


@contextmanager
def _lent(
    keys: SqliteKeys, program: str, options: Options, environ: Mapping[str, str], loaded: Loaded
) -> Iterator[Lent]:
    """A key with a budget for its life. It is renewed while the block lasts and revoked with its end.

    Raises:
        Misuse: AFTERBAY_KEY is no key of this database.
        PolicyRefusal: it may not make such a key.
    """
    by, until = _maker(keys, environ, loaded)
    _sweep(keys)
    most = {"picousd/total": picousd(options.cap_usd)}
    rights = msgspec.structs.replace(options.bounds.on(EVERYTHING), limits=most)
    rights = msgspec.structs.replace(rights, expires_at=min(time.time() + LIFE_S, until))
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in program)[:40]
    made = keys.create(f"run-{safe}-{secrets.token_hex(4)}", rights, throwaway=True, by=by)
    lent, over = Lent(made.info.id, made.info.name, made.secret, made.info.rights, by), threading.Event()
    renewing = threading.Thread(target=_renew, args=(keys, lent, until, over), name="renew the key", daemon=True)
    renewing.start()
    try:
        yield lent
    finally:
        over.set()
        renewing.join()
        keys.revoke(lent.id)


def _maker(keys: SqliteKeys, environ: Mapping[str, str], loaded: Loaded) -> tuple[str, float]:
    """Who makes the key, and until when it may live at most: the key of AFTERBAY_KEY, else the operator."""
    secret = environ.get("AFTERBAY_KEY")
    found = keys.find(secret) if secret else None
    if not secret or (found is None and not keys.any_exist()):
        return BY_OPERATOR, float("inf")
    if found is None:
        raise Misuse(
            f"AFTERBAY_KEY is no key of the database {database_path(loaded.snapshot)}.",
            remedy="Unset it to make the key as the operator of this machine, or name another configuration with -c.",
        )
    expires_at = found.rights.expires_at
    return found.id, float("inf") if expires_at is None else expires_at


def _sweep(keys: SqliteKeys) -> None:
    """Revokes what runs that were killed have left behind."""
    now = time.time()
    for info in keys.list():
        if info.throwaway and info.rights.expires_at is not None and info.rights.expires_at < now:
            with suppress(StoreError):  # another run does the same
                keys.revoke(info.id)


def _renew(keys: SqliteKeys, lent: Lent, until: float, over: threading.Event) -> None:
    """Gives the key more time, again and again."""
    due = time.time() + RENEW_S
    while not over.wait(LOOK_S):
        now = time.time()
        if now >= due:
            longer = msgspec.structs.replace(lent.rights, expires_at=min(now + LIFE_S, until))
            with suppress(StoreError, GatewayError):  # the next look tries again
                keys.update(lent.id, Wish(longer), by=lent.by)
                due = now + RENEW_S


@contextmanager
def _gateway(config: Path | None, key: Lent, asked: Asked, speech: Speech) -> Iterator[str]:
    """The address of the gateway. After the block all that it was asked for has been read."""
    with gateway_for(config, key.secret, os.environ, speech.say) as (url, is_own):
        yield url
        if not is_own:
            Quiet().wait(asked.read)
    asked.read()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that nobody else may write to, nor to one above it: not below /tmp."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    cache = (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "afterbay"
    folder = cache / f"run-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _key_variables(loaded: Loaded) -> set[str]:
    """The variables that hold keys of providers: those that the configuration names, and those that are known."""
    named = {name for path, origin in loaded.origins.items() if is_secret(path) for name in origin.variables}
    return named.union(*(row.key_variables for row in catalog().provider))


def _settings(program: str) -> bytes | None:
    """The settings that Gemini CLI would take from the system."""
    path = os.environ.get("GEMINI_CLI_SYSTEM_SETTINGS_PATH") or _GEMINI_SETTINGS.get(sys.platform)
    if agent_name(program) != "gemini" or path is None:
        return None
    with suppress(OSError):
        return Path(path).read_bytes()
    return None
