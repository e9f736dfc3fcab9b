"""Rights on the command line: `10/month`, `30d`, `any`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from afterbay.cli.figures import dollars
from afterbay.cli.speech import Misuse
from afterbay.config.load import seconds
from afterbay.policy.allowance import Period, per
from afterbay.policy.rights import LATEST_S, LIMITS, Rights
from afterbay.policy.rights_form import shown

_ANY, _NEVER, _OFF = "any", "never", "off"
_PICOUSD = 10**12


class Wanted(msgspec.Struct, frozen=True):
    """What options say of rights. None: nothing. Each list may hold several names in one, with commas."""

    models: list[str] | None = None
    routes: list[str] | None = None
    providers: list[str] | None = None
    ip: list[str] | None = None
    compliance: list[str] | None = None
    budget: list[str] | None = None
    limit: list[str] | None = None
    rpm: str | None = None
    tpm: str | None = None
    expires: str | None = None

    def on(self, rights: Rights) -> Rights:
        """The rights with what is wanted.

        Raises:
            Misuse: an option is not right.
        """
        changes: dict[str, object] = {}
        for field, option in (("models", self.models), ("routes", self.routes), ("providers", self.providers)):
            if option is not None:
                changes[field] = names(option)
        if self.ip is not None:
            changes["addresses"] = names(self.ip)
        if self.compliance is not None:
            changes["compliance"] = names(self.compliance) or frozenset()
        if self.expires is not None:
            changes["expires_at"] = moment(self.expires, time.time())
        limits = dict(rights.limits)
        for name, amount in self._limits():
            limits.pop(name, None)
            if amount is not None:
                limits[name] = amount
        return msgspec.structs.replace(rights, limits=limits, **changes)

    def _limits(self) -> list[tuple[str, int | None]]:
        found = [limit for one in self.budget or () for limit in _budgets(one)]
        for text in self.limit or ():
            name, equals, amount = text.partition("=")
            if not equals or name not in LIMITS or name.startswith("picousd"):
                raise Misuse(
                    f"--limit {text[:40]}: no such limit.",
                    remedy="Write requests/day=1000 or tokens/month=5e6; dollars are --budget 10/month.",
                )
            found.append((name, _amount(f"--limit {name}", amount, 1)))
        for name, option, text_ in (("requests/minute", "--rpm", self.rpm), ("tokens/minute", "--tpm", self.tpm)):
            if text_ is not None:
                found.append((name, _amount(option, text_, 1)))
        return found


def names(options: list[str]) -> frozenset[str] | None:
    """The names of an option; None: `any`."""
    found = frozenset(name.strip() for option in options for name in option.split(",") if name.strip())
    return None if found == {_ANY} else found


def moment(text: str, now: float) -> float | None:
    """UTC seconds of `30d` from now, or of a date; None: `never`.

    Raises:
        Misuse: it is neither, or has passed.
    """
    if text == _NEVER:
        return None
    after = seconds(text)
    try:
        found = now + float(after) if after is not None else _date(text).timestamp()
        if found > LATEST_S:
            raise OverflowError
    except (ValueError, OverflowError):
        raise Misuse(
            f"--expires {text[:40]}: neither a time nor a date.", remedy="Write 30d, 12h, or 2027-01-31."
        ) from None
    if found <= now:
        raise Misuse(f"--expires {text[:40]}: that has passed.", remedy="Name a time that is still to come.")
    return found


def brief(rights: Rights) -> str:
    """Rights on one line; empty: there is no bound."""
    form = shown(rights)
    parts = [
        f"{label} {', '.join(listed) or 'none'}"
        for label, listed in (
            ("models", form.models),
            ("routes", form.routes),
            ("providers", form.providers),
            ("from", form.addresses),
            ("compliance", form.compliance or None),
        )
        if listed is not None
    ]
    parts += [_limit(name, most) for name, most in sorted(rights.limits.items())]
    if form.expires_at is not None:
        parts.append(f"until {form.expires_at.astimezone(UTC):%Y-%m-%d %H:%M}Z")
    return "; ".join(parts)


def _limit(name: str, most: int) -> str:
    unit, _, period = name.partition("/")
    return f"{dollars(most) if unit == 'picousd' else f'{most:,} {unit}'} {per(msgspec.convert(period, Period))}"


def _date(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _budgets(text: str) -> list[tuple[str, int | None]]:
    """A budget of one period; of every period, if it is `off`."""
    if text == _OFF:
        return [(name, None) for name in LIMITS if name.startswith("picousd/")]
    amount, slash, period = text.partition("/")
    if not slash or f"picousd/{period}" not in LIMITS:
        raise Misuse(
            f"--budget {text[:40]}: no such budget.",
            remedy="Write dollars and a period (minute, day, month, total), such as 10/month or 5/total, or off.",
        )
    return [(f"picousd/{period}", _amount("--budget", amount.removeprefix("$"), _PICOUSD))]


def _amount(option: str, text: str, factor: int) -> int | None:
    if text == _OFF:
        return None
    try:
        found = Decimal(text) * factor
        if re.fullmatch(r"[0-9.eE+]+", text) and found == int(found) and found < 1 << 63:
            return int(found)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise Misuse(f"{option} {text[:40]}: not an amount.", remedy="Give a number from 0 to 9e18, or off.")
