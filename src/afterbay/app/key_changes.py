"""Changes of keys over the admin API, where several workers share an address: answered once all of them know it.

Else a client that makes a key, or ends one, would find at its next connection that nothing has happened yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from afterbay.app.peers import Application
from afterbay.http.paths import ADMIN_PREFIX
from afterbay.http.reply import Receive, Send


class KeyChanges:
    """The application of a worker. `spread` returns when all others have read the keys again, or it took too long."""

    def __init__(self, application: Application, spread: Callable[[], Awaitable[None]]) -> None:
        self._application, self._spread = application, spread

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        changes = scope["type"] == "http" and scope["path"].startswith(ADMIN_PREFIX) and scope["method"] != "GET"
        await self._application(scope, receive, self._after(send) if changes else send)

    def _after(self, send: Send) -> Send:
        """As `send`, but the beginning of an answer that says that something was done waits until all know it."""

        async def wait(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 300:
                await self._spread()
            await send(message)

        return wait
