"""What the request log is asked and answers, whichever store it lies in."""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Record

FINE = ("ok", "client_closed")
"""Outcomes that are no failure of the gateway's or a provider's."""


class Columns(msgspec.Struct, frozen=True):
    """Equal to these; an empty string asks nothing."""

    model: str = ""
    provider: str = ""
    route: str = ""
    key_name: str = ""
    outcome: str = ""


class Filter(msgspec.Struct, frozen=True):
    """Which rows to show. `failed`: only those that did not end well, or only those that did."""

    columns: Columns = Columns()
    failed: bool | None = None


class Logged(msgspec.Struct, frozen=True):
    """A record and its place in the order of writing, to go on from."""

    cursor: int
    record: Record


class ModelSummary(msgspec.Struct, frozen=True):
    """One line of a table by model. `cost_picousd` leaves out `unpriced` requests: those that used tokens of unknown
    price. TTFT percentiles are nearest-rank, None without a single first token.
    """

    model: str
    requests: int
    failed: int
    total_input: int
    total_output: int
    cost_picousd: int
    unpriced: int
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
