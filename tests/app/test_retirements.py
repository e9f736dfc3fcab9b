"""A process that lives for months says every day which of its models end."""

from __future__ import annotations

import asyncio
import logging

import pytest

from afterbay.app.retirements import DAY_S, tell_daily


async def test_what_ends_is_written_to_the_log_every_day_anew(caplog: pytest.LogCaptureFixture) -> None:
    slept: list[float] = []
    lines = [["models: a ends"], [], ["models: a ended", "models: b ends"]]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 3:
            raise asyncio.CancelledError

    with caplog.at_level(logging.WARNING, "afterbay.app"), pytest.raises(asyncio.CancelledError):
        await tell_daily(lambda: lines[len(slept) - 1], sleep)
    assert slept == [DAY_S] * 4
    assert [record.getMessage() for record in caplog.records] == ["models: a ends", "models: a ended", "models: b ends"]
