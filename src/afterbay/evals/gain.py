"""The scorer that the protocol of certificates trains: the router's own predictor, for the gain alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from afterbay.evals.pairs import Pairs
from afterbay.policy.learned.heads import scores
from afterbay.policy.learned.quality import nearness, read_prompt, train


def gain_learner(pairs: Pairs) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Trains on some of these rows and scores all of them; those that trained it get what it says of them too.

    One head for the gain: the difference of two heads would be the same (`policy.learned.quality`), in twice the time.
    """
    prompts = [read_prompt(prompt) for prompt in pairs.prompts]
    surfaces = np.stack([prompt.surface for prompt in prompts])
    gains = (pairs.strong - pairs.weak)[:, None]

    def learn(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        quality = train([prompts[row] for row in rows], gains[rows], ("gain",))
        near = nearness(quality.radial, surfaces)
        said = [scores(quality.heads, prompt.grams, near[row])[0] for row, prompt in enumerate(prompts)]
        return np.array(said, np.float64)

    return learn
