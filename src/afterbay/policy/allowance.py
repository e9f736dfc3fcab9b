"""How much an account may use in a period: budgets of money, and limits of requests and tokens, as one idea. Pure.

An account is whatever something is charged to: `organisation:ID`, `team:ID`, `user:ID`, `key:ID`, `model:ALIAS`,
`route:NAME`, `tag:NAME=VALUE`. Its amounts are integers: picodollars (1e-12 USD), requests, or tokens. A budget says
what happens to a request that would pass it (`afterbay.policy.budget`); a limit makes it come back later.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from afterbay.policy.budget import OnExceeded

Unit: TypeAlias = Literal["picousd", "requests", "tokens"]
Period: TypeAlias = Literal["minute", "day", "month"]


class Allowance(msgspec.Struct, frozen=True):
    """At most `limit` of `unit` in each `period`, for everything that is charged to `account`.

    A minute is any 60 seconds; days and months are the calendar's, in UTC. `on_exceeded` is what a budget of money
    says; limits of requests and tokens, and all limits of a minute, refuse for a while. `name` is what people know it
    by (`policies.budgets.default`, `key ci-bot`).
    """

    account: str
    unit: Unit
    period: Period
    limit: int
    on_exceeded: OnExceeded = "refuse"
    name: str = ""
