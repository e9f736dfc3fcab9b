"""The weights that ship with the package, as bytes."""

from __future__ import annotations

from importlib.resources import files


def shipped(name: str) -> bytes:
    """The bytes of `NAME.bin` beside the package's weights."""
    return files("afterbay.weights").joinpath(f"{name}.bin").read_bytes()
