"""The one limit of money of a request, through retries, hedges, repairs, resumes and fallbacks.

The purse keeps no account of its own: it looks at the log of attempts whenever it is asked. What has ended counts with
what it cost, as the record will say; what runs counts with the most that it may cost; what was given up before it said
anything counts with its input, since the provider has read that.

A target is asked if its input and a short answer can be paid. If a long answer could not, its request carries the
length that the rest buys, and the model ends at it in its protocol's own way (`finish: length`). The stream of an
answer is not watched: what it may write was paid for before, and what the input cost more than was estimated is spent
by the time that the provider says so. Cutting an answer then would save nothing and spoil what was paid. The record
says that the limit was passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Protocol

import msgspec

from afterbay.core.decision import Attempt, Decision, Rejected, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.message import Audio, Document, Image, ToolResult
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Price, Usage, dollars, picousd
from afterbay.engine.context import Turn, measured
from afterbay.policy.allowance import Allowance, told
from afterbay.policy.kept_quality import as_led
from afterbay.policy.quantity import estimate_text
from afterbay.policy.spending import (
    MEDIA_TOKENS,
    SURE_OUTPUT,
    Need,
    input_cost,
    least_cost,
    longest_output,
    most_cost,
    output_for,
)
from afterbay.wire.anthropic_messages.build import DEFAULT_MAX_TOKENS

HEADER = "x-afterbay-max-cost-usd"
CODE = "max_cost_exceeded"
NAME = "max_cost_usd"

_UNBILLED = ("error", "rate_limit", "connection")
"""Outcomes of attempts that cost nothing where no usage was told: providers do not bill an error."""


class Spender(Protocol):
    """An attempt, as far as money goes."""

    def usage(self) -> Usage | None:
        """What it used."""

    def finish(self) -> str | None:
        """Why the model stopped; None: it did not yet."""


def affordable(turn: Turn, decision: Decision) -> Decision:
    """The decision without targets that are too dear for the request's limit; opens its purse, if it has a limit.

    Raises:
        ClientMistake: the header is no sum of money.
        PolicyRefusal: 402 `max_cost_exceeded`: every target is too dear.
    """
    turn.purse = opened(turn)
    return as_led(decision if turn.purse is None else turn.purse.sift(decision))


def opened(turn: Turn) -> Purse | None:
    """The purse of a request that goes by a route with a limit, or asks for one; None: it may cost what it costs.

    Raises:
        ClientMistake: the header is no sum of money.
    """
    asked = turn.call.headers.get(HEADER)
    limit = turn.route.max_cost_picousd
    if asked is not None:
        wanted = _read(asked)
        limit = wanted if limit is None else min(limit, wanted)
    held = turn.held
    if held is not None and held.picousd is not None and (limit is None or held.picousd < limit):
        return Purse(turn, held.picousd, held.budget, is_ample=held.is_ample)
    return Purse(turn, limit) if limit is not None else None


def _read(header: str) -> int:
    try:
        usd = Decimal(header.strip())
        if usd.is_finite() and usd >= 0 and usd.adjusted() < 9:
            return picousd(usd)
    except InvalidOperation:
        pass
    raise ClientMistake(
        f"The header {HEADER} is '{header[:40]}'.",
        code="invalid_value",
        param=HEADER,
        remedy="Give an amount of US dollars, such as 0.05.",
    )


class Purse:
    """What the attempts of one request may cost together: `limit` picodollars.

    `is_ample`: that is enough for any first attempt at any of its targets. Then nothing is reckoned until there is a
    second one.
    """

    def __init__(self, turn: Turn, limit: int, budget: Allowance | None = None, *, is_ample: bool = False) -> None:
        self.limit, self._budget, self._is_ample = limit, budget, is_ample
        self._turn = turn
        self._targets: dict[str, Target] = {}
        self._dearest: Price | None = None
        self._attempts: Sequence[Attempt] = ()
        self._spenders: Mapping[int, Spender] = {}
        self._reserved: dict[int, int] = {}
        self._inputs: dict[int, int] = {}
        self._caps: dict[int, int] = {}

    def sift(self, decision: Decision) -> Decision:
        """The decision without the targets that cost more than the limit whatever they answer.

        Raises:
            PolicyRefusal: 402 `max_cost_exceeded`: all of them do. Like the other errors of a policy, it is final.
        """
        turn = self._turn
        self._targets = {target.id: target for target in decision.targets}
        if turn.kept_by:
            turn.warnings.append(f"{self._name}: what {turn.kept_by} keeps of the conversation is not counted")
        if self._is_ample:  # all prices are known then
            return decision
        prices = map(turn.price_of, decision.targets)
        known = [price for price in prices if price is not None]
        self._dearest = max(known, key=lambda price: least_cost(price, self._need), default=None)
        costs = {target.id: self._least(target) for target in decision.targets}
        if all(cost <= self.limit for cost in costs.values()):
            return decision
        dear = [Rejected(name, self._reason(cost)) for name, cost in costs.items() if cost > self.limit]
        left = tuple(target for target in decision.targets if costs[target.id] <= self.limit)
        sifted = msgspec.structs.replace(decision, targets=left, rejected=(*decision.rejected, *dear))
        if not left:
            turn.decision = sifted
            raise self._refusal(min(costs.items(), key=lambda one: one[1]))
        return sifted

    def follow(self, attempts: Sequence[Attempt], spenders: Mapping[int, Spender]) -> None:
        """Looks at this log from now on. `spenders` has the attempts that are no repairs, by their number."""
        self._attempts, self._spenders = attempts, spenders

    def affords(self, target: Target) -> bool:
        """Whether one more attempt can be paid. The record says where not."""
        if self._is_ample and not self._attempts:
            return True
        held, least = self._held(), self._least(target)
        if held + least <= self.limit or least == 0:  # what costs nothing may always be asked
            return True
        left = dollars(max(0, self.limit - held))
        self._warn(f"too dear: {target.id} costs at least {dollars(least)}, {left} is left of {dollars(self.limit)}")
        return False

    def cap(self, target: Target, request: ChatRequest | None = None, *, translated: bool = False) -> int | None:
        """How many tokens the answer of the attempt that is about to be sent may have; None: as many as it likes.

        What it may cost is set aside. `request`: what is sent, where it is not what the client asked. `translated`:
        whether it is written in the target's own dialect.
        """
        if self._is_ample and len(self._attempts) == 1:
            return None
        need = self._need if request is None or request is self._turn.request else _read_need(request)
        attempt = next((one for one in reversed(self._attempts) if self._is_new(one, target)), None)
        price = self._price(target)
        if price is None:
            self._warn(f"{self._name}: the price of {target.id} is not known, so nothing limits what it costs")
            return None
        if target.price is None:
            self._warn(f"{self._name}: the price of {target.id} is not known; it counts as the dearest that is")
        rest = self.limit - self._held(attempt)
        bought = output_for(price, need, rest)
        most = longest_output(need, self._most(target, need, translated=translated), target.context_tokens)
        binds = bought is not None and (most is None or bought < most)
        if attempt is not None:
            self._inputs[attempt.number] = input_cost(price, need)
            self._reserved[attempt.number] = most_cost(price, need, (bought if binds else most) or 0)
        if not binds or bought is None or (most is None and bought > SURE_OUTPUT):
            return None
        if attempt is not None:
            self._caps[attempt.number] = bought
        self._warn(f"{self._name}: {target.id} may write {bought} tokens, for {dollars(max(0, rest))}")
        return bought

    def capped(self, number: int) -> int | None:
        """How many tokens an attempt's answer was limited to; None: it was not."""
        return self._caps.get(number)

    def told(self, cost_picousd: int | None) -> list[str]:
        """What the record of a request that cost so much has to say beside."""
        if cost_picousd is None or cost_picousd <= self.limit:
            return []
        return [f"{self._name}: it cost {dollars(cost_picousd)}, the limit was {dollars(self.limit)}"]

    def _held(self, but: Attempt | None = None) -> int:
        """What the attempts have cost, or may still cost."""
        return sum(self._holds(attempt) for attempt in self._attempts if attempt is not but)

    def _holds(self, attempt: Attempt) -> int:
        target, spender = self._targets[attempt.target], self._spenders.get(attempt.number)
        price = self._price(target)
        if price is None:
            return 0
        has_stopped = attempt.ended_s is not None or (spender is not None and spender.finish() is not None)
        if not has_stopped:
            return self._reserved.get(attempt.number) or self._most_of(target, price)
        usage = attempt.usage if spender is None else spender.usage()
        if usage is not None:
            cost = target.cost_picousd(usage, self._turn.call.received_at)
            return price.cost_picousd(usage) if cost is None else cost
        if attempt.outcome in _UNBILLED:
            return 0
        return self._inputs.get(attempt.number, input_cost(price, self._need))

    def _is_new(self, attempt: Attempt, target: Target) -> bool:
        """Whether an attempt at this target is about to be sent."""
        return attempt.ended_s is None and attempt.target == target.id

    def _least(self, target: Target) -> int:
        price = self._price(target)
        return least_cost(price, self._need_at(target)) if price is not None else 0

    def _need_at(self, target: Target) -> Need:
        """What the request needs there: less, where it is trimmed for the target's window."""
        fitting = self._turn.fitting
        shrunk = fitting.of(target) if fitting is not None else None
        return self._need if shrunk is None else msgspec.structs.replace(self._need, input_tokens=shrunk.tokens)

    def _most_of(self, target: Target, price: Price) -> int:
        """What an attempt may cost that was sent without being reckoned."""
        longest = longest_output(self._need, target.max_output, target.context_tokens)
        return most_cost(price, self._need, longest or SURE_OUTPUT)

    @property
    def _need(self) -> Need:
        return need_of(self._turn)

    def _price(self, target: Target) -> Price | None:
        """A price that is not known is taken to be the dearest of those that are: never nothing."""
        return self._turn.price_of(target) or self._dearest

    def _most(self, target: Target, need: Need, *, translated: bool) -> int | None:
        """The longest answer of the target. What is translated for Anthropic has a limit in any case."""
        if translated and need.asked is None and target.dialect == "anthropic.messages":
            return need.thinking + DEFAULT_MAX_TOKENS
        return target.max_output

    def _reason(self, cost: int) -> str:
        return f"money: it costs at least {dollars(cost)}, the limit is {dollars(self.limit)}"

    def _refusal(self, cheapest: tuple[str, int]) -> PolicyRefusal:
        name, cost = cheapest
        has_header = HEADER in self._turn.call.headers
        limits = f"{HEADER} or max_cost_usd" if has_header else "max_cost_usd"
        return PolicyRefusal(
            f"The request may cost {dollars(self.limit)} and would cost at least {dollars(cost)}, at {name}: about "
            f"{self._need.input_tokens} tokens to read, and {self._need.least_output} to write.",
            status=402,
            kind="quota",
            code=CODE,
            param=HEADER if has_header else "model",
            remedy=f"Shorten it, ask for a cheaper model, or raise {limits}.",
        )

    @property
    def _name(self) -> str:
        """What the limit is known by."""
        return NAME if self._budget is None else told(self._budget)

    def _warn(self, text: str) -> None:
        if text not in self._turn.warnings:
            self._turn.warnings.append(text)


def need_of(turn: Turn) -> Need:
    """What the client's request needs. Of one that can only be relayed, no more than its length is known."""
    if turn.need is None:
        turn.need = _need_of(turn)
    return turn.need


def _need_of(turn: Turn) -> Need:
    operation = turn.record.operation
    if operation == "moderations":
        return Need(0, writes=False)
    if operation == "embeddings":
        inputs = turn.embed_request.inputs
        return Need(sum(estimate_text(one) if isinstance(one, str) else len(one) for one in inputs), writes=False)
    if operation == "compaction" or turn.unreadable() is not None:
        return Need(len(turn.call.body) // 4)
    return _read_need(turn.request)


def _read_need(request: ChatRequest) -> Need:
    sampling, reasoning = request.sampling, request.reasoning
    asked = sampling.max_output_tokens
    thinking = reasoning.budget_tokens if reasoning is not None else None
    return Need(
        measured(request) + MEDIA_TOKENS * _media(request),
        asked if asked is not None and asked > 0 else None,
        max(0, thinking or 0),
        max(1, sampling.n or 1),
    )


def _media(request: ChatRequest) -> int:
    parts = [part for message in request.messages for part in message.parts]
    inside = [one for part in parts if isinstance(part, ToolResult) for one in part.parts]
    return sum(isinstance(part, Image | Document | Audio) for part in (*parts, *inside))
