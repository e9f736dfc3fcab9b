"""`afterbay router eval --cascade`: what looking at the cheap model's answers is worth on rows that were not seen."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake
from afterbay.evals.cascade import evaluate, read_rows
from afterbay.evals.ranking import Costs

_UNITS = {
    "apgr": "share of the gap",
    "cpt50": "percent of calls",
    "cpt80": "percent of calls",
    "saved_at_95": "share of the strong model's cost",
    "saved_at_98": "share of the strong model's cost",
}


def run_cascade(
    file: Path,
    train: Path | None,
    *,
    labels: int | None = None,
    folds: int = 5,
    strong_cost: float = 100.0,
    weak_cost: float = 1.0,
    seed: int = 0,
    as_json: bool = False,
) -> None:
    """Prints what the cascade is worth.

    Raises:
        Misuse: an option is wrong, or a file is none of rows.
    """
    if not 0.0 <= weak_cost < strong_cost < math.inf:
        raise Misuse("The cheap model must cost less than the strong one.", remedy="Set --strong-cost, --weak-cost.")
    if train is not None and labels is not None:
        raise Misuse("--train and --labels exclude each other.", remedy="--labels learns from rows of FILE itself.")
    costs = Costs(strong_cost, weak_cost)
    try:
        rows = read_rows(file)
        others = None if train is None else read_rows(train)
        found = evaluate(rows, train=others, labels=labels, folds=folds, costs=costs, seed=seed)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None
    except ValueError as error:
        raise Misuse(f"{error}.", remedy="Give more rows, or ask for fewer --folds or --labels.") from None
    told = {
        "protocol": "routellm",
        "cascade": True,
        **found,
        "labels": labels,
        "folds": folds if train is None and labels is None else None,
        "seed": seed,
        "costs": {"strong": strong_cost, "weak": weak_cost},
        "confidence_of_intervals": 0.95,
        "units": _UNITS,
    }
    if as_json:
        print_json(told)
    else:
        _show(told, Speech(sys.stderr))


def _show(told: Mapping[str, Any], speech: Speech) -> None:
    columns = ("router", "APGR", "CPT50", "CPT80", "saved at 95 %", "saved at 98 %")
    named = {"cascade": told, **told["baselines"]}
    print_table(columns, [_cells(name, figures) for name, figures in named.items()])
    low, high = told["intervals"]["apgr"]
    alone, margin = told["checks_alone"], told["margins"]["length"]
    speech.say(
        f"{told['n']} rows, each scored by what {told['trained_on']} others taught; every cheap call is paid. "
        f"APGR {told['apgr']:.3f} lies between {low:.3f} and {high:.3f} with 95 % confidence."
    )
    speech.say(f"Against length: {margin['apgr']:+.3f}, between {margin['low']:+.3f} and {margin['high']:+.3f}.")
    speech.say(
        f"The checks alone accept {alone['accepted']:.1%} of the cheap answers, keep {alone['kept']:.1%} of the strong "
        f"model's quality and save {alone['saved']:.1%}."
    )


def _cells(name: str, figures: Mapping[str, float]) -> tuple[str, ...]:
    return (
        name,
        f"{figures['apgr']:.3f}",
        f"{figures['cpt50']:.1f} %",
        f"{figures['cpt80']:.1f} %",
        f"{figures['saved_at_95']:.1%}",
        f"{figures['saved_at_98']:.1%}",
    )
