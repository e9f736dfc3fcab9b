"""What the supervisor and a worker tell each other: one line each way, JSON.

The configuration goes by standard input, so that the token is in no argument list and no environment; the pipe stays
open as the sign that the supervisor lives.
"""

from __future__ import annotations

import msgspec

from afterbay.local.llama import EngineLimits


class WorkerConfig(msgspec.Struct, frozen=True):
    """First line on a worker's standard input. `token` is the bearer token every request must carry.

    `total_s` bounds one answer, `send_s` one write to a client that does not read, `body_bytes` a request.
    """

    model: str
    paths: tuple[str, ...]
    token: str
    parent: int
    limits: EngineLimits = EngineLimits()
    total_s: float = 600.0
    send_s: float = 60.0
    body_bytes: int = 8 << 20


class Ready(msgspec.Struct, frozen=True):
    """First line on a worker's standard output, once its model is loaded and its socket listens."""

    port: int
    load_s: float


def read_line(line: bytes) -> WorkerConfig:
    """Decodes the configuration; msgspec's ValidationError names what is wrong."""
    return msgspec.json.decode(line, type=WorkerConfig)
