"""Which calls of one answer must wait: their arguments can only be known once another call has given its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

SHORTEST_ID = 6
"""A shorter id may stand in an argument by chance."""

NEAR = 256
"""So many calls before a call are looked for in its arguments: an answer has a few."""


class Named(msgspec.Struct, frozen=True):
    """A call as far as its order matters."""

    id: str
    name: str
    arguments: str


def waiting(calls: Sequence[Named], order: Mapping[str, frozenset[str]]) -> dict[int, str]:
    """Places of the calls that must wait, with the reason. `order`: tool -> tools whose result it needs.

    A call waits if a tool that it needs is called beside it, or if its arguments name the id of an earlier call. Never
    do all wait: where tools need each other in a circle the first call stays.
    """
    called = {call.name for call in calls}
    found: dict[int, str] = {}
    for place, call in enumerate(calls):
        needs = sorted((order.get(call.name, frozenset()) & called) - {call.name})
        before = calls[max(0, place - NEAR) : place]
        refers = next((one for one in before if len(one.id) >= SHORTEST_ID and one.id in call.arguments), None)
        if needs:
            found[place] = f"needs the result of {needs[0]}"
        elif refers is not None:
            found[place] = f"needs the result of {refers.name}"
    if len(found) == len(calls):
        found.pop(0, None)
    return found
