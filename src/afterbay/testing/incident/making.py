"""From a record to the file of its incident."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from afterbay import __version__
from afterbay.app.snapshots import direct_target
from afterbay.config.portable import to_json
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Attempt, Circumstances, Record, Target
from afterbay.core.errors import ClientMistake, GatewayError
from afterbay.policy.plan import Route
from afterbay.testing.incident.form import (
    FORMAT,
    Asked,
    Configuration,
    Environment,
    Exchange,
    Incident,
)
from afterbay.testing.incident.secrecy import Secrets
from afterbay.testing.incident.standin import answer_of, body_of
from afterbay.testing.incident.vectors import Vectors, asked_of
from afterbay.testing.incident.wording import private
from afterbay.testing.recorded import Content, Recorded, content, load, stem
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS
from afterbay.wire.splice import replace_model

EARLY_S: Final = 0.1
"""A recording may seem to begin so much before its attempt: two clocks."""
FILES: Final = 20_000
"""So many recordings are looked through."""


class Kept(msgspec.Struct, frozen=True):
    """The configuration of an incident. `is_exact`: it is the one that served the request."""

    snapshot: Snapshot
    is_exact: bool


def make(
    record: Record,
    kept: Kept,
    secrets: Secrets,
    *,
    recordings: Sequence[Recorded] = (),
    with_content: bool = False,
) -> Incident:
    """The incident of a request. `recordings` are those of its exchanges (`recordings_of`); they are used with
    `with_content` only, since they hold what was said.

    Raises:
        ClientMistake: there is no way yet to replay such a request.
    """
    if record.operation not in ("chat", "embeddings") or record.protocol not in DIALECTS:
        raise ClientMistake(
            f"{record.id} is a request for {record.operation} ({record.protocol}): only chats and embeddings can be "
            "replayed.",
            code="wrong_operation",
            remedy="Its record: GET /v1/requests/{id}, or afterbay tail --json.",
        )
    circumstances = record.circumstances or Circumstances()
    used = recordings if with_content else ()
    asked, more = _asked(record, kept.snapshot, used, circumstances, with_content=with_content)
    vectors = Vectors(record, asked.body.raw()) if record.operation == "embeddings" else None
    exchanges, notes = _exchanges(record, kept.snapshot, used, vectors, with_content=with_content)
    if not kept.is_exact:
        notes.insert(0, f"configuration {record.config_hash} was not kept: this is the one of today")
    if record.seed is None:
        notes.insert(0, "the record has no seed: waits and orders are drawn anew")
    shown = record if with_content else private(record)
    incident = Incident(
        format=FORMAT,
        request_id=record.id,
        seed=record.seed,
        written_by=Environment(__version__, platform.python_version(), platform.platform()),
        configuration=Configuration(record.config_hash, kept.is_exact, msgspec.Raw(to_json(kept.snapshot))),
        record=msgspec.structs.replace(shown, circumstances=None),
        order=circumstances.order,
        sights=circumstances.sights,
        request=asked,
        exchanges=tuple(exchanges),
        notes=tuple(dict.fromkeys([*notes, *more])),
    )
    return _without_secrets(incident, secrets)


def target_of(snapshot: Snapshot, name: str) -> Target | None:
    """The target of this id; one that a client named on the spot is made again."""
    for alias in snapshot.aliases.values():
        for target in alias.targets:
            if target.id == name:
                return target
    provider, _, model = name.partition("/")
    return direct_target(snapshot, provider, model)


def recordings_of(record: Record, folder: Path) -> list[Recorded]:
    """What `serve --record` stored of a request, in the order in which it was sent.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of recordings")
    stems = tuple({stem(one.target.partition("/")[0]) + "-" for one in record.attempts})
    found: list[Recorded] = []
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        if number >= FILES or not path.name.startswith(stems) or path.stat().st_mtime < record.received_at - 1:
            continue
        try:
            recorded = load(path)
        except ValueError:  # it is none of ours, or being written
            continue
        if recorded.request_id == record.id:
            found.append(recorded)
    return sorted(found, key=lambda one: one.sent_at)


def _exchanges(
    record: Record,
    snapshot: Snapshot,
    recordings: Sequence[Recorded],
    vectors: Vectors | None,
    *,
    with_content: bool,
) -> tuple[list[Exchange], list[str]]:
    left = list(recordings)
    found: list[Exchange] = []
    calls = record.finish == "tool_calls" or any(one.why == "repair" for one in record.attempts)
    notes = ["the answer called tools: in a stand-in text stands for the calls"] if calls and not recordings else []
    for attempt in record.attempts:
        target = target_of(snapshot, attempt.target)
        if target is None:
            notes.append(f"attempt {attempt.number}: {attempt.target} is not in this configuration")
            continue
        name = target.dialect if vectors is not None else target.dialect_for(record.protocol)
        if name not in (DIALECTS if vectors is None else EMBED_DIALECTS):
            notes.append(f"attempt {attempt.number}: {attempt.target} has no dialect to answer in")
            continue
        tape = _taken(left, record, attempt)
        if tape is not None:
            found.append(Exchange(attempt.number, attempt.target, "recorded", tape, attempt.key))
            continue
        if recordings:
            notes.append(f"attempt {attempt.number}: no recording of it was found")
        made = answer_of(record, attempt, name, with_words=with_content, vectors=vectors)
        notes += made.notes
        found.append(
            Exchange(
                attempt.number,
                attempt.target,
                "stand-in",
                made.answer,
                attempt.key,
                continues=attempt.why == "resume",
                is_busy=attempt.code == "queue_full",
            )
        )
    return found, notes


def _taken(left: list[Recorded], record: Record, attempt: Attempt) -> Recorded | None:
    """The recording of an attempt: the first of its provider that was sent while it ran."""
    began = record.received_at + attempt.started_s - EARLY_S
    ended = record.received_at + (attempt.ended_s if attempt.ended_s is not None else record.duration_s) + EARLY_S
    for one in left:
        if one.provider == attempt.target.partition("/")[0] and began <= one.sent_at <= ended:
            left.remove(one)
            return one
    return None


def _asked(
    record: Record, snapshot: Snapshot, recordings: Sequence[Recorded], kept: Circumstances, *, with_content: bool
) -> tuple[Asked, tuple[str, ...]]:
    headers = kept.headers if with_content else {name: _term(value) for name, value in kept.headers.items()}
    recorded = _recorded_body(record, snapshot, recordings)
    if recorded is not None:
        return Asked("recorded", headers, content(recorded)), ()
    route: Route | None = snapshot.routes.get(record.route)
    try:
        body, notes = body_of(record, route.rules if route is not None else None)
    except (GatewayError, ValueError) as error:
        raise ClientMistake(f"No request can be made from the record of {record.id}: {error}.") from None
    if record.outcome != "client_closed" and not record.attempts and 400 <= record.status < 500:
        notes = (*notes, "the gateway refused the request itself: a stand-in may be right where it was wrong")
    return Asked("stand-in", headers, content(body)), notes


def _recorded_body(record: Record, snapshot: Snapshot, recordings: Sequence[Recorded]) -> bytes | None:
    """The client's request, made from the first one that was sent: its own bytes where those were relayed."""
    first = record.attempts[0] if record.attempts else None
    tape = next(iter(recordings), None)
    target = target_of(snapshot, first.target) if first is not None else None
    if first is None or tape is None or target is None or tape.provider != target.provider:
        return None
    spoken, raw = target.dialect_for(record.protocol), tape.request.raw()
    try:
        if record.operation == "embeddings":
            return asked_of(record, target.dialect, target.name, raw)
        if spoken == record.protocol:
            return raw if record.protocol == "gemini" else replace_model(raw, record.requested_model)
        request = DIALECTS[spoken].parse_request(raw, target.name, record.stream)
        request = msgspec.structs.replace(request, model=record.requested_model, stream=record.stream)
        return DIALECTS[record.protocol].build_request(request, record.requested_model).body
    except (GatewayError, ValueError):
        return None


def _term(value: str) -> str:
    """A header's value, if it is a word of a protocol."""
    plain = value.replace("-", "").replace("_", "").replace(",", "").replace(".", "")
    return value if plain.isascii() and plain.isalnum() and len(value) <= 120 else "…"


def _without_secrets(incident: Incident, secrets: Secrets) -> Incident:
    """The incident, every text of it cut. Bodies are cut as wholes, before they are texts in a file.

    Raises:
        ClientMistake: a secret of the configuration is a word of the file's own.
    """
    exchanges = tuple(
        msgspec.structs.replace(one, answer=_cut_exchange(one.answer, secrets)) for one in incident.exchanges
    )
    body: Content = content(secrets.cut_bytes(incident.request.body.raw()))
    request = msgspec.structs.replace(incident.request, body=body)
    whole = msgspec.structs.replace(incident, exchanges=exchanges, request=request)
    plain = msgspec.json.decode(msgspec.json.encode(whole))
    cut = msgspec.json.encode(secrets.cut_all(plain), order="deterministic")
    try:
        return msgspec.json.decode(cut, type=Incident)
    except msgspec.DecodeError as error:
        raise ClientMistake(
            f"The file would not be readable: a secret of the configuration is one of its words ({error}).",
            remedy="Give the provider another key than a common word.",
        ) from None


def _cut_exchange(answer: Recorded, secrets: Secrets) -> Recorded:
    return msgspec.structs.replace(
        answer,
        chunks=secrets.cut_recorded(answer),
        request=content(secrets.cut_bytes(answer.request.raw())),
    )
