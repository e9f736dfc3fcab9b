"""Prompts with the outcomes of two models, as a certificate needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.evals.outcomes import STRONG, WEAK, read_outcomes

LEAST_ROWS: Final = 60
"""Fewer cannot be split into a part to learn from, one to certify with and one to look at."""


class Pairs(msgspec.Struct, frozen=True):
    """Prompts, each once, with the quality, 0 to 1, of a strong and a weak model's answers: arrays of one length."""

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
    """The rows of a file that name both models, the first of each prompt; other models do not matter.

    Raises:
        ClientMistake: it cannot be read, a row is wrong, or there are too few.
    """
    rows = read_outcomes(path)
    if STRONG not in rows.models or WEAK not in rows.models:
        raise ClientMistake(
            f"{path} does not tell a strong and a weak model apart.", remedy="Rows need strong_correct, weak_correct."
        )
    weak, strong = rows.found[:, rows.models.index(WEAK)], rows.found[:, rows.models.index(STRONG)]
    places: dict[str, int] = {}
    for place in np.flatnonzero(~np.isnan(weak) & ~np.isnan(strong)).tolist():
        places.setdefault(rows.prompts[place], place)
    if len(places) < LEAST_ROWS:
        prompts = "prompt" if len(places) == 1 else "prompts"
        raise ClientMistake(
            f"{path} has {len(places)} different {prompts} with both outcomes; that is too few to split.",
            remedy=f"It takes {LEAST_ROWS} or more, and some hundreds before anything can be certified.",
        )
    kept = np.array(list(places.values()), np.int64)
    return Pairs(tuple(places), weak[kept], strong[kept])
