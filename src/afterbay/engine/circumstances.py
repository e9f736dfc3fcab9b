"""What is kept of a request that did not go well, so that it can be replayed: all but what was said.

Healthy requests never come here. A failed one is read once more for its shape, so that is bounded: in bytes, and (in an
outage, when all fail alike) in how often.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from afterbay.core.decision import Circumstances
from afterbay.core.errors import GatewayError
from afterbay.core.shape import shaped, shaped_inputs
from afterbay.engine.context import Turn
from afterbay.wire.dialect import Built
from afterbay.wire.registry import EMBED_DIALECTS, EMBEDS_AS

HEADERS: Final = (
    "x-afterbay-timeout-ms",
    "x-afterbay-priority",
    "x-afterbay-max-cost-usd",
    "x-afterbay-task",
    "x-afterbay-residency",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
)
"""Headers of a client that change what is done with its request. No other one is kept."""
HEADER_CHARS: Final = 200
BODY_BYTES: Final = 256 * 1024
"""Of a longer request no shape is kept: making one takes about 3 ms per 100 KB."""
MODEL: Final = "model"
"""Stands for the model that was asked for: the record has its name."""
SHAPE_BYTES: Final = 16 * 1024
"""Longest shape kept, compressed: about ten times as much as text."""
EVERY_S: Final = 0.1
"""No more than a shape in so much time: in an outage they would all be the same."""

logger = logging.getLogger("afterbay.engine")


def circumstances_of(turn: Turn, *, with_shape: bool) -> Circumstances:
    """See `afterbay.core.decision.Circumstances`."""
    headers = turn.call.headers
    shape, left_out = _shape(turn) if with_shape else (b"", ())
    return Circumstances(
        {name: headers[name][:HEADER_CHARS] for name in HEADERS if name in headers},
        tuple(target.id for target in turn.decision.targets) if turn.decision is not None else (),
        turn.sights,
        shape,
        left_out,
    )


def _shape(turn: Turn) -> tuple[bytes, tuple[str, ...]]:
    """The client's request in its own protocol, every text in it a measure; and what had no place in that."""
    context, size = turn.context, len(turn.call.body)
    now = context.clock.monotonic()
    make = _MAKERS.get(turn.record.operation)
    if make is None or size > BODY_BYTES or now - context.shaped_s < EVERY_S:
        return b"", ()
    context.shaped_s = now
    try:
        built, foreign = make(turn)
        shape = zlib.compress(built.body, 1)
    except (GatewayError, ValueError, RecursionError):  # not to be read: that may be why it failed
        return b"", ()
    except Exception:  # it is only for a replay: the request itself must end as it does
        logger.exception("no shape of request %s could be kept", turn.call.id)
        return b"", ()
    return (shape, tuple(dict.fromkeys((*foreign, *built.losses)))) if len(shape) <= SHAPE_BYTES else (b"", ())


def _of_chat(turn: Turn) -> tuple[Built, tuple[str, ...]]:
    request = shaped(turn.request)
    return turn.call.dialect.build_request(request, MODEL), request.foreign


def _of_inputs(turn: Turn) -> tuple[Built, tuple[str, ...]]:
    dialect = EMBED_DIALECTS[EMBEDS_AS[turn.call.dialect.name]]
    return dialect.build_request(shaped_inputs(turn.embed_request), MODEL), ()


_MAKERS: Mapping[str, Callable[[Turn], tuple[Built, tuple[str, ...]]]] = MappingProxyType(
    {"chat": _of_chat, "embeddings": _of_inputs}
)
"""How the shape of an operation's request is made, and which of the client's own fields it lacks."""
