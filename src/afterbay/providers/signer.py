"""What proves to a provider who asks, where a key in a fixed header does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Signer(Protocol):
    """Makes the headers that identify the gateway, for one request."""

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """What of its own must not come back in an answer: some providers quote what they refuse."""

    def refused(self) -> None:
        """The provider answered 401 or 403: what it was shown may have ended, or been replaced."""

    async def sign(self, url: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> dict[str, str]:
        """The headers to add to a request with this URL, body and headers.

        Raises:
            TransportError: there are no credentials, or they could not be renewed in time.
        """
