"""Rows that say how models did on prompts: JSONL, a prompt and an outcome of each model a line.

Three forms are read, told by their columns: `prompt` with `strong_correct` and `weak_correct`; `prompt` with
`outcomes`, an object from model to outcome; `question` with `models`, an object from model to an object with `score`.
An outcome is true, false, or a share from 0 to 1; null, or a model that is not named, is not known. A `score` is a
metric's, of which some leave that range by a little: it is held within it.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake

STRONG, WEAK = "strong", "weak"
"""Names of the two models of rows with `strong_correct` and `weak_correct`."""
_FORMS = "Each line is an object with `prompt`, and `strong_correct` and `weak_correct`, or `outcomes`."


class Outcomes(msgspec.Struct, frozen=True):
    """`found` is (prompts, models), NaN where not known; `groups` are subjects or the like, None where a row has
    none."""

    prompts: tuple[str, ...]
    groups: tuple[str | None, ...]
    models: tuple[str, ...]
    found: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.prompts)

    def numbers(self) -> NDArray[np.int64]:
        """A number for each row, from 0, the same where the prompt is the same."""
        known: dict[str, int] = {}
        return np.array([known.setdefault(prompt, len(known)) for prompt in self.prompts], np.int64)

    def without(self, prompts: frozenset[str]) -> Outcomes:
        """The rows whose prompt is none of these."""
        kept = [i for i, prompt in enumerate(self.prompts) if prompt not in prompts]
        return Outcomes(
            tuple(self.prompts[i] for i in kept),
            tuple(self.groups[i] for i in kept),
            self.models,
            self.found[np.array(kept, np.int64)],
        )


class _Scored(msgspec.Struct):
    score: bool | float | None = None


class _Row(msgspec.Struct):
    prompt: str | None = None
    question: str | None = None
    strong_correct: bool | float | None = None
    weak_correct: bool | float | None = None
    outcomes: dict[str, bool | float | None] | None = None
    models: dict[str, _Scored] | None = None
    subject: str | None = None
    category: str | None = None
    dataset: str | None = None

    def by_model(self) -> Mapping[str, bool | float | None]:
        if self.outcomes is not None:
            return self.outcomes
        if self.models is not None:
            return {name: _held(scored.score) for name, scored in self.models.items()}
        return {STRONG: self.strong_correct, WEAK: self.weak_correct}


def read_outcomes(path: Path) -> Outcomes:
    """The rows of a file, in order.

    Raises:
        ClientMistake: it cannot be read, or a line is none of the three forms.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise ClientMistake(f"{path} cannot be read: {error.strerror}.", remedy="Name a JSONL file.") from None
    rows = [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise ClientMistake(f"{path} has no rows.", remedy=_FORMS)
    models = tuple(dict.fromkeys(name for _, _, outcomes in rows for name in outcomes))
    found = np.array([[outcomes.get(name, math.nan) for name in models] for _, _, outcomes in rows], np.float64)
    return Outcomes(tuple(row[0] for row in rows), tuple(row[1] for row in rows), models, found)


def _held(score: bool | float | None) -> float | None:
    return None if score is None else min(max(float(score), 0.0), 1.0)


def _row(line: bytes, where: str) -> tuple[str, str | None, dict[str, float]]:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClientMistake(f"{where}: {error}.", remedy=_FORMS) from None
    prompt = row.prompt if row.prompt is not None else row.question
    if prompt is None:
        raise ClientMistake(f"{where} has no prompt.", remedy=_FORMS)
    known = {name: float(outcome) for name, outcome in row.by_model().items() if outcome is not None}
    if not known:
        raise ClientMistake(f"{where} has no outcome of any model.", remedy=_FORMS)
    wrong = next((name for name, outcome in known.items() if not 0 <= outcome <= 1), None)
    if wrong is not None:
        raise ClientMistake(f"{where}: the outcome of {wrong[:60]} is not between 0 and 1.", remedy=_FORMS)
    return prompt, row.subject or row.category or row.dataset, known
