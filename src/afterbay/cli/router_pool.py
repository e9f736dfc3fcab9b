"""`afterbay router eval --protocol pool`: what routing over a pool of models comes to, beside what needs no router."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake
from afterbay.evals.pool import AIMS, load, report

_HEADINGS = ("router", "accuracy", "$ per 1,000", "arena score", "ahead of the best single", "saved")
_AIMS = {"accuracy": "most accuracy", "arena": "best arena score"}
_BASELINES = {
    "best_single": "best single model",
    "best_in_hindsight": "the same, in hindsight",
    "cheapest": "cheapest",
    "dearest": "dearest",
    "random": "random",
    "oracle": "oracle",
}


def run_pool(file: Path, folds: int, seed: int, as_json: bool, *, has_more: bool = False) -> None:
    """Prints the scores. `has_more`: options of another protocol were given.

    Raises:
        Misuse: an option is wrong, or the file is not there, or holds no rows of a pool.
    """
    if has_more:
        raise Misuse("--train and --labels are not for pools.", remedy="Rows are scored in --folds, by the others.")
    if folds < 2:
        raise Misuse(f"--folds {folds} leaves nothing to learn from.", remedy="Say 2 or more.")
    try:
        found = report(load(file), folds, seed)
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}.", remedy="Name a JSONL file.") from None
    except ClientMistake as error:
        raise Misuse(
            error.message, remedy="Give rows of {question, models: {NAME: {score, inference_cost}}}."
        ) from None
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    Speech(sys.stderr).say(f"{found['n']} rows, {len(found['models'])} models, {found['folds']} folds.")
    blend = [(_AIMS.get(aim, f"least cost at {aim} %"), found["routers"]["blend"][aim]) for aim in AIMS]
    others = [(f"{name}, {_AIMS['arena']}", of["arena"]) for name, of in found["routers"].items() if name != "blend"]
    against = [(title, found["baselines"][name]) for name, title in _BASELINES.items()]
    rows = [*((f"blend, {title}", figures) for title, figures in blend), *others, *against]
    if found["unseen"] is not None:
        rows.insert(len(blend), ("blend, datasets unseen", found["unseen"]["arena"]))
    print_table(_HEADINGS, [_line(title, figures) for title, figures in rows])


def _line(title: str, figures: dict[str, Any]) -> tuple[str, ...]:
    return (
        title,
        f"{figures['accuracy']:.3f} ± {figures['accuracy_se']:.3f}",
        f"{figures['cost_per_1k']:.4g}",
        f"{figures['arena_score']:.4f}",
        f"{figures['ahead']:+.4f} ± {figures['ahead_se']:.4f}",
        f"{figures['saved']:.1%}",
    )
