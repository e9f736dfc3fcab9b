"""Who answers on a route that keeps a share of its strongest candidate's quality. Pure, and without numpy.

There are two models: the strongest candidate, and the cheapest one. The cheapest is taken for requests whose predicted
gain (how much better the strongest is expected to be) is at most the threshold that a certificate allows; everything
else goes to the strongest. Where nothing is certified that is everything, and the rule says why.

The two are the route's, not the request's: a certificate speaks of one pair. A request that the cheapest may not serve
goes to the strongest, however cheap a third one would be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from afterbay.core.decision import Decision
from afterbay.policy.plan import Alias, Exploring, Plan, Route

LENGTH: Final = "length-1"
"""The predictor where nothing learned is at hand: the length of what the user says last."""
SHIPPED: Final = "shipped-1"
"""The predictor of a route that has none of its own yet, in a gateway: the head of complexity that ships
(`policy.learned.complexity`)."""
RULE: Final = "keep"
CERTIFIED: Final = " certified"
"""How the rule ends by which the cheapest one answers."""
NOT_USABLE: Final = ", not usable now"
UNREAD: Final = "keep: it cannot be read, strongest"
NOT_COMPARABLE: Final = "keep: not comparable, strongest"
"""The rule of a request that can never become a pair (`policy.comparable`): no certificate speaks of it."""
NO_STRONGEST: Final = "keep: strongest may not serve"
"""How the rule begins where a filter removed the strongest: nothing is kept then, and the other rules pick."""
INPUT_TIMES: Final = 3
"""So many tokens are read for one that is written, where candidates are compared without a request."""


class Standing(msgspec.Struct, frozen=True):
    """What is certified of a route now, as every process of a gateway works it out from the same labels.

    `threshold` -inf: nothing. `pairs`: labels that it was made of; `needed`: about how many it takes, where that can be
    told. `floor`: the certified share of the strong model's quality; `saved`, `routed`: shares of cost and of requests,
    estimates. `scorer`: whose gains the threshold is about. `why`: a sentence. `is_lapsed`: something was certified,
    but for too long nobody could read whether it still is. `digest`: of which models, as in `Duel`.
    """

    cheap: str = ""
    strong: str = ""
    threshold: float = -math.inf
    pairs: int = 0
    needed: int | None = None
    floor: float = 1.0
    saved: float = 0.0
    routed: float = 0.0
    keep: float = 1.0
    confidence: float = 0.9
    scorer: str = LENGTH
    why: str = "no labels yet"
    made_at: float = 0.0
    withdrawn_at: float = 0.0
    is_lapsed: bool = False
    digest: str = ""

    @property
    def is_certified(self) -> bool:
        """Whether anything may go to the cheap model."""
        return self.threshold > -math.inf


class Duel(msgspec.Struct, frozen=True):
    """The two candidates of a route that keeps quality, by alias.

    `digest`: which models stand behind the two names, and behind that of the judge: what is known of others says
    nothing of these.
    """

    cheap: str
    strong: str
    digest: str = ""


class Speaks(Protocol):
    """Whatever is known of two models: a pair, or what pairs certify."""

    @property
    def cheap(self) -> str:
        """See `Duel`."""

    @property
    def strong(self) -> str:
        """See `Duel`."""

    @property
    def digest(self) -> str:
        """See `Duel`."""


class Kept(msgspec.Struct, frozen=True):
    """Which of the two is taken, by which rule, and what that went by."""

    alias: str
    rule: str
    is_cheap: bool
    gain: float
    threshold: float


def length_gain(text: str) -> float:
    """What `LENGTH` predicts of a request: longer ones need the strong model more."""
    return math.log1p(len(text))


def length_thresholds() -> tuple[float, ...]:
    """The thresholds that are tried for `LENGTH`: 1 to 60,000 characters, each 18 % more than the one before. Fixed
    before any label is seen, as a certificate demands."""
    return tuple(round(1.0 + step * 10.0 / 60, 6) for step in range(61))


def shipped_thresholds() -> tuple[float, ...]:
    """The thresholds that are tried for `SHIPPED`, whose gains are ranks from 0 to 1; fixed in advance."""
    return tuple(step / 64 for step in range(1, 65))


def duel_of(plan: Plan, route: Route, strongest: str | None) -> Duel | None:
    """The two candidates; None: the route has only one, or of none of the others the price is known.

    `strongest`: the route's own (`policy.route.strongest`). The cheapest is the other one whose dearest deployment
    costs least, and less than the strongest does.
    """
    names = [name for name in route.candidates or tuple(plan.aliases) if name in plan.aliases]
    if strongest is None or strongest not in plan.aliases:
        return None
    most = _blended(plan.aliases[strongest])
    prices = {name: _blended(plan.aliases[name]) for name in names if name != strongest}
    known = {name: price for name, price in prices.items() if price is not None and (most is None or price < most)}
    if not known:
        return None
    cheap = min(known, key=lambda name: known[name])
    judge = route.shadow.judge if route.shadow is not None else ""
    return Duel(cheap, strongest, _digest(plan, (cheap, strongest, judge)))


def _digest(plan: Plan, names: tuple[str, ...]) -> str:
    """A short name of the models behind some aliases, whatever their order and however often each is deployed."""
    behind = [
        sorted({(one.provider, one.name) for one in plan.aliases[name].targets} if name in plan.aliases else ())
        for name in names
    ]
    return blake2b(repr((names, behind)).encode(), digest_size=8).hexdigest()


def _blended(alias: Alias) -> int | None:
    """What a token costs at the dearest deployment, reads and writes together; None: a price is not known, or it does
    not chat."""
    found = [
        None if one.price is None else INPUT_TIMES * one.price.input + one.price.output
        for one in alias.targets
        if not one.embeds
    ]
    return None if not found or any(one is None for one in found) else max(one for one in found if one is not None)


def racers(duel: Duel, first: str) -> frozenset[str]:
    """The aliases that may be asked beside a silent one, where `first` is asked first: it and the strongest.

    Any other would answer because it is quick, which no certificate says anything of.
    """
    return frozenset((first, duel.strong))


def kept(duel: Duel, standing: Standing | None, gain: float, scorer: str) -> Kept:
    """Who answers a request of this predicted gain, as `scorer` has it."""
    if standing is None or not is_of(standing, duel):
        standing = Standing(duel.cheap, duel.strong, scorer=scorer, digest=duel.digest)
    if standing.scorer != scorer:  # a new predictor, and a process that has not heard of it yet
        return Kept(duel.strong, f"{RULE}: another predictor, strongest until certified", False, gain, -math.inf)
    if not standing.is_certified:
        return Kept(duel.strong, f"{RULE}: {_why(standing)}", False, gain, standing.threshold)
    if gain <= standing.threshold:
        return Kept(
            duel.cheap, f"{RULE}:{standing.keep:g}@{standing.confidence:g}{CERTIFIED}", True, gain, standing.threshold
        )
    return Kept(duel.strong, f"{RULE}: above the certified threshold", False, gain, standing.threshold)


def is_of(known: Speaks, duel: Duel) -> bool:
    """Whether something is known of just these two models, by just this judge."""
    return (known.cheap, known.strong, known.digest) == (duel.cheap, duel.strong, duel.digest)


def as_led(decision: Decision) -> Decision:
    """The decision whose rule says so where the cheapest was certified, and health or money put another before it."""
    rule, first = decision.rule, decision.targets[0]
    if not (rule.startswith(f"{RULE}:") and rule.endswith(CERTIFIED)) or rule.startswith(f"{RULE}: "):
        return decision
    if first.alias == decision.because["keep"]["cheap"] or first.id in decision.cheap:  # a cascade may know a cheaper
        return decision
    return msgspec.structs.replace(decision, rule=rule + NOT_USABLE)


def _why(standing: Standing) -> str:
    """Why the strongest serves all, short enough for a header."""
    if standing.is_lapsed:
        return "certificate not read for too long, strongest until it is"
    labels = f"{standing.pairs} label{'s' if standing.pairs != 1 else ''}"
    if standing.withdrawn_at:
        return f"certificate withdrawn, {labels} since, strongest until certified"
    if standing.needed is not None:
        return f"{labels} of about {standing.needed}, strongest until certified"
    return f"{labels}, strongest until certified"


def is_for_training(request_id: str) -> bool:
    """Whether the pair of a request is one that predictors learn from: every second one, by its id.

    The others are kept from them for good, so that a certificate can be made of them whenever a predictor is new.
    """
    return bool(blake2b(request_id.encode(), digest_size=1).digest()[0] & 1)


class Explored(msgspec.Struct, frozen=True):
    """What a draw says of exploring: which candidate, how likely it was, what it is expected to cost more."""

    alias: str
    propensity: float
    extra_picousd: int = 0


def explored(
    rules: Exploring | None,
    pick: str,
    others: Sequence[str],
    draw: Callable[[str], float],
    costs: Mapping[str, int | None],
    left_picousd: int,
) -> Explored:
    """Whether another candidate than the pick answers, so that something is learned of it.

    Each of the `others`, which may serve as well, is taken with the same small probability, but for those that may cost
    more than is left for today, or whose price is not known; the pick takes their part. `costs`: what each is expected
    to cost. Deterministic given the draw; the propensities of all outcomes add up to 1.
    """
    base = costs.get(pick)
    extras = {one: _extra(costs.get(one), base) for one in others if one != pick}
    able = {one: extra for one, extra in extras.items() if extra is not None and extra <= left_picousd}
    if rules is None or not rules.share or not extras:
        return Explored(pick, 1.0)
    each = rules.share / len(extras)
    drawn = draw("explore")
    for place, name in enumerate(extras):
        if each * place <= drawn < each * (place + 1) and name in able:
            return Explored(name, each, able[name])
    return Explored(pick, 1.0 - each * len(able))


def _extra(cost: int | None, base: int | None) -> int | None:
    return None if cost is None or base is None else max(0, cost - base)
