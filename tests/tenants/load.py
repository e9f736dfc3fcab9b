"""Clients: each tenant's bursts of parallel requests, whole and streamed, in two protocols; some leave early."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from kills.judge import Kind, Seen
from kills.run import read_answer
from tenants.world import Tenant, cost_of

KINDS = tuple(
    Kind(path, model, streams)
    for path, model in (("/v1/chat/completions", "gpt"), ("/v1/messages", "claude"))
    for streams in (False, True)
)
LEAVES = 0.08
"""The share of clients that leave before they have all."""
LEAVE_S = 1.0
"""Within so long."""
SHORT, USUAL = 256, 4096
"""Tokens of answers: what the gateway takes for short and for usual."""
_MOST = (*(40, 120, 120, 250, 250, 250) * 3, 1000, None)
"""The longest answers that clients want, in tokens; None: they don't say."""
READS = 3.25
"""So often the gateway sets the prompt aside: once and a quarter, and twice for what may be given up."""
_FILL = "Tell me how water comes down from the mountains and what becomes of it on its way to the sea. "
_CODE = re.compile(rb'"(?:code|error_code)":\s*"(\w+)"')


class Asked(msgspec.Struct):
    """A request of a tenant. `least`, `worst`: picodollars without which it is refused, and that it may cost.

    `code`: the error that it got, `connection` if the gateway was not there. `left`: its client left it.
    """

    seen: Seen
    tenant: Tenant
    asked_s: float
    least: int
    worst: int
    ended_s: float = 0.0
    code: str = ""
    left: bool = False


class Load:
    """Bursts, until it is told to stop."""

    def __init__(self, url: str, tenants: Sequence[Tenant], burst: int, draw: random.Random) -> None:
        self._url, self._burst, self._draw = url, burst, draw
        self._tenants = tenants
        self._rounds: list[Tenant] = []
        self.asked: list[Asked] = []
        self.is_stopping = False

    async def run(self, http: aiohttp.ClientSession, at_once: int) -> None:
        """So many tenants at once, each in its turn."""
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._bursts(http))

    async def _bursts(self, http: aiohttp.ClientSession) -> None:
        while not self.is_stopping:
            if not self._rounds:
                self._rounds = list(self._tenants)
                self._draw.shuffle(self._rounds)
            tenant = self._rounds.pop()
            burst = [self._request(http, tenant) for _ in range(self._burst)]
            codes = await asyncio.gather(*burst)
            if all(codes):
                await asyncio.sleep(0.2)  # nothing but refusals: somebody else's turn

    async def _request(self, http: aiohttp.ClientSession, tenant: Tenant) -> str:
        draw, number = self._draw, len(self.asked)
        kind, length = draw.choice(KINDS), draw.choice((60, 300, 300, 2000))
        most = draw.choice(_MOST)
        orders = f"request {number} wait {draw.randrange(10, 200)} tokens {draw.randrange(2, 200)}"
        text = f"{orders} gap {draw.randrange(15, 80)}. {(_FILL * 25)[:length]}"
        if most is None and kind.path == "/v1/messages":
            most = 1000  # its protocol asks for one
        read, wanted = len(text) // 3, most or USUAL
        least, worst = cost_of(read, min(wanted, SHORT)), cost_of(int(read * READS), wanted)
        asked = Asked(Seen(number, kind), tenant, time.monotonic(), least, worst)
        self.asked.append(asked)
        leaves_s = draw.uniform(0.0, LEAVE_S) if draw.random() < LEAVES else None
        try:
            async with asyncio.timeout(leaves_s):
                await self._ask(http, asked, text, most)
        except TimeoutError:
            asked.left = True
        except (aiohttp.ClientError, ConnectionError):
            asked.code = "connection"
            await asyncio.sleep(0.5)
        asked.ended_s = time.monotonic()
        return asked.code

    async def _ask(self, http: aiohttp.ClientSession, asked: Asked, text: str, most: int | None) -> None:
        kind, secret = asked.seen.kind, asked.tenant.secret
        body: dict[str, Any] = {"model": kind.model, "messages": [{"role": "user", "content": text}]}
        if most is not None:
            body["max_tokens"] = most
        if kind.streams:
            body["stream"] = True
        if kind.streams and kind.model == "gpt":
            body["stream_options"] = {"include_usage": True}
        headers = {
            "authorization": f"Bearer {secret}",
            "content-type": "application/json",
            "x-afterbay-tags": f"n={asked.seen.number}",
        }
        async with http.post(self._url + kind.path, data=msgspec.json.encode(body), headers=headers) as answer:
            if answer.status >= 400:
                asked.code = str(answer.status)
            got = await read_answer(answer, asked.seen)
        if asked.code and (found := _CODE.search(got)):
            asked.code = found[1].decode()
