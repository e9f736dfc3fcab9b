"""The ledger's contract, against each ledger that comes with the package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from afterbay.ports import LedgerUnavailable
from afterbay.store import memory_ledger
from afterbay.store.database import open_database
from afterbay.store.leases import SqliteLeases
from afterbay.store.ledger import LeasedLedger
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.testing.ledgers import DAY_S, LedgerContract, OpenedLedger, SetClock, an_allowance


class TestMemoryLedger(LedgerContract):
    @asynccontextmanager
    async def opened_ledger(self) -> AsyncIterator[OpenedLedger]:
        clock = SetClock()
        yield OpenedLedger(MemoryLedger(clock), clock)


class TestLeasedLedger(LedgerContract):
    alone = False

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/state.db"

    @asynccontextmanager
    async def opened_ledger(self) -> AsyncIterator[OpenedLedger]:
        clock = SetClock()
        ledger = LeasedLedger(SqliteLeases(open_database(self.url), "w1"), clock, alone=self.alone)
        ledger.start()
        yield OpenedLedger(ledger, clock)
        await ledger.close()
        assert ledger.corrected == 0


class TestLeasedLedgerAlone(TestLeasedLedger):
    alone = True


async def test_memory_forgets_periods_that_are_over_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_ledger, "MOST_SUMS", 3)
    clock = SetClock()
    ledger = MemoryLedger(clock)
    for number in range(3):
        hold = await ledger.reserve([(an_allowance(1, account=f"key:{number}"), 1)], 0.0)
        ledger.settle(hold, [1])
    with pytest.raises(LedgerUnavailable, match="too many accounts"):
        await ledger.reserve([(an_allowance(1, account="key:3"), 1)], 0.0)
    clock.passed_s += DAY_S
    await ledger.reserve([(an_allowance(1, account="key:3"), 1)], 0.0)
