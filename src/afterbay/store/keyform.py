"""What a virtual key looks like: its secret, its name, what its operator sees of it. Pure but for the random bits.

A secret is `ab-`, 43 characters of base 62 that hold 256 random bits, and 6 that hold the CRC-32 of all before them: a
leak scanner can tell a real one from a look-alike without asking us (the idea and the figures are GitHub's: "Behind
GitHub's new authentication token formats", github.blog, 2021-04-05). With 256 random bits a slow hash adds nothing:
there is nothing to guess.
"""

from __future__ import annotations

import re
import secrets
import zlib
from typing import Final

import msgspec

from afterbay.core.redaction import is_like_a_secret, redact
from afterbay.core.secret import Secret
from afterbay.policy.authority import Role
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights
from afterbay.store.errors import InvalidKey

PREFIX: Final = "ab-"
BODY_CHARS: Final = 43
SUM_CHARS: Final = 6
HINT_CHARS: Final = 7
"""How much of a secret is kept to recognise it by: the prefix and 4 characters, of 43."""

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{BODY_CHARS + SUM_CHARS}}}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class KeyInfo(msgspec.Struct, frozen=True):
    """A key as its operator sees it. Times are UTC RFC 3339; `hint` is the start of the secret.

    `owner`: the id of the organisation, team or user that it belongs to; empty: nobody. `rights` and `preference` are
    its own; what its owners' leave of them is in `ports.Key`. `charged`: keys that made it and whose limits hold for it
    too, by id. `old_until`: so long its secret before the last rotation is good. `throwaway`: it was made for one
    run of a program, and does not close a gateway that is open.
    """

    id: str
    name: str
    hint: str
    owner: str = ""
    role: Role | None = None
    rights: Rights = EVERYTHING
    preference: Preference = NO_WISH
    charged: tuple[str, ...] = ()
    created_at: str = ""
    revoked_at: str | None = None
    old_until: str | None = None
    throwaway: bool = False


class KeyRow(msgspec.Struct, frozen=True):
    """A key as it is stored: with the digests of its secret, and of the one before while that is still good."""

    info: KeyInfo
    digest: bytes
    old_digest: bytes | None = None


class NewKey(msgspec.Struct, frozen=True):
    """A key just made. The only place where its secret is; nobody can show it again."""

    info: KeyInfo
    secret: Secret


def new_secret() -> str:
    """A secret of 256 random bits."""
    body = PREFIX + _base62(secrets.randbits(256), BODY_CHARS)
    return body + _base62(zlib.crc32(body.encode()), SUM_CHARS)


def is_well_formed(text: str) -> bool:
    """Whether text is a secret of ours by shape and checksum. Says nothing about whether it is valid: for scanners."""
    if not _SHAPE.fullmatch(text):
        return False
    return text[-SUM_CHARS:] == _base62(zlib.crc32(text[:-SUM_CHARS].encode()), SUM_CHARS)


def check_name(name: str) -> None:
    """Whether a key or a tenant may have this name.

    Raises:
        InvalidKey: it may not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidKey(
            f"{name[:80]!r} cannot be a name here.",
            "Use 1 to 64 letters, digits, dots, dashes, underscores or @, with a letter or a digit first.",
        )
    if is_like_a_secret(name):
        raise InvalidKey(
            f"{redact(name)!r} looks like a key, and names are shown in lists, logs and reports.",
            "If it is one, take it back where it comes from; choose a name that says whose key it is.",
        )


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
