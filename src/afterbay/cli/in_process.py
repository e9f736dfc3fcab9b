"""Asking without a server: the whole gateway, but for the socket, in this process, for one question."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping

from afterbay.app.gateway import RunningGateway
from afterbay.app.local_models import Progress, Wanted
from afterbay.cli.answer import Answer
from afterbay.cli.figures import megabytes
from afterbay.config.watch import Loaded
from afterbay.core.decision import Record, Target
from afterbay.core.errors import GatewayError
from afterbay.core.ids import request_id
from afterbay.engine.context import Call, Turn
from afterbay.engine.pipeline import prepare, serve_chat
from afterbay.engine.routing import choose
from afterbay.local.catalog import MODELS
from afterbay.local.install import is_installed
from afterbay.ports import ClientGone, RequestLog
from afterbay.wire.openai_chat import DIALECT


class PrintingReply:
    """Implements `ports.Reply` by handing everything to an `Answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.started = False
        self.gone = True

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """See `afterbay.ports.Reply.start`."""
        self.started = True
        self._answer.begin(status, headers)

    async def write(self, data: bytes) -> None:
        """See `afterbay.ports.Reply.write`. A closed pipe (`ask | head`) is a client that hung up."""
        try:
            self._answer.feed(data)
        except BrokenPipeError:
            raise ClientGone("standard output was closed") from None

    async def end(self, data: bytes = b"") -> None:
        """See `afterbay.ports.Reply.end`."""
        await self.write(data)
        try:
            self._answer.end()
        except BrokenPipeError:
            raise ClientGone("standard output was closed") from None

    def survive(self, left: Callable[[], None]) -> bool:
        """See `afterbay.ports.Reply.survive`: it is this process that leaves."""
        return False


class KeepingLog:
    """Implements `ports.RequestLog`: passes records on, and keeps the last one."""

    def __init__(self, inner: RequestLog) -> None:
        self._inner = inner
        self.record: Record | None = None

    def begin(self, record: Record) -> None:
        """See `afterbay.ports.RequestLog.begin`."""
        self._inner.begin(record)

    def settle(self, record: Record) -> Awaitable[None] | None:
        """See `afterbay.ports.RequestLog.settle`."""
        return self._inner.settle(record)

    def put(self, record: Record) -> None:
        """See `afterbay.ports.RequestLog.put`."""
        self.record = record
        self._inner.put(record)


async def ask_here(
    loaded: Loaded, body: bytes, answer: Answer, said: Callable[[str], None], progress: Progress
) -> Record | None:
    """Serves one request by the configuration, in this process; its record.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
    """
    gateway = RunningGateway(loaded, os.environ, said=said, progress=progress)
    kept = KeepingLog(gateway.context.log)
    gateway.context.log = kept
    try:
        gateway.start(local_models=False)
        call = _call(gateway, body)
        await _start_models(gateway, call, said)
        await serve_chat(gateway.context, _call(gateway, body), PrintingReply(answer))
    except ClientGone:
        raise BrokenPipeError from None
    finally:
        await gateway.close()
    return kept.record


def _call(gateway: RunningGateway, body: bytes) -> Call:
    clock = gateway.context.clock
    now = clock.utc()
    name = request_id(int(now * 1000), gateway.context.entropy.bits(80))
    return Call(name, DIALECT, body, {}, clock.monotonic(), now)


async def _start_models(gateway: RunningGateway, call: Call, said: Callable[[str], None]) -> None:
    """Starts the embedded models that stand first in the order of targets, until one of them works.

    One that only a failure would lead to is begun by that failure: most questions never need it.
    """
    for target in _order(gateway, call):
        provider = gateway.snapshot.providers[target.provider]
        if not provider.is_embedded:
            return
        _say_what_is_fetched(target.name, said)
        gateway.local.begin([Wanted(target.name, provider)])
        await gateway.local.started()
        if gateway.local.is_ready(target.name):
            return


def _order(gateway: RunningGateway, call: Call) -> tuple[Target, ...]:
    """The decision, made beforehand. What is wrong with the request is told by the pipeline, not here."""
    turn = Turn(gateway.context, call, "chat")
    try:
        prepare(turn)
        return choose(turn).targets
    except GatewayError:
        return ()
    finally:
        turn.fleet.leave()


def _say_what_is_fetched(name: str, said: Callable[[str], None]) -> None:
    model = next((one for one in MODELS if one.id == name), None)
    if model is None or is_installed(model):
        return
    smaller = [one for one in MODELS if one.kind == "chat" and one.size_bytes < model.size_bytes]
    hint = f"; `-m {smaller[0].id}` would need {megabytes(smaller[0].size_bytes)}" if smaller else ""
    said(f"the model `{name}` is fetched once: {megabytes(model.size_bytes)}{hint}")
