"""Work after requests is bounded, and one piece that goes wrong stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from afterbay.core.message import Message, Text
from afterbay.engine.afterwards import WORDS, Afterwards
from afterbay.engine.repeats import NOT_BEFORE_S, WITHIN_S, Asked, Repeats, name_of
from afterbay.testing.virtual_loop import run


def ending(word: str, after_s: float = 0.0) -> Callable[[], Awaitable[str]]:
    async def job() -> str:
        await asyncio.sleep(after_s)
        return word

    return job


async def breaking() -> str:
    raise RuntimeError("no")


def test_what_is_offered_is_done_and_counted() -> None:
    async def main() -> dict[str, int]:
        one = Afterwards(at_once=2)
        work = asyncio.get_running_loop().create_task(one.run())
        await asyncio.sleep(0)
        jobs = [(ending("done"), 1.0), (breaking, 1.0), (ending("never", 5.0), 1.0), (ending("done", 0.5), 1.0)]
        assert all(one.offer(job, within_s) for job, within_s in jobs)
        await one.settle()
        work.cancel()
        await asyncio.wait([work])
        assert not one.has_room
        return dict(one.counts)

    assert run(main()) == {"done": 2, "failed": 1, "late": 1}


def test_beyond_its_room_it_drops_and_never_waits() -> None:
    async def main() -> dict[str, int]:
        one = Afterwards(at_once=1, most_waiting=2)
        work = asyncio.get_running_loop().create_task(one.run())
        await asyncio.sleep(0)
        taken = [one.offer(ending("done", 1.0), 9.0) for _ in range(5)]
        assert taken == [True, True, False, False, False]
        assert not one.has_room
        await one.settle()
        work.cancel()
        await asyncio.wait([work])
        return dict(one.counts)

    assert run(main()) == {"dropped": 3, "done": 2}


def test_where_nobody_runs_it_nothing_is_taken() -> None:
    one = Afterwards()
    assert not one.offer(ending("done"), 1.0)
    assert not one.has_room
    run(one.settle())


def test_words_are_bounded() -> None:
    one = Afterwards()
    for number in range(2 * WORDS):
        one.count(f"word {number}")
    assert len(one.counts) == WORDS + 1
    assert one.counts["other"] == WORDS


NAME = b"n"


@pytest.mark.parametrize(
    ("after_s", "is_repeat"), [(1.0, False), (NOT_BEFORE_S, True), (WITHIN_S, True), (WITHIN_S + 1, False)]
)
def test_the_same_again_counts_within_some_minutes_and_once(after_s: float, is_repeat: bool) -> None:
    repeats, asked = Repeats(), Asked("req_1", "small", 100.0)
    repeats.note(NAME, asked)
    assert repeats.take(NAME, 100.0 + after_s) == (asked if is_repeat else None)
    if is_repeat:
        assert repeats.take(NAME, 100.0 + after_s) is None


def test_only_so_many_are_remembered() -> None:
    repeats = Repeats(kept=2)
    for number in range(3):
        repeats.note(bytes([number]), Asked(f"req_{number}", "m", 0.0))
    assert repeats.take(b"\x00", 10.0) is None
    assert repeats.take(b"\x01", 10.0) is not None


def test_a_name_is_of_the_key_the_route_and_every_message() -> None:
    def name(text: str = "hi", key: str = "k", route: str = "auto", secret: bytes = b"s") -> bytes:
        return name_of(secret, key, route, (Message("user", (Text(text),)),))

    assert name() == name()
    others = {name("ho"), name(key="j"), name(route="x"), name(secret=b"t"), name_of(b"s", "k", "auto", ())}
    assert len(others | {name()}) == 6
