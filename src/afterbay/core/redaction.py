"""Everything that looks like a credential is made unreadable where text is kept: in logs, records and recordings.

A net, not the rule: the rule is that secrets are `core.secret.Secret` and never get there. But clients put keys where
names belong, and providers quote them in errors.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from afterbay.core.decision import Circumstances, Record, Rejected
from afterbay.core.personal import anonymise

_KEEP: Final = 6
SHAPES: Final = re.compile(
    r"""
      (?<![A-Za-z0-9])(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}      # OpenAI, Anthropic (sk-ant-), and many that copy them
    | (?<![A-Za-z0-9])ab-[A-Za-z0-9]{16,}                  # ours
    | (?<![A-Za-z0-9])(?:gsk|hf|r8|nvapi|pplx|xai|csk|fw)[-_][A-Za-z0-9_-]{12,}
    | (?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{20,}               # Google
    | (?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}            # AWS key ids
    | (?<![A-Za-z0-9])ya29\.[A-Za-z0-9._-]{20,}            # Google OAuth
    | (?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?   # JSON web tokens
    | (?i:\b(?:bearer|basic)(?:\s|\\[tnr])+)[A-Za-z0-9._~+/=-]{8,}
    | (?i:\b(?:x-api-key|x-goog-api-key|api[-_]?key|authorization|password|secret)\b["']?\s*[:=]\s*["']?)[^\s"',;&}]{6,}
    | (?i:[?&]key=)[^\s"'&]{6,}                            # Gemini's query parameter
    | (?i:://)[^\s/:@"']+:(?!\*\*\*@)[^\s/@"']+(?=@)        # credentials in a URL, unless stars stand for them
    """,
    re.VERBOSE,
)
"""What looks like a credential."""
_DRAWN: Final = re.compile(r"(?=.*[0-9])(?:(?=.*[a-z])(?=.*[A-Z])|(?=.{32})|(?=AKIA|ASIA))", re.DOTALL)
"""Digits among small and capital letters, or among many letters."""
_SHORTEST: Final = 12
"""No shape is found in less."""
_NAME_CHARS: Final = 256
_HARMLESS: Final = re.compile(r"[0-9a-f-]*")


def redact(text: str) -> str:
    """The text with everything of a key's shape cut to its first characters and `…`."""
    return SHAPES.sub(lambda found: found[0][:_KEEP] + "…[redacted]", text)


def clean(text: str) -> str:
    """The text without what looks like a credential, or tells who somebody is."""
    return anonymise(redact(text))


def is_like_a_secret(name: str) -> bool:
    """Whether it is a key in place of a name: it has the shape of one, and looks drawn, as `hf-research-team-2` does
    not."""
    if len(name) < _SHORTEST:
        return False
    found = SHAPES.search(name)
    return found is not None and _DRAWN.search(found[0]) is not None


_remembered = lru_cache(maxsize=4096)(redact)
"""For names: the same few come again and again."""


def redact_record(record: Record) -> None:
    """Redacts what a client or a provider wrote into a record, in place.

    Sentences lose what tells of people, too. Names (of models, tags, agents) do not: they are what an operator or a
    client calls things by, and reports add up by them.
    """
    record.requested_model = _name(record.requested_model)
    record.model, record.upstream_model = _name(record.model), _name(record.upstream_model)
    if record.traceparent is not None and not _HARMLESS.fullmatch(record.traceparent):
        record.traceparent = redact(record.traceparent[:_NAME_CHARS])
    if record.tags:
        record.tags = {_name(key): _name(value) for key, value in record.tags.items()}
    if record.agent:
        record.agent = _name(record.agent)
    if record.task:
        record.task = _name(record.task)
    if record.outcome:
        record.outcome = _name(record.outcome)  # a provider's own code may be one
    if record.error:
        record.error = clean(record.error)
    if record.warnings:
        record.warnings = [clean(one) for one in record.warnings]
    if record.compliance:
        record.compliance = [redact(one) for one in record.compliance]
    for attempt in record.attempts:
        attempt.target = _name(attempt.target)
        if attempt.model:
            attempt.model = _name(attempt.model)
        if attempt.error:
            attempt.error = clean(attempt.error)
        if attempt.code:
            attempt.code = _name(attempt.code[:_NAME_CHARS])
    if record.rejected:
        record.rejected = [Rejected(_name(one.target), clean(one.reason)) for one in record.rejected]
    if record.circumstances is not None:
        record.circumstances = _redacted(record.circumstances)


def _redacted(kept: Circumstances) -> Circumstances:
    return msgspec.structs.replace(
        kept,
        headers={name: redact(value) for name, value in kept.headers.items()},
        order=tuple(_name(one) for one in kept.order),
        sights=tuple(msgspec.structs.replace(one, target=_name(one.target)) for one in kept.sights),
    )


def _name(text: str) -> str:
    return text if len(text) < _SHORTEST else _remembered(text)
