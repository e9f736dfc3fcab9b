"""`afterbay router eval`: what the learned router is worth on rows that it did not see."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from afterbay.cli.progress import Progress
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake
from afterbay.evals.outcomes import read_outcomes
from afterbay.evals.ranking import Costs
from afterbay.evals.routellm import Figures, Protocol, Report, evaluate

ROUTELLM = "routellm"
_ALONE = {"rules": "the simple rules", "length": "lengths"}


class Wanted(msgspec.Struct, frozen=True):
    """The options, as they were typed."""

    protocol: str
    labels: int | None
    folds: int
    strong_cost: float
    weak_cost: float
    seed: int


def run_eval(file: Path, train: Path | None, wanted: Wanted, as_json: bool) -> None:
    """Prints what the router is worth.

    Raises:
        Misuse: an option is wrong, or a file is none of rows.
    """
    if wanted.protocol != ROUTELLM:
        raise Misuse(f"There is no protocol {wanted.protocol[:40]}.", remedy=f"There are `{ROUTELLM}` and `pool`.")
    if not 0.0 <= wanted.weak_cost < wanted.strong_cost < math.inf:
        raise Misuse("The cheap model must cost less than the strong one.", remedy="Set --strong-cost, --weak-cost.")
    if train is not None and wanted.labels is not None:
        raise Misuse("--train and --labels exclude each other.", remedy="--labels learns from rows of FILE itself.")
    costs = Costs(wanted.strong_cost, wanted.weak_cost)
    protocol = Protocol(wanted.labels, wanted.folds, costs, wanted.seed)
    try:
        rows = read_outcomes(file)
        trained = None if train is None else read_outcomes(train)
        with Progress("predictors trained", sys.stderr) as progress:
            report = evaluate(rows, protocol, trained, progress)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None
    if as_json:
        print_json(as_object(report, protocol))
    else:
        _show(report, Speech(sys.stderr))


def as_object(report: Report, protocol: Protocol) -> dict[str, Any]:
    """The report as one JSON object: the router's own figures at the top."""
    found: dict[str, Any] = msgspec.to_builtins(report)
    figures = found.pop("figures")
    units = {"apgr": "share of the gap", "cpt50": "percent of calls", "cpt80": "percent of calls"}
    return {
        "protocol": ROUTELLM,
        **figures,
        **found,
        "labels": protocol.labels,
        "folds": None if protocol.labels else protocol.folds,
        "seed": protocol.seed,
        "costs": msgspec.to_builtins(protocol.costs),
        "confidence_of_intervals": 0.95,
        "units": units | dict.fromkeys(("saved_at_95", "saved_at_98"), "share of the strong model's cost"),
    }


def _show(report: Report, speech: Speech) -> None:
    columns = ("router", "APGR", "CPT50", "CPT80", "saved at 95 %", "saved at 98 %")
    named = {"learned": report.figures, **report.baselines}
    print_table(columns, (_cells(name.replace("_", " "), figures) for name, figures in named.items()))
    low, high = report.intervals["apgr"]
    speech.say(
        f"{report.n} rows, {report.tested} tested in each of {report.rounds} rounds. "
        f"APGR {report.figures.apgr:.3f} lies between {low:.3f} and {high:.3f} with 95 % confidence."
    )
    for line in _remarks(report):
        speech.say(line)


def _remarks(report: Report) -> Iterator[str]:
    for name, margin in report.margins.items():
        verdict = "" if margin.low > 0 or margin.high < 0 else " (no certain difference)"
        beside = f"{margin.apgr:+.3f}, between {margin.low:+.3f} and {margin.high:+.3f}{verdict}"
        yield f"Against {name.replace('_', ' ')}: {beside}."
    enough = [name for name in ("rules", "length") if name in report.margins and report.margins[name].low <= 0]
    if enough:
        yield f"Without labels {' and '.join(_ALONE[name] for name in enough)} do as well here, as far as can be told."
    worst = report.worst_group
    if worst is not None:
        yield (
            f"Where 95 % is kept over all, {worst.name} loses most: {worst.strong:.1%} on the strong model, "
            f"{worst.routed:.1%} as routed ({worst.rows} rows)."
        )


def _cells(name: str, figures: Figures) -> tuple[str, ...]:
    return (
        name,
        f"{figures.apgr:.3f}",
        f"{figures.cpt50:.1f} %",
        f"{figures.cpt80:.1f} %",
        f"{figures.saved_at_95:.1%}",
        f"{figures.saved_at_98:.1%}",
    )
