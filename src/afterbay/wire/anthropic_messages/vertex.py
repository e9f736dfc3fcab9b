"""A Messages body as Vertex AI takes it: the version stands inside, the model and the method in the path.

Source: anthropic 2.13.0, `lib/vertex/_client.py`.
"""

from __future__ import annotations

import msgspec

VERSION = msgspec.Raw(b'"vertex-2023-10-16"')

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])


def for_vertex(body: bytes, *, counts: bool = False) -> bytes:
    """`body` with Vertex AI's version in it and without the model, which a request to count tokens keeps.

    The values stay byte for byte, and so does their order.
    """
    members = _BODY.decode(body)
    if not counts:
        members.pop("model", None)
    members.setdefault("anthropic_version", VERSION)
    return msgspec.json.encode(members)
