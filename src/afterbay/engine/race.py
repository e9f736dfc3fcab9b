"""Attempts of one request that run beside each other, each in a task of its own, until one of them commits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from afterbay.policy.attempts import Action

STOP_S = 5.0
"""A task that was called off has ended by then: it only closes its connection."""


class Race:
    """Owner of these tasks. Each ends with what the attempt machine wants next."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: dict[int, asyncio.Task[list[Action]]] = {}
        self._leaving: set[asyncio.Task[list[Action]]] = set()
        self._wakes: asyncio.Future[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether any attempt runs, or has ended and was not asked yet."""
        return bool(self._running)

    @property
    def has_ended(self) -> bool:
        """Whether an attempt has ended and was not asked yet."""
        return any(task.done() for task in self._running.values())

    def launch(self, number: int, attempt: Coroutine[Any, Any, list[Action]]) -> None:
        """Begins an attempt."""
        task = asyncio.get_running_loop().create_task(attempt, name=f"{self._name}#{number}")
        self._running[number] = task
        task.add_done_callback(self._wake)

    def _wake(self, _: asyncio.Task[list[Action]]) -> None:
        if self._wakes is not None and not self._wakes.done():
            self._wakes.set_result(None)

    def call_off(self, number: int) -> None:
        """Ends an attempt, which does nothing any more from here on but close what it holds."""
        task = self._running.pop(number, None)
        if task is not None and not task.done():
            task.cancel()
            self._leaving.add(task)

    async def next(self) -> list[Action]:
        """What the attempts want next that have ended, as soon as one has. Without any, it waits to be cancelled.

        Raises:
            Exception: an attempt's own.
        """
        while not (ended := [number for number, task in self._running.items() if task.done()]):
            self._wakes = asyncio.get_running_loop().create_future()
            await self._wakes
        actions: list[Action] = []
        for task in [self._running.pop(number) for number in ended]:
            actions += task.result()
        return actions

    async def stop(self, number: int) -> None:
        """Calls an attempt off and waits until it has let go."""
        self.call_off(number)
        await self._wait()

    async def close(self) -> None:
        """Ends all."""
        for number in list(self._running):
            self.call_off(number)
        await self._wait()

    async def _wait(self) -> None:
        leaving, self._leaving = self._leaving, set()
        if leaving:
            await asyncio.wait(leaving, timeout=STOP_S)
