"""What answers say of their price, in whatever protocol: what they cost, which tier served them, what was searched.

Sources, November 2026: openrouter.ai/docs, "Usage accounting"; docs.perplexity.ai, Sonar's `usage.cost`; docs.x.ai,
`cost_in_usd_ticks`; and the recordings, which add Venice's `cost` beside the usage and Copilot's `copilot_usage`, in
billionths of a credit of one cent. Every field is read as whatever it is: a host that writes something else there must
not spoil an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from afterbay.core.usage import MOST_USD, Kind, Usage, told_picousd

TICK_PICOUSD = 100
"""xAI's tick is a ten-billionth of a dollar."""
NANO_CREDIT_PICOUSD = 10
"""A billionth of Copilot's credit, which is a cent."""
SERVICE_CHARS = 40

_USUAL = frozenset({"auto", "default", "standard", "on_demand", "ON_DEMAND", "TRAFFIC_TYPE_UNSPECIFIED"})
"""Words for the tier that is billed at the plain price."""


class Bill(msgspec.Struct):
    """The fields of a usage object that are about money."""

    cost: Any = None
    cost_details: Any = None
    cost_in_usd_ticks: Any = None
    is_byok: Any = None
    server_tool_use_details: Any = None
    service_tier: Any = None


def told(bill: Bill, beside: object = None, credits_used: object = None) -> int | None:
    """The cost in picodollars that the answer tells: OpenRouter's credits, which are dollars, and what its customer's
    own account at the provider is charged (`is_byok`); the total of Perplexity's object; xAI's ticks. `beside` and
    `credits_used` stand beside the usage: Venice's dollars, Copilot's credits."""
    if bill.cost is bill.cost_in_usd_ticks is beside is credits_used is None:
        return None
    if type(bill.cost_in_usd_ticks) is int:
        return _counted(bill.cost_in_usd_ticks, TICK_PICOUSD)
    if isinstance(credits_used, dict):
        return _counted(credits_used.get("total_nano_aiu"), NANO_CREDIT_PICOUSD)
    if bill.cost is None and isinstance(beside, dict):
        return told_picousd(beside.get("usd"))
    cost = told_picousd(bill.cost.get("total_cost") if isinstance(bill.cost, dict) else bill.cost)
    if bill.is_byok is True and isinstance(bill.cost_details, dict):
        return (cost or 0) + (told_picousd(bill.cost_details.get("upstream_inference_cost")) or 0) or None
    return cost


def _counted(units: object, picousd: int) -> int | None:
    """The cost of so many units; like `told_picousd`, nothing where it says nothing."""
    is_one = type(units) is int and 0 < units <= MOST_USD * 10**12 // picousd
    return units * picousd if is_one and isinstance(units, int) else None


def service_of(word: object) -> str:
    """The tier of service as price lists name it; empty for the usual one."""
    if not isinstance(word, str) or word in _USUAL:
        return ""
    name = word.lower().removeprefix("on_demand_")
    return name[:SERVICE_CHARS] if name.isprintable() else "unknown"


def kinds(found: Iterable[tuple[Kind, object]]) -> tuple[tuple[Kind, int], ...]:
    """Of the counts those that are numbers and not 0."""
    return tuple((kind, count) for kind, count in found if type(count) is int and count > 0)


def inside(found: object, name: str) -> object:
    """A field of what may be an object, and may be anything else."""
    return found.get(name) if isinstance(found, dict) else None


def searches(bill: Bill) -> object:
    """How often the host searched the web for the answer (OpenRouter)."""
    return inside(bill.server_tool_use_details, "web_search_requests")


def billed(counted: Usage, cost: int | None, service: str) -> Usage:
    """The counts with what the answer says of its price."""
    if cost is None and not service:
        return counted
    return msgspec.structs.replace(counted, told_picousd=cost, service=service)
