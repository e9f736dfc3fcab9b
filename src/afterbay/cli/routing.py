"""`afterbay report routing` and `afterbay router train --route`: what routes have learned, and teaching them."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from afterbay.cli.figures import dollars
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import existing_database, load_quickly
from afterbay.config.snapshot import Snapshot
from afterbay.config.weights import complexity
from afterbay.core.errors import ClientMistake
from afterbay.engine.learned import Learned, learning
from afterbay.label_ports import Router
from afterbay.policy.kept_quality import Duel, Standing, duel_of, is_for_training, is_of
from afterbay.policy.plan import Route
from afterbay.policy.route import strongest
from afterbay.store.database import Database
from afterbay.store.labels import SqliteLabels, SqliteRouters
from afterbay.store.question import read_hours
from afterbay.store.route_sums import RouteSums, route_sums

NOT_LEARNING: Final = "no route keeps quality or explores: set `keep` or `explore` in one"


class _Now:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> float:
        return time.time()


class _Read(SqliteRouters):
    """Who only looks writes nothing."""

    async def put(self, router: Router) -> None:
        """Nothing."""


class Line(msgspec.Struct, frozen=True):
    """One route. `standing` None: it explores, and certifies nothing."""

    route: str
    standing: Standing | None
    sums: RouteSums
    why: str


def run_routing(config: Path | None, since: str, as_json: bool) -> None:
    """Prints what is certified of each route, and what it saved."""
    loaded = load_quickly(config)
    routes = learning(loaded.snapshot)
    speech = Speech(sys.stderr)
    if not routes:
        speech.say(NOT_LEARNING)
    begin = _begin(since)
    lines = _lines(existing_database(loaded), loaded.snapshot, routes, begin) if routes else []
    if as_json:
        print_json({"object": "report", "report": "routing", "since": _iso(begin), "routes": list(map(_object, lines))})
        return
    if lines:
        headings = ("route", "certified", "cheap", "pairs", "requests", "to cheap", "cost", "strongest", "learning")
        print_table((*headings, "saved", "saved share"), [_row(line) for line in lines])
    for line in lines:
        speech.say(f"{line.route}: {line.why}")


def _begin(since: str) -> float:
    try:
        hours = read_hours(since, "now", datetime.now(UTC))
    except ClientMistake as error:
        raise Misuse(f"--since: {error.message}", remedy=error.remedy) from None
    return datetime.strptime(hours.begin, "%Y-%m-%dT%H").replace(tzinfo=UTC).timestamp()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lines(database: Database, snapshot: Snapshot, routes: dict[str, Route], since: float) -> list[Line]:
    learned = read_learned(database, snapshot)
    found = []
    for name, route in routes.items():
        standing = learned.standings.get(name)
        cheap = standing.cheap if standing is not None else ""
        why = standing.why if standing is not None else _why_none(route)
        found.append(Line(name, standing, route_sums(database, name, cheap, since), why))
    return found


def read_learned(database: Database, snapshot: Snapshot) -> Learned:
    """What the routes have learned, as a gateway would work it out now; nothing is written."""
    labels = SqliteLabels(database, retention_s=float(snapshot.state.retention))
    learned = Learned(labels, _Read(database), _Now(), complexity)
    asyncio.run(learned.refresh(snapshot))
    return learned


def _why_none(route: Route) -> str:
    if route.keep is None:
        return "it explores; nothing is certified without `keep`"
    return "it has no candidate that is cheaper than its strongest one, at a known price"


def _row(line: Line) -> Sequence[str]:
    sums, standing = line.sums, line.standing
    certified = "-" if standing is None else f"{standing.floor:.1%}" if standing.is_certified else "no"
    share = sums.saved_picousd / sums.strongest_picousd if sums.strongest_picousd else None
    return (
        line.route,
        certified,
        standing.cheap if standing is not None else "-",
        str(standing.pairs if standing is not None else 0),
        str(sums.requests),
        str(sums.cheap),
        dollars(sums.cost_picousd),
        dollars(sums.strongest_picousd),
        dollars(sums.shadows_picousd),
        _signed(sums.saved_picousd),
        "-" if share is None else f"{share:.1%}",
    )


def _signed(picousd: int) -> str:
    return f"-{dollars(-picousd)}" if picousd < 0 else dollars(picousd)


def _object(line: Line) -> dict[str, Any]:
    sums = line.sums
    told: dict[str, Any] = {
        "route": line.route,
        "requests": sums.requests,
        "answered_by_cheap": sums.cheap,
        "cost_usd": sums.cost_picousd / 1e12,
        "strongest_usd": sums.strongest_picousd / 1e12,
        "shadows": sums.shadows,
        "shadows_usd": sums.shadows_picousd / 1e12,
        "saved_usd": sums.saved_picousd / 1e12,
        "saved_share": sums.saved_picousd / sums.strongest_picousd if sums.strongest_picousd else None,
        "labels": sums.labels,
        "why": line.why,
    }
    standing = line.standing
    if standing is not None:
        told["certificate"] = {
            "certified": standing.is_certified,
            "certified_floor": standing.floor if standing.is_certified else None,
            "threshold": standing.threshold if math.isfinite(standing.threshold) else None,
            "keep": standing.keep,
            "confidence": standing.confidence,
            "cheap": standing.cheap,
            "strong": standing.strong,
            "pairs": standing.pairs,
            "pairs_needed": standing.needed,
            "expected_share_to_cheap": standing.routed,
            "expected_saving": standing.saved,
            "predictor": standing.scorer,
            "made_at": _iso(standing.made_at) if standing.made_at else None,
            "withdrawn_at": _iso(standing.withdrawn_at) if standing.withdrawn_at else None,
        }
    return told


def run_train(config: Path | None, name: str, force: bool, as_json: bool) -> None:
    """Trains a route's predictor from the pairs that its shadows have left, and keeps it if it is any better."""
    loaded = load_quickly(config)
    route = loaded.snapshot.routes.get(name)
    if route is None or route.keep is None:
        raise Misuse(
            f"There is no route '{name[:60]}' that keeps quality.",
            remedy=f"Routes that do: {', '.join(n for n, r in loaded.snapshot.routes.items() if r.keep) or 'none'}.",
        )
    duel = duel_of(loaded.snapshot, route, next(iter(strongest(loaded.snapshot, route)), None))
    if duel is None:
        raise Misuse(f"The route '{name}' has only one candidate of known price.", remedy="Give it a cheaper one.")
    database = existing_database(loaded)
    labels = SqliteLabels(database, retention_s=float(loaded.snapshot.state.retention))
    told = asyncio.run(_train(labels, SqliteRouters(database), name, duel, force))
    if as_json:
        print_json(told)
        return
    print_table(("measure", "value"), [(key, value) for key, value in told.items() if key != "said"])
    Speech(sys.stderr).say(told["said"])


async def _train(labels: SqliteLabels, routers: SqliteRouters, route: str, duel: Duel, force: bool) -> dict[str, Any]:
    from afterbay.policy.learned import gain, imprint

    imprints = await labels.imprints(route)
    pairs = [
        one
        for one in await labels.pairs(route)
        if is_for_training(one.request_id) and one.request_id in imprints and is_of(one, duel)
    ]
    prompts = [imprint.unpacked(imprints[one.request_id]) for one in pairs]
    began_s = time.monotonic()
    trained = gain.train(prompts, [one.strong_quality - one.cheap_quality for one in pairs])
    adopts = trained.is_better or force
    if adopts:
        reason = f"trained on {trained.pairs} pairs: correlation {trained.own:.3f}, length {trained.length:.3f}"
        row = Router(route, "predictor", time.time(), gain.packed(trained.gain), trained.pairs, reason)
        await routers.put(row)
    said = "in use within a minute; certificates begin anew with it" if adopts else _no_better(trained.length)
    return {
        "route": route,
        "pairs": trained.pairs,
        "correlation": round(trained.own, 4),
        "correlation_of_length": round(trained.length, 4),
        "adopted": adopts,
        "seconds": round(time.monotonic() - began_s, 2),
        "said": said,
    }


def _no_better(length: float) -> str:
    return f"not taken into use: on pairs that it has not seen it says no more than the length does ({length:.3f})"
