"""The examples of `docs/clients.md` that need no more than `make setup` installs."""

from __future__ import annotations

import pytest

from afterbay.testing.live import LiveGateway
from doc_blocks import first_import, python_blocks, run_block

SDKS = {"openai", "anthropic", "google", "mistralai", "groq"}
BLOCKS = {first_import(block): block for block in python_blocks("clients.md")}


def test_every_sdk_has_an_example() -> None:
    assert set(BLOCKS) >= SDKS


@pytest.mark.parametrize("name", sorted(SDKS))
def test_the_example_of_an_sdk_works(gateway: LiveGateway, name: str) -> None:
    assert "Hello" in run_block(BLOCKS[name], gateway.url)
