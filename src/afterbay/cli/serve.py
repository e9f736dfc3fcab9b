"""`afterbay serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from afterbay import __version__
from afterbay.app.gateway import Wrap
from afterbay.app.server import Server, listen
from afterbay.cli.speech import Bars, Misuse, Speech
from afterbay.cli.state import introduce
from afterbay.config.watch import load_snapshot
from afterbay.telemetry.log import LogOutput


def run_server(
    config: Path | None, host: str, port: int, workers: int, record: Path | None, replay: Path | None
) -> None:
    """Loads, listens, serves."""
    if workers != 1:
        raise Misuse(
            f"--workers {workers}: this release serves from one process.",
            remedy="Leave it out, or start several gateways on ports of their own behind a balancer.",
        )
    speech = Speech(sys.stderr)
    speech.say(f"version {__version__}")
    loaded = load_snapshot(config, os.environ)
    introduce(loaded, speech)
    sock = listen(host, port)
    output = LogOutput.open()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says at start and end is said here in our words
    try:
        with Bars(sys.stderr) as bars:
            Server(os.environ, sock, speech.say, bars, _wrap(record, replay)).run(loaded)
    finally:
        output.close()
    speech.say("stopped")


def _wrap(record: Path | None, replay: Path | None) -> Wrap | None:
    """What stands before the providers: a recorder, or recordings instead of them."""
    if record is not None and replay is not None:
        raise Misuse("--record and --replay exclude each other.", remedy="Give one of them.")
    return None
