"""What needs no provider: models, health, metrics, the record of one's own request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from afterbay import __version__
from afterbay.core.decision import Record
from afterbay.core.errors import ClientMistake
from afterbay.core.words import closest
from afterbay.engine.context import Context
from afterbay.engine.drain import SHUTTING_DOWN
from afterbay.http.model_list import Tell, nothing_known, shape_of, visible_models
from afterbay.http.paths import Endpoint
from afterbay.ports import Key, Reply
from afterbay.telemetry.metrics import CONTENT_TYPE

_encode = msgspec.json.Encoder().encode


class Pages:
    """Answers small questions.

    `ready` says why the gateway is not ready, or None if it is; `metrics` gives the Prometheus text; `find_record`
    looks a request up in the log; `about` says what is known of a name.
    """

    def __init__(
        self,
        context: Context,
        ready: Callable[[], str | None],
        metrics: Callable[[], Awaitable[bytes]],
        find_record: Callable[[str], Awaitable[Record | None]],
        about: Tell = nothing_known,
    ) -> None:
        self._context = context
        self._ready = ready
        self._metrics = metrics
        self._find_record = find_record
        self._about = about

    async def answer(
        self, endpoint: Endpoint, headers: Mapping[str, str], query: str, key: Key | None, reply: Reply
    ) -> None:
        """Sends the page.

        Raises:
            ClientMistake: there is no such model or request.
        """
        status, kind, body = await self._page(endpoint, headers, query, key)
        await reply.start(status, {"content-type": kind, "content-length": str(len(body))})
        await reply.end(body)

    async def _page(
        self, endpoint: Endpoint, headers: Mapping[str, str], query: str, key: Key | None
    ) -> tuple[int, str, bytes]:
        json = "application/json"
        match endpoint.operation:
            case "models":
                return 200, json, _encode(self._models(endpoint, headers, query, key))
            case "live":
                return 200, json, b'{"status":"live"}'
            case "ready":
                why_not = self._ready()
                told = {"status": "ready"} if why_not is None else {"status": "starting", "reason": why_not}
                if self._context.drain.is_leaving:
                    why_not, told = SHUTTING_DOWN, {"status": "draining", "reason": SHUTTING_DOWN}
                states = self._context.fleet.target_states(self._context.clock.monotonic())
                degraded = [one for one in states if one.state != "ok"]
                return (
                    (200 if why_not is None else 503),
                    json,
                    _encode(told | ({"degraded": degraded} if degraded else {})),
                )
            case "metrics":
                return 200, CONTENT_TYPE, await self._metrics()
            case "request":
                return 200, json, _encode(await self._record(endpoint.argument or "", key))
            case _:
                told = {"afterbay": __version__, "models": "/v1/models", "health": "/health/ready"}
                return 200, json, _encode(told)

    async def _record(self, record_id: str, key: Key | None) -> Record:
        record = await self._find_record(record_id)
        if record is None or (key is not None and record.key_id != key.id):
            raise ClientMistake(
                f"There is no request '{record_id[:60]}' of yours in the log.",
                status=404,
                kind="not_found",
                code="unknown_request",
                remedy="Records appear within a second after the last byte; the id is in the x-request-id header.",
            )
        return msgspec.structs.replace(record, seed=None, circumstances=None)  # they are about the gateway

    def _models(self, endpoint: Endpoint, headers: Mapping[str, str], query: str, key: Key | None) -> dict[str, Any]:
        snapshot = self._context.fleet.snapshot
        names = visible_models(snapshot, key)
        shape = shape_of(headers, query, endpoint.dialect)
        if endpoint.argument is None:
            return shape([(name, self._about(snapshot, name)) for name in names])
        wanted = endpoint.argument
        if wanted not in names:
            raise ClientMistake(
                f"There is no model called '{wanted[:200]}'.",
                status=404,
                kind="not_found",
                code="model_not_found",
                param="model",
                remedy=f"The nearest names are: {', '.join(closest(wanted, names))}.",
            )
        whole = shape([(wanted, self._about(snapshot, wanted))])
        one: dict[str, Any] = next(iter(whole["models"] if "models" in whole else whole["data"]))
        return one
