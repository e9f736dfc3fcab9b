"""The ledger of one process among several that share a database: what requests set aside comes from leased slices.

    reserve ──> every slice has enough? ──> set aside; no I/O, no lock, no await
                     │ no
                     └──> the lease thread asks the table ──> again; still too little: Exceeded
    settle  ──> the slice gets smaller by what was used; the log charges the table later, once
    and on the side: slices that run low are filled, others' calls are answered, what lies idle goes back

While the database takes nothing, requests go on for as long as slices last. Then they get `LedgerUnavailable`; nothing
is ever admitted on a guess. Everything here runs on the event loop; only `LeaseThread` does not.

How it ends. After the log has written its last record, `close` returns what is free. What could not be written stays
leased, until the journal that holds it is read and `leases.retire` is called.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from afterbay.policy.allowance import Allowance
from afterbay.policy.lease import PLENTY_TIMES, Standing, excess
from afterbay.ports import Clock, Exceeded, Hold, LedgerUnavailable
from afterbay.store.held import HeldSlice, LeasedHold, Slices, Taken
from afterbay.store.lease_thread import LeaseThread
from afterbay.store.leases import Answer, Ask, Leases, Part

COME_BACK_S: Final = 10.0
"""When to come again if the minute's limit is with others: a guess, since nobody here knows when they have it back."""
_END_S: Final = 10.0
"""How long `close` waits for the database, and then once more for its thread."""

_log = logging.getLogger(__name__)


class LedgerLimits(msgspec.Struct, frozen=True):
    """Bounds and intervals of the ledger."""

    poll_s: float = 0.25
    """How often others' calls are looked for."""
    again_s: float = 0.1
    """Between two looks for what others return, while a request waits for it."""
    refuse_s: float = 1.0
    """So long what was refused after others had answered is refused without asking again."""
    first_retry_s: float = 0.1
    last_retry_s: float = 2.0
    """How long the database is left alone after it failed."""
    idle_s: float = 600.0
    """A slice that nobody used for so long is given back and forgotten."""
    looks: int = 64
    """Slices looked at in one second."""
    batch: int = 64
    """Asks in one transaction."""
    slices: int = 200_000
    """Most slices held."""


class _Want(msgspec.Struct, frozen=True):
    """What a request that waits wants of one slice. `heard`: how often the table had answered when it came."""

    slice: HeldSlice
    allowance: Allowance
    amount: int
    heard: int

    def is_there(self, now_s: float) -> bool:
        """Whether it could be taken."""
        if not self.amount:
            return True
        return self.slice.free(now_s) >= self.amount and self.allowance.limit >= self.slice.limit


class LeasedLedger:
    """Implements `ports.Ledger`. Its owner calls `start` on the event loop that it is used on, and `close`.

    Args:
        alone: nobody else uses the database, so limits of a minute need no lease.
    """

    def __init__(
        self, leases: Leases, clock: Clock, *, alone: bool = False, limits: LedgerLimits | None = None
    ) -> None:
        self._clock, self._alone = clock, alone
        self._limits = limits or LedgerLimits()
        self._thread = LeaseThread(leases, self, clock.utc, self._limits.poll_s, self._limits.batch)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slices = Slices()
        self._wishes: list[HeldSlice] = []
        self._flying: dict[Part, HeldSlice] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._why_down, self._down_until_s, self._retry_s = "", -math.inf, 0.0
        self._is_closing = False
        self.corrected = 0
        """How much slices were believed larger than the table says. Anything but 0 is a fault to look into."""

    def start(self) -> None:
        """Starts its thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start(self._loop)

    def left(self, allowance: Allowance) -> int | None:
        """See `ports.Ledger`."""
        slice_ = self._slices.of(allowance, self._clock.utc())
        if not self._fits(slice_, allowance.limit) or not slice_.heard:
            self._wish(slice_, allowance.limit)
        return slice_.left(allowance.limit, self._clock.monotonic()) if slice_.heard else None

    def at_once(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> Hold | None:
        """See `ports.Ledger`."""
        return self._take(wants, at_s, PLENTY_TIMES)

    async def reserve(self, wants: Sequence[tuple[Allowance, int]], wait_s: float, at_s: float | None = None) -> Hold:
        """See `ports.Ledger`."""
        if at_s is None:
            at_s = self._clock.utc()
        hold = self._take(wants, at_s)
        return hold if hold is not None else await self._wait(wants, wait_s, at_s)

    def settle(self, hold: Hold, amounts: Sequence[int]) -> None:
        """See `ports.Ledger`."""
        assert isinstance(hold, LeasedHold), "a hold goes back to the ledger that gave it"  # noqa: S101
        hold.settle(amounts, self._clock.monotonic())

    def release(self, hold: Hold) -> None:
        """See `ports.Ledger`."""
        assert isinstance(hold, LeasedHold), "a hold goes back to the ledger that gave it"  # noqa: S101
        hold.settle([0] * len(hold.parts), self._clock.monotonic())

    async def close(self) -> None:
        """Gives back all that is free. Call it when the log has written its last record."""
        if self._loop is None or self._is_closing:
            return
        self._is_closing = True
        self._wake()
        try:
            async with asyncio.timeout(_END_S):
                while self._flying:
                    await self._next_answer()
        except TimeoutError:
            _log.error("the database did not answer for %s s; what is leased is given back later", _END_S)
        now_s = self._clock.monotonic()
        held = [one for one in self._slices.all() if not self._is_alone(one) and not one.has_ended(self._clock.utc())]
        free = [(one, max(0, one.free(now_s))) for one in held]
        self._send((one, one.returned(amount)) for one, amount in free if one.part not in self._flying and amount)
        self._thread.end()
        if not await asyncio.to_thread(self._thread.join, _END_S):
            _log.error("leases were not given back within %s s", _END_S)

    def _take(self, wants: Sequence[tuple[Allowance, int]], at_s: float, times: int = 1) -> LeasedHold | None:
        """Sets all of it aside, or nothing: None. `times`: so often it has to be there; from 2 on, plenty beside."""
        held, hold, now_s = self._slices.now, LeasedHold(), self._clock.monotonic()
        for allowance, amount in wants:
            slice_ = held.get((allowance.account, allowance.unit, allowance.period))
            if slice_ is None or not slice_.begin_s <= at_s < slice_.end_s:
                slice_ = self._new(allowance, at_s)
            fits = allowance.limit == slice_.limit or self._fits(slice_, allowance.limit)
            if slice_.hold is hold:
                hold.widen(slice_, amount, now_s)
                hold.parts.append(None)
            else:
                slice_.hold = hold
                hold.parts.append(Taken(slice_, amount, slice_.take(amount, now_s)))
            free = slice_.leased - slice_.reserved if slice_.window is None else slice_.free(now_s)
            slice_.used_s = now_s
            lacks = amount and (free < 0 or not fits)
            if lacks or (times > 1 and (free < amount * (times - 1) or not slice_.has_plenty(allowance.limit, free))):
                hold.settle([0] * len(hold.parts), now_s)
                return None
            if free < slice_.low and slice_.room > 0 and not slice_.is_asked:
                self._wish(slice_, allowance.limit)  # ahead of need
        return hold

    def _new(self, allowance: Allowance, at_s: float) -> HeldSlice:
        if len(self._slices.now) >= self._limits.slices:
            raise LedgerUnavailable(allowance, "too many accounts are in use at once", self._limits.last_retry_s)
        return self._slices.of(allowance, at_s)

    def _is_alone(self, slice_: HeldSlice) -> bool:
        return self._alone and slice_.window is not None

    def _fits(self, slice_: HeldSlice, limit: int) -> bool:
        """Whether what is in a slice was leased under this limit, or a lower one."""
        if self._is_alone(slice_):
            slice_.leased = slice_.limit = limit
            slice_.heard = 1
        return limit >= slice_.limit

    async def _wait(self, wants: Sequence[tuple[Allowance, int]], wait_s: float, at_s: float) -> LeasedHold:
        """Asks for what is lacking until all of it is there.

        Raises:
            Exceeded, LedgerUnavailable: see `ports.Ledger`.
        """
        merged = self._merged(wants, at_s)
        for want in merged:
            want.slice.waiting += want.amount
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    for want in merged:
                        self._require(want, at_s)
                    await self._next_answer()
                    hold = self._take(wants, at_s)
                    if hold is not None:
                        return hold
        except TimeoutError:
            raise self._too_late(merged, at_s) from None
        finally:
            for want in merged:
                want.slice.waiting -= want.amount

    def _merged(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> list[_Want]:
        """The wants, one for each slice: the tightest rule, the largest amount."""
        found: dict[Part, _Want] = {}
        for allowance, amount in wants:
            slice_ = self._slices.of(allowance, at_s)
            twin = found.get(slice_.part)
            if twin is not None:
                allowance = min(twin.allowance, allowance, key=lambda one: one.limit)
                amount = max(twin.amount, amount)
            found[slice_.part] = _Want(slice_, allowance, amount, slice_.heard)
        return list(found.values())

    def _require(self, want: _Want, at_s: float) -> None:
        """Asks for what is lacking.

        Raises:
            Exceeded: it is certain that there is not so much. LedgerUnavailable: the database does not answer.
        """
        slice_, allowance, now_s = want.slice, want.allowance, self._clock.monotonic()
        if want.is_there(now_s):
            return
        if slice_.heard:
            left = slice_.left(allowance.limit, now_s)
            if left < want.amount:
                raise self._exceeded(want, left, at_s)
            obtainable = slice_.obtainable(allowance.limit, now_s)
            if obtainable < want.amount and self._is_refused(want, now_s):
                raise self._exceeded(want, obtainable, at_s)
        if self._is_closing or now_s < self._down_until_s:
            if want.amount > allowance.limit:
                raise self._exceeded(want, slice_.free(now_s), at_s)
            why = self._why_down or "the gateway is stopping"
            raise LedgerUnavailable(allowance, why, max(0.0, self._down_until_s - now_s) + 1.0)
        self._wish(slice_, allowance.limit)

    def _is_refused(self, want: _Want, now_s: float) -> bool:
        """Whether all others have returned what they could, now or a moment ago."""
        slice_ = want.slice
        if slice_.heard > want.heard and slice_.is_final and want.allowance.limit >= slice_.limit:
            slice_.refused, slice_.refused_until_s = want.amount, now_s + self._limits.refuse_s
            return True
        return now_s < slice_.refused_until_s and want.amount >= slice_.refused

    def _exceeded(self, want: _Want, left: int, at_s: float) -> Exceeded:
        slice_, allowance = want.slice, want.allowance
        if want.amount > allowance.limit:
            back_s = math.inf
        elif slice_.window is None:
            back_s = slice_.end_s - at_s
        else:
            back_s = slice_.window.wait_s(want.amount, slice_.leased, self._clock.monotonic())
            back_s = back_s if 0 < back_s < math.inf else COME_BACK_S
        return Exceeded(allowance, max(0, left), back_s)

    def _too_late(self, wants: Sequence[_Want], at_s: float) -> Exceeded | LedgerUnavailable:
        """Time is up: either others hold what is lacking, and at least one did not answer, or nobody knows."""
        now_s = self._clock.monotonic()
        lacking = [want for want in wants if not want.is_there(now_s)] or list(wants)
        for want in lacking:
            if want.slice.heard > want.heard and want.slice.others:
                want.slice.refused, want.slice.refused_until_s = want.amount, now_s + self._limits.refuse_s
                return self._exceeded(want, want.slice.obtainable(want.allowance.limit, now_s), at_s)
        return LedgerUnavailable(lacking[0].allowance, "the database did not answer in time", 1.0)

    def _wish(self, slice_: HeldSlice, limit: int) -> None:
        """Has the table asked for a slice: at the end of this turn of the loop, when all who want it have said so."""
        if slice_.is_asked:
            slice_.asked_limit = min(slice_.asked_limit, limit)
            return
        now_s = self._clock.monotonic()
        if self._loop is None or self._is_closing or now_s < self._down_until_s:
            return
        slice_.is_asked, slice_.asked_limit = True, limit
        if now_s < slice_.rest_until_s:
            self._loop.call_later(slice_.rest_until_s - now_s, self._enlist, slice_)
        else:
            self._enlist(slice_)

    def _enlist(self, slice_: HeldSlice) -> None:
        assert self._loop is not None, "it was started"  # noqa: S101
        self._wishes.append(slice_)
        if len(self._wishes) == 1:
            self._loop.call_soon(self._send_wishes)

    def _send_wishes(self) -> None:
        wishes, self._wishes = self._wishes, []
        if self._is_closing:
            return
        now_s = self._clock.monotonic()
        self._send((slice_, slice_.asked(now_s)) for slice_ in wishes)

    def _send(self, asks: Iterable[tuple[HeldSlice, Ask]]) -> None:
        sent = list(asks)
        for slice_, ask in sent:
            self._flying[ask.part] = slice_
        if sent:
            self._thread.send([ask for _, ask in sent])

    async def _next_answer(self) -> None:
        assert self._loop is not None, "it was started"  # noqa: S101
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # What the thread tells

    def answered(self, asks: Sequence[Ask], answers: Sequence[Answer]) -> None:
        """See `lease_thread.Listener`."""
        now_s, again = self._clock.monotonic(), []
        if self._why_down:
            _log.info("allowances can be leased again")
        self._why_down, self._retry_s = "", 0.0
        for ask, answer in zip(asks, answers, strict=True):
            slice_ = self._flying.pop(ask.part, None)
            if slice_ is None:
                continue
            slice_.heard_back()
            self._learn(slice_, answer.standing, answer.more, now_s)
            slice_.is_final = answer.is_final
            slice_.rest_until_s = now_s + self._limits.again_s if answer.short and not answer.is_final else -math.inf
            if slice_.called_for and not self._is_closing:
                spare = min(slice_.spare(now_s), slice_.called_for)
                again.append((slice_, slice_.returned(spare, answers=True)))
        self._send(again)
        self._wake()

    def failed(self, asks: Sequence[Ask], why: str) -> None:
        """See `lease_thread.Listener`."""
        if not self._why_down:
            _log.warning("allowances cannot be leased now (%s); requests go on with what is leased already", why)
        limits = self._limits
        self._retry_s = min(limits.last_retry_s, max(limits.first_retry_s, self._retry_s * 2))
        self._why_down = f"the database does not answer ({why})"
        self._down_until_s = self._clock.monotonic() + self._retry_s
        for ask in asks:
            slice_ = self._flying.pop(ask.part, None)
            if slice_ is not None:
                slice_.heard_back(ask.give)
        self._wake()

    def looked(self, parts: Sequence[tuple[Part, int]], standings: Sequence[Standing]) -> None:
        """See `lease_thread.Listener`."""
        now_s, back = self._clock.monotonic(), []
        for (part, limit), standing in zip(parts, standings, strict=True):
            slice_ = self._slices.find(part)
            if slice_ is None or slice_.is_asked or slice_.limit != limit:
                continue
            self._learn(slice_, standing, 0, now_s)
            spare = excess(standing, slice_.spare(now_s))
            if spare and not self._is_closing:
                back.append((slice_, slice_.returned(spare)))
        self._send(back)

    def called(self, calls: Sequence[tuple[Part, int]]) -> None:
        """See `lease_thread.Listener`."""
        now_s, back = self._clock.monotonic(), []
        for part, wanted in calls:
            slice_ = self._slices.find(part)
            if slice_ is None:  # all was returned, but for what is not written yet
                self._thread.send([Ask(part, 0, grows=False, answers=True)])
            elif slice_.is_asked:
                slice_.called_for = wanted
            elif not self._is_closing:
                back.append((slice_, slice_.returned(min(slice_.spare(now_s), wanted), answers=True)))
        self._send(back)

    def second(self) -> None:
        """See `lease_thread.Listener`."""
        now_s, utc_s, back, looks = self._clock.monotonic(), self._clock.utc(), [], []
        if self._is_closing or now_s < self._down_until_s:
            return
        for slice_ in self._slices.some(self._limits.looks):
            if slice_.window is not None:
                slice_.window.move(now_s)
            if slice_.is_idle(now_s, utc_s, self._limits.idle_s):
                if self._is_alone(slice_) or not slice_.leased or slice_.has_ended(utc_s):
                    self._slices.forget(slice_)
                elif slice_.leased > 0:
                    back.append((slice_, slice_.returned(slice_.leased)))
            elif slice_.heard and not slice_.is_asked and not self._is_alone(slice_) and not slice_.has_ended(utc_s):
                looks.append((slice_.part, slice_.limit))
        self._send(back)
        if looks:
            self._thread.look(looks)
        if not self._slices.now:
            self._thread.rest()

    def _learn(self, slice_: HeldSlice, standing: Standing, more: int, now_s: float) -> None:
        if slice_.has_ended(self._clock.utc()):
            return  # the table has forgotten it
        wrong = slice_.learn(standing, more, now_s)
        slice_.heard += 1
        if wrong:
            self.corrected += wrong
            _log.error("%s: %d %s were counted that are not leased", slice_.part.account, wrong, slice_.part.unit)
