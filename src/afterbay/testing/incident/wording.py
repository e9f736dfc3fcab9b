"""What of a record's words may be written: those of the gateway's own, without what they quote of others'."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from afterbay.core.decision import Attempt, Record, Rejected

_QUOTED: Final = tuple(
    (re.compile(rf"(?<!\w){mark}(.*?){mark}(?!\w)", re.DOTALL), re.compile(rf"(?<!\w){mark}.*{mark}(?!\w)", re.DOTALL))
    for mark in "'\"`"
)
_TERM: Final = re.compile(r"[a-z][a-z0-9_.\[\]/=-]{0,40}")
"""A word of a protocol or of a configuration: it may stand in quotes."""
_OWN_KINDS: Final = frozenset({"connection", "cut"})
_OWN_CODES: Final = frozenset(
    {"queue_full", "starting", "answer_too_large", "continuation_doubtful", "timeout_first_token"}
    | {"timeout_between_tokens", "timeout_total", "bad_answer"}
)
"""Errors that the gateway words itself."""
_BUDGET: Final = "; not tried again: the retry budget is used up"
_NAME_CHARS: Final = 256
_HEAD_CHARS: Final = 80


def kind_of(attempt: Attempt) -> str:
    """The kind of error that an attempt ended in; empty: none."""
    kind, colon, _ = (attempt.error or "").partition(": ")
    return kind if colon and re.fullmatch(r"[a-z_]+", kind) else ""


def message_of(attempt: Attempt) -> str:
    """What the error of an attempt says."""
    return (attempt.error or "").removeprefix(f"{kind_of(attempt)}: ").removesuffix(_BUDGET)


def is_own(attempt: Attempt) -> bool:
    """Whether the error of an attempt is worded by the gateway, not by a provider."""
    if attempt.code is not None and attempt.code in _OWN_CODES:
        return True
    said_so = attempt.status is not None and attempt.status >= 400
    return not said_so and (kind_of(attempt) in _OWN_KINDS or (attempt.outcome == "timeout" and attempt.status is None))


def is_out_of_budget(attempt: Attempt) -> bool:
    """Whether it was not followed by a retry for want of room in the retry budget."""
    return (attempt.error or "").endswith(_BUDGET)


def private(record: Record) -> Record:
    """The record without anything that a client or a provider worded."""
    error = record.error or ""
    for one in record.attempts:
        said = message_of(one)
        at = error.find(said[:_HEAD_CHARS]) if said and not is_own(one) else -1
        if at >= 0:  # to the end: an attempt keeps less of a message than the record does
            error = error[:at] + _hidden(said)
    trace = record.traceparent
    return msgspec.structs.replace(
        record,
        requested_model=record.requested_model[:_NAME_CHARS],
        key_name=None,
        error=unquoted(error) if record.error is not None else None,
        attempts=[_attempt(one) for one in record.attempts],
        rejected=[Rejected(one.target, unquoted(one.reason)) for one in record.rejected],
        warnings=[unquoted(one) for one in record.warnings],
        tags=dict.fromkeys((f"tag_{i + 1}" for i in range(len(record.tags))), "…"),
        traceparent=trace if trace is not None and re.fullmatch(r"[0-9a-f-]{1,80}", trace) else None,
        circumstances=None,
    )


def _attempt(attempt: Attempt) -> Attempt:
    if not attempt.error:
        return attempt
    kind, message = kind_of(attempt), message_of(attempt)
    if attempt.outcome in ("invalid", "empty", "ok"):
        shown = attempt.error.partition(":")[0]
    elif is_own(attempt):
        shown = f"{kind}: {unquoted(message)}" if kind else unquoted(message)
    else:
        shown = f"{kind or 'error'}: {_hidden(message)}"
    return msgspec.structs.replace(attempt, error=shown + (_BUDGET if is_out_of_budget(attempt) else ""))


def _hidden(message: str) -> str:
    return f"[{len(message)} characters]"


def unquoted(text: str) -> str:
    """The text with what it quotes cut out, but for words of a protocol.

    A quoted text may itself hold quotes: where one is no such word, all is cut from the first mark to the last.
    """
    for found, widest in _QUOTED:
        if not all(_TERM.fullmatch(inner) for inner in found.findall(text)):
            text = widest.sub("…", text)
    return text
