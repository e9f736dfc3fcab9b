"""`afterbay serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from afterbay import __version__
from afterbay.app.gateway import Wrap
from afterbay.app.server import Server, listen
from afterbay.cli.speech import Bars, Speech
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.errors import ClientMistake
from afterbay.telemetry.log import LogOutput


def run_server(
    config: Path | None, host: str, port: int, workers: int, record: Path | None, replay: Path | None
) -> None:
    """Loads, listens, serves."""
    if workers != 1:
        raise ClientMistake(
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


def introduce(loaded: Loaded, speech: Speech) -> None:
    """Says which configuration is in force, what it will spend on, and what is doubtful in it."""
    speech.say(f"configuration: {loaded.path}" if loaded.path else "no configuration file: the embedded models")
    for line in loaded.spends:
        speech.say(line)
    for warning in loaded.snapshot.warnings:
        speech.say(f"warning: {warning}")


def _wrap(record: Path | None, replay: Path | None) -> Wrap | None:
    """What stands before the providers: a recorder, or recordings instead of them."""
    if record is not None and replay is not None:
        raise ClientMistake("--record and --replay exclude each other.", remedy="Give one of them.")
    return None
