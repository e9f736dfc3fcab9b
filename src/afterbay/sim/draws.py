"""The chances of a simulated world: eight numbers for each thing that happens, keyed by what it is.

As with `afterbay.core.chance`, a number depends on the seed and on what it is for, never on how many were drawn before:
switch a mechanism off, and every request still meets the same fate at the same provider. That makes two runs
comparable request by request. Eight at once, since the hash is what costs.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2b

_TAU = 2 * math.pi
_SCALE = 2.0**-53
_pack = struct.Struct("<QIIB").pack
_unpack = struct.Struct("<8Q").unpack

CLIENT, ATTEMPT = 0, 1
"""What numbers are for: one request as its client makes it; one attempt as its provider answers it."""


class Draws:
    """The numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self._base = blake2b(str(seed).encode(), digest_size=64, person=b"afterbay.sim")

    def eight(self, request: int, place: int = 0, nth: int = 0, purpose: int = CLIENT) -> list[float]:
        """Eight numbers in [0, 1). `place`: of the provider; `nth`: how often this request was there before."""
        hashed = self._base.copy()
        hashed.update(_pack(request, place, nth, purpose))
        return [(number >> 11) * _SCALE for number in _unpack(hashed.digest())]


def normals(first: float, second: float) -> tuple[float, float]:
    """Two numbers in [0, 1) as two independent ones of the standard normal distribution (Box and Muller, 1958)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - first))
    return radius * math.cos(_TAU * second), radius * math.sin(_TAU * second)
