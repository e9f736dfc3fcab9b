"""How long providers ask to wait, in all their forms."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.wire.reset_headers import duration_s, limit_reset_s, reset_s, retry_after_s, said_s, wait_s

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"
LATER = "Wed, 21 Oct 2026 07:28:30 GMT"
EPOCH_S = 1792567680  # NOW


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0), ({"retry-after": "0.5"}, 0.5), ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "7s"}, 7.0), ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after-ms": "1500"}, 1.5), ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0), ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "-5", "retry-after": "2"}, 2.0), ({"retry-after-ms": "-5"}, 0.0),
        ({"retry-after": "-3"}, 0.0), ({"retry-after": "soon"}, None), ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None), ({"retry-after-ms": "nan", "retry-after": "2"}, 2.0),
        ({"retry-after": "inf"}, math.inf), ({"retry-after": "-inf"}, 0.0), ({"retry-after": "1e9"}, 1e9),
        ({"retry-after": LATER, "date": NOW}, 30.0), ({"retry-after": NOW, "date": LATER}, 0.0),
        ({"retry-after": LATER}, None), ({"retry-after": LATER, "date": "today"}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT", "date": NOW}, None),
        ({"retry-after": "2026-10-21T07:28:30Z", "date": NOW}, 30.0),
    ],
)  # fmt: skip
def test_a_wish_to_wait_is_read_in_every_form(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(headers) == wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0), ("12ms", 0.012), ("1s", 1.0), ("2m59.56s", 179.56), ("1h2m3.5s", 3723.5), ("0s", 0.0),
        ("38.5s", 38.5), ("39043s", 39043.0), ("7.66s", 7.66), ("1d", 86400.0), ("250us", 250e-6), ("250µs", 250e-6),
        ("5ns", 5e-9), (" 3s ", 3.0), ("1m30ms", 60.03),
        ("", None), ("s", None), ("6", None), ("6m0", None), ("-1s", None), ("1s!", None), ("one second", None),
        ("1y", None), ("9" * 400 + "s", None),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_it_is_written_in_go(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("60", None, 60.0), ("0.25", None, 0.25), ("-60", None, 0.0), ("6m0s", None, 360.0), ("inf", None, math.inf),
        ("nan", None, None), ("never", None, None), ("", None, None),
        ("2026-10-21T07:28:12Z", NOW, 12.0), ("2026-10-21T09:28:12+02:00", NOW, 12.0),
        ("2026-10-21T07:28:12", NOW, 12.0),
        ("2026-10-21T07:27:00Z", NOW, 0.0), ("2026-10-21T07:28:12Z", None, None), (LATER, NOW, 30.0),
        (str(EPOCH_S + 20), NOW, 20.0), (str((EPOCH_S + 20) * 1000), NOW, 20.0), (str(EPOCH_S - 20), NOW, 0.0),
        (str(EPOCH_S + 20), None, None),
    ],
)  # fmt: skip
def test_a_reset_is_read_in_every_form(value: str, date: str | None, seconds: float | None) -> None:
    assert reset_s(value, {"date": date} if date is not None else {}) == seconds


OPENAI = {
    "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s",
}  # fmt: skip
ANTHROPIC = {
    "date": NOW,
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-10-21T08:00:00Z",
    "anthropic-ratelimit-input-tokens-remaining": "0",
    "anthropic-ratelimit-input-tokens-reset": "2026-10-21T07:28:12Z",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2026-10-21T07:28:40Z",
}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        (OPENAI, 360.0),
        (OPENAI | {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9m"}, 540.0),
        (OPENAI | {"x-ratelimit-remaining-tokens": "12"}, None),
        ({"x-ratelimit-reset-requests": "12ms"}, 0.012),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((EPOCH_S + 9) * 1000), "Date": NOW}, 9.0),
        ({"x-ratelimit-reset-requests": "1", "x-ratelimit-remaining-requests": "0"}, 1.0),
        (ANTHROPIC, 40.0),
        (ANTHROPIC | {"date": ""}, None),
        ({"anthropic-ratelimit-unified-reset": str(EPOCH_S + 5), "date": NOW}, 5.0),
        ({"ratelimitbysize-reset": "46", "ratelimitbysize-remaining": "0"}, 46.0),
        ({"ratelimit-reset": "18", "ratelimit-remaining": "3"}, None),
        ({"x-ratelimit-reset-tokens-minute": "9.5", "x-ratelimit-remaining-tokens-minute": "-1"}, 9.5),
        ({"ratelimit": '"minute";r=0;t=30, "day";r=0;t=50'}, 50.0),
        ({"ratelimit": '"minute";r=12;t=30'}, None), ({"ratelimit": "garbage"}, None),
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-key": "gpt"}, None), ({}, None),
        ({"x-ratelimit-reset-requests": "whenever", "x-ratelimit-remaining-requests": "0"}, None),
    ],
)  # fmt: skip
def test_only_limits_that_are_used_up_are_waited_for(headers: dict[str, str], wait: float | None) -> None:
    assert limit_reset_s(headers) == wait


def test_what_is_asked_for_goes_before_what_follows_from_the_limits() -> None:
    assert wait_s(429, OPENAI | {"retry-after": "3"}) == 3.0
    assert wait_s(429, OPENAI) == 360.0


@pytest.mark.parametrize("status", [400, 401, 500, 503, 529])
def test_limits_say_nothing_where_none_was_reached(status: int) -> None:
    assert wait_s(status, OPENAI) is None
    assert wait_s(status, OPENAI | {"retry-after": "3"}) == 3.0


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for x on tokens per min (TPM). Please try again in 11.054s. Visit ...", 11.054),
        ("on tokens per day (TPD): Limit 200000, Used 199708. Please try again in 6m38.304s. Need more?", 398.304),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 20 seconds. To increase your quota ...", 20.0),
        ("Please retry after 1 minute.", 60.0), ("Please wait 2 hours", 7200.0), ("retry in 58.3s.", 58.3),
        ("Please retry in 350 milliseconds", 0.35),
        ("Please try again later.", None), ("Try again in a few seconds", None), ("", None),
        ("wait " * 5000 + "5s", None),
    ],
)  # fmt: skip
def test_a_wait_that_only_the_text_tells_is_found(message: str, seconds: float | None) -> None:
    assert said_s(message) == (pytest.approx(seconds) if seconds is not None else None)


NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "date", "Date", "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests",
     "anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining", "ratelimit", "ratelimit-reset"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=40),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.datetimes().map(lambda one: one.isoformat() + "Z"),
    st.sampled_from([NOW, LATER, "1s", "6m0s", "0", "-1", "1e400", '"a";r=0;t=5']),
)


@given(st.dictionaries(NAMES, VALUES), st.sampled_from([429, 500, 503]))
def test_no_header_breaks_the_reading_and_no_wait_is_negative(headers: dict[str, str], status: int) -> None:
    wait = wait_s(status, headers)
    assert wait is None or wait >= 0


@given(st.text(max_size=3000))
def test_no_text_breaks_the_reading(text: str) -> None:
    wait = said_s(text)
    assert wait is None or wait >= 0
    wait = duration_s(text)
    assert wait is None or wait >= 0


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 999))
def test_a_written_duration_reads_as_what_it_says(minutes: int, seconds: int, millis: int) -> None:
    assert duration_s(f"{minutes}m{seconds}s{millis}ms") == pytest.approx(minutes * 60 + seconds + millis / 1000)
