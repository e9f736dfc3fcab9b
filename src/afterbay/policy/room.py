"""The room that a window leaves for a history, and the request that a target gets where that is too little.

A window holds what is read and what is written. For the answer the room is kept that the client asks for, else that of
an answer of usual length, and never more than half of the window; what is left is for the prompt. A longer answer than
then has room is not asked for.

Tokens are estimates (`policy.quantity`): their sums are right within a fifth (`docs/benchmarks.md`), so a fifth is
added to the prompt. Media count as in `policy.spending`; long documents and audio may come to more, and what a provider
keeps of a conversation is not seen at all. A provider that finds the request too long all the same says so, and the
next target is asked.
"""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Target
from afterbay.core.request import ChatRequest
from afterbay.policy.overflow import History
from afterbay.policy.plan import Overflow
from afterbay.policy.quantity import estimate_text
from afterbay.policy.spending import USUAL_OUTPUT

MARGIN_PERCENT = 20

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

    @property
    def tokens(self) -> int:
        """What the request has to read, estimated, without a margin."""
        return self._history.tokens + self._fixed

    def gap(self, target: Target) -> str | None:
        """Why a target's window is too small, whatever is left out; None: it is not."""
        window = target.context_tokens
        if window is None or self._fits(target, window):
            return None
        reason = f"context: about {self.tokens} tokens and an answer, its window is {window}"
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
        window = target.context_tokens
        if window is None or self._mode not in TRIMS or self._unsaid or self._fits(target, window):
            return None
        if target.id not in self._shrunk:
            self._shrunk[target.id] = self._shrink(target, window)
        return self._shrunk[target.id]

    def _shrink(self, target: Target, window: int) -> Shrunk | None:
        fitted = self._history.fit(self._room(target, window) - self._fixed, self._mode)
        if fitted is None:
            return None
        request, told = self._request, [fitted.told()]
        if fitted.messages is not request.messages:
            request = msgspec.structs.replace(request, messages=fitted.messages)
        tokens = fitted.tokens + self._fixed
        rest, asked = window - _with_margin(tokens), request.sampling.max_output_tokens
        if asked is not None and asked > rest:
            sampling = msgspec.structs.replace(request.sampling, max_output_tokens=rest)
            request = _within(msgspec.structs.replace(request, sampling=sampling), rest)
            told.append(f"the answer has at most {rest} tokens")
        return Shrunk(request, tokens, ", ".join(filter(None, told)))

    def _fits(self, target: Target, window: int) -> bool:
        wanted = self._wanted(target)
        return _with_margin(self.tokens) + (_usual(target, window) if wanted is None else wanted) <= window

    def _room(self, target: Target, window: int) -> int:
        """Tokens, by our estimate, that the prompt may have."""
        wanted = self._wanted(target)
        output = _usual(target, window) if wanted is None else min(wanted, window // 2)
        return (window - output) * 100 // (100 + MARGIN_PERCENT)

    def _wanted(self, target: Target) -> int | None:
        """The longest answer that is asked for and that the model gives."""
        asked = self._request.sampling.max_output_tokens
        if asked is None or target.max_output is None:
            return asked
        return min(asked, target.max_output)


def _usual(target: Target, window: int) -> int:
    """Tokens of an answer of usual length, in a small window less."""
    return min(USUAL_OUTPUT, window // 4, target.max_output or USUAL_OUTPUT)


def _with_margin(tokens: int) -> int:
    return -(-tokens * (100 + MARGIN_PERCENT) // 100)


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
