"""The emulator without sockets shows what it would show through an HTTP client, in no time."""

from __future__ import annotations

import asyncio
import json

import pytest

from afterbay.emulate.profile import Profile, ProfileFile
from afterbay.emulate.server import Emulator
from afterbay.ports import TransportError
from afterbay.testing.emulated_upstream import BUFFER_BYTES, HEAD_BYTES, EmulatedUpstream
from afterbay.testing.memory_gateway import VirtualClock
from afterbay.testing.toxics import (
    AnyToxic,
    BadFraming,
    Bandwidth,
    BlackHole,
    Down,
    FramingFault,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Tls,
)
from afterbay.testing.virtual_loop import run

SAY = "[[say a b c d e f g h]]"


def ask(*toxics: AnyToxic, orders: str = "", stream: bool = True, limit_s: float = 50.0) -> tuple[bytes, str, float]:
    """All that comes, how it ends, and the time it takes."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"{orders} {SAY}"}], "stream": stream})

    async def asking() -> tuple[bytes, str, float]:
        upstream = EmulatedUpstream(Emulator(ProfileFile(Profile("instant")), VirtualClock()), "openai-a", *toxics)
        got, ended = b"", "eof"
        try:
            async with asyncio.timeout(limit_s):
                answer = await upstream.post("/chat/completions", body.encode(), {}, 5.0)
                while data := await answer.read():
                    got += data
                assert await answer.read() == b"", "the end is the end"
                answer.close()
        except TimeoutError:
            ended = "silent"
        except TransportError as error:
            ended = "broke" if error.connected else "no connection"
        took_s = asyncio.get_running_loop().time()
        await upstream.close()
        assert upstream.open == 0
        return got, ended, took_s

    return run(asking())


WHOLE, _, _ = ask()


def test_undisturbed_it_is_the_emulators_answer() -> None:
    got, ended, took_s = ask()
    assert (got.count(b'"content":'), got.endswith(b"data: [DONE]\n\n"), ended, took_s) == (8, True, "eof", 0.0)
    assert json.loads(ask(stream=False)[0])["choices"][0]["message"]["content"] == "a b c d e f g h"


@pytest.mark.parametrize(
    ("orders", "ended", "took_s"),
    [
        ("[[refuse]]", "broke", 0.0),
        ("[[cut 3 reset]]", "broke", 0.0),
        ("[[cut 3 close]]", "broke", 0.0),
        ("[[cut 3 eof]]", "eof", 0.0),
        ("[[stall 3 2s]]", "eof", 2.0),
        ("[[hang]]", "silent", 50.0),
        ("[[slow 1s]]", "eof", 7.0),
    ],
)
def test_the_emulators_faults_show(orders: str, ended: str, took_s: float) -> None:
    assert ask(orders=orders)[1:] == (ended, pytest.approx(took_s))


@pytest.mark.parametrize(
    ("toxic", "ended", "least_s"),
    [
        (Down(), "no connection", 0.0),
        (BlackHole(), "no connection", 5.0),
        (Tls("expired"), "no connection", 0.0),
        (Tls(), "eof", 0.0),
        (ResetPeer(), "broke", 0.0),
        (ResetPeer(HEAD_BYTES + 10), "broke", 0.0),
        (LimitData(HEAD_BYTES + 10), "broke", 0.0),
        (Timeout(), "silent", 50.0),
        (Timeout(3.0, HEAD_BYTES + 10), "broke", 3.0),
        (Latency(2.0), "eof", 2.0),
        (Bandwidth(1000), "eof", 1.0),
        (Slicer(7, 0.01), "eof", 0.5),
        (SlowClose(9.0), "eof", 9.0),
    ],
)
def test_toxics_show(toxic: AnyToxic, ended: str, least_s: float) -> None:
    got, how, took_s = ask(toxic)
    assert how == ended
    assert took_s >= least_s
    if ended == "eof":
        assert got.count(b'"content":') == 8
    elif isinstance(toxic, ResetPeer | LimitData | Timeout) and toxic.after_bytes:
        assert len(got) == 10


@pytest.mark.parametrize(
    ("fault", "ended", "size"),
    [
        ("half_headers", "broke", 0),
        ("bad_status", "broke", 0),
        ("endless_headers", "broke", 0),
        ("two_lengths", "broke", 0),
        ("bad_chunk_size", "broke", 400),
        ("short_length", "eof", 400),
        ("no_last_chunk", "broke", len(WHOLE)),
        ("long_length", "broke", len(WHOLE)),
        ("http10_close", "eof", len(WHOLE)),
    ],
)
def test_framing_faults_show(fault: FramingFault, ended: str, size: int) -> None:
    got, how, _ = ask(BadFraming(fault))
    assert (how, len(got)) == (ended, size)


def test_a_reader_that_does_not_read_holds_the_emulator_back() -> None:
    async def stuck() -> int:
        upstream = EmulatedUpstream(Emulator(ProfileFile(Profile("instant")), VirtualClock()), "openai-a")
        order = "[[tokens 20000]]"
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": order}], "stream": True})
        answer = await upstream.post("/chat/completions", body.encode(), {}, 5.0)
        await asyncio.sleep(100)
        held = len(answer._request.waiting)
        assert upstream.open == 1
        await upstream.close()
        return held

    assert BUFFER_BYTES < run(stuck()) < 2 * BUFFER_BYTES
