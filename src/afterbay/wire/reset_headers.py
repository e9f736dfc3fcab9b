"""How long a provider asks to wait: what all of them say in headers, read in one place, without a clock.

In the order in which they are believed:

    retry-after-ms, retry-after           milliseconds; seconds or a date (RFC 9110, 10.2.3)
    *ratelimit*reset*                     when a limit is full again, of those limits that are used up
    ratelimit: "name";r=0;t=30            the same as one structured field (draft-ietf-httpapi-ratelimit-headers-10)

A reset is a number of seconds (Azure, Together, Mistral, Cerebras, Hugging Face), a duration like `6m0s` or `12ms`
(OpenAI, Groq, DeepInfra), a time in RFC 3339 (Anthropic) or seconds or milliseconds since 1970 (OpenRouter, Anthropic's
subscriptions). A point in time counts from the `date` header of the same answer, which is the provider's own clock:
ours may be wrong, and this package has none. Without that header a point in time says nothing.

Sources: platform.openai.com/docs/guides/rate-limits, console.groq.com/docs/rate-limits, docs.anthropic.com/en/api/
rate-limits, learn.microsoft.com Azure OpenAI quota, openrouter.ai/docs/api-reference/limits (November 2026); recordings
of Anthropic, OpenAI, Azure, Groq, Mistral, Together and Hugging Face. Nothing is clamped here: that is for
`afterbay.policy.retry`, which knows how long this gateway believes anybody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNIT_S = {"ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{0,15})?)(ms|us|µs|ns|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern}){{1,8}}")
_POLICY = re.compile(r";\s*([rt])\s*=\s*(-?\d{1,15})")

_EPOCH_S = 1e9
"""A bare number from here on is a point in time (September 2001), in seconds; from 1e12 on, in milliseconds."""
_EPOCH_MS = 1e12

_SAID = re.compile(
    r"(?:try again|retry|wait)\s+(?:(?:in|after|for)\s+)?(?:about\s+)?"
    r"((?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d)){1,4}\b|\d{1,9}(?:\.\d{1,9})?\s*(?:milliseconds?|seconds?|minutes?|hours?)\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"([\d.]+)\s*(milli|second|minute|hour)", re.IGNORECASE)
_WORD_S = {"milli": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0}
_SAID_CHARS = 2000


def wait_s(status: int, headers: Mapping[str, str]) -> float | None:
    """How long the provider asks to wait, in seconds; None: it does not say. May be infinite, never negative.

    A limit's reset counts only where the status says that a limit was reached: other answers carry it too.
    """
    asked = retry_after_s(headers)
    return limit_reset_s(headers) if asked is None and status == 429 else asked


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms` or `retry-after`. Of zero milliseconds and a second, the second holds: Azure sends both so."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None and millis > 0:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        seconds = duration_s(value)
    if seconds is None and value is not None:
        seconds = _until(value, headers)
    if seconds is None:
        return None if millis is None else 0.0
    return max(0.0, seconds)


def limit_reset_s(headers: Mapping[str, str]) -> float | None:
    """When the limits that are used up are full again: the longest of them. A limit that does not say how much is left
    counts as used up."""
    lower = {name.lower(): value for name, value in headers.items()}
    waits: list[float] = []
    for name, value in lower.items():
        if "ratelimit" not in name:
            continue
        if "reset" in name:
            left = _number(lower.get(name.replace("reset", "remaining")))
            wait = reset_s(value, lower)
        elif name in ("ratelimit", "x-ratelimit"):
            left, wait = _structured(value)
        else:
            continue
        if wait is not None and (left is None or left <= 0):
            waits.append(wait)
    return max(waits, default=None)


def reset_s(value: str, headers: Mapping[str, str]) -> float | None:
    """One reset in any of its forms, in seconds from the answer; None: it is none. `headers` have the answer's date."""
    number = _number(value)
    if number is None:
        wait = duration_s(value)
        return wait if wait is not None else _until(value, headers)
    if number < _EPOCH_S:
        return max(0.0, number)
    if math.isinf(number):
        return number
    now = _date(headers.get("date"))
    if now is None:
        return None
    return max(0.0, (number / 1000 if number >= _EPOCH_MS else number) - now)


def duration_s(text: str) -> float | None:
    """A duration as Go writes it (`1h2m3.5s`, `12ms`) or protobuf's JSON (`38.5s`), in seconds; None: it is none."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def said_s(message: str) -> float | None:
    """The wait that an error's text names: `Please try again in 6m0s.`, `Please retry after 20 seconds.`

    OpenAI's streams and Groq's daily limits say it nowhere else; OpenAI's own Codex reads it so.
    """
    found = _SAID.search(message[:_SAID_CHARS])
    if found is None:
        return None
    exact = duration_s(found[1])
    if exact is not None:
        return exact
    word = _WORD.match(found[1])
    return float(word[1]) * _WORD_S[word[2].lower()] if word is not None else None


def _structured(value: str) -> tuple[float | None, float | None]:
    """(what is left, seconds to the reset) of the first limit of a list that is used up, else of the first."""
    parts = [dict(_POLICY.findall(one)) for one in value.split(",")]
    used_up = [one for one in parts if "r" in one and int(one["r"]) <= 0 and "t" in one]
    if not used_up:
        return 1.0, None
    return 0.0, max(0.0, *(float(one["t"]) for one in used_up))


def _number(value: str | None) -> float | None:
    """A number of a header; None: none, or not a number in both senses."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _until(value: str, headers: Mapping[str, str]) -> float | None:
    """Seconds from the answer's date to a point in time."""
    then, now = _date(value), _date(headers.get("date"))
    return max(0.0, then - now) if then is not None and now is not None else None


def _date(value: str | None) -> float | None:
    """UTC seconds of a date as HTTP or RFC 3339 write it; without a time zone it is UTC."""
    if not value or len(value) > 64:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(value.strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        try:
            return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
