"""Hard filters: who may serve a request at all, and what is said where nobody may.

They come before every score. What a policy forbids (the key's rights, compliance, residency) or a target cannot do (a
feature, a window that is too small) removes it, for the pick as for fallbacks, hedges and resumes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from afterbay.core.decision import Rejected, Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.core.request import FEATURES
from afterbay.policy.compliance import gap
from afterbay.policy.facts import Facts
from afterbay.policy.names import Found
from afterbay.policy.pinning import Pinned
from afterbay.policy.plan import Alias, Compliance, Plan, Route
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights, Wishers, who_forbids
from afterbay.policy.room import Fitting
from afterbay.policy.spending import LEAST_OUTPUT

Cannot: TypeAlias = Mapping[str, Mapping[str, str]]
"""What each dialect cannot say: dialect -> feature -> reason."""

SOFT = frozenset({"reasoning", "parallel_tool_calls"})
"""Features whose absence does not remove a target: they are wishes about effort, dropped with a warning."""


CONTEXT = frozenset({"previous_response_id", "conversation", "prompt", "thread", "container", "cachedContent"})
"""Fields that stand for what the client does not send: without them an answer is to another question. They are not
dropped, whatever the route says."""


class Ask(msgspec.Struct, frozen=True):
    """What a request needs. `features` None: not looked at, since every target relays the client's own dialect.

    `unreadable`: why the body can be relayed only. `kept_by`: the one provider that keeps what the request continues.
    `prefix`: the beginning of a long prompt (`policy.balance.prefix_of`). `rights` and `wish` are the key's, or
    the wish of `wishers`. `policies`
    hold beside the route's own (`policy.compliance.beside`). `at`: the moment that all are judged at, UTC seconds.
    `output_tokens`: the longest answer that the client asks for; None: it does not say. `qualities`: how good an
    alias's answers are expected to be (a share of 1), where that is known better than from the catalogue. `pinned`:
    where the conversation was, and what of it may be in a cache there.
    `fitting`: what the route does about a history that fits no window; None: it refuses it.
    `gain`: how much better the route's strongest candidate is expected to answer than its cheapest one, as `scorer` has
    it (`policy.kept_quality`); None: nobody can tell. `is_plain`: as in `policy.comparable`.
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
    wishers: Wishers = ()
    at: float = 0.0
    output_tokens: int | None = None
    qualities: Mapping[str, float] = {}
    pinned: Pinned | None = None
    fitting: Fitting | None = None
    gain: float | None = None
    scorer: str = ""
    is_plain: bool = True


Expects: TypeAlias = Callable[[str], Mapping[str, float]]
"""What a predictor tells: (a request's prompt) -> how good an answer of each alias is expected to be (`qualities`)."""


class NoCandidate(PolicyRefusal):
    """The filters left nobody. `rejected`: whom they removed, and why, for the record."""

    rejected: tuple[Rejected, ...] = ()


class Filter:
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

    @property
    def too_small(self) -> list[str]:
        """Targets whose windows are too small for the request, and that nothing else removed."""
        return list(dict.fromkeys(one.target for one in self.rejected if one.reason.startswith("context: ")))

    def passes(self, target: Target, name: str) -> bool:
        """Whether a target may serve."""
        reason = why_not(self._ask, self._route, target, name, self._cannot)
        if reason is not None:
            self.rejected.append(Rejected(target.id, reason))
        return reason is None


def why_not(ask: Ask, route: Route, target: Target, alias: str, dialect_cannot: Cannot) -> str | None:
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
    if route.min_score:
        reason = _low(target, route.min_score)
        if reason is not None:
            return reason
    return ask.fitting.gap(target) if ask.fitting is not None else _too_long(ask, target)


def _low(target: Target, wanted: Mapping[str, float]) -> str | None:
    """The first benchmark on which a target is not known to have what a route demands; None: on none."""
    for name, least in wanted.items():
        has = target.scores.get(name)
        if has is None:
            return f"score: its {name} is not known, {least:g} is demanded"
        if has < least:
            return f"score: its {name} is {has:g}, {least:g} is demanded"
    return None


def _too_long(ask: Ask, target: Target) -> str | None:
    """Why a request has no room in a target's window; None: it has.

    An answer counts with the length that the client asks for, as far as the model could write it. Of a model whose
    longest answer nobody knows only a short one is sure to be meant: many clients ask for more than it could have.
    """
    window, read = target.context_tokens, ask.input_tokens
    if window is None or read is None:
        return None
    if read > window:
        return f"context: about {read} tokens, its window is {window}"
    if ask.output_tokens is None:
        return None
    longest = target.max_output if target.max_output is not None else LEAST_OUTPUT
    written = min(ask.output_tokens, longest)
    if read + written > window:
        return f"context: about {read} tokens and {written} of answer, its window is {window}"
    return None


def _forbidden(ask: Ask, target: Target, alias: str) -> str | None:
    """What the key's rights, or its preference, have against a target; None: nothing."""
    models, routes = ask.rights.models, ask.rights.routes
    named = ask.found.route.name if ask.found.route is not None else None
    if models is not None and not models & {alias, ask.requested, target.id, named}:
        return f"key: this key may not use '{alias}'"
    if routes is not None and named is not None and named not in routes:
        return f"key: this key may not use the route '{named}'"
    return provider_gap(ask.rights, ask.wish, target.provider, ask.wishers)


def provider_gap(rights: Rights, wish: Preference, provider: str, wishers: Wishers = ()) -> str | None:
    """What a key, or the wish of the user or agent that asks with it, has against a provider; None: nothing."""
    if rights.providers is not None and provider not in rights.providers:
        return f"key: this key may not use the provider '{provider}'"
    if wish.allowed_providers is not None and provider not in wish.allowed_providers:
        who = who_forbids(wishers, provider)
        return f"{'key' if who == 'this key' else 'preference'}: {who} may not use the provider '{provider}'"
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

_WINDOW = re.compile(r"its window is (\d+)")

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


def _widest(too_long: list[Rejected]) -> str:
    """What is said of the largest window among those that are too small: the client cannot do better than by that."""
    largest = max(too_long, key=lambda one: int(found[1]) if (found := _WINDOW.search(one.reason)) else 0)
    return largest.reason.removeprefix("context: ")


def nothing_left(ask: Ask, rejected: list[Rejected]) -> ClientMistake | PolicyRefusal:
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
            f"The prompt is too long for every model that '{ask.requested}' may use: {_widest(too_long)}.",
            code="context_length_exceeded",
            param=_PROMPT.get(ask.dialect, "messages"),
            remedy="Shorten it, ask for a shorter answer, or for a model with a larger window.",
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
