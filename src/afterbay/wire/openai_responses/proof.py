"""The proof of a reasoning item (`encrypted_content`) as one string, in both directions.

OpenAI's own proofs stand in canonical signatures as `id|data`: the item's id, which may be empty (Codex sends items
back without), a bar, the encrypted content. Neither base64 nor Fernet tokens have a bar.

Proofs of other protocols (Anthropic's and Gemini's signatures, redacted blocks) travel through a client of this one
as `afterbay.signature|data` and `afterbay.redacted|data` in the place of `encrypted_content`, so that they come back
unchanged and are told from OpenAI's, whatever the client does with ids.
"""

from __future__ import annotations

from afterbay.core.message import Thinking

_SIGNATURE, _REDACTED = "afterbay.signature|", "afterbay.redacted|"


def join(item_id: str | None, encrypted: str) -> str:
    """The canonical signature of a provider's reasoning item."""
    return f"{item_id or ''}|{encrypted}"


def split(signature: str | None) -> tuple[str, str] | None:
    """(item id, encrypted content) of a signature of this protocol; None for another one's, and for none."""
    if signature is None or "|" not in signature:
        return None
    item_id, _, data = signature.partition("|")
    return item_id, data


def wrap(data: str, redacted: bool) -> tuple[str, str]:
    """What a client is given for a proof: (item id or an empty string, encrypted content)."""
    if redacted:
        return "", _REDACTED + data
    return split(data) or ("", _SIGNATURE + data)


def unwrap(text: str, item_id: str | None, encrypted: str | None) -> Thinking:
    """The reasoning that a client sends back."""
    if not encrypted:
        return Thinking(text)
    if encrypted.startswith(_REDACTED):
        return Thinking(redacted=encrypted.removeprefix(_REDACTED))
    if encrypted.startswith(_SIGNATURE):
        return Thinking(text, encrypted.removeprefix(_SIGNATURE))
    return Thinking(text, join(item_id, encrypted))
