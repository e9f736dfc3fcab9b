"""Models that end: older names and what became of them, and which of the configured models end soon.

Days are the catalogue's, as providers announced them for their own services. A cloud that serves somebody else's model
has days of its own, which the catalogue does not know: of those nothing is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime

import msgspec

from afterbay.config.catalog import Catalog, Former, Model, catalog, undated
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.policy import plan

NOTICE_DAYS = 60
"""So long before a model ends somebody should move to another: Anthropic's notice, and the shortest that is usual."""


class Retirement(msgspec.Struct, frozen=True):
    """A configured model that ends within the notice, or has ended. `days` until then; 0 or less: it is over."""

    target: str
    alias: str
    ends: str
    days: int
    successor: str | None

    def text(self) -> str:
        """What to know and what to do, in a sentence."""
        instead = f"`{self.successor}` takes its place" if self.successor else "its provider names no successor"
        if self.days > 0:
            when = f"ends on {self.ends}, in {self.days} day{'s' if self.days != 1 else ''}"
            return f"models: {self.target} {when}: {instead}; change `{self.alias}` before."
        return f"models: {self.target} ended on {self.ends}: {instead}; change or remove `{self.alias}`."


def day_of(at: float) -> date:
    """The day in UTC of a moment (UTC seconds)."""
    return datetime.fromtimestamp(at, UTC).date()


def retiring(snapshot: Snapshot, today: date, notice_days: int = NOTICE_DAYS) -> list[Retirement]:
    """The configured models that end within the notice or have ended, the first to end first, each target once."""
    found: dict[str, Retirement] = {}
    for alias in snapshot.aliases.values():
        for target in alias.targets:
            known = ending(snapshot.providers[target.provider], target.name)
            if known is None or known.ends is None:
                continue
            days = (date.fromisoformat(known.ends) - today).days
            if days <= notice_days:
                one = Retirement(target.id, alias.name, known.ends, days, known.successor)
                found.setdefault(target.id, one)
    return sorted(found.values(), key=lambda one: (one.days, one.target))


def ending(provider: Provider, name: str) -> Model | None:
    """What the catalogue knows of a model that its own provider ends on a known day; None: there is no such day. What
    is served at another address (a cloud, an emulator) ends when whoever is there ends it."""
    known = catalog().model_at(provider.vendor, name) if provider.vendor else None
    if known is None or known.ends is None:
        return None
    row = catalog().at(provider.base_url)
    return known if row is not None and row.name == known.provider else None


def notices(retirements: Iterable[Retirement], *, chosen_here: bool) -> list[str]:
    """What somebody should be told of them. `chosen_here`: a bare key brought them, so nobody has to do anything before
    they end: their successor answers then."""
    return [one.text() for one in retirements if not chosen_here or one.days <= 0]


def former_names(
    aliases: Collection[str], by_upstream_name: Mapping[str, str], *, resolves: bool, of: Catalog | None = None
) -> dict[str, plan.Former]:
    """What older names mean. `resolves`: the successor answers for them if it is here, since nobody chose the models;
    else they are only told of. Names that are configured are left out."""
    rows = of if of is not None else catalog()
    taken = {*aliases, *by_upstream_name}
    found: dict[str, plan.Former] = {}
    for row in (*rows.former, *_ended(rows)):
        alias = row.instead if row.instead in aliases else by_upstream_name.get(row.instead)
        made = plan.Former(_told(row, rows.as_of), row.instead, alias if resolves else None)
        for name in row.names:
            if name not in taken:
                found.setdefault(name, made)
    return found


def _ended(rows: Catalog) -> Iterable[Former]:
    """Rows of models that end, as older names: they mean something where the model is not configured any more."""
    for row in rows.model:
        if row.ends is not None and row.successor is not None:
            names = dict.fromkeys(name for name in (row.name, undated(row.name), row.pinned) if name)
            yield Former(row.provider, tuple(names), row.successor, row.source, ended=row.ends)


def _told(row: Former, as_of: str) -> str:
    """A clause whose subject is the name. It is made once, and true on every later day."""
    if row.version:
        return f"is a dated version; '{row.instead}' of {row.provider} is the name without the day"
    if row.ended is not None:
        if row.ended > as_of:
            return f"ends on {row.ended}; '{row.instead}' of {row.provider} takes its place then"
        when = f"ended on {row.ended}"
    else:
        when = "is gone" if row.gone else "is an older one"
    return f"{when}; '{row.instead}' of {row.provider} took its place"
