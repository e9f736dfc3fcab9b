"""Listens: the socket, the server, the signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import uvicorn

from afterbay.app.connection import BoundedProtocol, ServerState, SocketProtocol
from afterbay.app.gateway import RunningGateway, Wrap
from afterbay.app.local_models import Progress
from afterbay.config.problem import ConfigError
from afterbay.config.watch import Loaded
from afterbay.core.errors import GatewayError
from afterbay.http.identity import is_loopback
from afterbay.ports import Keys

logger = logging.getLogger("afterbay.app")

PING_S, PONG_S = 20.0, 60.0
"""How often the client of a WebSocket is asked whether it is there, and how long it may take to say so.

A client may be behind with what it was sent, or kept from sending by a provider that does not take it."""
TICK_S = 0.1
"""How soon a signal is noticed."""
END_S = 5.0
"""How long requests that were cut off have to close what they opened."""
LAST_S = 0.25
"""How long somebody who connected in the last moment may take to ask."""
FLUSH_S, FLUSH_TICK_S = 1.0, 0.02
"""How long their clients have to read the last bytes, and how often it is looked whether they have."""
NEW_OBJECTS = 10_000
"""So many more are there than went away when Python looks for garbage that refers to itself. It costs 2 MB; five times
as many would cost 9, and save nothing more."""


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


class LeavingServer(uvicorn.Server):
    """uvicorn's server, which leaves in the order of `afterbay.engine.drain`, and keeps its word to the end.

    uvicorn hangs up at once on who asks while it stops, takes a second SIGTERM for the first, and raises the signal
    again when it has stopped serving: that would end the process before the gateway closes its log, its connections and
    its local models. Here the door stays open until the last request has left, for whoever has not noticed yet: first
    they are served, then refused; every answer ends its connection. What is left after that is ended before this
    returns, so that each request still gets its error and its record.
    """

    def __init__(self, config: uvicorn.Config, gateway: RunningGateway, said: Callable[[str], None]) -> None:
        super().__init__(config)
        self.server_state = ServerState()
        self._gateway, self._said = gateway, said
        self._signal: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came: the first one begins the end, the next one hurries it."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._signal = sig
        self._gateway.context.drain.leave()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Overrides uvicorn's: serves on for a moment, refuses what comes then, and waits for what is in flight."""
        limits, state = self._gateway.snapshot.limits, self.server_state
        assert isinstance(state, ServerState), "it was made above"  # noqa: S101
        state.is_leaving = True
        for connection in list(state.connections):
            _draining(connection).end_after_answer()
        self.tell_leaving(len(state.tasks), float(limits.drain))
        await self.linger()
        self._gateway.context.drain.close()
        self.end_idle()
        in_flight = set(state.tasks)
        await self.wait(float(limits.drain), in_flight)
        await self.shut_door(sockets or [])
        await self._cut_off(in_flight)
        await self._hear_last(state)
        await self._cut_off(set(state.tasks))
        await self._hang_up()

    async def linger(self) -> None:
        """Serves on for a moment. Who ends it by hand, or from a test, does not wait for a load balancer."""
        self._gateway.context.drain.leave()
        if self._signal == signal.SIGTERM:
            await self.wait(float(self._gateway.snapshot.limits.linger))

    def end_idle(self) -> None:
        """Hangs up where nothing is being asked or answered."""
        for connection in list(self.server_state.connections):
            _draining(connection).end_if_idle()

    def tell_leaving(self, in_flight: int, most_s: float) -> None:
        """Says that it ends, and what is still to be done."""
        if in_flight:
            self._said(stopping(in_flight, most_s))

    async def wait(self, seconds: float, tasks: set[asyncio.Task[None]] | None = None) -> None:
        """Waits so long, or until all tasks are done, or somebody hurries."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + seconds
        while not self.force_exit and (left_s := due_s - loop.time()) > 0:
            if tasks is None:
                await asyncio.sleep(min(left_s, TICK_S))
            elif tasks := {task for task in tasks if not task.done()}:
                await asyncio.wait(tasks, timeout=min(left_s, TICK_S))
            else:
                return

    async def shut_door(self, sockets: list[socket.socket]) -> None:
        """Stops listening, and lets in who waits: the system would reset connections that nobody has taken yet."""
        copies = [sock.dup() for sock in sockets]
        for server in self.servers:
            server.close()
        for sock in sockets:
            sock.close()
        waiting: list[socket.socket] = []
        for copy in copies:
            copy.setblocking(False)
            with contextlib.closing(copy), contextlib.suppress(OSError):  # in the end that nobody waits
                while True:
                    waiting.append(copy.accept()[0])
        for one in waiting:
            one.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self.protocol, one)

    def protocol(self) -> asyncio.Protocol:
        """What serves one connection."""
        return BoundedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def _hear_last(self, state: ServerState) -> None:
        """Whoever connected before the door was closed may have something to ask, and is refused like the others."""
        due_s = asyncio.get_running_loop().time() + LAST_S
        while asyncio.get_running_loop().time() < due_s:
            for connection in list(state.connections):
                _draining(connection).end_if_idle()
            if not any(isinstance(one, BoundedProtocol) for one in state.connections):
                return
            await asyncio.sleep(FLUSH_TICK_S)

    async def _cut_off(self, tasks: set[asyncio.Task[None]]) -> None:
        """Ends requests that are still in flight; each tells its client, and writes its record."""
        await asyncio.sleep(0)  # one that was never begun could say nothing
        if left := {task for task in tasks if not task.done()}:
            for name in ("uvicorn.error", "uvicorn.error.websocket"):  # a cancelled request is no fault
                logging.getLogger(name).setLevel(logging.CRITICAL)
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=END_S)

    async def _hang_up(self) -> None:
        """Ends all connections, and lets clients read what they were told."""
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(int(FLUSH_S / FLUSH_TICK_S)):
            if not self.server_state.connections:
                break
            await asyncio.sleep(FLUSH_TICK_S)

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


def stopping(in_flight: int, most_s: float) -> str:
    """What people are told when a gateway begins to end while it serves."""
    return f"stopping: requests in flight: {in_flight}; they have {most_s:g} s; Ctrl-C again ends them now"


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
            check_keys(gateway.keys, host, self._said)
            gateway.start()
            collect_seldom()
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

    async def _say_ready(self, gateway: RunningGateway, host: str, port: int) -> None:
        self._said(f"listening on {address(host, port)}")
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


def address(host: str, port: int) -> str:
    """Where a client finds what listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_keys(keys: Keys, host: str, said: Callable[[str], None]) -> None:
    """An open gateway is for this machine alone.

    Raises:
        CannotListen: others could reach it, and no key exists.
    """
    if keys.any_exist():
        return
    if not is_loopback(host):
        raise CannotListen(
            f"{host} can be reached from other machines, and no virtual key exists: anyone could spend your money.",
            remedy="Create one with `afterbay keys create NAME`, or listen on 127.0.0.1.",
        )
    said("no virtual key exists: any client on this machine may use the gateway, with any key or none")


def _draining(connection: object) -> BoundedProtocol | SocketProtocol:
    assert isinstance(connection, BoundedProtocol | SocketProtocol), "the server makes no other"  # noqa: S101
    return connection


def http_server(gateway: RunningGateway, said: Callable[[str], None] = logger.info) -> uvicorn.Server:
    """The HTTP server of a gateway, not started yet; with the same settings wherever it runs."""
    return LeavingServer(http_config(gateway, gateway.application), gateway, said)


def http_config(gateway: RunningGateway, application: Any) -> uvicorn.Config:
    """The settings of such a server."""
    return uvicorn.Config(
        application,
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
        timeout_keep_alive=75,
    )


def collect_seldom() -> None:
    """Has Python look for garbage that refers to itself after so many new objects, not after every 700.

    A record lives until its batch is written, and a request that is open has hundreds of objects: with the default the
    same living ones were looked at again and again, a tenth of all CPU time. Nothing else waits for it, since almost
    everything is freed when its last reference goes. Call it when all is loaded: loading leaves much behind.
    """
    gc.set_threshold(NEW_OBJECTS, 10, 10)


def new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one: a third of the CPU of a request is the loop's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
