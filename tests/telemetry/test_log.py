"""The log on standard error: shapes, and canaries that may not get through."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.redaction import redact
from afterbay.store.keyform import new_secret
from afterbay.telemetry.log import LINE_CHARS, LogOutput

CANARIES = [
    "sk-proj-CANARYabcdefgh0123456789",
    "sk-ant-api03-CANARYabcdefgh-0123456789",
    "AIzaSyCANARYabcdefgh0123456789abcdefghi",
    "gsk_CANARYabcdefgh0123456789",
    "xai-CANARYabcdefgh0123456789",
    "ab-CANARYabcdefgh0123456789abcdefgh0123456789abcdefgh01",
    "hf_CANARYabcdefgh0123456789",
    "Bearer CANARY.abcdefgh0123456789",
    "bearer\tCANARYabcdefgh",
    "Basic Q0FOQVJZOkNBTkFSWQ==CANARY",
    "x-api-key: plainCANARY0123",
    "{'x-goog-api-key': 'plainCANARY0123'}",
    '{"api_key": "plainCANARY0123"}',
    "https://host/v1beta/models?alt=sse&key=plainCANARY0123",
    "http://user:plainCANARY0123@proxy:8080",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkiCANARY.c2lnbmF0dXJl",
]


@contextmanager
def output(
    as_json: bool | None = None, stream: io.StringIO | None = None
) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    text = stream or io.StringIO()
    logger = logging.Logger("afterbay.test")
    out = LogOutput.open(stream=text, as_json=as_json, logger=logger)
    yield logger, text
    out.close()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_gets_through(canary: str, as_json: bool) -> None:
    with output(as_json) as (logger, text):
        logger.warning("plain " + canary)  # noqa: G003
        logger.warning("as an argument %s", canary)
        logger.warning("as a field", extra={"fields": {"header": canary, "nested": {"deep": [canary]}}})
        logger.warning("as an extra", extra={"header": canary})
        try:
            raise ValueError(f"upstream said {canary}")
        except ValueError:
            logger.exception("in a traceback")
    assert "CANARY" not in text.getvalue()
    assert text.getvalue().count("redacted") >= 5


def test_a_key_of_ours_does_not_get_through() -> None:
    secret = new_secret()
    assert secret[8:] not in redact(f"got {secret}.")


def test_ordinary_words_stay() -> None:
    for text in ("ab-test of task-force risk-management", "sk-learn", "model gpt-4o-2024-11-20 at http://host:8080/v1"):
        assert redact(text) == text


@given(st.text(max_size=300))
def test_no_text_breaks_the_redaction(text: str) -> None:
    redact(text)


def test_json_lines_are_objects_one_a_line() -> None:
    with output() as (logger, text):
        logger.info("two\nlines", extra={"fields": {"route": "auto", "n": 3, "ok": True, "message": "mine"}})
        logger.info('api_key="plainCANARY0123" then')
    first, second = (json.loads(line) for line in text.getvalue().splitlines())
    assert first.pop("ts").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "afterbay.test",
        "message": "two\nlines",
        "route": "auto",
        "n": 3,
        "ok": True,
        "message_": "mine",
    }
    assert second["message"].endswith('" then')


def test_people_get_one_line_that_cannot_pose_as_two() -> None:
    with output(as_json=False) as (logger, text):
        logger.warning("first\r\nERROR second", extra={"fields": {"route": "a\nb"}})
    (line,) = text.getvalue().splitlines()
    assert line.endswith("warning  test  first\\r\\nERROR second  route=a\\nb")


def test_a_terminal_gets_lines_for_people() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with output(stream=Terminal()) as (logger, text):
        logger.info("ready")
    assert not text.getvalue().startswith("{")


def test_lines_are_bounded() -> None:
    for as_json in (True, False):
        with output(as_json) as (logger, text):
            logger.info("x" * 1_000_000)
        assert len(text.getvalue()) < LINE_CHARS + 200


def test_after_close_nothing_is_written() -> None:
    with output() as (logger, text):
        pass
    assert logger.handlers == []
    logger.addHandler(logging.NullHandler())
    logger.info("late")
    assert text.getvalue() == ""
