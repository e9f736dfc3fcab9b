"""CPU time that the engine adds to a healthy request, without sockets and HTTP: what resilience costs when all is well.

A request is read, routed, tried, metered, delivered and recorded by the engine of `serve`; its provider and its client
are the doubles of `afterbay.testing`, whose own share is measured beside it (the same bytes from the same double to the
same double, no engine) and taken off. Two deployments of one alias, health on. The least of several rounds counts,
since the machine is shared.

    python benchmarks/engine.py [--json]
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import uvloop

from afterbay.app.world import LoopClock
from afterbay.engine.pipeline import serve_chat
from afterbay.policy.allowance import Rule
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Route
from afterbay.ports import Key
from afterbay.store.memory import MemoryRequestLog
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.answers import answered, ask, streamed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target

REQUESTS = 2000
ROUNDS = 7
DIALECTS = ("openai.chat", "anthropic.messages")
ROUTES = {
    "plain": Route("defaults", resume="off"),
    "resume: safe": Route("defaults", resume="safe"),
    "resume: safe, hedge: p95": Route("defaults", resume="safe", hedge=Hedging(percentile=0.95)),
    "resume: safe, budgets": Route("defaults", resume="safe"),
}
BUDGETS = (
    Rule("a", "key", "picousd", "month", 1 << 60),
    Rule("b", "team", "picousd", "day", 1 << 60),
    Rule("c", "key", "requests", "minute", 1 << 40),
    Rule("d", "key", "tokens", "minute", 1 << 40),
)
KEY = Key("k", "k", accounts=("team:t", "key:k"))


class Endless(ScriptedUpstream):
    """Gives the same answer for ever and remembers nothing."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    async def post(self, *request: Any) -> Any:
        """The answer."""
        self.sent, self._scripts = [], [self._script]
        return await super().post(*request)


class Forgetful(MemoryRequestLog):
    """A log that keeps nothing."""

    def put(self, record: Any) -> None:
        """Lets it go."""


def gateway(spoken: str, script: Script, name: str) -> MemoryGateway:
    """Two deployments that give this answer, asked by the route of this name."""
    plan = snapshot(alias("m", target("a/up", spoken), target("b/up", spoken)), defaults=ROUTES[name])
    plan = msgspec.structs.replace(plan, budgets=BUDGETS if "budgets" in name else ())
    one = MemoryGateway(plan, a=Endless(script), b=Endless(script))
    one.watch = lambda upstream, _: upstream  # type: ignore[assignment]  # no grammar is checked here
    one.context.log = Forgetful()
    return one


class Clocked(MemoryReply):
    """A client that notes when its answer began."""

    began_ns = 0

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """The status line is the first thing that a client sees."""
        self.began_ns = time.process_time_ns()
        await super().start(status, headers)


class Cost(NamedTuple):
    """CPU microseconds of one request: until its answer begins, and altogether."""

    first: float
    whole: float


async def _timed(request: Callable[[Clocked], Awaitable[None]]) -> Cost:
    first = whole = 0
    for _ in range(REQUESTS):
        reply, began = Clocked(), time.process_time_ns()
        await request(reply)
        first += reply.began_ns - began
        whole += time.process_time_ns() - began
    return Cost(first / 1000 / REQUESTS, whole / 1000 / REQUESTS)


async def _alone(script: Script) -> Cost:
    """What the doubles take by themselves."""
    provider = Endless(script)

    async def passes(reply: Clocked) -> None:
        response = await provider.post("/", b"", {}, 1.0)
        data = await response.read()
        await reply.start(200, script.headers)
        while data:
            await reply.write(data)
            data = await response.read()
        await reply.end()

    return await _timed(passes)


async def _served(one: MemoryGateway, client: str, stream: bool) -> Cost:
    one.context.clock = LoopClock(asyncio.get_running_loop())  # as `serve` has it
    one.context.ledger = MemoryLedger(one.context.clock)
    body = ask("m", stream=stream) if client == "openai.chat" else ask("m", stream=stream, max_tokens=64)

    async def asks(reply: Clocked) -> None:
        await serve_chat(one.context, one.call(body, client, key=KEY), reply)

    return await _timed(asks)


def _least(rounds: Iterable[Cost]) -> Cost:
    """The least of either figure."""
    costs = list(rounds)
    return Cost(min(one.first for one in costs), min(one.whole for one in costs))


def measure() -> list[dict[str, Any]]:
    """A row for each pair of protocols, form of answer and route."""
    rows: list[dict[str, Any]] = []
    texts = [f" w{number:02d}" for number in range(20)]
    for client, spoken in ((c, s) for c in DIALECTS for s in DIALECTS):
        for stream in (False, True):
            script = streamed(spoken, *texts) if stream else answered(spoken, "".join(texts))
            if stream:  # as from a socket: the whole short answer in two reads
                script = msgspec.structs.replace(script, steps=(script.steps[0], b"".join(script.steps[1:])))  # type: ignore[arg-type]
            alone = _least(uvloop.run(_alone(script)) for _ in range(ROUNDS))
            for name in ROUTES:
                cost = _least(uvloop.run(_served(gateway(spoken, script, name), client, stream)) for _ in range(ROUNDS))
                rows.append(
                    {
                        "client": client,
                        "provider": spoken,
                        "stream": stream,
                        "route": name,
                        "first_us": round(cost.first - alone.first, 1),
                        "whole_us": round(cost.whole - alone.whole, 1),
                    }
                )
    return rows


def main() -> None:
    """Prints the table, or one JSON object."""
    rows = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps({"python": platform.python_version(), "n": REQUESTS, "rounds": ROUNDS, "rows": rows}))
        return
    print(
        f"CPU µs of the engine per request, least of {ROUNDS} rounds of {REQUESTS}, Python {platform.python_version()}"
    )
    for row in rows:
        kind = "stream of 20 chunks" if row["stream"] else "whole answer"
        told = f"{row['first_us']:6.1f} until it begins, {row['whole_us']:6.1f} in all"
        print(f"{row['client']:>18} <- {row['provider']:<18} {kind:<20} {row['route']:<26} {told}")


if __name__ == "__main__":
    main()
