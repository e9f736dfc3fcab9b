"""The proof of a reasoning item (`encrypted_content`) as one string.

A proof of this protocol stands in canonical signatures as `id|data`: the item's id, which may be empty (Codex sends
items back without), a bar, the encrypted content. Neither base64 nor Fernet tokens have a bar. Proofs of other makers
come wrapped (`afterbay.wire.proofs`) and stay as they are, since a wrapping knows its maker itself.
"""

from __future__ import annotations

from afterbay.wire.proofs import MARK


def join(item_id: str | None, encrypted: str) -> str:
    """The canonical signature of a reasoning item."""
    return encrypted if encrypted.startswith(MARK) else f"{item_id or ''}|{encrypted}"


def split(signature: str | None) -> tuple[str, str] | None:
    """(item id, encrypted content) of a signature of this protocol; None for another one's, and for none."""
    if signature is None or "|" not in signature:
        return None
    item_id, _, data = signature.partition("|")
    return item_id, data


def shown(signature: str) -> tuple[str, str]:
    """(item id or an empty string, encrypted content) for a client, whosever proof it is."""
    return split(signature) or ("", signature)
