"""The examples of `docs/clients.md` that need these clients."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from doc_blocks import first_import, python_blocks, run_block

BLOCKS = {first_import(block): block for block in python_blocks("clients.md")}


@pytest.mark.parametrize("name", ["langchain_anthropic", "pydantic_ai", "litellm", "agents"])
def test_the_example_of_a_library_works(url: str, name: str) -> None:
    assert "Hello" in run_block(BLOCKS[name], url)
