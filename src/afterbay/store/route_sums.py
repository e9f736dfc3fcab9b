"""What a route's picks cost, and what its strongest candidate would have: sums over the log, for `report routing`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

import msgspec

from afterbay.store.database import Database
from afterbay.store.errors import StoreUnavailable
from afterbay.store.rows import rfc3339

_PICKS: Final = (
    "SELECT count(*), coalesce(sum(model = ?1), 0), coalesce(sum(cost_picousd), 0),"
    " coalesce(sum(json_extract(decision, '$.counterfactual_picousd')), 0) FROM requests"
    " WHERE route = ?2 AND received_at >= ?3 AND operation = 'chat' AND outcome = 'ok' AND cost_picousd IS NOT NULL"
    " AND json_extract(decision, '$.counterfactual_picousd') IS NOT NULL"
)
_SHADOWS: Final = (
    "SELECT count(*), coalesce(sum(cost_picousd), 0) FROM requests"
    " WHERE route = ?1 AND received_at >= ?2 AND operation IN ('shadow', 'judge')"
)
_LABELS: Final = "SELECT judge, count(*) FROM labels WHERE route = ?1 AND at >= ?2 GROUP BY judge ORDER BY judge"


class RouteSums(msgspec.Struct, frozen=True):
    """Of one route since a moment. `requests`: answered ones of which both costs are known; `cheap`: those that the
    cheap model answered; `strongest_picousd`: what the strongest would have cost for the same use. `shadows`: second
    answers and judgements, with what they cost. `labels`: how many, by who said them."""

    requests: int
    cheap: int
    cost_picousd: int
    strongest_picousd: int
    shadows: int
    shadows_picousd: int
    labels: dict[str, int]

    @property
    def saved_picousd(self) -> int:
        """What was saved against the strongest for everything, with what learning cost taken off."""
        return self.strongest_picousd - self.cost_picousd - self.shadows_picousd


def route_sums(database: Database, route: str, cheap: str, since: float) -> RouteSums:
    """The sums of a route since a moment (UTC seconds). It reads rows, not roll-ups: some seconds for a million.

    Raises:
        StoreUnavailable
    """
    at = rfc3339(max(since, 0.0))
    try:
        with closing(database.connect()) as connection:
            picks = connection.execute(_PICKS, (cheap, route, at)).fetchone()
            shadows = connection.execute(_SHADOWS, (route, at)).fetchone()
            labels = dict(connection.execute(_LABELS, (route, at)).fetchall())
    except sqlite3.Error as broken:
        raise StoreUnavailable(f"The database {database.path} cannot be read now: {broken}.", "Try again.") from broken
    requests, cheaper, cost, instead = picks
    return RouteSums(requests, cheaper, cost, instead, shadows[0], shadows[1], labels)
