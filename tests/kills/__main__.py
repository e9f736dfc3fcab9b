"""`make kills`: the whole run, AFTERBAY_KILLS kills (200), and its figures."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from kills.run import kill_often, summary


def main() -> int:
    """Runs it. 1: something that must not be was found."""
    kills, seed = int(os.environ.get("AFTERBAY_KILLS", "200")), int(os.environ.get("AFTERBAY_KILLS_SEED", "1"))
    durable = os.environ.get("AFTERBAY_KILLS_DURABLE", "process")
    with tempfile.TemporaryDirectory(prefix="afterbay-kills-") as folder:
        report = asyncio.run(kill_often(Path(folder), kills, durable=durable, seed=seed))
    print(summary(report))
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
