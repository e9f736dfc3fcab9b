"""What accounting needs to know of an answer, gathered while it streams by."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.core.event import (
    Event,
    Extra,
    Failed,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.usage import Usage
from afterbay.policy.quantity import estimate_tokens, measure

PROOFS = 64


class Meter:
    """Counts one attempt's answer. Text is not kept: its length and script are enough for an estimate."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.error: ProviderError | None = None
        self.id = self.model = ""
        """What the provider called its answer, and the model of it."""
        self.has_output = False
        self.doubts = False
        """Whether the provider told a usage that cannot be: it is estimated then, as if it had told none."""
        self.extras: set[str] = set()
        self.proofs: list[str] = []
        """Proofs of reasoning, the first `PROOFS` of them."""
        self._is_early = False
        self._ascii = 0
        self._other = 0

    def see(self, events: Iterable[Event]) -> None:
        """Takes the next events."""
        for event in events:
            if type(event) is TextDelta:
                self.has_output = True
                self._count(event.text)
            else:
                self._see_other(event)

    def _see_other(self, event: Event) -> None:
        match event:
            case ReasoningDelta() | RefusalDelta():
                self.has_output = True
                self._count(event.text)
            case ToolCallStarted():
                self.has_output = True
                self._count(event.name)
            case ToolCallDelta():
                self.has_output = True
                self._count(event.arguments)
            case UsageSeen():
                self.usage = event.usage if event.usage.is_plausible else None
                self.doubts, self._is_early = self.usage is None, not self.has_output
            case Finished():
                self.finish = event.reason
            case Failed():
                self.error = event.error
            case Started():
                self.id, self.model = event.id or self.id, event.model or self.model
            case Extra():
                self.extras.add(event.kind)
            case ReasoningSignature():  # output that the client waits for
                self.has_output = True
                if len(self.proofs) < PROOFS:
                    self.proofs.append(event.data)
            case _:  # a block's end is not
                pass

    def _count(self, text: str) -> None:
        narrow, other = measure(text)
        self._ascii += narrow
        self._other += other

    @property
    def output_tokens(self) -> int:
        """About how many tokens came so far."""
        return estimate_tokens(self._ascii, self._other)

    def counted(self) -> Usage | None:
        """What the provider told; its output is an estimate where it said something and counted none of it (a stream
        that tells its usage at the start, and not again at its end)."""
        usage = self.usage
        if usage is None or usage.output_tokens or not self._is_early or not (self._ascii or self._other):
            return usage
        told = self.estimate(usage.input_tokens)
        return msgspec.structs.replace(usage, output_tokens=told.output_tokens, estimated=True)

    def estimate(self, input_tokens: int) -> Usage:
        """Usage for a provider that sent none, marked as an estimate."""
        return Usage(input_tokens=input_tokens, output_tokens=self.output_tokens, estimated=True)
