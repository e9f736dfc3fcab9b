"""What a request has set aside of its allowances, and what clients are told of that."""

from __future__ import annotations

import msgspec

from afterbay.policy.allowance import Allowance
from afterbay.ports import Hold, Ledger


class Held(msgspec.Struct):
    """What a request has set aside. `picousd`: of money, for `budget` among others; None: none of money holds.
    `is_ample`: it is enough for the dearest attempt that the request may begin with, whatever it says."""

    hold: Hold
    wants: tuple[tuple[Allowance, int], ...]
    picousd: int | None
    budget: Allowance | None = None
    is_ample: bool = False


def limit_headers(held: Held, ledger: Ledger) -> dict[str, str]:
    """What is left of limits of a minute, in headers that OpenAI's SDKs know. Of several, the one with least left."""
    tightest: dict[str, tuple[int, int]] = {}
    for allowance, _ in held.wants:
        if allowance.period == "minute" and allowance.unit != "picousd":
            left = ledger.left(allowance)
            if left is not None:
                found = (max(0, left), allowance.limit)
                tightest[allowance.unit] = min(tightest.get(allowance.unit, found), found)
    headers: dict[str, str] = {}
    for unit, (left, limit) in tightest.items():
        headers[f"x-ratelimit-limit-{unit}"] = str(limit)
        headers[f"x-ratelimit-remaining-{unit}"] = str(left)
    return headers
