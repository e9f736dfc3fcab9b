"""What a request that is over is charged, in each unit. Pure.

One function says it, since two places count it: the process that had set the worst case aside, and the table that the
record is written to. If they differed, what a process believes to hold and what the table says would drift apart.
"""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Record
from afterbay.policy.allowance import Unit

UNKNOWN = "unknown"
"""The outcome of a request whose process died: it may have been sent, and counts as if it was."""


class Charge(msgspec.Struct, frozen=True):
    """What one request used."""

    picousd: int = 0
    requests: int = 0
    tokens: int = 0

    def of(self, unit: Unit) -> int:
        """The amount in a unit."""
        if unit == "picousd":
            return self.picousd
        return self.requests if unit == "requests" else self.tokens


def charge_of(record: Record) -> Charge:
    """What a request is charged. It counts as a request if it was sent to anybody, or may have been."""
    was_sent = bool(record.attempts) or record.charged_picousd > 0 or record.outcome == UNKNOWN
    tokens = record.usage.total if record.usage is not None else 0
    return Charge(record.charged_picousd, int(was_sent), tokens)
