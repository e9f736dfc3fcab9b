"""`afterbay keys`: the secret alone on stdout, so that `KEY=$(afterbay keys create me)` works."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from afterbay.cli.rights import Wanted, brief, names
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import database_path, existing_database, load_quickly
from afterbay.config.load import seconds
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded
from afterbay.core.words import closest
from afterbay.policy.authority import ROLES, Role
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights
from afterbay.policy.rights_form import shown
from afterbay.store.audit import Anchor, Broken, is_hash
from afterbay.store.database import open_database
from afterbay.store.errors import UnknownTenant
from afterbay.store.keyform import KeyInfo, NewKey, check_name
from afterbay.store.keys import SqliteKeys
from afterbay.store.owners import KINDS, Kind, Tenant
from afterbay.store.register import Wish

_NONE: Final = "none"


class Preferred(msgspec.Struct, frozen=True):
    """What options say of a preference. None: nothing. `agent`: whose it is; None: everybody's."""

    provider: str | None = None
    allowed: list[str] | None = None
    model: str | None = None
    agent: str | None = None

    def on(self, preference: Preference) -> Preference:
        """The preference with what is wanted."""
        if self.provider is None and self.allowed is None and self.model is None:
            return preference
        own = preference if self.agent is None else preference.agents.get(self.agent, NO_WISH)
        changes: dict[str, object] = {}
        if self.provider is not None:
            changes["preferred_provider"] = None if self.provider == _NONE else self.provider
        if self.allowed is not None:
            changes["allowed_providers"] = names(self.allowed)
        if self.model is not None:
            changes["bound_model"] = None if self.model == _NONE else self.model
        own = msgspec.structs.replace(own, **changes)
        return (
            own
            if self.agent is None
            else msgspec.structs.replace(preference, agents={**preference.agents, self.agent: own})
        )


def create(
    config: Path | None,
    name: str,
    owners: tuple[str | None, str | None, str | None],
    wanted: Wanted,
    preferred: Preferred,
    role: str | None,
    as_json: bool,
) -> None:
    """Makes a key and shows its secret, once. `owners` are those of each kind; they are made if they are not there."""
    speech = Speech(sys.stderr)
    loaded = load_quickly(config)
    check_name(name)
    rights, wish, granted = wanted.on(EVERYTHING), preferred.on(NO_WISH), _role(role)
    for warning in doubts(loaded.snapshot, rights, wish):
        speech.say(f"warning: {warning}")
    with closing(SqliteKeys(open_database(loaded.snapshot.state.database))) as keys:
        is_first = not keys.any_exist()
        owner = _owner(keys, owners, speech)
        made = keys.create(name, rights, owner=owner, role=granted, preference=wish)
        place = keys.place(owner)
    _show_new(made, place, "made", loaded, speech, as_json=as_json)
    if is_first:
        speech.say("it is the first key: gateways on this database now ask every client for one")


def change(config: Path | None, whom: str, wanted: Wanted, preferred: Preferred, role: str | None) -> None:
    """Changes what a key or an owner may use."""
    loaded, speech = load_quickly(config), Speech(sys.stderr)
    kind, name = _target(whom)
    with _keys(loaded) as keys:
        one = keys.key(name) if kind is None else keys.tenant(kind, name)
        rights, wish = wanted.on(one.rights), preferred.on(one.preference)
        for warning in doubts(loaded.snapshot, rights, wish):
            speech.say(f"warning: {warning}")
        if kind is None:
            changed: KeyInfo | Tenant = keys.update(one.id, Wish(rights, wish, _NONE if role == _NONE else _role(role)))
        elif role is not None:
            raise Misuse("Roles belong to keys.", remedy="Leave out --role, or name a key.")
        else:
            changed = keys.update_tenant(kind, one.id, Wish(rights, wish))
    told = brief(changed.rights) or "everything"
    speech.say(f"{whom} ({changed.id}) may use: {told}; running gateways know it within two seconds")


def show_all(config: Path | None, revoked: bool, as_json: bool) -> None:
    """Lists keys."""
    loaded = load_quickly(config)
    speech = Speech(sys.stderr)
    path = database_path(loaded.snapshot)
    found: list[dict[str, object]] = []
    rows: list[tuple[object, ...]] = []
    if path.exists():
        with _keys(loaded) as keys:
            for info in keys.list(revoked=revoked):
                place = keys.place(info.owner)
                found.append(_plain(info, place))
                rows.append(_row(info, place))
    if as_json:
        print_json(found)
        return
    if rows:
        print_table(("id", "name", "begins with", "belongs to", "may use", "role", "made", "revoked"), rows)
    else:
        speech.say(f"there are no keys in {path}; `afterbay keys create NAME` makes one")


def show(config: Path | None, whom: str, as_json: bool) -> None:
    """Shows one key or owner."""
    kind, name = _target(whom)
    with _keys(load_quickly(config)) as keys:
        if kind is not None:
            tenant = keys.tenant(kind, name)
            told, rights = _plain_tenant(tenant, keys.place(tenant.id)), tenant.rights
        else:
            info = keys.key(name, revoked=True)
            key = keys.effective(info)
            told, rights = _plain(info, keys.place(info.owner)), info.rights
            if key is not None:
                rights = key.rights
                told |= {"effective": shown(key.rights), "effective_preference": key.preference}
                told |= {"accounts": key.accounts, "limits": [msgspec.structs.asdict(one) for one in key.allowances]}
    if as_json:
        print_json(told)
        return
    plain = {name: value for name, value in told.items() if isinstance(value, str) and value}
    rows = [*plain.items(), ("may use", brief(rights) or "everything")]
    wishes = msgspec.to_builtins(told.get("effective_preference", told["preference"]))
    print_table(("what", "value"), [*rows, *(_wish_row(name, value) for name, value in wishes.items())])


def show_tenants(config: Path | None, as_json: bool) -> None:
    """Lists the organisations, teams and users."""
    with _keys(load_quickly(config)) as keys:
        found = [(one, keys.place(one.id)) for one in keys.tenants()]
    if as_json:
        print_json([_plain_tenant(one, place) for one, place in found])
    elif found:
        rows = [(one.id, place, brief(one.rights) or "everything", one.created_at[:19]) for one, place in found]
        print_table(("id", "who", "may use", "made"), rows)
    else:
        Speech(sys.stderr).say("there are none; `afterbay keys create NAME --team TEAM` makes one with its first key")


def revoke(config: Path | None, whom: str) -> None:
    """Ends a key, or an owner with all keys below it."""
    kind, name = _target(whom)
    with _keys(load_quickly(config)) as keys:
        if kind is None:
            info = keys.revoke(name)
            told = f"{info.name} ({info.id}) is revoked; running gateways refuse it within two seconds"
        else:
            ended = keys.end_tenant(kind, name)
            told = f"{whom} ({ended.subject}) has ended, and with it {len(ended.keys)} keys"
    Speech(sys.stderr).say(told)


def rotate(config: Path | None, key: str, overlap: str, as_json: bool) -> None:
    """Gives a key a new secret and shows it, once."""
    overlap_s = seconds(overlap)
    if overlap_s is None:
        raise Misuse(f"--overlap {overlap[:40]}: not a time.", remedy="Write 24h or 7d.")
    loaded = load_quickly(config)
    with _keys(loaded) as keys:
        made = keys.rotate(key, overlap_s=float(overlap_s))
        place = keys.place(made.info.owner)
    until = made.info.old_until
    old = "has ended" if until is None else f"is good until {until[:19]}Z"
    done = f"given a new secret; the old one {old}"
    _show_new(made, place, done, loaded, Speech(sys.stderr), as_json=as_json)


def show_audit(config: Path | None, lines: int, as_json: bool) -> None:
    """Shows the last changes, oldest first."""
    with _keys(load_quickly(config)) as keys:
        entries = keys.audit(limit=lines)[::-1]
    if as_json:
        print_json(entries)
        return
    rows = [(one.number, one.at[:19], one.actor, one.action, one.subject, one.details) for one in entries]
    print_table(("number", "at", "who", "did", "to", "details"), rows)


def verify_audit(config: Path | None, anchor: str | None) -> None:
    """Checks the whole audit log, and says where it ends or breaks.

    Raises:
        SystemExit: 1, it is broken.
    """
    number, colon, known = (anchor or "").partition(":")
    if anchor is not None and not (colon and is_hash(known) and number.isascii() and number.isdigit()):
        raise Misuse(
            f"--anchor {anchor[:80]}: not an anchor.",
            remedy="Give all that --verify printed: NUMBER:HASH, the hash with its 64 digits.",
        )
    with _keys(load_quickly(config)) as keys:
        found = keys.verify_audit(Anchor(int(number), known) if anchor is not None else None)
    if isinstance(found, Broken):
        Speech(sys.stderr).error(f"the audit log is broken at entry {found.number}: {found.reason}")
        raise SystemExit(1)
    print(f"{found.number}:{found.hash}")
    Speech(sys.stderr).say(f"the audit log is whole, {found.number} entries; keep its end elsewhere for --anchor")


@contextmanager
def _keys(loaded: Loaded) -> Iterator[SqliteKeys]:
    with closing(SqliteKeys(existing_database(loaded))) as keys:
        yield keys


def _target(whom: str) -> tuple[Kind | None, str]:
    """The kind of an owner, and its place; None for a key, and its id or name."""
    word, colon, rest = whom.partition(":")
    for kind in KINDS:
        if colon and word == kind:
            return kind, rest
    return None, whom


def _role(text: str | None) -> Role | None:
    for role in ROLES:
        if text == role:
            return role
    if text is not None:
        raise Misuse(f"There is no role '{text[:40]}'.", remedy=f"The roles are: {', '.join(ROLES)}.")
    return None


def _owner(keys: SqliteKeys, owners: tuple[str | None, str | None, str | None], speech: Speech) -> str:
    """The id of the narrowest of the named owners; those that are not there are made on the way."""
    owner, place = "", ""
    for kind, name in zip(KINDS, owners, strict=True):
        if name is None:
            continue
        place = f"{place}/{name}" if place else name
        try:
            owner = keys.tenant(kind, place).id
        except UnknownTenant:
            owner = keys.create_tenant(kind, name, owner).id
            speech.say(f"{kind} {place} ({owner}) is made")
    return owner


def doubts(snapshot: Snapshot, rights: Rights, wish: Preference) -> Iterator[str]:
    """What of rights and wishes can mean nothing under this configuration."""
    named = [*sorted(rights.models or ()), *([wish.bound_model] if wish.bound_model is not None else [])]
    for model in named:
        if not may_be_asked(snapshot, model):
            yield _unknown("model or route", model, [*snapshot.aliases, *snapshot.routes])
    for route in sorted(rights.routes or ()):
        if route not in snapshot.routes:
            yield _unknown("route", route, snapshot.routes)
    wished = {*(wish.allowed_providers or ()), *([wish.preferred_provider] if wish.preferred_provider else [])}
    for provider in sorted(wished | (rights.providers or frozenset())):
        if provider not in snapshot.providers:
            yield _unknown("provider", provider, snapshot.providers)
    for name in sorted(rights.compliance - snapshot.compliance.keys()):
        yield f"there is no compliance set '{name}', so the key can use no target at all now."


def may_be_asked(snapshot: Snapshot, model: str) -> bool:
    """Whether a key that may use this name could use it for anything: as a gateway looks names up."""
    provider, slash, rest = model.partition("/")
    return (
        model in snapshot.aliases
        or model in snapshot.routes
        or model in snapshot.by_upstream_name
        or bool(slash and rest and provider in snapshot.providers)
    )


def _unknown(what: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    near = closest(name, list(known))
    hint = f" The nearest names are: {', '.join(near)}." if near else ""
    return f"no {what} is called '{name}', so the key cannot use it now.{hint}"


def _show_new(made: NewKey, place: str, done: str, loaded: Loaded, speech: Speech, *, as_json: bool) -> None:
    info = made.info
    if as_json:
        print_json({"secret": made.secret.reveal(), **_plain(info, place)})
    else:
        print(made.secret.reveal(), flush=True)
    kind = f"{info.role} key" if info.role is not None else "key"
    of = f" of {place}" if place else ""
    speech.say(f"{kind} {info.name} ({info.id}){of} for {_bounds(info.rights)} is {done}")
    speech.say(
        f"its secret is shown this once and not stored; the database is {database_path(loaded.snapshot)}; "
        "running gateways know it within two seconds"
    )


def _bounds(rights: Rights) -> str:
    """What a key is for: nothing said of models means every one."""
    told = brief(rights)
    return told if told.startswith("models ") else "; ".join(filter(None, ("every model", told)))


def _plain(info: KeyInfo, place: str) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "hint": info.hint,
        "belongs_to": place,
        "role": info.role,
        "rights": shown(info.rights),
        "preference": info.preference,
        "charged_to_keys": info.charged,
        "created_at": info.created_at,
        "revoked_at": info.revoked_at,
        "old_secret_until": info.old_until,
    }


def _plain_tenant(one: Tenant, place: str) -> dict[str, object]:
    return {
        "id": one.id,
        "place": place,
        "rights": shown(one.rights),
        "preference": one.preference,
        "created_at": one.created_at,
    }


def _wish_row(name: str, value: object) -> tuple[str, str]:
    return name.replace("_", " "), value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _row(info: KeyInfo, place: str) -> tuple[object, ...]:
    may = brief(info.rights) or "all"
    made, revoked = info.created_at[:19], (info.revoked_at or "-")[:19]
    return (info.id, info.name, info.hint, place or "-", may, info.role or "-", made, revoked)
