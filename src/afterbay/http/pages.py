"""What needs no provider: models, health, metrics, the record of one's own request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from afterbay import __version__
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Record
from afterbay.core.errors import ClientMistake
from afterbay.core.words import closest
from afterbay.engine.context import Context
from afterbay.engine.drain import SHUTTING_DOWN
from afterbay.http.paths import Endpoint
from afterbay.policy.rights import EVERYTHING
from afterbay.ports import Key, Reply
from afterbay.telemetry.metrics import CONTENT_TYPE

_encode = msgspec.json.Encoder().encode


class Pages:
    """Answers small questions.

    `ready` says why the gateway is not ready, or None if it is; `metrics` gives the Prometheus text; `find_record`
    looks a request up in the log.
    """

    def __init__(
        self,
        context: Context,
        ready: Callable[[], str | None],
        metrics: Callable[[], Awaitable[bytes]],
        find_record: Callable[[str], Awaitable[Record | None]],
    ) -> None:
        self._context = context
        self._ready = ready
        self._metrics = metrics
        self._find_record = find_record

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
        shape = _openai
        if "anthropic-version" in headers:
            shape = _anthropic
        elif endpoint.dialect == "gemini" or "x-goog-api-key" in headers or "key=" in query:
            shape = _gemini
        if endpoint.argument is None:
            return shape(names, snapshot)
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
        whole = shape([wanted], snapshot)
        one: dict[str, Any] = next(iter(whole["models"] if "models" in whole else whole["data"]))
        return one


def visible_models(snapshot: Snapshot, key: Key | None) -> list[str]:
    """Names that a key may ask for: routes, then aliases."""
    rights = key.rights if key is not None else EVERYTHING
    routes = [name for name in snapshot.routes if rights.routes is None or name in rights.routes]
    return [name for name in (*routes, *snapshot.aliases) if rights.models is None or name in rights.models]


def _owner(name: str, snapshot: Snapshot) -> str:
    alias = snapshot.aliases.get(name)
    return alias.targets[0].provider if alias is not None and alias.targets else "afterbay"


def _window(name: str, snapshot: Snapshot) -> int | None:
    alias = snapshot.aliases.get(name)
    return alias.targets[0].context_tokens if alias is not None and alias.targets else None


def _openai(names: list[str], snapshot: Snapshot) -> dict[str, Any]:
    data = [{"id": name, "object": "model", "created": 0, "owned_by": _owner(name, snapshot)} for name in names]
    return {"object": "list", "data": data}


def _anthropic(names: list[str], snapshot: Snapshot) -> dict[str, Any]:
    data = [{"id": name, "type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z"} for name in names]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"data": data, "has_more": False, "first_id": first, "last_id": last}


def _gemini(names: list[str], snapshot: Snapshot) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for name in names:
        window = _window(name, snapshot)
        one: dict[str, Any] = {"name": f"models/{name}", "displayName": name}
        if window is not None:
            one["inputTokenLimit"] = window
        one["supportedGenerationMethods"] = ["generateContent", "streamGenerateContent"]
        listed.append(one)
    return {"models": listed}
