"""What a client's body states beside its request: `user`, and what its `metadata` has of use.

Read only where somebody wants to know: where the configuration has preferences, or a route picks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.policy.rights import Preference, Wishers
from afterbay.policy.statement import HEADER, TASKS, Preferences, task_named, wish_of, wishers

_NONE = msgspec.Raw(b"null")
NAME_CHARS = 256
"""A longer name of a user is nobody's in a configuration."""


class _Peek(msgspec.Struct):
    user: msgspec.Raw = _NONE
    metadata: msgspec.Raw = _NONE


_peek = msgspec.json.Decoder(_Peek).decode


def user_of(body: bytes) -> str | None:
    """The user that a client says it asks for: `user` (OpenAI), else `user_id` of `metadata` (Anthropic)."""
    user, metadata = _stated(body)
    for name in (user, metadata.get("user_id")):
        if isinstance(name, str) and 0 < len(name) <= NAME_CHARS:
            return name
    return None


def task_of(headers: Mapping[str, str], body: bytes) -> str | None:
    """The task that a client states: by a header, else in `metadata` as `afterbay_task` or `task`.

    `task` is a word of everybody's, so there only one of ours counts; the others must be right. A blank says nothing.

    Raises:
        ClientMistake: 400 `invalid_value`: there is no such task.
    """
    if said := headers.get(HEADER, "").strip():
        return task_named(said, HEADER)
    if b'task"' not in body:
        return None
    metadata = _stated(body)[1]
    own, common = metadata.get("afterbay_task"), metadata.get("task")
    if isinstance(own, str) and own.strip():
        return task_named(own, "metadata.afterbay_task")
    return common if common in TASKS else None


def wish_stated(own: Preference, preferences: Preferences, body: bytes, agent: str | None) -> Preference:
    """What its key and the configuration wish for a request."""
    user = user_of(body) if preferences.users else None
    return wish_of(own, preferences, user, agent)


def wishers_stated(own: Preference, preferences: Preferences, body: bytes, agent: str | None) -> Wishers:
    """Whose wishes `wish_stated` is made of, in words, the nearest first."""
    user = user_of(body) if preferences.users else None
    return wishers(own, preferences, user, agent)


def _stated(body: bytes) -> tuple[Any, Mapping[str, Any]]:
    """The two fields, as far as they can be read; what is wrong with the body is for others to say."""
    try:
        peek = _peek(body)
        user, metadata = msgspec.json.decode(peek.user), msgspec.json.decode(peek.metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, {}
    return user, metadata if isinstance(metadata, dict) else {}
