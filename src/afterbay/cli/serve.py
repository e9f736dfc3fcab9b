"""`afterbay serve`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from afterbay import __version__
from afterbay.app.gateway import Wrap
from afterbay.app.server import Server, listen
from afterbay.app.workers import Control
from afterbay.cli.speech import Bars, Misuse, Speech
from afterbay.cli.state import introduce
from afterbay.config.watch import read_source
from afterbay.ports import Upstream
from afterbay.telemetry.log import LogOutput


def run_server(
    config: Path | None, host: str, port: int, workers: int, record: Path | None, replay: Path | None
) -> None:
    """Loads, listens, serves."""
    wrap = wrap_for(record, replay)
    speech = Speech(sys.stderr)
    speech.say(f"version {__version__}")
    loaded, source = read_source(config, os.environ)
    introduce(loaded, speech)
    if record is not None:
        speech.say(f"recording all upstream traffic, prompts and answers included, in {record}")
    if replay is not None:
        speech.say(f"answering from the recordings in {replay}; no provider is asked, no local model started")
    sock = listen(host, port)
    output = LogOutput.open()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says at start and end is said here in our words
    try:
        with Bars(sys.stderr) as bars:
            if workers == 1:
                Server(os.environ, sock, speech.say, bars, wrap).run(loaded)
            else:
                program = (sys.executable, "-m", "afterbay.cli.worker")
                control = Control(os.environ, sock, speech.say, bars, program, workers, record, replay)
                control.run(loaded, source)
    finally:
        output.close()
    speech.say("stopped")


def wrap_for(record: Path | None, replay: Path | None) -> Wrap | None:
    """What stands before the providers: a recorder, or recordings instead of them; None: nothing.

    Raises:
        Misuse: both, or a folder that is not there.
    """
    if record is not None and replay is not None:
        raise Misuse("--record and --replay exclude each other.", remedy="Give one of them.")
    if record is not None:
        return _Recorder(record)
    if replay is None:
        return None
    if not replay.is_dir():
        raise Misuse(f"There is no folder {replay} to replay.", remedy=f"Record one: afterbay serve --record {replay}")
    return _Player(replay)


class _Recorder:
    """Implements `app.gateway.Wrap`: every provider's traffic is stored in the folder."""

    replays = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, upstream: Upstream, provider: str) -> Upstream:
        """The recording upstream around `upstream`."""
        from afterbay.testing.recordings import RecordingUpstream

        return RecordingUpstream(upstream, self._folder, provider)


class _Player:
    """Implements `app.gateway.Wrap`: recordings answer, nobody else is asked. `replays`: no local model is started."""

    replays = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, upstream: Upstream, provider: str) -> Upstream:
        """The recordings of this provider. `upstream` was not opened yet, so there is nothing to close."""
        from afterbay.testing.recordings import ReplayUpstream

        return ReplayUpstream(self._folder, provider)
