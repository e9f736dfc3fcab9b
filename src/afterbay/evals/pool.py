"""How well prompts are routed over a pool of models, on rows that have every model's outcome.

    {"question": "...", "dataset": "MMLU_management", "models": {"NAME": {"score": 1.0, "inference_cost": 0.0001}, ...}}

A router predicts the quality of each model (`policy.learned.pool`: `blend`; its parts, and their plain `mean`) and its
cost (a line in the prompt's length), and takes the model with the most quality less a weight times cost. What is
learned, and the weight, come from the other folds alone: the weight from predictions for training rows by predictors
that did not see them. So no row is scored by anything that saw its outcome. What a weight is chosen for is an aim:

    accuracy   the best accuracy, at equal accuracy the least cost
    arena      the best arena score
    100 98 95  the least cost at so many per cent of the accuracy of the best single model

For the first two, accuracy counts less one standard error of its difference to the best single model's: a router that
is ahead by chance is not taken, and where none is ahead the best single model answers everything.

Beside them: the best single model by training rows, by all rows (hindsight), the cheapest, the dearest, a random one,
a router that knows the prompt's length alone, one that knows the dataset, and the oracle. The same again with whole
datasets left out of training (`unseen`).

The arena score is RouterArena's (arXiv 2510.00202; RouteWorks/RouterArena, llm_evaluation/run.py, read November 2026):
with a = accuracy, c = dollars per 1,000 queries, and C = log(200 / c) / log(200 / 0.0044), it is 1.1 a C / (0.1 a + C).
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.fit import Index, folds
from afterbay.policy.learned.pool import PRIOR_LABELS, Parts, blend_for, evenly, joined
from afterbay.policy.learned.quality import Prompt, read_prompt

Numbers: TypeAlias = NDArray[np.float64]

AIMS: Final = ("accuracy", "arena", "100", "98", "95")
INNER_FOLDS: Final = 3
GROUP_ROWS: Final = 20
"""Smaller groups say nothing of a worst one."""
DEAREST_USD: Final = 200.0
CHEAPEST_USD: Final = 0.0044
"""Of 1,000 queries: where RouterArena's score of cost is 0, and where it is 1."""
COST_SHARE: Final = 0.1

_WEIGHTS: Final = np.concatenate([[0.0], np.logspace(-4, 1.5, 45)])
"""What the mean cost of the dearest model is worth, in quality."""


class Outcome(msgspec.Struct, frozen=True):
    """What a model's answer was worth, and what it cost in dollars."""

    score: float
    inference_cost: float


class Row(msgspec.Struct, frozen=True):
    """A question with every model's outcome."""

    question: str
    models: dict[str, Outcome]
    dataset: str = ""


class Pool(msgspec.Struct, frozen=True):
    """Rows as numbers: `scores` and `costs` are (rows, models)."""

    names: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    lengths: Numbers
    scores: Numbers
    costs: Numbers
    datasets: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.lengths)


class Tried(msgspec.Struct, frozen=True):
    """What a weight of cost comes to on training rows; `doubt`: the standard error of what it is ahead of the best
    single model, which has no weight and no doubt."""

    weight: float | None
    accuracy: float
    doubt: float
    usd: float


class Guess(msgspec.Struct, frozen=True):
    """What is predicted for some rows, (rows, models): quality by the parts of a pool's predictor and by other means,
    and cost."""

    parts: Parts
    others: Mapping[str, Numbers]
    cost: Numbers

    def quality(self, blend: tuple[float, float, float]) -> dict[str, Numbers]:
        """Quality by each way to predict it."""
        parts = self.parts
        own = {
            "blend": parts.blended(blend),
            "mean": parts.blended(),
            "ridge": parts.ridge,
            "clusters": parts.clusters,
            "nearest": parts.nearest,
        }
        return {name: np.asarray(said, np.float64) for name, said in own.items()} | dict(self.others)


def load(path: Path) -> list[Row]:
    """The rows of a file, one JSON object a line.

    Raises:
        ClientMistake: a line is no such row, or there are too few.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except msgspec.DecodeError as error:
            raise ClientMistake(f"{path.name}, line {number}: it is no row of a pool: {error}.") from None
    return rows


def pool_of(rows: Sequence[Row]) -> Pool:
    """The rows as numbers, for the models that every row has an outcome of.

    Raises:
        ClientMistake: there are fewer than two of these, or fewer than 20 rows.
    """
    names = sorted(set.intersection(*(set(row.models) for row in rows))) if rows else []
    if len(names) < 2 or len(rows) < GROUP_ROWS:
        raise ClientMistake(f"{len(rows)} rows with {len(names)} models in all of them: a pool has 20 and 2 at least.")
    outcomes = [[row.models[name] for name in names] for row in rows]
    return Pool(
        tuple(names),
        tuple(read_prompt(row.question) for row in rows),
        np.array([len(row.question) for row in rows], np.float64),
        np.array([[one.score for one in of] for of in outcomes]),
        np.array([[one.inference_cost for one in of] for of in outcomes]),
        tuple(row.dataset for row in rows),
    )


def arena_score(accuracy: float, usd_per_1k: float) -> float:
    """RouterArena's score of a router."""
    cost = min(max(usd_per_1k, CHEAPEST_USD), DEAREST_USD)
    thrift = math.log(DEAREST_USD / cost) / math.log(DEAREST_USD / CHEAPEST_USD)
    below = COST_SHARE * accuracy + thrift
    return (1 + COST_SHARE) * accuracy * thrift / below if below > 0 else 0.0


def report(rows: Sequence[Row], count: int = 5, seed: int = 0) -> dict[str, Any]:
    """Everything that is known of routing over these rows, for JSON."""
    pool = pool_of(rows)
    scored = _scored(pool, list(folds(pool.rows, count, seed)), seed)
    headline = scored["routers"]["blend"]["arena"]
    unseen: dict[str, Any] | None = None
    if len(set(pool.datasets)) >= count:
        unseen = _scored(pool, list(_by_dataset(pool.datasets, count, seed)), seed)["routers"]["blend"]
    return {
        "protocol": "pool",
        "n": pool.rows,
        "models": list(pool.names),
        "folds": count,
        "seed": seed,
        **{name: headline[name] for name in ("accuracy", "cost_per_1k", "arena_score")},
        **{f"saved_at_{aim}": scored["routers"]["blend"][aim]["saved"] for aim in AIMS[2:]},
        **scored,
        "unseen": unseen,
    }


def _by_dataset(datasets: Sequence[str], count: int, seed: int) -> Iterable[tuple[Index, Index]]:
    """Folds that no dataset is in two of."""
    names = sorted(set(datasets))
    places = {name: at % count for at, name in enumerate(np.random.default_rng(seed).permutation(names).tolist())}
    numbers = np.array([places[name] for name in datasets])
    for part in range(count):
        yield np.flatnonzero(numbers != part), np.flatnonzero(numbers == part)


def _scored(pool: Pool, parts: Sequence[tuple[Index, Index]], seed: int) -> dict[str, Any]:
    """Routers and baselines over the folds."""
    picks: dict[str, dict[str, Index]] = {}
    blends = []
    single, cheapest, dearest = (np.zeros(pool.rows, np.int64) for _ in range(3))
    for trained, tested in parts:
        single[tested] = _best(pool, trained)
        costs = pool.costs[trained].mean(axis=0)
        cheapest[tested], dearest[tested] = int(np.argmin(costs)), int(np.argmax(costs))
        inner = _out_of_fold(pool, trained, seed)
        blend = blend_for(inner.parts, _labels(pool, trained))
        blends.append(blend)
        guess, seen = _guess(pool, trained, tested, seed), inner.quality(blend)
        for router, quality in guess.quality(blend).items():
            weights = _weights(pool, trained, seen[router], inner.cost)
            for aim, weight in weights.items():
                chosen = single[tested] if weight is None else _take(quality, guess.cost, weight)
                picks.setdefault(router, {}).setdefault(aim, np.zeros(pool.rows, np.int64))[tested] = chosen
    against = {
        "best_single": single,
        "cheapest": cheapest,
        "dearest": dearest,
        "best_in_hindsight": np.full(pool.rows, _best(pool, np.arange(pool.rows))),
        "oracle": _oracle(pool),
    }
    measured = {name: _measured(pool, chosen, single) for name, chosen in against.items()}
    measured["random"] = _random(pool)
    routers = {
        router: {aim: _measured(pool, chosen, single) for aim, chosen in of.items()} for router, of in picks.items()
    }
    return {
        "routers": routers,
        "blends": blends,
        "baselines": measured,
        "worst_group": _worst(pool, picks["blend"]["98"], single),
    }


def _best(pool: Pool, rows: Index) -> int:
    """The model with the best accuracy on these rows; of equals the cheapest."""
    accuracy, cost = pool.scores[rows].mean(axis=0), pool.costs[rows].mean(axis=0)
    return min(range(len(pool.names)), key=lambda model: (-accuracy[model], cost[model]))


def _oracle(pool: Pool) -> Index:
    """For each row the cheapest of the models that do best."""
    best = pool.scores.max(axis=1, keepdims=True)
    return np.asarray(np.argmin(np.where(pool.scores >= best, pool.costs, np.inf), axis=1), np.int64)


def _take(quality: Numbers, cost: Numbers, weight: float) -> Index:
    return np.asarray(np.argmax(quality - weight * cost, axis=1), np.int64)


def _labels(pool: Pool, rows: Index) -> NDArray[np.float32]:
    """What predictors learn from: some metrics go beyond 0 and 1."""
    return np.clip(pool.scores[rows], 0, 1).astype(np.float32)


def _out_of_fold(pool: Pool, trained: Index, seed: int) -> Guess:
    """What is predicted for training rows by predictors that did not see them."""
    parts, places = [], []
    for some, others in folds(len(trained), INNER_FOLDS, seed + 1):
        parts.append(_guess(pool, trained[some], trained[others], seed))
        places.append(others)
    back = np.argsort(np.concatenate(places))
    every = joined([one.parts for one in parts])
    return Guess(
        Parts(every.ridge[back], every.clusters[back], every.nearest[back]),
        {name: np.concatenate([one.others[name] for one in parts])[back] for name in parts[0].others},
        np.concatenate([one.cost for one in parts])[back],
    )


def _guess(pool: Pool, trained: Index, tested: Index, seed: int) -> Guess:
    """What predictors of all kinds, trained on some rows, say of others."""
    labels = _labels(pool, trained)
    predictor = evenly([pool.prompts[row] for row in trained], labels, pool.names, seed)
    others = {"length": _line(np.log1p(pool.lengths[trained]), labels, np.log1p(pool.lengths[tested]))}
    if len(set(pool.datasets)) > 1:
        others["dataset"] = _by_subject(pool, trained, tested, labels)
    cost = np.maximum(_line(pool.lengths[trained], pool.costs[trained], pool.lengths[tested]), 0)
    return Guess(predictor.parts([pool.prompts[row] for row in tested]), others, cost)


def _line(seen: Numbers, targets: NDArray[np.floating], asked: Numbers) -> Numbers:
    """Least squares of a line for each column of targets."""
    spread = seen - seen.mean()
    slope = spread @ (targets - targets.mean(axis=0)) / max(float(spread @ spread), 1e-12)
    return np.asarray(targets.mean(axis=0) + (asked - seen.mean())[:, None] * slope, np.float64)


def _by_subject(pool: Pool, trained: Index, tested: Index, labels: NDArray[np.float32]) -> Numbers:
    """How each model did on the prompt's dataset, starting from how it did on all."""
    every = labels.mean(axis=0)
    sums: dict[str, NDArray[np.floating]] = {}
    counts: dict[str, int] = {}
    for row, values in zip(trained, labels, strict=True):
        name = pool.datasets[row]
        sums[name], counts[name] = sums.get(name, np.zeros_like(every)) + values, counts.get(name, 0) + 1
    names = [pool.datasets[row] for row in tested]
    means = [(sums.get(name, 0) + PRIOR_LABELS * every) / (counts.get(name, 0) + PRIOR_LABELS) for name in names]
    return np.array(means, np.float64)


def _weights(pool: Pool, trained: Index, quality: Numbers, cost: Numbers) -> dict[str, float | None]:
    """For each aim the weight of cost that reaches it on training rows; None: the best single model does."""
    scale = 1 / max(float(pool.costs[trained].mean(axis=0).max()), 1e-12)
    scores, costs, best = pool.scores[trained], pool.costs[trained], _best(pool, trained)
    alone = Tried(None, float(scores[:, best].mean()), 0.0, float(costs[:, best].mean()))
    tried = [alone]
    rows = np.arange(len(trained))
    for weight in _WEIGHTS * scale:
        chosen = _take(quality, cost, weight)
        taken = scores[rows, chosen]
        doubt = float((taken - scores[:, best]).std()) / math.sqrt(len(rows))
        tried.append(Tried(float(weight), float(taken.mean()), doubt, float(costs[rows, chosen].mean())))
    found = {
        "accuracy": max(tried, key=lambda one: (one.accuracy - one.doubt, -one.usd)).weight,
        "arena": max(tried, key=lambda one: arena_score(one.accuracy - one.doubt, 1000 * one.usd)).weight,
    }
    for aim in AIMS[2:]:
        enough = [one for one in tried if one.accuracy >= alone.accuracy * (float(aim) / 100)]
        found[aim] = min(enough, key=lambda one: one.usd).weight
    return found


def _measured(pool: Pool, chosen: Index, single: Index) -> dict[str, Any]:
    """What these choices come to; differences are to the best single model, row by row."""
    rows = np.arange(pool.rows)
    scores, costs = pool.scores[rows, chosen], pool.costs[rows, chosen]
    ahead = scores - pool.scores[rows, single]
    shares = np.bincount(chosen, minlength=len(pool.names)) / pool.rows
    return _figures(scores, costs, ahead, float(pool.costs[rows, single].mean())) | {
        "share": {name: round(float(share), 4) for name, share in zip(pool.names, shares, strict=True)}
    }


def _figures(scores: Numbers, costs: Numbers, ahead: Numbers, single_usd: float) -> dict[str, Any]:
    accuracy, usd = float(scores.mean()), float(costs.mean())
    root = math.sqrt(len(scores))
    return {
        "accuracy": round(accuracy, 4),
        "accuracy_se": round(float(scores.std(ddof=1)) / root, 4),
        "cost_per_1k": round(1000 * usd, 5),
        "arena_score": round(arena_score(accuracy, 1000 * usd), 4),
        "ahead": round(float(ahead.mean()), 4),
        "ahead_se": round(float(ahead.std(ddof=1)) / root, 4),
        "saved": round(1 - usd / single_usd, 4) if single_usd > 0 else 0.0,
    }


def _random(pool: Pool) -> dict[str, Any]:
    """Any model at equal chances, in expectation."""
    best = _best(pool, np.arange(pool.rows))
    scores, costs = pool.scores.mean(axis=1), pool.costs.mean(axis=1)
    return _figures(scores, costs, scores - pool.scores[:, best], float(pool.costs[:, best].mean()))


def _worst(pool: Pool, chosen: Index, single: Index) -> dict[str, Any] | None:
    """The group of datasets (by the first word of their names) that loses most against the best single model."""
    rows = np.arange(pool.rows)
    ahead = pool.scores[rows, chosen] - pool.scores[rows, single]
    groups = np.array([name.split("_")[0] for name in pool.datasets])
    losses = [
        (
            float(ahead[groups == group].mean()),
            str(group),
            int((groups == group).sum()),
            float(ahead[groups == group].std()),
        )
        for group in sorted(set(groups))
        if (groups == group).sum() >= GROUP_ROWS
    ]
    if not losses:
        return None
    worst, group, count, spread = min(losses)
    return {"group": group, "n": count, "ahead": round(worst, 4), "ahead_se": round(spread / math.sqrt(count), 4)}
