"""When to try again, and when not.

Retrying multiplies load when a provider is ill, so it is done in one place and rarely. In this order:

    another key      at once, where the error is about the key (`afterbay.policy.credentials`)
    another target   at once: a fallback
    the same target  after a wait, where no other one is left: as long as the provider asks, else with full jitter after
                     an error that passes by itself; within the deadline, and within the retry budget of the process

A fallback does not count as a retry of the budget, nor does another key: each goes to who has not failed yet, and no
target gets more requests than were made. What is bounded is the load on one that is ill. A wait that the provider asked
for does count: all those who wait for the same limit come back at about the same time.

Sources: Envoy, circuit_breaker.proto `retry_budget` (20 % of the active requests, at least 3); "Exponential Backoff And
Jitter" (AWS Architecture Blog) for full jitter; Site Reliability Engineering, "Handling Overload", for 3 attempts a
request; gRPC proposal A6 for the commit rule; the providers' error pages for the classes.
"""

from __future__ import annotations

from typing import Final

from afterbay.core.decision import Outcome
from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.policy.plan import FallbackOn

BASE_S: Final = 0.25
LONGEST_S: Final = 4.0
"""A backoff is drawn between 0 and the base, doubled with each retry up to this."""
TRIES: Final = 3
"""No retry on our own account after so many attempts, whoever they were made at."""
BUDGET_SHARE: Final = 0.2
BUDGET_LEAST: Final = 3
SPREAD: Final = 0.1
SPREAD_S: Final = 0.25
"""A wait that the provider asked for is spread by this share of it, at most so much, later and never earlier."""

QUOTA_S: Final = 300.0
QUOTA_LONGEST_S: Final = 3600.0
"""How long a target is left alone whose credit or daily quota is used up; what is longer is looked at again."""

_COOLING_S: dict[ErrorKind, float] = {"rate_limit": 5.0, "overloaded": 2.0}
"""Without a hint: short, since the next request will tell."""
_RAMP_S: Final = 15.0
"""After `slow_down`: the rate grew too fast. OpenAI wants growth by at most half in 15 minutes."""

_PASSING: frozenset[ErrorKind] = frozenset({"server", "overloaded", "connection", "cut"})
_PASSING_STATUS: frozenset[int | None] = frozenset({None, 409, 425, 500, 502, 503, 520, 521, 522, 523, 529})
_LASTING_CODES: frozenset[str | None] = frozenset(
    {
        "bad_answer",
        "answer_too_large",
        "connect_timeout",
        "dns_not_found",
        "tls_failed",
        "proxy_failed",
        "no_credentials",
        "local_model_failed",
        "not_recorded",
        "policy_no_candidate",
    }
)
"""What stays as it is for the next seconds, or has cost too many of them already."""

_FALLBACK_ON: dict[ErrorKind, FallbackOn] = {
    "rate_limit": "rate_limit",
    "quota": "rate_limit",
    "timeout": "timeout",
    "authentication": "error",
    "permission": "error",
    "not_found": "error",
    "overloaded": "error",
    "server": "error",
    "connection": "error",
    "cut": "error",
}
"""Which entry of `fallback_on` an error falls under. Missing: the request is wrong, every target would say so."""


def fallback_class(kind: ErrorKind) -> FallbackOn | None:
    """Under which name of `fallback_on` an error sends the request on; None: it is the client's to mend."""
    return _FALLBACK_ON.get(kind)


def outcome_of(kind: ErrorKind) -> Outcome:
    """The outcome that an attempt which ended in this error is logged with."""
    if kind == "timeout":
        return "timeout"
    if kind in ("rate_limit", "quota"):
        return "rate_limit"
    if kind == "connection":
        return "connection"
    return "cut" if kind == "cut" else "error"


def clamp_wait(wait_s: float | None, longest_s: float) -> float | None:
    """A provider's Retry-After within reason: [0, `longest_s`]; None stays None, nonsense becomes the longest."""
    if wait_s is None:
        return None
    if not wait_s >= 0:  # negative, or not a number
        return 0.0
    return min(wait_s, longest_s)


def cooling_s(error: ProviderError, longest_s: float) -> float | None:
    """How long a target is tried last after this error; None: not at all.

    A wrong request cools nobody, nor do a cut or a single failure: they are for the health of the target to judge.
    """
    if error.kind == "quota":
        wait_s = clamp_wait(error.retry_after_s, QUOTA_LONGEST_S)
        return max(QUOTA_S, wait_s or 0.0)
    default_s = _COOLING_S.get(error.kind)
    if default_s is None:
        return None
    wait_s = clamp_wait(error.retry_after_s, longest_s)
    if wait_s is None:
        return _RAMP_S if error.code == "slow_down" else default_s
    return wait_s


def is_passing(error: ProviderError) -> bool:
    """Whether the same request may well be served in a moment, though nobody says so."""
    return error.kind in _PASSING and error.status in _PASSING_STATUS and error.code not in _LASTING_CODES


def backoff_s(retries: int, chance: float) -> float:
    """Full jitter: anything up to a bound that doubles. `retries`: made before; `chance`: in [0, 1)."""
    return chance * min(LONGEST_S, BASE_S * 2.0 ** min(retries, 16))


def wait_before(
    error: ProviderError, *, attempts: int, retries: int, left_s: float, longest_s: float, chance: float
) -> float | None:
    """How long to wait before the target that gave this error is tried again; None: it is not.

    Asked only where no other key and no other target is left. `attempts` were made so far, `retries` of them after a
    wait; `left_s` is what is left of the request's time, `longest_s` how long it may wait for a provider.

    A provider's own wish is the least wait, and is followed once: who asks for more than `longest_s`, or a second time,
    is not waited for.
    """
    if fallback_class(error.kind) is None or error.kind in ("quota", "authentication", "permission", "not_found"):
        return None
    asked_s = error.retry_after_s
    if asked_s is not None:
        if retries or clamp_wait(asked_s, longest_s) != asked_s:
            return None
        wait_s = asked_s + chance * min(SPREAD_S, SPREAD * asked_s)
    elif attempts < TRIES and is_passing(error):
        wait_s = backoff_s(retries, chance)
    else:
        return None
    return wait_s if wait_s < left_s else None


class RetryBudget:
    """How many retries may be under way in this process: a share of the requests that are, and a few in any case.

    A request holds its place from the wait before its first retry until it ends, so that waits count too. `denied`
    counts requests that were not tried again for want of room.
    """

    def __init__(self, share: float = BUDGET_SHARE, least: int = BUDGET_LEAST) -> None:
        self.active = self.retrying = self.denied = 0
        self._share, self._least = share, least

    def share(self) -> Share:
        """The part of one more request, which counts from `with` on."""
        return Share(self)

    @property
    def has_room(self) -> bool:
        """Whether one more request may retry now."""
        return self.retrying < max(self._least, self._share * self.active)


class Share:
    """One request's part in the budget: `with` it, for as long as the request lasts."""

    def __init__(self, budget: RetryBudget | None = None) -> None:
        self._budget = budget
        self._holds = False

    def __enter__(self) -> Share:
        if self._budget is not None:
            self._budget.active += 1
        return self

    def __exit__(self, *_: object) -> None:
        if self._budget is not None:
            self._budget.active -= 1
            self._budget.retrying -= self._holds
            self._holds = False

    def take(self) -> bool:
        """Whether this request may retry. Once it may, it may again. Without a budget it always may."""
        budget = self._budget
        if budget is None or self._holds:
            return True
        if not budget.has_room:
            budget.denied += 1
            return False
        self._holds = True
        budget.retrying += 1
        return True
