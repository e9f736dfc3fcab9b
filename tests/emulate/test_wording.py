"""Streams that are said oddly, seen from outside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from afterbay.core.event import Event, TextDelta, ToolCallDelta, ToolCallStarted
from afterbay.emulate.plan import Plan
from afterbay.emulate.profile import Profile
from afterbay.emulate.wording import in_order
from afterbay.wire.sse import decode
from emulate.support import KEY, Running, running_in_thread

SAY = "[[say a b c d]]"
BOM = b"\xef\xbb\xbf"


@pytest.fixture(scope="module")
def shared_url() -> Iterator[tuple[str, Iterator[int]]]:
    """An emulator whose streams are not held against their grammar: they break it as ordered."""
    with running_in_thread(Profile("instant"), is_watched=False) as url:
        yield url, itertools.count()


def chunks(got: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for _, data in decode(got.removeprefix(BOM)) if data != b"[DONE]"]


def text(got: bytes) -> str:
    return "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks(got) if one["choices"])


async def streamed(emulator: Running, order: str) -> bytes:
    status, got, ended = await emulator.outcome(f"{order} {SAY}", stream=True)
    assert (status, ended) == (200, "")
    return got


@pytest.mark.parametrize("lines", ["crlf", "cr", "bom", "tight"])
async def test_other_line_ends_say_the_same(emulator: Running, lines: str) -> None:
    plain, odd = await streamed(emulator, ""), await streamed(emulator, f"[[lines {lines}]]")
    assert text(odd) == text(plain) == "a b c d"
    assert odd.startswith(BOM) == (lines == "bom")
    assert (b"\r\n" in odd, b"\n" in odd, b"data: " in odd) == {
        "crlf": (True, True, True),
        "cr": (False, False, True),
        "bom": (False, True, True),
        "tight": (False, True, False),
    }[lines]


async def test_a_piece_comes_twice(emulator: Running) -> None:
    assert text(await streamed(emulator, "[[twice 2]]")) == "a b c c d"


async def test_comments_and_unknown_events_come_before_a_piece(emulator: Running) -> None:
    assert b": STILL PROCESSING\n\ndata: " in await streamed(emulator, "[[comment 1]]")
    odd = await streamed(emulator, "[[unknown 1]]")
    assert [one["object"] for one in chunks(odd)].count("future.thing") == 1
    assert text(odd) == "a b c d"


async def test_a_piece_is_as_long_as_ordered(emulator: Running) -> None:
    odd = await streamed(emulator, "[[huge 2 5000]]")
    assert [len(data) > 5000 for _, data in decode(odd)].count(True) == 1
    assert text(odd) == "a b c d"


async def test_the_end_has_too_much_or_too_little(emulator: Running) -> None:
    assert b"[DONE]" not in await streamed(emulator, "[[no-terminal]]")
    odd = chunks(await streamed(emulator, "[[after-end]]"))
    finished = next(at for at, one in enumerate(odd) if one["choices"] and one["choices"][0]["finish_reason"])
    assert odd[-1]["choices"][0]["delta"]["content"] == " d"
    assert finished < len(odd) - 1


async def test_half_an_event_is_no_json(emulator: Running) -> None:
    status, got, ended = await emulator.outcome(f"[[cut 2 half]] {SAY}", stream=True)
    assert (status, ended) == (200, "")
    last = got.rpartition(b"data: ")[2]
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)


@pytest.mark.parametrize(("usage", "count"), [("negative", -7), ("huge", 10**12)])
@pytest.mark.parametrize("stream", [True, False])
async def test_usage_is_absurd(emulator: Running, usage: str, count: int, stream: bool) -> None:
    body = {
        "model": "emu-text",
        "messages": [{"role": "user", "content": f"[[usage {usage}]] {SAY}"}],
        "stream": stream,
        "stream_options": {"include_usage": True},
    }
    async with emulator.http.post(f"{emulator.base_url('openai')}/chat/completions", json=body, headers=KEY) as got:
        answer = chunks(await got.read())[-1] if stream else await got.json()
    assert answer["usage"]["completion_tokens"] == answer["usage"]["prompt_tokens"] == count


async def test_an_answer_is_forbidden_or_of_another_model(emulator: Running) -> None:
    async with emulator.chat("[[filter]]") as response:
        choice = (await response.json())["choices"][0]
        assert (choice["finish_reason"], choice["message"]["content"] or "") == ("content_filter", "")
    async with emulator.chat("[[model another]]") as response:
        assert (await response.json())["model"] == "another"


@pytest.mark.parametrize(
    ("order", "status", "header", "said"),
    [
        ("[[status 401 key]]", 401, None, "any"),
        ("[[status 429 quota]]", 429, None, "quota"),
        ("[[status 429 slow-down retry-after 3]]", 429, "3", "Slow down"),
        ("[[status 400 too-long]]", 400, None, "maximum context length"),
        ("[[status 429]] [[retry-after soon]]", 429, "soon", ""),
        ("[[redirect]]", 302, None, ""),
        ("[[no-content]]", 204, None, ""),
    ],
)
async def test_errors_have_their_reasons(
    emulator: Running, order: str, status: int, header: str | None, said: str
) -> None:
    url = f"{emulator.base_url('openai')}/chat/completions"
    body = {"model": "emu-text", "messages": [{"role": "user", "content": order}]}
    async with emulator.http.post(url, json=body, headers=KEY, allow_redirects=False) as response:
        assert (response.status, response.headers.get("retry-after")) == (status, header)
        assert said in await response.text()


@pytest.mark.parametrize(("order", "kind"), [("[[type text/plain]]", "text/plain"), ("[[type]]", None)])
async def test_the_content_type_is_another_or_none(emulator: Running, order: str, kind: str | None) -> None:
    async with emulator.chat(f"{order} {SAY}", stream=True) as response:
        assert response.headers.get("content-type") == kind
        assert text(await response.read()) == "a b c d"


def test_pieces_of_two_calls_come_by_turns() -> None:
    calls: list[list[Event]] = [
        [event, ToolCallDelta(call, "{")]
        for call, event in enumerate((ToolCallStarted(0, "c0", "dig"), ToolCallStarted(1, "c1", "fill")))
    ]
    rest: list[list[Event]] = [[ToolCallDelta(0, "1")], [ToolCallDelta(0, "}")], [ToolCallDelta(1, "}")]]
    pieces: list[list[Event]] = [[TextDelta("so")], calls[0], *rest[:2], calls[1], rest[2]]
    assert in_order(pieces, Plan()) == pieces
    assert in_order(pieces, Plan(interleave=True)) == [[TextDelta("so")], calls[0], calls[1], rest[0], rest[2], rest[1]]
