"""What people write may look like a wrapped proof; what cannot be read is not the gateway's to judge."""

from __future__ import annotations

import json

import pytest

from afterbay.wire.proofs import MARK, Proof, without_foreign, wrap

FOREIGN = wrap(Proof("google", "", "", "Zm9v"))


@pytest.mark.parametrize("text", [MARK, FOREIGN, f"{MARK} what is this?", f"what is {FOREIGN}?"])
@pytest.mark.parametrize(
    "message",
    [
        lambda text: {"role": "user", "content": text},
        lambda text: {"role": "user", "content": [{"type": "text", "text": text}]},
        lambda text: {
            "role": "assistant",
            "content": [{"type": "tool_use", "input": {"signature": text, "data": text}}],
        },
        lambda text: {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": text}}]},
    ],
)
def test_text_that_looks_like_a_proof_is_text(text: str, message: object) -> None:
    body = json.dumps({"model": "m", "user": text, "messages": [message(text)]}, indent=1).encode()  # type: ignore[operator]
    assert without_foreign(body, "openai") == (body, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"%b","b":"\\ud800"}',
        b'{"a":"%b","b":"\xff"}',
        b'{"a":"%b","b":1e999}',
        b'{"a":"%b","b":',
        b'{"a":"%b","b":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"encrypted_content":"%b"}',
    ],
)
def test_a_body_that_cannot_be_read_to_its_end_is_relayed_as_it_is(body: bytes) -> None:
    whole = body.replace(b"%b", FOREIGN.encode())
    assert without_foreign(whole, "openai") == (whole, False)


def test_a_detail_with_two_made_up_proofs_is_the_first_one() -> None:
    detail = {"signature": wrap(Proof("openai", "", "", "{not json")), "data": wrap(Proof("openai", "", "", "x"))}
    body = json.dumps({"messages": [{"reasoning_details": [detail]}]}).encode()
    cleaned, took = without_foreign(body, "openai")
    assert (json.loads(cleaned), took) == ({"messages": [{"reasoning_details": ["{not json"]}]}, False)
