"""How fast a stream must come. One that trickles, a word every few seconds, never stalls and helps nobody. Pure.

Between two outputs a stream is looked at in slices of two seconds or more: a slice ends with the first output after
that time, so that a chunk costs a comparison. A stream is too slow when, over a window, it came slower than the floor:

    set by the operator   over 10 s, whatever becomes of the answer then
    learned               over 20 s, a quarter of what 95 % of the target's streams did, and never above 5 tokens/s,
                          about as fast as people read; only while another target can go on with the answer

The longest slice is left out, with what came in it: a model that thinks in silence, or waits for a tool of its
provider's, makes one long pause or a few, and silence is for `between_tokens` to judge. So is a window in which no
token was counted at all: what came may be audio. Time in which the client did not read is nobody's.

Tokens are estimated from the text. What is learned of a stream is its slowest window, or all of it if it was shorter;
so floor and measure err alike.
"""

from __future__ import annotations

from collections import deque

import msgspec

SLICE_S = 2.0
SET_WINDOW_S = 10.0
LEARNED_WINDOW_S = 20.0
LEARNED_SHARE = 0.25
FASTEST_LEARNED = 5.0
"""Tokens a second: nobody needs more, so nothing is broken off for less than its habit above this."""

LEAST_S = 2.0
LEAST_TOKENS = 20
"""Shorter answers say nothing of a target's speed."""


class Floor(msgspec.Struct, frozen=True):
    """The lowest speed, in tokens a second over `window_s`. `is_set`: by the operator."""

    tokens_per_s: float
    window_s: float
    is_set: bool


def floor_of(wanted: float | None, usual_s: float | None) -> Floor | None:
    """The floor for a stream; None: any speed will do.

    `wanted`: the configured one in tokens a second, 0: none, None: learned. `usual_s`: as many seconds a token 95 % of
    the target's streams stay under; None: not known.
    """
    if wanted is not None:
        return Floor(wanted, SET_WINDOW_S, is_set=True) if wanted > 0 else None
    if usual_s is None:
        return None
    return Floor(min(LEARNED_SHARE / usual_s, FASTEST_LEARNED), LEARNED_WINDOW_S, is_set=False)


class Speed:
    """The speed of one stream from its first output on. Times are monotonic seconds, `tokens` counts from any start.

    `due_s`: no look is due before. `held_s`: for how long the client was waited for, all told.
    """

    __slots__ = ("_at_s", "_began", "_held_s", "_seconds", "_slices", "_slowest_s", "_tokens", "_window_s", "due_s")

    def __init__(self, now: float, tokens: int, window_s: float = LEARNED_WINDOW_S) -> None:
        self.due_s = now + SLICE_S
        self._window_s = window_s
        self._began = (now, tokens)
        self._at_s, self._tokens, self._held_s, self._seconds = now, tokens, 0.0, 0.0
        self._slices: deque[tuple[float, int]] = deque()
        self._slowest_s: float | None = None

    def look(self, now: float, tokens: int, held_s: float) -> float | None:
        """The speed of the window that ends now, in tokens a second; None: there is none to speak of yet.

        Call it at an output that came at `due_s` or later.
        """
        seconds = now - self._at_s - (held_s - self._held_s)
        self._slices.append((seconds, tokens - self._tokens))
        self._seconds += seconds
        self._at_s, self._tokens, self._held_s, self.due_s = now, tokens, held_s, now + SLICE_S
        while len(self._slices) > 1 and self._seconds - self._slices[0][0] - self._longest(1) >= self._window_s:
            self._seconds -= self._slices.popleft()[0]
        left_out = max(self._slices)
        judged_s, came = self._seconds - left_out[0], sum(one[1] for one in self._slices) - left_out[1]
        if judged_s < self._window_s or came + left_out[1] <= 0:
            return None
        slowest_s = judged_s / max(came, 1)
        self._slowest_s = slowest_s if self._slowest_s is None else max(self._slowest_s, slowest_s)
        return came / judged_s

    def _longest(self, start: int) -> float:
        """The longest slice from `start` on."""
        return max(seconds for at, (seconds, _) in enumerate(self._slices) if at >= start)

    def habit_s(self, now: float, tokens: int, held_s: float) -> float | None:
        """What this stream says of its target, in seconds a token; None: nothing."""
        if self._slowest_s is not None:
            return self._slowest_s
        began_s, before = self._began
        seconds, came = now - began_s - held_s, tokens - before
        return seconds / came if seconds >= LEAST_S and came >= LEAST_TOKENS else None
