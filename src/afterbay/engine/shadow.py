"""Shadows: a drawn share of a route's requests is answered by a second model too, so that the two can be compared.

    draw ──> the client's answer is kept as it passes ──> the client has it ──> the other model is asked, whole
                                                                               └──> they agree, or a judge compares them
                                                                                    └──> a pair, an imprint, labels

Where the strongest candidate of the route answered, the cheapest one is asked, and the other way round. The second
request passes the same hard filters as the first, under its key's rights, its wishes and its compliance, and so does
the question to the judge: a key that may not ask that model is not judged by it. Both are charged to the route's own
budget for shadows (`shadow.max_cost_usd` a day, over all processes) and to nobody's key; where no price is
known they are not made. They have records of their own, without a word of anybody's: neither keys nor errors are in it.

How good an answer is: answers that agree (`policy.agreement`) are both as good as the strong one's, 1. Of others a
judge, a model of the operator's choice, says whether the cheap one is at least as good: 1, else 0. Which of the two it
sees first is drawn. Without a judge, what does not agree is 0: then only answers that a program can compare are ever
counted as kept. So is a cheap answer that is empty or of the wrong form. No pair comes of a request that one of the two
models did not answer at all, of answers that are too long to be kept, or while the gateway is short of means.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from afterbay.core.decision import Decision, Record
from afterbay.core.request import ChatRequest
from afterbay.engine.attempt import MakeTry
from afterbay.engine.clearance import CODE, hold
from afterbay.engine.context import Call, Turn
from afterbay.engine.exchange import Exchange
from afterbay.engine.repeats import SCORE, Asked, name_of
from afterbay.engine.routing import among
from afterbay.engine.witness import Witness
from afterbay.label_ports import Label, Pair
from afterbay.policy.agreement import Said, agreement, said_of
from afterbay.policy.allowance import Allowance
from afterbay.policy.comparable import is_comparable
from afterbay.policy.facts import prompt_text
from afterbay.policy.judging import question, verdict
from afterbay.policy.kept_quality import Duel, duel_of
from afterbay.policy.plan import Plan, Route, Shadowing
from afterbay.policy.route import strongest
from afterbay.ports import Key, Reply
from afterbay.wire.registry import DIALECTS

if TYPE_CHECKING:
    from afterbay.engine.delivery import Delivery

SHADOW, JUDGE = "shadow", "judge"
WITHIN_S: Final = 180.0
"""How long a shadow and its judgement may take together."""
ANSWER_S: Final = 120.0
"""How long one of the two answers may take."""
LABEL_S: Final = 10.0

_OWN_HEADERS: Mapping[str, str] = {"x-afterbay-priority": "low", "content-type": "application/json"}
_CARRIED: Final = frozenset({"anthropic-version", "anthropic-beta", "x-afterbay-residency"})
"""Headers of the client that a second request has too: they change what is asked, or who may be."""
_LEFT_OUT: Final = frozenset({"stream", "stream_options", "service_tier", "serviceTier", "speed"})
"""Fields that a second request has not: it comes whole, and may take its time."""

Decides: TypeAlias = Callable[[Turn], Decision]
Serve: TypeAlias = Callable[[Turn, Reply, MakeTry, Decides], Awaitable[None]]
"""Takes a request through its stages: `afterbay.engine.pipeline.serve`."""


def watch(turn: Turn, delivery: Delivery) -> None:
    """Keeps the answer of a request that is drawn, and notes that another one is asked again."""
    context, route = turn.context, turn.route
    if context.learned is None or turn.record.operation != "chat" or not (route.keep or route.explore):
        return
    _hear_repeat(turn)
    if _is_drawn(turn):
        turn.witness = Witness(delivery.reply)
        delivery.reply = turn.witness


def after(turn: Turn, serve: Serve) -> None:
    """The client has its answer, or not; whatever is still to be done for the route's learning is begun."""
    context, route, record = turn.context, turn.route, turn.record
    if context.learned is None or record.operation != "chat" or not (route.keep or route.explore):
        return
    if record.outcome != "ok" or not record.model:
        return
    with contextlib.suppress(Exception):  # the body could be relayed only
        asked = Asked(record.id, record.model, context.clock.monotonic())
        context.repeats.note(_name(turn), asked)
    if turn.witness is not None and turn.witness.is_over and not turn.witness.is_too_large:
        context.afterwards.offer(_Shadow(turn, turn.witness, serve).make, WITHIN_S)
    elif turn.witness is not None:
        context.afterwards.count("too large")


def _is_drawn(turn: Turn) -> bool:
    """Whether a request is answered twice. Nothing that is worth a query of the database is looked at here."""
    route, context, shadow = turn.route, turn.context, turn.route.shadow
    if route.keep is None or shadow is None or turn.ask is None or turn.ask.gain is None:
        return False
    if turn.draw(SHADOW) >= shadow.share:
        return False
    if not context.afterwards.has_room or context.pressure.sheds("low"):
        context.afterwards.count("no room")
        return False
    duel = _duel(turn.snapshot, route)
    if duel is None or not is_comparable(turn.ask, duel, turn.snapshot):
        context.afterwards.count("not comparable")
        return False
    left = context.ledger.left(budget(route.name, shadow))
    if left is not None and left <= 0:
        context.afterwards.count("no money")
        return False
    return True


def budget(route: str, shadow: Shadowing) -> Allowance:
    """What shadows and judgements of a route may cost a day."""
    return Allowance(f"{SHADOW}:{route}", "picousd", "day", shadow.max_cost_picousd, name=f"shadows of {route}")


def _hear_repeat(turn: Turn) -> None:
    learned, ask = turn.context.learned, turn.ask
    if learned is None or ask is None or ask.unreadable is not None:
        return
    asked = turn.context.repeats.take(_name(turn), turn.call.received_s)
    if asked is None:
        return
    at, route = turn.context.clock.utc(), turn.route.name
    label = Label(asked.request_id, route, at, "regenerate", asked.alias, SCORE, "asked again")

    async def keep() -> str:
        await learned.labels.put(label)
        return "asked again"

    turn.context.afterwards.offer(keep, LABEL_S)


def _name(turn: Turn) -> bytes:
    key = turn.call.key
    return name_of(turn.context.secret, key.id if key is not None else "", turn.route.name, turn.request.messages)


def _imprint(text: str) -> bytes:
    from afterbay.policy.learned.imprint import imprint, packed

    return packed(imprint(text))


class _Shadow:
    """One request that is answered twice."""

    def __init__(self, turn: Turn, witness: Witness, serve: Serve) -> None:
        self._turn, self._witness, self._through = turn, witness, serve
        self._spent: int | None = 0

    async def make(self) -> str:
        """Asks, compares, and keeps what comes of it; says in a word what did."""
        turn, snapshot = self._turn, self._turn.context.fleet.snapshot
        route, learned = snapshot.routes.get(turn.route.name), turn.context.learned
        served = self._answer(self._witness, turn)
        if route is None or route.keep is None or route.shadow is None or learned is None or served is None:
            return "unreadable" if served is None else "route changed"
        duel = _duel(snapshot, route)
        asked = turn.snapshot.routes.get(route.name)
        if asked is None or _duel(turn.snapshot, asked) != duel:  # what answered may be another model by now
            return "route changed"
        answered = turn.record.model
        if duel is None or answered not in (duel.cheap, duel.strong):
            return "another model"
        other = duel.cheap if answered == duel.strong else duel.strong
        record, said = await self._ask(route, route.shadow, other)
        if said is None and record.outcome == CODE:
            return "not allowed"
        if said is None:
            return f"not answered by {'the strong' if other == duel.strong else 'the cheap'} model"
        cheap, strong = (said, served) if other == duel.cheap else (served, said)
        if strong.is_empty:
            return "no strong answer"
        judged = await self._judge(route, route.shadow, cheap, strong)
        if judged is None:
            return "not judged"
        await self._keep(duel, judged, record)
        return f"paired by {'agreement' if judged[1] != JUDGE else JUDGE}"

    async def _keep(self, duel: Duel, judged: tuple[float, str], shadow: Record) -> None:
        turn, record = self._turn, self._turn.record
        learned, ask, route = turn.context.learned, turn.ask, turn.route
        if learned is None or ask is None or ask.gain is None or route.shadow is None:
            return
        quality, how = judged
        own, other = _answer_picousd(record), _answer_picousd(shadow)
        is_own_cheap = record.model == duel.cheap
        at = turn.context.clock.utc()
        pair = Pair(
            record.id,
            route.name,
            at,
            duel.cheap,
            duel.strong,
            ask.gain,
            ask.scorer,
            quality,
            1.0,
            how,
            route.shadow.share,
            own if is_own_cheap else other,
            other if is_own_cheap else own,
            self._spent,
            duel.digest,
        )
        data = await asyncio.to_thread(_imprint, prompt_text(turn.request.messages))
        await learned.labels.put_imprint(record.id, route.name, at, data)
        await learned.labels.put_pair(pair)
        judge: Any = JUDGE if how == JUDGE else "check"
        score = quality if is_own_cheap else 1.0
        await learned.labels.put(Label(record.id, route.name, at, judge, record.model, score, how))

    async def _ask(self, route: Route, shadow: Shadowing, alias: str) -> tuple[Record, Said | None]:
        """Asks another model the same."""
        original = self._turn.call
        body = msgspec.json.decode(original.body)
        body = {name: value for name, value in body.items() if name not in _LEFT_OUT}
        if original.path_model is None:
            body["model"] = alias
        if original.dialect.name == "openai.responses":
            body["store"] = False
        elif original.dialect.name == "openai.chat" and "store" in body:
            body["store"] = False
            body.pop("metadata", None)  # refused with an answer that is not kept
        path = original.path.replace(":streamGenerateContent", ":generateContent")
        call = self._call(route, shadow, msgspec.json.encode(body), original.dialect.name, alias, path)
        return await self._serve(SHADOW, call, route, alias)

    async def _judge(self, route: Route, shadow: Shadowing, cheap: Said, strong: Said) -> tuple[float, str] | None:
        """The quality of the cheap answer, and who says so; None: nobody can."""
        if cheap.is_empty:
            return 0.0, "no answer"
        turn = self._turn
        wanted = turn.request.response_format
        how = agreement(cheap, strong, wants_json=wanted is not None and wanted.kind != "text")
        if how is not None:
            return 1.0, how
        if not shadow.judge:
            return 0.0, "no agreement"
        is_cheap_first = turn.draw("judge order") < 0.5
        first, second = (cheap, strong) if is_cheap_first else (strong, cheap)
        asked: ChatRequest = question(turn.request.messages, first, second, shadow.judge)
        dialect = DIALECTS["openai.chat"]
        body = dialect.build_request(asked, shadow.judge).body
        call = self._call(route, shadow, body, dialect.name, None, "")
        _, said = await self._serve(JUDGE, call, route, shadow.judge)
        better = verdict(said.text) if said is not None else None
        if better is None:
            return None
        is_kept = better == "tie" or (better == "A") == is_cheap_first
        return float(is_kept), JUDGE

    def _call(
        self, route: Route, shadow: Shadowing, body: bytes, dialect: str, path_model: str | None, path: str
    ) -> Call:
        original, context = self._turn.call, self._turn.context
        now, at = context.clock.monotonic(), context.clock.utc()
        carried = {name: value for name, value in original.headers.items() if name in _CARRIED}
        has_path = original.path_model is not None and path_model is not None
        return Call(
            context.new_id(at),
            DIALECTS[dialect],
            body,
            {**carried, **_OWN_HEADERS},
            now,
            at,
            _payer(self._turn, route.name, shadow),
            path_model if has_path else None,
            False if has_path else None,
            original.query if has_path else "",
            path,
        )

    async def _serve(self, operation: str, call: Call, route: Route, alias: str) -> tuple[Record, Said | None]:
        """Takes a request of the gateway's own through the stages that others take."""
        turn = Turn(self._turn.context, call, operation)
        turn.is_own = True
        _make_nobodys(turn.record, self._turn.record.id)
        reply = Witness(None)
        await self._through(turn, reply, Exchange, lambda one: _decision(one, route, alias))
        record = turn.record
        self._spent = None if self._spent is None or record.cost_picousd is None else self._spent + record.cost_picousd
        return record, self._answer(reply, turn) if record.outcome == "ok" else None

    @staticmethod
    def _answer(witness: Witness, turn: Turn) -> Said | None:
        reply = witness.answer(turn.call.dialect, turn.call.id.removeprefix("req_"), streams=turn.streams)
        return said_of(reply) if reply is not None and reply.error is None else None


def _duel(plan: Plan, route: Route) -> Duel | None:
    return duel_of(plan, route, next(iter(strongest(plan, route)), None))


def _answer_picousd(record: Record) -> int | None:
    """What the answer itself cost, without what failed before it."""
    found = next((one for one in reversed(record.attempts) if one.outcome == "ok"), None)
    return found.cost_picousd if found is not None else record.cost_picousd


def _make_nobodys(record: Record, original: str) -> None:
    """Takes out of a record whose request it began with; the original leads to that."""
    record.key_id = record.key_name = record.organisation = record.team = record.user = None
    record.agent = record.task = record.traceparent = None
    record.reasons = {"shadow_of": original}


def _payer(turn: Turn, route: str, shadow: Shadowing) -> Key:
    """Who asks: with the rights and wishes that the first request had, by the same route, and at the route's cost."""
    allowance = budget(route, shadow)
    own = turn.call.key if turn.call.key is not None else Key("", "")
    return Key(
        allowance.account,
        "",
        own.rights,
        msgspec.structs.replace(turn.wish, bound_model=None, agents={}),
        accounts=(allowance.account,),
        allowances=(allowance,),
    )


def _decision(turn: Turn, route: Route, alias: str) -> Decision:
    """The deployments of one alias that may serve, under the limits of the route.

    Raises:
        ClientMistake, PolicyRefusal: none may.
    """
    limits = msgspec.structs.replace(route.limits, total_s=min(route.limits.total_s, ANSWER_S))
    turn.route = msgspec.structs.replace(
        route,
        limits=limits,
        hedge=None,
        resume="off",
        reconnect_s=0.0,
        keep=None,
        explore=None,
        shadow=None,
        cascade=False,
        overflow="reject",
        fallback=(),
        max_cost_picousd=None,
    )
    turn.deadline_s = turn.call.received_s + limits.total_s
    hold(turn, turn.route)
    return among(turn, alias, f"{turn.record.operation}:{alias}")
