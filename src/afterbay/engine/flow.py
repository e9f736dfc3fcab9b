"""Watches how fast a stream comes, and breaks one off that trickles (`afterbay.policy.speed`)."""

from __future__ import annotations

import math

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.engine.context import Turn
from afterbay.engine.meter import Meter
from afterbay.engine.resume import Resumption
from afterbay.engine.stream import ProviderFailure
from afterbay.policy.attempts import Attempts
from afterbay.policy.outlier import TOO_SLOW
from afterbay.policy.speed import LEARNED_WINDOW_S, Floor, Speed, floor_of


class Flow:
    """The speed of one stream. The stream's owner adds to `held_s` what its client takes, and looks at `due_s`."""

    def __init__(
        self,
        turn: Turn,
        target: Target,
        meter: Meter,
        resumption: Resumption | None,
        machine: Attempts,
        now: float,
    ) -> None:
        self.held_s = 0.0
        self._turn, self._target, self._meter, self._resumption, self._machine = (
            turn,
            target,
            meter,
            resumption,
            machine,
        )
        self._condition = turn.fleet.health.conditions.get(target.id)
        usual_s = self._condition.usual_token_s if self._condition is not None else None
        self._floor = floor_of(turn.route.limits.min_tokens_per_s, usual_s)
        window_s = self._floor.window_s if self._floor is not None else LEARNED_WINDOW_S
        self._speed = Speed(now, meter.output_tokens, window_s)
        self.due_s = self._speed.due_s

    def look(self, now: float) -> None:
        """Looks at the speed, after an output.

        Raises:
            ProviderFailure: it is under the floor.
        """
        if self._meter.finish is not None:
            self.due_s = math.inf
            return
        speed = self._speed.look(now, self._meter.output_tokens, self.held_s)
        self.due_s = self._speed.due_s
        floor = self._floor
        if speed is None or floor is None or speed >= floor.tokens_per_s:
            return
        slow = _too_slow(speed, floor)
        if floor.is_set or self._others_go_on():
            raise ProviderFailure(slow)
        self._floor = None
        self._turn.warnings.append(f"{self._target.id} was slow: {slow.message}")

    def _others_go_on(self) -> bool:
        """Whether breaking off would lead to a better stream and not to an error: it was nobody's wish."""
        decision, resumption = self._turn.decision, self._resumption
        if decision is None or resumption is None or len(resumption.writers) > 1:
            return False
        others = [one for one in decision.targets if one.id != self._target.id]
        return len(self._machine.attempts) < self._turn.route.limits.max_attempts and any(map(resumption.can, others))

    def end(self, now: float) -> None:
        """The stream came to its own end: its target's habit is learned."""
        habit_s = self._speed.habit_s(now, self._meter.output_tokens, self.held_s)
        if habit_s is not None and self._condition is not None:
            self._condition.flowed(now, habit_s)


def _too_slow(speed: float, floor: Floor) -> ProviderError:
    whose = "timeouts.min_tokens_per_s" if floor.is_set else "learned from its streams"
    text = f"{speed:.2g} tokens/s over {floor.window_s:g} s, the floor is {floor.tokens_per_s:.2g} ({whose})"
    return ProviderError("timeout", text, code=TOO_SLOW)
