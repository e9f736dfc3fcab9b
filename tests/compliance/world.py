"""Clients of every kind, several at once, over a gateway whose configuration changes under them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import msgspec
from tests.compliance.configurations import ALIASES, EMBEDDER, REGIONS, ROUTES, SETS, configuration
from tests.compliance.oracle import Asked, Config
from tests.compliance.providers import Provider, Watch

from afterbay.app.snapshots import direct_target
from afterbay.config.load import parse
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Record
from afterbay.core.ids import request_id
from afterbay.engine.context import Call, Context
from afterbay.engine.count import serve_count
from afterbay.engine.embed import serve_embeddings
from afterbay.engine.fleet import Fleet
from afterbay.engine.kept import serve_kept
from afterbay.engine.only_relayed import serve_compaction, serve_moderations
from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.engine.pipeline import serve_chat
from afterbay.engine.reconnect import serve_reconnect
from afterbay.engine.responses import serve_responses
from afterbay.engine.tunnel import serve_tunnel
from afterbay.policy.rights import Rights, meet_all
from afterbay.ports import ClientGone, Closed, KeptResponse, Key
from afterbay.store.memory import MemoryResponses
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.memory_gateway import FixedEntropy, VirtualClock
from afterbay.testing.passages import ScriptedBody, ScriptedSocket
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

AT_ONCE = 6
LONGEST_PAUSE_S = 9000.0
"""Between two batches of clients: a world lasts some days, so that facts end in it."""
KEYS = 3
LINKS = 4
"""Organisation, team, user and key: each may name sets, and all of them hold."""
PARAMETERS = {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}
TOOL = {"name": "find", "description": "", "parameters": PARAMETERS}

Serve = Callable[[Context, Call, Any], Awaitable[None]]
OPERATIONS: tuple[tuple[str, str, Serve, int], ...] = (
    ("chat", "openai.chat", serve_chat, 8),
    ("messages", "anthropic.messages", serve_chat, 4),
    ("responses", "openai.responses", serve_responses, 6),
    ("embeddings", "openai.chat", serve_embeddings, 2),
    ("count", "anthropic.messages", serve_count, 1),
    ("moderations", "openai.chat", serve_moderations, 1),
    ("compaction", "openai.responses", serve_compaction, 1),
    ("kept", "openai.responses", serve_kept, 3),
    ("reconnect", "openai.chat", serve_reconnect, 1),
    ("raw", "openai.chat", serve_chat, 2),
    ("tunnel", "openai.chat", serve_chat, 1),
)
_DRAWN = [one for one in OPERATIONS for _ in range(one[3])]


class Told(msgspec.Struct):
    """What a world showed: what was asked, what reached providers and why, how it ended, and what was wrong."""

    operations: Counter[str] = msgspec.field(default_factory=Counter)
    sent: Counter[str] = msgspec.field(default_factory=Counter)
    whys: Counter[str] = msgspec.field(default_factory=Counter)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    wrong: list[str] = []

    def add(self, other: Told) -> None:
        """Takes in what another world showed."""
        for mine, theirs in (
            (self.operations, other.operations),
            (self.sent, other.sent),
            (self.whys, other.whys),
            (self.outcomes, other.outcomes),
        ):
            mine.update(theirs)
        self.wrong += other.wrong


class _Log:
    """Implements `ports.RequestLog`: looks at each record, and counts."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self.streams: list[tuple[str, str | None]] = []

    def begin(self, record: Record) -> None:
        """Nothing: only what has ended counts here."""

    def settle(self, record: Record) -> None:
        """Nothing, as above."""

    def put(self, record: Record) -> None:
        told = self._told
        told.outcomes[record.outcome] += 1
        told.whys.update(attempt.why for attempt in record.attempts)
        self.streams = [*self.streams[-20:], (record.id, record.key_id)]
        if record.compliance:
            told.outcomes["with a proof"] += 1
            proven = {line.partition(":")[0] for line in record.compliance[1:]}
            for attempt in record.attempts:
                held_up = attempt.outcome == "connection" and attempt.code == "policy_no_candidate"
                name = attempt.target.removesuffix("/passthrough")
                if held_up:
                    told.whys["held up at the door"] += 1
                elif name not in proven and attempt.target not in proven and attempt.started_s is not None:
                    waited = attempt.outcome == "error" and attempt.code == "queue_full"
                    if not waited and attempt.outcome not in ("cancelled", None):
                        told.wrong.append(f"{record.id}: no proof for {attempt.target} ({attempt.outcome})")


def snapshot_of(config: Config) -> Snapshot:
    """The configuration, resolved as the gateway does it."""
    return resolve(parse(json.dumps(config), "random.yaml", {}), {}, lambda queries: {})


class World:
    """One gateway and its clients, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.told = Told()
        self.watch = Watch(self.random)
        self._clock = VirtualClock()
        self._entropy = FixedEntropy()
        self._log = _Log(self.told)
        self._kept: list[tuple[str, str, Key | None]] = []
        self._sets: dict[str, tuple[str, ...]] = {}
        self._keys = [None, *(self._key(at) for at in range(KEYS))]
        self._configure()
        responses = MemoryResponses(now=self._clock.utc)
        ledger = MemoryLedger(self._clock)
        self._context = Context(self._fleet, self._clock, self._entropy, self._log, responses, seed, ledger)

    def _key(self, at: int) -> Key:
        """A key, with what it may do as the store makes it: by its organisation, team, user and its own rights."""
        chain = [
            [name for name in (*SETS, "gone") if self.random.random() < (0.12 if name != "gone" else 0.015)]
            for _ in range(LINKS)
        ]
        self._sets[f"k{at}"] = tuple(dict.fromkeys(name for names in chain for name in names))
        return Key(f"k{at}", f"key {at}", meet_all(Rights(compliance=frozenset(names)) for names in chain))

    def _sets_of(self, key: Key | None) -> tuple[str, ...]:
        return self._sets[key.id] if key is not None else ()

    def _configure(self) -> None:
        self.config = configuration(self.random)
        plan = snapshot_of(self.config)
        self._fleet = Fleet(plan, lambda one, _: Provider(one.name, self.watch, self._clock.monotonic), direct_target)

    def run(self, requests: int) -> Told:
        """Lets so many requests come."""
        run(self._run(requests))
        self.told.sent.update(self.watch.seen)
        self.told.wrong += self.watch.wrong
        return self.told

    async def _run(self, requests: int) -> None:
        left = requests
        while left > 0:
            count = min(left, self.random.randint(1, AT_ONCE))
            await asyncio.gather(*(self._client() for _ in range(count)))
            left -= count
            await asyncio.sleep(self.random.random() ** 3 * LONGEST_PAUSE_S)
            if self.random.random() < 0.02:
                self._configure()
                self._context.fleet = self._fleet
        await asyncio.sleep(1000.0)  # streams that somebody could have come back to end

    async def _client(self) -> None:
        """One client. Some begin a little later, some leave early."""
        await asyncio.sleep(self.random.random() * 5.0)
        if self.random.random() < 0.08:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.random.random() * 10.0):
                    await self._request()
            return
        await self._request()

    async def _request(self) -> None:
        kind, dialect, serve, _ = self.random.choice(_DRAWN)
        key, headers = self.random.choice(self._keys), self._headers()
        name, body = self._body(kind, key)
        call_id = request_id(int(self._clock.utc() * 1000), self._entropy.bits(80))
        residency, sets = headers.get("x-afterbay-residency"), self._sets_of(key)
        asked = Asked(self.config, name, sets, residency)
        path, method, provider = "/v1/x", "POST", ""
        if kind in ("raw", "tunnel"):
            provider = self.random.choice(list(self.config["providers"]))
            asked = msgspec.structs.replace(asked, whole=True)
        elif kind == "kept":
            response_id, name, key = self.random.choice(self._kept[-12:]) if self._kept else ("none", "m0", key)
            asked = Asked(self.config, name, self._sets_of(key), residency, kept=True)
            path, method = f"/v1/responses/{response_id}", self.random.choice(("GET", "GET", "DELETE"))
        elif kind == "reconnect" and self._log.streams:
            path, method = f"/v1/requests/{self.random.choice(self._log.streams)[0]}/stream", "GET"
        call = Call(
            call_id,
            DIALECTS[dialect],
            body,
            headers,
            self._clock.monotonic(),
            self._clock.utc(),
            key,
            path=path,
            method=method,
        )
        self.watch.asked[call_id] = asked
        self.told.operations[kind] += 1
        reply = MemoryReply()
        with contextlib.suppress(ClientGone):
            if kind == "raw":
                method = self.random.choice(("GET", "POST"))
                raw = Raw(method, provider, "/v1/files")
                await serve_passthrough(self._context, call, raw, ScriptedBody(b"x"), reply)
            elif kind == "tunnel":
                socket = ScriptedSocket(Closed(1000))
                await serve_tunnel(self._context, call, Raw("GET", provider, "/v1/realtime"), (), socket)
            else:
                await serve(self._context, call, reply)
        if kind == "responses":
            await self._remember(reply, name, key)

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.random.random() < 0.25:
            found["x-afterbay-residency"] = self.random.choice((*REGIONS, *REGIONS, "mars", ""))
        if self.random.random() < 0.1:
            found["x-afterbay-task"] = "chat"
        return found

    def _body(self, kind: str, key: Key | None) -> tuple[str, bytes]:
        random, config = self.random, self.config
        provider = random.choice(list(config["providers"]))
        names = [*ALIASES, *ROUTES, f"{provider}/other", self._deployed()]
        name = EMBEDDER if kind == "embeddings" else random.choice(names)
        body: dict[str, Any] = {"model": name}
        stream = random.random() < 0.5
        match kind:
            case "chat" | "messages" | "count":
                body |= {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
                if kind != "count":
                    body["stream"] = stream
                if kind == "chat" and random.random() < 0.2:
                    body["tools"] = [{"type": "function", "function": TOOL}]
            case "responses" | "compaction":
                body["input"] = "hello"
                if kind == "responses":
                    body["stream"] = stream
                own = [made for made, _, whose in self._kept[-30:] if whose is key or random.random() < 0.05]
                if own and random.random() < 0.5:
                    body["previous_response_id"] = random.choice(own)
            case _:
                body["input"] = "hello"
        return name, json.dumps(body).encode()

    def _deployed(self) -> str:
        """A deployment's own name, which is looked up, or asked for at its provider."""
        one = self.random.choice(self.config["models"][self.random.choice(ALIASES)]["deployments"])
        return one["name"] if self.random.random() < 0.3 else f"{one['provider']}/{one['name']}"

    async def _remember(self, reply: MemoryReply, name: str, key: Key | None) -> None:
        """The id of an answer, to be continued or asked for; and now and then one that a provider keeps."""
        for line in reply.body.split(b"\n"):
            data: Any = None
            with contextlib.suppress(ValueError):
                data = json.loads(line.removeprefix(b"data: "))
            found: Mapping[str, Any] = data.get("response", data) if isinstance(data, dict) else {}
            if str(found.get("id", "")).startswith("resp_") and found.get("object") == "response":
                self._kept.append((found["id"], name, key))
                break
        if self.random.random() < 0.2:
            made = f"resp_theirs_{len(self._kept)}"
            provider, key_id = self.random.choice(list(self.config["providers"])), key.id if key is not None else None
            await self._context.responses.put(KeptResponse(made, key_id, self._clock.utc(), provider, name))
            self._kept.append((made, name, key))
