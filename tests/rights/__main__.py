"""`make rights`: AFTERBAY_RIGHTS operations (1,000,000) in processes of their own, and how they ended."""

from __future__ import annotations

import os
import sys
import time

from rights.run import run, summary


def main() -> int:
    """Runs it. 1: something that must not be was found."""
    operations = int(os.environ.get("AFTERBAY_RIGHTS", "1000000"))
    seed = int(os.environ.get("AFTERBAY_RIGHTS_SEED", "1"))
    begin_s = time.monotonic()
    verdict = run(operations, seed, os.cpu_count() or 1)
    print(summary(verdict))
    print(f"{time.monotonic() - begin_s:.0f} s")
    return 1 if verdict.faults or verdict.operations < operations else 0


if __name__ == "__main__":
    sys.exit(main())
