"""Two hundred and fifty tenants: their keys, teams and organisations, what each may use, and what an answer costs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from afterbay.policy.rights import Rights
from afterbay.store.database import open_database
from afterbay.store.keys import SqliteKeys
from afterbay.store.register import Wish

INPUT_PICOUSD, OUTPUT_PICOUSD = 1_000_000, 4_000_000
"""A token read and one written: a dollar and four for a million."""
TYPICAL_PICOUSD = 500_000_000
"""About what a request of this load costs."""
ORGANISATION_OF, TEAMS = 25, 3
"""Keys of an organisation, and teams in it; every fourth key stands in no team."""
MINUTE = "requests/minute"


class Account(msgspec.Struct, frozen=True):
    """Who is charged: `key:ID` and so on, with its limits by their names (`picousd/day`, `requests/minute`)."""

    name: str
    limits: Mapping[str, int]


class Tenant(msgspec.Struct, frozen=True):
    """A key, and the accounts that it is charged to: its own first."""

    number: int
    secret: str
    accounts: tuple[Account, ...]


def cost_of(input_tokens: int, output_tokens: int) -> int:
    """What the provider asks for so much, in picodollars."""
    return input_tokens * INPUT_PICOUSD + output_tokens * OUTPUT_PICOUSD


def limits_of(number: int, requests: int) -> dict[str, int]:
    """The limits of a key, by its number: enough for about `requests` requests and up to twice as many."""
    share = random.Random(number).uniform(1.0, 2.0)
    money = int(requests * share) * TYPICAL_PICOUSD
    period = ("day", "month", "total")[number % 3]
    limits = {f"picousd/{period}": money}
    match number % 10:
        case 0:
            limits[MINUTE] = 30 + number % 40
        case 3:
            limits["requests/day"] = int(requests * share)
        case 5:
            limits["tokens/day"] = int(requests * share) * 200
        case 7:
            limits = {}  # only its owners have some
        case 8:
            limits = {"picousd/day": money, "picousd/month": money * 6 // 5, "picousd/total": money * 5 // 4}
        case _:
            pass
    return limits


def made(database: Path, tenants: int, requests: int) -> list[Tenant]:
    """Makes the tenants in a new database. Of half of the organisations owners have less than their keys together."""
    keys = SqliteKeys(open_database(f"sqlite:///{database}"))
    try:
        found: list[Tenant] = []
        for first in range(0, tenants, ORGANISATION_OF):
            found += _organisation(keys, range(first, min(tenants, first + ORGANISATION_OF)), requests)
        return found
    finally:
        keys.close()


def _organisation(keys: SqliteKeys, numbers: Sequence[int], requests: int) -> list[Tenant]:
    place = numbers[0] // ORGANISATION_OF
    money = len(numbers) * requests * TYPICAL_PICOUSD * (2 if place % 2 else 1)  # whose limit is reached first
    period = ("month", "day", "total")[place % 3]
    organisation = _owner(keys, "organisation", f"org-{numbers[0]}", "", {f"picousd/{period}": money * 5 // 4})
    name = organisation.name.removeprefix("organisation:")
    teams = [
        _owner(keys, "team", f"team-{number}", name, {"picousd/day": money // TEAMS * (8 + 2 * number) // 10})
        for number in range(TEAMS)
    ]
    found = []
    for number in numbers:
        above = (organisation,) if number % 4 == 3 else (teams[number % 4], organisation)
        limits = limits_of(number, requests)
        owner = above[0].name.partition(":")[2]
        key = keys.create(f"tenant-{number}", Rights(limits=limits), owner=owner)
        found.append(Tenant(number, key.secret.reveal(), (Account(f"key:{key.info.id}", limits), *above)))
    return found


def _owner(keys: SqliteKeys, kind: Any, name: str, parent: str, limits: dict[str, int]) -> Account:
    made = keys.create_tenant(kind, name, parent, Wish(Rights(limits=limits)))
    return Account(f"{kind}:{made.id}", limits)


def config_of(provider: str, database: Path) -> dict[str, Any]:
    """One provider, two names for its model, nothing that asks twice."""
    price = {"input": INPUT_PICOUSD / 1e6, "output": OUTPUT_PICOUSD / 1e6}
    return {
        "providers": {"openai": {"kind": "openai", "base_url": f"{provider}/v1", "api_key": "sk-up"}},
        "models": {
            name: {"provider": "openai", "name": "model", "fallback": [], "price": price} for name in ("gpt", "claude")
        },
        "state": {"database": f"sqlite:///{database}"},
    }
