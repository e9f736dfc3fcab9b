"""Grammars of what streams from a gateway: is it what SDKs and agents rely on?

    grammar = grammar_of("anthropic.messages")
    for piece in response.iter_raw():
        grammar.feed(piece)
    assert grammar.violations + grammar.end() == []

    assert violations("openai.chat", whole_body) == []

Pure and without I/O; bytes may come in any chunking. A grammar is strict: what a provider legally does otherwise is an
accent, named at the call (`violations("gemini", body, "...")`), and never a laxer rule for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from afterbay.core.event import Event
from afterbay.testing.grammar.chat import ChatGrammar
from afterbay.testing.grammar.events import EventGrammar
from afterbay.testing.grammar.gemini import GeminiGrammar
from afterbay.testing.grammar.messages import MessagesGrammar
from afterbay.testing.grammar.responses import ResponsesGrammar
from afterbay.testing.grammar.stream import Accent, Grammar, SseGrammar

__all__ = [
    "GRAMMARS",
    "Accent",
    "ChatGrammar",
    "EventGrammar",
    "GeminiGrammar",
    "Grammar",
    "MessagesGrammar",
    "ResponsesGrammar",
    "SseGrammar",
    "event_violations",
    "grammar_of",
    "violations",
]

GRAMMARS: Mapping[str, Callable[..., SseGrammar]] = MappingProxyType(
    {
        "openai.chat": ChatGrammar,
        "openai.responses": ResponsesGrammar,
        "anthropic.messages": MessagesGrammar,
        "gemini": GeminiGrammar,
    }
)
"""By the name of the dialect, as in `afterbay.wire.registry`."""


def grammar_of(dialect: str, *accents: str) -> SseGrammar:
    """A grammar for one stream of a dialect.

    Raises:
        KeyError: there is no such dialect.
        ValueError: it does not know the accent.
    """
    return GRAMMARS[dialect](*accents)


def violations(dialect: str, body: bytes, *accents: str, ended: bool = True) -> list[str]:
    """All that is wrong with a stream; with `ended`, also what it lacks for a proper end."""
    grammar = grammar_of(dialect, *accents)
    grammar.feed(body)
    return grammar.violations + (grammar.end() if ended else [])


def event_violations(events: Iterable[Event], *accents: str, ended: bool = True) -> list[str]:
    """All that is wrong with a stream of canonical events."""
    grammar = EventGrammar(*accents)
    grammar.push(events)
    return grammar.violations + (grammar.end() if ended else [])
