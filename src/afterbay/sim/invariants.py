"""What must hold for every simulated request, whatever happens to it. It costs little, and is always on."""

from __future__ import annotations

from collections.abc import Sequence

from afterbay.core.decision import Attempt, Target
from afterbay.policy.plan import Limits

SLACK_S = 1e-6


class InvariantBroken(AssertionError):
    """A request broke a rule. The message says which, and the attempts."""


def check(
    attempts: Sequence[Attempt],
    targets: Sequence[Target],
    limits: Limits,
    took_s: float,
    commits: int,
    running: int,
    is_good: bool,
) -> None:
    """Looks at a request that ended after `took_s`. `commits`: outputs that began to go to the client; `running`:
    attempts that nobody called off; `is_good`: its client has a whole answer.

    Raises:
        InvariantBroken: something is wrong.
    """
    broken = _broken(attempts, targets, limits, took_s, commits, running, is_good)
    if broken:
        raise InvariantBroken(f"{broken}; attempts: {list(attempts)}")


def _broken(
    attempts: Sequence[Attempt],
    targets: Sequence[Target],
    limits: Limits,
    took_s: float,
    commits: int,
    running: int,
    is_good: bool,
) -> str:
    if len(attempts) > limits.max_attempts:
        return f"{len(attempts)} attempts, max_attempts is {limits.max_attempts}"
    if took_s > limits.total_s + SLACK_S:
        return f"it took {took_s:g} s, total is {limits.total_s:g} s"
    if running:
        return f"{running} attempts still run"
    allowed = [target.id for target in targets]
    outputs = good = 0
    for number, attempt in enumerate(attempts):
        if attempt.number != number:
            return f"attempt {number} is numbered {attempt.number}"
        if attempt.target not in allowed:
            return f"attempt {number} is at {attempt.target}, which the decision does not have"
        if attempt.outcome is None or attempt.ended_s is None:
            return f"attempt {number} has no end"
        if attempt.started_s >= limits.total_s or attempt.ended_s < attempt.started_s - SLACK_S:
            return f"attempt {number} runs from {attempt.started_s:g} to {attempt.ended_s:g} s"
        if attempt.first_token_s is not None:
            outputs += 1
            if outputs > 1 and attempt.why != "resume":
                return f"attempt {number} gave output after another one, and is no resume"
        good += attempt.outcome == "ok"
    if outputs != commits:
        return f"{commits} outputs went to the client, {outputs} attempts say that they gave one"
    if good > 1 or (is_good and good != 1):
        return f"{good} attempts ended well"
    return ""
