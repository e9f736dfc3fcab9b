"""What to do with requests while every target is down: most are refused at once, a few find out whether it is over.

Client-side throttling of the SRE book (chapter 21, "Handling Overload"): refused with the probability
max(0, (requests - K * accepts) / (requests + 1)), over the last two and a half minutes of all targets of the request.
Requests count when they are sent, the refused ones too. K = 2: as long as half of what was sent was answered, none is
refused; nor is any before ten were sent, as less says little.

Beyond the book: a request that finds that nothing was tried for a second is always let through, so the end of an outage
shows within about two. And one that is let through makes one attempt, one in ten of them two: what reaches providers
that are down anyway stays under 1.2 times what clients send.

It holds only where every target is down, that is ejected because nothing came of it at all. Targets that are slow, or
fail too often, are asked without a throttle when there is nothing better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from afterbay.core.decision import Decision, Target
from afterbay.policy.condition import Condition
from afterbay.policy.plan import Limits

K = 2.0
LEAST_REQUESTS = 10
LOOK_EVERY_S = 1.0
SECOND_TRY = 0.1
COME_BACK_S = 2.0
"""Refused clients are told to come back after so long, and up to twice that, by a draw."""


def is_outage(targets: Sequence[Target], conditions: Mapping[str, Condition], now: float) -> bool:
    """Whether every one of these targets is down."""
    for target in targets:
        condition = conditions.get(target.id)
        if condition is None or not condition.is_down(now):
            return False
    return bool(targets)


def refusal_share(conditions: Sequence[Condition], now: float) -> float:
    """The probability with which a request for these targets is refused."""
    requests = accepts = 0
    for condition in conditions:
        sent, accepted = condition.sent_and_accepted(now)
        requests, accepts = requests + sent, accepts + accepted
    return max(0.0, (requests - K * accepts) / (requests + 1)) if requests >= LEAST_REQUESTS else 0.0


def attempts_allowed(conditions: Sequence[Condition], now: float, draw: Callable[[str], float]) -> int:
    """How many attempts a request may make in an outage of all its targets; 0: it is refused."""
    tried_s = max(condition.attempted_s for condition in conditions)
    if now - tried_s < LOOK_EVERY_S and draw("throttle") < refusal_share(conditions, now):
        return 0
    return min(2 if draw("second try") < SECOND_TRY else 1, len(conditions))


def attempts_left(
    targets: Sequence[Target], conditions: Mapping[str, Condition], now: float, draw: Callable[[str], float]
) -> int | None:
    """How many attempts an outage of all these targets leaves a request, 0: it is refused; None: it is no outage."""
    if not is_outage(targets, conditions, now):
        return None
    return attempts_allowed([conditions[target.id] for target in targets], now, draw)


def narrowed(decision: Decision, limits: Limits, attempts: int) -> tuple[Decision, Limits]:
    """The decision and the limits of a request that has so many attempts left: none is made twice at one target."""
    fewer = msgspec.structs.replace(limits, max_attempts=min(attempts, limits.max_attempts))
    return msgspec.structs.replace(decision, targets=decision.targets[:attempts]), fewer
