"""How well the task classifier does on labelled prompts, and what it costs: the protocol of `afterbay router tasks`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.policy.facts import Scorer, read_facts
from afterbay.policy.plan import Rules
from afterbay.policy.statement import TASKS

_RULES: Final = Rules()


class Prompt(msgspec.Struct, frozen=True):
    """A prompt, and the task it is where somebody said."""

    text: str
    label: str | None = None


class Judged(msgspec.Struct, frozen=True):
    """What the classifier made of one prompt: its best guess, whether it abstained from deciding on it, CPU seconds."""

    task: str
    probability: float
    abstained: bool
    language: str
    complexity: float
    cpu_s: float


class Score(msgspec.Struct, frozen=True):
    """Of `n` prompts: the share that was decided, and of the labelled ones the share that was right, of those decided
    and of all. None: nothing to judge by. `error_decided`: the standard error of the first."""

    n: int
    coverage: float
    accuracy_decided: float | None
    error_decided: float | None
    accuracy: float | None


def prompts(rows: Iterable[Mapping[str, Any]]) -> list[Prompt]:
    """The prompts of rows with `prompt` or `text`, and maybe `label`.

    Raises:
        ClientMistake: a row has no prompt, or a label that is no task.
    """
    found = []
    for number, row in enumerate(rows, 1):
        text = row.get("prompt", row.get("text"))
        label = row.get("label")
        if not isinstance(text, str):
            raise ClientMistake(f"Row {number} has no prompt.", remedy="Name the column `prompt` or `text`.")
        if label is not None and label not in TASKS:
            raise ClientMistake(
                f"Row {number} has the label {str(label)[:40]!r}.", remedy=f"The tasks are {', '.join(TASKS)}."
            )
        found.append(Prompt(text, label))
    return found


def judged(asked: Sequence[Prompt], scorer: Scorer) -> list[Judged]:
    """What the scorer makes of each prompt; a first one warms up."""
    if asked:
        read_facts(asked[0].text, _RULES, scorer)
    return [_one(prompt, scorer) for prompt in asked]


def _one(prompt: Prompt, scorer: Scorer) -> Judged:
    begun = time.thread_time()
    facts = read_facts(prompt.text, _RULES, scorer)
    spent = time.thread_time() - begun
    best = max(facts.task_scores, key=lambda task: facts.task_scores[task], default="chat")
    return Judged(
        best, round(facts.task_p, 4), facts.task is None, facts.language, round(facts.complexity or 0.0, 3), spent
    )


def score(asked: Sequence[Prompt], found: Sequence[Judged]) -> Score:
    """The figures of these prompts."""
    count = len(asked)
    known = [(one, what) for one, what in zip(asked, found, strict=True) if one.label is not None]
    decided = [what.task == one.label for one, what in known if not what.abstained]
    share = sum(decided) / len(decided) if decided else None
    return Score(
        count,
        sum(not one.abstained for one in found) / count if count else 0.0,
        share,
        (share * (1 - share) / len(decided)) ** 0.5 if share is not None else None,
        sum(what.task == one.label for one, what in known) / len(known) if known else None,
    )


def by_language(asked: Sequence[Prompt], found: Sequence[Judged]) -> dict[str, Score]:
    """The figures by the language that each prompt was seen to be in: `zh`, `en`, and all `other` ones."""
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        groups.setdefault(one.language if one.language in {"zh", "en"} else "other", []).append(place)
    return {
        name: score([asked[i] for i in places], [found[i] for i in places]) for name, places in sorted(groups.items())
    }


def confusion(asked: Sequence[Prompt], found: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """label -> what was guessed -> how often, abstained ones included."""
    counts: dict[str, dict[str, int]] = {}
    for one, what in zip(asked, found, strict=True):
        if one.label is not None:
            row = counts.setdefault(one.label, {})
            row[what.task] = row.get(what.task, 0) + 1
    return counts
