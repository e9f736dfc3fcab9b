"""Once a day a line in the log for each configured model that ends soon: a process outlives the words at its start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

DAY_S = 86400.0

logger = logging.getLogger("afterbay.app")


async def tell_daily(
    lines: Callable[[], Iterable[str]], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Writes what `lines` gives a day from now, and every day after. The start has said it itself."""
    while True:
        await sleep(DAY_S)
        for line in lines():
            logger.warning("%s", line)
