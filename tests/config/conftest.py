"""What the tests of the configuration share: the example of the interface page, and loading without price lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from afterbay.config.load import parse
from afterbay.config.prices import Prices, Query
from afterbay.config.problem import ConfigError
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot

KEYS = {name: f"value-of-{name}" for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")} | {
    "GROQ_KEY_A": "gsk-first-secret",
    "GROQ_KEY_B": "gsk-second-secret",
}


def no_prices(queries: Iterable[Query]) -> Prices:
    """A price list with nothing on it, and no process started."""
    list(queries)
    return {}


@pytest.fixture
def example() -> str:
    """The example of the interface page, whole."""
    return (Path(__file__).parent / "interface.yaml").read_text("utf-8")


@pytest.fixture
def keys() -> Mapping[str, str]:
    """The variables that the example uses."""
    return KEYS


@pytest.fixture
def snapshot_of() -> Callable[..., Snapshot]:
    """Text (and environment) to snapshot."""

    def build(text: str, environ: Mapping[str, str] = KEYS, look_up: Callable[..., Prices] = no_prices) -> Snapshot:
        return resolve(parse(text, "f.yaml", environ), environ, look_up)

    return build


@pytest.fixture
def complaints() -> Callable[..., list[str]]:
    """Text (and environment) to the lines of the error it gives; none if it gives none."""

    def run(text: str, environ: Mapping[str, str] = KEYS) -> list[str]:
        try:
            resolve(parse(text, "f.yaml", environ), environ, no_prices)
        except ConfigError as error:
            return [problem.text() for problem in error.problems]
        return []

    return run
