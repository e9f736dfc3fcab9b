"""Several doors to one queue of connections."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from afterbay.app.door import Connections, Counts, Door
from afterbay.app.server import listen

from .on_our_loop import on_our_loop


class Guest(asyncio.Protocol):
    """Says who serves it."""

    def __init__(self, house: House, name: bytes) -> None:
        self._house, self._name = house, name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._house.door.connections.add(self)
        transport.write(self._name)  # type: ignore[attr-defined]  # uvloop's do not inherit asyncio's

    def connection_lost(self, error: Exception | None) -> None:
        self._house.door.connections.discard(self)


class House:
    def __init__(self, sock: socket.socket, file: Path, place: int, places: int) -> None:
        self.counts = Counts(file, places)
        self.door = Door(sock.dup(), self.counts, place)
        self.name = str(place).encode()

    def open(self) -> None:
        self.door.open(lambda: Guest(self, self.name))


@asynccontextmanager
async def houses(folder: Path, count: int) -> AsyncIterator[tuple[list[House], int]]:
    sock = listen("127.0.0.1", 0)
    all_ = [House(sock, folder / "counts", place, count) for place in range(count)]
    for one in all_:
        one.open()
    try:
        yield all_, sock.getsockname()[1]
    finally:
        for one in all_:
            one.door.close()
            one.counts.close()
        sock.close()


async def visit(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return await reader.readexactly(1), writer


@on_our_loop
async def test_connections_that_stay_are_shared_out_evenly(tmp_path: Path) -> None:
    async with houses(tmp_path, 4) as (all_, port):
        guests = [await visit(port) for _ in range(40)]
        by_house = [sum(name == one.name for name, _ in guests) for one in all_]
        assert max(by_house) - min(by_house) <= 2, by_house
        assert all_[0].counts.least == min(by_house)
        for _, writer in guests:
            writer.close()


@on_our_loop
async def test_who_has_shut_its_door_gets_nobody_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with houses(tmp_path, 2) as (all_, port):
        all_[0].door.close()
        all_[0].door.close()
        guests = [await visit(port) for _ in range(5)]
        assert {name for name, _ in guests} == {b"1"}
        all_[0].open()
        assert (await visit(port))[0] == b"0"


@on_our_loop
async def test_one_that_is_too_busy_to_take_its_turn_keeps_nobody_out(tmp_path: Path) -> None:
    async with houses(tmp_path, 2) as (all_, port):
        all_[0].door.close()
        all_[0].counts.put(0, 0)  # it seems to be there, and takes nothing
        guests = [await asyncio.wait_for(visit(port), 1) for _ in range(3)]
        assert {name for name, _ in guests} == {b"1"}


@on_our_loop
async def test_connections_wait_while_the_system_has_no_room_for_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with houses(tmp_path, 1) as (all_, port):
        monkeypatch.setattr("afterbay.app.door.FULL_S", 0.01)
        sock, tries = all_[0].door._sock, 0

        class Full:
            def fileno(self) -> int:
                return sock.fileno()

            def accept(self) -> tuple[socket.socket, object]:
                nonlocal tries
                tries += 1
                if tries == 1:
                    raise OSError(24, os.strerror(24))
                return sock.accept()

        all_[0].door._sock = Full()  # type: ignore[assignment]
        assert (await asyncio.wait_for(visit(port), 2))[0] == b"0"
        assert tries >= 2


def test_nobody_there_counts_as_nobody_with_fewer(tmp_path: Path) -> None:
    one, same = Counts(tmp_path / "counts", 3), Counts(tmp_path / "counts", 3)
    assert one.least == 0
    one.put(1, 7)
    one.put(2, 5)
    assert same.least == 5
    one.clear(2)
    assert same.least == 7
    assert (tmp_path / "counts").stat().st_mode & 0o777 == 0o600
    told: list[int] = []
    connections = Connections(lambda: told.append(len(connections)))
    connections.add(1)
    connections.discard(1)
    assert told == [1, 0]
