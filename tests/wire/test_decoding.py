"""Errors that name the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from afterbay.core.errors import ClientMistake
from afterbay.wire.decoding import convert, decode_object, plain_error_text


class _Inner(msgspec.Struct):
    role: str
    count: int = 0


class _Outer(msgspec.Struct):
    messages: list[_Inner]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"), (b"\xff", "not valid JSON"), (b"[]", "not an array"), (b"null", "not null"),
        (b"true", "not a boolean"), (b"1.5", "not a number"), (b'"x"', "not a string"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_told_as_what_it_is(body: bytes, says: str) -> None:
    with pytest.raises(ClientMistake, match=says) as caught:
        decode_object(body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("text", [r"\ud83d", r"x \ude00", r"\uD83D\u0041", r"\ude00\ud83d"])
def test_half_a_surrogate_pair_is_told_as_what_it_is(text: str) -> None:
    with pytest.raises(ClientMistake, match="half a surrogate pair") as caught:
        decode_object(b'{"a": "%s"}' % text.encode())
    assert caught.value.code == "invalid_json"


def test_a_whole_pair_is_right_and_an_escaped_backslash_begins_none() -> None:
    assert decode_object(rb'{"a": "\ud83d\ude00", "b": "\\ud83d"}') == {"a": "\U0001f600", "b": "\\ud83d"}
    with pytest.raises(ClientMistake, match="truncated"):
        decode_object(rb'{"a": "\ud83d\ude00 \\ud83d')


@pytest.mark.parametrize(
    ("data", "param", "code"),
    [
        ({}, "messages", "missing_field"),
        ({"messages": [{}]}, "messages[*].role", "missing_field"),
        ({"messages": [{"role": 5}]}, "messages[*].role", "invalid_type"),
        ({"messages": 5}, "messages", "invalid_type"),
        (5, None, "invalid_type"),
    ],
)
def test_a_wrong_field_is_named(data: Any, param: str | None, code: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        convert(data, _Outer)
    found = caught.value.param
    assert (found.replace("[0]", "[*]") if found else found, caught.value.code) == (param, code)


def test_the_place_of_a_part_comes_before_its_field() -> None:
    with pytest.raises(ClientMistake, match=r"messages\[3\]\.role"):
        convert({}, _Inner, "messages[3]")


def test_what_is_right_is_converted() -> None:
    assert convert({"role": "user"}, _Inner) == _Inner("user")
    assert decode_object(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"<html><b>Bad</b>\n gateway</html>", "Bad gateway"), (b"", "an empty body"), (b"\xff plain", "\ufffd plain")],
)
def test_an_error_page_becomes_one_line(body: bytes, text: str) -> None:
    assert plain_error_text(body) == text
    assert len(plain_error_text(body * 1000)) <= 300
