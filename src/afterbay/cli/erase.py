"""`afterbay erase`: what the store holds of a user or a key is deleted or made nobody's, and counted."""

from __future__ import annotations

import sys
from pathlib import Path

from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import existing_database, load_quickly
from afterbay.store.erase import Erased, Whom, erase


def run_erase(
    config: Path | None, user: str | None, key: str | None, organisation: str | None, dry_run: bool, as_json: bool
) -> None:
    """Erases, or says what would be erased.

    Raises:
        Misuse: not exactly one of user and key is named.
        StoreError: there is no database, or the name is that of several.
        SystemExit: 1, older pages of the database may still have something of them.
    """
    named = user if user is not None else key
    if (user is None) == (key is None) or not named:
        raise Misuse(
            "Give either --user ID or --key ID.", remedy="`afterbay keys tenants` and `keys list --revoked` show them."
        )
    if organisation is not None and user is None:
        raise Misuse("--organisation narrows --user.", remedy="Leave it out with --key.")
    whom = Whom("user" if user is not None else "key", named, organisation)
    erased = erase(existing_database(load_quickly(config)), whom, dry_run=dry_run)
    if as_json:
        print_json(erased)
    else:
        print_table(("what", "count", "what became of it"), _rows(erased))
    speech = Speech(sys.stderr)
    for line in _notes(whom, erased):
        speech.say(line)
    if not erased.is_overwritten:
        speech.error("the database is in use: pages that nobody reads any more could not be overwritten; erase again")
        raise SystemExit(1)


def _rows(erased: Erased) -> list[tuple[str, int, str]]:
    would = "would be " if erased.dry_run else ""
    return [
        ("requests", erased.requests, f"{would}made nobody's; time, model, tokens and cost stay"),
        ("attempts", erased.attempts, f"{would}made nobody's"),
        ("kept answers", erased.responses, f"{would}deleted, prompts included"),
        ("answers for repeats", erased.repeatable, f"{would}deleted"),
        ("names", erased.names, f"{would}deleted, of users that have ended and keys that are revoked"),
        ("audit entries", erased.entries, f"{would}left without details; the chain holds"),
    ]


def _notes(whom: Whom, erased: Erased) -> list[str]:
    """What is left to do, or to know."""
    found: list[str] = []
    if not (erased.requests or erased.responses or erased.repeatable or erased.names or erased.waiting):
        found.append(f"nothing is kept of {whom.kind} '{whom.name}'")
    if erased.dry_run:
        found.append("nothing was changed: this was --dry-run")
    if erased.live:
        found.append(
            f"still live, so these keep their names: {', '.join(erased.live)}; end them with `afterbay keys revoke "
            f"{'user:ID' if whom.kind == 'user' else 'ID'}`, and erase again"
        )
    if erased.shared:
        found.append(f"used by others too, so their kept answers stay: {', '.join(erased.shared)}; see --key")
    for provider, ids in erased.at_providers.items():
        shown = ", ".join(ids[:5]) + (f" and {len(ids) - 5} more (--json has all)" if len(ids) > 5 else "")
        found.append(f"{provider} keeps {len(ids)} of the answers itself; delete them there: {shown}")
    for file in erased.waiting:
        found.append(f"{file.file}: {file.mentions} lines name them; when a gateway is done with it, erase again")
    return found
