"""A gateway whose routes learn: what is loaded before anybody waits, and what goes though nothing comes."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from afterbay.app.gateway import running
from afterbay.config.watch import load_snapshot
from afterbay.store.database import Database, open_database
from afterbay.store.labels import SqliteLabels
from afterbay.testing.labels import label

CONFIG = """
providers:
  cheap: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: k, price: {input: 0.1, output: 0.2}}
  dear: {kind: openai, base_url: "http://127.0.0.1:2/v1", api_key: k, price: {input: 5, output: 20}}
models:
  small: {provider: cheap, name: small}
  large: {provider: dear, name: large}
routes:
  auto: {complexity: {low: small, high: large}, fallback: [large, small]%s}
state: {database: "sqlite:///%s/state.db", retention: 1d}
"""


def configuration(folder: Path, more: str = "") -> Path:
    path = folder / "afterbay.yaml"
    path.write_text(CONFIG % (more, folder))
    return path


def count(database: Database) -> int:
    connection = database.connect()
    try:
        return int(connection.execute("SELECT COUNT(*) FROM labels").fetchone()[0])
    finally:
        connection.close()


def test_labels_that_are_too_old_go_at_the_start_of_a_gateway_that_nobody_asks(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/state.db")

    async def put() -> None:
        labels = SqliteLabels(database, retention_s=1e12)
        await labels.put(label("req_1", time.time() - 3 * 86400))
        labels.close()

    asyncio.run(put())
    assert count(database) == 1

    async def serve() -> None:
        async with running(configuration(tmp_path), {}), asyncio.timeout(20):
            while await asyncio.to_thread(count, database):
                pass

    asyncio.run(serve())


def test_what_scores_requests_is_loaded_beside_the_loop_before_a_reload_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afterbay.config.weights import complexity

    threads: list[threading.Thread] = []

    def loading() -> object:
        threads.append(threading.current_thread())
        return complexity()

    monkeypatch.setattr("afterbay.app.gateway.complexity", loading)

    async def serve() -> None:
        async with running(configuration(tmp_path), {}) as gateway:
            assert threads == []
            loaded = load_snapshot(configuration(tmp_path, ", keep: 0.9"), {})
            await gateway.adopt(loaded)
            assert threads
            assert threading.main_thread() not in threads

    asyncio.run(serve())


def test_a_gateway_that_keeps_quality_has_loaded_it_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afterbay.config.weights import complexity

    times: list[str] = []

    def loading() -> object:
        times.append("loaded")
        return complexity()

    monkeypatch.setattr("afterbay.app.gateway.complexity", loading)

    async def serve() -> None:
        async with running(configuration(tmp_path, ", keep: 0.9"), {}):
            assert times == ["loaded"]

    asyncio.run(serve())
