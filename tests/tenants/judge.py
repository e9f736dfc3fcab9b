"""What the provider really served, held against the limits, the log and the accounts: the judge of a run, pure.

- No account's true spending, nor what it was charged, is above a limit of money by more than a tolerance; in no sixty
  seconds were more requests sent than a limit of a minute says.
- Every request that the provider served has one row; no request has two.
- A row whose usage the provider told costs what it really cost. Where nobody knows the cost (the process was killed) at
  least the truth is charged. What the gateway counted of answers that their clients left is shown beside the truth.
- The accounts of owners have what their keys have together, and no lease is left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from budgets.history import Line, judge_minutes
from kills.judge import Row
from kills.judge import judge as judge_rows
from tenants.load import Asked
from tenants.provider import Served
from tenants.world import MINUTE, Account, cost_of

MANY = 16
UNITS = ("picousd", "requests", "tokens")


class Used(NamedTuple):
    """What an account used, or was charged."""

    picousd: int = 0
    requests: int = 0
    tokens: int = 0

    def plus(self, other: Used) -> Used:
        """Both together."""
        return Used(*(one + more for one, more in zip(self, other, strict=True)))


class Books(msgspec.Struct, frozen=True):
    """What a gateway leaves behind: rows by number, what was charged by account, leases and journals that are left, and
    on how many days of UTC it was charged."""

    rows: Mapping[int, Sequence[Row]]
    charged: Mapping[str, Used]
    left: Sequence[str] = ()
    days: int = 1


class Group(msgspec.Struct):
    """Requests of a kind: how many, what they were charged, what they really cost."""

    count: int = 0
    charged: int = 0
    cost: int = 0


class Verdict(msgspec.Struct):
    """What was found. `faults`: what must not be."""

    asked: int = 0
    served: int = 0
    whole: int = 0
    left: int = 0
    refused: int = 0
    too_early: int = 0
    """Refused, though by the provider's history there was enough: others had set it aside, or had leased it."""
    stranded: int = 0
    """Of these, those where there was enough for sixteen of them."""
    limited: int = 0
    unavailable: int = 0
    gone: int = 0
    other: Counter[str] = msgspec.field(default_factory=Counter)
    accounts: int = 0
    used_up: int = 0
    """Accounts with less than a hundredth left of a limit."""
    over: dict[str, float] = {}
    """By which share of its limit the worst account really was above it, and by what it was charged, by unit."""
    told: Group = msgspec.field(default_factory=Group)
    counted: Group = msgspec.field(default_factory=Group)
    """Answers that were left: the gateway counted what it had got of them."""
    unsure: Group = msgspec.field(default_factory=Group)
    """Nobody knows what they cost."""
    faults: list[str] = []


def judge(asked: Sequence[Asked], served: Sequence[Served], books: Books, *, tolerance: float) -> Verdict:
    """What holds for a run that is over."""
    verdict = Verdict(asked=len(asked))
    true = truth_of(served)
    verdict.served = len(true)
    _count(asked, verdict)
    verdict.faults += judge_rows([one.seen for one in asked], books.rows)
    verdict.faults += books.left
    _judge_costs(true, books, verdict)
    unsure = _judge_charges(asked, true, books, verdict)
    accounts = {account.name: account for one in asked for account in one.tenant.accounts}
    verdict.accounts = len(accounts)
    used = _sums(asked, {number: Used(cost_of(read, wrote), 1, read + wrote) for number, (read, wrote) in true.items()})
    _judge_limits(accounts.values(), used, books, verdict, tolerance)
    verdict.faults += judge_minutes(_admissions(asked, served), _minutes(accounts.values()))
    spare = _spare(asked, served, unsure, accounts)
    verdict.too_early = sum(times >= 1 for times in spare)
    verdict.stranded = sum(times >= MANY for times in spare)
    return verdict


def truth_of(served: Iterable[Served]) -> dict[int, tuple[int, int]]:
    """Tokens read and written by number: all that the provider did for it."""
    found: dict[int, tuple[int, int]] = {}
    for line in served:
        read, wrote = found.get(line.number, (0, 0))
        found[line.number] = (read + line.input, wrote) if line.what == "began" else (read, wrote + line.output)
    return found


def _count(asked: Sequence[Asked], verdict: Verdict) -> None:
    for one in asked:
        verdict.whole += one.seen.is_whole and one.seen.status == 200
        verdict.left += one.left
        match one.code:
            case "insufficient_quota":
                verdict.refused += 1
            case "rate_limit_exceeded":
                verdict.limited += 1
            case "ledger_unavailable":
                verdict.unavailable += 1
            case "connection":
                verdict.gone += 1
            case "":
                pass
            case _:
                verdict.other[one.code] += 1


def _judge_costs(true: Mapping[int, tuple[int, int]], books: Books, verdict: Verdict) -> None:
    """Every request that was served has a row, which costs what it really cost, if the provider said so."""
    for number in sorted(true.keys() - books.rows.keys()):
        verdict.faults.append(f"{number} was served and is not in the log")
    for number, own in books.rows.items():
        cost = cost_of(*true.get(number, (0, 0)))
        for row in own[:1]:
            if row.picousd is None:
                continue
            group = verdict.counted if row.estimated else verdict.told
            group.count += number in true
            group.charged += row.picousd
            group.cost += cost
            if not row.estimated and row.picousd != cost:
                verdict.faults.append(f"{number} cost {cost}, the log says {row.picousd} ({row.outcome})")


def _judge_charges(
    asked: Sequence[Asked], true: Mapping[int, tuple[int, int]], books: Books, verdict: Verdict
) -> dict[int, int]:
    """Each key was charged its rows, once, and for those that nobody knows the cost of at least that; owners were
    charged what their keys were. Returns about what each of those that nobody knows was charged, by number."""
    each: dict[int, int] = {}
    numbers: dict[str, list[int]] = defaultdict(list)
    owners: dict[str, Used] = {}
    for one in asked:
        numbers[one.tenant.accounts[0].name].append(one.seen.number)
    for tenant in {one.tenant.number: one.tenant for one in asked}.values():
        for owner in tenant.accounts[1:]:
            mine = books.charged.get(tenant.accounts[0].name, Used())
            owners[owner.name] = owners.get(owner.name, Used()).plus(mine)
    for key, own in numbers.items():
        rows = {number: books.rows[number][0] for number in own if number in books.rows}
        sent = {number: row for number, row in rows.items() if row.attempts or row.outcome == "unknown"}
        charged = books.charged.get(key, Used())
        if charged.requests != len(sent):
            verdict.faults.append(f"{key} was charged {charged.requests} requests, {len(sent)} were sent")
        unsure = [number for number, row in sent.items() if row.picousd is None]
        group = Group(
            len(unsure),
            charged.picousd - sum(row.picousd or 0 for row in sent.values()),
            sum(cost_of(*true.get(number, (0, 0))) for number in unsure),
        )
        if group.charged < group.cost or (group.charged and not unsure):
            verdict.faults.append(f"{key} was charged {group.charged} for {len(unsure)} that cost {group.cost}")
        each |= dict.fromkeys(unsure, group.charged // max(1, len(unsure)))
        verdict.unsure.count += group.count
        verdict.unsure.charged += group.charged
        verdict.unsure.cost += group.cost
    for name, together in owners.items():
        if books.charged.get(name, Used()) != together:
            verdict.faults.append(f"{name} was charged {books.charged.get(name)}, its keys {together}")
    return each


def _sums(asked: Sequence[Asked], used: Mapping[int, Used]) -> dict[str, Used]:
    """What was used, by account."""
    found: dict[str, Used] = {}
    for one in asked:
        mine = used.get(one.seen.number)
        if mine is not None:
            for account in one.tenant.accounts:
                found[account.name] = found.get(account.name, Used()).plus(mine)
    return found


def _judge_limits(
    accounts: Iterable[Account],
    used: Mapping[str, Used],
    books: Books,
    verdict: Verdict,
    tolerance: float,
) -> None:
    for account in accounts:
        is_used_up = False
        for name, limit in account.limits.items():
            unit, _, period = name.partition("/")
            if period == "minute":
                continue
            limit *= books.days if period == "day" else 1
            place = UNITS.index(unit)
            for what, amounts in (("really", used), ("charged", books.charged)):
                amount = amounts.get(account.name, Used())[place]
                share = amount / limit - 1
                label = f"{unit} {what}"
                verdict.over[label] = max(verdict.over.get(label, -1.0), share)
                if share > (tolerance if unit != "tokens" else 1.0):
                    verdict.faults.append(f"{account.name}: {amount} {unit} ({what}) of {limit} a {period}")
                is_used_up |= share > -0.01
        verdict.used_up += is_used_up


def _minutes(accounts: Iterable[Account]) -> dict[str, int]:
    return {account.name: account.limits[MINUTE] for account in accounts if MINUTE in account.limits}


def _admissions(asked: Sequence[Asked], served: Sequence[Served]) -> list[Line]:
    """Requests as the judge of minutes knows them: asked when their client did, admitted when the provider saw them."""
    lines = []
    for line in served:
        if line.what == "began":
            one = asked[line.number]
            names = tuple(account.name for account in one.tenant.accounts)
            lines.append(Line("admitted", line.at_s, str(line.number), names, asked_s=one.asked_s))
    return sorted(lines, key=lambda line: line.at_s)


def _spare(
    asked: Sequence[Asked], served: Sequence[Served], unsure: Mapping[int, int], accounts: Mapping[str, Account]
) -> list[float]:
    """For how many of its kind there was enough when one was refused for want of money, by its tightest account: if all
    that had been asked for and was served, and ran, cost the most that it might."""
    limits = {
        name: min((most for limit, most in account.limits.items() if limit.startswith("picousd")), default=1 << 62)
        for name, account in accounts.items()
    }
    true = truth_of(served)
    events: list[tuple[float, int, int, Asked]] = []
    for line in served:
        one = asked[line.number]
        cost = unsure.get(line.number, cost_of(*true[line.number]))
        is_begin = line.what == "began"
        events.append((one.asked_s if is_begin else line.at_s, 0, one.worst if is_begin else cost - one.worst, one))
    events += [(one.ended_s, 1, 0, one) for one in asked if one.code == "insufficient_quota"]
    taken: Counter[str] = Counter()
    found = []
    for _, is_refused, amount, one in sorted(events, key=lambda event: event[:3]):
        names = [account.name for account in one.tenant.accounts]
        if is_refused:
            found.append(min(limits[name] - taken[name] for name in names) / one.least)
        for name in names:
            taken[name] += amount
    return found
