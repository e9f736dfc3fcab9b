"""What is kept of a prompt so that a route can learn from it: which buckets its n-grams fall into, and its length.

Not the prompt: words are hashed into 131,072 buckets, in no order. Who has it can still try out whether a word or a
phrase may have been in a prompt, so it is personal data all the same: it goes with the log's retention and with
`afterbay erase`.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec
import numpy as np

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.ngrams import Sparse, Spec, folded, sparse, trimmed

SPEC: Final = Spec()
MOST_BYTES: Final = 1 << 20
_STEP: Final = 1 / 16
"""What one step of a stored value is worth."""


class Imprint(msgspec.Struct, frozen=True):
    """`text`: the buckets of the prompt's beginning and end; `chars`: its whole length."""

    text: Sparse
    chars: int


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    form: int
    bits: int
    chars: int
    steps: bytes
    values: bytes


def imprint(text: str) -> Imprint:
    """The imprint of what the user says last."""
    return Imprint(sparse(folded(trimmed(text)), SPEC), len(text))


def packed(one: Imprint) -> bytes:
    """An imprint as bytes, some 2 kB for 500 characters."""
    ids = one.text.ids.astype("<u4")
    steps = np.diff(ids, prepend=np.zeros(1, "<u4")).astype("<u4")
    values = np.clip(np.rint(one.text.values / _STEP), 1, 255).astype(np.uint8)
    # the four bytes of each step apart: the upper ones are nearly all zero, and so cost nearly nothing
    apart = steps.view(np.uint8).reshape(-1, 4).T.tobytes()
    return zlib.compress(msgspec.msgpack.encode(_Packed(1, SPEC.bits, one.chars, apart, values.tobytes())), 6)


def unpacked(data: bytes) -> Imprint:
    """The imprint in some bytes.

    Raises:
        ClientMistake: these are none.
    """
    try:
        inflate = zlib.decompressobj()
        body = msgspec.msgpack.decode(inflate.decompress(data, MOST_BYTES), type=_Packed)
        if not inflate.eof:
            raise ValueError("they are not whole, or too many")
        if (body.form, body.bits) != (1, SPEC.bits):
            raise ValueError(f"they are of another form ({body.form}, {body.bits} bits)")
        steps = np.ascontiguousarray(np.frombuffer(body.steps, np.uint8).reshape(4, -1).T).view("<u4").reshape(-1)
        ids = np.cumsum(steps, dtype=np.uint32)
        values = np.frombuffer(body.values, np.uint8).astype(np.float32) * np.float32(_STEP)
        if len(ids) != len(values) or (len(ids) and int(ids[-1]) >> SPEC.bits):
            raise ValueError("buckets and values do not fit")
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no imprint: {error}.") from None
    return Imprint(Sparse(ids, values), body.chars)
