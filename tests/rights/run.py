"""Episodes: so many random operations on one gateway, by keys of all kinds and by strangers, each judged at once.

An episode depends on its seed alone. A fault names the seed and the number of the operation.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from rights.asking import Asking
from rights.deeds import Deeds
from rights.office import Fault, Office
from rights.world import World

EPISODE = 1500
"""Operations of one gateway. Its keys and tenants become many meanwhile."""
MOST_FAULTS = 5

_TMPFS = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # databases of episodes are not kept


class Verdict(msgspec.Struct):
    """What became of a run. `seen`: how often each operation came to which end, as `create key: 201`."""

    operations: int = 0
    attempts: int = 0
    faults: list[str] = []
    seen: dict[str, int] = {}

    def add(self, other: Verdict) -> None:
        """Takes what another one counted."""
        self.operations += other.operations
        self.attempts += other.attempts
        self.faults += other.faults
        self.seen = dict(Counter(self.seen) + Counter(other.seen))


def episode(seed: int, operations: int = EPISODE) -> Verdict:
    """One gateway from its first key to its last."""
    return asyncio.run(_episode(seed, operations))


async def _episode(seed: int, operations: int) -> Verdict:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="afterbay-rights-", dir=_TMPFS) as folder:
        world = World(Path(folder), chance)
        office = Office(world, chance)
        deeds, asking = Deeds(office), Asking(office)
        verdict = Verdict()
        try:
            await deeds.begin()
            choices: list[tuple[Callable[[], Any], int]] = [*deeds.choices, *asking.choices]
            acts, weights = zip(*choices, strict=True)
            for number in range(operations):
                office.number = number
                (act,) = chance.choices(acts, weights)
                await act()
                verdict.operations += 1
            await deeds.look_back()
        except Fault as fault:
            verdict.faults.append(f"seed {seed}, operation {office.number}: {fault}")
        finally:
            world.close()
        verdict.attempts, verdict.seen = office.attempts, dict(office.seen)
        return verdict


def run(operations: int, seed: int, workers: int) -> Verdict:
    """So many operations in as many episodes as it takes, by several processes."""
    verdict = Verdict()
    sizes = [EPISODE] * (operations // EPISODE) + ([operations % EPISODE] if operations % EPISODE else [])
    seeds = range(seed, seed + len(sizes))
    for one in _episodes(seeds, sizes, workers):
        verdict.add(one)
        if len(verdict.faults) >= MOST_FAULTS:
            break
    return verdict


def _episodes(seeds: Iterable[int], sizes: list[int], workers: int) -> Iterable[Verdict]:
    if workers <= 1:
        yield from map(episode, seeds, sizes)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(episode, seeds, sizes)
        pool.shutdown(cancel_futures=True)


def summary(verdict: Verdict) -> str:
    """The figures, for people."""
    lines = [f"{verdict.operations:,} operations, {verdict.attempts:,} attempts, {len(verdict.faults)} faults"]
    lines += [f"  {count:>9,}  {what}" for what, count in sorted(verdict.seen.items())]
    return "\n".join([*lines, *verdict.faults])
