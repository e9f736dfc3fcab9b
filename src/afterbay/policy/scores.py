"""What is expected of a candidate for one request: its cost, quality, time to first output, and how warm its cache is.

What is not known is None, and never taken for nothing: a target without a price is not free, one that nobody has
measured is neither quick nor slow.

    cost        the prompt at the price of its length, what may be cached at the price of that, and an answer of the
                length that is usual for the task: the same for all candidates, since what an alias was asked before
                says nothing of this request, and what has not answered yet must not look dearer for that; never longer
                than the client asks for, or than the model can write
    quality     as a predictor has it (`Ask.qualities`), else the mean of the benchmarks that the catalogue has of every
                candidate that it has any of: means over different benchmarks compare nothing
    latency     `Condition.ttft_p95_s`, measured here
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from afterbay.core.decision import Scores, Target
from afterbay.core.usage import Price, Usage
from afterbay.policy.condition import Condition
from afterbay.policy.filters import Ask
from afterbay.policy.pinning import warm_tokens

USUAL_OUTPUT: Mapping[str, int] = MappingProxyType(
    {
        "summarize": 300,
        "code": 800,
        "extract": 150,
        "chat": 300,
        "reasoning": 1200,
        "creative": 900,
        "qa": 250,
    }
)
"""Tokens of an answer to a task; a translation has as many as what is translated."""
ANY_OUTPUT = 400
"""The same where the task is not known."""


def expected_output(ask: Ask, target: Target, task: str | None) -> int:
    """Tokens that the answer is expected to have: as many of every target that can write so many."""
    usual = (ask.input_tokens or 0) if task == "translate" else USUAL_OUTPUT.get(task or "", ANY_OUTPUT)
    bounds = [one for one in (ask.output_tokens, target.max_output) if one is not None]
    return min([usual, *bounds])


def price_now(ask: Ask, target: Target) -> Price | None:
    """The price that holds when the request comes; None: not known."""
    price = target.price
    return price.at(ask.at) if price is not None and ask.at and (price.dates or price.hours) else price


def expected_cost(ask: Ask, target: Target, warm: int, task: str | None) -> int | None:
    """What an answer is expected to cost, `warm` tokens of its prompt read from a cache; None: the price, or the length
    of the prompt, is not known."""
    price = price_now(ask, target)
    if price is None or ask.input_tokens is None:
        return None
    return price.cost_picousd(Usage(ask.input_tokens - warm, warm, 0, expected_output(ask, target, task)))


def task_of(ask: Ask) -> str | None:
    """The task of a request, as its client or the classifier says; None: nobody does."""
    return ask.task or (ask.facts.task if ask.facts is not None else None)


def score(
    ask: Ask, target: Target, conditions: Mapping[str, Condition], quality: float | None, task: str | None
) -> Scores:
    """What is expected of one target."""
    pinned, warm = ask.pinned, 0
    if pinned is not None and pinned.target == target.id and ask.input_tokens is not None:
        warm = warm_tokens(pinned, ask.input_tokens)
    condition = conditions.get(target.id)
    return Scores(
        expected_cost(ask, target, warm, task),
        quality,
        condition.ttft_p95_s if condition is not None else None,
        warm,
        ask.wish.preferred_provider is not None and target.provider == ask.wish.preferred_provider,
    )


def qualities(ask: Ask, targets: Iterable[Target]) -> dict[str, float]:
    """The expected quality of each target where it is known, by its id."""
    every = list(targets)
    scored = [one for one in every if one.scores and one.alias not in ask.qualities]
    shared = sorted(set.intersection(*(set(one.scores) for one in scored))) if scored else []
    found = {one.id: ask.qualities[one.alias] for one in every if one.alias in ask.qualities}
    if shared and not found:  # a predictor's scale and that of benchmarks are two
        found = {one.id: sum(one.scores[name] for name in shared) / len(shared) for one in scored}
    return found


def score_all(ask: Ask, targets: Sequence[Target], conditions: Mapping[str, Condition]) -> dict[str, Scores]:
    """What is expected of each target, by its id."""
    known, task = qualities(ask, targets), task_of(ask)
    return {one.id: score(ask, one, conditions, known.get(one.id), task) for one in targets}
