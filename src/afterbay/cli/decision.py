"""A decision without a request: by the same code as the gateway's, with nobody asked and nothing kept."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.app.snapshots import direct_target
from afterbay.app.world import SystemEntropy
from afterbay.config.snapshot import Provider, Snapshot
from afterbay.config.weights import task_classifier
from afterbay.core.decision import Candidate, Decision
from afterbay.core.errors import GatewayError
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.fleet import Fleet
from afterbay.engine.learned import Learned
from afterbay.engine.pipeline import prepare
from afterbay.engine.purse import affordable
from afterbay.engine.routing import choose
from afterbay.policy.facts import shown
from afterbay.policy.filters import Ask, Expects
from afterbay.policy.report import consider, counterfactual, in_reach, told
from afterbay.ports import Key, Upstream
from afterbay.store.memory import MemoryRequestLog, MemoryResponses
from afterbay.store.memory_ledger import MemoryLedger
from afterbay.wire.openai_chat import DIALECT
from afterbay.wire.registry import DIALECTS

_CANNOT = {name: dialect.cannot for name, dialect in DIALECTS.items()}


class DryRun(msgspec.Struct, frozen=True):
    """What would be decided. `error`: why nothing would; `strongest`: what a gateway that takes no risk would ask."""

    facts: Mapping[str, Any]
    candidates: Sequence[Candidate]
    decision: Decision | None = None
    strongest: Candidate | None = None
    error: GatewayError | None = None
    warnings: Sequence[str] = ()


class _Clock:
    """Implements `ports.Clock` without a running loop."""

    def monotonic(self) -> float:
        """See `afterbay.ports.Clock`."""
        return time.monotonic()

    def utc(self) -> float:
        """See `afterbay.ports.Clock`."""
        return time.time()


def _nobody(provider: Provider, model: str) -> Upstream:
    raise AssertionError(f"a dry run asks nobody, and was about to ask {provider.name} for {model}")


def dry_run(
    snapshot: Snapshot,
    body: bytes,
    headers: Mapping[str, str],
    key: Key | None,
    learned: Learned | None = None,
    predictors: Mapping[str, Expects] = MappingProxyType({}),
) -> DryRun:
    """The decision on a request of OpenAI's chat protocol, all targets well. `learned`: by the gateway that it is for;
    `predictors`: by route, from the files that it names.

    Raises:
        GatewayError: the request is not right, or its model is not there.
    """
    clock, entropy = _Clock(), SystemEntropy()
    fleet = Fleet(snapshot, _nobody, direct_target)
    log, responses = MemoryRequestLog(), MemoryResponses(now=clock.utc)
    context = Context(fleet, clock, entropy, log, responses, 0, MemoryLedger(clock))
    context.scorer, context.learned, context.predictors = task_classifier, learned, predictors
    now = clock.utc()
    turn = Turn(context, Call(context.new_id(now), DIALECT, body, headers, clock.monotonic(), now, key), "chat")
    prepare(turn)
    decision: Decision | None = None
    error: GatewayError | None = None
    try:
        decision = affordable(turn, choose(turn))
    except GatewayError as refused:
        if turn.ask is None:
            raise
        error, decision = refused, None
    ask = _whole(turn)
    world, reach = fleet.world(), in_reach(ask, snapshot, turn.route)
    found = consider(ask, turn.route, reach, _CANNOT, world, decision)
    said = [*turn.warnings, *(decision.warnings if decision is not None else ())]
    strong = counterfactual(ask, snapshot, turn.route, found)
    facts = told(ask) | (shown(ask.facts) if ask.facts is not None else {})
    return DryRun(facts, found, decision, strong, error, list(dict.fromkeys(said)))


def _whole(turn: Turn) -> Ask:
    """What was asked, with what a relayed request is not looked at for."""
    assert turn.ask is not None, "something was decided"  # noqa: S101
    request = turn.request
    return msgspec.structs.replace(
        turn.ask, input_tokens=turn.measure(), output_tokens=request.sampling.max_output_tokens
    )
