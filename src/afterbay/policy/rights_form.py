"""Rights as people write and read them: dollars, dates, lists in order. Of the admin API and the command line. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.policy.rights import LATEST_S, LIMIT_MOST, Rights

_PICOUSD: Final = 10**12
_USD: Final = "usd/"
_STORED: Final = "picousd/"


class RightsForm(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`afterbay.policy.rights.Rights` with money in dollars (`usd/month`) and the expiry as RFC 3339."""

    models: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    compliance: tuple[str, ...] = ()
    limits: dict[str, int | float] = {}
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


def shown(rights: Rights) -> RightsForm:
    """Rights for people."""
    limits: dict[str, int | float] = {}
    for name, most in sorted(rights.limits.items()):
        if name.startswith(_STORED):
            usd = Decimal(most) / _PICOUSD
            limits[_USD + name.removeprefix(_STORED)] = int(usd) if usd == int(usd) else float(usd)
        else:
            limits[name] = most
    return RightsForm(
        models=_listed(rights.models),
        routes=_listed(rights.routes),
        providers=_listed(rights.providers),
        addresses=_listed(rights.addresses),
        compliance=tuple(sorted(rights.compliance)),
        limits=limits,
        expires_at=_moment(rights.expires_at) if rights.expires_at is not None else None,
    )


def _moment(at: float) -> datetime:
    """The time, or the nearest that can be shown: what was stored before times were bounded must not hide a list."""
    return datetime.fromtimestamp(min(max(at, 0), LATEST_S), UTC)


def read(form: RightsForm) -> Rights:
    """What people wrote. Names and networks are looked at by `rights.checked`.

    Raises:
        ClientMistake: 400: a limit is no amount of its unit.
    """
    return Rights(
        models=_set(form.models),
        routes=_set(form.routes),
        providers=_set(form.providers),
        addresses=_set(form.addresses),
        compliance=frozenset(form.compliance),
        limits=dict(_limit(name, most) for name, most in form.limits.items()),
        expires_at=form.expires_at.timestamp() if form.expires_at is not None else None,
    )


def _limit(name: str, most: float) -> tuple[str, int]:
    is_money = name.startswith(_USD)
    try:
        amount = Decimal(str(most)) * (_PICOUSD if is_money else 1)
        whole = int(amount)
    except (ArithmeticError, ValueError):
        raise _invalid(name) from None
    if whole != amount or not 0 <= whole <= LIMIT_MOST or name.startswith(_STORED):
        raise _invalid(name)
    return (_STORED + name.removeprefix(_USD) if is_money else name), whole


def _invalid(name: str) -> ClientMistake:
    return ClientMistake(
        f"The limit `{name[:40]}` cannot be used.",
        code="invalid_value",
        param="limits",
        remedy="Give dollars (usd/day), or a whole number (requests/minute, tokens/month).",
    )


def _listed(names: frozenset[str] | None) -> tuple[str, ...] | None:
    return tuple(sorted(names)) if names is not None else None


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return frozenset(names) if names is not None else None
