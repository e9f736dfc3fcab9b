"""`policies.budgets`: from what an operator writes to one rule for each unit."""

from __future__ import annotations

from afterbay.config.load import Document
from afterbay.config.problem import Problem, child, did_you_mean
from afterbay.config.schema import BudgetConfig
from afterbay.core.usage import picousd
from afterbay.policy.allowance import KEPT_SCOPES, SCOPES, TAG, Rule, Unit


def budget_rules(document: Document, problems: list[Problem]) -> tuple[Rule, ...]:
    """The rules of all budgets; what cannot be meant is added to `problems`."""
    found: list[Rule] = []
    for name, budget in document.config.policies.budgets.items():
        path = child("policies.budgets", name)
        _check_scope(document, path, budget, problems)
        amounts = _amounts(budget)
        if not amounts:
            remedy = "Give usd, requests or tokens: `usd: 100`."
            problems.append(document.problem(path, "it limits nothing", "usd, requests or tokens", remedy))
        found += [
            Rule(path, budget.scope, unit, budget.per, limit, budget.on_exceeded) for unit, limit in amounts.items()
        ]
    return tuple(found)


def _amounts(budget: BudgetConfig) -> dict[Unit, int]:
    amounts: dict[Unit, int] = {}
    if budget.usd is not None:
        amounts["picousd"] = picousd(budget.usd)
    if budget.requests is not None:
        amounts["requests"] = budget.requests
    if budget.tokens is not None:
        amounts["tokens"] = budget.tokens
    return amounts


def _check_scope(document: Document, path: str, budget: BudgetConfig, problems: list[Problem]) -> None:
    scope = budget.scope
    if budget.per == "total" and scope not in KEPT_SCOPES and (scope in SCOPES or scope.startswith(TAG)):
        wanted, remedy = ", ".join(KEPT_SCOPES), "Give a day or a month, or the scope of a key or its owners."
        problems.append(document.problem(f"{path}.per", f"no total is kept of each {scope}", wanted, remedy))
        return
    if scope in SCOPES or (scope.startswith(TAG) and scope[len(TAG) :] and "=" not in scope):
        return
    wanted = f"{', '.join(SCOPES)} or tag:NAME"
    hint = did_you_mean(scope, SCOPES) or f"Known here: {wanted}."
    problems.append(document.problem(f"{path}.scope", f"there is no scope `{scope}`", wanted, hint))
