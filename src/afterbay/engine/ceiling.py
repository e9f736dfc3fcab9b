"""The most that a request may cost, told by the length of its body: what is set aside while there is plenty.

To count what a request may cost it has to be read, and reading one that is only relayed takes longer than all the rest
of its accounting. Its length says enough while sixteen times as much is at hand: no token has less than a byte, and a
picture, document or recording no fewer bytes than the JSON that names it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.decision import Target
from afterbay.core.usage import Price
from afterbay.engine.context import Turn
from afterbay.engine.fleet import Fleet
from afterbay.policy.spending import MEDIA_TOKENS, Need, Rates, rates_of, worst_together

MEDIA_BYTES = 40
"""What names a medium is longer: `{"type":"image_url","image_url":{"url":"u"}}`."""
TOKENS_A_BYTE = MEDIA_TOKENS // MEDIA_BYTES
MOST_KEPT = 4096
LONGEST = 1 << 18
"""No model's answer has so many tokens; where the longest of a target is known, or the client's, that counts."""


class Ceiling(msgspec.Struct, frozen=True):
    """The most that a request may cost (picodollars), the most if it is all text, and about what it uses of limits of
    tokens."""

    picousd: int
    text_picousd: int
    tokens: int


def ceiling_of(turn: Turn, targets: Sequence[Target]) -> Ceiling | None:
    """The most that a request may cost at these targets; None: its length does not say, or a price is not known."""
    if turn.record.operation != "chat" or not turn.is_one_answer or turn.asks_service:
        return None
    doublings, asked = len(turn.call.body).bit_length(), turn.asked_output or LONGEST
    worst = text = read = 0
    for target in targets:
        rates = _rates(turn.fleet, target.id, turn.price_of(target), doublings)
        if rates is None:
            return None
        longest = min(asked, target.max_output or LONGEST)
        written = longest * rates.each
        worst, read = max(worst, rates.aside + written), max(read, rates.read)
        text = max(text, rates.aside // TOKENS_A_BYTE + written)
    several = turn.route.at_once
    return Ceiling(worst_together(worst, read, several), text * several, len(turn.call.body))


def _rates(fleet: Fleet, target: str, price: Price | None, doublings: int) -> Rates | None:
    """The dearest rates of a price, reckoned once for all lengths up to a power of two; None: nobody knows."""
    if price is None:
        return None
    key = (target, doublings)
    of, found = fleet.ceilings.get(key, (None, None))
    if found is None or of is not price:  # it changes with the day
        if len(fleet.ceilings) >= MOST_KEPT:  # clients name direct targets, and could fill the memory
            fleet.ceilings.clear()
        found = rates_of(price, Need((1 << doublings) * TOKENS_A_BYTE))
        fleet.ceilings[key] = (price, found)
    return found
