"""Which targets may serve a request, and in which order.

First hard filters remove candidates: what the key may use, compliance and residency, features that a target lacks,
the size of the prompt. Only then the order is made: the pick, then the fallbacks. A fallback passes the same filters,
so no failure leads to a target that policy forbids. The order of `auto` comes from simple rules whose every threshold
is in the config. Equal deployments are balanced (`policy.balance`); last, health has its say (`policy.order`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TypeAlias

import msgspec

from afterbay.core.decision import Decision, Rejected, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.request import FEATURES
from afterbay.policy.balance import Here, balanced
from afterbay.policy.compliance import gap
from afterbay.policy.condition import Condition
from afterbay.policy.facts import Facts
from afterbay.policy.names import Found
from afterbay.policy.order import PANIC, arrange
from afterbay.policy.plan import Alias, Compliance, Plan, Route
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights

Cannot: TypeAlias = Mapping[str, Mapping[str, str]]
"""What each dialect cannot say: dialect -> feature -> reason."""

Draw: TypeAlias = Callable[[str], float]
"""purpose -> a number in [0, 1), the same for the same request and purpose."""

SOFT = frozenset({"reasoning", "parallel_tool_calls"})
"""Features whose absence does not remove a target: they are wishes about effort, dropped with a warning."""


CONTEXT = frozenset({"previous_response_id", "conversation", "prompt", "thread", "container", "cachedContent"})
"""Fields that stand for what the client does not send: without them an answer is to another question. They are not
dropped, whatever the route says."""


class Ask(msgspec.Struct, frozen=True):
    """What a request needs. `features` None: not looked at, since every target relays the client's own dialect.

    `unreadable`: why the body can be relayed only. `kept_by`: the one provider that keeps what the request continues.
    `prefix`: the beginning of a long prompt (`policy.balance.prefix_of`). `rights` and `wish` are the key's. `policies`
    hold beside the route's own (`policy.compliance.beside`). `at`: the moment that all are judged at, UTC seconds.
    """

    requested: str
    found: Found
    dialect: str
    features: frozenset[str] | None = None
    unreadable: ClientMistake | None = None
    input_tokens: int | None = None
    embeds: bool = False
    facts: Facts | None = None
    task: str | None = None
    rights: Rights = EVERYTHING
    policies: tuple[Compliance, ...] = ()
    kept_by: str = ""
    prefix: bytes = b""
    wish: Preference = NO_WISH
    at: float = 0.0


class NoCandidate(PolicyRefusal):
    """The filters left nobody. `rejected`: whom they removed, and why, for the record."""

    rejected: tuple[Rejected, ...] = ()


class World(msgspec.Struct, frozen=True):
    """What is known of the targets now: until when (monotonic seconds) one asked to be left alone, and how they do.

    `here`: where the gateway is; None: its configuration does not say.
    """

    cooling_until: Mapping[str, float]
    conditions: Mapping[str, Condition] = {}
    here: Here | None = None

    def is_well(self, target: str, now: float) -> bool:
        """Whether a target may be asked without need: it is not ejected, and did not ask to be left alone."""
        condition = self.conditions.get(target)
        return (condition is None or condition.state(now) == "closed") and self.cooling_until.get(target, 0.0) <= now


def route_of(plan: Plan, found: Found, defaults: Route) -> Route:
    """The route whose rules hold: the named one, or the defaults."""
    return found.route if found.route is not None else defaults


class _Filter:
    """The hard filters of one request. `rejected` grows with what they remove."""

    def __init__(self, ask: Ask, plan: Plan, route: Route, cannot: Cannot, order: Callable[[Alias], list[Target]]):
        self.rejected: list[Rejected] = []
        self._ask, self._plan, self._route, self._cannot, self._order = ask, plan, route, cannot, order
        self._seen: dict[str, list[Target]] = {}

    def targets(self, name: str) -> list[Target]:
        """The deployments of an alias that may serve, in the order in which they may be tried."""
        if name not in self._seen:
            alias = self._plan.aliases.get(name)
            if alias is None:
                self.rejected.append(Rejected(name, "not configured"))
            passed = [one for one in self._order(alias) if self.passes(one, name)] if alias else []
            self._seen[name] = passed
        return self._seen[name]

    def passes(self, target: Target, name: str) -> bool:
        """Whether a target may serve."""
        reason = _why_not(self._ask, self._route, target, name, self._cannot)
        if reason is not None:
            self.rejected.append(Rejected(target.id, reason))
        return reason is None


def decide(ask: Ask, plan: Plan, route: Route, cannot: Cannot, world: World, now: float, draw: Draw) -> Decision:
    """The order of targets for one request.

    `cannot`: what each dialect cannot say. `draw(purpose)` gives a number in [0, 1) that depends on nothing but the
    request and the purpose.

    Raises:
        ClientMistake: 400 `unsupported_field`: no target can honour a field of the request.
        NoCandidate: 403 `policy_no_candidate`: a policy removed every target; it names the filter.
    """
    passing = _Filter(ask, plan, route, cannot, lambda alias: _deployments(alias, world, now, draw, ask))
    found = ask.found
    chosen: dict[str, Target] = {}
    if found.target is not None:
        name, rule = "direct", "direct"
        if passing.passes(found.target, ask.requested):
            chosen[found.target.id] = found.target
    else:
        pick, rule = (found.alias.name, "alias") if found.alias is not None else pick_for(ask, plan, route, passing)
        name = found.alias.name if found.alias is not None else route.name
        for alias in (pick, *_chain(pick, found, plan, route)):
            for target in passing.targets(alias):
                chosen.setdefault(target.id, target)
    if not chosen:
        raise _nothing_left(ask, passing.rejected)
    order = arrange(chosen.values(), world.cooling_until, world.conditions, now)
    warnings = (*((found.warning,) if found.warning else ()), *((PANIC,) if order.panics else ()))
    return Decision(order.targets, name, rule, (*passing.rejected, *order.left_out), warnings)


def _chain(pick: str, found: Found, plan: Plan, route: Route) -> tuple[str, ...]:
    """The fallbacks after the pick: the route's if the request came by a route that has some, else the alias's.

    A fallback's own list is not followed.
    """
    if found.route is not None and route.fallback is not None:
        return route.fallback
    alias = plan.aliases.get(pick)
    return alias.fallback if alias is not None else ()


def pick_for(ask: Ask, plan: Plan, route: Route, passing: _Filter) -> tuple[str, str]:
    """The alias that the route's rules pick among those that may serve, and the rule's name. Deterministic.

    Raises:
        ClientMistake, PolicyRefusal: nothing may serve.
    """
    for name, rule in _wishes(ask, plan, route):
        if name is not None and passing.targets(name):
            return name, rule
    for name in route.candidates or _by_priority(plan):
        if passing.targets(name):
            return name, "first candidate"
    raise _nothing_left(ask, passing.rejected)


def _wishes(ask: Ask, plan: Plan, route: Route) -> Iterable[tuple[str | None, str]]:
    """What each rule would pick, in the order of the rules; None where the config has no entry for it."""
    facts, rules = ask.facts, route.rules
    if ask.task is not None:
        yield route.tasks.get(ask.task), f"task:{ask.task} (said by the client)"
    if facts is None:
        return
    if "extract" in facts.mentions and facts.words < rules.short_words:
        yield route.tasks.get("extract") or route.complexity.get("low") or _tagged(plan, "fast"), "rule:extract"
    if "reasoning" in facts.mentions or facts.words > rules.long_words:
        strong = route.tasks.get("reasoning") or route.complexity.get("high") or _tagged(plan, "reasoning")
        yield strong, "rule:reasoning" if "reasoning" in facts.mentions else "rule:long"
    if "code" in facts.mentions:
        yield route.tasks.get("code") or _tagged(plan, "code"), "rule:code"
    for task in ("summarize", "translate"):
        if task in facts.mentions:
            yield route.tasks.get(task), f"task:{task}"
    level = "low" if facts.words < rules.short_words else "high" if facts.words > rules.long_words else "medium"
    yield route.tasks.get("chat"), "task:chat"
    for higher in ("low", "medium", "high")[("low", "medium", "high").index(level) :]:
        yield route.complexity.get(higher), f"complexity:{level}"


def _tagged(plan: Plan, tag: str) -> str | None:
    return next((alias.name for alias in plan.aliases.values() if tag in alias.tags), None)


def _by_priority(plan: Plan) -> list[str]:
    """All aliases, those with the lowest priority first, otherwise in the order of the config."""
    return sorted(plan.aliases, key=lambda name: min(map(_rank, plan.aliases[name].targets), default=math.inf))


def _rank(target: Target) -> float:
    return target.priority if target.priority is not None else math.inf


def _deployments(alias: Alias, world: World, now: float, draw: Draw, ask: Ask) -> list[Target]:
    """Deployments of an alias: those at the provider that the key prefers, then by priority, equals balanced."""
    if len(alias.targets) < 2:
        return list(alias.targets)
    found: list[Target] = []
    for _, equals in groupby(sorted(alias.targets, key=_rank), key=_rank):
        found += balanced(equals, world.conditions, now, draw, ask.prefix, world.here)
    first = ask.wish.preferred_provider
    return found if first is None else sorted(found, key=lambda target: target.provider != first)


def _why_not(ask: Ask, route: Route, target: Target, alias: str, dialect_cannot: Cannot) -> str | None:
    """The hard filter that removes a target; None if it may serve."""
    forbidden = _forbidden(ask, target, alias)
    if forbidden is not None:
        return forbidden
    if ask.kept_by and target.provider != ask.kept_by:
        return f"state: what this request continues is kept by {ask.kept_by}"
    for policies in (route.compliance, ask.policies):
        reason = gap(target, policies, ask.at)
        if reason is not None:
            return reason
    if target.embeds != ask.embeds:
        return "operation: it does not " + ("embed" if ask.embeds else "chat")
    if target.dialect_for(ask.dialect) != ask.dialect and ask.unreadable is not None:
        return f"feature: {ask.unreadable.message}"
    lacking = _lacking(ask, target, dialect_cannot)
    if lacking is not None:
        return f"feature: {lacking}"
    if target.context_tokens is not None and ask.input_tokens is not None and ask.input_tokens > target.context_tokens:
        return f"context: about {ask.input_tokens} tokens, its window is {target.context_tokens}"
    return None


def _forbidden(ask: Ask, target: Target, alias: str) -> str | None:
    """What the key's rights, or its preference, have against a target; None: nothing."""
    models, routes = ask.rights.models, ask.rights.routes
    named = ask.found.route.name if ask.found.route is not None else None
    if models is not None and not models & {alias, ask.requested, target.id, named}:
        return f"key: this key may not use '{alias}'"
    if routes is not None and named is not None and named not in routes:
        return f"key: this key may not use the route '{named}'"
    return provider_gap(ask.rights, ask.wish, target.provider)


def provider_gap(rights: Rights, wish: Preference, provider: str) -> str | None:
    """What a key has against a provider; None: nothing."""
    for names in (rights.providers, wish.allowed_providers):
        if names is not None and provider not in names:
            return f"key: this key may not use the provider '{provider}'"
    return None


def _lacking(ask: Ask, target: Target, dialect_cannot: Cannot) -> str | None:
    if ask.features is None:
        return None
    its_cannot = dialect_cannot.get(target.dialect_for(ask.dialect), {})
    missing = lacks(ask.features, ask.dialect, target, its_cannot)
    return ", ".join(sorted(missing)) or None


def lacks(features: frozenset[str], dialect: str, target: Target, its_cannot: Mapping[str, str]) -> frozenset[str]:
    """The features that this target cannot honour for a client of `dialect`; `its_cannot`: what its own cannot say."""
    hard = features - SOFT
    missing = hard & target.cannot
    if target.dialect_for(dialect) != dialect:
        missing = (
            missing
            | (hard & ((its_cannot.keys() - target.can) | target.unsaid))
            | {name for name in hard if is_foreign(name)}
        )
    return missing


def is_foreign(feature: str) -> bool:
    """Whether only the client's own dialect knows this field."""
    return feature not in FEATURES


_NO_POLICY = ("feature: ", "operation: ", "context: ", "not configured")
"""How the reasons begin that are no policy's."""

_PROMPT = {"openai.responses": "input", "gemini": "contents"}
"""What the prompt is called in a client's protocol, where it is not `messages`."""

_DOING = {"moderations": "moderate", "compaction": "compact a conversation"}
"""Operations that are looked for like features, in words."""

_IMPLIED = {"image_urls": "images", "document_urls": "documents", "document_files": "documents"}
"""Features that say nothing more where a wider one is missing."""


def _unsupported(ask: Ask, missing: list[str]) -> ClientMistake:
    """The error for features that nobody in reach has. `missing`: those that the first target lacks."""
    doing = next((_DOING[name] for name in missing if name in _DOING), None)
    if doing is not None:
        return ClientMistake(
            f"'{ask.requested}' cannot {doing}: no model that it may use is at a provider of this protocol.",
            code="wrong_operation",
            param="model",
            remedy="Ask for a model at a provider that can.",
        )
    fields = [name for name in missing if _IMPLIED.get(name, name.partition("[")[0]) not in {*missing} - {name}]
    named = ", ".join(f"'{name}'" for name in fields)
    subject, it = (f"The field {named} is", "it") if len(fields) == 1 else (f"The fields {named} are", "them")
    drop = "set `unsupported: drop` for the route or under `defaults`"
    last = drop if CONTEXT.isdisjoint(fields) else "send what stands behind the name"
    return ClientMistake(
        f"{subject} not supported by any model that '{ask.requested}' may use.",
        code="unsupported_field",
        param=fields[0],
        remedy=f"Leave {it} out, ask for another model, or {last}.",
    )


def _nothing_left(ask: Ask, rejected: list[Rejected]) -> ClientMistake | PolicyRefusal:
    """The error that helps: a field if dropping it would help, else the first policy that removed something."""
    features = [one for one in rejected if one.reason.startswith("feature: ")]
    others = [one for one in rejected if not one.reason.startswith("feature: ")]
    if features and all(one.reason.startswith("operation: ") or one.reason == "not configured" for one in others):
        return ask.unreadable or _unsupported(ask, features[0].reason.removeprefix("feature: ").split(", "))
    if any(one.reason.startswith("operation: ") for one in rejected) and len(rejected) == len(
        [one for one in rejected if one.reason.startswith("operation: ")]
    ):
        doing = "make embeddings" if ask.embeds else "chat"
        return ClientMistake(
            f"'{ask.requested}' cannot {doing}.", code="wrong_operation", param="model", remedy="Ask for another model."
        )
    too_long = [one for one in rejected if one.reason.startswith("context: ")]
    if too_long and len(too_long) + len(features) == len(rejected):
        return ClientMistake(
            f"The prompt is too long for every model that '{ask.requested}' may use: {too_long[0].reason[9:]}.",
            code="context_length_exceeded",
            param=_PROMPT.get(ask.dialect, "messages"),
            remedy="Shorten it, or ask for a model with a larger window.",
        )
    if ask.kept_by and rejected and all(one.reason.startswith(("state: ", *_NO_POLICY)) for one in rejected):
        return ClientMistake(
            f"What this request continues is kept by {ask.kept_by}, and '{ask.requested}' has no target there.",
            code="previous_response_not_found",
            param="previous_response_id",
            remedy=f"Ask for a model at {ask.kept_by}, or send the turns so far as `input`.",
        )
    told = "; ".join(f"{one.target}: {one.reason}" for one in rejected[:5]) or "no target is configured"
    refusal = NoCandidate(f"No target may serve '{ask.requested}': {told}.", code="policy_no_candidate", param="model")
    refusal.rejected = tuple(rejected)
    return refusal
