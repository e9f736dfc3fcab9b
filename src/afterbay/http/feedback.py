"""`POST /v1/feedback`: what a client thinks of an answer that it got.

One says it of one's own requests only, and may say it again: the last word counts. A comment is kept without what looks
like a credential or tells who somebody is, and goes when its user is erased (`afterbay erase`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from afterbay.core.decision import Record
from afterbay.core.errors import Capacity, ClientMistake
from afterbay.core.redaction import clean
from afterbay.label_ports import Label, Labels
from afterbay.ports import Clock, Key
from afterbay.wire.decoding import decode_object, mistake

BODY_BYTES: Final = 64 * 1024
COMMENT_CHARS: Final = 2000
WITHIN_S: Final = 5.0
"""How long the database may take for it."""

WORDS: Final[Mapping[str, float]] = MappingProxyType({"good": 1.0, "up": 1.0, "bad": 0.0, "down": 0.0})
"""What a label is worth."""
UNSEEN: Final = frozenset({"shadow", "judge"})
"""Operations that no client asked for."""

_encode = msgspec.json.Encoder().encode
logger = logging.getLogger("afterbay.http")


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str
    score: float | None = None
    label: str | None = None
    comment: str | None = None


class Feedback:
    """Takes what clients say. `find_record` looks a request up in the log."""

    def __init__(self, labels: Labels, find_record: Callable[[str], Awaitable[Record | None]], clock: Clock) -> None:
        self._labels, self._find_record, self._clock = labels, find_record, clock

    async def take(self, body: bytes, key: Key | None) -> bytes:
        """Keeps what is said; the answer's body.

        Raises:
            ClientMistake: it is not right, or about no request of one's own.
            Capacity: 503 `labels_unavailable`: the database does not take it now.
        """
        said = _read(body)
        score, kind = _scored(said)
        try:
            async with asyncio.timeout(WITHIN_S):
                record = await self._own(said.request_id, key)
                comment = clean(said.comment) if said.comment else None
                at = self._clock.utc()
                label = Label(record.id, record.route, at, "feedback", record.model, score, kind, comment)
                await self._labels.put(label)
        except ClientMistake:
            raise
        except Exception as trouble:
            logger.warning("feedback on %s could not be kept: %s", said.request_id[:60], trouble)
            raise Capacity(
                "Feedback cannot be kept now: the database does not answer.",
                code="labels_unavailable",
                retry_after_s=5.0,
            ) from None
        return _encode({"object": "feedback", "request_id": record.id, "score": score, "label": kind})

    async def _own(self, request_id: str, key: Key | None) -> Record:
        """The record of a request of the one who asks.

        Raises:
            ClientMistake: there is none, or nobody answered it well.
        """
        record = await self._find_record(request_id)
        if record is None or (key is not None and record.key_id != key.id) or record.operation in UNSEEN:
            raise ClientMistake(
                f"There is no request '{request_id[:60]}' of yours in the log.",
                status=404,
                kind="not_found",
                code="unknown_request",
                param="request_id",
                remedy="Records appear within a second after the last byte; the id is in the x-request-id header.",
            )
        if not record.model or record.outcome != "ok":
            raise ClientMistake(
                f"The request '{record.id}' got no whole answer.",
                code="no_answer",
                param="request_id",
                remedy="Give feedback on requests that were answered.",
            )
        return record


def _read(body: bytes) -> _Said:
    """What is said.

    Raises:
        ClientMistake: it is not right.
    """
    data = decode_object(body)
    try:
        said = msgspec.convert(data, _Said)
    except msgspec.ValidationError as error:
        raise mistake(error) from None
    if said.comment is not None and len(said.comment) > COMMENT_CHARS:
        raise ClientMistake(
            f"The field 'comment' is {len(said.comment)} characters long.",
            code="invalid_value",
            param="comment",
            remedy=f"A comment has at most {COMMENT_CHARS}.",
        )
    return said


def _scored(said: _Said) -> tuple[float, str]:
    """The score, and how it was said.

    Raises:
        ClientMistake: there is none, or there are two, or it is out of range.
    """
    if (said.score is None) == (said.label is None):
        raise ClientMistake(
            "Feedback has either a 'score' or a 'label'.",
            code="invalid_value",
            param="score" if said.score is None else "label",
            remedy=f"Give a score from 0 to 1, or a label: {', '.join(WORDS)}.",
        )
    if said.label is not None:
        if said.label not in WORDS:
            raise ClientMistake(
                f"The label is '{said.label[:40]}'.",
                code="invalid_value",
                param="label",
                remedy=f"Say {', '.join(WORDS)}, or give a score from 0 to 1.",
            )
        return WORDS[said.label], said.label
    score = said.score if said.score is not None else -1.0
    if not 0.0 <= score <= 1.0:
        raise ClientMistake(
            f"The score is {score:g}.", code="invalid_value", param="score", remedy="Give a number from 0 to 1."
        )
    return score, "score"
