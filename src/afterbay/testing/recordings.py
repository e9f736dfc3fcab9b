"""Recording what providers answer, and answering from the recordings without a network.

    upstream = RecordingUpstream(upstream, folder, "openai")    # every exchange becomes a file
    upstream = ReplayUpstream(folder, "openai")                 # the same answers, the same timing

Both are `afterbay.ports.Upstream`, so the gateway does not know. Files are written when an exchange ends, in the event
loop: recording is for finding out and for tests, not for production traffic. See `recorded` for what is in a file.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from afterbay.core.errors import ClientMistake
from afterbay.engine.context import serving
from afterbay.ports import Credential, TransportError, Upstream, UpstreamResponse
from afterbay.testing.recorded import (
    Recorded,
    content,
    differences,
    fingerprint,
    load,
    save,
    scrub,
    stem,
    without_key,
)
from afterbay.testing.tape import Room, Tape
from afterbay.wire.registry import DIALECTS

EXCHANGES = 10_000
"""A recorder passes further exchanges on without recording them."""
FILES = 100_000
SILENCE_S = 600.0
"""A recorded silence lasts so long, unless its reader gives up earlier, as the first one did."""
NEAREST = 3
_COMPARED_FILES, _COMPARED_BYTES, _COMPARE_S = 300, 64 * 1024 * 1024, 10.0
_LOG = logging.getLogger("afterbay.testing.recordings")


class RecordingUpstream:
    """An upstream that stores what it passes on. `recorded` and `failed` count files written and not written."""

    def __init__(
        self,
        inner: Upstream,
        folder: Path,
        provider: str,
        *,
        now: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.recorded = self.failed = 0
        self._inner, self._folder, self._provider = inner, folder, provider
        self._now, self._utc = now, utc
        self._open = 0
        self._room = Room()
        self._next: dict[str, int] = {}

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """Sends a request by the inner upstream. See `afterbay.ports.Upstream.post`."""
        if self.recorded + self.failed + self._open >= EXCHANGES:
            return await self._inner.post(path, body, headers, connect_s)
        tape = Tape(self._provider, path, body, headers, self._now, self._room, serving.get(), self._utc())
        try:
            response = await self._inner.post(path, body, headers, connect_s)
        except TransportError as error:
            tape.break_off(error)
            self._save(tape)
            raise
        except asyncio.CancelledError:
            tape.stop("silent")
            self._save(tape)
            raise
        self._open += 1
        return _RecordingResponse(response, tape, self._ended)

    async def close(self) -> None:
        """Ends the inner upstream's connections."""
        await self._inner.close()

    def _ended(self, tape: Tape) -> None:
        self._open -= 1
        self._save(tape)

    def _save(self, tape: Tape) -> None:
        try:
            number = save(tape.recorded(), self._folder, tape.mark, self._next.get(tape.mark, 0))
        except OSError as error:  # the request itself is fine: a full disk must not fail it
            self.failed += 1
            _LOG.warning("an exchange was not recorded: %s", error)
            return
        self.recorded += 1
        self._next[tape.mark] = number + 1


class _RecordingResponse:
    """Passes an answer on and keeps it. The file is written by `close`, which every reader must call."""

    def __init__(self, inner: UpstreamResponse, tape: Tape, ended: Callable[[Tape], None]) -> None:
        self.status, self.headers, self.credential = inner.status, inner.headers, inner.credential
        self._inner, self._tape = inner, tape
        self._ended: Callable[[Tape], None] | None = ended
        tape.head(inner.status, inner.headers)

    async def read(self) -> bytes:
        """The next bytes."""
        try:
            data = await self._inner.read()
        except TransportError as error:
            self._tape.break_off(error)
            raise
        except asyncio.CancelledError:
            self._tape.stop("silent")
            raise
        if data:
            self._tape.add(data)
        else:
            self._tape.stop("complete")
        return data

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body, read piece by piece so that its timing is kept."""
        return await _read_all(self, limit_bytes)

    def close(self) -> None:
        """Ends it and writes the file."""
        self._inner.close()
        ended, self._ended = self._ended, None
        if ended is not None:
            self._tape.close()
            ended(self._tape)


class ReplayUpstream:
    """An upstream that answers from a folder. The nth equal request gets the nth recording, then the last one again.

    `at_once`: without the recorded waits; a recorded silence then breaks off at once.
    """

    def __init__(
        self,
        folder: Path,
        provider: str,
        *,
        at_once: bool = False,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Reads the names of the files.

        Raises:
            ValueError: there is no such folder, or too many files in it.
        """
        self._folder, self._provider = folder, provider
        self._files = _index(folder, provider)
        self._asked: dict[str, int] = {}
        self._pace = Pace(at_once, now, sleep)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """The recorded answer, or a 400 in the provider's own form that names the nearest recordings.

        Raises:
            TransportError: that is what was recorded, or the file cannot be read.
        """
        mark = fingerprint(self._provider, path, body)
        files = self._files.get(mark)
        if files is None:
            return await self._nothing(path, body)
        turn = self._asked.get(mark, 0)
        self._asked[mark] = min(turn + 1, len(files))
        try:
            recorded = load(files[min(turn, len(files) - 1)])
        except ValueError as error:
            raise TransportError(str(error), connected=False, code="not_recorded") from None
        response = ReplayResponse(recorded, self._pace)
        await response.open()
        return response

    async def close(self) -> None:
        """Nothing is open."""

    async def _nothing(self, path: str, body: bytes) -> UpstreamResponse:
        try:
            async with asyncio.timeout(_COMPARE_S):
                near = await asyncio.to_thread(self._nearest, without_key(path), scrub(body))
        except TimeoutError:
            near = []
        found = "The nearest: " + "; ".join(near) if near else "There is none for this provider"
        where = f"of provider '{self._provider}' in {self._folder.name}"
        error = ClientMistake(
            f"No recording {where} fits POST {without_key(path)}. {found}.",
            code="no_recording",
            remedy="Record it first, or send a request that was recorded.",
        )
        answer = DIALECTS[_dialect(path)].render_error(error, "")
        return ReplayResponse(
            Recorded(
                provider=self._provider,
                path=path,
                request_headers={},
                request=content(b""),
                status=400,
                response_headers={"content-type": "application/json", "x-should-retry": "false"},
                chunks=(content(answer),),
                end="complete",
            ),
            self._pace,
        )

    def _nearest(self, path: str, body: bytes) -> list[str]:
        """The recordings that differ in the fewest fields, each with what differs."""
        scored: list[tuple[int, str]] = []
        left_bytes = _COMPARED_BYTES
        for files in list(self._files.values())[:_COMPARED_FILES]:
            try:
                left_bytes -= files[0].stat().st_size
                if left_bytes < 0:
                    break
                recorded = load(files[0])
                fields = differences(body, recorded.request.raw())
            except (OSError, ValueError):
                continue
            named = ["path", *(fields or ())] if recorded.path != path else fields or ["the body"]
            scored.append((len(named) + 100 * (recorded.path != path), f"{files[0].name} (other {', '.join(named)})"))
        return [text for _, text in sorted(scored)[:NEAREST]]


class Pace:
    """Waits until a recorded moment, or not at all."""

    def __init__(self, at_once: bool, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self.at_once, self.now, self._sleep = at_once, now, sleep

    async def until(self, moment_s: float) -> None:
        """Waits until `now` says `moment_s`."""
        wait_s = moment_s - self.now()
        if wait_s > 0 and not self.at_once:
            await self._sleep(wait_s)


class ReplayResponse:
    """A recorded answer. Late readers get what is due by now at once, as from a socket, but chunk by chunk."""

    credential: Credential | None = None

    def __init__(self, recorded: Recorded, pace: Pace) -> None:
        self.status = recorded.status or 0
        self.headers: Mapping[str, str] = recorded.response_headers
        self._recorded, self._pace = recorded, pace
        self._start_s = pace.now()
        self._at = 0

    async def open(self) -> None:
        """Waits for the headers.

        Raises:
            TransportError: there were none.
        """
        if self._recorded.status is None:
            await self._end()
        await self._pace.until(self._start_s + self._recorded.headers_at_s)

    async def read(self) -> bytes:
        """The next recorded bytes when their time has come."""
        if self._at >= len(self._recorded.chunks):
            return await self._end()
        chunk = self._recorded.chunks[self._at]
        await self._pace.until(self._start_s + chunk.at_s)
        self._at += 1  # after the wait: a reader that was cancelled meanwhile has not got it
        return chunk.raw()

    async def _end(self) -> bytes:
        recorded = self._recorded
        if recorded.end == "silent":
            await self._pace.until(self._start_s + recorded.end_at_s + SILENCE_S)
            raise TransportError("the recording is silent from here: its reader gave up", connected=recorded.connected)
        await self._pace.until(self._start_s + recorded.end_at_s)
        if recorded.end == "complete":
            return b""
        why = {"closed": "its reader closed it", "too_large": "the rest was too large to record"}
        message = recorded.message or f"the recording ends here: {why.get(recorded.end, 'the connection broke')}"
        raise TransportError(
            message, connected=recorded.connected, retry_after_s=recorded.starting_s, code=recorded.code
        )

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body."""
        return await _read_all(self, limit_bytes)

    def close(self) -> None:
        """Nothing is open."""


async def _read_all(response: _RecordingResponse | ReplayResponse, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data := await response.read():  # the caller's deadline covers all reads
        parts.append(data)
        size += len(data)
        if size > limit_bytes:
            raise TransportError(f"an answer of over {limit_bytes} bytes", connected=True)
    return b"".join(parts)


def _index(folder: Path, provider: str) -> dict[str, list[Path]]:
    """The files of a provider by fingerprint, in order."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder of recordings: record some first (serve --record)")
    name = re.compile(re.escape(stem(provider)) + r"-([0-9a-f]{24})-(\d{4,})\.json")
    found: dict[str, list[tuple[int, Path]]] = {}
    total = 0
    for path in folder.iterdir():
        match = name.fullmatch(path.name)
        if match is None:
            continue
        total += 1
        if total > FILES:
            raise ValueError(f"{folder} holds more than {FILES} recordings of {provider}")
        found.setdefault(match[1], []).append((int(match[2]), path))
    return {mark: [path for _, path in sorted(files)] for mark, files in sorted(found.items())}


def _dialect(path: str) -> str:
    """The dialect in which an error for this path is told."""
    if "/messages" in path:
        return "anthropic.messages"
    return "gemini" if "/models/" in path else "openai.chat"
