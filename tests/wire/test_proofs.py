"""Signatures of reasoning and of calls on their way between makers: what goes out comes back, to its maker alone."""

from __future__ import annotations

import base64
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.core.event import Event, ReasoningDelta, ReasoningSignature, TextDelta, ToolCallStarted, fold
from afterbay.core.message import Message, Text, Thinking, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.wire.proofs import MARK, NATIVE, SKIP, Makers, Proof, admitted, outgoing, unwrap, without_foreign, wrap

NAMES = st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
MAKERS = ["anthropic", "google", "openai", "xai"]


@given(NAMES, NAMES, st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_a_wrapped_proof_unwraps_to_itself_and_is_base64(maker: str, call: str, data: str) -> None:
    proof = Proof(maker, call, "", data)
    text = wrap(proof)
    assert unwrap(text, "anyone") == proof
    assert text.startswith(MARK)
    assert base64.b64encode(base64.b64decode(text, validate=True)).decode() == text


def test_a_plain_proof_belongs_to_the_protocols_own_maker() -> None:
    assert unwrap("EqQBCkY", "anthropic") == Proof("anthropic", "", "", "EqQBCkY")


@pytest.mark.parametrize("torn", [MARK, MARK + "!!", MARK + "AAAA"])
def test_a_torn_wrapping_is_nobodys(torn: str) -> None:
    assert unwrap(torn, "anthropic").maker == ""


def conversation(events: list[Event]) -> ChatRequest:
    return ChatRequest("m", (Message("user", (Text("hi"),)), fold(events).choices[0].message))


ANSWER: list[Event] = [
    ReasoningDelta("hm"),
    ReasoningSignature("c2ln"),
    TextDelta("so"),
    ToolCallStarted(0, "call_1", "look", "Y2FsbA=="),
    ToolCallStarted(1, "call_2", "look"),
]


@pytest.mark.parametrize("client", sorted(NATIVE))
@pytest.mark.parametrize("maker", MAKERS)
def test_what_an_answer_proved_comes_back_to_its_maker(client: str, maker: str) -> None:
    request, losses = admitted(conversation(outgoing(ANSWER, maker, client)), client, maker)
    assert losses == ()
    said = request.messages[1]
    assert [part.signature for part in said.parts if isinstance(part, ToolUse)] == ["Y2FsbA==", None]
    assert [(p.text, p.signature) for p in said.parts if isinstance(p, Thinking)] == [("hm", "c2ln")]


@pytest.mark.parametrize("client", sorted(NATIVE))
@pytest.mark.parametrize("maker", MAKERS)
def test_no_other_maker_sees_it_and_the_loss_is_named(client: str, maker: str) -> None:
    request, losses = admitted(conversation(outgoing(ANSWER, maker, client)), client, "somebody")
    assert losses
    said = request.messages[1]
    assert [part.signature for part in said.parts if isinstance(part, ToolUse)] == [None, None]
    assert [(p.text, p.signature) for p in said.parts if isinstance(p, Thinking)] == [("hm", None)]


def test_the_protocols_own_proofs_are_not_touched() -> None:
    events: list[Event] = [ReasoningSignature("x"), ToolCallStarted(0, "c", "f")]
    assert outgoing(events, "anthropic", "anthropic.messages") == events
    assert outgoing(ANSWER, "google", "gemini") is ANSWER


@pytest.mark.parametrize("client", sorted(NATIVE))
@pytest.mark.parametrize("maker", MAKERS)
def test_redacted_reasoning_stays_redacted(client: str, maker: str) -> None:
    if maker == NATIVE[client] and client in ("gemini", "openai.responses"):
        return  # its own maker has none
    out = outgoing([ReasoningSignature("blob", redacted=True)], maker, client)
    (event,) = out
    assert isinstance(event, ReasoningSignature)
    assert event.redacted is (client not in ("gemini", "openai.responses")), "elsewhere it is a plain proof"
    request, losses = admitted(conversation(out), client, maker)
    assert (request.messages[1].parts, losses) == ((Thinking(redacted="blob"),), ())


def test_a_request_without_proofs_is_the_same_object() -> None:
    request = ChatRequest("m", (Message("assistant", (Thinking("hm"), ToolUse("c", "f", "{}"))),))
    assert admitted(request, "gemini", "anthropic") == (request, ())
    assert admitted(request, "gemini", "anthropic")[0] is request


def test_a_relayed_body_without_wrapped_proofs_keeps_its_bytes() -> None:
    body = b'{ "messages" : [{"signature":"EqQB"}] }'
    assert without_foreign(body, "anthropic") == (body, False)


FOREIGN, OWN = wrap(Proof("google", "", "", "Zm9v")), wrap(Proof("anthropic", "", "", "Zm9v"))


@pytest.mark.parametrize(
    ("node", "left"),
    [
        ({"type": "thinking", "thinking": "hm", "signature": FOREIGN}, None),
        ({"type": "redacted_thinking", "data": FOREIGN}, None),
        ({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": FOREIGN}, None),
        (
            {"type": "thinking", "thinking": "hm", "signature": OWN},
            {"type": "thinking", "thinking": "hm", "signature": "Zm9v"},
        ),
        (
            {"functionCall": {"name": "f"}, "thoughtSignature": FOREIGN},
            {"functionCall": {"name": "f"}, "thoughtSignature": SKIP},
        ),
        ({"text": "", "thoughtSignature": FOREIGN}, None),
        ({"text": "so", "thoughtSignature": FOREIGN}, {"text": "so"}),
        (
            {"id": "c", "extra_content": {"google": {"thought_signature": FOREIGN}}},
            {"id": "c", "extra_content": {"google": {}}},
        ),
    ],
)
def test_a_relayed_body_loses_other_makers_proofs_and_what_holds_nothing_else(node: object, left: object) -> None:
    body = json.dumps({"model": "m", "items": [{"text": "kept"}, node, None]}).encode()
    cleaned, took = without_foreign(body, "anthropic")
    assert took is (OWN not in body.decode())
    kept = [{"text": "kept"}, None] if left is None else [{"text": "kept"}, left, None]
    assert json.loads(cleaned) == {"model": "m", "items": kept}


def detail(maker: str, data: str = "Zm9v", kind: str = "reasoning.text") -> dict[str, str]:
    field = "data" if kind == "reasoning.encrypted" else "signature"
    return {"type": kind, "text": "hm", field: wrap(Proof(maker, "", "", data))}


def test_details_of_another_makers_reasoning_leave_a_relayed_body_whole() -> None:
    """Hosts that know no such field refuse it even where it is empty."""
    plain = {"type": "reasoning.text", "text": "so"}
    said = {"role": "assistant", "content": "a", "reasoning_details": [plain, detail("anthropic")]}
    cleaned, took = without_foreign(json.dumps({"messages": [said]}).encode(), "xai")
    assert (json.loads(cleaned), took) == ({"messages": [{"role": "assistant", "content": "a"}]}, True)


def test_details_come_back_to_their_own_maker_as_they_were() -> None:
    sealed = '{"type":"reasoning.encrypted","data":"xyz","id":"rs_1"}'
    own = [detail("openrouter"), detail("openrouter", sealed, "reasoning.encrypted"), {"type": "reasoning.summary"}, 5]
    cleaned, took = without_foreign(json.dumps({"reasoning_details": own}).encode(), "openrouter")
    wanted = [{"type": "reasoning.text", "text": "hm", "signature": "Zm9v"}, json.loads(sealed), *own[2:]]
    assert (json.loads(cleaned), took) == ({"reasoning_details": wanted}, False)


def test_a_proof_of_a_call_in_the_place_of_reasoning_is_no_proof_of_reasoning() -> None:
    carried = {"type": "thinking", "thinking": "", "signature": wrap(Proof("anthropic", "call_1", "", "x"))}
    cleaned, took = without_foreign(json.dumps([carried, 1]).encode(), "anthropic")
    assert (json.loads(cleaned), took) == ([1], True)


def test_what_one_maker_of_a_protocol_sealed_is_not_sent_to_another() -> None:
    makers = Makers()
    makers.note("gAAA-openai", "openai")
    body = json.dumps(
        {"input": [{"type": "reasoning", "encrypted_content": "gAAA-openai"}, {"encrypted_content": "gAAA-unknown"}]}
    ).encode()
    assert without_foreign(body, "azure", makers) == (body, False), "while one maker is seen, nobody looks"
    makers.note("gAAA-azure", "azure")
    cleaned, took = without_foreign(body, "azure", makers)
    assert (json.loads(cleaned), took) == ({"input": [{"encrypted_content": "gAAA-unknown"}]}, True)
    assert without_foreign(body, "openai", makers) == (body, False), "byte for byte"


def test_the_makers_of_the_oldest_proofs_are_forgotten() -> None:
    makers = Makers(most=2)
    for number in range(3):
        makers.note(str(number), "openai")
    assert [makers.of(str(number)) for number in range(3)] == [None, "openai", "openai"]
