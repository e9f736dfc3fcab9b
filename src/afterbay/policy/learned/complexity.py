"""How complex a prompt looks, 0 to 1, for who has no labels: the shipped head's guess, as a rank among known prompts.

0.9 says that the prompt looks harder for a cheap model than 90 % of those that the head was trained on, each of its
sources counting the same. It is a guess: how little it holds on prompts of other kinds stands in docs/router.md.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.ngrams import Values
from afterbay.policy.learned.quality import Prompt, Quality, from_bytes, to_bytes

_MAGIC: Final = b"afterbay-complexity-1\n"


class Complexity(msgspec.Struct, frozen=True):
    """A predictor with one head, and the guesses, ascending, that stand for equal steps from 0 to 1."""

    quality: Quality
    steps: Values

    def of(self, prompt: Prompt) -> float:
        """The complexity of a prompt."""
        raw = float(self.quality.raw(prompt)[0])
        return float(np.interp(raw, self.steps, np.linspace(0, 1, len(self.steps))))


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    quality: bytes
    steps: bytes


def packed(complexity: Complexity) -> bytes:
    """The head as bytes."""
    body = _Packed(to_bytes(complexity.quality), complexity.steps.astype("<f4").tobytes())
    return _MAGIC + msgspec.msgpack.encode(body)


def unpacked(data: bytes) -> Complexity:
    """The head in some bytes.

    Raises:
        ClientMistake: they hold none.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as one does")
        body = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Packed)
        return Complexity(from_bytes(body.quality), np.frombuffer(body.steps, "<f4"))
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no head of complexity: {error}.") from None
