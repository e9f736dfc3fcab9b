"""The one door to providers. Whatever is sent for a client goes through here, and past the policies that hold for it.

`engine.routing` has filtered the targets already: nothing is held up here that was let in there, unless a fact ended
while the request ran. The door is for what does not come from there (raw requests, kept responses), for what takes
long, and for whatever is built next: a request whose policies nobody has looked up gets no connection at all. It also
keeps the proof for the record. Probes of health go past it: they carry nothing of anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable

from afterbay.config.snapshot import Provider, anywhere_at
from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.engine.context import Turn
from afterbay.policy.compliance import HEADER, beside, gap, holding, met_by
from afterbay.policy.names import look_up
from afterbay.policy.plan import Compliance, Route
from afterbay.policy.route import route_of
from afterbay.ports import Key, Passage, TransportError, Upstream

CODE = "policy_no_candidate"


def policies_beside(turn: Turn) -> tuple[Compliance, ...]:
    """The policies that hold for a request whatever its route is: its key's and its client's."""
    return beside(turn.snapshot.compliance, _named_by(turn.call.key), turn.call.headers.get(HEADER))


def _named_by(key: Key | None) -> Iterable[str]:
    return key.rights.compliance if key is not None else ()


def hold(turn: Turn, route: Route) -> None:
    """Notes which policies hold for the request, now that its route is known. Until then no door opens."""
    turn.policies = (*route.compliance, *policies_beside(turn))


def upstream_of(turn: Turn, target: Target) -> Upstream:
    """The connections to a target.

    Raises:
        TransportError: a policy keeps the request from it.
    """
    _let_through(turn, target)
    return turn.fleet.upstream(target)


def passage_of(turn: Turn, provider: Provider, model: str = "") -> Passage | None:
    """The way to any endpoint of a provider; None: what stands there takes no raw requests.

    `model`: what was asked for when that was known; else whatever this provider is asked has to be allowed.

    Raises:
        PolicyRefusal: a policy keeps the request from it.
    """
    for target in _behind(turn, provider, model) if turn.policies != () else ():
        try:
            _let_through(turn, target)
        except TransportError as kept:
            raise PolicyRefusal(f"A policy keeps requests from '{provider.name}' ({kept}).", code=CODE) from None
    return turn.fleet.passage(provider)


def hold_for_model(turn: Turn, model: str) -> None:
    """As `hold`, for a request about an answer that was asked of this model; a name that is gone has the defaults."""
    snapshot = turn.snapshot
    try:
        route = route_of(snapshot, look_up(snapshot, model, turn.fleet.direct), snapshot.defaults)
    except ClientMistake:
        route = snapshot.defaults
    hold(turn, route)


def prove(turn: Turn) -> None:
    """Puts into the record which policies held, and by which facts they were met."""
    if turn.policies:
        turn.record.compliance = [holding(turn.policies), *turn.cleared.values()]


def _let_through(turn: Turn, target: Target) -> None:
    policies = turn.policies
    if policies is None:
        raise AssertionError(f"nobody has looked up the policies before {target.id} was asked")
    if not policies:
        return
    reason = gap(target, policies, turn.context.clock.utc())
    if reason is not None:
        raise TransportError(reason, connected=False, code=CODE)
    turn.cleared[target.id] = met_by(target, policies)


def _behind(turn: Turn, provider: Provider, model: str) -> Iterable[Target]:
    """The targets that a raw request may reach: the deployments of its model there, else all of the provider."""
    aliases = turn.snapshot.aliases
    named = [one for one in aliases[model].targets if one.provider == provider.name] if model in aliases else []
    if named:
        return named
    return (anywhere_at(turn.snapshot, provider),)
