"""What operations share: who acts, the book that is kept of it, and how an answer is looked at."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from rights.book import LIMITS, NAMES, NETWORKS, PEERS, ROLES, Book, Key
from rights.world import ADMIN_KEY, FACTS, ROUTES, Answered, World

_IDS = re.compile(r"\b(?:org|team|user|key)_[0-9a-f]{16}\b")
_SECRETS = re.compile(r"ab-[0-9A-Za-z]{49}")
AGENTS = ("coder", "critic")


class Fault(Exception):
    """Something that must not be."""


class Office:
    """The gateway of an episode, the judge's book of it, and the draws."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance, self.book = world, chance, Book()
        self.number = 0
        self.attempts = 0
        self.changes: list[tuple[str, str, str]] = []
        """Every change that was made: who, what, to whom."""
        self.seen: Counter[str] = Counter()
        self._named = 0

    @property
    def now(self) -> float:
        return self.world.clock.at

    # Draws

    def name(self) -> str:
        self._named += 1
        return f"n{self._named}"

    def someone(self) -> str:
        """A secret: the operator's, one with a role, any that ever was, or none at all."""
        draw = self.chance.random()
        if draw < 0.2:
            return ADMIN_KEY
        if draw < 0.22:
            return "ab-nobody"
        secrets = list(self.book.by_secret)
        if draw < 0.8:
            alive = [one for one in secrets if self.book.by_secret[one].role and not self.book.by_secret[one].is_over]
            secrets = alive or secrets
        return self.chance.choice(secrets)

    def peer(self) -> str | None:
        return "10.1.2.3" if self.chance.random() < 0.7 else self.chance.choice(PEERS)

    def some(self, names: tuple[str, ...], most: int = 4) -> list[str]:
        return self.chance.sample(names, self.chance.randint(0 if self.chance.random() < 0.1 else 1, most))

    def rights(self, often: float = 0.3) -> dict[str, Any]:
        """Random rights, as a body has them."""
        draw = self.chance.random
        found: dict[str, Any] = {}
        if draw() < often:
            found["models"] = self.some(NAMES, 6)
        if draw() < often / 2:
            found["routes"] = self.some(tuple(ROUTES), 2)
        if draw() < often:
            found["providers"] = self.some(tuple(FACTS), 3)
        if draw() < often / 2:
            found["addresses"] = self.some(NETWORKS, 3)
        if draw() < often / 2:
            found["compliance"] = [self.chance.choice(("gdpr", "all", "ghost" if draw() < 0.2 else "gdpr"))]
        if draw() < often:
            name = LIMITS[0] if draw() < 0.5 else self.chance.choice(LIMITS)
            found["limits"] = {name: self.chance.choice((1, 4, 20) if name == "requests/day" else (1e6, 2e6))}
        if draw() < often / 2:
            found["expires_at"] = _date(self.now + self.chance.choice((-60.0, 3600.0, 6 * 3600.0, 40 * 86400.0)))
        return found

    def preference(self) -> dict[str, Any]:
        """A random preference, of some agents too."""
        found = self._wish()
        if self.chance.random() < 0.3:
            found["agents"] = {agent: self._wish() for agent in self.chance.sample(AGENTS, 1)}
        return found

    def _wish(self) -> dict[str, Any]:
        draw = self.chance.random
        found: dict[str, Any] = {}
        if draw() < 0.2:
            found["preferred_provider"] = self.chance.choice(tuple(FACTS))
        if draw() < 0.2:
            found["allowed_providers"] = self.some(tuple(FACTS), 3)
        if draw() < 0.1:
            found["bound_model"] = self.chance.choice(("m1", "m3", "safe", "pa/one"))
        return found

    def role(self) -> str | None:
        return self.chance.choice((None, None, *ROLES, "manager", "admin"))

    # Asking

    async def ask(
        self,
        what: str,
        method: str,
        path: str,
        body: Any,
        secret: str,
        peer: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Asks, counts how that ended, and looks at the text of the answer: nothing of others, no secret."""
        content = msgspec.json.encode(body) if body is not None else b""
        got = await self.world.ask(method, path, content, secret, peer, headers)
        self.seen[f"{what}: {got.status}" + (f" {got.code}" if got.status >= 400 else "")] += 1
        self.attempts += len(got.attempts)
        if got.status >= 500 and (got.code == "internal_error" or not (got.attempts or got.code == "all_targets_down")):
            raise Fault(f"{method} {path}: {got.status} {got.body!r}")
        self._check_text(got, method, path, content, secret)
        return got

    def _check_text(self, got: Answered, method: str, path: str, content: bytes, secret: str) -> None:
        text, said = got.body.decode(), f"{path} {content.decode()}"
        may_show = got.status in (200, 201) and method == "POST" and path.startswith("/admin/v1/keys")
        if _SECRETS.search(text) and not may_show:
            raise Fault(f"{method} {path} shows a secret")
        if secret == ADMIN_KEY:
            return
        key = self.book.by_secret.get(secret)
        for some_id in set(_IDS.findall(text)) - set(_IDS.findall(said)):
            if key is None or (some_id != key.id and self.is_foreign(key, some_id)):
                raise Fault(f"{method} {path} tells {key and key.id} of {some_id}")

    def is_foreign(self, key: Key, some_id: str) -> bool:
        """Whether an id is none that this key may read. One without a role reads of nobody but itself and who limits
        it."""
        if some_id not in self.book.tenants and some_id not in self.book.keys:
            return False  # it was made just now, for who asks
        return self.book.is_foreign(key.owner, some_id)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
