"""Providers that answer well, badly, late or not at all, and that know whether they may be asked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random
from typing import Any

import msgspec
from tests.compliance.oracle import Asked, forbidden

from afterbay.core.event import Event, Finished, Started, ToolCallDelta, ToolCallStarted, UsageSeen, fold
from afterbay.engine.context import serving
from afterbay.ports import Closed, TransportError
from afterbay.testing.answers import JSON, USAGE, answered, failed, streamed
from afterbay.testing.fakes import HANG, Cut, Script, ScriptedResponse, Sent, Wait
from afterbay.testing.memory_gateway import NOON_S
from afterbay.testing.passages import ScriptedSocket
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS

CHATS = {"/chat/completions": "openai.chat", "/v1/messages": "anthropic.messages", "/responses": "openai.responses"}
WORDS = ("one ", "two ", "three ", "four ", "five ")

Scripts = Mapping[tuple[str, bool], Sequence[Script]]


def _scripts() -> Scripts:
    """For each protocol, whole and streamed: what a provider may do, one as likely as the other."""
    found: dict[tuple[str, bool], Sequence[Script]] = {}
    for dialect in CHATS.values():
        for stream in (False, True):
            good = streamed(dialect, *WORDS) if stream else answered(dialect, "".join(WORDS))
            steps, headers = good.steps, good.headers
            found[dialect, stream] = (
                *(good,) * 5,
                Script(steps=steps, headers=headers, headers_take_s=4.0),
                Script(steps=(*steps[: len(steps) // 2], Wait(1.0), Cut()), headers=headers),
                Script(steps=(*steps[: len(steps) // 2], HANG), headers=headers),
                Script(steps=(HANG,), headers=headers),
                answered(dialect, ""),
                failed(dialect, 500, "server"),
                failed(dialect, 429, "rate_limit", retry_after="2"),
                failed(dialect, 401, "authentication"),
                failed(dialect, 529, "overloaded"),
                Script(refused="nobody listens"),
                Script(dies_before_headers="it broke"),
            )
    return found


def _plain(body: bytes) -> Sequence[Script]:
    return (
        *(Script(steps=(body,), headers=JSON),) * 3,
        failed("openai.chat", 500, "server"),
        Script(refused="nobody listens"),
        Script(dies_before_headers="it broke"),
    )


def _bad_call(dialect: str) -> Script:
    """A call whose arguments fit no schema: it is asked for again."""
    said: list[Event] = [Started("answer-1", "up"), ToolCallStarted(0, "call_0123456789", "find")]
    said += [ToolCallDelta(0, '{"q": {}}'), UsageSeen(USAGE), Finished("tool_calls")]
    body, _ = DIALECTS[dialect].render_answer(fold(said), Head("seed", "up", 1), None)
    return Script(steps=(body,), headers=JSON)


SCRIPTS = _scripts()
BAD_CALLS = {dialect: _bad_call(dialect) for dialect in CHATS.values()}
PLAIN = {
    "/embeddings": _plain(b'{"data":[{"index":0,"embedding":[1.0]}],"usage":{"prompt_tokens":1,"total_tokens":1}}'),
    "/moderations": _plain(b'{"results":[]}'),
    "/responses/compact": _plain(b'{"output":[]}'),
}
OTHER = _plain(b'{"input_tokens":3}')


class Watch:
    """What reached providers, and whether it might. `asked`: what each request in flight is about."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.asked: dict[str, Asked] = {}
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._named = 0

    def named_anew(self, script: Script) -> Script:
        """The same answer under an id that no other one has: it may be asked for by that."""
        self._named += 1
        name = f"resp_{self._named}".encode()
        steps = (one.replace(b"resp_seed", name) if isinstance(one, bytes) else one for one in script.steps)
        return msgspec.structs.replace(script, steps=tuple(steps))

    def note(self, provider: str, model: str, kind: str) -> None:
        """Something reached a provider."""
        asked = self.asked.get(serving.get())
        self.seen[kind] += 1
        if asked is None:
            self.wrong.append(f"{provider}: somebody sent something for nobody")
            return
        why = forbidden(asked, provider, model, NOON_S + asyncio.get_running_loop().time())
        if why:
            self.wrong.append(f"{serving.get()} by {asked.name} {asked.sets} {asked.residency}: {why}")


class Provider:
    """Implements `ports.Upstream` and `ports.Passage`."""

    def __init__(self, name: str, watch: Watch, clock: Callable[[], float]) -> None:
        self._name, self._watch, self._clock = name, watch, clock

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        """Answers as chance has it."""
        try:
            said: dict[str, Any] = json.loads(body)
        except ValueError:
            said = {}
        self._watch.note(self._name, str(said.get("model", "")), path.partition("?")[0])
        path = path.partition("?")[0]
        dialect = CHATS.get(path)
        of = SCRIPTS[dialect, bool(said.get("stream"))] if dialect is not None else PLAIN.get(path, OTHER)
        script = self._watch.random.choice(of)
        if dialect is not None and said.get("tools") and self._watch.random.random() < 0.7:
            script = BAD_CALLS[dialect]
        if dialect == "openai.responses":
            script = self._watch.named_anew(script)
        return await self._answer(script, path, connect_s)

    async def _answer(self, script: Script, path: str, connect_s: float) -> ScriptedResponse:
        sent = Sent(self._clock(), path, b"", {}, connect_s)
        await asyncio.sleep(0.1 * self._watch.random.random())
        if script.refused is not None:
            raise TransportError(script.refused, connected=False)
        await asyncio.sleep(script.headers_take_s)
        if script.dies_before_headers is not None:
            raise TransportError(script.dies_before_headers, connected=True)
        return ScriptedResponse(script, sent)

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        connect_s: float,
    ) -> ScriptedResponse:
        """Answers a raw request."""
        self._watch.note(self._name, "", f"raw {method}")
        return await self._answer(self._watch.random.choice(OTHER), path, connect_s)

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> ScriptedSocket:
        """Opens a socket that says goodbye at once, or does not."""
        self._watch.note(self._name, "", "tunnel")
        await asyncio.sleep(0.1)
        if self._watch.random.random() < 0.3:
            raise TransportError("nobody listens", connected=False)
        return ScriptedSocket(Closed(1000))

    async def close(self) -> None:
        """Ends nothing: there are no connections."""
