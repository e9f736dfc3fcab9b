"""A provider's keys in simulated time: the rules are `afterbay.policy.credentials`, here is their clock."""

from __future__ import annotations

from collections.abc import Callable

from afterbay.core.errors import ProviderError
from afterbay.policy.credentials import LIMITS, Credentials


class Keys:
    """All keys of a provider. `leases` implement `afterbay.ports.Credential`, as `afterbay.providers.keys` has it."""

    def __init__(self, count: int, clock: Callable[[], float]) -> None:
        self._credentials = Credentials(count)
        self._clock = clock
        self.leases = [Lease(self, place, count) for place in range(count)]

    def choose(self, now: float) -> Lease:
        """The key for the next request."""
        return self.leases[self._credentials.choose(now)]

    def served(self, lease: Lease) -> None:
        """The provider took a key."""
        self._credentials.served(lease.number - 1)

    def failed(self, place: int, error: ProviderError, rest_s: float | None) -> float:
        """An error is about the key: how long until one is free."""
        now = self._clock()
        if error.kind in LIMITS:
            self._credentials.limited(place, now + (rest_s or 0.0))
        else:
            self._credentials.refused(place, now)
        return self._credentials.free_in_s(now)


class Lease:
    """One key. See `afterbay.ports.Credential`."""

    __slots__ = ("_keys", "number", "of")

    def __init__(self, keys: Keys, place: int, count: int) -> None:
        self._keys = keys
        self.number, self.of = place + 1, count

    def failed(self, error: ProviderError, rest_s: float | None) -> float:
        """It did not do: how long until some key of the provider is free."""
        return self._keys.failed(self.number - 1, error, rest_s)
