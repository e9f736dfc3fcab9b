"""Token usage in disjoint buckets, and money as integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

TOKENS = 100_000_000
"""No answer has so many tokens in one bucket: a count above it is a provider's mistake, or worse."""

MOST_USD = 10_000
"""Nor does one cost more dollars."""

DAY_S = 86_400

Kind: TypeAlias = Literal[
    "cache_write_1h",
    "audio_input",
    "image_input",
    "video_input",
    "audio_cached",
    "image_cached",
    "audio_output",
    "image_output",
    "unbilled_input",
    "unbilled_output",
    "search",
    "file_search",
]
"""What may have a price of its own. A `search` is one of the web, a `file_search` one of uploaded files; all others
are tokens inside a bucket."""

_BUCKET: Mapping[str, str] = MappingProxyType(
    {
        "cache_write_1h": "cache_write",
        "audio_input": "input",
        "image_input": "input",
        "video_input": "input",
        "audio_cached": "cached_input",
        "image_cached": "cached_input",
        "audio_output": "output",
        "image_output": "output",
        "unbilled_input": "input",
        "unbilled_output": "output",
    }
)
"""Whose price the tokens of a kind have where they have none of their own."""

_UNBILLED = frozenset({"unbilled_input", "unbilled_output"})


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer. The buckets are disjoint: the total is their sum, nothing is counted twice.

    `input_tokens` is what was read at the full price (without cache reads and writes), `output_tokens` is what was
    written without reasoning. `estimated` marks counts, and the cost of them, that are not the provider's word alone:
    it sent none and the gateway counted, or it contradicts itself, or served in a way whose price is not known.

    The rest is for the price, and is not stored. `parts` says how many of these tokens are of a kind that may have
    another price. `service` is the tier that the provider says it served from, empty for the usual one.
    `told_picousd` is the cost that the provider itself tells. `stray` is by how many tokens its own total is larger
    than its counts together (negative: smaller), or a whole than its parts: not 0 where it contradicts itself.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    parts: tuple[tuple[Kind, int], ...] = ()
    service: str = ""
    told_picousd: int | None = None
    stray: int = 0

    @property
    def is_plausible(self) -> bool:
        """Whether an answer can have used that much: what is not may neither be billed nor stored."""
        return all(0 <= count <= TOKENS for count in (*self.buckets, *(count for _, count in self.parts)))

    @property
    def buckets(self) -> tuple[int, int, int, int, int]:
        """The counts alone: input, cache reads, cache writes, output, reasoning."""
        read = (self.input_tokens, self.cached_input_tokens, self.cache_write_tokens)
        return (*read, self.output_tokens, self.reasoning_tokens)

    @property
    def total_input(self) -> int:
        """All input, cached or not."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    @property
    def total_output(self) -> int:
        """All output, reasoning included."""
        return self.output_tokens + self.reasoning_tokens

    @property
    def total(self) -> int:
        """All tokens."""
        return self.total_input + self.total_output


class Price(msgspec.Struct, frozen=True):
    """Prices in picodollars (1e-12 USD) a token, so that $0.000001 per million is still an integer.

    `tiers` are (tokens, price), rising: an answer whose whole input is above that many tokens is billed, all of it,
    at that price. This is how Anthropic, Google, OpenAI and xAI bill long prompts. `kinds` are the prices of what
    differs from its bucket, `services` those of other tiers of service; `request` is what each answer costs besides.

    `dates` are (UTC seconds, price), rising: the prices that hold from then on. `hours` are (second of the UTC day,
    price), rising, of a price that changes with the hour; the price that has them is the dearest of the day.
    """

    input: int
    output: int
    cached_input: int
    cache_write: int
    tiers: tuple[tuple[int, Price], ...] = ()
    kinds: tuple[tuple[Kind, int], ...] = ()
    services: tuple[tuple[str, Price], ...] = ()
    request: int = 0
    dates: tuple[tuple[int, Price], ...] = ()
    hours: tuple[tuple[int, Price], ...] = ()

    def at(self, moment: float) -> Price:
        """The price in force at a moment (UTC seconds)."""
        price = self
        for since, later in self.dates:
            if moment >= since:
                price = later
        chosen, second = price, moment % DAY_S
        for since, other in price.hours:
            if second >= since:
                chosen = other
        return chosen

    def tier(self, input_tokens: int) -> Price:
        """The price of an answer whose whole input is so long."""
        price = self
        for above, tier in self.tiers:
            if input_tokens > above:
                price = tier
        return price

    def dearest(self) -> Price:
        """The most that any tier of service costs, rate by rate."""
        every = (self, *(other for _, other in self.services))
        steps = sorted({above for one in every for above, _ in one.tiers})
        tiers = tuple((above, _most([one.tier(above + 1) for one in every])) for above in steps)
        return msgspec.structs.replace(_most(every), tiers=tiers)

    def serves(self, service: str) -> bool:
        """Whether the price of a tier of service is known. The usual one (empty) always is."""
        return not service or any(name == service for name, _ in self.services)

    def cost_picousd(self, usage: Usage) -> int:
        """Cost of one answer in picodollars; reasoning is billed as output. A tier of service that is not known costs
        as usual."""
        price = self
        if usage.service and self.services:
            price = next((other for name, other in self.services if name == usage.service), self)
        if price.tiers:
            price = price.tier(usage.total_input)
        cost = (
            usage.input_tokens * price.input
            + usage.cached_input_tokens * price.cached_input
            + usage.cache_write_tokens * price.cache_write
            + (usage.output_tokens + usage.reasoning_tokens) * price.output
            + price.request
        )
        return max(cost + price._apart(usage), 0) if usage.parts else cost

    def _apart(self, usage: Usage) -> int:
        """What the kinds of these tokens cost more, or less, than their buckets."""
        own = dict(self.kinds)
        more = 0
        for kind, count in usage.parts:
            bucket: int = getattr(self, _BUCKET[kind]) if kind in _BUCKET else 0
            more += count * ((0 if kind in _UNBILLED else own.get(kind, bucket)) - bucket)
        return more


def _most(prices: Sequence[Price]) -> Price:
    """A price of which each rate is the highest of these."""
    return Price(
        max(one.input for one in prices),
        max(one.output for one in prices),
        max(one.cached_input for one in prices),
        max(one.cache_write for one in prices),
        request=max(one.request for one in prices),
    )


def nested(
    prompt: int,
    completion: int,
    *,
    cached: int = 0,
    written: int = 0,
    reasoning: int = 0,
    total: int | None = None,
    parts: tuple[tuple[Kind, int], ...] = (),
) -> Usage:
    """The buckets of counts that lie inside each other, as OpenAI's do: caches in the prompt, reasoning in the
    completion. `total` is the provider's own sum, and tells where they stand beside instead.

    What it has beyond the counts and nothing explains is billed as output, the dearest that it can be; caches that
    are larger than the prompt that holds them are not believed. Both are told as `stray`.
    """
    stray, beside, caches = 0, 0, cached + written
    gap = 0 if total is None else total - prompt - completion
    if gap and gap == reasoning:
        beside = gap
    elif gap and gap in (caches, caches + reasoning):
        prompt, beside = prompt + caches, gap - caches
    elif gap:
        stray, beside = gap, max(gap, 0)
    elif total is None and caches > prompt:  # nothing speaks for their being inside
        stray, prompt = prompt - caches, prompt + caches
    whole, reasoning = completion + beside, max(reasoning, beside)
    if reasoning > whole:
        stray, reasoning = stray or whole - reasoning, whole
    if caches > prompt:
        stray, cached, written = stray or prompt - caches, 0, 0
    full = prompt - cached - written
    bounds = {"input": full, "cached_input": cached, "cache_write": written, "output": whole}
    kept = tuple((kind, min(n, bounds.get(_BUCKET.get(kind, ""), n))) for kind, n in parts if n > 0)
    return Usage(full, cached, written, whole - reasoning, reasoning, parts=kept, stray=stray)


def told_picousd(usd: object) -> int | None:
    """A provider's word for what an answer cost; None where it says nothing that can be. A cost of nothing says
    nothing: providers write 0 where somebody else sends the bill."""
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 < usd <= MOST_USD:
        return None
    return picousd(usd) or None


def picousd(usd: float | Decimal) -> int:
    """Dollars as whole picodollars. A float is taken for the decimal number that it is written as."""
    return int(Decimal(str(usd)).scaleb(12))


def dollars(amount: int) -> str:
    """Picodollars as text for people: to three significant digits, and to a cent at least."""
    usd = Decimal(amount).scaleb(-12)
    whole, _, places = f"{usd:.{max(2, 2 - usd.adjusted()) if usd else 2}f}".partition(".")
    return f"${whole}.{places[:2]}{places[2:].rstrip('0')}"


def microusd(picousd: int) -> int:
    """Picodollars rounded up to whole microdollars: a cost is never shown as less than it is."""
    return -(-picousd // 1_000_000)
