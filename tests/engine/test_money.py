"""One limit of money for a request: who is too dear, how long an answer may be, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI, gateway, serve

from afterbay.core.decision import Attempt, Decision, Target
from afterbay.core.errors import PolicyRefusal
from afterbay.core.message import Image, Message, Text
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Price, Usage, picousd
from afterbay.engine.context import Turn
from afterbay.engine.purse import HEADER, Purse, affordable
from afterbay.policy.plan import Route
from afterbay.policy.spending import MEDIA_TOKENS, SURE_OUTPUT
from afterbay.testing.answers import JSON, answered, ask, built, streamed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import PRICE, MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

RESPONSES = "openai.responses"
FREE = Price(0, 0, 0, 0)
DEAR = Price(15_000_000, 75_000_000, 1_500_000, 18_750_000)
CENT = 0.01


def route(usd: float | None, **fields: Any) -> Route:
    return Route("defaults", max_cost_picousd=None if usd is None else picousd(usd), **fields)


def of(*targets: Target, usd: float | None, **upstreams: ScriptedUpstream) -> MemoryGateway:
    return MemoryGateway(snapshot(alias("m", *targets), defaults=route(usd)), **upstreams)


def body(**fields: Any) -> bytes:
    """A request without a length of its own."""
    plain = msgspec.json.decode(ask("m", **fields))
    if "max_tokens" not in fields:
        del plain["max_tokens"]
    return msgspec.json.encode(plain)


def sent(one: MemoryGateway, name: str = "a") -> dict[str, Any]:
    (request,) = one.upstreams[name].sent
    return request.json


def told(reply: MemoryReply) -> dict[str, Any]:
    got: dict[str, Any] = msgspec.json.decode(reply.body)
    return got


def test_a_request_without_a_limit_keeps_its_bytes_and_has_no_purse() -> None:
    one = gateway([answered(OPENAI, "hi")])
    reply = serve(one, body=ask("m", "x " * 10_000))
    assert reply.status == 200
    assert one.upstreams["a"].sent[0].body == ask("up", "x " * 10_000)
    assert one.record.warnings == []


def test_a_limit_that_does_not_bind_leaves_the_bytes_alone() -> None:
    one = gateway([answered(OPENAI, "hi")], route=route(CENT))
    serve(one, body=ask("m"))
    assert one.upstreams["a"].sent[0].body == ask("up")
    assert one.record.warnings == []


def test_a_dear_target_is_passed_over_for_one_that_the_limit_pays() -> None:
    dear, cheap = target("a/up", price=DEAR, priority=0), target("b/up", priority=1)
    one = of(dear, cheap, usd=CENT, a=ScriptedUpstream(), b=ScriptedUpstream(answered(OPENAI, "hi")))
    assert serve(one, body=body()).status == 200
    (rejected,) = one.record.rejected
    assert (rejected.target, rejected.reason) == ("a/up", "money: it costs at least $0.0193, the limit is $0.01")


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC, GEMINI, RESPONSES])
def test_a_request_that_no_target_serves_for_the_money_is_refused_for_good(client: str) -> None:
    upstreams = {"a": ScriptedUpstream(), "b": ScriptedUpstream()}
    one = of(target("a/up", price=DEAR), target("b/up"), usd=0.0001, **upstreams)
    asked = body() if client == OPENAI else body(max_tokens=300) if client == ANTHROPIC else built(client, "m")
    path = "/v1beta/models/m:generateContent" if client == GEMINI else ""
    reply = run(one.chat(asked, client, path=path))
    assert reply.status == 402
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers
    message = told(reply)["error"]["message"]
    assert "may cost $0.0001 and would cost at least $0.000518, at b/up" in message
    assert "tokens to read, and 256 to write" in message
    assert "raise max_cost_usd." in message
    assert one.record.outcome == "max_cost_exceeded"
    assert [one.target for one in one.record.rejected] == ["a/up", "b/up"]
    assert one.record.attempts == []


def test_the_error_has_its_code_in_openais_envelope_and_is_one_of_billing_in_anthropics() -> None:
    for client, key, value in ((OPENAI, "code", "max_cost_exceeded"), (ANTHROPIC, "type", "billing_error")):
        one = of(target("a/up"), usd=0.0, a=ScriptedUpstream())
        assert told(serve(one, client, body=body(max_tokens=300)))["error"][key] == value


@pytest.mark.parametrize(
    ("usd", "header", "status"), [(None, "0.0001", 402), (CENT, "0.0001", 402), (0.0001, "5", 402), (None, "0.01", 200)]
)
def test_the_client_may_lower_the_limit_and_not_raise_it(usd: float | None, header: str, status: int) -> None:
    one = of(target("a/up"), usd=usd, a=ScriptedUpstream(answered(OPENAI, "hi")))
    reply = serve(one, body=body(max_tokens=300), headers={HEADER: header})
    assert reply.status == status
    if status == 402:
        assert f"raise {HEADER} or max_cost_usd" in told(reply)["error"]["message"]
        assert told(reply)["error"]["param"] == HEADER


@pytest.mark.parametrize("header", ["", "a lot", "-1", "nan", "inf", "1e9", "0x10", "1,5", "$1", "1" * 400])
def test_a_header_that_is_no_money_is_the_clients_mistake(header: str) -> None:
    one = of(target("a/up"), usd=None, a=ScriptedUpstream())
    reply = serve(one, body=body(), headers={HEADER: header})
    assert reply.status == 400
    assert told(reply)["error"]["param"] == HEADER
    assert len(told(reply)["error"]["message"]) < 200


def test_what_costs_nothing_may_be_asked_for_nothing() -> None:
    one = of(target("a/up"), target("b/up", price=FREE), usd=0.0, b=ScriptedUpstream(answered(OPENAI, "hi")))
    assert serve(one, body=body()).status == 200
    assert one.upstreams["b"].sent[0].body == body().replace(b'"m"', b'"up"')


@pytest.mark.parametrize(
    ("client", "fields", "name"),
    [
        (OPENAI, {}, "max_tokens"),
        (OPENAI, {"max_tokens": 9_000}, "max_tokens"),
        (OPENAI, {"max_completion_tokens": 9_000}, "max_completion_tokens"),
        (ANTHROPIC, {"max_tokens": 9_000}, "max_tokens"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_relayed_answer_may_be_as_long_as_the_limit_buys(
    client: str, fields: dict[str, Any], name: str, stream: bool
) -> None:
    script = streamed(client, "hi", finish="length") if stream else answered(client, "hi", finish="length")
    one = gateway([script], spoken=client, route=route(CENT))
    asked = body(stream=stream, **fields)
    reply = serve(one, client, body=asked)
    assert reply.status == 200
    got = sent(one)
    cap = got.pop(name)
    assert 4_900 <= cap <= 5_000
    assert got == {key: value for key, value in msgspec.json.decode(asked).items() if key != name} | {"model": "up"}
    assert one.record.finish == "length"
    (warning,) = one.record.warnings
    assert warning == f"max_cost_usd: a/up may write {cap} tokens, for $0.01"
    assert reply.headers["x-afterbay-warnings"] == warning


@pytest.mark.parametrize("spoken", [ANTHROPIC, GEMINI, OPENAI])
def test_a_translated_answer_may_be_as_long_as_the_limit_buys(spoken: str) -> None:
    client = OPENAI if spoken != OPENAI else ANTHROPIC
    one = gateway([answered(spoken, "hi")], spoken=spoken, route=route(CENT))
    serve(one, client, body=body(max_tokens=9_000, stream=False))
    got = sent(one)
    cap = got["generationConfig"]["maxOutputTokens"] if spoken == GEMINI else got["max_tokens"]
    assert 4_900 <= cap <= 5_000


def test_a_limit_never_makes_an_answer_longer_than_it_would_have_been() -> None:
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=route(0.02))
    serve(one, OPENAI, body=body(stream=False))
    assert sent(one)["max_tokens"] == 4_096
    assert not any("max_cost" in text for text in one.record.warnings)


@pytest.mark.parametrize("known", [{"max_output": 4_000}, {"context_tokens": 4_100}])
def test_a_model_that_cannot_write_more_is_not_told_to_write_less(known: dict[str, int]) -> None:
    one = gateway([answered(OPENAI, "hi")], route=route(CENT), **known)
    serve(one, body=body())
    assert "max_tokens" not in sent(one)


def test_a_length_that_a_model_may_refuse_is_not_sent_where_its_longest_answer_is_not_known() -> None:
    usd = SURE_OUTPUT * 2 / 1e6 * 2
    for known, is_capped in (({}, False), ({"max_output": 128_000}, True)):
        one = gateway([answered(OPENAI, "hi")], route=route(usd), **known)
        serve(one, body=body())
        assert ("max_tokens" in sent(one)) is is_capped


def test_a_thinking_budget_belongs_to_what_must_be_paid() -> None:
    asked = body(max_tokens=9_000, thinking={"type": "enabled", "budget_tokens": 6_000}, stream=False)
    one = gateway([answered(ANTHROPIC, "hi")], spoken=ANTHROPIC, route=route(CENT))
    reply = serve(one, ANTHROPIC, body=asked)
    assert reply.status == 402
    assert "6256 to write" in told(reply)["error"]["message"]


@pytest.mark.parametrize(("usd", "thinks"), [(None, True), (0.002, False)])
def test_thinking_that_would_cost_more_than_there_is_is_left_out_of_a_translation(
    usd: float | None, thinks: bool
) -> None:
    """Anthropic's least thinking is longer than what was asked for, and the answer gets room beside it."""
    one = of(target("a/claude-sonnet-4-5", ANTHROPIC), usd=usd, a=ScriptedUpstream(answered(ANTHROPIC, "hi")))
    config = {"thinkingConfig": {"thinkingBudget": 512}, "maxOutputTokens": 1_024}
    asked = msgspec.json.encode({"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": config})
    assert run(one.chat(asked, GEMINI, path="/v1beta/models/m:generateContent")).status == 200
    got = sent(one)
    assert ("thinking" in got) is thinks
    assert (got["max_tokens"] <= 1_000) is not thinks
    assert ("dropped: reasoning" in one.record.warnings) is not thinks


def test_the_choices_share_what_is_bought() -> None:
    one = gateway([answered(OPENAI, "hi")], route=route(CENT))
    serve(one, body=body(n=4))
    assert 1_200 <= sent(one)["max_tokens"] <= 1_250


def test_a_host_gets_the_length_by_the_name_that_it_knows() -> None:
    one = gateway([answered(OPENAI, "hi")], route=route(CENT), vendor="groq")
    serve(one, body=body())
    assert "max_completion_tokens" in sent(one)


def test_an_unknown_price_counts_as_the_dearest_known_and_says_so() -> None:
    unknown, known = target("a/up", price=None, priority=0), target("b/up", priority=1)
    one = of(unknown, known, usd=CENT, a=ScriptedUpstream(answered(OPENAI, "hi")), b=ScriptedUpstream())
    serve(one, body=body())
    assert 4_900 <= sent(one)["max_tokens"] <= 5_000
    assert one.record.warnings[0] == "max_cost_usd: the price of a/up is not known; it counts as the dearest that is"


def test_a_limit_that_cannot_be_checked_says_so_and_refuses_nothing() -> None:
    one = of(target("a/up", price=None), usd=CENT, a=ScriptedUpstream(answered(OPENAI, "hi")))
    assert serve(one, body=body()).status == 200
    assert one.record.warnings == ["max_cost_usd: the price of a/up is not known, so nothing limits what it costs"]


def test_an_attempt_whose_price_nobody_knows_is_not_counted_and_stops_no_other() -> None:
    new = msgspec.structs.replace(A, price=None)

    def look(turn: Turn, purse: Purse) -> None:
        purse.follow([attempt(0, new, outcome="cut")], {0: Spent(USED)})
        assert purse.affords(new)
        assert turn.warnings == []

    in_turn(look, usd=0.001, targets=(new,))


def test_a_body_that_can_only_be_relayed_is_measured_by_its_length() -> None:
    odd = msgspec.json.encode({"model": "m", "messages": [{"role": "odd", "content": "x" * 8_000}]})
    one = of(target("a/up"), usd=0.002, a=ScriptedUpstream())
    reply = serve(one, body=odd)
    assert reply.status == 402
    one = of(target("a/up"), usd=0.02, a=ScriptedUpstream(answered(OPENAI, "hi")))
    assert serve(one, body=odd).status == 200
    assert 0 < sent(one)["max_tokens"] < 9_500


def test_a_path_that_names_the_model_leaves_the_body_to_be_judged() -> None:
    one = gateway([answered(GEMINI, "hi")], spoken=GEMINI, route=route(CENT))
    path = "/v1beta/models/m:generateContent"
    assert run(one.chat(b"no json", GEMINI, path=path)).status == 400
    assert run(one.chat(built(GEMINI, "m"), GEMINI, path=path)).status == 200
    assert 4_900 <= sent(one)["generationConfig"]["maxOutputTokens"] <= 5_000


@pytest.mark.parametrize(("usd", "status"), [(CENT, 200), (0.00001, 402)])
def test_embeddings_cost_their_input_alone(usd: float, status: int) -> None:
    asked = msgspec.json.encode({"model": "m", "input": ["word " * 200, [1, 2, 3]]})
    vectors = [{"object": "embedding", "index": index, "embedding": [0.5]} for index in range(2)]
    answer = {"object": "list", "data": vectors, "model": "up", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    script = Script(steps=(msgspec.json.encode(answer),), headers=JSON)
    one = of(target("a/up", "openai.embeddings", embeds=True), usd=usd, a=ScriptedUpstream(script))
    reply = run(one.chat(asked, operation="embeddings"))
    assert reply.status == status


def test_judgements_cost_nothing_whatever_the_limit_is() -> None:
    answer = msgspec.json.encode({"id": "modr-1", "model": "up", "results": [{"flagged": False}]})
    one = of(target("a/up"), usd=0.0, a=ScriptedUpstream(Script(steps=(answer,), headers=JSON)))
    asked = msgspec.json.encode({"model": "m", "input": "hello"})
    assert run(one.chat(asked, operation="moderations")).status == 200


def test_what_a_provider_keeps_of_a_conversation_is_said_not_to_be_counted() -> None:
    def opened(turn: Turn, purse: Purse) -> None:
        assert turn.warnings == ["max_cost_usd: what a keeps of the conversation is not counted"]

    in_turn(opened, usd=CENT, kept_by="a")


# The purse itself, over a log of attempts.


class Spent:
    """An attempt that used so much, and stopped or not."""

    def __init__(self, usage: Usage | None, finish: str | None = None) -> None:
        self._usage, self._finish = usage, finish

    def usage(self) -> Usage | None:
        return self._usage

    def finish(self) -> str | None:
        return self._finish


A, B = target("a/up", alias="m"), target("b/up", alias="m")


def in_turn(
    look: Any, *, usd: float, asked: bytes = ask("m"), kept_by: str = "", targets: tuple[Target, ...] = (A, B)
) -> None:
    """Calls `look(turn, purse)` with the purse of a request."""

    async def inside() -> None:
        names = {one.provider: ScriptedUpstream() for one in targets}
        one = of(*targets, usd=usd, **names)
        turn = Turn(one.context, one.call(asked), "chat")
        turn.route, turn.kept_by = one.context.fleet.snapshot.defaults, kept_by
        affordable(turn, Decision(targets, "m", "alias"))
        assert turn.purse is not None
        look(turn, turn.purse)

    run(inside())


def attempt(number: int, at: Target = A, outcome: Any = None, why: Any = "primary", **fields: Any) -> Attempt:
    return Attempt(number, at.id, why, 0.0, ended_s=None if outcome is None else 1.0, outcome=outcome, **fields)


def tokens_of(asked: bytes) -> int:
    found: list[int] = []
    in_turn(lambda turn, _: found.append(turn.measure()), usd=1.0, asked=asked)
    return found[0]


USED = Usage(input_tokens=1_000, output_tokens=1_000)  # $0.003 at PRICE


@pytest.mark.parametrize(
    ("log", "spenders", "is_enough"),
    [
        ([], {}, True),
        ([attempt(0, outcome="error")], {0: Spent(None)}, True),
        ([attempt(0, outcome="rate_limit")], {}, True),
        ([attempt(0, outcome="connection")], {0: Spent(None)}, True),
        ([attempt(0, outcome="cut")], {0: Spent(USED)}, False),
        ([attempt(0, outcome="invalid")], {0: Spent(USED, "stop")}, False),
        ([attempt(0, outcome="error")], {0: Spent(USED)}, False),
        ([attempt(0)], {0: Spent(USED, "stop")}, False),
        ([attempt(0, outcome="timeout")], {0: Spent(None)}, True),
        ([attempt(0)] * 1, {0: Spent(None)}, True),
        ([attempt(n) for n in range(30)], {}, False),
        ([attempt(0, why="repair", outcome="ok", usage=USED)], {}, False),
        ([attempt(0, why="repair", outcome="error")], {}, True),
    ],
)
def test_an_attempt_counts_with_what_it_cost_or_may_cost(
    log: list[Attempt], spenders: Mapping[int, Spent], is_enough: bool
) -> None:
    def look(turn: Turn, purse: Purse) -> None:
        purse.follow(log, spenders)
        assert purse.affords(B) is is_enough
        assert bool(turn.warnings) is not is_enough

    in_turn(look, usd=0.003)


def test_an_attempt_that_was_given_up_counts_with_the_input_that_it_read() -> None:
    long = ask("m", "word " * 2_000)
    read = tokens_of(long)

    def look(turn: Turn, purse: Purse) -> None:
        purse.follow([attempt(0, outcome="timeout"), attempt(1, outcome="cancelled")], {0: Spent(None), 1: Spent(None)})
        assert not purse.affords(B)
        purse.follow([attempt(0, outcome="timeout")], {0: Spent(None)})
        assert purse.affords(B)

    in_turn(look, usd=2.5 * read / 1e6, asked=long)


def test_what_runs_keeps_the_most_that_it_may_cost_for_itself() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        log = [attempt(0)]
        purse.follow(log, {0: Spent(None)})
        cap = purse.cap(A)
        assert cap is not None
        assert not purse.affords(B), "the first may spend all of it"
        log[0].ended_s, log[0].outcome = 1.0, "error"
        assert purse.affords(B), "and has not"
        log.append(attempt(1, B))
        assert purse.cap(B) == cap

    in_turn(look, usd=CENT, asked=body())


def test_two_that_run_at_once_fit_in_the_limit_together() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        log = [attempt(0), attempt(1, B, why="hedge")]
        purse.follow(log, {})
        first, second = purse.cap(A) or 0, purse.cap(B)
        assert second is not None
        input_tokens = turn.measure()
        cost = PRICE.cost_picousd(Usage(input_tokens=2 * input_tokens, output_tokens=first + second))
        assert cost <= picousd(CENT)

    in_turn(look, usd=CENT, asked=body())


def test_an_attempt_with_another_key_has_the_length_of_the_first() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        log = [attempt(0)]
        purse.follow(log, {0: Spent(None)})
        first = purse.cap(A)
        log[0].ended_s, log[0].outcome = 1.0, "rate_limit"
        log.append(attempt(1, why="key"))
        assert purse.cap(A) == first

    in_turn(look, usd=CENT, asked=body())


def test_a_longer_question_is_measured_anew() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        log = [attempt(0)]
        purse.follow(log, {})
        longer = msgspec.structs.replace(
            turn.request, messages=(*turn.request.messages, Message("assistant", (Text("word " * 4_000),)))
        )
        plain = Purse(turn, purse.limit)
        plain.sift(Decision((A, B), "m", "alias"))
        assert (purse.cap(A, longer) or 0) < (plain.cap(A, turn.request) or 0)

    in_turn(look, usd=CENT, asked=body())


def test_media_count_with_an_allowance() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    asked = body(messages=[{"role": "user", "content": [image, image]}])

    def look(turn: Turn, purse: Purse) -> None:
        assert isinstance(turn.request.messages[0].parts[0], Image)
        bought = purse.cap(A)
        assert bought is not None
        assert bought <= (CENT * 1e6 - 2 * MEDIA_TOKENS) / 2

    in_turn(look, usd=CENT, asked=asked)


def test_a_limit_that_was_passed_is_told_and_one_that_held_is_not() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        assert purse.told(None) == purse.told(picousd(CENT)) == []
        assert purse.told(picousd(0.02)) == ["max_cost_usd: it cost $0.02, the limit was $0.01"]

    in_turn(look, usd=CENT)


def test_what_costs_nothing_is_afforded_when_the_limit_is_passed() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        purse.follow([attempt(0, outcome="cut")], {0: Spent(USED)})
        assert purse.affords(msgspec.structs.replace(B, price=FREE))
        assert not purse.affords(B)

    in_turn(look, usd=0.001)


def test_the_refusal_of_a_purse_is_final() -> None:
    async def inside() -> None:
        one = of(A, usd=0.0, a=ScriptedUpstream())
        turn = Turn(one.context, one.call(ask("m")), "chat")
        turn.route = one.context.fleet.snapshot.defaults
        with pytest.raises(PolicyRefusal) as caught:
            affordable(turn, Decision((A,), "m", "alias"))
        assert not caught.value.retryable
        assert turn.decision is not None
        assert turn.decision.targets == ()

    run(inside())


def test_a_request_is_parsed_as_the_purse_needs_it_and_not_changed() -> None:
    def look(turn: Turn, purse: Purse) -> None:
        assert turn.request == ChatRequest("m", (Message("user", (Text("hello"),)),), sampling=turn.request.sampling)
        assert purse.affords(A)

    in_turn(look, usd=CENT)
