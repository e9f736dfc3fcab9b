"""`afterbay check --production`: what production needs, as far as this release can see it, with the evidence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from afterbay.cli.state import database_path
from afterbay.config.describe import SOON_S, duration
from afterbay.config.problem import child, is_secret, masked_url
from afterbay.config.retirement import NOTICE_DAYS, day_of, retiring
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded
from afterbay.core.decision import Target
from afterbay.http.identity import is_loopback
from afterbay.policy.compliance import last_day, meets
from afterbay.policy.plan import Alias, Route
from afterbay.store.database import Database
from afterbay.store.keys import SqliteKeys

Status: TypeAlias = Literal["ok", "warn", "fail"]
_NOT_HONOURED = " is not honoured by this release."


class Finding(msgspec.Struct, frozen=True):
    """One row: `fail` means not fit for production, `warn` that somebody should decide. `remedy`: what to do."""

    status: Status
    what: str
    evidence: str
    remedy: str = ""


def checklist(loaded: Loaded, at: float) -> list[Finding]:
    """All checks, in the order of how much they can hurt, as of a moment (UTC seconds)."""
    database = _database(loaded)
    found = [_file(loaded), _secrets(loaded), *database, *_keys(loaded)]
    on_snapshot: tuple[Callable[[Snapshot], Iterable[Finding]], ...] = (
        _plain_http,
        _providers,
        _fallbacks,
        _floating,
        lambda snapshot: _ends(snapshot, at),
        _prices,
        _timeouts,
        lambda snapshot: _compliance(snapshot, at),
        lambda snapshot: _facts(snapshot, at),
        _money,
        _ignored,
        _telemetry,
        _unknown_names,
    )
    return found + [one for check in on_snapshot for one in check(loaded.snapshot)]


def _file(loaded: Loaded) -> Finding:
    if loaded.path is None:
        evidence = "none: what is served depends on the variables that happen to be set"
        return Finding("warn", "configuration file", evidence, "Write an afterbay.yaml and name it with -c.")
    return Finding("ok", "configuration file", str(loaded.path))


def _secrets(loaded: Loaded) -> Finding:
    """Keys, and addresses with passwords, that stand in the file itself."""
    written = [path for path, origin in loaded.origins.items() if origin.kind == "file" and is_secret(path)]
    keys = [path for path in written if ".headers" not in path]
    headers = [path for path in written if ".headers." in path or ".headers[" in path]
    keys += _passwords(loaded)
    if keys:
        remedy = 'Write "${VARIABLE}" there, set the variable, and replace the secret: the file may have been copied.'
        return Finding("fail", "secrets in the file", ", ".join(keys), remedy)
    if headers:
        remedy = 'If one of them is a credential, write "${VARIABLE}" there.'
        return Finding("warn", "secrets in the file", f"headers written out: {', '.join(headers)}", remedy)
    return Finding("ok", "secrets in the file", "none: every key comes from a variable")


def _passwords(loaded: Loaded) -> list[str]:
    config = loaded.config
    places = [("state.database", config.state.database), ("state.shared", config.state.shared)]
    places.append(("telemetry.otlp", config.telemetry.otlp or ""))
    for name, provider in config.providers.items():
        path = child("providers", name)
        places += [(f"{path}.base_url", provider.base_url or ""), (f"{path}.proxy", provider.proxy or "")]
    return [
        path
        for path, url in places
        if masked_url(url) != url and (origin := loaded.origins.get(path)) is not None and origin.kind == "file"
    ]


def _database(loaded: Loaded) -> Iterator[Finding]:
    path = database_path(loaded.snapshot)
    trouble = _why_not_writable(path)
    if trouble is not None:
        yield Finding("fail", "database writable", f"{path}: {trouble}", "Correct the permissions or state.database.")
    else:
        state = "writable" if path.exists() else "not there yet; its folder is writable"
        yield Finding("ok", "database writable", f"{path}: {state}")
    if not loaded.snapshot.state.database.startswith("sqlite:////"):
        evidence = f"{loaded.snapshot.state.database} is relative to the folder that the gateway is started in"
        remedy = "Write an absolute path: sqlite:////var/lib/afterbay/afterbay.db."
        yield Finding("warn", "database path", evidence, remedy)


def _why_not_writable(path: Path) -> str | None:
    """Tries a write lock and lets it go; a file that is not there is not made."""
    if not path.exists():
        parent = next(folder for folder in path.parents if folder.exists())
        return None if os.access(parent, os.W_OK) else f"the folder {parent} is not writable"
    try:
        with closing(Database(path).connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return str(error)
    return None


def _keys(loaded: Loaded) -> Iterator[Finding]:
    """Virtual keys, and with them the address that may be listened on."""
    path = database_path(loaded.snapshot)
    live = 0
    any_exist = False
    try:
        if path.exists():
            with closing(SqliteKeys(Database(path))) as keys:
                live, any_exist = sum(not key.throwaway for key in keys.list()), keys.any_exist()
    except sqlite3.Error as error:
        yield Finding("fail", "virtual keys", f"they cannot be read: {error}", "See the row about the database.")
        return
    if live:
        yield Finding("ok", "virtual keys", f"{live} live")
    elif any_exist:
        yield Finding("fail", "virtual keys", "all are revoked: nobody may ask", "Run `afterbay keys create NAME`.")
    else:
        evidence = "none: whoever reaches the gateway may spend your money"
        yield Finding("fail", "virtual keys", evidence, "Run `afterbay keys create NAME`.")
    if any_exist:
        evidence = "any address is allowed, since keys are asked for; the gateway itself speaks plain HTTP"
        yield Finding("ok", "listening address", evidence, "Off loopback, put TLS in front of it.")
    else:
        evidence = "`serve` refuses every address but loopback while there is no key"
        yield Finding("warn", "listening address", evidence, "Create a key before others are to reach it.")


def _plain_http(snapshot: Snapshot) -> Iterator[Finding]:
    names = [name for name, one in snapshot.providers.items() if _in_clear(one.base_url)]
    if names:
        evidence = f"{', '.join(names)}: prompts and keys travel in clear to another machine"
        yield Finding("warn", "encryption to providers", evidence, "Use https, or a network that is yours alone.")
    else:
        yield Finding("ok", "encryption to providers", "https, or on this machine")


def _in_clear(url: str) -> bool:
    if not url.startswith("http://"):
        return False
    return not is_loopback(urlsplit(url).hostname or "")


def _chatting(snapshot: Snapshot) -> list[Target]:
    return [target for alias in snapshot.aliases.values() for target in alias.targets if not target.embeds]


def _providers(snapshot: Snapshot) -> Iterator[Finding]:
    names = sorted({target.provider for target in _chatting(snapshot)})
    evidence = ", ".join(names) or "none"
    if not names:
        yield Finding("fail", "two providers", "no model can answer", "Add providers and models.")
    elif len(names) < 2:
        yield Finding("warn", "two providers", f"only {evidence}: its outage is yours", "Add a second one.")
    else:
        yield Finding("ok", "two providers", evidence)


def _fallbacks(snapshot: Snapshot) -> Iterator[Finding]:
    alone = [alias.name for alias in snapshot.aliases.values() if _stands_alone(alias)]
    if alone:
        yield Finding("warn", "fallbacks", f"one deployment and no fallback: {_some(alone)}", "Add `fallback: [...]`.")
    else:
        yield Finding("ok", "fallbacks", "every model that chats has another deployment or a fallback")


def _stands_alone(alias: Alias) -> bool:
    return len(alias.targets) == 1 and not alias.fallback and not alias.targets[0].embeds


def _floating(snapshot: Snapshot) -> Iterator[Finding]:
    targets = [target for alias in snapshot.aliases.values() for target in alias.targets]
    names = [target.id for target in targets if "latest" in target.name.lower()]
    if names:
        evidence = f"the provider may change what they mean: {_some(names)}"
        yield Finding("warn", "pinned models", evidence, "Name a dated version.")
    else:
        yield Finding("ok", "pinned models", "no model is called `latest`")


def _ends(snapshot: Snapshot, at: float) -> Iterator[Finding]:
    found = retiring(snapshot, day_of(at))
    over = [one for one in found if one.days <= 0]
    if found:
        evidence = _some([f"{one.target} on {one.ends}" for one in over or found])
        instead = ", ".join(dict.fromkeys(one.successor for one in found if one.successor)) or "another model"
        yield Finding("fail" if over else "warn", "models that end", evidence, f"Move to {instead}.")
    else:
        yield Finding("ok", "models that end", f"none within {NOTICE_DAYS} days, as far as is known")


def _prices(snapshot: Snapshot) -> Iterator[Finding]:
    targets = [target for alias in snapshot.aliases.values() for target in alias.targets]
    names = [target.id for target in targets if target.price is None]
    if names:
        evidence = f"cost will be unknown, not 0, for {_some(names)}"
        if any(route.max_cost_picousd is not None for route in (*snapshot.routes.values(), snapshot.defaults)):
            evidence += "; max_cost_usd cannot be checked for them"
        yield Finding("warn", "prices", evidence, "Set `price: {input: ..., output: ...}` for them.")
    else:
        yield Finding("ok", "prices", f"known for all {len(targets)} deployments")


def _timeouts(snapshot: Snapshot) -> Iterator[Finding]:
    """A first token that may take as long as everything leaves no time for a fallback."""
    bad = [text for route in (*snapshot.routes.values(), snapshot.defaults) for text in _odd_times(route)]
    if bad:
        remedy = "Let connect < first_token < total, with room for a second attempt."
        yield Finding("warn", "time limits", "; ".join(bad), remedy)
    else:
        limits = snapshot.defaults.limits
        evidence = f"first_token {duration(limits.first_token_s)}, total {duration(limits.total_s)} by default"
        yield Finding("ok", "time limits", evidence)


def _odd_times(route: Route) -> Iterator[str]:
    limits = route.limits
    if limits.first_token_s * 2 > limits.total_s:
        first, total = duration(limits.first_token_s), duration(limits.total_s)
        yield f"{route.name}: first_token {first} of total {total} leaves no whole second attempt"
    if limits.connect_s >= limits.first_token_s:
        yield f"{route.name}: connect {duration(limits.connect_s)} is not below first_token"


def _compliance(snapshot: Snapshot, at: float) -> Iterator[Finding]:
    """Routes that require something, against what their candidates declare."""
    asking = [route for route in snapshot.routes.values() if route.compliance]
    for route in asking:
        names = dict.fromkeys([*route.candidates, *(route.fallback or ())])
        targets = [target for name in names if name in snapshot.aliases for target in snapshot.aliases[name].targets]
        met = [target for target in targets if meets(target, route.compliance, at)]
        silent = sorted({target.provider for target in targets if not target.compliance or target.region is None})
        what = f"compliance of {child('routes', route.name)}"
        if not met:
            yield Finding("fail", what, "no candidate meets it: every request is refused", "Add one that does.")
        elif silent:
            remedy = "Set `compliance` and `region` where the contract says so; until then they are left out."
            yield Finding("warn", what, f"{len(met)} of {len(targets)} meet it; {', '.join(silent)} say little", remedy)
        else:
            yield Finding("ok", what, f"{len(met)} of {len(targets)} deployments meet it")
    if not asking:
        yield Finding("ok", "compliance", "no route requires anything")


def _facts(snapshot: Snapshot, at: float) -> Iterator[Finding]:
    """Facts that have ended, that end soon, and those that a policy wants and nothing vouches for."""
    targets = [target for alias in snapshot.aliases.values() for target in alias.targets]
    stated = {(one.name, fact) for one in snapshot.providers.values() for fact in one.facts}
    stated |= {(one.id, fact) for one in targets for fact in one.facts if (one.provider, fact) not in stated}
    ends = sorted((fact.until_s, where, fact.name) for where, fact in stated if fact.until_s is not None)
    wanted = frozenset().union(*(one.require for one in snapshot.compliance.values()))
    told = [(end > at, name in wanted, f"{name} of {where} (until {last_day(end)})") for end, where, name in ends]
    over = [text for lasts, _, text in told if not lasts]
    soon = [text for (lasts, _, text), (end, _, _) in zip(told, ends, strict=True) if lasts and end <= at + SOON_S]
    if over:
        status: Status = "fail" if any(is_wanted and not lasts for lasts, is_wanted, _ in told) else "warn"
        yield Finding(status, "facts that have ended", _some(over), "Renew them: until then they count as absent.")
    if soon:
        yield Finding("warn", "facts that end soon", _some(soon), "Renew them before, or targets will be left out.")
    vouched = {(one.id, fact.name) for one in targets for fact in one.facts if fact.source}
    bare = [
        f"{name} of {one.id}"
        for one in targets
        for name in sorted(one.compliance & wanted)
        if (one.id, name) not in vouched
    ]
    if bare:
        remedy = "Write `{fact: ..., source: ..., until: ...}`: where the certificate can be seen, and until when."
        yield Finding("warn", "facts without a source", _some(list(dict.fromkeys(bare))), remedy)
    elif wanted and not over and not soon:
        yield Finding("ok", "facts", f"{len(stated)} with a source or an end, none of which ends within 30 days")


def _money(snapshot: Snapshot) -> Iterator[Finding]:
    """A budget counts what a key, a team or a tag spends; without one only the providers' own limits hold."""
    budgets = [f"{rule.name} (each {rule.scope})" for rule in snapshot.budgets if rule.unit == "picousd"]
    if budgets:
        yield Finding("ok", "limits of money", _some(budgets))
    else:
        remedy = "Set one: `policies: {budgets: {default: {usd: 100, per: month, scope: key}}}`."
        yield Finding("warn", "limits of money", "no budget: nothing here bounds what is spent in a month", remedy)


def _ignored(snapshot: Snapshot) -> Iterator[Finding]:
    """Settings that load and do nothing yet."""
    paths = [text.removesuffix(_NOT_HONOURED) for text in snapshot.warnings if text.endswith(_NOT_HONOURED)]
    if paths:
        yield Finding("warn", "settings in force", f"not honoured by this release: {_some(paths)}", "Do without them.")
    else:
        yield Finding("ok", "settings in force", "all")


def _telemetry(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.telemetry.capture_content:
        evidence = "telemetry.capture_content: prompts and answers go into traces"
        yield Finding("warn", "content in traces", evidence, "Set it to false unless every user agreed.")
    else:
        yield Finding("ok", "content in traces", "prompts and answers stay out")


def _unknown_names(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.unknown_model == "error":
        yield Finding("ok", "unknown model names", "refused")
    else:
        evidence = f"a misspelt name is answered by `{snapshot.unknown_model}`, with a warning header only"
        yield Finding("warn", "unknown model names", evidence, "Set `unknown_model: error`.")


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
