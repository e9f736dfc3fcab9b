"""Every recorded exchange: what the gateway counts and charges, against the provider's own words and a second sum.

`costs.judge` says how each is judged; `docs/costs.md` has the outcome by provider, written by `make costs`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from acceptance.recorded import SHARED
from costs.__main__ import BEGIN, PAGE, page
from costs.judge import UNREAD, Verdict, judge, rows

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not SHARED.is_dir(), reason="AFTERBAY_SHARED names no folder with data/wire"),
]

EXCHANGES = 1178
UNREAD_APIS = (
    *("completions", "generate", "generation", "interactions", "invoke", "invokeStream"),
    *("native_chat", "native_generate", "rerank", "responses_compact", "text_complete"),
)
REASONS = {
    *(f"`{api}` is {UNREAD}" for api in UNREAD_APIS),
    f"an older protocol, {UNREAD}",
    "an error, which nobody bills",
    "it tells no usage: estimated, and marked",
    "its counts contradict each other: the dearer is charged, and marked",
    "lists, counts and moderations cost nothing",
    "no list has its price: refused under a budget of money, unless `price` is configured",
}
"""All that may keep an exchange from being exact: a new one must be looked at before it is added."""


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return [judge(row) for row in rows()]


def test_every_exchange_is_judged_and_none_is_wrong(verdicts: list[Verdict]) -> None:
    assert len(verdicts) == EXCHANGES
    assert [f"{one.provider} {one.id}: {one.wrong}" for one in verdicts if one.wrong] == []


def test_what_is_not_exact_is_listed_with_a_reason_that_is_known(verdicts: list[Verdict]) -> None:
    listed = [one for one in verdicts if one.how == "listed"]
    assert {one.reason for one in listed} == REASONS
    assert all(one.how in ("told", "counted", "listed") for one in verdicts)


def test_what_the_providers_with_a_list_answered_is_exact(verdicts: list[Verdict]) -> None:
    hows = Counter((one.provider, one.how) for one in verdicts)
    least = {"openai": 126, "anthropic": 143, "gemini": 106, "vertex": 40, "bedrock": 44, "mistral": 52, "groq": 44}
    assert {name: hows[name, "counted"] for name in least} == least
    told = {"openrouter": 60, "xai": 47, "perplexity": 14, "venice": 10, "copilot": 3}
    assert {name: hows[name, "told"] for name in told} == told


def test_most_of_what_is_told_is_what_the_list_says_too(verdicts: list[Verdict]) -> None:
    matches = Counter(
        (one.provider, one.matches_list) for one in verdicts if one.how == "told" and one.matches_list is not None
    )
    assert matches["openrouter", True] > 3 * matches["openrouter", False]
    assert matches["xai", True] > matches["xai", False]


def test_the_page_has_these_figures(verdicts: list[Verdict]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert BEGIN in text
    assert page(text, verdicts) == text, "make costs"
