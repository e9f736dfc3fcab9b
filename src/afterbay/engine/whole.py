"""An attempt whose answer comes whole and is sent at once: vectors, judgements, compacted conversations."""

from __future__ import annotations

from collections.abc import Callable

from afterbay.core.usage import Usage
from afterbay.engine.clearance import upstream_of
from afterbay.engine.context import Turn
from afterbay.engine.credential import place_of
from afterbay.engine.delivery import Delivery, whole_headers
from afterbay.engine.exchange import nobody, read_failure
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Attempts, Start
from afterbay.policy.condition import Trial
from afterbay.ports import Credential
from afterbay.wire.dialect import Built, Dialect


class WholeTry:
    """One attempt at one target; see `afterbay.engine.attempt.Try`. Who asks gives it its `run`."""

    def __init__(self, turn: Turn, start: Start, machine: Attempts, dog: Watchdog) -> None:
        self.turn = turn
        self.start = start
        self.target = start.target
        self.call_off: Callable[[int], None] = nobody
        self.trial: Trial | None = None
        self.is_reading = False
        self.credential: Credential | None = None
        self.last_output_s: float | None = None
        self._machine = machine
        self._dog = dog
        self._usage: Usage | None = None

    async def _ask(self, built: Built, errors: Dialect, *, relays: bool) -> bytes:
        """The answer to a request whose path follows the provider's base URL. `errors`: the dialect of its errors,
        which is the client's own where it `relays`.

        Raises:
            ProviderFailure: the target answered with an error.
            TransportError: no connection, or it broke.
        """
        turn = self.turn
        upstream = upstream_of(turn, self.target)
        response = await upstream.post(built.path, built.body, built.headers, self.start.connect_s)
        try:
            self.credential = response.credential
            self._machine.headers(
                turn.context.clock.monotonic(), response.status, place_of(self.credential), self.start.number
            )
            self.is_reading = True
            if response.status != 200:
                raise await read_failure(response, errors, relays)
            return await response.read_all(turn.snapshot.limits.answer_bytes)
        finally:
            response.close()

    async def _deliver(self, delivery: Delivery, answer: bytes) -> None:
        """Sends a good answer to the client, in its protocol."""
        turn = self.turn
        now = turn.context.clock.monotonic()
        if self.trial is not None:
            self.trial.answered(now, whole=True)
        self._machine.first_output(now, self.start.number)
        self._dog.due_s = turn.deadline_s  # a client that reads slowly is not the target's delay
        headers = whole_headers(turn, self.target, len(self._machine.attempts), self.cost_picousd())
        await delivery.send_whole(200, headers, answer)

    async def deliver_spare(self, delivery: Delivery) -> None:
        """Such an answer is never a spare: it is right, or an error."""
        raise AssertionError("there is no spare")

    async def complete_late(self, delivery: Delivery) -> bool:
        """Such answers come whole or not at all."""
        return False

    async def say_last(self, delivery: Delivery) -> bool:
        """Such answers have no last words."""
        return False

    def usage(self) -> Usage | None:
        """What the attempt used; None: it gave no answer, or nothing is counted (moderations)."""
        return self._usage

    def cost_picousd(self) -> int | None:
        """What it cost; None: not known. No list has a price for moderations (OpenAI asks none)."""
        return self.target.cost_picousd(self._usage, self.turn.call.received_at)

    def is_whole(self) -> bool:
        """An answer is sent at once, or not at all."""
        return False

    def finish(self) -> str | None:
        """Such answers have no finish reason."""
        return None
