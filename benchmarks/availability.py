"""What clients get of two providers at 99.5 %: ten million simulated requests, and what each mechanism contributes.

    python benchmarks/availability.py                        # all of it, a quarter of an hour on two idle cores
    python benchmarks/availability.py --requests 200000      # a sample

Writes docs/availability.md. Every figure follows from the seed; only the speed is of this machine.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from afterbay.policy.hedge import Hedging
from afterbay.sim.faults import FaultKind
from afterbay.sim.report import Report, detection_s
from afterbay.sim.request import SimulatedRequest
from afterbay.sim.scenario import EVERYTHING, Mechanism, Scenario, Traffic
from afterbay.sim.setups import CUMULATIVE, HEDGE, all_down, availability, incidents, one_down
from afterbay.sim.trace import Trace
from afterbay.sim.world import Simulation

SEED = 20261125
PART = 500_000
"""Requests of one part; each part has a seed of its own, so it does not matter who computes it."""
PAGE = Path(__file__).parents[1] / "docs" / "availability.md"
WAYS = ("independent", "incidents")


class Job(msgspec.Struct, frozen=True):
    """One part of one row of a table."""

    way: str
    part: int
    requests: int
    mechanisms: frozenset[Mechanism] = EVERYTHING
    fits: float | None = None
    json: float = 0.0
    tools: float = 0.0
    hedge: Hedging | None = HEDGE
    traces: bool = False


def scenario_of(job: Job, seed: int) -> Scenario:
    """The independent way: each attempt fails by itself. The other: half of the failures come in outages."""
    traffic = Traffic(per_s=50.0 if job.way == "independent" else 10.0, json=job.json, tools=job.tools)
    if job.way == "independent":
        made = availability(mechanisms=job.mechanisms, fits=job.fits, traffic=traffic)
    else:
        until_s = job.requests / traffic.per_s
        found = incidents(seed, until_s, 0.0025, 62.5)
        made = availability(mechanisms=job.mechanisms, fits=job.fits, traffic=traffic, episodes=found, failures=0.0025)
    defaults = msgspec.structs.replace(made.plan.defaults, hedge=job.hedge)
    return msgspec.structs.replace(made, plan=msgspec.structs.replace(made.plan, defaults=defaults))


def run(job: Job) -> tuple[bytes, float]:
    """The report of a part as JSON, and the CPU seconds that it took."""
    began, seed = time.process_time(), SEED + job.part
    report = Simulation(scenario_of(job, seed), seed, trace=Trace() if job.traces else None).run(job.requests)
    report.ejections = []
    return msgspec.json.encode(report), time.process_time() - began


def parts(requests: int, **fields: object) -> list[Job]:
    """The parts of a row."""
    size = min(PART, requests)
    return [Job(part=at, requests=size, **fields) for at in range(max(1, requests // size))]  # type: ignore[arg-type]


def total(pool: ProcessPoolExecutor, jobs: Iterable[Job]) -> tuple[Report, float]:
    """All parts of a row, added up in their order."""
    whole, cpu_s = Report(), 0.0
    for encoded, took_s in pool.map(run, jobs):
        whole.add(msgspec.json.decode(encoded, type=Report))
        cpu_s += took_s
    return whole, cpu_s


def percent(share: float) -> str:
    return f"{100 * share:.4f} %"


def per_million(report: Report) -> str:
    return f"{(report.judged - report.good) / report.judged * 1e6:,.0f}"


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    names = head.split(" | ")
    lines = [f"| {head} |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]) + "\n"


def headline(reports: Mapping[str, Report]) -> str:
    """What clients get."""
    rows = []
    for way, one in reports.items():
        ends = [one.endings.get(name, 0) for name in ("ok", "resumed", "spare", "failed", "broken", "refused")]
        rows.append([way, f"{one.requests:,}", percent(one.availability), *(f"{count:,}" for count in ends)])
    return table(
        "failures | requests | whole answers | as they came | gone on with | not valid | error, no output"
        " | cut in the middle | refused",
        rows,
    )


def contributions(rows: Mapping[str, Mapping[str, Report]]) -> str:
    """What is left with these mechanisms."""
    shown = []
    for name, by_way in rows.items():
        row: list[object] = [name]
        for way in WAYS:
            one = by_way[way]
            row += [percent(one.availability), per_million(one)]
        last = by_way["incidents"]
        row += [
            f"{last.attempts_made / last.requests:.4f}",
            f"{last.ttft.quantile(0.99):.2f} s",
            f"{last.added.quantile(0.999):.2f} s",
        ]
        shown.append(row)
    return table(
        "mechanisms | independent | failed of a million | half in incidents | failed of a million"
        " | attempts a request | TTFT p99 | added p99.9",
        shown,
    )


def hedging(rows: Mapping[str, Report]) -> str:
    """Gain per extra cost."""
    none, shown = rows["none"], []
    for name, one in rows.items():
        base, p99 = none.ttft.quantile(0.99), one.ttft.quantile(0.99)
        extra = one.lost_picousd / max(one.cost_picousd - one.lost_picousd, 1)
        gain = f"{(base - p99) / base * 100 / (extra * 100):.0f}" if extra else "-"
        shown.append(
            [
                name,
                f"{one.hedges / one.requests:.2%}",
                f"{extra:.2%}",
                *(f"{one.ttft.quantile(q):.2f} s" for q in (0.5, 0.95, 0.99, 0.999)),
                gain,
            ]
        )
    return table("hedge | of requests | extra cost | TTFT p50 | p95 | p99 | p99.9 | % of p99 per % of cost", shown)


def _added_s(request: SimulatedRequest) -> float | None:
    attempts = request.attempts
    return next((one.started_s for one in attempts if one.first_token_s is not None), None)


def _p99(found: list[float]) -> str:
    return f"{sorted(found)[int(0.99 * len(found))] * 1000:,.0f} ms" if found else "-"


def outage_row(kind: FaultKind) -> list[object]:
    """One of two providers is down for ten minutes."""
    seen: list[SimulatedRequest] = []
    scenario = one_down(kind, cuts=0.0)
    report = Simulation(scenario, SEED, observe=seen.append).run(until_s=1000.0)
    (took_s,) = detection_s(report, scenario.episodes, {"a/m": "a"})
    ejected_s = 300.0 + took_s if took_s is not None else 900.0
    during = [one for one in seen if 300.0 <= one.arrived_s < 900.0]
    before, after = list[float](), list[float]()
    for one in during:
        added_s = _added_s(one)
        if added_s is not None:
            (before if one.arrived_s < ejected_s else after).append(added_s)
    ends = Counter(one.ending for one in during)
    return [
        kind,
        f"{len(during):,}",
        ends["failed"] + ends["refused"],
        ends["broken"],
        f"{took_s:.2f} s" if took_s is not None else "not ejected",
        _p99(before),
        _p99(after),
    ]


def total_outage_row(kind: FaultKind) -> list[object]:
    """Both are down for ten minutes."""
    during: list[SimulatedRequest] = []
    Simulation(
        all_down(kind), SEED, observe=lambda one: during.append(one) if 300 <= one.arrived_s < 900 else None
    ).run(until_s=1000.0)
    attempts = sum(len(one.attempts) for one in during)
    ends = Counter(one.ending for one in during)
    return [
        kind,
        f"{len(during):,}",
        f"{attempts / len(during):.3f}",
        f"{ends['refused'] / len(during):.1%}",
        _p99([one.took_s for one in during]),
    ]


def first_s(requests: int) -> float:
    """CPU seconds of so many requests, with nothing else in the process."""
    began = time.process_time()
    Simulation(availability(), SEED).run(requests)
    return time.process_time() - began


def main() -> None:
    """Computes all tables and writes the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=10_000_000)
    options.add_argument("--incidents", type=int, default=2_000_000, help="requests of the second way")
    options.add_argument("--row", type=int, default=200_000, help="requests of each row of the other tables")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--page", type=Path, default=PAGE)
    given = options.parse_args()
    counts = {"independent": given.requests, "incidents": min(given.incidents, given.requests)}
    few = min(given.row, given.requests)
    speed = 100_000 / first_s(100_000) * 60
    began = time.monotonic()
    with ProcessPoolExecutor(given.processes) as pool:
        whole = {way: total(pool, parts(counts[way], way=way, traces=True)) for way in WAYS}
        reports = {way: one for way, (one, _) in whole.items()}
        cumulative = {
            name: {way: total(pool, parts(few, way=way, mechanisms=on))[0] for way in WAYS}
            for name, on in CUMULATIVE.items()
        }
        without = {"all": cumulative["+ hedge"]} | {
            f"without {name}": {
                way: total(pool, parts(few, way=way, mechanisms=EVERYTHING - {name}))[0] for way in WAYS
            }
            for name in ("fallback", "retry", "resume", "ejection", "hedge")
        }
        variants: dict[str, dict[str, object]] = {
            "every continuation fits": {"fits": 1.0},
            "95 of 100 fit": {"fits": 0.95},
            "80 of 100 fit": {"fits": 0.8},
            "half fit": {"fits": 0.5},
            "5 % of the answers are JSON": {"json": 0.05},
            "5 % of the answers are tool calls": {"tools": 0.05},
        }
        doubts = {
            name: {way: total(pool, parts(few, way=way, **fields))[0] for way in WAYS}
            for name, fields in variants.items()
        }
        hedges: dict[str, Hedging | None] = {
            "none": None,
            "after p99": Hedging(percentile=0.99),
            "after p95": HEDGE,
            "after p90, caps of 10 %": Hedging(percentile=0.90, max_share=0.1, max_extra_cost=0.1),
            "after 1 s": Hedging(after_s=1.0),
            "race of two, no caps": Hedging(after_s=0.0, max_share=1.0, max_extra_cost=10.0),
        }
        hedged = {name: total(pool, parts(few, way="independent", hedge=rules))[0] for name, rules in hedges.items()}
        kinds: tuple[FaultKind, ...] = ("refused", "server_error", "overloaded", "rate_limit", "silent", "black_hole")
        down, gone = list(pool.map(outage_row, kinds)), list(pool.map(total_outage_row, kinds))
    took_min = (time.monotonic() - began) / 60
    given.page.write_text(
        PAGE_TEXT.format(
            few=f"{few:,}",
            seed=SEED,
            python=platform.python_version(),
            speed=f"{speed:,.0f}",
            each=f"{6e7 / speed:.0f}",
            minutes=f"{took_min:.0f}",
            headline=headline(reports),
            left=table(
                "failures | what the last attempt ended in, and how often",
                [[way, ", ".join(f"{k} {n}" for k, n in sorted(one.errors.items()))] for way, one in reports.items()],
            ),
            ejected=reports["incidents"].ejected,
            cumulative=contributions(cumulative),
            without=contributions(without),
            doubts=contributions(doubts),
            hedging=hedging(hedged),
            down=table(
                "outage | requests | failed before output | cut | fault to ejection | added p99 before it | after it",
                down,
            ),
            gone=table("outage | requests | attempts a request | refused at once | p99 until the error", gone),
            traces="\n".join(f"    {way}: {one.trace.split('+')[0]}" for way, one in reports.items()),
        )
    )


PAGE_TEXT = (Path(__file__).parent / "availability.md.in").read_text() if __name__ == "__main__" else ""

if __name__ == "__main__":
    main()
