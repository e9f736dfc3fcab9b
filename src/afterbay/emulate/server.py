"""A bare ASGI application that is OpenAI, Anthropic and Google at once, for tests and demonstrations.

A base URL as each SDK takes it: `http://host:port/openai/v1`, `.../anthropic`, `.../gemini` (see `routing`). It speaks
by the same dialects as the gateway; what it says is emulated (see `answer`), how it fails is chosen (see `profile`,
`directives`). Beside the providers:

    POST /emulate/profile   {"provider": "openai", "profile": "down"} or a profile's fields; without `provider`: for all
    GET  /emulate/profile   the profiles in use
    GET  /emulate/stats     requests, open and aborted ones, statuses and faults by provider

These take no key: serve it on loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from afterbay.core.errors import GatewayError
from afterbay.emulate.delivery import send_whole
from afterbay.emulate.exchange import Exchange
from afterbay.emulate.line import Gone, Line, Receive, Scope, Send
from afterbay.emulate.profile import ProfileError, ProfileFile, plain, read_profile
from afterbay.emulate.provider import Provider
from afterbay.emulate.routing import Call, find, is_provider
from afterbay.ports import Clock

PROVIDERS = 64
"""No more emulated providers at once."""
EXCHANGE_S = 4 * 3600.0
"""The end of every exchange, whatever a profile says."""
GONE_S = 5.0
"""So long the server may take to notice that a connection it broke is gone."""


class Emulator:
    """The application. Owns the providers' state; one event loop at a time."""

    def __init__(self, profiles: ProfileFile, clock: Clock) -> None:
        self._profiles = profiles
        self._clock = clock
        self._providers: dict[str, Provider] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the emulator speaks HTTP, not {scope['type']}")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        line = Line(scope, receive, send)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        try:
            if path.startswith("/emulate/"):
                await self._control(scope["method"], path, line)
                return
            call = find(path, headers)
            if call is None or call.method != scope["method"] or not self._has_room(call.provider):
                await _say(line, 404, {"error": {"message": f"The emulator has no {scope['method']} {path}."}})
                return
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            await self._serve(call, line, headers, query)
        except Gone:
            pass
        if line.broken:  # uvicorn must see the connection gone before this returns, else it answers 500
            async with asyncio.timeout(GONE_S):
                await line.wait_gone()

    def provider(self, name: str) -> Provider:
        """The provider of this name; begins it."""
        found = self._providers.get(name)
        if found is None:
            profile = self._profiles.providers.get(name, self._profiles.default)
            found = self._providers[name] = Provider(name, profile)
        return found

    def _has_room(self, name: str) -> bool:
        return name in self._providers or len(self._providers) < PROVIDERS

    async def _serve(self, call: Call, line: Line, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Reads the body, then works on the answer while it watches for the client to leave."""
        provider = self.provider(call.provider)
        exchange = Exchange(provider, call, line, headers, query)
        provider.open += 1
        try:
            try:
                body = await line.read_body()
            except GatewayError as error:
                await _say(line, error.status, {"error": {"message": error.text()}})
                return
            await self._work(exchange, line, body, provider)
        finally:
            provider.open -= 1

    async def _work(self, exchange: Exchange, line: Line, body: bytes, provider: Provider) -> None:
        work = asyncio.create_task(exchange.run(body, self._clock))
        watch = asyncio.create_task(line.wait_gone())
        try:
            await asyncio.wait({work, watch}, timeout=EXCHANGE_S, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not line.ended and not line.broken:
                provider.aborted(is_stream=exchange.is_stream)
        finally:
            work.cancel()
            watch.cancel()
            problem, _ = await asyncio.gather(work, watch, return_exceptions=True)
        if isinstance(problem, Exception):
            raise problem

    async def _control(self, method: str, path: str, line: Line) -> None:
        body = await line.read_body()
        match method, path:
            case "GET", "/emulate/stats":
                await _say(line, 200, {name: one.stats() for name, one in sorted(self._providers.items())})
            case "GET", "/emulate/profile":
                used = {name: plain(one.profile) for name, one in sorted(self._providers.items())}
                await _say(line, 200, {"default": plain(self._profiles.default), "providers": used})
            case "POST", "/emulate/profile":
                try:
                    await _say(line, 200, {"changed": self.change(msgspec.json.decode(body))})
                except (ProfileError, msgspec.DecodeError) as error:
                    await _say(line, 400, {"error": {"message": str(error)}})
            case _:
                await _say(line, 404, {"error": {"message": f"The emulator has no {method} {path}."}})

    def change(self, order: object) -> list[str]:
        """Gives a provider, or all of them, another profile; the names of those changed.

        Requests that are under way keep theirs. The numbers of requests begin anew.

        Raises:
            ProfileError: the order or the profile in it is wrong.
        """
        if not isinstance(order, dict) or "profile" not in order or order.keys() - {"provider", "profile"}:
            raise ProfileError('send {"provider": "openai", "profile": "down"}; without provider it is for all')
        profile, name = read_profile(order["profile"]), order.get("provider")
        if name is None:
            self._profiles = ProfileFile(profile)
            for one in self._providers.values():
                one.use(profile)
            return sorted(self._providers)
        if not isinstance(name, str) or not is_provider(name) or not self._has_room(name):
            raise ProfileError(
                f"{name!r} is no provider: openai, anthropic, gemini or any, with or without a suffix (-b)"
            )
        self.provider(name).use(profile)
        return [name]


async def _say(line: Line, status: int, value: Mapping[str, Any]) -> None:
    await send_whole(line, status, {"content-type": "application/json"}, msgspec.json.encode(value))
