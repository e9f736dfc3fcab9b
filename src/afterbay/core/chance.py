"""Keyed random draws.

A draw depends on (seed, purpose, request, attempt) and on nothing else: never on how many draws came before. So the
gateway and the simulator, which ask in another order, get the same numbers, and a logged request can be replayed.
"""

from __future__ import annotations

from hashlib import blake2b


def draw(seed: int, purpose: str, request: str, attempt: int = 0) -> float:
    """A number in [0, 1), uniform, the same for the same arguments for ever."""
    key = f"{seed}/{purpose}/{request}/{attempt}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") / 2**64
