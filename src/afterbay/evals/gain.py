"""The scorer that protocols train where they are given none: the gain, strong minus weak, regressed on a prompt's
n-grams and its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from afterbay.evals.pairs import Pairs
from afterbay.policy.learned.fit import chosen, rarities, ridge, table
from afterbay.policy.learned.ngrams import Spec, folded, sparse, trimmed

STRENGTH_A_ROOT: Final = 0.18
"""The penalty of the n-grams, as a multiple of the root of the number of examples."""
_SPEC: Final = Spec()


def gain_learner(pairs: Pairs) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Trains on some of these rows and scores all of them. Rarity of n-grams is counted over all prompts: it needs no
    outcome."""
    texts = [sparse(folded(trimmed(prompt)), _SPEC) for prompt in pairs.prompts]
    lengths = np.log1p(np.array([[len(prompt)] for prompt in pairs.prompts], np.float64))
    dense = (lengths - lengths.mean()) / max(float(lengths.std()), 1e-9)
    rows = table(texts, rarities(texts, _SPEC.bits), dense.astype(np.float32))
    gains = (pairs.strong - pairs.weak).astype(np.float32)[:, None]

    def learn(train: NDArray[np.int64]) -> NDArray[np.float64]:
        strength = STRENGTH_A_ROOT * float(np.sqrt(len(train)))
        fitted = ridge(chosen(rows, train), gains[train], strength, strength / 10)
        return fitted.of(rows)[:, 0].astype(np.float64)

    return learn
