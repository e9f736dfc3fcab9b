"""What can be seen of a request: its length and words, its language, what it holds, what kind of work it is.

Cheap first: a route without the classifier pays for its words and the groups of rule words, as the simple rules need
them. Everything else is worked out when it is first asked for, or when a scorer is given.

Why only the last user turn for words and task: it says what is wanted now. System prompts of coding agents and old
turns are long and full of every keyword; counting them would send every request to the reasoning model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Final, Protocol

import msgspec

from afterbay.core.message import Audio, Document, Image, Message, Text
from afterbay.core.request import ChatRequest
from afterbay.policy.agents import is_agent, is_stalled
from afterbay.policy.language import language_of
from afterbay.policy.plan import Rules
from afterbay.policy.signs import complexity_of, entities_of, holds_code, holds_math, topic_of

_CJK = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af\U00020000-\U0002fa1f]+"
)  # Han, kana, hangul
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_KINDS: Final = bytes(97 if chr(i).isascii() and chr(i).isalnum() else 45 if chr(i) in "'-" else 32 for i in range(256))
"""ASCII by what it is in a word: a letter or digit, what joins two, or neither."""

GROUPS: Final = ("extract", "reasoning", "code", "summarize", "translate")
"""Groups of rule words."""
LONG: Final = 200
"""Characters from which rule words are looked for as plain text first."""


class Judgement(msgspec.Struct, frozen=True):
    """What a scorer makes of a prompt: the task it decides on (None: it abstains), its best guess, the probability of
    that, and of every task."""

    task: str | None
    best: str
    p: float
    scores: Mapping[str, float] = {}


class Scorer(Protocol):
    """Whatever can say what a prompt asks for."""

    def judged(self, text: str, language: str) -> Judgement:
        """What a prompt asks for; `language` as `policy.language` has it."""


class Facts(msgspec.Struct, frozen=True, dict=True):
    """What is known of a request. `words`: of the prompt. `mentions`: groups of rule words that it holds.

    `task` with `task_p`, and `complexity` (0 to 1): as a scorer has it; None: there was none, or it abstained.
    `stalled`: an agent that goes round in circles asks. The other facts are properties, worked out when asked for.
    """

    words: float
    mentions: frozenset[str] = frozenset()
    task: str | None = None
    complexity: float | None = None
    stalled: bool = False
    task_p: float = 0.0
    task_scores: Mapping[str, float] = {}
    prompt: str = ""
    request: ChatRequest | None = None

    def __repr__(self) -> str:
        """Without anybody's words: facts end up in messages of failed checks."""
        return f"Facts({', '.join(f'{name}={value!r}' for name, value in told(self).items())})"

    @cached_property
    def language(self) -> str:
        """Two letters, or `und`."""
        return language_of(self.prompt)

    @cached_property
    def tokens(self) -> int:
        """About how many tokens the prompt has, by its words; an exact count is the tokenizer's."""
        return round(self.words * 1.33)

    @cached_property
    def entities(self) -> Mapping[str, int]:
        """How many there are of each kind: email, url, date, money, number, code."""
        return entities_of(self.prompt)

    @cached_property
    def topic(self) -> str:
        """What it is about, as far as a few words tell; empty: they do not."""
        return topic_of(self.prompt)

    @cached_property
    def has_code(self) -> bool:
        """Whether there is code in the prompt."""
        return holds_code(self.prompt)

    @cached_property
    def has_math(self) -> bool:
        """Whether there are formulas in the prompt."""
        return holds_math(self.prompt)

    @cached_property
    def modalities(self) -> frozenset[str]:
        """What the messages hold: text, image, document, audio."""
        return modalities_of(self.request.messages) if self.request is not None else frozenset({"text"})

    @property
    def has_tools(self) -> bool:
        """Whether tools may be called."""
        return self.request is not None and bool(self.request.tools)

    @property
    def wants_schema(self) -> bool:
        """Whether the answer must be JSON."""
        form = self.request.response_format if self.request is not None else None
        return form is not None and form.kind != "text"

    @property
    def turns(self) -> int:
        """How many turns the user had."""
        return sum(one.role == "user" for one in self.request.messages) if self.request is not None else 1

    @cached_property
    def is_agent(self) -> bool:
        """Whether a program asks that calls tools in a loop."""
        return self.request is not None and is_agent(self.request)


def told(facts: Facts) -> dict[str, object]:
    """Facts for a log: those that a decision can have used, and no word of anybody."""
    found: dict[str, object] = {"words": round(facts.words, 1)}
    if facts.mentions:
        found["mentions"] = sorted(facts.mentions)
    if facts.task is not None:
        found["task"] = facts.task
    if facts.task_p:
        found["task_p"] = round(facts.task_p, 3)
        found["language"] = facts.language
    if facts.complexity is not None:
        found["complexity"] = round(facts.complexity, 3)
    if facts.stalled:
        found["stalled"] = True
    return found


def shown(facts: Facts) -> dict[str, object]:
    """All that is known of a request, for whoever looks at one: what a log keeps, and what is worked out on demand."""
    found = told(facts) | {"language": facts.language, "tokens": facts.tokens, "turns": facts.turns}
    found |= {name: sorted(value) for name in ("modalities",) if (value := getattr(facts, name))}
    for name in ("topic", "entities", "has_code", "has_math", "has_tools", "wants_schema", "is_agent"):
        if value := getattr(facts, name):
            found[name] = value
    if facts.task_scores:
        found["tasks"] = {name: round(p, 3) for name, p in sorted(facts.task_scores.items(), key=lambda one: -one[1])}
    return found


def read_facts(asked: ChatRequest | str, rules: Rules, scorer: Scorer | None = None) -> Facts:
    """The facts of a request, or of a prompt alone. With a scorer also its task and complexity."""
    request = None if isinstance(asked, str) else asked
    prompt = asked if isinstance(asked, str) else prompt_text(asked.messages)
    words = count_words(prompt, rules.cjk_chars_per_word)
    facts = Facts(
        words,
        mentions_of(prompt, rules),
        stalled=request is not None and is_stalled(request.messages),
        prompt=prompt,
        request=request,
    )
    if scorer is None or not prompt.strip():
        return facts
    language = facts.language
    judged = scorer.judged(prompt, language)
    return Facts(
        words,
        facts.mentions,
        judged.task,
        complexity_of(prompt, words, judged.scores, facts.turns, facts.has_tools),
        facts.stalled,
        judged.p,
        judged.scores,
        prompt,
        request,
    )


def prompt_text(messages: tuple[Message, ...]) -> str:
    """The text of the last user turn; of the last message where no user spoke."""
    for message in reversed(messages):
        if message.role == "user" and (text := message.text()):
            return text
    return messages[-1].text() if messages else ""


def count_words(text: str, cjk_chars_per_word: float = 2.0) -> float:
    """Words of a text in any script: runs of letters and digits, and CJK characters divided by `cjk_chars_per_word`."""
    if text.isascii():
        return float(_ascii_words(text))
    rest, runs = _CJK.subn(" ", text)
    cjk = len(text) - len(rest) + runs
    return (_ascii_words(rest) if rest.isascii() else len(_WORD.findall(rest))) + cjk / cjk_chars_per_word


def _ascii_words(text: str) -> int:
    """Runs of letters and digits, with one apostrophe or hyphen between two of them: a tenth of the pattern's time."""
    kinds = text.encode("ascii").translate(_KINDS)
    if b"a-a" in kinds:
        kinds = kinds.replace(b"a-a", b"aaa").replace(b"a-a", b"aaa")  # twice: matches that touch
    return len(kinds.replace(b"-", b" ").split())


def modalities_of(messages: tuple[Message, ...]) -> frozenset[str]:
    """What messages hold."""
    kinds = {Text: "text", Image: "image", Document: "document", Audio: "audio"}
    return frozenset(kind for one in messages for part in one.parts if (kind := kinds.get(type(part))))


def mentions_of(text: str, rules: Rules) -> frozenset[str]:
    """The groups of rule words that a text holds."""
    lower = text.lower() if len(text) > LONG else None
    found = []
    for name in GROUPS:
        words: tuple[str, ...] = getattr(rules, name)
        if lower is not None and not any(word.lower() in lower for word in words):
            continue
        if (pattern := _pattern(words)) is not None and pattern.search(text):
            found.append(name)
    return frozenset(found)


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Latin words match whole, CJK words anywhere: they have no spaces around them."""
    if not words:
        return None
    parts = [re.escape(word) if _CJK.search(word) else rf"(?<!\w){re.escape(word)}(?!\w)" for word in words]
    return re.compile("|".join(parts), re.IGNORECASE)
