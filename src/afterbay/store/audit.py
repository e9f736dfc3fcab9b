"""The audit log: who changed what of keys and tenants, each entry bound to the one before by its hash.

An entry's hash is SHA-256 over the hash before it and the entry's own values. Whoever changes, removes or puts in an
entry has to write every later one anew, and then the last hash differs from the one that an operator noted elsewhere
(the anchor): `check_chain` finds the first entry that does not fit. Entries hold no secrets; what looks like one in a
name is made unreadable before it is written.

Names of people are in the details, and people may want to be erased. So the hash is made of a salted digest of the
details, not of them: they can be taken out with their salt, and the chain still holds. Whoever takes them out has to
say so in an entry of its own, whose details name the numbers (`erased`): details that are gone without that are broken.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from afterbay.core.redaction import redact

NO_HASH: Final = "0" * 64
"""What the first entry is bound to."""
ERASE: Final = ".erase"
"""The end of the action that takes out details, and says so."""
ERASED: Final = "erased"
"""Where its own details name the numbers of those entries."""


class Entry(msgspec.Struct, frozen=True):
    """One change. `actor`: the id of the key that asked, or `operator`. `path`: where it happened, as the ids of the
    tenants from the top down. `details` are JSON; empty: they were erased, and `salt` with them. `digest` is of both;
    empty in entries of the first form, whose hash is made of the details. `hash` is hexadecimal."""

    number: int
    at: str
    actor: str
    action: str
    subject: str
    path: tuple[str, ...]
    details: str
    hash: str
    salt: str = ""
    digest: str = ""


def is_hash(text: str) -> bool:
    """Whether this may be the hash of an entry: a part of one, as people copy it, is not a broken log."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


class Anchor(msgspec.Struct, frozen=True):
    """The end of the log at some time: the number of the last entry, and its hash."""

    number: int = 0
    hash: str = NO_HASH


class Broken(msgspec.Struct, frozen=True):
    """The first entry that does not fit, and why."""

    number: int
    reason: str


def chained(
    last: Anchor, at: str, actor: str, action: str, subject: str, path: tuple[str, ...], details: object
) -> Entry:
    """The entry that follows `last`."""
    text = msgspec.json.encode(_harmless(msgspec.to_builtins(details)), order="sorted").decode()
    salt = secrets.token_hex(16)
    bare = Entry(last.number + 1, at, actor, action, subject, path, text, "", salt, _digest(salt, text))
    return msgspec.structs.replace(bare, hash=_hash(last.hash, bare))


def check_chain(entries: Iterable[Entry], anchor: Anchor | None = None) -> Anchor | Broken:
    """The end of a whole log, or the first entry of it that is broken. `anchor`: an end that was noted before."""
    last = Anchor()
    gone: set[int] = set()
    for entry in entries:
        if entry.number != last.number + 1:
            return Broken(last.number + 1, f"it is missing; the next one there is {entry.number}")
        if entry.hash != _hash(last.hash, entry):
            return Broken(entry.number, "its content or its place is not what its hash was made of")
        if entry.digest and not entry.details:
            gone.add(entry.number)
        elif entry.digest and entry.digest != _digest(entry.salt, entry.details):
            return Broken(entry.number, "its details are not what its digest was made of")
        elif entry.action.endswith(ERASE):
            gone.difference_update(msgspec.json.decode(entry.details).get(ERASED, ()))
        last = Anchor(entry.number, entry.hash)
        if anchor is not None and last.number == anchor.number and last.hash != anchor.hash:
            return Broken(entry.number, f"its hash is {last.hash}, and was {anchor.hash}")
    if anchor is not None and anchor.number > last.number:
        return Broken(last.number + 1, f"the log ends before it, and once reached {anchor.number}")
    if gone:
        return Broken(min(gone), "its details are gone, and no entry says that they were erased")
    return last


def _harmless(value: Any) -> Any:
    """The value with everything redacted that looks like a credential."""
    match value:
        case str():
            return redact(value)
        case dict():
            return {redact(name): _harmless(one) for name, one in value.items()}
        case list() | tuple():
            return [_harmless(one) for one in value]
        case _:
            return value


def _hash(before: str, entry: Entry) -> str:
    content = entry.digest or entry.details
    values = (before, entry.number, entry.at, entry.actor, entry.action, entry.subject, entry.path, content)
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def _digest(salt: str, details: str) -> str:
    return hashlib.sha256(f"{salt}{details}".encode()).hexdigest()
