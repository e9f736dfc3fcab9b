"""What a client states of its request beside the request itself: the task, and who asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.policy.rights import NO_WISH, Preference, Wishers, nearest

HEADER: Final = "x-afterbay-task"
TASKS: Final = ("summarize", "code", "translate", "extract", "chat", "reasoning", "creative", "qa")
"""What a request may be about, as the configuration names it, too; in the order of the classifier's heads."""


def task_named(name: str, where: str) -> str:
    """The task of this name. `where`: the header or field that has it.

    Raises:
        ClientMistake: 400 `invalid_value`: there is none.
    """
    found = name.strip().lower()
    if found not in TASKS:
        raise ClientMistake(
            f"There is no task called '{name[:40]}'.",
            code="invalid_value",
            param=where,
            remedy=f"Give one of {', '.join(TASKS)}; or none, and the gateway finds out.",
        )
    return found


class Preferences(msgspec.Struct, frozen=True):
    """What the configuration wishes for users and agents, by the names that clients state."""

    users: Mapping[str, Preference] = {}
    agents: Mapping[str, Preference] = {}


NO_PREFERENCES: Final = Preferences()


def wish_of(own: Preference, preferences: Preferences, user: str | None, agent: str | None) -> Preference:
    """What holds for a request: of each wish the nearest one, but only providers that all of them allow.

    The nearest is the key's for this agent, then the key's own (both in `own`), then that for the user, then that for
    the agent. What a client states can so narrow what its key may use, and never widen it.
    """
    found = own
    if user is not None:
        found = nearest(found, preferences.users.get(user, NO_WISH))
    if agent is not None:
        found = nearest(found, preferences.agents.get(agent, NO_WISH))
    return found


def wishers(own: Preference, preferences: Preferences, user: str | None, agent: str | None) -> Wishers:
    """Whose wishes `wish_of` was made of, in words, the nearest first."""
    found = [("this key", own)]
    if user is not None and user in preferences.users:
        found.append((f"the user '{user[:80]}'", preferences.users[user]))
    if agent is not None and agent in preferences.agents:
        found.append((f"the agent '{agent[:80]}'", preferences.agents[agent]))
    return tuple(found)
