"""The bridge between the engine's blocking calls and the event loop, with an engine made of a function."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from afterbay.core.errors import Capacity, ClientMistake, Internal
from afterbay.local import catalog
from afterbay.local.body import read_chat
from afterbay.local.channel import Channel
from afterbay.local.chat import Answer
from afterbay.local.llama import UNDERWAY, ChatEngine, Chunk, EngineLimits

from .conftest import until


class Scripted:
    """An engine that runs the given function for each request."""

    def __init__(self, work: Callable[[Callable[[Chunk], bool]], None]) -> None:
        self._work = work

    def handle_chat_completions(self, request: Chunk, callback: Callable[[Chunk], bool]) -> None:
        """As xllamacpp's."""
        self._work(callback)


def words(text: str, finish: str = "stop") -> Scripted:
    """An engine that writes `text` a character a chunk."""

    def work(callback: Callable[[Chunk], bool]) -> None:
        timings = {"cache_n": 1, "prompt_n": 2, "predicted_n": len(text)}
        for char in text:
            if callback(
                {"choices": [{"index": 0, "delta": {"content": char}, "finish_reason": None}], "timings": timings}
            ):
                return
        callback({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})

    return Scripted(work)


async def answer(server: Scripted, **fields: Any) -> Chunk:
    body = read_chat(json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode())
    return await Answer(body, catalog.SMALL).whole(ChatEngine(server, EngineLimits(slots=1)))


async def test_a_reader_that_is_slow_holds_the_writer_up() -> None:
    written, go_on = list[int](), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(callback: Callable[[Chunk], bool]) -> None:
        for number in range(UNDERWAY + 50):
            written.append(number)
            if number == UNDERWAY:  # the one that finds no room
                loop.call_soon_threadsafe(go_on.set)
            callback({"n": number})

    engine = ChatEngine(Scripted(work), EngineLimits(slots=1))
    async with asyncio.timeout(10), aclosing(engine.chunks({})) as chunks:
        assert (await anext(chunks))["n"] == 0
        await go_on.wait()
        assert len(written) <= UNDERWAY + 2
        assert [chunk["n"] async for chunk in chunks] == list(range(1, UNDERWAY + 50))


async def test_a_reader_that_leaves_stops_the_writer_even_one_that_waits_for_room() -> None:
    ended = threading.Event()

    def work(callback: Callable[[Chunk], bool]) -> None:
        while not callback({}):
            pass
        ended.set()

    engine = ChatEngine(Scripted(work), EngineLimits(slots=1))
    async with aclosing(engine.chunks({})) as chunks:
        await anext(chunks)
    assert await asyncio.to_thread(ended.wait, 5)
    await until(lambda: not engine.busy)


async def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    release = threading.Event()
    engine = ChatEngine(Scripted(lambda _: bool(release.wait(10)) and None), EngineLimits(slots=1, waiting=1))

    async def one() -> list[Chunk]:
        return [chunk async for chunk in engine.chunks({})]

    running = asyncio.create_task(one())
    await until(lambda: engine.busy)
    waiting = asyncio.create_task(one())
    await until(lambda: engine.waiting)
    with pytest.raises(Capacity, match="is full") as caught:
        await one()
    assert (caught.value.status, caught.value.retry_after_s) == (503, 2.0)
    release.set()
    async with asyncio.timeout(5):
        assert await running == await waiting == []


async def test_a_wait_for_a_slot_has_an_end() -> None:
    release = threading.Event()
    engine = ChatEngine(Scripted(lambda _: bool(release.wait(10)) and None), EngineLimits(slots=1, wait_s=0.01))
    running = asyncio.create_task(anext(engine.chunks({}), None))
    await until(lambda: engine.busy)
    with pytest.raises(Capacity, match="became free"):
        await anext(engine.chunks({}))
    assert engine.waiting == 0
    release.set()
    await asyncio.wait_for(running, 5)


async def test_an_engine_that_falls_silent_is_an_error() -> None:
    release = threading.Event()
    engine = ChatEngine(Scripted(lambda _: bool(release.wait(10)) and None), EngineLimits(slots=1, chunk_s=0.01))
    with pytest.raises(Internal, match="gave nothing"):
        await anext(engine.chunks({}))
    release.set()


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 4},
            ClientMistake,
            "context_length_exceeded",
        ),
        ({"code": 400, "message": "failed to parse grammar"}, ClientMistake, "invalid_schema"),
        ({"code": 400, "message": "no"}, ClientMistake, None),
        ({"code": 500, "message": "boom"}, Internal, None),
        ("boom", Internal, None),
    ],
)
async def test_the_engines_errors_keep_their_meaning(error: Any, kind: type, code: str | None) -> None:
    engine = ChatEngine(Scripted(lambda callback: callback({"error": error}) and None), EngineLimits(slots=1))
    with pytest.raises(kind) as caught:
        await anext(engine.chunks({}))
    assert caught.value.code == code


async def test_an_exception_of_the_binding_reaches_the_request() -> None:
    def work(callback: Callable[[Chunk], bool]) -> None:
        raise RuntimeError("lost")

    with pytest.raises(Internal, match="RuntimeError: lost"):
        await anext(ChatEngine(Scripted(work), EngineLimits(slots=1)).chunks({}))


async def test_a_loose_call_becomes_a_tool_call_and_what_follows_is_cut() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    reply = await answer(words('{"name": "f", "arguments": {"a": 1}}\n{"result": 3} and more'), tools=[tool])
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert choice["message"]["tool_calls"][0]["id"].startswith("call_")
    assert reply["usage"]["prompt_tokens"] == 3


async def test_a_call_that_the_token_limit_cut_is_not_reported_as_complete() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    server = words('{"name":"f","arguments":{"a":"b', "length")
    choice = (await answer(server, tools=[tool], tool_choice="required"))["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":"b'


async def test_a_grammar_that_the_engine_dropped_is_noticed_by_the_first_character() -> None:
    with pytest.raises(ClientMistake) as caught:
        await answer(words("  Hello!"), response_format={"type": "json_object"})
    assert caught.value.code == "invalid_schema"


async def test_an_answer_that_breaks_its_strict_schema_is_no_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert (await answer(words('{"a": [1, 2]}'), response_format=form))["choices"][0]["finish_reason"] == "stop"
    with pytest.raises(ClientMistake) as caught:
        await answer(words('{"a": [1, 1]}'), response_format=form)
    assert caught.value.code == "schema_not_kept"


async def test_an_answer_cut_by_the_token_limit_says_so() -> None:
    assert (await answer(words("Once upon", "length")))["choices"][0]["finish_reason"] == "length"


def test_threads_leave_a_core_free_and_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert EngineLimits().used_threads() == threads
    assert EngineLimits(threads=12).used_threads() == 12


async def test_a_channel_whose_loop_is_gone_tells_its_writer_to_stop() -> None:
    def elsewhere() -> Channel[int]:
        async def make() -> Channel[int]:
            return Channel(1)

        return asyncio.run(make())

    channel = await asyncio.to_thread(elsewhere)
    channel.put(1)
    assert channel.put(2)
