"""`make budgets`: the whole run, for AFTERBAY_BUDGETS_S seconds (180), and its figures."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from budgets.run import Run, Size, summary


def main() -> int:
    """Runs it. 1: something that must not be was found."""
    seconds = float(os.environ.get("AFTERBAY_BUDGETS_S", "180"))
    seed = int(os.environ.get("AFTERBAY_BUDGETS_SEED", "1"))
    kills, outages = max(2, int(seconds / 15)), max(1, int(seconds / 30))
    size = Size(seconds, kills=kills, outages=outages, outage_s=5.0, scale=int(60 * seconds), seed=seed)
    with tempfile.TemporaryDirectory(prefix="afterbay-budgets-") as folder:
        verdict = Run(Path(folder), size).go()
    print(summary(size, verdict))
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
