"""The control process's own decisions, without processes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from afterbay.app import workers
from afterbay.app.line import AskFigures, Decide, KeysRead, Message, Prepare, ReadKeys, Ready, Serving
from afterbay.app.workers import Control, _Process
from afterbay.config.watch import load_snapshot
from afterbay.core.ids import WORKERS


class Fake:
    """Stands for the process of a worker, and for its line."""

    def __init__(self, number: int, answers: Callable[[Message], None] = lambda message: None) -> None:
        self.sent: list[Message] = []
        self.killed = 0
        self._answers = answers
        self.known = _Process(number, number, cast(Any, self), cast(Any, self))

    def send(self, message: Message) -> None:
        self.sent.append(message)
        self._answers(message)

    def kill(self) -> None:
        self.killed += 1


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def control(said: list[str]) -> Iterator[Control]:
    with socket.socket() as sock:
        one = Control({}, sock, said.append, cast(Any, None), (), 2)
        one._address = "http://127.0.0.1:1"
        yield one


def test_a_number_is_not_given_again_while_its_worker_lives(control: Control) -> None:
    control._workers = {0: Fake(0).known, 2: Fake(2).known}
    control._next = WORKERS
    assert [control._new_number(), control._new_number()] == [1, 3]


async def test_people_hear_once_when_all_listen_and_once_when_all_are_ready(control: Control, said: list[str]) -> None:
    one, other = Fake(0), Fake(1)
    control._workers = {0: one.known}
    control._hear(one.known, Serving())
    assert not said, "the other one is not there yet"
    control._workers[1] = other.known
    control._hear(one.known, Ready())
    control._hear(other.known, Serving())
    assert said == ["listening on http://127.0.0.1:1 (2 workers)"]
    control._hear(other.known, Ready())
    control._hear(other.known, Ready())
    assert said[1:] == ["ready"]


async def test_a_worker_that_says_nothing_is_killed_and_others_are_asked(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOOK_S", 0.001)
    stuck, well = Fake(0), Fake(1)
    stuck.known.heard_s -= workers.STUCK_S + 1
    control._workers = {0: stuck.known, 1: well.known}
    looks = asyncio.create_task(control._look_after())
    async with asyncio.timeout(5):
        while not (stuck.killed and well.sent):  # noqa: ASYNC110  # whatever comes first
            await asyncio.sleep(0.001)
    looks.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looks
    assert not well.killed
    assert well.sent[0] == AskFigures(0)


async def test_who_changed_keys_hears_when_all_others_have_read_them(control: Control) -> None:
    def answer(message: Message) -> None:
        assert isinstance(message, ReadKeys)
        asyncio.get_running_loop().call_soon(control._hear, other.known, KeysRead(message.number))

    changing, other = Fake(0), Fake(1, answer)
    control._workers = {0: changing.known, 1: other.known}
    await asyncio.gather(control._spread_keys(changing.known, 7), control._spread_keys(changing.known, 8))
    assert changing.sent == [KeysRead(7), KeysRead(8)]
    assert not other.known.reads


async def test_a_worker_that_does_not_read_keys_holds_nobody_up_for_long(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "KEYS_S", 0.01)
    changing, silent = Fake(0), Fake(1)
    control._workers = {0: changing.known, 1: silent.known}
    await asyncio.wait_for(control._spread_keys(changing.known, 7), 2)
    assert changing.sent == [KeysRead(7)]
    assert not silent.known.reads


async def test_a_worker_that_does_not_prepare_a_configuration_is_told_of_in_a_line_and_nobody_uses_it(
    control: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(workers, "PREPARE_S", 0.01)
    silent = Fake(0)
    control._workers = {0: silent.known}
    control._loaded = load_snapshot(None, {}, tmp_path)
    file = tmp_path / "afterbay.yaml"
    file.write_text("models: {small: {provider: local, name: local}}\nproviders: {local: {kind: llamacpp}}\n")
    control._loaded = msgspec.structs.replace(control._loaded, path=file)
    reloads = asyncio.create_task(control._reload_on())
    control._hup.set()
    async with asyncio.timeout(5):
        while "no answer" not in caplog.text:  # noqa: ASYNC110  # a line of the log
            await asyncio.sleep(0.001)
    reloads.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reloads
    assert [type(message) for message in silent.sent] == [Prepare, Decide]
    assert silent.sent[-1] == Decide(adopt=False)
    assert not [record for record in caplog.records if record.exc_info]
