"""How a gateway leaves: first it says that it is not ready, then it takes nothing new, then it ends what is left.

serving   everything as ever
leaving   `/health/ready` says 503; new requests are still served, for whoever has not noticed yet
closed    new requests are refused, in their protocol and with `retry-after`; those in flight go on
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from afterbay.core.errors import Capacity

Stage: TypeAlias = Literal["serving", "leaving", "closed"]

SHUTTING_DOWN = "The gateway is shutting down."
COME_BACK_S = 2.0
"""By then whoever distributes requests has found another gateway, or this one is up again."""


class Drain:
    """Where a gateway stands on its way out. There is no way back."""

    __slots__ = ("stage",)

    def __init__(self) -> None:
        self.stage: Stage = "serving"

    @property
    def is_leaving(self) -> bool:
        """Whether it is not ready any more."""
        return self.stage != "serving"

    @property
    def is_closed(self) -> bool:
        """Whether new requests are refused."""
        return self.stage == "closed"

    def leave(self) -> None:
        """It was asked to end."""
        if self.stage == "serving":
            self.stage = "leaving"

    def close(self) -> None:
        """From now on nothing new is taken."""
        self.stage = "closed"


def shutting_down() -> Capacity:
    """The error of a request that the end of the gateway keeps from its answer. Trying again is right."""
    return Capacity(SHUTTING_DOWN, code="shutting_down", retry_after_s=COME_BACK_S)
