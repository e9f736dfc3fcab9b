"""What a request is charged: the provider's own word, the price of the moment, and the mark of what is not sure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, OPENAI, gateway, serve

from afterbay.core.usage import Price
from afterbay.testing.answers import JSON
from afterbay.testing.fakes import Script
from afterbay.testing.memory_gateway import NOON_S, PRICE

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
LISTED = 120_000_000
"""What that costs by the list, in picodollars."""


def answer(stream: bool, usage: dict[str, Any], **fields: Any) -> Script:
    """A provider's answer with this usage."""
    said = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": said}
    body = msgspec.json.encode({"id": "c", "model": "up", "choices": [choice], "usage": usage, **fields})
    if not stream:
        return Script(steps=(body,), headers=JSON)
    return Script(
        steps=(b"data: " + body + b"\n\n", b"data: [DONE]\n\n"), headers={"content-type": "text/event-stream"}
    )


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("usage", "more", "fields", "cost", "estimated"),
    [
        (USAGE, {}, {}, LISTED, False),
        (USAGE | {"cost": 0.001}, {}, {}, LISTED, False),
        (USAGE | {"cost": 0.001}, {}, {"tells_cost": True}, 1_000_000_000, False),
        (USAGE | {"cost": 0.001}, {}, {"price": None}, 1_000_000_000, False),
        (USAGE, {}, {"price": None}, None, False),
        (USAGE | {"total_tokens": 130}, {}, {}, LISTED + 40_000_000, True),
        (USAGE | {"total_tokens": 130, "cost": 0.001}, {}, {"tells_cost": True}, 1_000_000_000, False),
        (USAGE, {"service_tier": "priority"}, {}, LISTED, True),
        (USAGE, {"service_tier": "default"}, {}, LISTED, False),
    ],
)
def test_a_request_costs_what_its_provider_tells_or_its_list_and_what_is_not_sure_is_marked(
    client: str,
    stream: bool,
    usage: dict[str, Any],
    more: dict[str, Any],
    fields: dict[str, Any],
    cost: int | None,
    estimated: bool,
) -> None:
    one = gateway([answer(stream, usage, **more)], **fields)
    assert serve(one, client, stream=stream).status == 200
    record = one.record
    assert record.usage is not None
    assert (record.cost_picousd, record.usage.estimated) == (cost, estimated)
    assert record.attempts[0].cost_picousd == cost


def test_the_price_is_the_one_that_holds_when_the_request_comes_in() -> None:
    changed = msgspec.structs.replace(PRICE, dates=((int(NOON_S) - 5, Price(1, 1, 1, 1)), (int(NOON_S) + 9_999, PRICE)))
    one = gateway([answer(False, USAGE)], price=changed)
    reply = serve(one, stream=False)
    assert one.record.cost_picousd == 110
    assert reply.headers["x-afterbay-cost-usd"] == "0.000001", "shown rounded up"
