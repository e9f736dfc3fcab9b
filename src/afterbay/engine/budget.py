"""What a request takes of the allowances that hold for it: set aside before the first attempt, settled when it closes.

    accounts of the request -> allowances -> policy/budget: which targets -> the ledger sets aside -> attempts -> close

Of money the worst case is set aside: the longest answer of the dearest target that may be asked, and more where the
route hedges. What was set aside is then the limit of the request's purse, which shortens answers rather than pass it;
so what is spent stays within what was set aside. While plenty is left that changes nothing for anybody. As a budget
empties, a request gets a quarter of what is left, but enough for an answer of usual length as long as there is that.

Of tokens the estimate is set aside and the count is settled; a request is one request once it was sent to anybody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from afterbay.core.decision import Decision, Rejected, Target
from afterbay.core.errors import Capacity, GatewayError, PolicyRefusal
from afterbay.core.usage import dollars
from afterbay.engine.ceiling import ceiling_of
from afterbay.engine.context import Turn
from afterbay.engine.held import Held
from afterbay.engine.purse import need_of
from afterbay.engine.routing import priority_of
from afterbay.policy.allowance import Allowance, per, told
from afterbay.policy.budget import LADDERS, Candidate, Spend, leaves_alone, spend
from afterbay.policy.lease import PLENTY_SHARE, PLENTY_TIMES
from afterbay.policy.spending import Bill, Need, bill_of, worst_together
from afterbay.ports import Exceeded, LedgerUnavailable

SHARE = 4
"""One request may set aside up to this part of what is left: a fourth."""
WAIT_S = 2.0
"""How long the ledger may take to find what a request needs."""
TRIES = 4
"""So often what is left may turn out as less than was believed."""


async def set_aside(turn: Turn, decision: Decision) -> Decision:
    """The decision with the targets that its budgets leave; what the request may use is set aside.

    Raises:
        PolicyRefusal: 429 `insufficient_quota`: a budget is used up. 403 `price_unknown`: a budget of money holds, and
            of no target the price is known.
        Capacity: 429 `rate_limit_exceeded`: a limit is. 503 `ledger_unavailable`: nobody knows.
        ClientMistake: the header of the priority is wrong.
    """
    allowances = _charged(turn, (f"model:{decision.targets[0].alias}", f"route:{turn.route.name}"))
    if not allowances:
        return decision
    turn.decision = decision
    # A budget for the gateway's own requests is for them alone: were dear ones kept back, no label would be of them.
    turn.priority = "high" if turn.is_own else priority_of(turn.call.headers.get("x-afterbay-priority"))
    if _took_at_once(turn, decision, allowances):
        return decision
    need = need_of(turn) if any(one.unit != "requests" for one in allowances) else Need(0)
    money = [one for one in allowances if one.unit == "picousd"]
    bills = _bills(turn, decision.targets, need) if money else {}
    known = {one: turn.context.ledger.left(one) for one in money}
    for _ in range(TRIES):
        try:
            return await _try(turn, decision, need, bills, allowances, known)
        except Exceeded as exceeded:
            found = exceeded
            if exceeded.allowance not in known:
                break
            known[exceeded.allowance] = exceeded.left  # less than was believed: with that the plan is another one
        except LedgerUnavailable as trouble:
            raise _unavailable(trouble) from None
    raise refusal(found.allowance, found.left, found.back_s)


def _took_at_once(turn: Turn, decision: Decision, allowances: Sequence[Allowance]) -> bool:
    """Sets the most that the request may cost aside, unread, where there is plenty: the usual case, fast."""
    ladder = LADDERS.of(turn.priority)
    if ladder.step(PLENTY_SHARE) != "free" or ladder.takes * PLENTY_TIMES < 1:
        return False
    ceiling = ceiling_of(turn, decision.targets)
    if ceiling is None:
        return False
    amounts = {"picousd": ceiling.picousd, "requests": 1, "tokens": ceiling.tokens}
    wants = tuple([(one, amounts[one.unit]) for one in allowances])
    hold = turn.context.ledger.at_once(wants, turn.call.received_at)
    if hold is None:
        return False
    money = next((one for one in allowances if one.unit == "picousd"), None)
    turn.held = Held(hold, wants, None, is_ample=True)
    if money is not None:
        turn.held.picousd, turn.held.unknown_picousd, turn.held.budget = ceiling.picousd, ceiling.text_picousd, money
    return True


async def _try(
    turn: Turn,
    decision: Decision,
    need: Need,
    bills: Mapping[str, Bill],
    allowances: Sequence[Allowance],
    known: Mapping[Allowance, int | None],
) -> Decision:
    """The decision that these figures lead to, with its worst case set aside.

    Raises:
        Exceeded, LedgerUnavailable, PolicyRefusal
    """
    overdrawn: set[Allowance] = set()
    warnings: list[str] = []
    tightest: int | None = None
    dearest = max([bill.least for bill in bills.values()], default=0)
    for allowance, left in known.items():
        if left is None:
            left = allowance.limit
        if not leaves_alone(dearest, left, allowance.limit, turn.priority):  # it seldom comes to that
            decision, is_overdrawn = _within(turn, decision, allowance, left, bills, warnings)
            if is_overdrawn:
                overdrawn.add(allowance)
                continue
        if tightest is None or left < tightest:
            tightest = left
    most = _worst(turn, [bills[target.id] for target in decision.targets], tightest) if known else None
    amounts = {"picousd": most or 0, "requests": 1, "tokens": need.input_tokens + need.least_output}
    # Of what is overdrawn nothing can be set aside; it is among them so that it is charged.
    wants = tuple((one, amounts[one.unit] if one not in overdrawn else 0) for one in allowances)
    hold = await turn.context.ledger.reserve(wants, WAIT_S, turn.call.received_at)
    turn.held = Held(hold, wants, most, next(iter(known), None), most)
    turn.decision = decision
    turn.warnings += warnings
    return decision


async def set_aside_raw(turn: Turn) -> None:
    """Sets aside what a raw request uses of its limits: itself. What it costs nobody knows before or after.

    Raises:
        PolicyRefusal: 403 `price_unknown`: a budget of money holds for it.
        Capacity: 429 `rate_limit_exceeded`; 503 `ledger_unavailable`.
    """
    allowances = _charged(turn, ())
    money = next((one for one in allowances if one.unit == "picousd"), None)
    if money is not None:
        raise PolicyRefusal(
            f"What a raw request costs is not known, and the budget {told(money)} holds for it.",
            code="price_unknown",
            remedy="Use an endpoint under /v1, or a key without a budget of money.",
        )
    wants = tuple((one, 1 if one.unit == "requests" else 0) for one in allowances)
    if wants:
        try:
            hold = await turn.context.ledger.reserve(wants, WAIT_S, turn.call.received_at)
        except Exceeded as exceeded:
            raise refusal(exceeded.allowance, exceeded.left, exceeded.back_s) from None
        except LedgerUnavailable as trouble:
            raise _unavailable(trouble) from None
        turn.held = Held(hold, wants, None)


def _charged(turn: Turn, accounts: tuple[str, ...]) -> Sequence[Allowance]:
    """What limits a request that may be charged to its key, these accounts and its tags; notes whom it charges."""
    if turn.record.tags:
        accounts = (*accounts, *[f"tag:{name}={value}" for name, value in turn.record.tags.items()])
    charging = turn.fleet.charging(turn.call.key, accounts)
    turn.record.accounts = charging.accounts
    return charging.allowances


def _within(
    turn: Turn, decision: Decision, allowance: Allowance, left: int, bills: Mapping[str, Bill], warnings: list[str]
) -> tuple[Decision, bool]:
    """The decision with the targets that one budget of money leaves, and whether it is overdrawn with its leave.

    Raises:
        PolicyRefusal: 429 `insufficient_quota`: none.
    """
    costs = {target.id: bills[target.id].least for target in decision.targets}
    asked = [Candidate(name, cost) for name, cost in costs.items()]
    found = spend(asked, left, allowance.limit, turn.priority, allowance.on_exceeded)
    if not found.targets:
        raise _used_up(allowance, left, found)
    if not found.why:
        return decision, False
    by_id = {target.id: target for target in decision.targets}
    kept = tuple(by_id[name] for name in found.targets)
    left_out = [Rejected(name, f"{allowance.name}: {found.why}") for name in by_id if name not in found.targets]
    warnings.append(f"{allowance.name}: {found.why}")
    rejected = (*decision.rejected, *left_out)
    is_overdrawn = left < min(costs.values()) and min(costs.values()) > 0
    return msgspec.structs.replace(decision, targets=kept, rejected=rejected), is_overdrawn


def _bills(turn: Turn, targets: Sequence[Target], need: Need) -> dict[str, Bill]:
    """What each target may cost; one whose price is not known, as much as the dearest.

    Raises:
        PolicyRefusal: 403 `price_unknown`: no price is known, so nothing can be set aside.
    """
    bills = {
        target.id: bill_of(price, need, target.max_output, target.context_tokens)
        for target in targets
        if (price := turn.price_of(target)) is not None
    }
    if not bills:
        names = ", ".join(target.id for target in targets[:3])
        raise PolicyRefusal(
            f"A budget of money holds for this request, and the price of {names} is not known.",
            code="price_unknown",
            remedy="Give the provider a `price` in the configuration, or ask for another model.",
        )
    if len(bills) < len(targets):
        dearest = max(bills.values(), key=lambda bill: bill.worst)
        bills |= {target.id: dearest for target in targets if target.price is None}
    return bills


def _worst(turn: Turn, bills: Sequence[Bill], left: int | None) -> int:
    """What is set aside of money. `left`: of the tightest budget; None: of none, its operator lets it be overdrawn."""
    worst, read = max(bill.worst for bill in bills), max(bill.read for bill in bills)
    worst = worst_together(worst, read, turn.route.at_once)
    if left is None or worst <= left // SHARE:
        return worst
    usual, least = max(bill.usual for bill in bills), max(bill.least for bill in bills)
    return max(least, min(left, worst, max(usual, left // SHARE)))


def _used_up(allowance: Allowance, left: int, found: Spend) -> PolicyRefusal:
    when = "in total" if allowance.period == "total" else f"for this {allowance.period}"
    of = f"{dollars(max(0, left))} is left of {dollars(allowance.limit)} {when}"
    later = {"cache": "; only a cache could answer", "defer": "; it may be asked again later"}.get(found.step, "")
    return PolicyRefusal(
        f"The budget {told(allowance)} has too little left: {of}{later}.",
        status=429,
        kind="quota",
        code="insufficient_quota",
        remedy=("Ask" if allowance.period == "total" else "Wait for the next period, ask")
        + " for a shorter answer or a cheaper model, or have the operator raise the budget.",
    )


def refusal(allowance: Allowance, left: int, back_s: float) -> GatewayError:
    """What a client is told whose request would pass an allowance."""
    if allowance.unit == "picousd" and allowance.period != "minute":
        return _used_up(allowance, left, Spend("refuse", ()))
    amount = dollars(allowance.limit) if allowance.unit == "picousd" else f"{allowance.limit} {allowance.unit}"
    limit = f"{told(allowance)} of {amount} {per(allowance.period)}"
    text, remedy = f"The limit {limit} is reached.", None
    if back_s == math.inf:  # no waiting helps, so none is advised
        remedy = "Have the operator raise it, or use another key."
        if allowance.period != "total":
            text = f"This request alone may need more than the whole limit {limit}."
            remedy = "Ask for a shorter answer with a shorter prompt, or have the operator raise the limit."
    return Capacity(
        text,
        remedy=remedy,
        status=429,
        kind="rate_limit",
        code="rate_limit_exceeded",
        retry_after_s=back_s if back_s < math.inf else None,
        retryable=allowance.period == "minute",
    )


def _unavailable(trouble: LedgerUnavailable) -> Capacity:
    return Capacity(
        f"What is left of {told(trouble.allowance)} cannot be told now: {trouble.why}.",
        code="ledger_unavailable",
        retry_after_s=trouble.retry_s,
    )
