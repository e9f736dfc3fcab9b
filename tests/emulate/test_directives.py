"""Orders in the prompt."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.emulate.directives import obey, without_orders
from afterbay.emulate.plan import Plan


@pytest.mark.parametrize(
    ("order", "changes"),
    [
        ("[[status 429]]", {"status": 429}),
        ("[[status 429 retry-after 2.5]]", {"status": 429, "retry_after_s": 2.5}),
        ("[[refuse]]", {"refuse": True}),
        ("[[hang]]", {"hang_s": 600.0}),
        ("[[hang 5s]]", {"hang_s": 5.0}),
        ("[[headers 2s]]", {"headers_s": 2.0}),
        ("[[ttft 1s]]", {"ttft_s": 1.0}),
        ("[[slow 300ms]]", {"gap_s": 0.3}),
        ("[[html]]", {"body": "html"}),
        ("[[blank]]", {"body": "blank"}),
        ("[[empty]]", {"empty": True}),
        ("[[no-usage]]", {"no_usage": True}),
        ("[[cut 5]]", {"cut_at": 5, "cut_how": "reset"}),
        ("[[cut 0 eof]]", {"cut_at": 0, "cut_how": "eof"}),
        ("[[stall 3]]", {"stall_at": 3, "stall_s": 600.0}),
        ("[[stall 3 2s pings]]", {"stall_at": 3, "stall_s": 2.0, "stall_pings": True}),
        ("[[malformed 2]]", {"malformed_at": 2}),
        ("[[error 3]]", {"error_at": 3}),
        ("[[cut 4 half]]", {"cut_at": 4, "cut_how": "half"}),
        ("[[status 401 key]]", {"status": 401, "reason": "key"}),
        ("[[status 429 quota retry-after 2]]", {"status": 429, "reason": "quota", "retry_after_s": 2.0}),
        ("[[retry-after Wed, 21 Oct 2015 07:28:00 GMT]]", {"wait_text": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        ("[[redirect]]", {"body": "redirect"}),
        ("[[no-content]]", {"body": "no_content"}),
        ("[[filter]]", {"filtered": True}),
        ("[[model another-one]]", {"model": "another-one"}),
        ("[[type]]", {"content_type": ""}),
        ("[[type text/plain]]", {"content_type": "text/plain"}),
        ("[[usage huge]]", {"usage_as": "huge"}),
        ("[[lines cr]]", {"lines": "cr"}),
        ("[[twice 3]]", {"twice_at": 3}),
        ("[[unknown 0]]", {"unknown_at": 0}),
        ("[[comment 1]]", {"comment_at": 1}),
        ("[[huge 3 2000]]", {"huge_at": 3, "huge_bytes": 2000}),
        ("[[interleave]]", {"interleave": True}),
        ("[[after-end]]", {"after_end": True}),
        ("[[no-terminal]]", {"no_terminal": True}),
        ("[[tokens 50]]", {"output_tokens": 50}),
        ("please [[slow 1s]] and [[cut 2]] it", {"gap_s": 1.0, "cut_at": 2}),
        ("[[openai: cut 5]]", {"cut_at": 5}),
        ("[[emu-a: cut 5]]", {"cut_at": 5}),
        ("[[anthropic: cut 5]]", {}),
        ("a [[link]] and [[Another page]]", {}),
    ],
)
def test_orders_change_the_plan(order: str, changes: dict[str, Any]) -> None:
    assert obey(order, Plan(), ("openai", "emu-a")).plan == Plan(**changes)


@pytest.mark.parametrize(
    "order",
    ["[[status]]", "[[status 200]]", "[[status x]]", "[[status 429 after 2]]", "[[cut]]", "[[cut 3 gently]]",
     "[[cut -1]]", "[[slow]]", "[[slow fast]]", "[[stall 1 2s 3s]]", "[[html now]]", "[[tokens 2 3]]"],
)  # fmt: skip
def test_a_wrong_order_is_the_clients_mistake_and_says_the_form(order: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        obey(order, Plan(), ())
    assert order[:5] in caught.value.text()
    assert "Write it as [[" in caught.value.text()


def test_orders_are_not_part_of_the_prompt() -> None:
    assert without_orders("Hello [[cut 3]] there [[wiki]]") == "Hello  there [[wiki]]"
    orders = obey("[[call find]] [[say one two]]", Plan(), ())
    assert (orders.calls, orders.say) == (("find",), "one two")
