"""`afterbay incident`: a request of the log as one file without secrets, and such a file replayed offline."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import msgspec

from afterbay.cli.figures import seconds
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import existing_database, load_quickly
from afterbay.config.portable import from_json
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Attempt, Record
from afterbay.core.errors import ClientMistake
from afterbay.store.configurations import kept_configuration
from afterbay.store.database import Database
from afterbay.store.lookup import find_request, one_request
from afterbay.testing.incident import (
    Incident,
    Kept,
    Likeness,
    Rerun,
    Secrets,
    compare,
    load,
    make,
    recordings_of,
    rerun,
    save,
    secrets_of,
    to_text,
)
from afterbay.testing.recorded import Recorded

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def run_incident(
    request_id: str, config: Path | None, output: Path | None, recordings: Path | None, with_content: bool
) -> None:
    """Writes the incident of a request of the log.

    Raises:
        Misuse: options that do not go together.
        ClientMistake: there is no such request, or it cannot be replayed.
        StoreError: there is no database.
    """
    if recordings is not None and not with_content:
        raise Misuse("--recordings holds what was said.", remedy="Add --with-content, or leave it out.")
    loaded = load_quickly(config)
    database = existing_database(loaded)
    record = _found(database, request_id)
    kept = _configuration(database, record, loaded)
    incident = make(
        record,
        kept,
        Secrets(secrets_of(loaded.snapshot, os.environ)),
        recordings=_recordings(record, recordings),
        with_content=with_content,
    )
    path = output if output is not None else Path(f"incident-{record.id}.json")
    if str(path) == "-":
        sys.stdout.write(to_text(incident).decode())
        return
    _save(incident, path)
    speech = Speech(sys.stderr)
    for note in incident.notes:
        speech.say(f"note: {note}")
    if with_content:
        speech.say("it holds what was said, as far as it was kept: look before you hand it on")
    speech.say(f"{record.id}: {record.outcome}, {len(record.attempts)} attempt(s); afterbay incident --replay {path}")
    print(path)


def run_replay(file: Path, config: Path | None, as_json: bool) -> None:
    """Replays an incident and says whether it goes the same way.

    Raises:
        Misuse: the file holds no incident.
        ConfigError: the other configuration is not right.
        SystemExit: with 1, where it goes another way.
    """
    try:
        incident = load(file)
    except (OSError, ValueError) as error:
        raise Misuse(f"{file} cannot be replayed: {error}.", remedy="Write one: afterbay incident ID.") from None
    snapshot = _other(config) if config is not None else None
    came = rerun(incident, snapshot)
    likeness = compare(incident.record, came.record)
    if as_json:
        print_json(_plain(incident, came, likeness))
    else:
        _print(incident, came, likeness, config)
    if not likeness.is_same:
        raise SystemExit(1)


def _found(database: Database, part: str) -> Record:
    found = find_request(database, part)
    record = one_request(database, found.one) if found.one is not None else None
    if record is not None:
        return record
    near = f"The nearest: {', '.join(found.near)}." if found.near else "The log is empty."
    raise ClientMistake(
        f"No single request in {database.path} is meant by '{part[:60]}'.",
        status=404,
        kind="not_found",
        code="unknown_request",
        remedy=f"{near} `afterbay tail --no-follow` shows ids; a beginning or an end that is unique will do.",
    )


def _configuration(database: Database, record: Record, loaded: Loaded) -> Kept:
    """The configuration that served the request; that of today where it is not kept, or is of another release."""
    text = kept_configuration(database, record.config_hash)
    if text is not None:
        try:
            return Kept(from_json(text), is_exact=True)
        except msgspec.DecodeError:
            pass
    return Kept(loaded.snapshot, is_exact=False)


def _recordings(record: Record, folder: Path | None) -> list[Recorded]:
    if folder is None:
        return []
    try:
        found = recordings_of(record, folder)
    except ValueError as error:
        raise Misuse(f"{error}.", remedy="Name the folder of serve --record.") from None
    if not found:
        Speech(sys.stderr).say(f"warning: no recording in {folder} is of {record.id}; stand-ins are used")
    return found


def _save(incident: Incident, path: Path) -> None:
    try:
        save(incident, path)
    except OSError as error:
        why = error.strerror or str(error)
        raise Misuse(f"{path} cannot be written: {why}.", remedy="Name another file: -o FILE.") from None


def _other(config: Path) -> Snapshot:
    """The configuration to replay under. No key is needed: variables that are not set have a stand-in. Prices are not
    looked up; they change no decision."""
    text = config.read_text("utf-8", "replace") if config.is_file() else ""
    environ = dict.fromkeys(_VARIABLE.findall(text), "offline") | {name: one for name, one in os.environ.items() if one}
    return load_snapshot(config, environ, look_up=lambda queries: {}).snapshot


def _print(incident: Incident, came: Rerun, likeness: Likeness, config: Path | None) -> None:
    speech = Speech(sys.stderr)
    record = incident.record
    under = f"under {config}" if config is not None else f"under its configuration {incident.configuration.hash}"
    speech.say(f"{record.id}, {record.protocol}, '{record.requested_model}', {under}")
    for note in incident.notes:
        speech.say(f"note: {note}")
    for guess in came.assumed:
        speech.say(f"assumed: {guess}")
    rows = [
        (str(pair.number), _told(pair.recorded), _told(pair.replayed), pair.differs or "the same")
        for pair in likeness.pairs
    ]
    rows.append(("end", _ended(record), _ended(came.record), likeness.ending or "the same"))
    print_table(["attempt", "recorded", "replayed", ""], rows)
    print("the same" if likeness.first is None else f"first difference: {likeness.first}")


def _told(attempt: Attempt | None) -> str:
    if attempt is None:
        return "-"
    status = f" {attempt.status}" if attempt.status is not None else ""
    code = f" {attempt.code}" if attempt.code else ""
    first = f", first output {seconds(attempt.first_token_s)}" if attempt.first_token_s is not None else ""
    when = f"{seconds(attempt.started_s)} to {seconds(attempt.ended_s)}{first}"
    return f"{attempt.target} ({attempt.why}): {attempt.outcome or 'open'}{status}{code}; {when}"


def _ended(record: Record) -> str:
    return f"{record.status or '-'} {record.outcome} after {seconds(record.duration_s)}"


def _plain(incident: Incident, came: Rerun, likeness: Likeness) -> dict[str, object]:
    return {
        "id": incident.request_id,
        "same": likeness.is_same,
        "first_difference": likeness.first,
        "attempts": likeness.pairs,
        "recorded": incident.record,
        "replayed": came.record,
        "notes": incident.notes,
        "assumed": came.assumed,
    }
