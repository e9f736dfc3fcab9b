"""The ASGI application: paths, keys, bodies, errors. One request is one call of `Gateway.__call__`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from afterbay.core.errors import ClientMistake, GatewayError, Internal, NotBuilt
from afterbay.core.secret import Secret
from afterbay.engine.context import Call, Context
from afterbay.engine.count import serve_count
from afterbay.engine.delivery import error_headers
from afterbay.engine.drain import shutting_down
from afterbay.engine.embed import serve_embeddings
from afterbay.engine.idempotency import IDEMPOTENCY_KEY, REPEATABLE, serve_once
from afterbay.engine.kept import serve_kept
from afterbay.engine.only_relayed import serve_compaction, serve_moderations
from afterbay.engine.pipeline import refuse, serve_chat
from afterbay.engine.reconnect import serve_reconnect
from afterbay.engine.responses import serve_responses
from afterbay.http.admin import BODY_BYTES, Admin, Asked, who_asks
from afterbay.http.body import check_head, read_body
from afterbay.http.feedback import BODY_BYTES as FEEDBACK_BYTES
from afterbay.http.feedback import Feedback
from afterbay.http.identity import Client, identify, is_loopback, require_admin, require_local
from afterbay.http.pages import Pages
from afterbay.http.passthrough import RawEndpoints, is_raw
from afterbay.http.paths import Endpoint, dialect_of, error_dialect, find, hint, instead_of
from afterbay.http.reply import AsgiReply, Receive, Send
from afterbay.http.reports import Reports
from afterbay.ports import ClientGone, Key, Reply
from afterbay.store.keyring import Keyring
from afterbay.wire.registry import DIALECTS

logger = logging.getLogger("afterbay.http")

Serve: TypeAlias = Callable[[Context, Call, Reply], Awaitable[None]]
_SERVE: Mapping[str, Serve] = {
    "chat": serve_chat,
    "responses": serve_responses,
    "embeddings": serve_embeddings,
    "count_tokens": serve_count,
    "moderations": serve_moderations,
    "compaction": serve_compaction,
    "response": serve_kept,
    "reconnect": serve_reconnect,
}

_OF_OLD = frozenset({"reconnect", "response"})
"""What is about requests that came before: a gateway that takes no new ones still answers it."""


class Gateway:
    """The application. `context` is the engine's; `pages` answers what needs no provider, `reports` reads the log."""

    def __init__(
        self,
        context: Context,
        keys: Keyring,
        pages: Pages,
        admin_key: Secret | None = None,
        reports: Reports | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        self._feedback = feedback
        self._context = context
        self._keys = keys
        self._pages = pages
        self._admin_key = admin_key
        self._admin = Admin(keys, reports)
        self._raw = RawEndpoints(context, keys)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One ASGI connection: an HTTP request, a WebSocket, the lifespan."""
        if scope["type"] == "http" and not is_raw(scope):
            await self._http(scope, receive, send)
        elif scope["type"] == "http":
            await self._raw.http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._raw.socket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    async def _http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        clock = self._context.clock
        received_s, received_at = clock.monotonic(), clock.utc()
        call_id = self._context.new_id(received_at)
        reply = AsgiReply(receive, send)
        path: str = scope["path"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        endpoint = find(path)
        is_late = self._context.drain.is_closed
        try:
            query: str = scope["query_string"].decode("latin-1")
            client = Client.of(scope, received_at)
            key = self._admit(endpoint, scope, client, headers, query)
            assert endpoint is not None, "a missing endpoint was refused"  # noqa: S101
            if endpoint.operation == "admin":
                await self._administer(endpoint, scope, client, headers, query, receive, reply)
                return
            if endpoint.operation == "feedback":
                await self._hear(headers, key, receive, reply)
                return
            serve = _SERVE.get(endpoint.operation)
            if serve is None:
                await self._pages.answer(endpoint, headers, query, key, reply)
                return
            limits = self._context.fleet.snapshot.limits
            check_head(headers, limits.body_bytes)
            body = await read_body(receive, limits.body_bytes, float(limits.body_timeout))
            call = _call(call_id, endpoint, scope, query, headers, body, key, received_s, received_at)
            reply.watch()
            if is_late and endpoint.operation not in _OF_OLD:
                await refuse(self._context, call, reply, endpoint.operation)
            elif IDEMPOTENCY_KEY in headers and endpoint.operation in REPEATABLE:
                await serve_once(self._context, call, reply, serve)
            else:
                await serve(self._context, call, reply)
        except ClientGone:
            pass
        except GatewayError as error:
            await self._refuse(error, endpoint, scope, headers, call_id, reply)
        except asyncio.CancelledError:
            if not reply.gone and not reply.started:  # its body was still on the way
                await self._refuse(shutting_down(), endpoint, scope, headers, call_id, reply)
            elif not reply.gone:
                raise
        except Exception:
            logger.exception("request %s failed by a fault of the gateway", call_id)
            if not reply.started:
                fault = Internal("The gateway made a mistake while serving this request.", code="internal_error")
                await self._refuse(fault, endpoint, scope, headers, call_id, reply)
        finally:
            reply.close()

    async def _administer(
        self,
        endpoint: Endpoint,
        scope: Mapping[str, Any],
        client: Client,
        headers: Mapping[str, str],
        query: str,
        receive: Receive,
        reply: AsgiReply,
    ) -> None:
        """Answers the admin API.

        Raises:
            GatewayError: who asks may not, or what is asked for is not right.
        """
        by = who_asks(self._keys, self._admin_key, client, headers, query)
        check_head(headers, BODY_BYTES)
        body = await read_body(receive, BODY_BYTES, float(self._context.fleet.snapshot.limits.body_timeout))
        asked = Asked(scope["method"], endpoint.argument or "", query, body, by)
        status, told = await self._admin.answer(asked)
        # secrets are in some of these answers: nobody on the way may keep them
        kept = {"content-type": "application/json", "cache-control": "no-store"}
        await reply.start(status, {**kept, "content-length": str(len(told))})
        await reply.end(told)

    async def _hear(self, headers: Mapping[str, str], key: Key | None, receive: Receive, reply: AsgiReply) -> None:
        """Takes feedback.

        Raises:
            GatewayError: it is not right, or cannot be kept.
        """
        if self._feedback is None:
            raise NotBuilt("Feedback has nowhere to go here.", code="not_built")
        check_head(headers, FEEDBACK_BYTES)
        body = await read_body(receive, FEEDBACK_BYTES, float(self._context.fleet.snapshot.limits.body_timeout))
        told = await self._feedback.take(body, key)
        await reply.start(200, {"content-type": "application/json", "content-length": str(len(told))})
        await reply.end(told)

    def _admit(
        self,
        endpoint: Endpoint | None,
        scope: Mapping[str, Any],
        client: Client,
        headers: Mapping[str, str],
        query: str,
    ) -> Key | None:
        """Checks path, method and key.

        Raises:
            GatewayError: 404, 405, 401, 403, 501.
        """
        path: str = scope["path"]
        if endpoint is None:
            raise ClientMistake(
                f"There is no endpoint {path[:200]}.",
                status=404,
                kind="not_found",
                code="unknown_endpoint",
                remedy=hint(path),
            )
        key = None
        if endpoint.operation == "metrics":
            self._admit_to_metrics(scope, client, headers, query)
        elif endpoint.operation not in ("live", "ready", "index", "admin"):
            key = identify(self._keys, client, headers, query)
        if endpoint.operation == "not_built":
            raise NotBuilt(f"{endpoint.argument} is not built yet.", code="not_built", remedy=instead_of(path))
        if scope["method"] not in endpoint.method.split() and (scope["method"], endpoint.method) != ("HEAD", "GET"):
            raise ClientMistake(
                f"{path[:200]} takes {endpoint.method.replace(' ', ' or ')}, not {scope['method'][:20]}.",
                status=405,
                code="method_not_allowed",
            )
        return key

    def _admit_to_metrics(
        self, scope: Mapping[str, Any], client: Client, headers: Mapping[str, str], query: str
    ) -> None:
        """Metrics tell what is spent and on what: off loopback they are for admins, unless the config opens them.

        Raises:
            GatewayError: 401; 403, on loopback, for who comes by another name.
        """
        server = scope.get("server")
        public = self._context.fleet.snapshot.telemetry.metrics_public
        if not public and (server is None or not is_loopback(server[0])):
            require_admin(self._keys, self._admin_key, client, headers, query)
        elif not public:
            require_local(headers)

    async def _refuse(
        self,
        error: GatewayError,
        endpoint: Endpoint | None,
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        call_id: str,
        reply: AsgiReply,
    ) -> None:
        """Answers a request that never became one of the engine's."""
        name = error_dialect(endpoint, scope["path"], headers, scope["query_string"].decode("latin-1"))
        body = DIALECTS[name].render_error(error, call_id)
        out = {"x-request-id": call_id, "content-type": "application/json", **error_headers(error)}
        if error.status in (408, 413):
            out["connection"] = "close"  # the rest of the body is not read
        if error.status == 405 and endpoint is not None:
            out["allow"] = "GET, HEAD" if endpoint.method == "GET" else endpoint.method.replace(" ", ", ")
        await reply.start(error.status, {**out, "content-length": str(len(body))})
        await reply.end(body)


def _call(
    call_id: str,
    endpoint: Endpoint,
    scope: Mapping[str, Any],
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    key: Key | None,
    received_s: float,
    received_at: float,
) -> Call:
    dialect = dialect_of(endpoint, query)
    if endpoint.operation == "reconnect":  # every protocol's clients come back here
        dialect = DIALECTS[error_dialect(endpoint, scope["path"], headers, query)]
    return Call(
        id=call_id,
        dialect=dialect,
        body=body,
        headers=headers,
        received_s=received_s,
        received_at=received_at,
        key=key,
        path_model=endpoint.model,
        path_stream=endpoint.stream,
        query=query,
        path=scope["path"],
        method=scope["method"],
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    """Start and stop are the composition root's; the protocol only wants to be answered."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
