"""Providers of a replay: each answers from the exchanges of an incident, on the event loop's time, without a network.

A request gets the first exchange of its target that was not used yet. Where none is left the last one is given again,
and a target that the incident knows nothing of answers well, at once: both are said (`assumed`), since that is a guess.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from afterbay.core.decision import Record, Target
from afterbay.core.event import Event, Finished, Started, TextDelta, UsageSeen, fold
from afterbay.core.usage import Usage
from afterbay.engine.fleet import Fleet
from afterbay.engine.gate import Gate, QueueFull
from afterbay.policy.lanes import Priority
from afterbay.ports import Credential, TransportError, UpstreamResponse
from afterbay.providers.keys import ProviderKeys
from afterbay.testing.incident.form import Exchange
from afterbay.testing.incident.standin import numbered
from afterbay.testing.incident.vectors import Vectors
from afterbay.testing.recorded import Content, Recorded, content
from afterbay.testing.recordings import Pace, ReplayResponse
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

_WORD: Final = re.compile(rb"w(\d{6})")
_MODEL: Final = re.compile(rb'"model(?:Id)?"\s*:\s*"((?:[^"\\]|\\.)*)"')
_GUESS_S: Final = 0.1
"""So long an answer takes of which nothing is known."""


class Stock:
    """The exchanges of an incident, and which are used. `assumed` says what was not in it."""

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        record: Record,
        target_of: Callable[[str], Target | None],
        vectors: Vectors | None = None,
    ) -> None:
        self.assumed: list[str] = []
        self._left = list(exchanges)
        self._used: dict[str, Exchange] = {}
        self._record = record
        self._target_of = target_of
        self._vectors = vectors

    def next_of(self, target: str) -> Exchange:
        """The exchange for the next request to this target."""
        for one in self._left:
            if one.target == target:
                self._left.remove(one)
                self._used[target] = one
                return one
        last = self._used.get(target)
        if last is not None:
            self.assumed.append(f"{target} was asked once more than it was: it answers as the last time")
            return last
        self.assumed.append(f"nothing is known of {target} here: it answers well")
        return Exchange(-1, target, "stand-in", self._well(target))

    def busy_at(self, provider: str) -> Exchange | None:
        """The next exchange of a provider, if its queue was full then."""
        first = next((one for one in self._left if one.target.partition("/")[0] == provider), None)
        return first if first is not None and first.is_busy else None

    def use(self, exchange: Exchange) -> None:
        """Counts an exchange as used."""
        self._left.remove(exchange)

    def targets_of(self, provider: str) -> list[str]:
        """The targets at a provider that the incident knows, those with most to say first."""
        known = [one.target for one in self._left] + list(self._used)
        return list(dict.fromkeys(one for one in known if one.partition("/")[0] == provider))

    def _well(self, name: str) -> Recorded:
        """A good answer of a target of which nothing is known."""
        record, target = self._record, self._target_of(name)
        dialect = DIALECTS[target.dialect_for(record.protocol) if target and not self._vectors else record.protocol]
        events: list[Event] = [
            Started("answer-1", name),
            TextDelta(numbered(1, 16)),
            UsageSeen(Usage(1, output_tokens=32)),
        ]
        head = Head("replayed", name, include_usage=True)
        if self._vectors is not None:
            body = self._vectors.answer(target.dialect if target is not None else "openai.embeddings", name, Usage(1))
            kind = "application/json"
        elif record.stream:
            renderer = dialect.renderer(head)
            body = renderer.render([*events, Finished("stop")]) + renderer.finish(None)
            kind = dialect.stream_type
        else:
            body = dialect.render_answer(fold([*events, Finished("stop")]), head, None)[0]
            kind = "application/json"
        return Recorded(
            provider=name.partition("/")[0],
            path="",
            request_headers={},
            request=content(b""),
            status=200,
            headers_at_s=_GUESS_S,
            response_headers={"content-type": kind},
            chunks=(content(body, _GUESS_S),),
            end="complete",
            end_at_s=_GUESS_S,
        )


class OfflineUpstream:
    """Implements `ports.Upstream` for one provider of a replay. `keys`: how many it has."""

    def __init__(self, stock: Stock, provider: str, keys: int) -> None:
        self._stock, self._provider = stock, provider
        self._keys = ProviderKeys(provider, keys) if keys > 1 else None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """The next answer of the target that the request is for. See `ports.Upstream.post`."""
        exchange = self._stock.next_of(self._target(path, body))
        answer = exchange.answer
        if answer.code == "connect_timeout":  # it has as much time as this configuration gives it
            await asyncio.sleep(connect_s)
            text = f"no connection within connect = {connect_s:g} s"
            raise TransportError(text, connected=False, code=answer.code)
        if exchange.continues:
            answer = msgspec.structs.replace(answer, chunks=gone_on(answer.chunks, body))
        response = ReplayResponse(answer, Pace(False, asyncio.get_running_loop().time, asyncio.sleep))
        response.credential = self._credential(exchange)
        await response.open()
        if self._keys is not None and response.credential is not None and response.status not in (401, 403):
            self._keys.served(response.credential.number - 1)
        return response

    async def close(self) -> None:
        """Nothing is open."""

    def _target(self, path: str, body: bytes) -> str:
        """The target that a request is for: its model stands in the path, or in the body."""
        found = _MODEL.search(body)
        if found is not None:
            name = msgspec.json.decode(b'"' + found[1] + b'"', type=str)
            if f"{self._provider}/{name}" in self._stock.targets_of(self._provider):
                return f"{self._provider}/{name}"
        for target in self._stock.targets_of(self._provider):
            if target.partition("/")[2] in path:
                return target
        if found is not None:
            return f"{self._provider}/{name}"
        return f"{self._provider}/{path.strip('/').rpartition('/')[2].partition(':')[0]}"

    def _credential(self, exchange: Exchange) -> Credential | None:
        if self._keys is None:
            return None
        place = exchange.key - 1 if exchange.key is not None else self._keys.choose()
        return self._keys.leases[place % len(self._keys.leases)]


def gone_on(chunks: Sequence[Content], body: bytes) -> tuple[Content, ...]:
    """An answer of numbered words that goes on where its request says: from the words that the last turn quotes, else
    (a prefill) after those that it holds, else from the first one on."""
    begin = _begin_of(body)
    if begin == 1:
        return tuple(chunks)
    shift = begin - 1

    def moved(found: re.Match[bytes]) -> bytes:
        return b"w%06d" % (int(found[1]) + shift)

    return tuple(content(_WORD.sub(moved, one.raw()), one.at_s) for one in chunks)


def _begin_of(body: bytes) -> int:
    """The number of the word to begin with. Where the words in the body begin anew, their end is quoted to be said
    again; where they do not, a turn of the model's holds them, and what follows is wanted."""
    said = [int(number) for number in _WORD.findall(body)]
    anew = [number for before, number in pairwise(said) if number <= before]
    return anew[-1] if anew else said[-1] + 1 if said else 1


class _Shut(Gate):
    """A door behind which nobody comes free. `is_locked`: one need not even wait."""

    def __init__(self, stock: Stock, busy: Exchange | None, wait_s: float) -> None:
        super().__init__(1)
        self._stock, self._busy, self._wait_s = stock, busy, wait_s

    def is_full(self, priority: Priority) -> bool:
        """Whether a request would be turned away at once."""
        return self._busy is None

    async def enter(self, priority: Priority) -> None:
        """Waits as long as it was waited, in vain."""
        if self._busy is not None:
            self._stock.use(self._busy)
        await asyncio.sleep(self._wait_s)
        raise QueueFull("its queue is full")


class OfflineFleet(Fleet):
    """The world of a replay: queues are as full as they were. Set `stock` and `record` before the first request."""

    stock: Stock
    record: Record

    def gate(self, target: Target) -> Gate | None:
        """The door of a target's provider, shut where it was."""
        if self.record.outcome == "queue_full" and not self.record.attempts:
            return _Shut(self.stock, None, 0.0)
        busy = self.stock.busy_at(target.provider)
        if busy is None:
            return None
        attempt = next((one for one in self.record.attempts if one.number == busy.attempt), None)
        ended_s = attempt.ended_s if attempt is not None else None
        return _Shut(self.stock, busy, max(ended_s - attempt.started_s, 0.0) if attempt and ended_s else 0.0)
