"""The keys of one provider at run time: which one goes out next, and a line in the log when one is refused or mended.

The rules are `afterbay.policy.credentials`; here are the clock and the words. A key is named by its place in the
configuration, never by anything of itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from afterbay.core.errors import ProviderError
from afterbay.policy.credentials import LIMITS, PAUSES_S, Credentials
from afterbay.policy.retry import cooling_s
from afterbay.wire.reset_headers import wait_s

Told = Callable[[str, int], None]
"""(provider, how many of its keys are refused now), called when that changes."""

RAW_LONGEST_S = 300.0
"""So long a wish to wait is believed that comes with the answer to a raw request."""

logger = logging.getLogger("afterbay.providers")


class ProviderKeys:
    """All keys of a provider; one without a key, or with a signer, counts as having one.

    `renews`: who signs looks for other credentials after a refusal, so that the first one alarms nobody and nothing
    rests: the next request may well be served.
    """

    def __init__(self, provider: str, count: int, told: Told | None = None, *, renews: bool = False) -> None:
        self._provider = provider
        self._told = told
        self._renews = renews
        self._alarmed: set[int] = set()
        self._credentials = Credentials(count)
        self.leases = [Lease(self, place, count) for place in range(count)]

    def choose(self) -> int:
        """The place of the key for the next request, from 0."""
        return self._credentials.choose(_now())

    def served(self, place: int) -> None:
        """The provider answered a request, and not that it does not take its key."""
        if self._credentials.served(place) and place in self._alarmed:
            self._alarmed.discard(place)
            logger.warning("provider %s: %s is accepted again", self._provider, self._name(place))
            self._tell()

    def failed(self, place: int, error: ProviderError, rest_s: float | None) -> float:
        """See `afterbay.ports.Credential.failed`."""
        now = _now()
        if error.kind in LIMITS:
            self._credentials.limited(place, now + (rest_s or 0.0))
        else:
            pause_s = self._credentials.refused(place, now)
            if self._renews and pause_s == PAUSES_S[0]:
                return 0.0
            if pause_s is not None:
                self._alert(place, error, pause_s)
        return self._credentials.free_in_s(now)

    def seen_raw(self, place: int, status: int, headers: Mapping[str, str]) -> None:
        """The answer to a raw request, of which only status and headers are known.

        A 403 is left out: at endpoints that anybody may name, it is more often about the endpoint than about the key.
        """
        if status == 429:
            error = ProviderError("rate_limit", "", status, retry_after_s=wait_s(status, headers))
            self.failed(place, error, cooling_s(error, RAW_LONGEST_S))
        elif status == 401:
            self.failed(place, ProviderError("authentication", "", status), None)
        elif status != 403:
            self.served(place)

    def _alert(self, place: int, error: ProviderError, pause_s: float) -> None:
        """One line for an operator. The provider's own text is left out: it may quote the key."""
        self._alarmed.add(place)
        several = len(self._credentials) > 1
        then = "it rests" if several else "requests that have another target go there first"
        logger.error(
            "provider %s: %s was refused (status %s, %s): check or replace it; %s for %d min",
            self._provider,
            self._name(place),
            error.status,
            error.kind,
            then,
            pause_s // 60,
        )
        self._tell()

    def _name(self, place: int) -> str:
        count = len(self._credentials)
        return f"key {place + 1} of {count}" if count > 1 else "the gateway's credential"

    def _tell(self) -> None:
        if self._told is not None:
            self._told(self._provider, len(self._alarmed))


class Lease:
    """One key as the engine sees it. See `afterbay.ports.Credential`."""

    __slots__ = ("_keys", "_place", "number", "of")

    def __init__(self, keys: ProviderKeys, place: int, count: int) -> None:
        self._keys, self._place = keys, place
        self.number, self.of = place + 1, count

    def failed(self, error: ProviderError, rest_s: float | None) -> float:
        """See `afterbay.ports.Credential.failed`."""
        return self._keys.failed(self._place, error, rest_s)


def _now() -> float:
    return asyncio.get_running_loop().time()
