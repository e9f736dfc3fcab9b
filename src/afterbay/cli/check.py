"""`afterbay check`: is the configuration right, what is in force, and is it fit for production."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

import typer

from afterbay.cli.speech import Speech, print_json, print_table
from afterbay.cli.state import introduce
from afterbay.config.describe import facts_due, never_matching, rows
from afterbay.config.problem import ConfigError
from afterbay.config.retirement import day_of, notices, retiring
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.store.database import sqlite_path


def run_check(config: Path | None, schema: bool, production: bool, as_json: bool) -> None:
    """Prints the schema, the checklist, or every effective value.

    Raises:
        ConfigError: the configuration is not right.
        StoreError: it names a database that this release cannot use.
    """
    if schema:
        from afterbay.config.reference import schema_json

        print_json(schema_json())
        return
    try:
        loaded = load_snapshot(config, os.environ)
    except ConfigError as error:
        if as_json:
            print_json({"valid": False, "problems": error.problems})
        raise
    sqlite_path(loaded.snapshot.state.database)
    if production:
        _production(loaded, as_json)
    else:
        _values(loaded, as_json)


def _values(loaded: Loaded, as_json: bool) -> None:
    dead, due = never_matching(loaded, time.time()), facts_due(loaded.snapshot, time.time())
    snapshot = loaded.snapshot
    ends = retiring(snapshot, day_of(time.time()))
    told = notices(ends, chosen_here=loaded.path is None)
    if as_json:
        print_json(
            {
                "valid": True,
                "file": str(loaded.path) if loaded.path else None,
                "hash": snapshot.hash,
                "spends": loaded.spends,
                "warnings": snapshot.warnings,
                "never_match": dead,
                "facts_due": due,
                "retiring": ends,
                "values": rows(loaded),
            }
        )
        return
    speech = Speech(sys.stderr)
    print_table(("value of", "is", "from"), ((row.path, row.value, row.origin) for row in rows(loaded)))
    introduce(loaded, speech)
    for line in (*dead, *due):
        speech.say(f"warning: {line}")
    doubts = len(snapshot.warnings) + len(dead) + len(due) + len(told)
    counts = f"providers: {len(snapshot.providers)}, models: {len(snapshot.aliases)}, routes: {len(snapshot.routes)}"
    speech.say(f"the configuration is valid ({counts}, warnings: {doubts})")


def _production(loaded: Loaded, as_json: bool) -> None:
    """Raises typer.Exit with 1 if anything is not fit."""
    from afterbay.cli.production import checklist

    found = checklist(loaded, time.time())
    count = Counter(one.status for one in found)
    if as_json:
        print_json({"fit": not count["fail"], "checks": found})
    else:
        headings = ("", "what", "evidence", "what to do")
        print_table(headings, ((one.status, one.what, one.evidence, one.remedy or "-") for one in found))
        Speech(sys.stderr).say(f"ok: {count['ok']}, warn: {count['warn']}, fail: {count['fail']}")
    if count["fail"]:
        raise typer.Exit(1)
