"""The door of a provider that takes only so many requests at once (`limits.concurrent`)."""

from __future__ import annotations

import asyncio

from afterbay.policy.lanes import Lanes, Priority

QUEUE_S = 5.0
"""Longest wait for a place."""


class QueueFull(Exception):
    """There is no place, and none came free in time. The provider was not asked."""


class Gate:
    """Whoever entered must `leave`, once."""

    def __init__(self, places: int) -> None:
        self._lanes: Lanes[asyncio.Future[bool]] = Lanes(places)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._lanes.waiting

    @property
    def has_room(self) -> bool:
        """Whether a request would get in without waiting."""
        return self._lanes.has_room

    def is_full(self, priority: Priority) -> bool:
        """Whether a request would be turned away at once."""
        return self._lanes.is_full(priority)

    async def enter(self, priority: Priority) -> None:
        """Takes a place, as soon as there is one.

        Raises:
            QueueFull: the queue is full, or somebody of higher priority took the place in it, or it took too long.
        """
        lanes = self._lanes
        if lanes.take():
            return
        if lanes.is_full(priority):
            raise QueueFull("its queue is full")
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        gone = lanes.queue(priority, place)
        if gone is not None and not gone.done():
            gone.set_result(False)
        try:
            async with asyncio.timeout(QUEUE_S):
                is_in = await place
        except BaseException as error:
            if place.done() and not place.cancelled() and place.result():
                self.leave()  # the place came at the same moment
            lanes.give_up(priority, place)
            if isinstance(error, TimeoutError):
                raise QueueFull(f"no place came free within {QUEUE_S:g} s") from None
            raise
        if not is_in:
            raise QueueFull("its queue is full, and a request of higher priority came")

    def leave(self) -> None:
        """Gives the place to the next one."""
        while (following := self._lanes.leave()) is not None:
            if not following.done():
                following.set_result(True)
                return
