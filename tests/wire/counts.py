"""The counts of a usage alone: what a protocol can carry. The rest is for the price, and `tests/costs` judges it."""

from __future__ import annotations

from afterbay.core.usage import Usage


def counts(usage: Usage | None) -> Usage | None:
    """The usage with its buckets, and with nothing that only the price needs."""
    return None if usage is None else Usage(*usage.buckets, usage.estimated)
