"""Weights that ship with the package: read when they are first needed, and once."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afterbay.policy.learned.complexity import Complexity
    from afterbay.policy.learned.tasks import Classifier


def shipped(name: str) -> bytes:
    """The bytes of `NAME.bin` beside the package's weights."""
    return files("afterbay.weights").joinpath(f"{name}.bin").read_bytes()


@lru_cache(maxsize=1)
def task_classifier() -> Classifier:
    """The task classifier. numpy is imported here, not by whoever merely could need it."""
    from afterbay.policy.learned.tasks import restored

    return restored(shipped("tasks"))


@lru_cache(maxsize=1)
def complexity() -> Complexity:
    """The head of complexity, for routes that have learned nothing yet; with numpy as above."""
    from afterbay.policy.learned.complexity import unpacked

    return unpacked(shipped("quality"))
