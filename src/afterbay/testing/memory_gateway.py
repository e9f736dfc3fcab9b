"""The engine with nothing real around it: scripted providers, a memory log, fixed draws. No server, no configuration.

gateway = MemoryGateway(
    snapshot(alias("m", target("a/m"), target("b/m"))),
    a=ScriptedUpstream(failed("openai.chat", 500, "server")),
    b=ScriptedUpstream(answered("openai.chat", "hi")),
)
reply = run(gateway.chat(ask("m")))
assert reply.status == 200 and gateway.record.attempts[0].outcome == "error"
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.config.schema import LimitsConfig, StateConfig, TelemetryConfig
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.weights import task_classifier
from afterbay.core.decision import Record, Target
from afterbay.core.ids import request_id
from afterbay.core.usage import Price
from afterbay.engine.context import Call, Context
from afterbay.engine.count import serve_count
from afterbay.engine.embed import serve_embeddings
from afterbay.engine.fleet import Fleet
from afterbay.engine.idempotency import IDEMPOTENCY_KEY, serve_once
from afterbay.engine.kept import serve_kept
from afterbay.engine.only_relayed import serve_compaction, serve_moderations
from afterbay.engine.pipeline import serve_chat
from afterbay.engine.reconnect import serve_reconnect
from afterbay.engine.responses import serve_responses
from afterbay.http.paths import Endpoint, dialect_of, find
from afterbay.policy.plan import Alias, Limits, Route
from afterbay.ports import Key
from afterbay.store.memory import MemoryOriginals, MemoryRequestLog, MemoryResponses
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.fakes import MemoryReply, ScriptedUpstream
from afterbay.testing.stream_watch import StreamWatch, WatchedReply
from afterbay.wire.proofs import NATIVE

PRICE = Price(input=1_000_000, output=2_000_000, cached_input=100_000, cache_write=1_250_000)
"""One dollar a million tokens read, two a million written."""

NOON_S = 1_770_000_000.0

_SERVE: Mapping[str, Any] = {
    "chat": serve_chat,
    "responses": serve_responses,
    "embeddings": serve_embeddings,
    "count_tokens": serve_count,
    "moderations": serve_moderations,
    "compaction": serve_compaction,
    "response": serve_kept,
    "reconnect": serve_reconnect,
}
_SERVE_ONCE: Any = serve_once


def target(id: str, dialect: str = "openai.chat", **fields: Any) -> Target:  # noqa: A002  # the field's own name
    """A deployment called `provider/name`, at `PRICE`."""
    provider, _, name = id.partition("/")
    plain: dict[str, Any] = {
        "id": id,
        "alias": "",
        "provider": provider,
        "name": name,
        "dialect": dialect,
        "price": PRICE,
        "maker": NATIVE.get(dialect, provider),
    }
    return Target(**plain | fields)


def alias(name: str, *targets: Target, fallback: tuple[str, ...] = (), tags: frozenset[str] = frozenset()) -> Alias:
    """A name for these deployments."""
    owned = tuple(msgspec.structs.replace(one, alias=name) for one in targets)
    return Alias(name, owned, fallback, tags)


def snapshot(
    *aliases: Alias,
    routes: tuple[Route, ...] = (),
    defaults: Route | None = None,
    limits: Limits | None = None,
    unknown_model: str = "error",
    bounds: LimitsConfig | None = None,
) -> Snapshot:
    """A configuration of these aliases. `limits`: the times of the default route."""
    names = {one.provider: one.dialect for each in aliases for one in each.targets}
    providers = {name: Provider(name, "openai", "http://test", dialect, None) for name, dialect in names.items()}
    base = defaults if defaults is not None else Route("defaults")
    return Snapshot(
        hash="test",
        providers=providers,
        aliases={one.name: one for one in aliases},
        routes={one.name: one for one in routes},
        defaults=msgspec.structs.replace(base, limits=limits) if limits is not None else base,
        by_upstream_name={},
        unknown_model=unknown_model,
        limits=bounds if bounds is not None else LimitsConfig(),
        state=StateConfig(),
        telemetry=TelemetryConfig(),
    )


class FixedEntropy:
    """Implements `ports.Entropy`: counts up, so that ids differ and every run has the same ones."""

    def __init__(self) -> None:
        self._last = 0

    def bits(self, count: int) -> int:
        """The next number."""
        self._last += 1
        return self._last % (1 << count)


class VirtualClock:
    """Implements `ports.Clock` by the running loop; it is always counted from the same noon."""

    def monotonic(self) -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    def utc(self) -> float:
        """Noon, and what has passed since."""
        return NOON_S + self.monotonic()


class MemoryGateway:
    """The engine over scripted providers, named by keyword as the targets name them.

    Every stream is checked by the grammar of its client's protocol: `chat` fails with what is wrong.
    """

    def __init__(self, plan: Snapshot, *, seed: int = 1, **upstreams: ScriptedUpstream) -> None:
        self.watch = StreamWatch()
        self.upstreams = upstreams
        self.log = MemoryRequestLog()
        self.entropy = FixedEntropy()
        fleet = Fleet(plan, lambda provider, _: self.watch(upstreams[provider.name], provider.name), self._direct)
        clock = VirtualClock()
        self.responses = MemoryResponses(now=clock.utc)
        self.ledger = MemoryLedger(clock)
        self.context = Context(fleet, clock, self.entropy, self.log, self.responses, seed, self.ledger)
        self.context.scorer = task_classifier
        self.context.originals = MemoryOriginals(now=clock.utc)

    @property
    def records(self) -> list[Record]:
        """What was logged, in order."""
        return [row.record for row in self.log.after(0, limit=1_000_000)]

    @property
    def record(self) -> Record:
        """The one record there is."""
        (record,) = self.records
        return record

    def call(
        self,
        body: bytes,
        dialect: str = "openai.chat",
        headers: Mapping[str, str] | None = None,
        key: Key | None = None,
        query: str = "",
        path: str = "",
        method: str = "POST",
    ) -> Call:
        """A request that arrives now; `path` where it says model and method, as Gemini's does."""
        clock = self.context.clock
        call_id = request_id(int(clock.utc() * 1000), self.entropy.bits(80))
        endpoint = (find(path) if path else None) or Endpoint("chat", "POST", dialect)
        spoken = dialect_of(endpoint, query)
        now, at = clock.monotonic(), clock.utc()
        model, stream = endpoint.model, endpoint.stream
        return Call(call_id, spoken, body, headers or {}, now, at, key, model, stream, query, path, method)

    async def chat(
        self,
        body: bytes,
        dialect: str = "openai.chat",
        headers: Mapping[str, str] | None = None,
        *,
        reply: MemoryReply | None = None,
        key: Key | None = None,
        query: str = "",
        path: str = "",
        method: str = "POST",
        operation: str = "chat",
    ) -> MemoryReply:
        """Serves one request and gives back what the client got.

        Raises:
            AssertionError: it is a stream, and breaks the grammar of its protocol.
        """
        reply = reply if reply is not None else MemoryReply()
        call = self.call(body, dialect, headers, key, query, path, method)
        if operation not in ("chat", "responses"):
            await _SERVE[operation](self.context, call, reply)
            return reply
        exchange = self.watch.begin(call.dialect.name, is_array="json" in call.dialect.stream_type)
        watched = WatchedReply(reply, exchange)
        try:
            if IDEMPOTENCY_KEY in call.headers:
                await _SERVE_ONCE(self.context, call, watched, _SERVE[operation])
            else:
                await _SERVE[operation](self.context, call, watched)
        except BaseException:
            self.watch.end(exchange, ended=watched.has_ended)
            raise
        wrong = self.watch.end(exchange, ended=watched.has_ended)
        assert not wrong, f"the {dialect} stream breaks its grammar:\n" + "\n".join(wrong)  # noqa: S101
        return reply

    def _direct(self, plan: Snapshot, provider: str, model: str) -> Target | None:
        known = plan.providers.get(provider)
        return target(f"{provider}/{model}", known.chat_dialect or "") if known is not None else None
