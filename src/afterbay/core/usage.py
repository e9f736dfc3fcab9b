"""Token usage in disjoint buckets, and money as integers."""

from __future__ import annotations

from decimal import Decimal

import msgspec

TOKENS = 100_000_000
"""No answer has so many tokens in one bucket: a count above it is a provider's mistake, or worse."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer. The buckets are disjoint: the total is their sum, nothing is counted twice.

    `input_tokens` is what was read at the full price (without cache reads and writes), `output_tokens` is what was
    written without reasoning. `estimated` says that the provider sent no count and the gateway counted itself.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    @property
    def is_plausible(self) -> bool:
        """Whether an answer can have used that much: what is not may neither be billed nor stored."""
        counts = (self.input_tokens, self.cached_input_tokens, self.cache_write_tokens)
        return all(0 <= count <= TOKENS for count in (*counts, self.output_tokens, self.reasoning_tokens))

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
    at that price. This is how Anthropic, Google, OpenAI and xAI bill long prompts.
    """

    input: int
    output: int
    cached_input: int
    cache_write: int
    tiers: tuple[tuple[int, Price], ...] = ()

    def tier(self, input_tokens: int) -> Price:
        """The price of an answer whose whole input is so long."""
        price = self
        for above, tier in self.tiers:
            if input_tokens > above:
                price = tier
        return price

    def cost_picousd(self, usage: Usage) -> int:
        """Cost of one answer in picodollars; reasoning is billed as output."""
        price = self.tier(usage.total_input) if self.tiers else self
        return (
            usage.input_tokens * price.input
            + usage.cached_input_tokens * price.cached_input
            + usage.cache_write_tokens * price.cache_write
            + (usage.output_tokens + usage.reasoning_tokens) * price.output
        )


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
