"""A made-up matrix of outcomes: prompts of some subjects, models that are good at some of them, at several prices."""

from __future__ import annotations

import numpy as np

from afterbay.evals.pool import Outcome, Row

SUBJECTS = {
    "law": "court appeal statute contract liability plaintiff tort verdict clause damages",
    "chess": "bishop knight castle pawn gambit check endgame rook opening tactics",
    "code": "function array pointer recursion compile loop string class method return",
    "bio": "cell enzyme protein genome membrane receptor tissue mutation neuron antibody",
    "sums": "integral matrix derivative polynomial theorem vector prime modulus limit series",
}
EASY = "simple short basic first name list easy"
HARD = "prove rigorous justify subtle counterexample derive hard"

MODELS = {
    # name: (price of a prompt in dollars, chance on hard prompts by subject, in the order of SUBJECTS)
    "tiny": (0.00002, (0.2, 0.1, 0.2, 0.2, 0.1)),
    "small": (0.00005, (0.4, 0.2, 0.3, 0.4, 0.2)),
    "lawyer": (0.0002, (0.9, 0.2, 0.3, 0.4, 0.3)),
    "player": (0.0002, (0.3, 0.9, 0.4, 0.3, 0.4)),
    "coder": (0.0003, (0.3, 0.3, 0.9, 0.3, 0.6)),
    "doctor": (0.0003, (0.4, 0.2, 0.3, 0.9, 0.3)),
    "medium": (0.0005, (0.6, 0.6, 0.6, 0.6, 0.6)),
    "large": (0.002, (0.8, 0.8, 0.8, 0.8, 0.8)),
    "dear": (0.01, (0.82, 0.78, 0.8, 0.82, 0.78)),
}


def rows(count: int, seed: int = 0, models: tuple[str, ...] = tuple(MODELS)) -> list[Row]:
    """So many rows. Of easy prompts every model gets nine in ten right."""
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        subject = int(draws.integers(len(SUBJECTS)))
        name = list(SUBJECTS)[subject]
        is_hard = bool(draws.random() < 0.6)
        words = [*draws.choice(SUBJECTS[name].split(), 8), *draws.choice((HARD if is_hard else EASY).split(), 4)]
        question = " ".join(map(str, draws.permutation(words)))
        outcomes = {}
        for model in models:
            price, chances = MODELS[model]
            right = draws.random() < (chances[subject] if is_hard else 0.9)
            outcomes[model] = Outcome(float(right), price * float(0.8 + 0.4 * draws.random()))
        found.append(Row(question, outcomes, f"{name}_{'hard' if is_hard else 'easy'}"))
    return found
