"""`afterbay drill`: a failure scenario against the configuration, and whether its policies stand it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from afterbay.cli.figures import UNKNOWN, dollars, seconds
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.drill.reach import Reach, reach_of
from afterbay.drill.report import Asked, Figures, Recovery, Report
from afterbay.drill.scenes import scene
from afterbay.drill.simulated import run_simulated
from afterbay.drill.stage import Staged, load_for_drill

SIMULATED = (36_000, 5.0)
"""Requests, and requests a second: two hours."""
REAL = (300, 20.0)
"""A quarter of a minute, twice."""
MOST_SIMULATED, MOST_REAL = 300_000, 10_000
LONGEST_REAL_S = 600.0
AT_ONCE_S = 0.001


def run_drill(
    name: str,
    config: Path | None,
    model: str,
    provider: str | None,
    requests: int | None,
    rate: float | None,
    seed: int,
    allow: float,
    real: bool,
    as_json: bool,
) -> None:
    """Drills, prints the report, and exits with 1 if more requests failed than `allow`, a share, puts up with.

    Raises:
        ConfigError: the configuration is not right.
        Misuse: there is no such scenario, model or provider, or the drill would be too large.
    """
    speech = Speech(sys.stderr)
    usual = REAL if real else SIMULATED
    count, per_s = requests if requests is not None else usual[0], rate if rate is not None else usual[1]
    _check_size(count, per_s, real)
    staged = load_for_drill(config, os.environ)
    try:
        reach = reach_of(staged.loaded.snapshot, model)
        asked = Asked(scene(name, reach, provider, count / per_s), reach, seed, count, per_s, allow)
    except (ClientMistake, PolicyRefusal) as error:
        raise Misuse(error.message, remedy=_in_place_of_http(error, staged)) from None
    _introduce(staged, reach, speech)
    report = _drill(asked, staged, real, speech)
    if as_json:
        print_json(plain(report))
    else:
        _print(report, speech)
    if not report.is_passed:
        raise typer.Exit(1)


def _check_size(count: int, per_s: float, real: bool) -> None:
    most = MOST_REAL if real else MOST_SIMULATED
    if not 1 <= count <= most:
        raise Misuse(f"--requests {count} is too many.", remedy=f"At most {most}{' with --real' if real else ''}.")
    if real and count / per_s > LONGEST_REAL_S:
        raise Misuse(
            f"{count} requests at {per_s:g} a second take {count / per_s:.0f} s of real time, twice.",
            remedy=f"Ask for at most {LONGEST_REAL_S:.0f} s, or leave --real out: simulated hours take seconds.",
        )


def _in_place_of_http(error: ClientMistake | PolicyRefusal, staged: Staged) -> str:
    """What to do: an error of the gateway's may speak of its endpoints, and here is none."""
    if error.code == "model_not_found":
        plan = staged.loaded.snapshot
        return f"There are {', '.join([*plan.routes, *plan.aliases])}; or say provider/model."
    return error.remedy or ""


def _introduce(staged: Staged, reach: Reach, speech: Speech) -> None:
    loaded = staged.loaded
    if loaded.path is None:
        speech.say("no configuration file: this drills what `afterbay serve` would run without one")
    else:
        speech.say(f"configuration: {loaded.path}")
    if staged.missing:
        speech.say(f"not set, and not needed for a drill: {', '.join(staged.missing)}")
    for warning in loaded.snapshot.warnings:
        speech.say(f"warning: {warning}")
    speech.say(f"'{reach.model}' is served by {', '.join(target.id for target in reach.targets)}")
    if len(reach.providers) == 1:
        speech.say(f"warning: {reach.providers[0]} is its only provider, so nobody can take over from it")


def _drill(asked: Asked, staged: Staged, real: bool, speech: Speech) -> Report:
    if not real:
        return run_simulated(asked)
    from afterbay.drill.live import TooMany, run_live

    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("afterbay").setLevel(logging.CRITICAL)  # failures are the point here, and the report tells them
    try:
        return run_live(asked, staged.loaded, speech.say)
    except TooMany as error:
        raise Misuse(f"{error}.", remedy="Drill an alias of fewer, or leave --real out.") from None


def plain(report: Report) -> dict[str, object]:
    """The report as JSON has it, with its verdict; costs in USD."""
    runs = {"healthy": report.healthy, "failing": report.failing, "bare": report.bare}
    return {
        "scenario": report.scenario,
        "says": report.says,
        "hit": report.hit,
        "model": report.model,
        "mode": report.mode,
        "seed": report.seed,
        "seconds": report.seconds,
        "passed": report.is_passed,
        "allow": report.allow,
        **{name: _plain_run(run) for name, run in runs.items()},
        "saved": report.saved,
        "saved_by": report.saved_by,
        "added_ttft_p50_s": report.added_ttft_p50_s,
        "added_ttft_p99_s": report.added_ttft_p99_s,
        "extra_cost_usd": _usd(report.extra_cost_picousd),
        "targets": report.targets,
        "remarks": report.remarks,
    }


def _plain_run(run: Figures) -> dict[str, object]:
    return {
        "requests": run.requests,
        "served": run.served,
        "availability": run.availability,
        "requests_during": run.requests_during,
        "served_during": run.served_during,
        "availability_during": run.availability_during,
        "ttft_p50_s": run.ttft_p50_s,
        "ttft_p99_s": run.ttft_p99_s,
        "ttft_p50_during_s": run.ttft_p50_during_s,
        "ttft_p99_during_s": run.ttft_p99_during_s,
        "whole_p99_during_s": run.took_p99_during_s,
        "attempts": run.attempts,
        "cost_usd": _usd(run.cost_picousd),
        "failed": run.failed,
    }


def _usd(picousd: int | None) -> float | None:
    return picousd / 1e12 if picousd is not None else None


def _print(report: Report, speech: Speech) -> None:
    headings = ("", "without the failure", "with it", "with it, no gateway")
    print_table(headings, _rows(report))
    if report.failing.failed:
        print()
        print_table(("clients were told", "requests"), report.failing.failed.items())
    print()
    print_table(("target", "attempts while it lasted", "left out", "back"), map(_recovery, report.targets))
    for remark in report.remarks:
        speech.say(f"note: {remark}")
    lost = report.failing.requests - report.failing.served
    speech.say(f"{report.scenario} of {', '.join(report.hit)}: {report.says}")
    more = report.failing.served - report.bare.served
    speech.say(f"whole answers: {abs(more)} {'fewer' if more < 0 else 'more'} than without a gateway")
    speech.say(
        f"requests saved: {report.saved}{_by(report.saved_by)}, lost: {lost} of {report.failing.requests} "
        f"(allowed: {report.allow:.3%}): {'passed' if report.is_passed else 'failed'}"
    )


def _by(saved_by: dict[str, int]) -> str:
    return f" ({', '.join(f'{count} by {why}' for why, count in saved_by.items())})" if saved_by else ""


def _rows(report: Report) -> Iterator[tuple[str, str, str, str]]:
    runs = (report.healthy, report.failing, report.bare)
    healthy, failing, _ = runs
    yield _row("served", (f"{run.served} of {run.requests} ({_share(run.availability)})" for run in runs))
    yield _row(
        "served while it lasted",
        (f"{run.served_during} of {run.requests_during} ({_share(run.availability_during)})" for run in runs),
    )
    yield _row("first word, median", (seconds(run.ttft_p50_during_s) for run in runs))
    yield _row("first word, p99", (seconds(run.ttft_p99_during_s) for run in runs))
    yield _row("whole answer, p99", (seconds(run.took_p99_during_s) for run in runs))
    added = f"{_signed(report.added_ttft_p50_s)}, {_signed(report.added_ttft_p99_s)}"
    yield "added to the first word, median and p99", "", added, ""
    attempts = [f"{run.attempts / run.requests:.3f}" if run.attempts else "-" for run in (healthy, failing)]
    yield "attempts a request", attempts[0], attempts[1], ""
    yield "cost", dollars(healthy.cost_picousd), dollars(failing.cost_picousd), ""
    yield "extra cost", "", _extra(report), ""


def _row(what: str, cells: Iterator[str]) -> tuple[str, str, str, str]:
    first, second, third = cells
    return what, first, second, third


def _share(share: float) -> str:
    """A share that never looks whole when it is not."""
    return "100 %" if share == 1 else f"{min(share * 100, 99.999):.3f} %"


def _signed(duration_s: float | None) -> str:
    if duration_s is None:
        return "-"
    return f"{'-' if duration_s < 0 else '+'}{seconds(abs(duration_s))}"


def _extra(report: Report) -> str:
    extra, before = report.extra_cost_picousd, report.healthy.cost_picousd
    if extra is None:
        return UNKNOWN
    share = f" ({extra / before:+.1%})" if before else ""
    return f"{'-' if extra < 0 else '+'}{dollars(abs(extra))}{share}"


def _recovery(one: Recovery) -> tuple[str, str, str, str]:
    out = "no"
    if one.ejected_after_s is not None:
        when = "at once" if one.ejected_after_s < AT_ONCE_S else f"after {seconds(one.ejected_after_s)}"
        out = f"{when} ({one.illness})"
    back = "not in this run" if one.back_after_s is None else f"{seconds(one.back_after_s)} after the end"
    return one.target, str(one.attempts), out, back
