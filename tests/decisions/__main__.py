"""Ten million decisions, or as many as are wanted, in two processes. Exit code 1 if one target was wrong."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.decisions.world import Household, Told

DECISIONS = 10_000_000
A_CONFIGURATION = 2_000
PROCESSES = 2


def one_household(seed: int) -> Told:
    """A configuration of its own seed."""
    return Household(seed).run(A_CONFIGURATION)


def main() -> int:
    """Makes all decisions, and tells what they showed."""
    wanted = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AFTERBAY_DECISIONS", DECISIONS))
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    seeds = range(seed * 1_000_000, seed * 1_000_000 + max(1, wanted // A_CONFIGURATION))
    told, began_s = Told(), time.monotonic()
    with ProcessPoolExecutor(PROCESSES) as pool:
        for done, one in enumerate(pool.map(one_household, seeds, chunksize=8), 1):
            told.add(one)
            if done % 250 == 0:
                rate = told.decisions / (time.monotonic() - began_s)
                print(f"{told.decisions} decisions, {rate:.0f} a second, {len(told.wrong)} wrong", file=sys.stderr)
    took_s = time.monotonic() - began_s
    print(
        f"{told.decisions} decisions in {len(seeds)} configurations, {took_s:.0f} s, "
        f"{told.decisions / took_s:.0f} a second; {told.targets} targets judged"
    )
    for name, counts in (("picked by", told.rules), ("refused", told.refused), ("budget", told.steps)):
        print(f"{name}: {', '.join(f'{key} {count}' for key, count in counts.most_common(24))}")
    print(f"against compliance, residency, an allow-list or a budget: {len(told.wrong)}")
    for line in told.wrong[:20]:
        print(f"  {line}")
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
