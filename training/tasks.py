"""Trains the task classifier that ships: `python -m training.tasks` writes weights/tasks.bin, the same each time.

Thresholds come from training rows alone: each of `JUDGES` is left out in turn (those written for this by quarters), and
a task is decided where at least `GOAL` of what the others' heads decided on it was right.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.fit import Fitted, Matrix, Table, softmax, table, times_turned
from afterbay.policy.learned.tasks import SPEC, Classifier, features, stored
from afterbay.policy.statement import TASKS
from training.gram import coordinates, gram, logistic
from training.rows import Row, training_rows

STRENGTH: Final = 1 / 30
GOAL: Final = {"": 0.965, "zh:": 0.975}
"""What thresholds aim at, for other languages and for Chinese. 0.95 is promised; rows that are left out were often
written by the same hands as those that remain, which is easier than what others write: in Chinese all of them."""
LEAST: Final = 0.6
JUDGES: Final = frozenset({"own_en", "own_zh", "vicuna_bench", "arena_hard_v0_1", "halueval", "rag_docs"})
"""Sources that thresholds come from. Each of the others is all that is known of a task, or of a way to ask for it
(CLINC150 of talk with a service, CNN's articles of summaries): without it that is not a prompt from elsewhere, it is
a task that was never taught."""
_MIXED_COUNT: Final = 0.5
_BALANCE: Final = 0.3
_OWN_PARTS: Final = 4
OUT: Final = Path(__file__).parents[1] / "src" / "afterbay" / "weights" / "tasks.bin"


def tabled(rows: Sequence[Row]) -> Table:
    """The rows as the heads see them."""
    seen = [features(one.prompt) for one in rows]
    return table([one[0] for one in seen], None, np.stack([one[1] for one in seen]))


def counts_of(rows: Sequence[Row]) -> Matrix:
    """How much each row counts: those of large groups less, joined passages half."""
    sizes = Counter((one.source, one.label) for one in rows)
    found: NDArray[np.float64] = np.array(
        [
            sizes[one.source, one.label] ** -_BALANCE * (_MIXED_COUNT if one.source.startswith("mixed") else 1.0)
            for one in rows
        ]
    )
    even: Matrix = (found / found.mean()).astype(np.float32)
    return even


def parts_of(rows: Sequence[Row]) -> list[NDArray[np.int64]]:
    """Row numbers that are left out together."""
    found: list[NDArray[np.int64]] = []
    sources = np.array([one.source for one in rows])
    for source in sorted(set(sources)):
        places = np.flatnonzero(sources == source)
        if source not in JUDGES:
            continue
        if source.startswith("own"):
            order = np.random.default_rng(0).permutation(places)
            found += [np.sort(order[part::_OWN_PARTS]) for part in range(_OWN_PARTS)]
        else:
            found.append(places)
    return found


def left_out(points: Matrix, labels: NDArray[np.int64], counts: Matrix, parts: Sequence[NDArray[np.int64]]) -> Matrix:
    """Scores of each row by heads that did not see its part; nan for rows of no part."""
    said = np.full((len(points), len(TASKS)), np.nan, np.float32)
    for part in parts:
        kept = np.setdiff1d(np.arange(len(points)), part)
        weights = logistic(points[kept], labels[kept], len(TASKS), STRENGTH, counts[kept])
        said[part] = points[part] @ weights[:-1] + weights[-1]
    return said


def cooled(said: Matrix, labels: NDArray[np.int64], counts: Matrix) -> float:
    """The temperature at which the scores' probabilities fit the labels best."""

    def loss(temperature: float) -> float:
        p = softmax(said / np.float32(temperature))[np.arange(len(labels)), labels]
        return float(-(np.log(np.maximum(p, 1e-9)) * counts).sum())

    return min((round(float(t), 3) for t in np.geomspace(0.5, 4, 60)), key=loss)


def threshold_of(p: NDArray[np.float64], right: NDArray[np.bool_], goal: float) -> float:
    """The lowest probability from which on the share that is right reaches the goal; 0.99 where none does."""
    order = np.argsort(-p, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(share >= goal)
    if not len(good):
        return 0.99
    return min(max(round(float(p[order[good[-1]]]), 3), LEAST), 0.99)


def main() -> None:
    """Trains, and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    out: Path = parser.parse_args().out
    rows = training_rows()
    classifier = trained(rows)
    data = stored(classifier)
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(data)
    print(f"{out.name}: {len(data)} bytes, {len(rows)} prompts, temperature {classifier.temperature}")
    for name, value in sorted(classifier.thresholds.items()):
        print(f"  {name:16s} {value}")


def trained(rows: Sequence[Row]) -> Classifier:
    """The classifier that these rows teach."""
    labels = np.array([TASKS.index(one.label) for one in rows], np.int64)
    seen, counts = tabled(rows), counts_of(rows)
    points = coordinates(gram(seen))
    parts = parts_of(rows)
    said = left_out(points, labels, counts, parts)
    known = ~np.isnan(said[:, 0])
    temperature = cooled(said[known], labels[known], counts[known])
    report(rows, said, labels, temperature)
    thresholds = thresholds_of(rows, said, labels, temperature)
    weights = logistic(points, labels, len(TASKS), STRENGTH, counts)
    heads = _fitted(seen, points, weights).heads(SPEC, TASKS, None)
    return Classifier(heads, temperature, thresholds)


def thresholds_of(rows: Sequence[Row], said: Matrix, labels: NDArray[np.int64], temperature: float) -> dict[str, float]:
    """One threshold for all tasks, in Chinese and in other languages: rows are too few for one for each task."""
    p = softmax(said / np.float32(temperature)).astype(np.float64)
    most, right, known = p.max(axis=1), p.argmax(axis=1) == labels, ~np.isnan(said[:, 0])
    chinese = np.array([one.lang == "zh" for one in rows])
    found: dict[str, float] = {}
    for prefix, of in (("", ~chinese), ("zh:", chinese)):
        threshold = threshold_of(most[known & of], right[known & of], GOAL[prefix])
        found |= {prefix + task: threshold for task in TASKS}
    return found


def _fitted(seen: Table, points: Matrix, weights: Matrix) -> Fitted:
    """The heads over buckets and signs whose scores are those of weights over coordinates."""
    shares = np.linalg.solve(points.T.astype(np.float64), weights[:-1].astype(np.float64)).astype(np.float32)
    return Fitted(seen.buckets, times_turned(seen, shares), weights[-1])


def report(rows: Sequence[Row], said: Matrix, labels: NDArray[np.int64], temperature: float) -> None:
    """Prints how each left-out source did."""
    p = softmax(said / np.float32(temperature))
    for source in sorted({one.source for one in rows}):
        here = np.array([one.source == source for one in rows]) & ~np.isnan(said[:, 0])
        if here.any():
            right = p[here].argmax(axis=1) == labels[here]
            print(f"  {source:16s} {here.sum():5d} right {right.mean():.3f}", file=sys.stderr)


if __name__ == "__main__":
    main()
