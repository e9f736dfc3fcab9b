"""An answer that several connections read while it is made: the first one's, and those of its repeats.

A request with an idempotency key writes here in place of its client's connection, so that it goes on when that breaks:
whoever repeats it reads from the start, and then as it comes. Nobody waits for a slow reader until more was written
than is kept. From then on the writer goes as fast as the slowest of those who read already, and nobody joins them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from afterbay.ports import Claim, ClientGone, Originals, OriginalsUnavailable, Repeatable, Reply, StoredAnswer

KEPT_BYTES = 16 * 1024 * 1024
"""As much of one answer is kept: an original that answers more is served, and cannot be repeated."""
ALL_BYTES = 256 * 1024 * 1024
"""As much is kept of all answers that are being made in one process."""
TOLD = 8
"""So many comings and goings are told of one by one."""
SLICE_BYTES = 64 * 1024
"""As much is written at once to who catches up."""

OWN_HEADERS = frozenset(
    {
        "content-type",
        "cache-control",
        "x-accel-buffering",
        "x-afterbay-model",
        "x-afterbay-provider",
        "x-afterbay-route",
        "x-afterbay-attempts",
        "x-afterbay-cache",
        "x-afterbay-warnings",
    }
)
"""Headers that belong to an answer. What it cost, limits and ids belong to the request that was paid for."""

Name: TypeAlias = tuple[str, str]
"""(owner, idempotency key)"""


class Reader:
    """One connection that reads an answer. `at`: the position up to which it has read; `sent`: its bytes."""

    def __init__(self) -> None:
        self.at = self.sent = 0
        self.news = asyncio.Event()


class SharedAnswer:
    """Implements `ports.Reply` for an original: what it writes is shared, and kept before its end is sent.

    claim         whether it is an original at all; known before anybody reads
    gone          its client said that nobody wants it. One that hangs up says nothing: it may repeat its request
    status        0 before it begins
    is_over       nothing more will be written
    is_joinable   all of it is kept so far: who comes can read it from the start
    is_settled    it is decided what becomes of its idempotency key
    notes         what the original's record tells of comings and goings
    """

    def __init__(self, request: Repeatable, originals: Originals, answers: SharedAnswers) -> None:
        self.request = request
        self.claim: asyncio.Task[Claim] = asyncio.get_running_loop().create_task(originals.claim(request))
        self.started = self.gone = self.is_over = self.is_settled = False
        self.is_joinable = True
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.size = 0
        self.notes: list[str] = []
        self._originals, self._answers = originals, answers
        self._owner: asyncio.Task[object] | None = None
        self._blocks: list[bytes] = []
        self._first = 0
        self._has_failed = self._is_whole = False
        self._readers: set[Reader] = set()
        self._stir = asyncio.Event()

    @property
    def name(self) -> Name:
        """What it is found by."""
        return self.request.owner, self.request.key

    def own(self) -> None:
        """The running task serves it from now on."""
        self._owner = asyncio.current_task()

    def cancel(self) -> bool:
        """Ends it, since nobody wants it any more. Whether it was still being made."""
        if self._owner is None or self.is_over:
            return False
        self.gone = True
        self._owner.cancel()
        return True

    def note(self, text: str) -> None:
        """Somebody came or left."""
        if len(self.notes) < TOLD:
            self.notes.append(text)

    def fail(self) -> None:
        """What is written from now on is an error: nothing is kept."""
        self._has_failed = True

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """See `ports.Reply`."""
        self.started, self.status, self.headers = True, status, headers
        self._tell()

    async def write(self, data: bytes) -> None:
        """Adds bytes. Beyond what is kept it waits for those who read.

        Raises:
            ClientGone: nobody reads what is not kept.
        """
        if not data:
            return
        self._add(data)
        self._tell()
        if self.is_joinable and (self.size > KEPT_BYTES or self._answers.is_full):
            self.is_joinable = False
        while not self.is_joinable and self._forget():
            if not self._readers:
                raise ClientGone
            self._stir.clear()
            await self._stir.wait()

    async def end(self, data: bytes = b"") -> None:
        """Ends it, once what becomes of it is on disk: whoever has got the end can repeat the request.

        Where that cannot be noted the answer goes out all the same, and a repeat is told that nobody knows.
        """
        self.is_settled = True
        try:
            with contextlib.suppress(OriginalsUnavailable):  # the store has said so in the log
                await asyncio.shield(self._settle(data))  # begun, it is done, though the gateway ends now
        finally:
            self._answers.remove(self)  # who comes now is told by the store
            if data:
                self._add(data)
            self._is_whole = True
            self._conclude()

    def survive(self, left: Callable[[], None]) -> bool:
        """See `ports.Reply`: it does already, and one comes back by repeating the request."""
        return False

    async def close(self) -> None:
        """Nothing more will be written. Call it last, whatever happened."""
        self._owner = None
        self._conclude()
        if not self.is_settled:
            self.is_settled = True
            with contextlib.suppress(OriginalsUnavailable):
                await asyncio.shield(self._originals.release(self.request))
        self._answers.remove(self)

    async def begun(self, reader: Reader) -> bool:
        """Waits for status and headers; whether there are any."""
        while not self.status and not self.is_over:
            reader.news.clear()
            await reader.news.wait()
        return bool(self.status)

    def join(self) -> Reader:
        """A reader from the start. It has to `leave`."""
        reader = Reader()
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """It reads no more."""
        self._readers.discard(reader)
        self._stir.set()
        self._drop()

    async def read(self, reader: Reader, reply: Reply) -> bool:
        """Writes the body to a connection as it comes. Whether it is whole; a cut one is left without its end."""
        while True:
            reader.news.clear()
            at = to = reader.at - self._first
            size = 0
            while to < len(self._blocks) and size < SLICE_BYTES:
                size += len(self._blocks[to])
                to += 1
            if to > at:
                await reply.write(b"".join(self._blocks[at:to]))
                reader.at, reader.sent = reader.at + to - at, reader.sent + size
                self._stir.set()
            elif self.is_over:
                if self._is_whole:
                    await reply.end()
                return self._is_whole
            else:
                await reader.news.wait()

    async def _settle(self, last: bytes) -> None:
        if self._has_failed or self.status != 200:
            await self._originals.release(self.request)
        elif self.is_joinable and self.size + len(last) <= KEPT_BYTES:
            own = {name: value for name, value in self.headers.items() if name in OWN_HEADERS}
            answer = StoredAnswer(self.status, own, b"".join(self._blocks) + last)
            await self._originals.keep(self.request, answer)
        else:
            await self._originals.keep(self.request, None)

    def _conclude(self) -> None:
        self.is_over = True
        self._tell()
        self._drop()

    def _drop(self) -> None:
        """Gives its room back, once nobody reads it any more."""
        if self.is_over and not self._readers:
            self.is_joinable = False
            self._weigh(-self.size)
            self._blocks.clear()

    def _forget(self) -> bool:
        """Forgets what all have read; whether anything is left."""
        read = min((reader.at for reader in self._readers), default=self._first)
        done = read - self._first
        if done > 0:
            self._weigh(-sum(map(len, self._blocks[:done])))
            del self._blocks[:done]
            self._first = read
        return bool(self._blocks)

    def _add(self, data: bytes) -> None:
        self._blocks.append(data)
        self._weigh(len(data))

    def _weigh(self, more: int) -> None:
        self.size += more
        self._answers.size += more

    def _tell(self) -> None:
        for reader in self._readers:
            reader.news.set()


class SharedAnswers:
    """The answers of all originals that this process serves now. `size`: the bytes that are kept of them."""

    def __init__(self, all_bytes: int = ALL_BYTES) -> None:
        self._all_bytes = all_bytes
        self._answers: dict[Name, SharedAnswer] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self.size > self._all_bytes

    def find(self, name: Name) -> SharedAnswer | None:
        """The answer that is being made for an idempotency key."""
        return self._answers.get(name)

    def of_request(self, request_id: str, owner: str) -> SharedAnswer | None:
        """The answer of a request of this owner's."""
        asked = (owner, request_id)
        return next(
            (one for one in self._answers.values() if (one.request.owner, one.request.request_id) == asked), None
        )

    def add(self, answer: SharedAnswer) -> None:
        """From now on it is found."""
        self._answers[answer.name] = answer

    def remove(self, answer: SharedAnswer) -> None:
        """It is not found any more; who reads it reads on."""
        if self._answers.get(answer.name) is answer:
            del self._answers[answer.name]
