"""What happens to one request: drawn from the profile, then changed by the directives in its prompt.

Pure: the same profile, provider and number give the same plan. Faults are drawn each for itself, so raising one rate
leaves the others where they were; where several fall on one request the earliest in its life shows.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from afterbay.core.chance import draw
from afterbay.emulate.profile import CutHow, Profile

Body: TypeAlias = Literal["proper", "html", "blank", "redirect", "no_content"]
Lines: TypeAlias = Literal["lf", "crlf", "cr", "bom", "tight"]


class Plan(msgspec.Struct, frozen=True):
    """The fate of one request. `*_at` is the number of pieces of output before it happens; None: it does not.

    `gap_s` replaces the profile's time between tokens. Times are in seconds. The fields from `reason` on are for orders
    only (see `directives`): `reason` is why an error is one, `wait_text` its `retry-after` in full, `content_type` the
    stream's (empty: it has none), `usage_as` how the usage is told, `lines` how lines end.
    """

    refuse: bool = False
    hang_s: float = 0.0
    headers_s: float = 0.0
    ttft_s: float = 0.0
    gap_s: float | None = None
    status: int | None = None
    retry_after_s: float | None = None
    body: Body = "proper"
    empty: bool = False
    no_usage: bool = False
    output_tokens: int | None = None
    cut_at: int | None = None
    cut_how: CutHow = "reset"
    stall_at: int | None = None
    stall_s: float = 0.0
    stall_pings: bool = False
    malformed_at: int | None = None
    error_at: int | None = None
    reason: str = ""
    wait_text: str | None = None
    content_type: str | None = None
    model: str | None = None
    filtered: bool = False
    usage_as: Literal["right", "negative", "huge"] = "right"
    lines: Lines = "lf"
    twice_at: int | None = None
    unknown_at: int | None = None
    comment_at: int | None = None
    huge_at: int | None = None
    huge_bytes: int = 0
    interleave: bool = False
    after_end: bool = False
    no_terminal: bool = False

    def faults(self) -> tuple[str, ...]:
        """Names of the faults in it, for statistics."""
        named = {
            "refuse": self.refuse,
            "hang": self.hang_s > 0,
            "status": self.status is not None,
            "html": self.body == "html",
            "blank": self.body == "blank",
            "redirect": self.body == "redirect",
            "no_content": self.body == "no_content",
            "empty": self.empty,
            "cut": self.cut_at is not None,
            "stall": self.stall_at is not None,
            "malformed": self.malformed_at is not None,
            "error-in-stream": self.error_at is not None,
        }
        return tuple(name for name, is_there in named.items() if is_there)


WAITING_STATUSES = frozenset({429, 503, 529})
"""Statuses that may say how long to wait."""


class Draws:
    """The draws of one request, by purpose."""

    __slots__ = ("_purpose", "_request", "_seed")

    def __init__(self, profile: Profile, provider: str, number: int) -> None:
        self._seed, self._purpose, self._request = profile.seed, f"emulate/{provider}", str(number)

    def __call__(self, purpose: str, attempt: int = 0) -> float:
        return draw(self._seed, f"{self._purpose}/{purpose}", self._request, attempt)


def decide(profile: Profile, draws: Draws) -> Plan:
    """The plan of a request whose prompt says nothing about it."""

    def falls(purpose: str, rate: float) -> bool:
        return draws(purpose) < rate

    status = retry_after_s = None
    if falls("error", profile.error_rate):
        status = profile.error_statuses[int(draws("status") * len(profile.error_statuses))]
        if profile.retry_after is not None and status in WAITING_STATUSES:
            retry_after_s = profile.retry_after.draw_s(draws("retry_after"))
    html, blank = falls("html", profile.html_rate), falls("blank", profile.blank_rate)
    return Plan(
        refuse=profile.refuse_connections,
        hang_s=profile.hang_for.draw_s(draws("hang_for")) if falls("hang", profile.hang_rate) else 0.0,
        headers_s=profile.slow_headers.draw_s(draws("slow_headers")),
        ttft_s=profile.ttft.draw_s(draws("ttft")),
        status=status,
        retry_after_s=retry_after_s,
        body="html" if html else "blank" if blank else "proper",
        empty=falls("empty", profile.empty_rate),
        no_usage=falls("no_usage", profile.no_usage_rate),
        output_tokens=profile.output_tokens,
        cut_at=profile.cut_after if falls("cut", profile.cut_rate) else None,
        cut_how=profile.cut_how,
        stall_at=profile.stall_after if falls("stall", profile.stall_rate) else None,
        stall_s=profile.stall_for.draw_s(draws("stall_for")),
        stall_pings=profile.stall_pings,
        malformed_at=profile.malformed_after if falls("malformed", profile.malformed_rate) else None,
        error_at=profile.error_in_stream_after if falls("error_in_stream", profile.error_in_stream_rate) else None,
    )


def gap_s(profile: Profile, plan: Plan, draws: Draws, piece: int) -> float:
    """Seconds before output piece number `piece`; the first one waits for the first token instead."""
    if piece == 0:
        return plan.ttft_s
    return plan.gap_s if plan.gap_s is not None else profile.between_tokens.draw_s(draws("between_tokens", piece))
