"""How much of a strong model's advantage a router keeps for how much of its price: RouteLLM's protocol on rows of
one's own.

A predictor is trained on some rows and orders others by predicted gain. Which rows: `folds` of the file in turn; or,
with `labels`, a random draw of so many, the rest tested, five times; or a file of their own. A prompt that occurs
twice is on one side only. Small files are split into folds several times over, as one split's luck would show.

Beside the router always stand chance, the length of the prompt, the simple rules, and, where rows name a subject, an
oracle that knows each subject's average gain. Intervals are bootstrapped over rows; a margin's is of the paired
difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals.outcomes import STRONG, WEAK, Outcomes
from afterbay.evals.ranking import MEASURES, Column, Costs, Index, Ranking, ranked
from afterbay.policy.facts import read_facts
from afterbay.policy.learned.quality import FEWEST_LABELS, Prompt, read_prompt, train
from afterbay.policy.plan import Rules

Progress: TypeAlias = Callable[[int, int], None]
Scores: TypeAlias = NDArray[np.float64]

DRAWS: Final = 5
RESAMPLES: Final = 400
_ROWS_SCORED: Final = 10_000
_MOST_ROUNDS: Final = 10
_FEWEST_IN_GROUP: Final = 30
_RANDOM_ORDERS: Final = 20
_SHRINK_ROWS: Final = 10
"""A subject's average gain counts as if so many rows of average gain were added."""


class Protocol(msgspec.Struct, frozen=True):
    """How rows are split, and what requests cost."""

    labels: int | None = None
    folds: int = 5
    costs: Costs = Costs()
    seed: int = 0


class Figures(msgspec.Struct, frozen=True):
    """`MEASURES` of one way to order requests."""

    apgr: float
    cpt50: float
    cpt80: float
    saved_at_95: float
    saved_at_98: float


class Margin(msgspec.Struct, frozen=True):
    """How much higher the router's APGR is than a baseline's, on the same rows."""

    apgr: float
    standard_error: float
    low: float
    high: float


class Group(msgspec.Struct, frozen=True):
    """Rows of one subject where the router keeps 95 % over all rows: what they keep of the strong model's quality."""

    name: str
    rows: int
    strong: float
    routed: float
    loss: float


class Report(msgspec.Struct, frozen=True):
    """What a router is worth on some rows."""

    n: int
    trained_on: int
    tested: int
    rounds: int
    figures: Figures
    intervals: Mapping[str, tuple[float, float]]
    standard_errors: Mapping[str, float]
    baselines: Mapping[str, Figures]
    margins: Mapping[str, Margin]
    worst_group: Group | None
    strong_quality: float
    weak_quality: float


class _Round(msgspec.Struct, frozen=True):
    """Rows tested, each once, with the router's score and those of the baselines."""

    trained_on: int
    tested: Index
    router: Scores
    baselines: Mapping[str, Scores]


def evaluate(rows: Outcomes, protocol: Protocol, trained: Outcomes | None, progress: Progress) -> Report:
    """Trains and tests as the protocol says; `trained` are rows of another file that trains in place of this one.

    Raises:
        ClientMistake: there are too few rows, they name no two models, or the strong one is no better.
    """
    strong, weak = _pair(rows)
    data = _Data(rows, strong, weak)
    rounds = list(_rounds(data, protocol, progress)) if trained is None else [_transfer(data, trained, progress)]
    return _report(data, rounds, protocol)


class _Data:
    """The rows of a file with all that is computed of them once."""

    def __init__(self, rows: Outcomes, strong: Column, weak: Column) -> None:
        self.rows, self.strong, self.weak = rows, strong, weak
        self.prompts: list[Prompt] = [read_prompt(prompt) for prompt in rows.prompts]
        self.length = np.array([len(prompt) for prompt in rows.prompts], np.float64)
        self.rules = np.array([by_rules(prompt) for prompt in rows.prompts], np.float64)
        self.same = rows.numbers()
        names = [group or "" for group in rows.groups]
        self.group_names, self.groups = np.unique(np.array(names), return_inverse=True)
        self.has_groups = len(self.group_names) > 1

    def plain(self, asked: Index) -> dict[str, Scores]:
        """The scores of what learns nothing."""
        return {"length": self.length[asked], "rules": self.rules[asked]}

    def learned(self, taught: Index, asked: Index) -> Scores:
        """The predicted gain of each asked row, by a predictor of the taught ones."""
        both = np.stack([self.strong, self.weak], axis=1)[taught]
        return predicted([self.prompts[i] for i in taught], both, [self.prompts[i] for i in asked])

    def by_group(self, taught: Index, asked: Index) -> Scores:
        """The average gain of each asked row's subject among the taught rows."""
        gain = (self.strong - self.weak)[taught]
        total = np.bincount(self.groups[taught], weights=gain, minlength=len(self.group_names))
        count = np.bincount(self.groups[taught], minlength=len(self.group_names))
        means = (total + _SHRINK_ROWS * gain.mean()) / (count + _SHRINK_ROWS)
        return np.asarray(means[self.groups[asked]], np.float64)


def by_rules(prompt: str) -> float:
    """How strong a model the simple rules of `auto` want: from 0, an extract of a short text, to 1, reasoning."""
    rules = Rules()
    facts = read_facts(prompt, rules)
    if "extract" in facts.mentions and facts.words < rules.short_words:
        return 0.0
    if "reasoning" in facts.mentions or facts.words > rules.long_words:
        return 1.0
    if "code" in facts.mentions:
        return 0.75
    return 0.25 if facts.words < rules.short_words else 0.5


def predicted(taught: list[Prompt], outcomes: NDArray[np.float64], asked: list[Prompt]) -> Scores:
    """The gain of each asked prompt, predicted in the shipped form, whole bytes and all; outcomes: strong, weak."""
    quality = train(taught, outcomes, (STRONG, WEAK))
    return np.array([said[0] - said[1] for said in map(quality.raw, asked)], np.float64)


def _pair(rows: Outcomes) -> tuple[Column, Column]:
    """The outcomes of the better and the worse of two models."""
    if len(rows.models) != 2 or np.isnan(rows.found).any():
        raise ClientMistake(
            f"This protocol compares two models on every row; the rows name {len(rows.models)}, or lack outcomes.",
            remedy="Use rows with strong_correct and weak_correct, or --protocol pool for many models.",
        )
    if STRONG in rows.models:
        strong, weak = (rows.found[:, rows.models.index(name)] for name in (STRONG, WEAK))
    else:
        best = int(rows.found.mean(axis=0).argmax())
        strong, weak = rows.found[:, best], rows.found[:, 1 - best]
    if strong.mean() <= weak.mean():
        raise ClientMistake(
            f"The strong model is right on {strong.mean():.1%} of the rows, the weak one on {weak.mean():.1%}: "
            "there is no advantage to keep.",
            remedy="Route everything to the weak model, or check which column is which.",
        )
    return strong, weak


def _rounds(data: _Data, protocol: Protocol, progress: Progress) -> Iterator[_Round]:
    plans = list(_draws(data, protocol) if protocol.labels is not None else _folded(data, protocol))
    done, total = 0, sum(map(len, plans))
    for splits in plans:
        parts = []
        for taught, asked in splits:
            beside = {"subject_oracle": data.by_group(taught, asked)} if data.has_groups else {}
            parts.append((asked, data.learned(taught, asked), beside))
            done += 1
            progress(done, total)
        asked = np.concatenate([part[0] for part in parts])
        beside = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
        taught_on = len(splits[0][0])
        yield _Round(taught_on, asked, np.concatenate([part[1] for part in parts]), {**data.plain(asked), **beside})


def _draws(data: _Data, protocol: Protocol) -> Iterator[list[tuple[Index, Index]]]:
    """Random rows to learn from, all others to test."""
    labels, most = protocol.labels or 0, len(data.rows) - 2
    if not FEWEST_LABELS <= labels <= most:
        raise ClientMistake(
            f"--labels {labels} of {len(data.rows)} rows leaves too few to learn from or to test.",
            remedy=f"Say a number from {FEWEST_LABELS} to {most}.",
        )
    for draw in range(DRAWS):
        order = np.random.default_rng([protocol.seed, draw]).permutation(len(data.rows))
        taught = np.sort(order[:labels])
        yield [(taught, np.flatnonzero(~np.isin(data.same, data.same[taught])))]


def _folded(data: _Data, protocol: Protocol) -> Iterator[list[tuple[Index, Index]]]:
    """Folds, prompts that are the same in one fold; several times over where the file is small."""
    kinds = int(data.same.max()) + 1
    if not 2 <= protocol.folds <= kinds or len(data.rows) * (protocol.folds - 1) // protocol.folds < FEWEST_LABELS:
        raise ClientMistake(
            f"{len(data.rows)} rows are too few for {protocol.folds} folds.",
            remedy=f"It takes {FEWEST_LABELS} rows to learn from beside those that are tested.",
        )
    for again in range(min(max(-(-_ROWS_SCORED // len(data.rows)), 1), _MOST_ROUNDS)):
        order = np.random.default_rng([protocol.seed, again]).permutation(kinds)
        fold = np.empty(kinds, np.int64)
        fold[order] = np.arange(kinds) % protocol.folds
        mine = fold[data.same]
        yield [(np.flatnonzero(mine != part), np.flatnonzero(mine == part)) for part in range(protocol.folds)]


def _transfer(data: _Data, trained: Outcomes, progress: Progress) -> _Round:
    """All rows of the file, scored by a predictor of another file's other prompts."""
    others = trained.without(frozenset(data.rows.prompts))
    if len(others) < FEWEST_LABELS:
        raise ClientMistake(
            f"The file to train on has {len(others)} rows whose prompts are not tested; that is too few.",
            remedy=f"It takes at least {FEWEST_LABELS}.",
        )
    strong, weak = _pair(others)
    taught = [read_prompt(prompt) for prompt in others.prompts]
    asked = np.arange(len(data.rows))
    scores = predicted(taught, np.stack([strong, weak], axis=1), data.prompts)
    progress(1, 1)
    return _Round(len(others), asked, scores, data.plain(asked))


def _report(data: _Data, rounds: list[_Round], protocol: Protocol) -> Report:
    costs = protocol.costs
    router = [_ranking(data, part.tested, part.router, protocol.seed) for part in rounds]
    others = {
        name: [_ranking(data, part.tested, part.baselines[name], protocol.seed) for part in rounds]
        for name in rounds[0].baselines
    }
    draws = np.random.default_rng([protocol.seed, 7])
    counts = [
        np.bincount(draws.integers(0, len(data.rows), len(data.rows)), minlength=len(data.rows)).astype(np.float64)
        for _ in range(RESAMPLES)
    ]
    spread = np.array([np.mean([order.measured(costs, count) for order in router], axis=0) for count in counts])
    low, high = np.nanquantile(spread, [0.025, 0.975], axis=0)
    return Report(
        n=len(data.rows),
        trained_on=rounds[0].trained_on,
        tested=len(rounds[0].tested),
        rounds=len(rounds),
        figures=_mean_figures(router, costs),
        intervals={name: (float(low[i]), float(high[i])) for i, name in enumerate(MEASURES)},
        standard_errors=dict(zip(MEASURES, np.nanstd(spread, axis=0).tolist(), strict=True)),
        baselines={"random": _chance(data, rounds[0].tested, costs)}
        | {name: _mean_figures(orders, costs) for name, orders in others.items()},
        margins={name: _margin(router, orders, counts) for name, orders in others.items()},
        worst_group=_worst_group(data, router),
        strong_quality=float(data.strong.mean()),
        weak_quality=float(data.weak.mean()),
    )


def _ranking(data: _Data, tested: Index, scores: Scores, seed: int) -> Ranking:
    return ranked(tested, scores, data.strong, data.weak, seed)


def _mean_figures(orders: list[Ranking], costs: Costs) -> Figures:
    return Figures(*np.mean([order.measured(costs) for order in orders], axis=0).tolist())


def _chance(data: _Data, tested: Index, costs: Costs) -> Figures:
    nothing = np.zeros(len(tested))
    return _mean_figures([_ranking(data, tested, nothing, seed) for seed in range(_RANDOM_ORDERS)], costs)


def _margin(router: list[Ranking], other: list[Ranking], counts: list[Column]) -> Margin:
    def apart(count: Column | None) -> float:
        return float(np.mean([a.apgr(count) - b.apgr(count) for a, b in zip(router, other, strict=True)]))

    spread = np.array([apart(count) for count in counts])
    low, high = np.nanquantile(spread, [0.025, 0.975]).tolist()
    return Margin(apart(None), float(np.nanstd(spread)), low, high)


def _worst_group(data: _Data, router: list[Ranking]) -> Group | None:
    """The subject that loses most at the cut that keeps 95 % over all."""
    if not data.has_groups:
        return None
    size, kept, best = (np.zeros(len(data.group_names)) for _ in range(3))
    for order in router:
        asked = np.arange(len(order.rows)) < round(order.strong_share(0.95) * len(order.rows))
        mine = data.groups[order.rows]
        size += np.bincount(mine, minlength=len(size))
        best += np.bincount(mine, weights=order.strong, minlength=len(size))
        kept += np.bincount(mine, weights=np.where(asked, order.strong, order.weak), minlength=len(size))
    large = np.flatnonzero(size >= _FEWEST_IN_GROUP * len(router))
    if not len(large):
        return None
    worst = int(large[((best - kept) / np.maximum(size, 1))[large].argmax()])
    strong, routed = best[worst] / size[worst], kept[worst] / size[worst]
    rows = int(np.bincount(data.groups)[worst])
    return Group(str(data.group_names[worst]), rows, float(strong), float(routed), float(strong - routed))
