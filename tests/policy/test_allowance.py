"""Which allowances hold for which accounts."""

from __future__ import annotations

import pytest

from afterbay.policy.allowance import Allowance, Period, Rule, allowances_of, per

ACCOUNTS = ("organisation:o1", "team:t1", "key:k1", "model:gpt", "tag:project=a", "tag:projects=b")


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("key", ["key:k1"]),
        ("team", ["team:t1"]),
        ("user", []),
        ("model", ["model:gpt"]),
        ("tag:project", ["tag:project=a"]),
        ("tag:proj", []),
    ],
)
def test_a_rule_holds_for_each_account_of_its_scope(scope: str, found: list[str]) -> None:
    rule = Rule("policies.budgets.x", scope, "picousd", "month", 7, "downgrade")
    expected = [Allowance(one, "picousd", "month", 7, "downgrade", "policies.budgets.x") for one in found]
    assert allowances_of([rule], ACCOUNTS) == expected


def test_every_rule_holds() -> None:
    rules = [Rule("a", "key", "requests", "minute", 5), Rule("b", "key", "picousd", "day", 6)]
    assert [one.name for one in allowances_of(rules, ACCOUNTS)] == ["a", "b"]


@pytest.mark.parametrize(("period", "said"), [("minute", "a minute"), ("month", "a month"), ("total", "in total")])
def test_people_are_told_the_period(period: Period, said: str) -> None:
    assert per(period) == said
