"""What an error means for the key that a request went out with, and for the target behind it."""

from __future__ import annotations

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.policy.credentials import LIMITS, OF_KEYS
from afterbay.policy.retry import cooling_s
from afterbay.ports import Credential


class Judged(msgspec.Struct, frozen=True):
    """An error, with the wait that holds for all keys of its provider.

    `cools_s`: how long its target is to be tried last; None: not at all. `another_key`: one may be tried at once.
    """

    error: ProviderError
    cools_s: float | None
    another_key: bool = False


def place_of(credential: Credential | None) -> int | None:
    """What the log says of a key: its place, where there are several."""
    return credential.number if credential is not None and credential.of > 1 else None


def judge(error: ProviderError, credential: Credential | None, longest_wait_s: float) -> Judged:
    """Tells the provider's keys of an error of an attempt, if it is about them.

    While another key is free nothing cools: the target is well. Where none is, the target cools, and is waited for,
    until the first of them is free. `longest_wait_s`: so long a provider's wish is believed.
    """
    pause_s = cooling_s(error, longest_wait_s)
    if credential is None or error.kind not in OF_KEYS:
        return Judged(error, pause_s)
    free_s = credential.failed(error, pause_s)
    if free_s <= 0 and credential.of > 1:
        return Judged(error, None, another_key=True)
    if credential.of > 1 and error.kind in LIMITS:
        error = msgspec.structs.replace(error, retry_after_s=free_s)
    return Judged(error, free_s)
