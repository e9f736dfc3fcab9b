"""A provider on loopback with endpoints that no dialect knows, for raw requests: HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

PROVIDER_KEY = "sk-up-canary-0123456789"


class Seen(msgspec.Struct):
    """One request as the provider got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    body_bytes: int = 0
    gone: bool = False
    closed: tuple[int | None, str] | None = None
    messages: list[str | bytes] = []
    subprotocols: str = ""


class RawProvider:
    """An aiohttp server in a thread of its own. `seen` remembers what came; `handlers` answer by path."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.handlers: dict[str, Callable[[web.Request, Seen], Awaitable[web.StreamResponse]]] = {}
        self.changed = threading.Condition()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raw provider", daemon=True)

    def __enter__(self) -> RawProvider:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def wait(self, holds: Callable[[], bool], within_s: float = 10.0) -> None:
        """Until something is so."""
        with self.changed:
            assert self.changed.wait_for(holds, within_s), self.seen[-1:]

    def tell(self) -> None:
        """Something changed."""
        with self.changed:
            self.changed.notify_all()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.raw_path, {name.lower(): value for name, value in request.headers.items()})
        self.seen.append(seen)
        self.tell()
        handler = self.handlers.get(request.path, echo)
        try:
            return await handler(request, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.gone = True
            self.tell()
            raise
        finally:
            self.tell()


async def echo(request: web.Request, seen: Seen) -> web.StreamResponse:
    """Answers with what came."""
    seen.body = await request.read()
    seen.body_bytes = len(seen.body)
    return web.json_response({"path": request.raw_path, "bytes": len(seen.body)})


def configuration(provider: RawProvider, **more: Any) -> dict[str, Any]:
    """A gateway's configuration with this provider as OpenAI, Anthropic and Google."""
    url = provider.url
    providers = {
        "openai": {"kind": "openai", "base_url": f"{url}/v1", "api_key": PROVIDER_KEY},
        "anthropic": {"kind": "anthropic", "base_url": url, "api_key": PROVIDER_KEY},
        "google": {"kind": "gemini", "base_url": url, "api_key": PROVIDER_KEY},
    }
    return {"providers": providers, **more}


async def messages(socket: web.WebSocketResponse, seen: Seen) -> Any:
    """The messages of a WebSocket, noted as they come."""
    async for message in socket:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            seen.messages.append(message.data)
            yield message.data
    seen.closed = (socket.close_code, "")


def repeated(provider: RawProvider) -> Iterator[RawProvider]:
    """A provider for the tests of a module."""
    with provider:
        yield provider
