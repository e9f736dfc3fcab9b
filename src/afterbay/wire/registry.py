"""All dialects by name: one line a dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from afterbay.wire import anthropic_messages, gemini, openai_chat
from afterbay.wire.dialect import Dialect

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {one.name: one for one in (openai_chat.DIALECT, anthropic_messages.DIALECT, gemini.DIALECT)}
)
