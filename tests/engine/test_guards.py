"""What guards forbid of a whole answer: another target may give a better one, and nobody sees the bad one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, LIMITS, OPENAI, gateway, serve
from tests.engine.test_tool_calls import answered as called

from afterbay.core.errors import PolicyRefusal
from afterbay.core.event import Event, Finished, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStarted
from afterbay.engine.answer import guarded, refuse_blocked
from afterbay.engine.context import Turn
from afterbay.policy.plan import Route
from afterbay.ports import Guard, Side, Verdict
from afterbay.testing.answers import answered, ask
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run


class Forbids:
    """Blocks what holds a word, and remembers what it saw."""

    def __init__(self, word: str, name: str = "words") -> None:
        self.name, self.seen, self._word = name, list[tuple[Side, str]](), word

    async def look(self, side: Side, text: str) -> Verdict:
        self.seen.append((side, text))
        return Verdict(self._word not in text, "a forbidden word" if self._word in text else "")


def guard(one: MemoryGateway, *guards: Guard) -> MemoryGateway:
    one.context.guards = guards
    return one


def judged(*events: Event, guards: tuple[Guard, ...]) -> Any:
    async def inside() -> Any:
        one = guard(gateway([]), *guards)
        return await guarded(Turn(one.context, one.call(ask("m")), "chat"), list(events))

    return run(inside())


def test_a_guard_sees_all_that_the_client_would_read() -> None:
    one = Forbids("never")
    events = (
        ReasoningDelta("thought"),
        TextDelta("te"),
        TextDelta("xt"),
        ToolCallStarted(0, "c", "tool"),
        ToolCallDelta(0, '{"a":1}'),
        TextDelta("second", choice=1),
        RefusalDelta("no", choice=1),
        Finished("stop"),
    )
    assert judged(*events, guards=(one,)) is None
    assert one.seen == [("answer", 'thought\ntext\ntool\n{"a":1}\nsecond\nno')]


def test_without_guards_nothing_is_folded_and_an_empty_answer_is_not_looked_at() -> None:
    assert judged(TextDelta("bad"), guards=()) is None
    one = Forbids("")
    assert judged(Finished("stop"), guards=(one,)) is None
    assert one.seen == []


def test_the_first_guard_that_forbids_it_is_the_last_that_is_asked() -> None:
    first, second = Forbids("bad", "first"), Forbids("bad", "second")
    assert judged(TextDelta("bad"), guards=(first, second)) == (
        "invalid",
        "the guard 'first' blocked the answer: a forbidden word",
    )
    assert second.seen == []


def test_a_blocked_spare_is_an_error_and_an_allowed_one_is_none() -> None:
    async def inside() -> None:
        one = guard(gateway([]), Forbids("bad"))
        turn = Turn(one.context, one.call(ask("m")), "chat")
        await refuse_blocked(turn, [TextDelta("good")])
        with pytest.raises(PolicyRefusal) as caught:
            await refuse_blocked(turn, [TextDelta("bad")])
        refusal = caught.value
        assert (refusal.status, refusal.kind, refusal.code) == (400, "content_filter", "guard_blocked")
        assert not refusal.retryable

    run(inside())


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_answer_is_given_by_another_target(client: str, spoken: str, stream: bool) -> None:
    one = guard(gateway([answered(spoken, "a bad one")], [answered(spoken, "fine")], spoken=spoken), Forbids("bad"))
    reply = serve(one, client, stream=stream)
    assert reply.status == 200
    assert b"fine" in reply.body
    assert b"bad" not in reply.body
    first, second = one.record.attempts
    assert (first.outcome, first.error) == ("invalid", "the guard 'words' blocked the answer: a forbidden word")
    assert first.cost_picousd, "it was answered, and is paid"
    assert second.outcome == "ok"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("on", [frozenset({"invalid"}), frozenset()])
def test_an_answer_that_every_target_gives_and_the_guard_forbids_is_never_shown(stream: bool, on: Any) -> None:
    scripts = [[answered(OPENAI, "bad")], [answered(OPENAI, "bad too")]]
    one = guard(gateway(*scripts, route=Route("defaults", fallback_on=on), limits=LIMITS), Forbids("bad"))
    reply = serve(one, stream=stream)
    assert reply.status == 400
    told = msgspec.json.decode(reply.body)["error"]
    assert told["code"] == "guard_blocked"
    assert "bad" not in reply.body.decode()
    assert one.record.outcome == "guard_blocked"
    assert len(one.record.attempts) == (2 if on else 1)


def test_a_spare_that_no_guard_has_seen_is_looked_at_before_it_is_delivered() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    one = guard(gateway([answered(OPENAI, "bad")]), words := Forbids("bad"))
    assert serve(one, stream=False, response_format=schema).status == 400
    one = guard(gateway([answered(OPENAI, "odd")]), words)
    assert serve(one, stream=False, response_format=schema).status == 200


def test_the_arguments_of_calls_are_looked_at() -> None:
    one = guard(gateway([called(OPENAI, ("t", '{"n":"bad"}'))], [answered(OPENAI, "fine")]), Forbids("bad"))
    assert b"fine" in serve(one, stream=False).body
