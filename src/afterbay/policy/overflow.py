"""Histories that do not fit a window: what is left out of them, and what never is.

A history is made of steps, which are never cut in two: neighbouring messages of the user, or what the model said with
its calls and all their results. Steps from one question to the next are a turn. Always kept are system and developer
messages, the last question, the last step after it, and of steps after the last question the first one, if it begins
with reasoning and a later one does not: Anthropic wants an open turn of the model's to begin as it began. Whole turns
go first, then steps after the last question. So what is left has its roles in an order that the history had before.

    trim_oldest  leaves out from the beginning
    middle_out   keeps the beginning, up to a third of the room, or the first turn if it fits at all, and leaves out
                 what follows it. If even the rest is too long, texts of the user and of tools' results are shortened
                 in their middle, the longest first, with a mark of how much is missing

More is left out than must be: up to the next eighth of the room. So the beginning stays the same for some turns, and a
provider's cache of prompts with it; cut to the last token, every request would have a beginning of its own.

Why whole steps: a call without its result is refused by every provider, and half of an answer misleads. Prior art:
OpenRouter's transform `middle-out` (openrouter.ai/docs, message transforms, November 2026) drops messages and letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import msgspec

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.policy.plan import Overflow
from afterbay.policy.quantity import estimate_text
from afterbay.policy.spending import MEDIA_TOKENS

MESSAGE_TOKENS: Final = 4
"""What a message takes beside what it says."""

STRIDES: Final = 8
HEAD: Final = 3
"""A history is cut in steps of an eighth of the room; a third of it is for the beginning."""

SHORTEST: Final = 200
"""Tokens that a shortened text keeps at least. Less says nothing of it, and there are other models to ask."""


class Step(msgspec.Struct, frozen=True):
    """Messages (`places` in the history) that go or stay together. `asks`: they begin with the user's."""

    places: tuple[int, ...]
    tokens: int
    asks: bool
    reasons: bool


class Fitted(msgspec.Struct, frozen=True):
    """A history that fits. `tokens`: of what is left; `left_out` messages had `left_out_tokens`; `shortened` texts
    lost `shortened_tokens`; `first`: the place of the first message that is missing, from 0."""

    messages: tuple[Message, ...]
    tokens: int
    left_out: int = 0
    left_out_tokens: int = 0
    first: int = 0
    shortened: int = 0
    shortened_tokens: int = 0

    def told(self) -> str:
        """What is missing, in words; empty: nothing."""
        said = []
        if self.left_out:
            noun = "message" if self.left_out == 1 else "messages"
            said.append(f"{self.left_out} {noun} (about {self.left_out_tokens} tokens) left out from {self.first + 1}")
        if self.shortened:
            noun = "text" if self.shortened == 1 else "texts"
            said.append(f"{self.shortened} {noun} shortened in the middle by about {self.shortened_tokens} tokens")
        return ", ".join(said)


class History:
    """The messages of a request, measured and cut into steps as soon as somebody asks."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self.messages = messages

    @cached_property
    def _weights(self) -> list[int]:
        return [weigh(message) for message in self.messages]

    @cached_property
    def tokens(self) -> int:
        """All of it, estimated. Media count as `policy.spending.MEDIA_TOKENS` each."""
        return sum(self._weights)

    @cached_property
    def _steps(self) -> list[Step]:
        return _steps_of(self.messages, self._weights)

    @cached_property
    def _kept(self) -> frozenset[int]:
        """Places of steps that always stay."""
        steps = self._steps
        if not steps:
            return frozenset()
        asked = max((at for at, step in enumerate(steps) if step.asks), default=-1)
        kept = {len(steps) - 1} | ({asked} if asked >= 0 else set())
        later = steps[asked + 1 :]
        if asked >= 0 and later and later[0].reasons and not all(step.reasons for step in later):
            kept.add(asked + 1)
        return frozenset(kept)

    @cached_property
    def _blocks(self) -> list[list[int]]:
        """Steps that may go, in the order of the history, by what goes at once: turns, then single steps."""
        steps, kept = self._steps, self._kept
        asked = max((at for at, step in enumerate(steps) if step.asks), default=-1)
        blocks: list[list[int]] = []
        for at, step in enumerate(steps):
            if at in kept:
                continue
            if step.asks or at > asked or not blocks:
                blocks.append([at])
            else:
                blocks[-1].append(at)
        return blocks

    def least(self, mode: Overflow) -> int:
        """Tokens that are left at least, whatever is left out."""
        least = self.tokens - sum(self._steps[at].tokens for block in self._blocks for at in block)
        if mode == "middle_out":
            least -= sum(max(0, tokens - SHORTEST) for tokens in self._long_texts())
        return least

    def _long_texts(self) -> Iterator[int]:
        """The tokens of every text that may be shortened, among steps that always stay."""
        for at in sorted(self._kept):
            for place in self._steps[at].places:
                yield from map(estimate_text, _texts(self.messages[place]))

    def fit(self, room: int, mode: Overflow) -> Fitted | None:
        """The history in so many tokens; None: it cannot be done. What fits already is left as it is."""
        if self.tokens <= room:
            return Fitted(self.messages, self.tokens)
        if mode not in ("trim_oldest", "middle_out") or self.least(mode) > room:
            return None
        gone = self._goers(room, mode)
        places = {place for at in gone for place in self._steps[at].places}
        messages = tuple(message for place, message in enumerate(self.messages) if place not in places)
        missing = sum(self._steps[at].tokens for at in gone)
        fitted = Fitted(messages, self.tokens - missing, len(places), missing, min(places, default=0))
        return fitted if fitted.tokens <= room else _shortened(fitted, room)

    def _goers(self, room: int, mode: Overflow) -> list[int]:
        """The steps that go."""
        blocks = self._blocks
        sizes = [sum(self._steps[at].tokens for at in block) for block in blocks]
        free = room - (self.tokens - sum(sizes))
        begins = 0
        if mode == "middle_out" and sizes and sizes[0] <= free:
            begins, taken = 1, sizes[0]
            while begins < len(sizes) and taken + sizes[begins] <= min(free, room // HEAD):
                taken += sizes[begins]
                begins += 1
        stride = max(1, room // STRIDES)
        excess = -(-(self.tokens - room) // stride) * stride
        ends = begins
        while ends < len(blocks) and excess > 0:
            excess -= sizes[ends]
            ends += 1
        return [at for block in blocks[begins:ends] for at in block]


def weigh(message: Message) -> int:
    """Tokens of a message, estimated. Proofs of reasoning are not counted: providers differ."""
    return MESSAGE_TOKENS + sum(map(_weigh, message.parts))


def _weigh(part: Part) -> int:
    match part:
        case Text() | Refusal() | Thinking():
            return estimate_text(part.text)
        case ToolUse():
            return estimate_text(part.name) + estimate_text(part.arguments)
        case ToolResult():
            return sum(map(_weigh, part.parts))
        case Document() if part.text is not None:
            return estimate_text(part.text)
        case Image() | Document() | Audio():
            return MEDIA_TOKENS


def _is_fixed(message: Message) -> bool:
    return message.role in ("system", "developer")


def _steps_of(messages: Sequence[Message], weights: Sequence[int]) -> list[Step]:
    places = [place for place, message in enumerate(messages) if not _is_fixed(message)]
    glued = _glued([messages[place] for place in places])
    groups: list[list[int]] = []
    for place, sticks in zip(places, glued, strict=True):
        if sticks:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [
        Step(
            tuple(group),
            sum(weights[place] for place in group),
            any(messages[place].role == "user" for place in group),
            any(_is_proven(part) for part in messages[group[0]].parts),
        )
        for group in groups
    ]


def _is_proven(part: Part) -> bool:
    return isinstance(part, Thinking) and bool(part.signature or part.redacted)


def _glued(messages: Sequence[Message]) -> list[bool]:
    """For each message whether it must not be parted from the one before: it is a neighbour of the same role, or a
    call's result, or stands between a call and its result."""
    reach = [0] * len(messages)
    called: dict[str, int] = {}
    for at, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolUse):
                called[part.id] = at
            elif isinstance(part, ToolResult) and part.id in called:
                reach[called[part.id]] = at
    glued, until = [], 0
    for at, message in enumerate(messages):
        alike = at > 0 and messages[at - 1].role == message.role
        has_result = any(isinstance(part, ToolResult) for part in message.parts)
        glued.append(at > 0 and (at <= until or alike or message.role == "tool" or has_result))
        until = max(until, reach[at])
    return glued


def _texts(message: Message) -> Iterator[str]:
    """What may be shortened of a message: texts that the user, or a tool, gave."""
    if _is_fixed(message) or message.role == "assistant":
        return
    for part in message.parts:
        for one in part.parts if isinstance(part, ToolResult) else (part,):
            if isinstance(one, Text | Document) and one.text is not None:
                yield one.text


def _shortened(fitted: Fitted, room: int) -> Fitted | None:
    """The longest texts cut to one length, such that the whole fits."""
    sizes = sorted((estimate_text(text) for one in fitted.messages for text in _texts(one)), reverse=True)
    level = _level(sizes, fitted.tokens - room)
    if level is None:
        return None
    messages = tuple(_cut_message(message, level) for message in fitted.messages)
    tokens = sum(map(weigh, messages))
    return msgspec.structs.replace(
        fitted,
        messages=messages,
        tokens=tokens,
        shortened=sum(size > level for size in sizes),
        shortened_tokens=fitted.tokens - tokens,
    )


def _level(sizes: Sequence[int], excess: int) -> int | None:
    """The length that no text may exceed so that `excess` tokens go. `sizes`: the longest first."""
    total = 0
    for count, size in enumerate(sizes, 1):
        total += size
        following = max(sizes[count] if count < len(sizes) else 0, SHORTEST)
        if total - count * following >= excess:
            return (total - excess) // count
    return None


def _cut_message(message: Message, level: int) -> Message:
    if _is_fixed(message) or message.role == "assistant":
        return message
    return msgspec.structs.replace(message, parts=tuple(_cut_part(part, level) for part in message.parts))


def _cut_part(part: Part, level: int) -> Part:
    if isinstance(part, ToolResult):
        kept = tuple(_cut_inner(one, level) for one in part.parts)
        return msgspec.structs.replace(part, parts=kept)
    return _cut_inner(part, level) if isinstance(part, Text | Document) else part


def _cut_inner(part: Text | Image | Document, level: int) -> Text | Image | Document:
    if isinstance(part, Image) or part.text is None:
        return part
    cut = shorten(part.text, level)
    return part if cut is part.text else msgspec.structs.replace(part, text=cut)


def shorten(text: str, tokens: int) -> str:
    """A text of at most so many tokens: its beginning, a mark that tells how much is missing, its end."""
    if estimate_text(text) <= tokens:
        return text
    low, high = 0, len(text) // 2
    while low < high:  # the most letters of either end
        half = (low + high + 1) // 2
        low, high = (half, high) if estimate_text(_marked(text, half)) <= tokens else (low, half - 1)
    return _marked(text, low)


def _marked(text: str, half: int) -> str:
    missing = len(text) - 2 * half
    return f"{text[:half]}\n[... {missing} characters left out ...]\n{text[len(text) - half :]}"
