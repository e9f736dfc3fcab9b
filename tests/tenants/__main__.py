"""`make tenants`: the whole run with AFTERBAY_TENANTS_WORKERS workers (4, then one process), and its figures."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tenants.run import Run, Size, summary


def main() -> int:
    """Runs it. 1: something that must not be was found."""
    seconds = float(os.environ.get("AFTERBAY_TENANTS_S", "300"))
    seed = int(os.environ.get("AFTERBAY_TENANTS_SEED", "1"))
    is_wrong = False
    for workers in map(int, os.environ.get("AFTERBAY_TENANTS_WORKERS", "4,1").split(",")):
        size = Size(seconds, workers=workers, seed=seed)
        with tempfile.TemporaryDirectory(prefix="afterbay-tenants-") as folder:
            run = Run(Path(folder), size)
            verdict = asyncio.run(run.go())
        print(summary(run, size, verdict), flush=True)
        is_wrong |= bool(verdict.faults)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
