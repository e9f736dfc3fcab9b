"""Tenants in bursts: a short run of what `make tenants` runs whole, and that its judge sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kills.judge import Kind, Row, Seen
from tenants.judge import Books, Used, judge
from tenants.load import Asked
from tenants.provider import Served, prompt_tokens
from tenants.run import Run, Size, summary
from tenants.world import Account, Tenant, cost_of, limits_of

KIND = Kind("/v1/chat/completions", "gpt", False)
COST = cost_of(10, 20)
TENANT = Tenant(1, "ab-x", (Account("key:1", {"picousd/day": 2 * COST, "requests/minute": 2}), Account("team:1", {})))


async def test_a_gateway_that_is_killed_and_loses_its_database_spends_no_more_than_its_tenants_may(
    tmp_path: Path,
) -> None:
    size = Size(10.0, workers=2, tenants=4, requests=60, at_once=2, kills=2, restarts=0, outages=1, outage_s=1.5)
    run = Run(tmp_path, size)
    verdict = await run.go()
    print(summary(run, size, verdict))
    assert verdict.faults == []
    assert verdict.over["picousd really"] <= 0.001
    assert verdict.over["picousd charged"] <= 0
    assert verdict.whole > 100
    assert verdict.refused > 100
    assert verdict.told.cost == verdict.told.charged > 0
    assert len(run.happened) == 3


def asked(number: int = 0, code: str = "", at_s: float = 0.0, *, is_whole: bool = True) -> Asked:
    status = 200 if not code else 429
    seen = Seen(number, KIND, f"req_{number}", status, is_whole)
    return Asked(seen, TENANT, at_s, least=COST, worst=COST, ended_s=at_s + 1, code=code)


def served(number: int = 0, at_s: float = 0.5, read: int = 10, wrote: int = 20) -> list[Served]:
    return [
        Served("began", number, at_s, input=read),
        Served("ended", number, at_s + 0.2, output=wrote, told=True),
    ]


def books(rows: dict[int, list[Row]], picousd: int, requests: int, left: list[str] | None = None) -> Books:
    used = Used(picousd, requests, 30 * requests)
    return Books(rows, {"key:1": used, "team:1": used}, left or [])


def ok(number: int = 0, picousd: int | None = COST, outcome: str = "ok", estimated: int = 0) -> Row:
    return Row(f"req_{number}", outcome, 20, picousd, 1, estimated)


def faults(requests: list[Asked], lines: list[Served], left: Books) -> list[str]:
    return judge(requests, lines, left, tolerance=0.0).faults


def test_a_run_in_which_all_is_well_has_no_fault() -> None:
    requests = [asked(0), asked(1), asked(2, "insufficient_quota", at_s=2.0)]
    refused = Row("req_2", "refused", None, None, 0)
    rows = {0: [ok(0)], 1: [ok(1)], 2: [refused]}
    verdict = judge(requests, [*served(0), *served(1)], books(rows, 2 * COST, 2), tolerance=0.0)
    assert verdict.faults == []
    assert (verdict.served, verdict.refused, verdict.too_early) == (2, 1, 0)
    assert verdict.used_up == 1
    assert verdict.over["picousd really"] == 0
    assert (verdict.told.cost, verdict.told.charged) == (2 * COST, 2 * COST)


@pytest.mark.parametrize(
    ("lines", "left", "says"),
    [
        (served(), books({}, 0, 0), "was served and is not in the log"),
        (served(), books({0: [ok(), ok()]}, COST, 1), "2 rows"),
        (served(), books({0: [ok()]}, 2 * COST, 2), "was charged 2 requests, 1 were sent"),
        (served(), books({0: [ok()]}, 0, 1), "was charged -"),
        (served(), books({0: [ok()]}, COST + 1, 1), "was charged 1 for 0"),
        (served(wrote=21), books({0: [ok()]}, COST, 1), "the log says"),
        (served(), books({0: [ok(picousd=None, outcome="unknown")]}, COST - 1, 1), "for 1 that cost"),
        (served(), books({0: [ok()]}, COST, 1, ["w1 still has 5 of key:1"]), "w1 still has 5"),
        (served(wrote=60), books({0: [ok(picousd=cost_of(10, 60))]}, cost_of(10, 60), 1), "(really) of"),
        (served(), Books({0: [ok()]}, {"key:1": Used(COST, 1, 30)}), "team:1 was charged None"),
    ],
)
def test_the_judge_sees_what_is_wrong(lines: list[Served], left: Books, says: str) -> None:
    assert [fault for fault in faults([asked()], lines, left) if says in fault]


def test_the_judge_sees_too_many_requests_in_a_minute() -> None:
    requests = [asked(number, at_s=25.0 * number) for number in range(3)]
    lines = [line for number in range(3) for line in served(number, 25.0 * number + 0.1, wrote=0)]
    rows = {number: [ok(number, cost_of(10, 0))] for number in range(3)}
    left = books(rows, 3 * cost_of(10, 0), 3)
    assert [fault for fault in faults(requests, lines, left) if "in a minute" in fault]
    later = [asked(number, at_s=31.0 * number) for number in range(3)]
    lines = [line for number in range(3) for line in served(number, 31.0 * number + 0.1, wrote=0)]
    assert faults(later, lines, left) == []


def test_what_nobody_knows_is_charged_at_least_what_it_cost() -> None:
    rows = {0: [ok(picousd=None, outcome="unknown")]}
    verdict = judge([asked(is_whole=False)], served(), books(rows, 2 * COST, 1), tolerance=0.0)
    assert verdict.faults == []
    assert (verdict.unsure.count, verdict.unsure.cost, verdict.unsure.charged) == (1, COST, 2 * COST)


def test_a_refusal_while_enough_was_left_is_counted() -> None:
    requests = [asked(0), asked(1, "insufficient_quota", at_s=2.0)]
    left = books({0: [ok(0)]}, COST, 1)
    verdict = judge(requests, served(), left, tolerance=0.0)
    assert (verdict.too_early, verdict.stranded) == (1, 0)
    requests[1].least = COST // 16
    assert judge(requests, served(), left, tolerance=0.0).stranded == 1
    at_the_same_time = [asked(0), asked(1), asked(2, "insufficient_quota", at_s=-0.2)]
    both = books({0: [ok(0)], 1: [ok(1)]}, 2 * COST, 2)
    assert judge(at_the_same_time, [*served(0), *served(1)], both, tolerance=0.0).too_early == 0


def test_the_prompts_of_the_provider_are_about_as_long_as_estimated_and_its_tenants_have_all_limits() -> None:
    counts = [prompt_tokens(number, "x" * 3700) for number in range(200)]
    assert 855 < min(counts) < 900 < 1100 < max(counts) < 1145
    names = {name for number in range(30) for name in limits_of(number, 60)}
    money = {f"picousd/{period}" for period in ("day", "month", "total")}
    assert names == money | {"requests/minute", "requests/day", "tokens/day"}
