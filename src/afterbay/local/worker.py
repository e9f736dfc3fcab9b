"""One model in one process: `python -m afterbay.local.worker`, started by `afterbay.local.process`.

Reads its configuration from standard input, loads the model, listens on a free port of 127.0.0.1 and says which on
standard output. It ends with its parent: when standard input closes, and on Linux also by PR_SET_PDEATHSIG (prctl(2)),
which the kernel sends when the thread that started it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time

import msgspec
import uvicorn

from afterbay.local import catalog
from afterbay.local.app import App
from afterbay.local.embedder import Embedder
from afterbay.local.handshake import Ready, read_line
from afterbay.local.llama import ChatEngine, load

_PR_SET_PDEATHSIG = 1
_GRACE_S = 2


def main() -> None:
    """Runs until it is told to end, or its parent is gone."""
    out = _private_stdout()
    config = read_line(sys.stdin.buffer.readline())
    _end_with_parent(config.parent)
    started = time.monotonic()
    model = catalog.find(config.model)
    engine = embedder = None
    if model.kind == "chat":
        engine = ChatEngine(load(config.paths[0], config.limits), config.limits)
    else:
        embedder = Embedder(config.paths[0], config.paths[1], model.slot_tokens, config.limits.used_threads())
    _trim()
    listener = _listen()
    ready = Ready(port=listener.getsockname()[1], load_s=round(time.monotonic() - started, 3))
    os.write(out, msgspec.json.encode(ready) + b"\n")
    os.close(out)
    _serve(App(config, model, engine, embedder), listener)


def _listen() -> socket.socket:
    """A socket on a free port of loopback.

    Without delay, and said here: event loops set that only on sockets whose protocol number is TCP's, which
    `socket.create_server` leaves at 0, and every answer of two writes then waits 40 ms for an acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


def _trim() -> None:
    """Gives memory that only loading needed back to the system (malloc_trim(3), where the C library has it)."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _private_stdout() -> int:
    """Standard output for the ready line alone: what the engine prints goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def _end_with_parent(parent: int) -> None:
    """Two ways, because either may fail: another child may hold the pipe open, and not every system has prctl."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(0)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def _serve(app: App, listener: socket.socket) -> None:
    """Serves until SIGTERM; answers underway get a short grace."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    os._exit(0)  # not through the engine's destructor: a thread may still be inside it


if __name__ == "__main__":
    main()
