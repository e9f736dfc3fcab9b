"""Linear heads over a hashed text: one number each for what it is about, in whole bytes, so that they are small enough
to ship and to keep in a row of a database.

A head is a weight for every bucket (int8, with one scale a head), a weight for every hand-made feature (float32) and a
bias. A text's vector is weighed by how rare its buckets are and has length 1.
"""

from __future__ import annotations

import zlib
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.ngrams import Ids, Sparse, Spec, Values

Bytes: TypeAlias = NDArray[np.int8]
Rarity: TypeAlias = NDArray[np.uint8]

RARITY_STEP: Final = 0.05
"""What one step of a stored rarity is worth."""
_MAGIC: Final = b"afterbay-heads-1\n"
_MOST_BYTES: Final = 64 << 20


class Heads(msgspec.Struct, frozen=True):
    """Linear heads; see the module. `weights` is (buckets, heads), `scales` and `bias` (heads,), `dense`
    (features, heads), `idf` (buckets,) in steps of `RARITY_STEP`, or None where all buckets weigh the same."""

    spec: Spec
    names: tuple[str, ...]
    weights: Bytes
    scales: Values
    dense: Values
    bias: Values
    idf: Rarity | None = None


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    spec: Spec
    names: tuple[str, ...]
    features: int
    weights: bytes
    scales: bytes
    dense: bytes
    bias: bytes
    idf: bytes | None


def unit(text: Sparse, idf: Rarity | None) -> Values:
    """The values of a text's buckets, weighed by rarity, as a vector of length 1."""
    values = text.values if idf is None else text.values * (idf[text.ids] * np.float32(RARITY_STEP))
    norm = float(np.sqrt(values @ values))
    return (values / np.float32(max(norm, 1e-12))).astype(np.float32)


def scores(heads: Heads, text: Sparse, dense: Values | None = None) -> Values:
    """What each head says of a text, in the order of `names`; `dense` are its hand-made features."""
    found: Values = (unit(text, heads.idf) @ heads.weights[text.ids].astype(np.float32)) * heads.scales + heads.bias
    return found if dense is None or not len(heads.dense) else found + dense @ heads.dense


def quantised(weights: NDArray[np.floating]) -> tuple[Bytes, Values]:
    """Weights of (buckets, heads) as whole bytes, and the scale of each head."""
    most = np.maximum(np.abs(weights).max(axis=0), 1e-12)
    return np.rint(weights * (127 / most)).astype(np.int8), (most / 127).astype(np.float32)


def rarity(frequency: Ids | NDArray[np.int64], rows: int) -> Rarity:
    """How rare each bucket is, from the number of rows it occurs in: 1 + ln((rows + 1) / (frequency + 1))."""
    idf = 1 + np.log((rows + 1) / (frequency.astype(np.float64) + 1))
    return np.clip(np.rint(idf / RARITY_STEP), 1, 255).astype(np.uint8)


def packed(heads: Heads) -> bytes:
    """Heads as bytes, the same for the same heads."""
    body = _Packed(
        heads.spec,
        heads.names,
        len(heads.dense),
        np.ascontiguousarray(heads.weights.T, np.int8).tobytes(),
        heads.scales.astype("<f4").tobytes(),
        heads.dense.astype("<f4").tobytes(),
        heads.bias.astype("<f4").tobytes(),
        None if heads.idf is None else heads.idf.tobytes(),
    )
    return _MAGIC + zlib.compress(msgspec.msgpack.encode(body), 9)


def unpacked(data: bytes) -> Heads:
    """The heads in some bytes.

    Raises:
        ClientMistake: these are no heads.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as heads do")
        inflate = zlib.decompressobj()
        body = msgspec.msgpack.decode(inflate.decompress(data[len(_MAGIC) :], _MOST_BYTES), type=_Packed)
        return _heads(body)
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no heads: {error}.") from None


def _heads(body: _Packed) -> Heads:
    count, buckets = len(body.names), 1 << body.spec.bits
    return Heads(
        body.spec,
        body.names,
        np.ascontiguousarray(np.frombuffer(body.weights, np.int8).reshape(count, buckets).T),
        np.frombuffer(body.scales, "<f4").reshape(count),
        np.frombuffer(body.dense, "<f4").reshape(body.features, count),
        np.frombuffer(body.bias, "<f4").reshape(count),
        None if body.idf is None else np.frombuffer(body.idf, np.uint8).reshape(buckets),
    )
