"""What this process knows of what its routes have learned: predictors, what is certified, what exploring may cost.

All of it is worked out anew from the database, now and then, in a worker thread: the same rows give the same standing,
so the processes of a gateway agree without talking. One thing is not in the labels: that the requests themselves are
not those any more that the pairs were drawn from. Every process watches the gains of its own, and the one that is
alarmed withdraws the certificate for all, by a row of its own.

Numpy is imported when a route that keeps quality has something to work out, and not before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from afterbay.config.snapshot import Snapshot
from afterbay.core.errors import ClientMistake
from afterbay.label_ports import Labels, Pair, Router, Routers
from afterbay.policy.kept_quality import (
    LENGTH,
    SHIPPED,
    Duel,
    Standing,
    duel_of,
    is_for_training,
    is_of,
    length_gain,
    length_thresholds,
    shipped_thresholds,
)
from afterbay.policy.plan import Route
from afterbay.policy.route import World, strongest
from afterbay.ports import Clock

if TYPE_CHECKING:
    from afterbay.policy.drift import Watch
    from afterbay.policy.learned.complexity import Complexity
    from afterbay.policy.learned.gain import Gain

REFRESH_S: Final = 60.0
WITHIN_S: Final = 30.0
"""How long one look at the database, with all that follows from it, may take."""
MOST_AGE_S: Final = 900.0
"""What could not be read anew for so long certifies nothing: another process may have withdrawn it."""
SETTLE_S: Final = 10.0
"""Pairs younger than this wait: another process may still write an earlier one."""
DAY_S: Final = 86400.0
_NEXT_S: Final = 1e-3
"""So much later than the last row a withdrawal is at least: the newest row counts, whatever a clock says."""

logger = logging.getLogger("afterbay.engine")


class Certified(msgspec.Struct, frozen=True):
    """What the table of routers keeps of a certificate. `since`: pairs before that do not count; `withdrawn`: why."""

    standing: Standing
    since: float = 0.0
    withdrawn: str = ""


class _Known(msgspec.Struct):
    """What was read of one route."""

    duel: Duel
    gain: Gain | None = None
    scorer: str = LENGTH
    trained_at: float = 0.0
    seen: tuple[object, ...] = ()
    """What the standing was worked out from; the same again gives the same."""
    gains: dict[str, float] = {}
    """By request, as `scorer` has them, where the pair itself has another's."""
    imprints_since: float = 0.0
    since: float = 0.0
    watch: Watch | None = None
    watched: float = float("-inf")
    """The threshold that is being watched."""
    alarm: str = ""
    """Why its certificate is withdrawn, until the database has heard of it."""
    reason: str = ""
    """Why the certificate before `since` was withdrawn; empty: it was not, or a new one holds."""


class Learned:
    """See the module. `standings` is for `World`; `refreshed_at`: when all was read last (monotonic seconds).

    `shipped` loads what scores the requests of a route that has learned nothing yet; None: their length does.
    """

    def __init__(
        self, labels: Labels, routers: Routers, clock: Clock, shipped: Callable[[], Complexity] | None = None
    ) -> None:
        self.labels, self._routers, self._clock, self._shipped = labels, routers, clock, shipped
        self._known: dict[str, _Known] = {}
        self.standings: Mapping[str, Standing] = {}
        self._left: dict[str, int] = {}
        self.refreshed_at: float | None = None

    def world(self, world: World, route: Route) -> World:
        """The world with what is known of a route."""
        if route.keep is None and route.explore is None:
            return world
        return msgspec.structs.replace(world, standings=self.standings, explorable=self._left)

    def gain(self, route: str, text: str) -> tuple[float, str]:
        """What the route's predictor expects of a request, by what its user says last, and the predictor's name."""
        known = self._known.get(route)
        if known is None or known.gain is None:
            return self._first_gain(text)
        from afterbay.policy.learned.gain import predicted_of

        return predicted_of(known.gain, text), known.scorer

    def load(self) -> None:
        """Loads what scores the requests of routes that have learned nothing yet: some tenths of a second, once."""
        self._first_gain("")

    def _first_gain(self, text: str) -> tuple[float, str]:
        """The same before anything was learned."""
        if self._shipped is None:
            return length_gain(text), LENGTH
        from afterbay.policy.learned.imprint import imprint

        return self._shipped().of(imprint(text).prompt), SHIPPED

    def decided(self, route: str, because: Mapping[str, Any]) -> None:
        """A route has decided, and this is what it went by (`Decision.because`)."""
        if "keep" in because:
            self._scored(route, because["keep"]["gain"])
        elif because.get("extra_picousd") and route in self._left:
            self._left[route] -= because["extra_picousd"]

    def _scored(self, route: str, gain: float) -> None:
        """A request of this gain came by a route that keeps quality."""
        known = self._known.get(route)
        if known is None or known.watch is None or known.alarm:
            return
        alarm = known.watch.scored(gain)
        if alarm is not None:
            known.alarm = alarm.reason
            standing = self.standings[route]
            self.standings = {**self.standings, route: _withdrawn(standing, alarm.reason, self._clock.utc())}
            logger.warning("the certificate of route %s is withdrawn: %s", route, alarm.reason)

    async def refresh(self, snapshot: Snapshot) -> None:
        """Reads what there is, and works out what follows from it.

        A route that fails by itself keeps what it had, and does not explore.

        Raises:
            TimeoutError: it takes too long. Whatever the stores raise, where no route could be read. What was known
                stays, but exploring ends.
        """
        left, self._left = self._left, {}
        async with asyncio.timeout(WITHIN_S):
            standings: dict[str, Standing] = {}
            troubles: list[Exception] = []
            routes = learning(snapshot)
            for name, route in routes.items():
                duel = duel_of(snapshot, route, next(iter(strongest(snapshot, route)), None))
                try:
                    if route.keep is not None and duel is not None:
                        standings[name] = await self._refresh(name, route, duel)
                    elif route.keep is None and route.explore is not None:
                        left[name] = await self._explorable(name, route.explore.max_cost_picousd)
                except Exception as trouble:  # what one route cannot do keeps no other from learning
                    logger.warning("route %s learns nothing now: %s", name, trouble or type(trouble).__name__)
                    troubles.append(trouble)
                    left.pop(name, None)
                    if name in self.standings:
                        standings[name] = self.standings[name]
            if troubles and len(troubles) == len(routes):
                raise troubles[-1]
            alarmed = {name for name, known in self._known.items() if known.alarm}  # while this was being read
            self.standings = {
                name: self.standings.get(name, one) if name in alarmed else one for name, one in standings.items()
            }
        self._known = {name: known for name, known in self._known.items() if name in standings}
        self._left = {name: left[name] for name in left if name in snapshot.routes}
        self.refreshed_at = self._clock.monotonic()

    async def _explorable(self, route: str, most: int) -> int:
        now = self._clock.utc()
        return most - await self.labels.explored_picousd(route, now - now % DAY_S)

    async def _refresh(self, name: str, route: Route, duel: Duel) -> Standing:
        """The standing of one route. A certificate that is new or withdrawn is kept, for reports and for the others."""
        known = self._known.get(name)
        if known is None or known.duel != duel:
            first = SHIPPED if self._shipped is not None else LENGTH
            known = self._known[name] = _Known(duel, scorer=first)
        await self._read_predictor(name, known)
        row = await self._routers.get(name, "certificate")
        kept = _certified(row)
        if known.alarm:
            await self._withdraw(name, known, row)
        elif kept is not None and kept.since >= known.since:
            known.since = kept.since
            known.reason = kept.withdrawn if is_of(kept.standing, known.duel) else ""
        pairs = await self._pairs(name, known)
        seen = (
            len(pairs),
            pairs[-1].request_id if pairs else "",
            known.scorer,
            known.since,
            route.keep,
            route.confidence,
        )
        before = self.standings.get(name)
        if seen == known.seen and before is not None:
            return before
        standing = await asyncio.to_thread(_work_out, route, known, pairs)
        standing = _explained(standing, known)
        known.seen = seen
        self._watch_gains(known, standing, [known.gains.get(one.request_id, one.gain) for one in pairs])
        last = kept.standing if kept is not None else Standing()
        if (standing.threshold, standing.scorer, standing.digest) != (last.threshold, last.scorer, last.digest):
            certificate = Certified(standing, known.since, "" if standing.is_certified else known.reason)
            await self._keep(name, certificate, max(standing.made_at, known.since))
        return standing

    async def _withdraw(self, name: str, known: _Known, row: Router | None) -> None:
        """Tells all processes. Until that is done the alarm stays: what was withdrawn may not come back."""
        at = max(self._clock.utc(), known.since, row.made_at + _NEXT_S if row is not None else 0.0)
        standing = _withdrawn(self.standings.get(name, Standing()), known.alarm, at)
        await self._keep(name, Certified(standing, at, known.alarm), at)
        known.since, known.reason, known.alarm, known.watch = at, known.alarm, "", None

    async def _keep(self, name: str, certified: Certified, at: float) -> None:
        standing = certified.standing
        blob, why = msgspec.msgpack.encode(certified), certified.withdrawn or standing.why
        await self._routers.put(Router(name, "certificate", at, blob, standing.pairs, why[:500]))

    async def _read_predictor(self, name: str, known: _Known) -> None:
        row = await self._routers.get(name, "predictor")
        if row is None or row.made_at == known.trained_at:
            return
        from afterbay.policy.learned.gain import unpacked

        try:
            known.gain = await asyncio.to_thread(unpacked, row.blob)
        except ClientMistake as error:
            logger.warning("the predictor of route %s is of another release: %s", name, error.message)
            known.trained_at = row.made_at
            return
        known.scorer, known.trained_at = scorer_of(row), row.made_at
        known.gains, known.imprints_since, known.watch, known.watched = {}, 0.0, None, float("-inf")

    async def _pairs(self, name: str, known: _Known) -> list[Pair]:
        """The pairs that count: of these models, not learned from, and with a gain as the predictor has it."""
        settled = self._clock.utc() - SETTLE_S
        found = [
            one
            for one in await self.labels.pairs(name, known.since)
            if is_of(one, known.duel)
            and one.at <= settled
            and not (one.at <= known.trained_at and is_for_training(one.request_id))
        ]
        if any(one.predictor != known.scorer and one.request_id not in known.gains for one in found):
            imprints = await self.labels.imprints(name, known.imprints_since)
            known.gains |= await asyncio.to_thread(_gains, known, imprints, self._shipped)
            known.imprints_since = settled
        return [one for one in found if one.predictor == known.scorer or one.request_id in known.gains]

    def _watch_gains(self, known: _Known, standing: Standing, gains: Sequence[float]) -> None:
        """Begins to watch the gains of requests once something is certified."""
        if not standing.is_certified:
            known.watch, known.watched = None, float("-inf")
        elif standing.threshold != known.watched:
            from afterbay.policy.drift import LEAST_REFERENCE, Watch

            if len(gains) >= LEAST_REFERENCE:
                known.watch = Watch(gains, standing.threshold, standing.keep)
                known.watched = standing.threshold

    async def keep_fresh(self, snapshot: Snapshot) -> Literal["fresh", "idle", "failed"]:
        """One look, with what goes wrong said in the log."""
        if not learning(snapshot):
            return "idle"
        try:
            await self.refresh(snapshot)
        except Exception as trouble:  # the database may be away: what is certified stays so for a while
            is_old = self._let_lapse()
            what = "nothing is certified until it is back" if is_old else "it stays for a while"
            logger.warning("what routes have learned could not be read (%s); %s", trouble or "too slow", what)
            return "failed"
        return "fresh"

    def _let_lapse(self) -> bool:
        """Ends certificates that are too old to be believed: whether they are."""
        if self.refreshed_at is None or self._clock.monotonic() - self.refreshed_at <= MOST_AGE_S:
            return False
        self.standings = {name: _lapsed(one) for name, one in self.standings.items()}
        for known in self._known.values():
            known.seen, known.watch, known.watched = (), None, float("-inf")  # all is worked out anew
        return True


def learning(snapshot: Snapshot) -> dict[str, Route]:
    """The routes that learn from their traffic."""
    return {name: one for name, one in snapshot.routes.items() if one.keep is not None or one.explore is not None}


def scorer_of(row: Router) -> str:
    """The name of a predictor, by when it was made."""
    return f"gain@{row.made_at:.6f}"


def _certified(row: Router | None) -> Certified | None:
    if row is None:
        return None
    try:
        return msgspec.msgpack.decode(row.blob, type=Certified)
    except msgspec.MsgspecError:
        logger.warning("the certificate of route %s in the database is of another release; it is made anew", row.route)
        return None


def _lapsed(standing: Standing) -> Standing:
    if not standing.is_certified:
        return standing
    why = f"it could not be read for {MOST_AGE_S / 60:g} minutes"
    return msgspec.structs.replace(standing, threshold=float("-inf"), is_lapsed=True, why=why)


def _explained(standing: Standing, known: _Known) -> Standing:
    """The standing after a withdrawal that no pair tells of, with its reason, until something is certified again."""
    if not known.reason or standing.is_certified or standing.withdrawn_at > known.since:
        return standing
    return msgspec.structs.replace(standing, why=f"withdrawn: {known.reason}; since then {standing.why}")


def _withdrawn(standing: Standing, why: str, at: float) -> Standing:
    return msgspec.structs.replace(
        standing,
        threshold=float("-inf"),
        pairs=0,
        needed=None,
        floor=1.0,
        saved=0.0,
        routed=0.0,
        why=f"withdrawn: {why}",
        made_at=at,
        withdrawn_at=at,
    )


def _gains(known: _Known, imprints: Mapping[str, bytes], shipped: Callable[[], Complexity] | None) -> dict[str, float]:
    from afterbay.policy.learned import gain, imprint

    found: dict[str, float] = {}
    for request_id, data in imprints.items():
        try:
            one = imprint.unpacked(data)
        except ClientMistake:  # of another release: its pair is left out
            continue
        if known.gain is not None:
            found[request_id] = gain.predicted(known.gain, one)
        else:
            found[request_id] = shipped().of(one.prompt) if shipped is not None else gain.length_gain_of(one)
    return found


def _work_out(route: Route, known: _Known, pairs: Sequence[Pair]) -> Standing:
    from afterbay.policy.certified import Judged, certified

    judged = [
        Judged(
            one.at,
            one.gain if one.predictor == known.scorer else known.gains[one.request_id],
            one.cheap_quality,
            one.strong_quality,
            one.cheap_picousd,
            one.strong_picousd,
        )
        for one in pairs
    ]
    first = shipped_thresholds() if known.scorer == SHIPPED else length_thresholds()
    thresholds = first if known.gain is None else known.gain.thresholds
    keep = route.keep if route.keep is not None else 1.0
    return certified(known.duel, keep, route.confidence, known.scorer, thresholds, judged, known.since)
