"""What is kept of a prompt so that a route can learn from it: which buckets its n-grams fall into, and what it looks
like in numbers (`policy.learned.quality.Prompt`).

Not the prompt: words are hashed into 131,072 buckets, in no order. Who has it can still try out whether a word or a
phrase may have been in a prompt, so it is personal data all the same: it goes with the log's retention and with
`afterbay erase`.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.ngrams import Sparse, Spec
from afterbay.policy.learned.quality import Prompt, read_prompt
from afterbay.policy.learned.surface import FEATURES

SPEC: Final = Spec()
MOST_BYTES: Final = 1 << 20
_FORM: Final = 1
_STEP: Final = 1 / 16
"""What one step of a stored weight is worth."""


class Imprint(msgspec.Struct, frozen=True):
    """`prompt`: both views of the prompt's beginning and end; `chars`: its whole length."""

    prompt: Prompt
    chars: int


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    form: int
    bits: int
    chars: int
    steps: bytes
    values: bytes
    surface: bytes


def imprint(text: str) -> Imprint:
    """The imprint of what the user says last, rounded as it is kept: what is live and what is kept are scored alike."""
    read = read_prompt(text, SPEC)
    values = _steps(read.grams).astype(np.float32) * np.float32(_STEP)
    surface = read.surface.astype("<f2").astype(np.float32)
    return Imprint(Prompt(Sparse(read.grams.ids, values), surface), len(text))


def packed(one: Imprint) -> bytes:
    """An imprint as bytes, some 2 kB for 500 characters."""
    grams = one.prompt.grams
    gaps = np.diff(grams.ids.astype("<u4"), prepend=np.zeros(1, "<u4")).astype("<u4")
    # the four bytes of each gap apart: the upper ones are nearly all zero, and so cost nearly nothing
    apart = gaps.view(np.uint8).reshape(-1, 4).T.tobytes()
    surface = one.prompt.surface.astype("<f2").tobytes()
    body = _Packed(_FORM, SPEC.bits, one.chars, apart, _steps(grams).tobytes(), surface)
    return zlib.compress(msgspec.msgpack.encode(body), 6)


def unpacked(data: bytes) -> Imprint:
    """The imprint in some bytes.

    Raises:
        ClientMistake: these are none, or of another version's features.
    """
    try:
        inflate = zlib.decompressobj()
        body = msgspec.msgpack.decode(inflate.decompress(data, MOST_BYTES), type=_Packed)
        if not inflate.eof:
            raise ValueError("they are not whole, or too many")
        if (body.form, body.bits, len(body.surface)) != (_FORM, SPEC.bits, 2 * len(FEATURES)):
            raise ValueError("they are of another form")
        gaps = np.ascontiguousarray(np.frombuffer(body.steps, np.uint8).reshape(4, -1).T).view("<u4").reshape(-1)
        ids = np.cumsum(gaps, dtype=np.uint32)
        values = np.frombuffer(body.values, np.uint8).astype(np.float32) * np.float32(_STEP)
        if len(ids) != len(values) or (len(ids) and int(ids[-1]) >> SPEC.bits):
            raise ValueError("buckets and weights do not fit")
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no imprint: {error}.") from None
    surface = np.frombuffer(body.surface, "<f2").astype(np.float32)
    return Imprint(Prompt(Sparse(ids, values), surface), body.chars)


def _steps(grams: Sparse) -> NDArray[np.uint8]:
    steps: NDArray[np.uint8] = np.clip(np.rint(grams.values / _STEP), 1, 255).astype(np.uint8)
    return steps
