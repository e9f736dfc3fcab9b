"""What the simple rules look at in a prompt: its length in words and the words it holds.

Why only the last user turn: it says what is wanted now. System prompts of coding agents and old turns are long and
full of every keyword; counting them would send every request to the reasoning model.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from afterbay.core.message import Message
from afterbay.policy.plan import Rules

_CJK = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af\U00020000-\U0002fa1f]"
)  # Han, kana, hangul
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Facts(msgspec.Struct, frozen=True):
    """Length of the prompt in words, and which groups of rule words it holds (`extract`, `code`, ...).

    `task` and `complexity` (0 to 1): as a classifier has it; None: there was none, or it abstained. `stalled`: an agent
    that goes round in circles asks.
    """

    words: float
    mentions: frozenset[str] = frozenset()
    task: str | None = None
    complexity: float | None = None
    stalled: bool = False


def prompt_text(messages: tuple[Message, ...]) -> str:
    """The text of the last user turn; of the last message where no user spoke."""
    for message in reversed(messages):
        if message.role == "user" and (text := message.text()):
            return text
    return messages[-1].text() if messages else ""


def count_words(text: str, cjk_chars_per_word: float = 2.0) -> float:
    """Words of a text in any script: runs of letters and digits, and CJK characters divided by `cjk_chars_per_word`."""
    rest, cjk = _CJK.subn(" ", text)
    return len(_WORD.findall(rest)) + cjk / cjk_chars_per_word


def read_facts(text: str, rules: Rules) -> Facts:
    """The facts of a prompt."""
    groups = {
        name
        for name in ("extract", "reasoning", "code", "summarize", "translate")
        if (pattern := _pattern(getattr(rules, name))) is not None and pattern.search(text)
    }
    return Facts(count_words(text, rules.cjk_chars_per_word), frozenset(groups))


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Latin words match whole, CJK words anywhere: they have no spaces around them."""
    if not words:
        return None
    parts = [re.escape(word) if _CJK.search(word) else rf"(?<!\w){re.escape(word)}(?!\w)" for word in words]
    return re.compile("|".join(parts), re.IGNORECASE)
