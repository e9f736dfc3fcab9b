"""What processes wrote down of their requests, and what must hold for it: the judge of a run, pure.

Each process appends a line before and after everything that matters, with times of the machine's one monotonic clock.
What a line says of a request is true at that time: `admitted` is written after the ledger said yes, `used` before it is
told how much was used. So what the lines add up to is never more than what really was set aside, and where they pass a
limit, the ledger did.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from afterbay.policy.window import WINDOW_S

TOLERANCE = 0.001
"""How far above a limit several processes may go; the aim is 0."""


class Line(msgspec.Struct, omit_defaults=True):
    """One line. `asked_s`: when the ledger was asked; `amount`: set aside, or used."""

    what: Literal["started", "admitted", "used", "exceeded", "unavailable", "ended"]
    at_s: float
    id: str = ""
    accounts: tuple[str, ...] = ()
    amount: int = 0
    asked_s: float = 0.0
    corrected: int = 0


class Limits(msgspec.Struct, frozen=True):
    """Limits of a run by account: picodollars of the month, requests of a minute."""

    picousd: Mapping[str, int]
    minute: Mapping[str, int]


class Verdict(msgspec.Struct):
    """What was found. `faults`: what must not be."""

    admitted: int = 0
    settled: int = 0
    unknown: int = 0
    exceeded: int = 0
    unavailable: int = 0
    most_over: float = 0.0
    """By which share of its limit the worst account was above it, at any time."""
    used_up: int = 0
    """Accounts of which less than the largest request is left."""
    too_early: int = 0
    """Refused, though by the lines there was enough: others had it and did not return it in time."""
    slowest_s: float = 0.0
    faults: list[str] = []


def read(paths: Iterable[Path]) -> list[Line]:
    """All lines, in the order of time. A last line that a kill cut off is none."""
    decode = msgspec.json.Decoder(Line).decode
    lines = []
    for path in paths:
        *whole, _ = path.read_bytes().split(b"\n")
        lines += [decode(line) for line in whole]
    return sorted(lines, key=lambda line: line.at_s)


def judge(
    lines: Sequence[Line], limits: Limits, spent: Mapping[str, tuple[int, int]], leased: Mapping[str, int]
) -> Verdict:
    """What holds for a run that is over: `spent` has picodollars and requests by account, `leased` what is left leased
    by holder."""
    verdict = Verdict()
    _judge_money(lines, limits, verdict)
    verdict.faults += judge_minutes(lines, limits.minute)
    _judge_table(lines, limits, spent, verdict)
    verdict.faults += [f"{holder} still has a lease of {amount}" for holder, amount in leased.items()]
    verdict.faults += [f"a slice was {line.corrected} too large" for line in lines if line.corrected]
    return verdict


def _judge_money(lines: Sequence[Line], limits: Limits, verdict: Verdict) -> None:
    """At no time is more set aside and used than the limit."""
    taken: Counter[str] = Counter()
    open_ones: dict[str, Line] = {}
    largest = max((line.amount for line in lines if line.what == "admitted"), default=0)
    for line in lines:
        if line.what == "admitted":
            verdict.admitted += 1
            verdict.slowest_s = max(verdict.slowest_s, line.at_s - line.asked_s)
            open_ones[line.id] = line
            for account in line.accounts:
                taken[account] += line.amount
                verdict.most_over = max(verdict.most_over, taken[account] / limits.picousd[account] - 1)
        elif line.what == "used":
            verdict.settled += 1
            back = open_ones.pop(line.id).amount - line.amount
            for account in line.accounts:
                taken[account] -= back
        elif line.what == "unavailable":
            verdict.unavailable += 1
        elif line.what == "exceeded":
            verdict.exceeded += 1
            left = [limits.picousd[account] - taken[account] for account in line.accounts]
            verdict.too_early += min(left) >= line.amount and not any(one in limits.minute for one in line.accounts)
    verdict.unknown = len(open_ones)
    verdict.used_up = sum(limits.picousd[account] - amount < largest for account, amount in taken.items())
    if verdict.most_over > TOLERANCE:
        verdict.faults.append(f"an account was {verdict.most_over:.2%} above its limit")


def judge_minutes(lines: Sequence[Line], limits: Mapping[str, int]) -> list[str]:
    """In no 60 seconds were more requests admitted than the limit: counted are those that were asked for after the
    beginning and admitted before the end. What is wrong, a line for each account."""
    admitted: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.what == "admitted":
            for account in line.accounts:
                admitted[account].append(line)
    return [
        f"{account} had more than {limit} requests in a minute"
        for account, limit in limits.items()
        if any(
            some[-1].at_s - min(line.asked_s for line in some) < WINDOW_S
            for some in _runs(admitted[account], limit + 1)
        )
    ]


def _runs(lines: Sequence[Line], length: int) -> Iterator[Sequence[Line]]:
    """All that many in a row."""
    return (lines[place : place + length] for place in range(len(lines) - length + 1))


def _judge_table(lines: Sequence[Line], limits: Limits, spent: Mapping[str, tuple[int, int]], verdict: Verdict) -> None:
    """The table has each request once: with what it used, or, if nobody knows that, with what was set aside."""
    cost = {line.id: (line.accounts, line.amount) for line in lines if line.what == "admitted"}
    cost.update({line.id: (line.accounts, line.amount) for line in lines if line.what == "used"})
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for accounts, amount in cost.values():
        for account in accounts:
            expected[account][0] += amount
            expected[account][1] += 1
    for account in expected.keys() | spent.keys():
        if tuple(expected[account]) != spent.get(account, (0, 0)):
            found = spent.get(account)
            verdict.faults.append(f"{account}: the table says {found}, the lines say {tuple(expected[account])}")
    for account, (picousd, _) in spent.items():
        if picousd > limits.picousd[account] * (1 + TOLERANCE):
            verdict.faults.append(f"{account}: {picousd} were spent of {limits.picousd[account]}")
