"""The gateway that all clients are pointed at, and what they ask."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

HERE = Path(__file__).parent
MODELS = ["auto", "gpt", "claude", "gem"]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it fetches its prices from the network otherwise
os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"


class Place(BaseModel):
    """A shape to be answered in."""

    name: str
    people: int


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The gateway's address, without a version."""
    python = os.environ.get("AFTERBAY_PYTHON", str(HERE.parent.parent / ".venv/bin/python"))
    command = [python, str(HERE / "serve.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        address = process.stdout.readline().strip()
        assert address, "the gateway did not start; its own words are above"
        yield address
        process.stdin.close()
        process.wait(timeout=30)
