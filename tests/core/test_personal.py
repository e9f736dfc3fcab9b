"""What tells who somebody is does not get into sentences that are kept, and all else does."""

from __future__ import annotations

import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.decision import Attempt, Record, Rejected
from afterbay.core.personal import anonymise
from afterbay.core.redaction import redact_record
from afterbay.telemetry.log import HumanLines, JsonLines

PEOPLE = {
    "write to ada.lovelace+x@mail.example.co.uk, please": "write to [email], please",
    'content: "a@b.io"': 'content: "[email]"',
    "mailto:<grace@navy.example>": "mailto:<[email]>",
    "call +49 (0)30 901820-12 now": "call [phone] now",
    "+14155550123": "[phone]",
    "(415) 555-0123 or 415.555.0123": "[phone] or [phone]",
    "card 4111 1111 1111 1111 of her": "card [card] of her",
    "5555555555554444": "[card]",
    "378282246310005": "[card]",
    "3782-822463-10005": "[card]",
    "IBAN DE89 3704 0044 0532 0130 00.": "IBAN [iban].",
    "GB82WEST12345698765432": "[iban]",
    "ssn 536-22-1234": "ssn [ssn]",
}
NOT_PEOPLE = (
    "req_01k0a1b2c3d4e5f6g7h8j9k0m1",
    "at 2026-11-25T13:30:26.123456Z",
    "1795612345678",
    "4111 1111 1111 1112",
    "127.0.0.1:8400 and 10.20.30.40",
    "gpt-4o-2024-11-20, claude-opus-4-6, gemini-2.5-pro",
    "costs 0.000001234567 of 1234567890",
    "messages[12].content[3] is 1234567 bytes, 200000 tokens",
    "GB82WEST12345698765431",
    "000-12-3456, 666-12-3456 and 900-12-3456",
    "user@host without a domain",
    "v1.2.3-4567.8901 of @scope/package@1.2.3",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


@pytest.mark.parametrize("text", PEOPLE)
def test_what_tells_who_somebody_is_goes(text: str) -> None:
    assert anonymise(text) == PEOPLE[text]


@pytest.mark.parametrize("text", NOT_PEOPLE)
def test_what_only_looks_a_little_like_it_stays(text: str) -> None:
    assert anonymise(text) == text


@given(st.text())
def test_what_was_taken_out_once_needs_no_second_look(text: str) -> None:
    assert anonymise(anonymise(text)) == anonymise(text)


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a@" * 100_000, "a." * 100_000 + "@", "1 " * 100_000, "+1" + "2" * 200_000, "4-" * 100_000]
)
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    began = time.process_time()
    anonymise(text)
    assert time.process_time() - began < 1.0


def test_sentences_of_a_record_lose_it_and_names_keep_it() -> None:
    said = "the prompt `mail ada@example.org` is not allowed"
    record = Record(
        "req_1",
        0.0,
        "chat",
        "openai.chat",
        error=said,
        warnings=[said],
        attempts=[Attempt(0, "a/m", "primary", 0.0, error=said)],
        rejected=[Rejected("a/m", said)],
        tags={"who": "ada@example.org"},
        user="ada@example.org",
    )
    redact_record(record)
    kept = [record.error, *record.warnings, record.attempts[0].error, record.rejected[0].reason]
    assert kept == ["the prompt `mail [email]` is not allowed"] * 4
    assert (record.tags, record.user) == ({"who": "ada@example.org"}, "ada@example.org")


@pytest.mark.parametrize("lines", [JsonLines(), HumanLines()])
def test_a_line_of_the_log_loses_it_wherever_it_stands(lines: logging.Formatter) -> None:
    record = logging.LogRecord("afterbay.x", logging.WARNING, "f", 1, "said by %s", ("ada@example.org",), None)
    record.fields = {"why": "call +14155550123"}
    line = lines.format(record)
    assert "[email]" in line
    assert "[phone]" in line
    assert "ada@" not in line
    if isinstance(lines, JsonLines):
        assert json.loads(line)["why"] == "call [phone]"
