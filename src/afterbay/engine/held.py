"""What a request has set aside of its allowances: what it is charged in the end, and what clients are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from afterbay.core.usage import Usage
from afterbay.policy.allowance import Allowance, Unit
from afterbay.policy.charge import charge_of
from afterbay.ports import Hold, Ledger

if TYPE_CHECKING:
    from afterbay.engine.context import Turn


class Held(msgspec.Struct):
    """What a request has set aside. `picousd`: of money, for `budget` among others; None: none of money holds.
    `unknown_picousd`: what is charged of it if nobody learns the cost: all, or less where it was set aside unread.
    `is_ample`: it is enough for the dearest attempt that the request may begin with, whatever it says."""

    hold: Hold
    wants: tuple[tuple[Allowance, int], ...]
    picousd: int | None
    budget: Allowance | None = None
    unknown_picousd: int | None = None
    is_ample: bool = False


def charge(turn: Turn) -> None:
    """Notes what a request is charged, once its record has usage and cost. It may be called again, with other ones."""
    held, record = turn.held, turn.record
    if record.cost_picousd is not None:
        record.charged_picousd = record.cost_picousd
    elif record.attempts and held is not None and held.unknown_picousd is not None:
        record.charged_picousd = held.unknown_picousd  # the most that it may have been


def give_back(turn: Turn) -> None:
    """Gives back what a request that is over did not use. Call it once it is charged."""
    held = turn.held
    if held is not None:
        charged = charge_of(turn.record)
        turn.context.ledger.settle(held.hold, [charged.of(allowance.unit) for allowance, _ in held.wants])


def may_use(turn: Turn) -> tuple[int, Usage | None]:
    """What a request may use, in picodollars and in tokens: it is charged that if nobody learns its end.

    None: no limit of tokens holds for it.
    """
    held = turn.held
    if held is None:
        return 0, None
    limits = [amount for allowance, amount in held.wants if allowance.unit == "tokens"]
    if not limits:
        return held.unknown_picousd or 0, None
    tokens = max(limits)
    read = min(turn.input_tokens, tokens)
    return held.unknown_picousd or 0, Usage(read, output_tokens=tokens - read, estimated=True)


def limit_headers(held: Held, ledger: Ledger) -> dict[str, str]:
    """What is left of limits of a minute, in headers that OpenAI's SDKs know. Of several, the one with least left."""
    tightest: dict[Unit, tuple[int, int]] = {}
    for allowance, _ in held.wants:
        unit = allowance.unit
        if allowance.period == "minute" and unit != "picousd":
            left = ledger.left(allowance)
            if left is not None:
                found, before = (max(0, left), allowance.limit), tightest.get(unit)
                if before is None or found < before:
                    tightest[unit] = found
    headers: dict[str, str] = {}
    for unit, (left, limit) in tightest.items():
        headers[f"x-ratelimit-limit-{unit}"] = str(limit)
        headers[f"x-ratelimit-remaining-{unit}"] = str(left)
    return headers
