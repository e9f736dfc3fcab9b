"""`afterbay keys`: the secret alone on stdout, so that `KEY=$(afterbay keys create me)` works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from afterbay.cli.speech import Speech, print_json, print_table
from afterbay.cli.state import database_path, existing_database, load_quickly
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded
from afterbay.core.words import closest
from afterbay.store.database import open_database
from afterbay.store.keyform import KeyInfo, NewKey
from afterbay.store.keys import SqliteKeys


def create(config: Path | None, name: str, models: list[str], admin: bool, as_json: bool) -> None:
    """Makes a key and shows its secret, once."""
    speech = Speech(sys.stderr)
    loaded = load_quickly(config)
    for model in models:
        if not may_be_asked(loaded.snapshot, model):
            speech.say(f"warning: {_unknown(loaded.snapshot, model)}")
    with closing(SqliteKeys(open_database(loaded.snapshot.state.database))) as keys:
        is_first = not keys.any_exist()
        made = keys.create(name, models, admin=admin)
    _show_new(made, "made", loaded, speech, as_json=as_json)
    if is_first:
        speech.say("it is the first key: gateways on this database now ask every client for one")


def show(config: Path | None, revoked: bool, as_json: bool) -> None:
    """Lists keys."""
    loaded = load_quickly(config)
    speech = Speech(sys.stderr)
    path = database_path(loaded.snapshot)
    found: tuple[KeyInfo, ...] = ()
    if path.exists():
        with _keys(loaded) as keys:
            found = keys.list(revoked=revoked)
    if as_json:
        print_json(found)
        return
    if found:
        print_table(("id", "name", "begins with", "models", "admin", "made", "revoked"), map(_row, found))
    else:
        speech.say(f"there are no keys in {path}; `afterbay keys create NAME` makes one")


def revoke(config: Path | None, key: str) -> None:
    """Ends a key."""
    with _keys(load_quickly(config)) as keys:
        info = keys.revoke(key)
    Speech(sys.stderr).say(f"{info.name} ({info.id}) is revoked; running gateways refuse it within two seconds")


def rotate(config: Path | None, key: str, as_json: bool) -> None:
    """Gives a key a new secret and shows it, once."""
    loaded = load_quickly(config)
    with _keys(loaded) as keys:
        made = keys.rotate(key)
    _show_new(made, "given a new secret; the old one has ended", loaded, Speech(sys.stderr), as_json=as_json)


@contextmanager
def _keys(loaded: Loaded) -> Iterator[SqliteKeys]:
    with closing(SqliteKeys(existing_database(loaded))) as keys:
        yield keys


def may_be_asked(snapshot: Snapshot, model: str) -> bool:
    """Whether a key that may use this name could use it for anything: as a gateway looks names up."""
    provider, slash, rest = model.partition("/")
    return (
        model in snapshot.aliases
        or model in snapshot.routes
        or model in snapshot.by_upstream_name
        or bool(slash and rest and provider in snapshot.providers)
    )


def _unknown(snapshot: Snapshot, model: str) -> str:
    near = closest(model, [*snapshot.aliases, *snapshot.routes])
    hint = f" The nearest names are: {', '.join(near)}." if near else ""
    return f"no model or route is called '{model}', so the key cannot use it now.{hint}"


def _show_new(made: NewKey, done: str, loaded: Loaded, speech: Speech, *, as_json: bool) -> None:
    info = made.info
    if as_json:
        print_json({"secret": made.secret.reveal(), **_plain(info)})
    else:
        print(made.secret.reveal(), flush=True)
    models = ", ".join(info.models) or "every model"
    kind = "admin key" if info.admin else "key"
    speech.say(f"{kind} {info.name} ({info.id}) for {models} is {done}")
    speech.say(f"its secret is shown this once and not stored; the database is {database_path(loaded.snapshot)}")


def _plain(info: KeyInfo) -> dict[str, object]:
    return {"id": info.id, "name": info.name, "models": info.models, "admin": info.admin, "created_at": info.created_at}


def _row(info: KeyInfo) -> tuple[object, ...]:
    models = ", ".join(info.models) or "all"
    admin = "yes" if info.admin else "no"
    return (info.id, info.name, info.hint, models, admin, info.created_at[:19], (info.revoked_at or "-")[:19])
