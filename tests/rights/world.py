"""A whole gateway but for sockets and providers: its ASGI application over keys in SQLite, and what came of a request.

Two aliases share no deployment, so that an attempt says by which name it came about.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from afterbay.config.snapshot import Provider, Snapshot
from afterbay.core.decision import Target
from afterbay.core.secret import Secret
from afterbay.engine.context import Context
from afterbay.engine.fleet import Fleet
from afterbay.http.asgi import Gateway
from afterbay.http.pages import Pages
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Compliance, Route
from afterbay.store.database import open_database
from afterbay.store.keys import SqliteKeys
from afterbay.store.memory import MemoryRequestLog, MemoryResponses
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.answers import JSON, answered, failed, streamed
from afterbay.testing.fakes import Script, ScriptedResponse, Sent
from afterbay.testing.memory_gateway import FixedEntropy, alias, snapshot, target

ADMIN_KEY = "the-key-of-the-operator"
BEGIN_S = 1_770_000_000.0
FAILS = 0.06
"""So many attempts fail, so that others follow."""
OP = re.compile(rb"op-(\d+)-")

FACTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "pa": ("eu", frozenset({"gdpr", "zdr"})),
    "pb": ("us", frozenset({"soc2"})),
    "pc": ("eu", frozenset({"gdpr"})),
}
"""Providers: where they are, what they are known to meet."""
DEPLOYED: Mapping[str, tuple[str, ...]] = {
    "m1": ("pa/one", "pb/one"),
    "m2": ("pb/two",),
    "m3": ("pc/three", "pa/three"),
    "vectors": ("pb/vectors", "pc/vectors"),
}
FALLBACKS: Mapping[str, tuple[str, ...]] = {"m2": ("m3",)}
ROUTES: Mapping[str, tuple[str, ...]] = {"wide": ("m1", "m2"), "safe": ("m3", "m1"), "race": ("m1", "m3")}
"""Routes and their candidates."""
SETS: Mapping[str, frozenset[str]] = {"gdpr": frozenset({"gdpr"}), "all": frozenset({"gdpr", "zdr"})}
ROUTE_SETS: Mapping[str, tuple[str, ...]] = {"safe": ("gdpr",)}
"""What routes themselves demand."""


class Attempt(msgspec.Struct, frozen=True):
    """What a provider was asked. `target`: `provider/model`, or `provider/*` of a raw request. `op`: by which one."""

    target: str
    op: int
    body: bytes


class Answered(msgspec.Struct, frozen=True):
    """What a client got, and what providers were asked meanwhile."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    attempts: tuple[Attempt, ...]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The code of an error, in any protocol."""
        found: dict[str, Any] = self.json["error"] if self.status >= 400 else {"code": ""}
        return str(found.get("code") or found.get("details", {}).get("error_code"))


class SetClock:
    """Implements `ports.Clock`: the day is what it is set to."""

    def __init__(self) -> None:
        self.at = BEGIN_S

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def utc(self) -> float:
        return self.at


class Obliging:
    """Implements `ports.Upstream` and `ports.Passage`: answers everything, now and then with a failure."""

    keys = None

    def __init__(self, name: str, chance: random.Random, seen: list[Attempt]) -> None:
        self._name, self._chance, self._seen = name, chance, seen

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        asked = msgspec.json.decode(body)
        script = _VECTORS if "input" in asked else _STREAM if asked.get("stream") else _WHOLE
        return self._answer(f"{self._name}/{asked['model']}", path, body, headers, connect_s, script)

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        connect_s: float,
    ) -> ScriptedResponse:
        assert not isinstance(body, bytes) or not body
        return self._answer(f"{self._name}/*", path, path.encode(), headers, connect_s, _FILES)

    async def connect(self, *_: object) -> Any:
        raise AssertionError("nobody asks for a socket")

    async def close(self) -> None:
        """There is nothing to close."""

    def _answer(
        self, target_id: str, path: str, body: bytes, headers: Mapping[str, str], connect_s: float, script: Script
    ) -> ScriptedResponse:
        found = OP.findall(body)  # the last one: what is gone on with comes before
        self._seen.append(Attempt(target_id, int(found[-1]) if found else -1, body))
        is_failing = script is not _FILES and self._chance.random() < FAILS
        sent = Sent(0.0, path, body, dict(headers), connect_s)
        return ScriptedResponse(_FAILURE if is_failing else script, sent)


_WHOLE = answered("openai.chat", "Yes.")
_STREAM = streamed("openai.chat", "Yes.")
_FAILURE = failed("openai.chat", 500, "server")
_FILES = Script(steps=(b'{"data":[]}',), headers=JSON)
_VECTORS = Script(
    steps=(
        msgspec.json.encode(
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                "model": "v",
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            }
        ),
    ),
    headers=JSON,
)


class World:
    """The gateway of one episode. Built inside a running event loop, closed at the end."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.clock = SetClock()
        self.keys = SqliteKeys(open_database(f"sqlite:///{folder}/state.db"), now=self.clock.utc)
        self._seen: list[Attempt] = []
        upstreams = {name: Obliging(name, chance, self._seen) for name in FACTS}
        log = MemoryRequestLog()
        fleet = Fleet(plan(), lambda provider, _: upstreams[provider.name], _direct)
        responses, ledger = MemoryResponses(now=self.clock.utc), MemoryLedger(self.clock)
        context = Context(fleet, self.clock, FixedEntropy(), log, responses, 1, ledger)

        async def find(request_id: str) -> Any:
            return log.one(request_id)

        pages = Pages(context, lambda: None, lambda: b"", find)
        self._gateway = Gateway(context, self.keys, pages, Secret(ADMIN_KEY))

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes,
        secret: str,
        peer: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request from an address, over ASGI."""
        self._seen.clear()
        ended, got = asyncio.Event(), bytearray()
        status, told = 0, {}
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if pending:
                return pending.pop()
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status, told
            if message["type"] == "http.response.start":
                status = message["status"]
                told = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
                return
            got.extend(message.get("body", b""))
            if not message.get("more_body"):
                ended.set()

        await self._gateway(_scope(method, path, body, secret, peer, headers or {}), receive, send)
        ended.set()
        return Answered(status, told, bytes(got), tuple(self._seen))

    def close(self) -> None:
        self.keys.close()


def plan() -> Snapshot:
    """The configuration: providers with facts, aliases with fallbacks, routes with demands."""
    aliases = [
        alias(name, *map(_target, targets), fallback=FALLBACKS.get(name, ())) for name, targets in DEPLOYED.items()
    ]
    sets = {name: Compliance(require) for name, require in SETS.items()}
    routes = tuple(
        Route(
            name,
            candidates=candidates,
            fallback=candidates,
            compliance=tuple(sets[one] for one in ROUTE_SETS.get(name, ())),
            hedge=Hedging(after_s=0.0, width=2, max_share=1.0, max_extra_cost=1.0) if name == "race" else None,
        )
        for name, candidates in ROUTES.items()
    )
    found = snapshot(*aliases, routes=routes)
    providers = {
        name: Provider(name, "openai", "http://test", "openai.chat", None, region=region, compliance=facts)
        for name, (region, facts) in FACTS.items()
    }
    return msgspec.structs.replace(found, providers=providers, compliance=sets)


def _target(target_id: str) -> Target:
    region, facts = FACTS[target_id.partition("/")[0]]
    is_vectors = target_id.endswith("vectors")
    dialect = "openai.embeddings" if is_vectors else "openai.chat"
    return target(target_id, dialect, region=region, compliance=facts, embeds=is_vectors)


def _direct(_: Snapshot, provider: str, model: str) -> Target | None:
    return _target(f"{provider}/{model}") if provider in FACTS else None


def _scope(
    method: str, path: str, body: bytes, secret: str, peer: str | None, headers: Mapping[str, str]
) -> dict[str, Any]:
    plain, _, query = path.partition("?")
    sent = {"host": "gateway.example", "authorization": f"Bearer {secret}", "content-length": str(len(body)), **headers}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": (peer, 50_000) if peer is not None else None,
        "server": ("127.0.0.1", 8400),
    }
