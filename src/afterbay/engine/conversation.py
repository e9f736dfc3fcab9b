"""What is remembered of requests that a route picked for: where their conversations were, and how long answers are."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

from afterbay.core.decision import Target
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Usage
from afterbay.policy.pinning import LEAST_TOKENS, Pinned
from afterbay.policy.route import RAISED, STALLED

if TYPE_CHECKING:
    from afterbay.engine.context import Turn

_TEXT_CHARS = 2048
"""As much of each text at the beginning of a conversation tells it from others, with its length."""
_MARKED = frozenset({"anthropic.messages", "bedrock.converse"})
"""Dialects whose providers cache only what a client marks: their answers say how much that was."""


def recall(turn: Turn, request: ChatRequest) -> Pinned | None:
    """Where the conversation was that a request goes on with; None: it begins, or nothing is known of it.

    Notes its name, for when the answer is there.
    """
    route = turn.route
    if not (route.pins or route.escalates):
        return None
    turn.conversation = _name(turn, request)
    if not any(message.role == "assistant" for message in request.messages):
        return None
    return turn.context.conversations.find(turn.conversation, turn.context.clock.monotonic())


def remember(turn: Turn, target: Target, usage: Usage | None) -> None:
    """Notes who answered well."""
    decision, context = turn.decision, turn.context
    if decision is None or usage is None:
        return
    escalated = decision.rule in (STALLED, RAISED)
    tokens = _cached(target, usage)
    if turn.conversation and (escalated or tokens >= LEAST_TOKENS):
        now = context.clock.monotonic()
        context.conversations.note(turn.conversation, target.id, target.alias, now, tokens, escalated=escalated)


def _cached(target: Target, usage: Usage) -> int:
    """Tokens of the prompt that its provider is likely to have in its cache now."""
    if target.dialect in _MARKED:
        return usage.cached_input_tokens + usage.cache_write_tokens
    return usage.total_input


def _name(turn: Turn, request: ChatRequest) -> bytes:
    """A keyed hash of whose conversation it is and how it began: its tools, and all up to the user's first words."""
    key = turn.call.key
    digest = blake2b(key=turn.context.secret, digest_size=16)
    for text in (key.id if key is not None else "", turn.route.name, *_beginning(request)):
        digest.update(b"%d:" % len(text))
        digest.update(text[:_TEXT_CHARS].encode("utf-8", "replace"))
    return digest.digest()


def _beginning(request: ChatRequest) -> Iterable[str]:
    for tool in request.tools:
        yield tool.name
    for message in request.messages:
        yield message.role
        yield message.text()
        if message.role == "user":
            return
