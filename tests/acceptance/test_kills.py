"""`kill -9` under load, and nothing that a client saw is missing or double. `make kills` does it 200 times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acceptance.kills import Kind, Row, Seen, judge, kill_often

KILLS = int(os.environ.get("AFTERBAY_KILLS", "4"))
CHAT = Kind("/v1/chat/completions", "gpt", True)


@pytest.mark.timeout(60 + 15 * KILLS)
@pytest.mark.parametrize("durable", ["process"] if KILLS > 4 else ["process", "machine"])
async def test_after_kill_9_nothing_that_a_client_saw_is_missing_or_double(tmp_path: Path, durable: str) -> None:
    report = await kill_often(tmp_path, KILLS if durable == "process" else 2, durable=durable)
    print(report)
    assert report.wrong == []
    assert report.slowest_s < 60
    assert report.whole > 10 * report.kills
    assert report.unknown > 0


@pytest.mark.parametrize(
    ("seen", "rows", "says"),
    [
        (Seen(1, CHAT, "req_1", 200, True, 5), [], "no row"),
        (Seen(1, CHAT, "req_1", 200, False), [], "no row"),
        (Seen(1, CHAT, "req_1", 200, True, 5), [Row("req_1", "ok", 5), Row("req_1", "ok", 5)], "2 rows"),
        (Seen(1, CHAT, "req_1", 200, True, 5), [Row("req_1", "unknown", None)], "the log says 'unknown'"),
        (Seen(1, CHAT, "req_1", 200, True, 5), [Row("req_1", "ok", 4)], "was told 5 tokens"),
        (Seen(1, CHAT, "req_1", 200, True, 5), [Row("req_2", "ok", 5)], "knows it as req_1"),
    ],
)
def test_the_judge_sees_what_is_wrong(seen: Seen, rows: list[Row], says: str) -> None:
    (line,) = judge([seen], {1: rows} if rows else {})
    assert says in line


@pytest.mark.parametrize(
    "row", [Row("req_1", "unknown", None), Row("req_1", "ok", 5), Row("req_1", "client_closed", 2)]
)
def test_an_answer_that_broke_off_has_a_row_whatever_it_says(row: Row) -> None:
    assert judge([Seen(1, CHAT, "req_1", 200, False)], {1: [row]}) == []
    assert judge([Seen(1, CHAT)], {}) == []
