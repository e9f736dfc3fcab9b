"""The shipped contracts, against both stores that come with the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afterbay.store.database import open_database
from afterbay.store.keys import SqliteKeys
from afterbay.store.labels import SqliteLabels, SqliteRouters
from afterbay.store.memory import MemoryKeys, MemoryRequestLog, MemoryResponses
from afterbay.store.reading import SqliteReading
from afterbay.store.request_log import LogLimits, SqliteRequestLog
from afterbay.store.responses import SqliteResponses
from afterbay.testing.keyrings import KeysContract, OpenedKeys
from afterbay.testing.labels import LabelsContract, OpenedLabels
from afterbay.testing.memory_labels import MemoryLabels, MemoryRouters
from afterbay.testing.stores import (
    RETENTION_S,
    T0,
    OpenedLog,
    OpenedResponses,
    RequestLogContract,
    ResponsesContract,
)


class TestMemoryLog(RequestLogContract):
    @contextmanager
    def opened(self) -> Iterator[OpenedLog]:
        log = MemoryRequestLog()
        yield OpenedLog(log, log)


class Clock:
    def __init__(self) -> None:
        self.now_s = T0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class TestMemoryKeys(KeysContract):
    @contextmanager
    def opened_keys(self) -> Iterator[OpenedKeys]:
        clock = Clock()
        yield OpenedKeys(MemoryKeys(now=clock), clock.advance, clock)


class TestMemoryResponses(ResponsesContract):
    @contextmanager
    def opened_responses(self) -> Iterator[OpenedResponses]:
        clock = Clock()
        yield OpenedResponses(MemoryResponses(now=clock, retention_s=RETENTION_S), clock.advance)


class OnDisk:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/state.db"


class TestSqliteLog(OnDisk, RequestLogContract):
    @contextmanager
    def opened(self) -> Iterator[OpenedLog]:
        database = open_database(self.url)
        log = SqliteRequestLog(database, retention_s=1e10, limits=LogLimits(flush_s=0.01))
        log.start()
        yield OpenedLog(log, SqliteReading(database), log.flush)
        log.close()


class TestSqliteKeys(OnDisk, KeysContract):
    @contextmanager
    def opened_keys(self) -> Iterator[OpenedKeys]:
        clock = Clock()
        keys = SqliteKeys(open_database(self.url), now=clock)
        yield OpenedKeys(keys, clock.advance, clock)
        keys.close()


class TestSqliteResponses(OnDisk, ResponsesContract):
    @contextmanager
    def opened_responses(self) -> Iterator[OpenedResponses]:
        clock = Clock()
        responses = SqliteResponses(open_database(self.url), retention_s=RETENTION_S, now=clock)
        yield OpenedResponses(responses, clock.advance)
        responses.close()


class TestMemoryLabels(LabelsContract):
    @contextmanager
    def opened_labels(self) -> Iterator[OpenedLabels]:
        clock = Clock()
        yield OpenedLabels(MemoryLabels(now=clock, retention_s=RETENTION_S), MemoryRouters(), clock.advance)


class TestSqliteLabels(OnDisk, LabelsContract):
    @contextmanager
    def opened_labels(self) -> Iterator[OpenedLabels]:
        clock, database = Clock(), open_database(self.url)
        labels = SqliteLabels(database, retention_s=RETENTION_S, now=clock)
        routers = SqliteRouters(database)
        yield OpenedLabels(labels, routers, clock.advance)
        labels.close()
        routers.close()
