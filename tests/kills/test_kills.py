"""`kill -9` under load, and nothing that a client saw is missing or double. `make kills` does it 200 times."""

from __future__ import annotations

from pathlib import Path

import pytest

from kills.judge import PICOUSD_A_TOKEN, Kind, Row, Seen, judge, judge_charges
from kills.run import kill_often, summary

CHAT = Kind("/v1/chat/completions", "gpt", True)


@pytest.mark.parametrize(("durable", "kills"), [("process", 4), ("machine", 2)])
async def test_after_kill_9_nothing_that_a_client_saw_is_missing_or_double(
    tmp_path: Path, durable: str, kills: int
) -> None:
    report = await kill_often(tmp_path, kills, durable=durable)
    print(summary(report))
    assert report.wrong == []
    assert report.whole > 2 * report.kills  # a busy machine gets on slowly
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


@pytest.mark.parametrize(
    ("charged", "says"),
    [
        ((5 + 600, 1), "was charged 1 requests, 2 were sent"),
        ((5, 2), "1 set something aside"),
        ((5 + 100_001, 2), "1 set something aside"),
    ],
)
def test_the_judge_sees_a_charge_that_is_missing_or_double(charged: tuple[int, int], says: str) -> None:
    seen = [Seen(1, CHAT, "req_1", 200, True, 5), Seen(2, CHAT)]
    rows = {1: [Row("req_1", "ok", 5, 5 * PICOUSD_A_TOKEN)], 2: [Row("req_2", "unknown", attempts=0)]}
    tokens, requests = charged
    (line,) = judge_charges(seen, rows, {"model:gpt": (tokens * PICOUSD_A_TOKEN, requests)})
    assert says in line
    assert judge_charges(seen, rows, {"model:gpt": ((5 + 600) * PICOUSD_A_TOKEN, 2)}) == []
