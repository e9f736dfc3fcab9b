"""How often a certificate is wrong where its promise is broken by nothing or by a hair, and how soon drift is found.

python benchmarks/certificates.py
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from afterbay.policy.betting import Bets
from afterbay.policy.certify import CALM, HORIZONS, NEVER, Costs, HeldOut, certify, held_out
from afterbay.policy.drift import Watch

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]
KEEP, CONFIDENCE = 0.95, 0.9


def three(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """As MMLU has it: a fifth lost, some won, the rest a little above zero; the mean is zero."""
    luck = rng.random(shape)
    return np.where(luck < 0.2, -0.95, np.where(luck < 0.3, 1.0, (0.95 * 0.2 - 0.1) / 0.7))


NULLS: dict[str, Draw] = {
    "one in 20 lost": lambda rng, shape: np.where(rng.random(shape) < 0.05, -0.95, 0.05),
    "one in 200 lost": lambda rng, shape: np.where(rng.random(shape) < 0.005, -0.95, 0.95 * 0.005 / 0.995),
    "one in 2,000 lost": lambda rng, shape: np.where(rng.random(shape) < 0.0005, -0.95, 0.95 * 0.0005 / 0.9995),
    "lost and won": three,
    "a coin": lambda rng, shape: rng.choice([-0.5, 0.5], shape),
    "continuous": lambda rng, shape: rng.uniform(-0.95, 0.95, shape),
}


def pairs(gains: NDArray[np.float64], weak: NDArray[np.float64], strong: NDArray[np.float64]) -> HeldOut:
    """Pairs of a population."""
    return held_out(gains, weak, strong, ids=range(len(gains)), learned_from=frozenset())


def tied(rng: np.random.Generator, count: int) -> HeldOut:
    """Three scores; routing up to the second breaks the promise by a hair."""
    gains = rng.choice([0.2, 0.5, 0.8], count)
    loss = np.select([gains == 0.2, gains == 0.5], [0.06, 0.1], 0.5)
    return pairs(gains, (rng.random(count) >= loss).astype(float), np.ones(count))


def constant(rng: np.random.Generator, count: int) -> HeldOut:
    """One score; routing all breaks the promise by a hair."""
    return pairs(np.full(count, 0.4), (rng.random(count) >= 0.052).astype(float), np.ones(count))


def deceptive(rng: np.random.Generator, count: int) -> HeldOut:
    """Bad where scores are low, better than the strong model above."""
    gains = rng.random(count)
    weak = np.where(gains < 0.3, (rng.random(count) > 0.25).astype(float), 1.0)
    return pairs(gains, weak, np.where(gains < 0.3, 1.0, 0.9))


def everywhere(rng: np.random.Generator, count: int) -> HeldOut:
    """Losses that no score foretells, one in 19."""
    gains = rng.random(count)
    return pairs(gains, (rng.random(count) >= 1 / 19).astype(float), np.ones(count))


def nulls(tries: int = 4000) -> None:
    """A mean of exactly zero, refuted at any time up to n."""
    print(f"refuted wrongly, {tries} tries, 10 % allowed: batch of n | stream, looked at after every pair")
    for name, draw in NULLS.items():
        cells = []
        for count in (50, 100, 300, 1000, 3000):
            found = []
            for horizons in ((CALM * count,), HORIZONS):
                bets, rng = Bets(np.full(tries, KEEP), horizons, 1 - CONFIDENCE), np.random.default_rng(count)
                for start in range(0, count, 100):
                    bets.play(draw(rng, (min(100, count - start), tries)))
                found.append(float(np.mean(bets.best >= -math.log(1 - CONFIDENCE))))
            cells.append(f"{found[0]:.1%} | {found[1]:.1%}")
        print(f"{name:20}", *(f"{cell:>16}" for cell in cells))


def populations(tries: int = 1000) -> None:
    """Whole certificates, judged on the population itself."""
    print(f"\ncertificates that break their promise, {tries} tries: n = 15, 60, 250")
    for draw in (tied, constant, deceptive, everywhere):
        crowd, rng, cells = draw(np.random.default_rng(1), 400_000), np.random.default_rng(2), []
        for count in (15, 60, 250):
            broken = 0
            for _ in range(tries):
                threshold = certify(draw(rng, count), KEEP, CONFIDENCE, Costs()).threshold
                answered = np.where(crowd.gains <= threshold, crowd.weak, crowd.strong)
                broken += threshold != NEVER and answered.mean() < (KEEP - 5e-4) * crowd.strong.mean()
            cells.append(f"{broken / tries:.1%}")
        print(f"{draw.__name__:12}", *cells)


def delay(watch: Watch, step: Callable[[Watch], object], most: int) -> int:
    """After how many steps there is an alarm; `most`: none."""
    return next((n for n in range(1, most + 1) if step(watch) is not None), most)


def drifts(tries: int = 100) -> None:
    """Delays, and alarms where nothing is to be alarmed about."""
    print("\nscores move by (standard deviations), the largest difference of shares: requests until the alarm")
    for shift in (0.0, 0.2, 0.4, 0.6, 1.0, 2.0):
        rng, most = np.random.default_rng(3), 20_000

        def score(watch: Watch, shift: float = shift, rng: np.random.Generator = rng) -> object:
            return watch.scored(rng.normal() + shift)

        repeats = tries // 5 if shift < 0.4 else tries
        found = [delay(Watch(rng.normal(size=300), 0.0, KEEP), score, most) for _ in range(repeats)]
        gap = math.erf(shift / math.sqrt(8))
        print(f"{shift:4} {gap:5.2f}  median {np.median(found):7.0f}  95 % {np.quantile(found, 0.95):7.0f}")
    print("\nkept share falls to, half of the requests routed: pairs until the alarm; share alarmed within 2,000")
    for kept in (0.96, 0.95, 0.94, 0.92, 0.9, 0.85, 0.8, 0.7):
        rng = np.random.default_rng(4)

        def pair(watch: Watch, kept: float = kept, rng: np.random.Generator = rng) -> object:
            strong = float(rng.random() < 0.8)
            gain = rng.choice([-1.0, 1.0])
            lost = gain < 0 and rng.random() < 2 * (1 - kept)
            return watch.labelled(float(gain), 0.0 if lost else strong, strong)

        found = [delay(Watch(np.linspace(-1, 1, 100), 0.0, KEEP), pair, 2000) for _ in range(2 * tries)]
        alarmed = np.mean(np.array(found) < 2000)
        print(f"{kept}  median {np.median(found):6.0f}  alarmed {alarmed:.1%}")


if __name__ == "__main__":
    nulls()
    populations()
    drifts()
