"""A million requests, or as many as are wanted, in all cores. Exit code 1 if one went where it might not."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.compliance.world import Told, World

REQUESTS = 1_000_000
A_WORLD = 250


def one_world(seed: int) -> Told:
    """A world of its own seed."""
    return World(seed).run(A_WORLD)


def main() -> int:
    """Runs all worlds, and tells what they showed."""
    wanted = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AFTERBAY_COMPLIANCE", REQUESTS))
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    seeds = range(seed * 1_000_000, seed * 1_000_000 + max(1, wanted // A_WORLD))
    told, began_s = Told(), time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, one in enumerate(pool.map(one_world, seeds, chunksize=4), 1):
            told.add(one)
            if done % 200 == 0:
                print(f"{done * A_WORLD} requests, {len(told.wrong)} wrong", file=sys.stderr, flush=True)
    took_s = time.monotonic() - began_s
    requests = sum(told.operations.values())
    print(f"{requests} requests in {len(seeds)} configurations, {took_s:.0f} s, {requests / took_s:.0f} a second")
    for name, counts in (("asked", told.operations), ("sent", told.sent), ("attempts", told.whys)):
        print(f"{name}: {', '.join(f'{key} {count}' for key, count in counts.most_common(14))}")
    print(f"ended: {', '.join(f'{key} {count}' for key, count in told.outcomes.most_common(14))}")
    print(f"sent to a provider that a policy excludes, or without a proof: {len(told.wrong)}")
    for line in told.wrong[:20]:
        print(f"  {line}")
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
