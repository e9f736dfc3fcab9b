"""How much an account may use in a period: budgets of money, and limits of requests and tokens, as one idea. Pure.

An account is whatever something is charged to: `organisation:ID`, `team:ID`, `user:ID`, `key:ID`, `model:ALIAS`,
`route:NAME`, `tag:NAME=VALUE`. Its amounts are integers: picodollars (1e-12 USD), requests, or tokens. A budget says
what happens to a request that would pass it (`afterbay.policy.budget`); a limit makes it come back later.

A rule of the configuration gives every account of its scope an allowance of its own: `scope: key` is that much for each
key, not for all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from afterbay.policy.budget import OnExceeded

Unit: TypeAlias = Literal["picousd", "requests", "tokens"]
Period: TypeAlias = Literal["minute", "day", "month", "total"]

KEPT_SCOPES: tuple[str, ...] = ("organisation", "team", "user", "key")
"""Kinds of accounts of which it is never forgotten what they used: these may have a limit in total."""

SCOPES: tuple[str, ...] = (*KEPT_SCOPES, "model", "route")
"""Kinds of accounts; beside them `tag:NAME`."""

TAG = "tag:"


class Allowance(msgspec.Struct, frozen=True):
    """At most `limit` of `unit` in each `period`, for everything that is charged to `account`.

    A minute is any 60 seconds; days and months are the calendar's, in UTC; `total` is as long as the account is there.
    `on_exceeded` is what a budget of money
    says; limits of requests and tokens, and all limits of a minute, refuse for a while. `name` is what people know it
    by (`policies.budgets.default`, `key ci-bot`).
    """

    account: str
    unit: Unit
    period: Period
    limit: int
    on_exceeded: OnExceeded = "refuse"
    name: str = ""


def per(period: Period) -> str:
    """A period behind an amount, for people: `a day`, `in total`."""
    return "in total" if period == "total" else f"a {period}"


def told(allowance: Allowance) -> str:
    """An allowance as people know it: whose it is, and by which rule."""
    return f"{allowance.name} ({allowance.account})" if allowance.name else allowance.account


class Rule(msgspec.Struct, frozen=True):
    """An allowance for each account of a scope: one of `SCOPES`, or `tag:NAME` for each value of a tag."""

    name: str
    scope: str
    unit: Unit
    period: Period
    limit: int
    on_exceeded: OnExceeded = "refuse"

    def begins(self) -> str:
        """How the accounts of the scope begin."""
        return f"{self.scope}=" if self.scope.startswith(TAG) else f"{self.scope}:"


def allowances_of(rules: Iterable[Rule], accounts: Sequence[str]) -> list[Allowance]:
    """What the rules allow a request that is charged to these accounts."""
    return [
        Allowance(account, rule.unit, rule.period, rule.limit, rule.on_exceeded, rule.name)
        for rule in rules
        for account in accounts
        if account.startswith(rule.begins())
    ]
