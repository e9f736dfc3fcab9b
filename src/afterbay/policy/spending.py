"""What an attempt may cost, before it is made. Pure arithmetic in picodollars.

An answer's length is not known before it is there, so there are two figures. The least that an attempt costs: its input
and a short answer; a target for which there is less is not asked. And the most: its input, estimated too high, and the
longest answer it may give. Where that is more than what is left, the answer is limited to what the rest buys.

Why not refuse whatever may cost too much: agents ask for up to 64,000 tokens and use some hundred, so nearly all that
a limit refused would have been within it. OpenRouter refuses so (402, "requested up to 65536 tokens, but can only
afford 30104"), and the trackers of its clients are full of it (can1357/oh-my-pi#9569, QwenLM/qwen-code#73).
"""

from __future__ import annotations

import msgspec

from afterbay.core.usage import Price

LEAST_OUTPUT = 256
"""Tokens of a short answer. What buys less is not worth the input."""

MEDIA_TOKENS = 1_600
"""An image counts as much, and so does any other medium: Anthropic's largest image (vision guide). OpenAI's and
Google's tiles come to less for most; pages of documents and audio may come to more."""

MARGIN_PERCENT = 25
"""Estimates of tokens are right within a fifth (`docs/benchmarks.md`); a quarter is set aside for the input."""

SURE_OUTPUT = 32_768
"""A limit above it is not sent to a model whose longest answer is not known: it may be refused as too long, and next
to no answer has so many tokens."""


class Need(msgspec.Struct, frozen=True):
    """What a request asks of a model, as far as it costs.

    `input_tokens`: estimated. `asked`: the most output that the client wants, of each of `choices`; None: it does not
    say. `thinking`: tokens of it that are for reasoning. `writes`: whether there is output at all.
    """

    input_tokens: int
    asked: int | None = None
    thinking: int = 0
    choices: int = 1
    writes: bool = True

    @property
    def least_output(self) -> int:
        """Tokens without which an answer is of no use."""
        if not self.writes:
            return 0
        least = self.thinking + LEAST_OUTPUT
        return least if self.asked is None else min(least, self.asked)


ROOM_FOR_ANSWER = 4_096
"""Tokens of an answer that is not cut short for want of money while there is enough for it."""


class Bill(msgspec.Struct, frozen=True):
    """What one attempt at one target may cost: its input alone, with a short answer, with one of usual length, and with
    the longest."""

    read: int
    least: int
    usual: int
    worst: int


class Rates(msgspec.Struct, frozen=True):
    """What makes up the cost of an attempt: reading, what is set aside for that, and each token that is written."""

    read: int
    aside: int
    each: int


def rates_of(price: Price, need: Need) -> Rates:
    """The rates of a price for such a request."""
    read = input_cost(price, need)
    return Rates(read, _with_margin(read), _output_price(price, need))


def worst_together(worst: int, read: int, several: int) -> int:
    """The most that a request costs whose attempts cost `worst`, `several` of them at once.

    Twice its input is beside: what is given up has been read all the same.
    """
    return worst * several + 2 * read


def bill_of(price: Price, need: Need, max_output: int | None, context_tokens: int | None) -> Bill:
    """What an attempt may cost; an answer whose length nobody knows has as many tokens as is sure."""
    rates = rates_of(price, need)
    read, aside, each = rates.read, rates.aside, rates.each
    longest = longest_output(need, max_output, context_tokens) or SURE_OUTPUT + 1
    if not need.writes:
        longest = 0
    least = read + need.least_output * each
    return Bill(read, least, aside + min(longest, ROOM_FOR_ANSWER) * each, aside + longest * each)


def input_cost(price: Price, need: Need) -> int:
    """What reading costs, at the full price: what a provider's cache holds of it is not known before."""
    return need.input_tokens * price.tier(need.input_tokens).input


def least_cost(price: Price, need: Need) -> int:
    """What an attempt costs at least."""
    return input_cost(price, need) + need.least_output * _output_price(price, need)


def most_cost(price: Price, need: Need, output_tokens: int) -> int:
    """What an attempt costs at most that gives up to `output_tokens`."""
    return _input_set_aside(price, need) + output_tokens * _output_price(price, need)


def output_for(price: Price, need: Need, rest: int) -> int | None:
    """How many tokens each choice may have for `rest`, and at least the least; None: output costs nothing."""
    each = _output_price(price, need)
    if each == 0 or not need.writes:
        return None
    return max((rest - _input_set_aside(price, need)) // each, need.least_output)


def longest_output(need: Need, max_output: int | None, context_tokens: int | None) -> int | None:
    """The longest answer that a model gives to this; None: nobody knows."""
    bounds = [need.asked, max_output]
    if context_tokens is not None:
        bounds.append(max(context_tokens - need.input_tokens, need.least_output))
    return min((one for one in bounds if one is not None), default=None)


def _input_set_aside(price: Price, need: Need) -> int:
    return _with_margin(input_cost(price, need))


def _with_margin(cost: int) -> int:
    return -(-cost * (100 + MARGIN_PERCENT) // 100)


def _output_price(price: Price, need: Need) -> int:
    """Of a token in every choice; long prompts make output dearer, too."""
    return price.tier(need.input_tokens).output * need.choices
