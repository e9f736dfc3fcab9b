"""From a request to the order of its targets: what policy needs to see is gathered here, and only as far as needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from afterbay.core.decision import Decision
from afterbay.core.errors import Capacity, ClientMistake
from afterbay.core.request import ChatRequest
from afterbay.engine.clearance import hold, policies_beside
from afterbay.engine.context import Turn
from afterbay.engine.conversation import recall
from afterbay.engine.failure import not_found
from afterbay.engine.statement import task_of
from afterbay.policy.balance import prefix_of
from afterbay.policy.comparable import is_plain
from afterbay.policy.facts import Facts, prompt_text, read_facts
from afterbay.policy.filters import CONTEXT, Ask, Filter, NoCandidate, nothing_left
from afterbay.policy.kept_quality import LENGTH, length_gain
from afterbay.policy.lanes import PRIORITIES, Priority
from afterbay.policy.names import Found, look_up
from afterbay.policy.order import arrange
from afterbay.policy.plan import Limits, Route
from afterbay.policy.pressure import COME_BACK_S as SHED_S
from afterbay.policy.rights import EVERYTHING, who_binds
from afterbay.policy.room import Fitting
from afterbay.policy.route import decide, deployments, route_of
from afterbay.policy.sight import sights
from afterbay.policy.throttle import COME_BACK_S, attempts_left, narrowed
from afterbay.wire.registry import DIALECTS, EMBEDS_AS

_CONVERSATIONS = frozenset({"chat", "count_tokens"})
"""Operations that a bound model holds for: one that chats makes no vectors."""

_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}


def choose(turn: Turn) -> Decision:
    """Decides which targets may serve, in which order, under which limits of time.

    Raises:
        ClientMistake, PolicyRefusal: no target can or may.
    """
    context, snapshot = turn.context, turn.snapshot
    now = context.clock.monotonic()
    found = look_up(snapshot, _sought(turn), turn.fleet.direct)
    turn.route = shortened(route_of(snapshot, found, snapshot.defaults), turn)
    turn.deadline_s = turn.call.received_s + turn.route.limits.total_s
    hold(turn, turn.route)
    ask = _ASK.get(turn.record.operation, _ask)(turn, found, turn.route)
    turn.ask = ask
    world = turn.fleet.world()
    if context.learned is not None:
        world = context.learned.world(world, turn.route)
    try:
        decision = decide(ask, snapshot, turn.route, _CANNOT, world, now, turn.draw)
    except NoCandidate as error:
        turn.record.rejected = list(error.rejected)
        raise
    except ClientMistake as error:
        if turn.continues_unknown and "previous_response_id" in (error.param or ""):
            raise not_found(turn.continues_unknown) from None
        if error.code != "unsupported_field" or not turn.route.drop_unsupported or ask.features is None:
            raise
        turn.drops = True
        kept = msgspec.structs.replace(ask, features=ask.features & CONTEXT)
        decision = decide(kept, snapshot, turn.route, _CANNOT, world, now, turn.draw)
    if _sought(turn) != turn.model:
        who = who_binds(turn.wishers, _sought(turn))
        turn.warnings.append(f"{who} is bound to '{_sought(turn)}', which answers instead of '{turn.model}'")
    turn.sights = sights(decision, world.cooling_until, world.conditions, now)
    turn.stage("route", now)
    return decision


def among(turn: Turn, alias: str, rule: str) -> Decision:
    """The deployments of an alias that may serve a request of the gateway's own, in order; its route is known.

    Raises:
        ClientMistake, PolicyRefusal: none may.
    """
    now, world = turn.context.clock.monotonic(), turn.fleet.world()
    ask = _ask(turn, Found(route=turn.route), turn.route)
    plan = turn.snapshot
    passing = Filter(ask, plan, turn.route, _CANNOT, lambda one: deployments(one, world, now, turn.draw, ask))
    chosen = passing.targets(alias)
    if not chosen:
        raise nothing_left(ask, passing.rejected)
    order = arrange(chosen, world.cooling_until, world.conditions, now)
    return Decision(order.targets, turn.route.name, rule, (*passing.rejected, *order.left_out))


def admit(turn: Turn, decision: Decision) -> Decision:
    """The decision with the attempts that an outage of all its targets leaves; usually as it is.

    Raises:
        Capacity: 503 `overloaded`: the gateway itself can do no more. 503 `all_targets_down`: others are finding out
            whether the outage is over. 503 `queue_full`: no provider has room, nor room to wait, for a request of this
            priority.
        ClientMistake: the header of the priority is wrong.
    """
    turn.decision = decision  # for the record, should it be refused here
    let_in(turn)
    gates = [turn.fleet.gate(target) for target in decision.targets]
    if all(gate is not None and gate.is_full(turn.priority) for gate in gates):
        raise Capacity(
            f"Every provider of '{turn.model}' works on as many requests as it may, and so many more wait that "
            f"there is no room for one of {turn.priority} priority.",
            code="queue_full",
            retry_after_s=1 + turn.draw("come back"),
        )
    health, now = turn.fleet.health, turn.context.clock.monotonic()
    attempts = attempts_left(decision.targets, health.conditions, now, turn.draw)
    if attempts is None:
        _learn_of(turn, decision)
        return decision
    if attempts:
        _learn_of(turn, decision)
        decision, limits = narrowed(decision, turn.route.limits, attempts)
        turn.route = msgspec.structs.replace(turn.route, limits=limits)
        return decision
    health.refused(decision.targets[0].id, now)
    raise Capacity(
        f"Every target of '{turn.model}' is down, so this request was not sent.",
        code="all_targets_down",
        retry_after_s=COME_BACK_S * (1 + turn.draw("come back")),
        retryable=False,  # not by an SDK by itself: all of them together would be the next storm
    )


def _learn_of(turn: Turn, decision: Decision) -> None:
    """Tells what routes learn from of a request that is served; one that was refused is no part of their traffic."""
    learned = turn.context.learned
    if learned is not None and decision.because and turn.record.operation == "chat":
        learned.decided(turn.route.name, decision.because)


def let_in(turn: Turn) -> None:
    """Notes the request's priority, and turns it away if the gateway has no means left for such.

    Raises:
        Capacity: 503 `overloaded`.
        ClientMistake: the header of the priority is wrong.
    """
    turn.priority = priority_of(turn.call.headers.get("x-afterbay-priority"))
    pressure = turn.context.pressure
    if pressure.sheds(turn.priority):
        pressure.refused += 1
        raise Capacity(
            f"The gateway is overloaded: {pressure.why}. New requests of {turn.priority} priority are refused.",
            code="overloaded",
            retry_after_s=SHED_S * (1 + turn.draw("come back")),
        )


def _ask(turn: Turn, found: Found, route: Route) -> Ask:
    call = turn.call
    needs_features = _needs_features(turn, found, route)
    needs_room = route.overflow != "reject" and turn.record.operation == "chat"
    unreadable = turn.unreadable() if needs_features or needs_room else None
    if needs_room and unreadable is None:
        turn.measure()
        turn.fitting = _fitting(turn, route)
    if found.route is not None:
        return _routed(turn, found, route, unreadable)
    readable = unreadable is None
    return Ask(
        requested=_sought(turn),
        found=found,
        dialect=call.dialect.name,
        features=turn.features if needs_features and readable else None,
        unreadable=unreadable,
        input_tokens=turn.measure() if needs_features and readable else None,
        rights=call.key.rights if call.key is not None else EVERYTHING,
        policies=policies_beside(turn),
        kept_by=turn.kept_by,
        prefix=prefix_of(call.body),
        wish=turn.wish,
        wishers=turn.wishers,
        at=turn.context.clock.utc(),
        fitting=turn.fitting,
    )


def _routed(turn: Turn, found: Found, route: Route, unreadable: ClientMistake | None) -> Ask:
    """What a route picks by: all that can be told of a request."""
    call = turn.call
    request = turn.request if unreadable is None else None
    task = task_of(call.headers, call.body)
    turn.record.task = task
    gain, scorer = _gain(turn, request, route)
    expects = turn.context.predictors.get(route.name) if request is not None else None
    return Ask(
        requested=_sought(turn),
        found=found,
        dialect=call.dialect.name,
        features=turn.features if request is not None else None,
        unreadable=unreadable,
        input_tokens=turn.measure() if request is not None else None,
        facts=_facts(turn, route) if request is not None else None,
        task=task,
        rights=call.key.rights if call.key is not None else EVERYTHING,
        policies=policies_beside(turn),
        kept_by=turn.kept_by,
        prefix=prefix_of(call.body),
        wish=turn.wish,
        wishers=turn.wishers,
        at=turn.context.clock.utc(),
        output_tokens=request.sampling.max_output_tokens if request is not None else None,
        pinned=recall(turn, request) if request is not None else None,
        fitting=turn.fitting,
        gain=gain,
        scorer=scorer,
        is_plain=request is not None and is_plain(request, len(call.body)),
        qualities=expects(prompt_text(request.messages)) if expects is not None and request is not None else {},
    )


def _fitting(turn: Turn, route: Route) -> Fitting:
    """What becomes of the request where a window is too small for it. A field that only the client's own bytes can say
    forbids leaving anything out, unless it may be dropped itself."""
    unsaid = tuple(turn.request.foreign)
    if route.drop_unsupported and CONTEXT.isdisjoint(unsaid):
        unsaid = ()
    return Fitting(turn.request, route.overflow, unsaid)


def _facts(turn: Turn, route: Route) -> Facts:
    """What can be seen of the request; its task too where the route classifies and the client did not say it."""
    load = turn.context.scorer if "classify" in route.stages else None
    facts = read_facts(turn.request, route.rules, load() if load is not None else None)
    if turn.record.task is None:
        turn.record.task = facts.task
    return facts


def _gain(turn: Turn, request: ChatRequest | None, route: Route) -> tuple[float | None, str]:
    """How much better the strongest is expected to answer, and who says so, where the route asks."""
    if route.keep is None or request is None:
        return None, ""
    text, learned = prompt_text(request.messages), turn.context.learned
    return learned.gain(route.name, text) if learned is not None else (length_gain(text), LENGTH)


def _sought(turn: Turn) -> str:
    """The model that is looked up: what the request names, or for a conversation the one that its key is bound to."""
    bound = turn.wish.bound_model
    return bound if bound is not None and turn.record.operation in _CONVERSATIONS else turn.model


def _ask_vectors(turn: Turn, found: Found, route: Route) -> Ask:
    request = turn.embed_request
    return _ask_plain(turn, found, EMBEDS_AS[turn.call.dialect.name], frozenset(request.foreign), embeds=True)


def _ask_own(turn: Turn, found: Found, route: Route) -> Ask:
    """No protocol but the client's has the operation, as if it were a field that the others lack."""
    return _ask_plain(turn, found, turn.call.dialect.name, frozenset({turn.record.operation}))


def _ask_plain(turn: Turn, found: Found, dialect: str, features: frozenset[str], *, embeds: bool = False) -> Ask:
    call = turn.call
    return Ask(
        requested=turn.model,
        found=found,
        dialect=dialect,
        features=features,
        embeds=embeds,
        rights=call.key.rights if call.key is not None else EVERYTHING,
        policies=policies_beside(turn),
        wish=turn.wish,
        wishers=turn.wishers,
        at=turn.context.clock.utc(),
    )


_ASK: Mapping[str, Callable[[Turn, Found, Route], Ask]] = MappingProxyType(
    {"embeddings": _ask_vectors, "moderations": _ask_own, "compaction": _ask_own}
)
"""What an operation other than chat needs of a target."""


def _needs_features(turn: Turn, found: Found, route: Route) -> bool:
    """Whether any target in reach could refuse a feature: one of another dialect, or one that lacks something."""
    if found.route is not None:
        return True
    if found.alias is not None:
        return turn.fleet.may_refuse(found.alias, turn.call.dialect.name)
    target = found.target
    name = turn.call.dialect.name
    return target is not None and (target.dialect_for(name) != name or bool(target.cannot))


def priority_of(header: str | None) -> Priority:
    """The priority that a client asks for.

    Raises:
        ClientMistake: there is none of that name.
    """
    if header is None:
        return "normal"
    for one in PRIORITIES:
        if header.strip().lower() == one:
            return one
    raise ClientMistake(
        f"The header x-afterbay-priority is '{header[:40]}'.",
        code="invalid_value",
        param="x-afterbay-priority",
        remedy="Say low, normal or high.",
    )


def shortened(route: Route, turn: Turn) -> Route:
    """The route with the total time that the client asked for, which may only shorten it.

    Raises:
        ClientMistake: the header is not a number of milliseconds.
    """
    wanted = turn.call.headers.get("x-afterbay-timeout-ms")
    if wanted is None:
        return route
    try:
        total_s = int(wanted) / 1000
    except (ValueError, OverflowError):
        total_s = -1.0
    if total_s <= 0:
        raise ClientMistake(
            f"The header x-afterbay-timeout-ms is '{wanted[:40]}'.",
            code="invalid_value",
            param="x-afterbay-timeout-ms",
            remedy="Give a whole number of milliseconds above 0.",
        )
    limits: Limits = msgspec.structs.replace(route.limits, total_s=min(route.limits.total_s, total_s))
    return msgspec.structs.replace(route, limits=limits)
