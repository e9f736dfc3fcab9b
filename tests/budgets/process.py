"""One process of a run: bursts of parallel requests that set aside, use and are written, until it is stopped or killed.

python -m budgets.process DATABASE LINES HOLDER SEED ACCOUNTS BURST AT_S SCALE
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

import msgspec

from afterbay.core.decision import Record
from afterbay.policy.allowance import Allowance
from afterbay.ports import Exceeded, LedgerUnavailable
from afterbay.store.database import Database
from afterbay.store.holder import hold
from afterbay.store.leases import SqliteLeases
from afterbay.store.ledger import LeasedLedger
from afterbay.store.request_log import LogLimits, SqliteRequestLog
from budgets.history import Limits, Line

LARGEST = 1500
ORGANISATION_OF = 25
"""So many keys share an organisation, with a budget of its own."""
WAIT_S = 2.0


class Clock:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> float:
        return time.time()


def limits_of(accounts: int, scale: int) -> Limits:
    """The limits of a run: each key some hundreds of requests, organisations less than their keys together."""
    keys = {f"key:{number}": scale * (20 + number % 60) for number in range(accounts)}
    picousd = dict(keys)
    for number, (_, limit) in enumerate(keys.items()):
        organisation = f"organisation:{number // ORGANISATION_OF}"
        picousd[organisation] = picousd.get(organisation, 0) + limit * 9 // 10
    minute = {key: 40 + number for number, key in enumerate(keys) if number % 4 == 0}
    return Limits(picousd, minute)


def record_of(line: Line, at_s: float, holder: str, outcome: str) -> Record:
    """The record of a request that cost what the line says."""
    record = Record(line.id, at_s, "chat", "openai_chat", outcome=outcome)
    record.accounts, record.charged_picousd, record.charged_by = line.accounts, line.amount, holder
    return record


class Process:
    """The ledger, the log, and the file of lines, which stands for a journal."""

    def __init__(self, database: Path, lines: Path, holder: str, seed: int, limits: Limits, at_s: float) -> None:
        self._life = hold(database, holder)
        self._ledger = LeasedLedger(SqliteLeases(Database(database), holder), Clock())
        self._log = SqliteRequestLog(
            Database(database),
            retention_s=1e10,
            holder=self._life,
            durable="off",
            limits=LogLimits(flush_s=0.1, journal_bytes=0, orphans_s=math.inf),
        )
        self._file = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._holder, self._limits, self._at_s = holder, limits, at_s
        self._random = random.Random(seed)
        self._keys = [account for account in limits.picousd if account.startswith("key:")]
        self._made = 0
        self.is_stopping = False

    async def run(self, burst: int) -> None:
        """Bursts, one after the other, each on one key, with another one of a few on some other key meanwhile."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        self._note(Line("started", time.monotonic()))
        self._ledger.start()
        self._log.start()
        while not self.is_stopping:
            key, other = self._random.choices(self._keys, k=2)
            await asyncio.gather(*(self._request(key) for _ in range(burst)), *(self._request(other) for _ in range(5)))
        self._log.close()
        await self._ledger.close()
        self._life.end()
        self._note(Line("ended", time.monotonic(), corrected=self._ledger.corrected))

    def _stop(self) -> None:
        self.is_stopping = True

    async def _request(self, key: str) -> None:
        self._made += 1
        request_id = f"req_{self._holder}_{self._made}"
        accounts = (key, f"organisation:{int(key[4:]) // ORGANISATION_OF}")
        amount = self._random.randint(100, LARGEST)
        wants = [(Allowance(one, "picousd", "month", self._limits.picousd[one]), amount) for one in accounts]
        if key in self._limits.minute:
            wants.append((Allowance(key, "requests", "minute", self._limits.minute[key]), 1))
        asked_s = time.monotonic()
        try:
            hold = await self._ledger.reserve(wants, WAIT_S, self._at_s)
        except Exceeded as over:
            about = (over.allowance.account,) if over.allowance.unit == "picousd" else ()
            if about:
                self._note(Line("exceeded", time.monotonic(), accounts=about, amount=amount, asked_s=asked_s))
            return
        except LedgerUnavailable:
            self._note(Line("unavailable", time.monotonic(), asked_s=asked_s))
            await asyncio.sleep(self._random.random() * 0.2)
            return
        self._note(Line("admitted", time.monotonic(), request_id, accounts, amount, asked_s))
        await asyncio.sleep(self._random.random() * 0.2)
        used = Line("used", time.monotonic(), request_id, accounts, self._random.randint(amount // 4, amount))
        self._note(used)
        self._ledger.settle(hold, [used.amount, used.amount, 1][: len(wants)])
        self._log.put(record_of(used, self._at_s, self._holder, "ok"))

    def _note(self, line: Line) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def main() -> None:
    """Runs a process until it is told to stop."""
    database, lines, holder, seed, accounts, burst, at_s, scale = sys.argv[1:]
    limits = limits_of(int(accounts), int(scale))
    process = Process(Path(database), Path(lines), holder, int(seed), limits, float(at_s))
    asyncio.run(process.run(int(burst)))


if __name__ == "__main__":
    main()
