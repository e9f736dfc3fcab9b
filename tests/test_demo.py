"""The demonstration ends when its user says so."""

from __future__ import annotations

import runpy
import signal
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "demo" / "demo.py"


def test_ctrl_c_ends_the_demonstration_and_its_emulator() -> None:
    main = runpy.run_path(str(DEMO))["main"]
    seen: list[object] = []

    def interrupted(upstream: str, state: Path) -> None:
        seen.append(state)
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)

    main.__globals__["show"] = interrupted
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        main()
    assert time.monotonic() - began < 30
    assert isinstance(seen[0], Path)
    assert not seen[0].exists()
