"""Rows that say how two models did on the same prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake

LEAST_ROWS: Final = 60
"""Fewer cannot be split into a part to learn from, one to certify with and one to look at."""


class _Row(msgspec.Struct):
    prompt: str
    strong_correct: float | bool
    weak_correct: float | bool


class Pairs(msgspec.Struct, frozen=True):
    """Prompts with the quality, 0 to 1, of a strong and a weak model's answers: arrays of one length."""

    prompts: tuple[str, ...]
    weak: NDArray[np.float64]
    strong: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.prompts)

    def without(self, prompts: frozenset[str]) -> Pairs:
        """Those whose prompt is none of these."""
        kept = np.array([i for i, prompt in enumerate(self.prompts) if prompt not in prompts], np.int64)
        return Pairs(tuple(self.prompts[i] for i in kept), self.weak[kept], self.strong[kept])

    def and_others(self, others: Pairs) -> Pairs:
        """These, then others."""
        return Pairs(
            self.prompts + others.prompts,
            np.concatenate((self.weak, others.weak)),
            np.concatenate((self.strong, others.strong)),
        )


def read_pairs(path: Path) -> Pairs:
    """The rows of a JSONL file with `prompt`, `strong_correct`, `weak_correct` (true, false, or 0 to 1); the first of
    each prompt. ClientMistake: it cannot be read, a row is not like that, or there are too few."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ClientMistake(f"{path} cannot be read: {error.strerror}.", remedy="Name a JSONL file.") from None
    found: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _row(line, f"{path}, line {number}")
            found.setdefault(row.prompt, (float(row.weak_correct), float(row.strong_correct)))
    if len(found) < LEAST_ROWS:
        raise ClientMistake(
            f"{path} has {len(found)} different prompts; that is too few to split.",
            remedy=f"It takes {LEAST_ROWS} or more, and some hundreds before anything can be certified.",
        )
    both = np.array(list(found.values()), np.float64)
    return Pairs(tuple(found), both[:, 0], both[:, 1])


def _row(line: bytes, where: str) -> _Row:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except msgspec.MsgspecError as error:
        raise ClientMistake(
            f"{where}: {error}.", remedy="Each line is an object with prompt, strong_correct and weak_correct."
        ) from None
    if not (0.0 <= float(row.weak_correct) <= 1.0 and 0.0 <= float(row.strong_correct) <= 1.0):
        raise ClientMistake(f"{where}: a quality is not between 0 and 1.", remedy="Use true, false, or a share.")
    return row
