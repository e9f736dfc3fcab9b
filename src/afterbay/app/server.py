"""Listens: the socket, the server, the signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping

import uvicorn

from afterbay.app.connection import BoundedProtocol, SocketProtocol
from afterbay.app.gateway import RunningGateway, Wrap
from afterbay.app.local_models import Progress
from afterbay.config.problem import ConfigError
from afterbay.config.watch import Loaded
from afterbay.core.errors import GatewayError
from afterbay.http.identity import is_loopback

logger = logging.getLogger("afterbay.app")

PING_S, PONG_S = 20.0, 60.0
"""How often the client of a WebSocket is asked whether it is there, and how long it may take to say so.

A client may be behind with what it was sent, or kept from sending by a provider that does not take it."""
END_S = 5.0
"""How long requests that were cut off have to close what they opened."""


class CannotListen(GatewayError):
    """The address cannot be listened on, or may not."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, made as TCP by name: event loops switch Nagle's delay off for such ones only.

    Raises:
        CannotListen: the port is taken, the address is not this machine's, or there is no right to it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except (OSError, OverflowError) as error:
        sock.close()
        raise _why(error, host, port) from error
    sock.setblocking(False)
    return sock


def _why(error: Exception, host: str, port: int) -> CannotListen:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return CannotListen(
            f"Port {port} on {host} is in use by another program.",
            remedy=f"Stop it (`ss -ltnp 'sport = :{port}'` shows which), or choose another: --port {port + 1}.",
        )
    if number == errno.EACCES:
        return CannotListen(f"There is no right to listen on port {port}.", remedy="Choose one above 1023.")
    return CannotListen(f"Cannot listen on {host}:{port}: {error}.", remedy="Give an address of this machine.")


class _SignalledServer(uvicorn.Server):
    """uvicorn's server, which keeps its word to the end: after a signal it returns.

    uvicorn raises the signal again when it has stopped serving; SIGTERM would then end the process before the gateway
    closes its log, its connections and its local models. What it leaves unfinished is ended before it returns, so that
    each request still gets its record.
    """

    def __init__(self, config: uvicorn.Config, said: Callable[[str], None]) -> None:
        super().__init__(config)
        self._said = said

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Overrides uvicorn's: says what is waited for, and waits for what was cut off."""
        if count := len(self.server_state.tasks):
            most_s = self.config.timeout_graceful_shutdown
            self._said(f"stopping: requests in flight: {count}; they have {most_s} s; Ctrl-C again ends them now")
        await super().shutdown(sockets)
        if left := set(self.server_state.tasks):
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it calls a cancelled request a fault
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=END_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Overrides uvicorn's: the handlers alone, and only where Python allows any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Server:
    """A gateway that listens. `said` is told what happens, for people."""

    def __init__(
        self,
        environ: Mapping[str, str],
        sock: socket.socket,
        said: Callable[[str], None],
        progress: Progress | None = None,
        wrap: Wrap | None = None,
    ) -> None:
        self._environ = environ
        self._sock = sock
        self._said = said
        self._progress = progress
        self._wrap = wrap

    def run(self, loaded: Loaded) -> None:
        """Serves until a signal says otherwise."""
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._serve(loaded))

    async def _serve(self, loaded: Loaded) -> None:
        host, port = self._sock.getsockname()[:2]
        gateway = RunningGateway(loaded, self._environ, said=self._said, progress=self._progress, wrap=self._wrap)
        try:
            self._check_keys(gateway, host)
            gateway.start()
            reloads = asyncio.Event()
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloads.set)
            reloader = asyncio.get_running_loop().create_task(self._reload_on(reloads, gateway), name="reload")
            ready = asyncio.get_running_loop().create_task(self._say_ready(gateway, host, port), name="say ready")
            try:
                await http_server(gateway, self._said).serve(sockets=[self._sock])
            finally:
                for task in (reloader, ready):
                    task.cancel()
                await asyncio.wait((reloader, ready), timeout=5)
        finally:
            await gateway.close()

    def _check_keys(self, gateway: RunningGateway, host: str) -> None:
        """An open gateway is for this machine alone.

        Raises:
            CannotListen: others could reach it, and no key exists.
        """
        if gateway.keys.any_exist():
            return
        if not is_loopback(host):
            raise CannotListen(
                f"{host} can be reached from other machines, and no virtual key exists: anyone could spend your money.",
                remedy="Create one with `afterbay keys create NAME`, or listen on 127.0.0.1.",
            )
        self._said("no virtual key exists: any client on this machine may use the gateway, with any key or none")

    async def _say_ready(self, gateway: RunningGateway, host: str, port: int) -> None:
        self._said(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")
        if gateway.why_not_ready() is not None:
            await gateway.local.first_ready.wait()
        self._said("ready")

    async def _reload_on(self, wanted: asyncio.Event, gateway: RunningGateway) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                self._said("reload: " + await gateway.reload())
            except ConfigError as error:
                logger.error("reload refused, the old configuration stays: %s", error)
            except Exception:
                logger.exception("reload failed, the old configuration stays")


def http_server(gateway: RunningGateway, said: Callable[[str], None] = logger.info) -> uvicorn.Server:
    """The HTTP server of a gateway, not started yet; with the same settings wherever it runs."""
    config = uvicorn.Config(
        gateway.application,
        http=BoundedProtocol,
        ws=SocketProtocol,
        ws_max_size=gateway.snapshot.limits.event_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PONG_S,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(gateway.snapshot.limits.drain),
        timeout_keep_alive=75,
    )
    return _SignalledServer(config, said)


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one: a third of the CPU of a request is the loop's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
