"""What can never become a pair is told by the request and by the windows of the two models."""

from __future__ import annotations

import pytest

from afterbay.core.decision import Target
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Sampling
from afterbay.policy.comparable import LARGEST_BODY, is_comparable, is_plain
from afterbay.policy.filters import Ask
from afterbay.policy.kept_quality import Duel
from afterbay.policy.names import Found
from afterbay.policy.room import Fitting
from afterbay.testing.memory_gateway import alias, snapshot, target

LONG = ChatRequest("auto", tuple(Message(role, (Text("word " * 900),)) for role in ("user", "assistant", "user") * 3))


@pytest.mark.parametrize(
    ("asked", "size", "plain"),
    [
        (ChatRequest("auto", ()), 100, True),
        (ChatRequest("auto", (), sampling=Sampling(n=1)), LARGEST_BODY, True),
        (ChatRequest("auto", (), sampling=Sampling(n=2)), 100, False),
        (ChatRequest("auto", (), foreign=("web_search_options",)), 100, False),
        (ChatRequest("auto", ()), LARGEST_BODY + 1, False),
    ],
)
def test_one_choice_any_model_can_give_and_a_body_that_can_be_held(asked: ChatRequest, size: int, plain: bool) -> None:
    assert is_plain(asked, size) is plain


@pytest.mark.parametrize(
    ("windows", "comparable"),
    [
        ({}, True),
        ({"other": 4_000}, True),
        ({"small": 4_000}, False),
        ({"small-2": 4_000}, False),
        ({"large": 4_000}, False),
    ],
)
def test_a_window_of_any_deployment_of_the_two_decides(windows: dict[str, int], comparable: bool) -> None:
    def at(name: str) -> Target:
        return target(f"p/{name}", context_tokens=windows.get(name, 100_000))

    plan = snapshot(
        alias("small", at("small"), at("small-2")), alias("large", at("large")), alias("other", at("other"))
    )
    ask = Ask("auto", Found(), "openai.chat", fitting=Fitting(LONG, "trim_oldest"))
    assert is_comparable(ask, Duel("small", "large"), plan) is comparable
    unplain = Ask("auto", Found(), "openai.chat", fitting=ask.fitting, is_plain=False)
    assert not is_comparable(unplain, Duel("small", "large"), plan)
    assert is_comparable(Ask("auto", Found(), "openai.chat"), Duel("small", "large"), plan), "nothing is trimmed"
