"""The thread that asks for leases: what the event loop sends it goes to the table, in order, and the answers back.

Many asks go into one transaction. While nothing is sent it looks now and then whether other holders call for what this
one has; a process that holds nothing sleeps.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from afterbay.policy.lease import Standing
from afterbay.store.leases import Answer, Ask, Leases, Part

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who hears of it, on the event loop."""

    def answered(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> None:
        """What was asked was done."""

    def failed(self, asks: Sequence[Ask], why: str) -> None:
        """Nothing of what was asked was done."""

    def looked(self, parts: Sequence[tuple[Part, int]], standings: Sequence[Standing]) -> None:
        """How allowances stand."""

    def called(self, calls: Sequence[tuple[Part, int]]) -> None:
        """Others want so much."""

    def second(self) -> None:
        """A second has passed, more or less."""


class LeaseThread:
    """Owned by a ledger, from `start` to `end`. Its public methods are for the event loop."""

    def __init__(self, leases: Leases, listener: Listener, utc: Callable[[], float], poll_s: float, batch: int) -> None:
        self._leases, self._listener, self._utc = leases, listener, utc
        self._poll_s, self._batch = poll_s, batch
        self._asks: deque[Ask] = deque()
        self._looks: Sequence[tuple[Part, int]] = ()
        self._change = threading.Condition()
        self._is_ending = False
        self._holds_some = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="afterbay-leases", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts it; it speaks to this loop."""
        self._loop = loop
        self._thread.start()

    def send(self, asks: Sequence[Ask]) -> None:
        """Asks, after all that was asked before."""
        with self._change:
            self._asks.extend(asks)
            self._holds_some = True
            self._change.notify()

    def look(self, parts: Sequence[tuple[Part, int]]) -> None:
        """Looks how allowances stand, when there is nothing to ask."""
        with self._change:
            self._looks = parts
            self._change.notify()

    def rest(self) -> None:
        """Nothing is held any more: it sleeps until something is asked."""
        with self._change:
            self._holds_some = False

    def end(self) -> None:
        """Lets it do what was sent, leave, and end."""
        with self._change:
            self._is_ending = True
            self._change.notify()

    def join(self, timeout_s: float) -> bool:
        """Waits for its end; blocks. Whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            next_poll_s = next_second_s = 0.0
            while True:
                with self._change:
                    if not (self._asks or self._looks or self._is_ending):
                        self._change.wait(self._poll_s if self._holds_some else None)
                    asks = [self._asks.popleft() for _ in range(min(self._batch, len(self._asks)))]
                    looks, self._looks = self._looks, ()
                    ends = self._is_ending and not asks
                if asks:
                    self._exchange(asks)
                if looks:
                    self._look(looks)
                if ends:
                    break
                now_s = time.monotonic()
                if now_s >= next_poll_s:
                    next_poll_s = now_s + self._poll_s
                    self._poll()
                if now_s >= next_second_s:
                    next_second_s = now_s + 1.0
                    self._tell(self._listener.second)
            self._leave()
        except Exception:
            _log.critical("the thread of leases died: requests go on with what is leased already", exc_info=True)
            raise
        finally:
            self._leases.close()

    def _exchange(self, asks: Sequence[Ask]) -> None:
        try:
            answers = self._leases.exchange(asks, self._utc())
        except sqlite3.Error as trouble:
            self._tell(self._listener.failed, asks, str(trouble))
        except Exception as mistake:
            _log.exception("leases of allowances could not be asked for")
            self._tell(self._listener.failed, asks, repr(mistake))
        else:
            self._tell(self._listener.answered, asks, answers)

    def _look(self, parts: Sequence[tuple[Part, int]]) -> None:
        try:
            standings = self._leases.look(parts, self._utc())
        except Exception as trouble:
            _log.debug("leases could not be looked at: %s", trouble)
            return
        self._tell(self._listener.looked, parts, standings)

    def _poll(self) -> None:
        try:
            calls = self._leases.calls()
        except Exception as trouble:
            _log.debug("calls for leases could not be read: %s", trouble)
            return
        if calls:
            self._tell(self._listener.called, calls)

    def _leave(self) -> None:
        try:
            self._leases.leave(self._utc())
        except sqlite3.Error as trouble:
            _log.warning("leases were not given back (%s): they are when this process's journal has been read", trouble)

    def _tell(self, act: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "it was started"  # noqa: S101
        try:
            self._loop.call_soon_threadsafe(act, *args)
        except RuntimeError:  # the loop is closed: nobody listens any more
            _log.debug("an answer about leases came after the end")
