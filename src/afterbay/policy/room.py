"""The room that a window leaves for a history, and the request that a target gets where that is too little.

A window holds what is read and what is written. For the answer the room is kept that the client asks for, else that of
an answer of usual length, and never more than half of the window; what is left is for the prompt. A longer answer than
then has room is not asked for.

Tokens are estimates (`policy.quantity`): their sums are right within a fifth (`docs/benchmarks.md`), so a fifth is
added to the prompt. Media count as in `policy.spending`; long documents and audio may come to more. A provider that
finds the request too long all the same says so, and the next target is asked. Most say how many tokens they counted
and how many they take, too: where no other target is left, the last one is asked once more by that measure. Digits are
twice as many tokens as we think; who sends a table of them would else be refused with every turn.
"""

from __future__ import annotations

import re

import msgspec

from afterbay.core.decision import Target
from afterbay.core.request import ChatRequest
from afterbay.policy.overflow import History
from afterbay.policy.plan import Overflow
from afterbay.policy.quantity import estimate_text
from afterbay.policy.spending import ROOM_FOR_ANSWER

MARGIN = 1.2
"""What the prompt has at most, by what we think it has."""

AGAIN = 1.05
"""More than a provider counted, in case that a shorter prompt has more tokens for its length."""

UNTOLD = 1.5
"""How much longer than we think a prompt is taken to be, where a provider says no more than that it is too long."""

TRIES = 2
"""So often a target may say that it is too long before it is believed to be too small."""

_NUMBERS = re.compile(r"\d[\d,]{2,}(?<!,)")
_BEYOND = re.compile(r"exceeded by (\d+)", re.IGNORECASE)  # Cohere: "size limit exceeded by 25836 tokens"
_MOST = 50
"""A prompt that many times longer than a window is not what a message says, however it is read."""

TRIMS: frozenset[Overflow] = frozenset({"trim_oldest", "middle_out"})
"""What is done about a history. Of the others, one refuses it, one looks for another target."""


class Shrunk(msgspec.Struct, frozen=True):
    """A request that fits. `told`: what became of it, in words for the client."""

    request: ChatRequest
    tokens: int
    told: str


class Fitting:
    """Whether a request fits the windows of targets, and what becomes of it where it does not.

    `unsaid`: fields that only the client's own bytes can say; a request with any is never built anew.
    """

    def __init__(self, request: ChatRequest, mode: Overflow, unsaid: tuple[str, ...] = ()) -> None:
        self._request, self._mode, self._unsaid = request, mode, unsaid
        self._history = History(request.messages)
        self._fixed = sum(map(estimate_text, _told_of_tools(request)))
        self._shrunk: dict[str, Shrunk | None] = {}
        self._windows: dict[str, int] = {}
        self._scales: dict[str, float] = {}
        self._refusals: dict[str, int] = {}

    @property
    def tokens(self) -> int:
        """What the request has to read, estimated, without a margin."""
        return self._history.tokens + self._fixed

    def gap(self, target: Target) -> str | None:
        """Why a target's window is too small, whatever is left out; None: it is not."""
        window = self._window(target)
        if window is None or self._fits(target, window):
            return None
        reason = (
            f"context: about {self.tokens} tokens, with a fifth added and room for the answer kept, "
            f"its window is {window}"
        )
        if self._mode not in TRIMS:
            return reason
        if self._unsaid:
            return f"{reason}, and with '{self._unsaid[0]}' nothing can be left out"
        least = self._history.least(self._mode) + self._fixed
        if least > self._room(target, window):
            return f"{reason}, and what must stay has about {least}"
        return None

    def of(self, target: Target) -> Shrunk | None:
        """The request for a target that `gap` has nothing against; None: as it is."""
        window = self._window(target)
        if window is None or self._mode not in TRIMS or self._unsaid or self._fits(target, window):
            return None
        if target.id not in self._shrunk:
            self._shrunk[target.id] = self._shrink(target, window)
        return self._shrunk[target.id]

    def learn(self, target: Target, message: str) -> bool:
        """Takes what a provider said that refused the request as too long; whether it can be asked again for less."""
        refusals = self._refusals[target.id] = self._refusals.get(target.id, 0) + 1
        if refusals > TRIES or self._mode not in TRIMS or self._unsaid:
            return False
        before = self.of(target)
        sent = self.tokens if before is None else before.tokens
        counted, takes = told_counts(message)
        known = self._window(target)
        if takes is not None:
            self._windows[target.id] = takes if known is None else min(takes, known)
        elif known is None:
            return False
        scale = self._scale(target)
        self._scales[target.id] = max(scale * UNTOLD if counted is None else counted / max(sent, 1) * AGAIN, scale)
        self._shrunk.pop(target.id, None)
        after = self.of(target)
        return after is not None and after.tokens < sent

    def _window(self, target: Target) -> int | None:
        return self._windows.get(target.id, target.context_tokens)

    def _scale(self, target: Target) -> float:
        return self._scales.get(target.id, MARGIN)

    def _shrink(self, target: Target, window: int) -> Shrunk | None:
        fitted = self._history.fit(self._room(target, window) - self._fixed, self._mode)
        if fitted is None:
            return None
        request, told = self._request, [fitted.told()]
        if fitted.messages is not request.messages:
            request = msgspec.structs.replace(request, messages=fitted.messages)
        tokens = fitted.tokens + self._fixed
        rest, asked = window - self._scaled(target, tokens), request.sampling.max_output_tokens
        if asked is not None and asked > rest:
            sampling = msgspec.structs.replace(request.sampling, max_output_tokens=rest)
            request = _within(msgspec.structs.replace(request, sampling=sampling), rest)
            told.append(f"the answer has at most {rest} tokens")
        return Shrunk(request, tokens, ", ".join(filter(None, told)))

    def _fits(self, target: Target, window: int) -> bool:
        wanted = self._wanted(target)
        return self._scaled(target, self.tokens) + (_usual(target, window) if wanted is None else wanted) <= window

    def _room(self, target: Target, window: int) -> int:
        """Tokens, by our estimate, that the prompt may have."""
        wanted = self._wanted(target)
        output = _usual(target, window) if wanted is None else min(wanted, window // 2)
        return int((window - output) / self._scale(target))

    def _scaled(self, target: Target, tokens: int) -> int:
        """What that many tokens by our estimate may be by the target's."""
        return -int(-tokens * self._scale(target) // 1)

    def _wanted(self, target: Target) -> int | None:
        """The longest answer that is asked for and that the model gives."""
        asked = self._request.sampling.max_output_tokens
        if asked is None or target.max_output is None:
            return asked
        return min(asked, target.max_output)


def _usual(target: Target, window: int) -> int:
    """Tokens of an answer of usual length, in a small window less."""
    return min(ROOM_FOR_ANSWER, window // 4, target.max_output or ROOM_FOR_ANSWER)


def told_counts(message: str) -> tuple[int | None, int | None]:
    """How many tokens a provider counted, and how many it takes; None where its message does not say.

    Nearly all name both, the larger one being what is too much.
    """
    numbers = sorted({int(one.replace(",", "")) for one in _NUMBERS.findall(message)})
    beyond = _BEYOND.search(message)
    if beyond is not None and numbers:
        takes = numbers[-1]
        return takes + int(beyond[1]), takes
    if len(numbers) < 2 or numbers[-1] > _MOST * numbers[-2]:
        return None, None
    return numbers[-1], numbers[-2]


def _within(request: ChatRequest, tokens: int) -> ChatRequest:
    """The request without a budget for thinking that an answer of so many tokens has no room for."""
    reasoning = request.reasoning
    if reasoning is None or reasoning.budget_tokens is None or reasoning.budget_tokens < tokens:
        return request
    return msgspec.structs.replace(request, reasoning=msgspec.structs.replace(reasoning, budget_tokens=tokens // 2))


def _told_of_tools(request: ChatRequest) -> list[str]:
    tools = [(tool.name, tool.description or "", tool.schema.decode("utf-8", "replace")) for tool in request.tools]
    form = request.response_format
    schema = form.schema.decode("utf-8", "replace") if form is not None and form.schema is not None else ""
    return [*(text for tool in tools for text in tool), schema]
