"""Stand-ins: a request and answers that make the same happen as those that were not recorded.

An answer follows its attempt: the same status, the first output and the end at the same moments, as many tokens as were
counted, and broken off in the same way. Its words are numbered (`w000001 w000002 ...`), so that an answer which goes on
with another one can be made to begin where that one broke off (see `afterbay.testing.incident.upstream`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, cast

import msgspec

from afterbay.core.decision import Attempt, Record
from afterbay.core.errors import ErrorKind, GatewayError, ProviderError
from afterbay.core.event import Event, Finished, FinishReason, Started, TextDelta, UsageSeen, fold
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest, Sampling
from afterbay.core.shape import filled, filler
from afterbay.core.usage import Usage
from afterbay.engine.circumstances import MODEL
from afterbay.policy.outlier import TOO_SLOW
from afterbay.policy.plan import Rules
from afterbay.policy.speed import SLICE_S
from afterbay.testing.incident.vectors import Vectors, errors_of, named, plain_body
from afterbay.testing.incident.wording import is_own, kind_of, message_of
from afterbay.testing.recorded import Content, Recorded, content
from afterbay.wire.dialect import Dialect, Head
from afterbay.wire.registry import DIALECTS
from afterbay.wire.splice import replace_model

_JSON: Final[Mapping[str, str]] = {"content-type": "application/json"}
_PIECES: Final = 1200
"""A stream has at most so many pieces after the first, spread over its time."""
_GAP_S: Final = 0.25
_WORD_CHARS: Final = 8
_CHARS_PER_TOKEN: Final = 4
_QUOTE_WORDS: Final = 24
"""What goes on with an answer says more than it is asked to repeat (`policy.resume.QUOTE_CHARS`)."""
_MOST_WORDS: Final = 200_000
_LIMIT: Final = re.compile(r"= ([0-9.e+-]+) s$")
"""How a timeout of the gateway's ends: with the limit that was passed."""
_FINISHES: Final = frozenset({"stop", "stop_sequence", "length", "tool_calls", "content_filter", "pause", "error"})
_NO_SHAPE: Final = "the request is one text: no shape of it was kept"
_LEARNED_FLOOR: Final = "what the gateway had learned of its target's speed was not kept: it may be waited for longer"
_ENVELOPE_CHARS: Final = 160
_SHAPE_BYTES: Final = 4 * 1024 * 1024


class Made(msgspec.Struct, frozen=True):
    """A stand-in, and what of it is not as it was."""

    answer: Recorded
    notes: tuple[str, ...] = ()


def body_of(record: Record, rules: Rules | None) -> tuple[bytes, tuple[str, ...]]:
    """The client's request with filler for text, from its kept shape, else from its size alone; and what is not as it
    was. `rules`: the words that a route was chosen by are in it again."""
    kept = record.circumstances
    embeds = record.operation == "embeddings"
    if kept is not None and kept.shape:
        shape = zlib.decompressobj().decompress(kept.shape, _SHAPE_BYTES).decode("utf-8", "replace")
        body = filled(shape, _said(record, rules)).encode()
        if embeds:
            body = named(record, body, MODEL)
        elif record.protocol != "gemini":
            body = replace_model(body, record.requested_model)
        left = tuple(f"the request has no {name}" for name in kept.left_out)
        return body, left
    tokens = record.usage.input_tokens if record.usage is not None and not record.usage.estimated else 0
    chars = max(record.request_bytes - _ENVELOPE_CHARS, _CHARS_PER_TOKEN * tokens, 1)
    if embeds:
        return plain_body(record, chars), (_NO_SHAPE,)
    message = Message("user", (Text(filler(chars, max(chars // 6, 1), 0, _said(record, rules))),))
    request = ChatRequest(record.requested_model, (message,), sampling=Sampling(max_output_tokens=1024))
    request = msgspec.structs.replace(request, stream=record.stream)
    built = DIALECTS[record.protocol].build_request(request, record.requested_model)
    return built.body, (_NO_SHAPE,)


def _said(record: Record, rules: Rules | None) -> str:
    """The word by which a rule of the route knew the prompt."""
    _, _, rule = record.rule.rpartition("; ")[2].partition(":")
    words: tuple[str, ...] = getattr(rules, rule, ()) if rules is not None and rule in Rules.__struct_fields__ else ()
    return words[0] if isinstance(words, tuple) and words else ""


def answer_of(record: Record, attempt: Attempt, name: str, *, with_words: bool, vectors: Vectors | None = None) -> Made:
    """The answer that its provider gave to an attempt, in the dialect of this name. `with_words`: its error in the
    provider's own words; `vectors`: what is asked for, if it is vectors."""
    dialect = DIALECTS[name] if vectors is None else errors_of(name)
    took = _Times(record, attempt)
    message = message_of(attempt) if with_words or is_own(attempt) else ""
    plain = Recorded(
        provider=attempt.target.partition("/")[0],
        path=f"/{name}",
        request_headers={},
        request=content(b""),
        end="complete",
    )
    if attempt.headers_s is None:
        return Made(_unanswered(plain, attempt, took, message))
    plain = msgspec.structs.replace(plain, status=200, headers_at_s=took.headers_s, end_at_s=took.end_s)
    if (attempt.status or 200) >= 400 and attempt.first_token_s is None:
        return _refused(plain, attempt, dialect, took, message)
    if record.stream:
        notes = (_LEARNED_FLOOR,) if attempt.code == TOO_SLOW and "learned" in (attempt.error or "") else ()
        return Made(_streamed(plain, record, attempt, dialect, took), notes)
    if vectors is not None and attempt.outcome in ("ok", "client_closed", None) and took.first_s is not None:
        body = vectors.answer(name, attempt.target.partition("/")[2], _usage_of(attempt))
        return Made(_at_once(plain, body, took))
    return Made(_whole(plain, record, attempt, dialect, took))


class _Times:
    """The moments of an attempt, from its start."""

    def __init__(self, record: Record, attempt: Attempt) -> None:
        def since(moment_s: float | None) -> float | None:
            return round(max(moment_s - attempt.started_s, 0.0), 6) if moment_s is not None else None

        over = since(attempt.ended_s)
        self.end_s = over if over is not None else round(max(record.duration_s - attempt.started_s, 0.0), 6)
        headers = since(attempt.headers_s)
        self.headers_s = min(headers if headers is not None else self.end_s, self.end_s)
        first = since(attempt.first_token_s)
        self.first_s = min(max(first, self.headers_s), self.end_s) if first is not None else None
        limit = _LIMIT.search(attempt.error or "") if attempt.code == "timeout_between_tokens" else None
        quiet_s = float(limit[1]) if limit is not None else 0.0
        self.last_s = max(self.end_s - quiet_s, self.first_s or self.headers_s)
        """When the last output came."""


def _unanswered(plain: Recorded, attempt: Attempt, took: _Times, message: str) -> Recorded:
    """No headers came: no connection, a broken one, or silence."""
    if kind_of(attempt) == "connection" or attempt.code == "starting":
        return msgspec.structs.replace(
            plain,
            end="broken",
            end_at_s=took.end_s,
            message=message or "no connection",
            connected=attempt.code == "connection_broken",
            code=attempt.code if attempt.code != "starting" else None,
            starting_s=attempt.asked_s if attempt.code == "starting" else None,
        )
    return msgspec.structs.replace(plain, end="silent")


def _refused(plain: Recorded, attempt: Attempt, dialect: Dialect, took: _Times, message: str) -> Made:
    """An error of the provider's own, in its dialect."""
    status = attempt.status or 500
    headers = dict(_JSON)
    if attempt.asked_s is not None:
        headers["retry-after-ms"] = f"{attempt.asked_s * 1000:.0f}"
        headers["retry-after"] = f"{attempt.asked_s:g}"
    kind = cast(ErrorKind, kind_of(attempt) or "server")
    wanted = ProviderError(kind, message, status, attempt.code, None, attempt.asked_s)
    body, is_same = error_body(dialect, headers, wanted)
    chunks = (content(body, took.headers_s),)
    answer = msgspec.structs.replace(
        plain, status=status, response_headers=headers, chunks=chunks, end_at_s=took.headers_s
    )
    note = f"attempt {attempt.number}: its error cannot be told again as {kind} {attempt.code or ''}".rstrip()
    return Made(answer, () if is_same else (note,))


def error_body(dialect: Dialect, headers: Mapping[str, str], wanted: ProviderError) -> tuple[bytes, bool]:
    """An error in a dialect that reads as the wanted one; and whether it does."""
    status, best = wanted.status or 500, b""
    for body in _error_bodies(dialect, wanted):
        read = dialect.parse_error(status, headers, body)
        if read.kind == wanted.kind:
            best = best or body
            if read.code == wanted.code:
                return body, True
    return best or next(_error_bodies(dialect, wanted)), False


_PHRASES: Mapping[str, tuple[str, ...]] = {
    "quota": ("Your credit balance is too low", "insufficient credits"),
    "content_filter": ("Output blocked by content filtering policy", "content_filter"),
    "invalid_request": ("This model does not support assistant message prefill",),
    "too_large": ("prompt is too long",),
}
"""Words that providers say, and by which alone some errors are known."""


def _error_bodies(dialect: Dialect, wanted: ProviderError) -> Iterator[bytes]:
    """Bodies that might read so, the plainest first."""
    code, status = wanted.code, wanted.status or 500
    for message in (wanted.message or "It failed.", *_PHRASES.get(wanted.kind, ())):
        error = GatewayError(message, code=code, status=status, kind=wanted.kind, remedy="")
        yield dialect.render_error(error, "req-1")
        yield msgspec.json.encode({"error": {"message": message, "type": code, "code": code}})
        yield msgspec.json.encode({"error": {"message": message, "code": status, "status": code}})
        yield msgspec.json.encode({"type": "error", "error": {"type": code or "api_error", "message": message}})
        details = {"error_code": code}
        kind = "rate_limit_error" if status == 429 else "invalid_request_error"
        yield msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message, "details": details}})
        yield msgspec.json.encode({"message": message, "code": code})
        yield msgspec.json.encode({"message": message, "type": code})


def numbered(first: int, count: int) -> str:
    """Numbered words."""
    return "".join(f"w{number:06d} " for number in range(first, first + count))


def _usage_of(attempt: Attempt) -> Usage | None:
    return attempt.usage if attempt.usage is not None and not attempt.usage.estimated else None


def _words_of(attempt: Attempt) -> int:
    used = attempt.usage
    tokens = used.output_tokens + used.reasoning_tokens if used is not None else 16
    return min(max(tokens * _CHARS_PER_TOKEN // _WORD_CHARS, 1), _MOST_WORDS)


def _finish_of(record: Record, attempt: Attempt) -> FinishReason:
    if attempt.error == "the model failed to finish its answer":
        return "error"
    if attempt.outcome == "ok" and attempt.error:  # it refused, which is an answer
        return "content_filter"
    known = record.finish in _FINISHES and record.finish not in ("tool_calls", "error")
    return cast(FinishReason, record.finish) if known and attempt.outcome == "ok" else "stop"


def _head(attempt: Attempt) -> Head:
    used = _usage_of(attempt)
    inputs = used.input_tokens if used is not None else 0
    return Head("replayed", attempt.target.partition("/")[2], 0, include_usage=used is not None, input_tokens=inputs)


def _ending(record: Record, attempt: Attempt) -> list[Event]:
    used = _usage_of(attempt)
    return [*([UsageSeen(used)] if used is not None else []), Finished(_finish_of(record, attempt))]


def _streamed(plain: Recorded, record: Record, attempt: Attempt, dialect: Dialect, took: _Times) -> Recorded:
    renderer = dialect.renderer(_head(attempt))
    begun = renderer.render([Started("answer-1", attempt.target.partition("/")[2])])
    chunks: list[Content] = [content(begun, took.headers_s)] if begun else []
    if took.first_s is not None and attempt.outcome != "empty":
        moments = _moments(took.first_s, took.last_s, SLICE_S / 2 if attempt.code == TOO_SLOW else _GAP_S)
        least = _QUOTE_WORDS if attempt.why == "resume" else 1
        words, at = max(_words_of(attempt), len(moments), least), 1
        for i, moment_s in enumerate(moments):
            count = words * (i + 1) // len(moments) - words * i // len(moments)
            chunks.append(content(renderer.render([TextDelta(numbered(at, count))]), moment_s))
            at += count
    answer = msgspec.structs.replace(plain, response_headers={"content-type": dialect.stream_type})
    match attempt.outcome:
        case "ok" | "empty" | "invalid":
            tail = renderer.render(_ending(record, attempt)) + renderer.finish(None)
            last = Content(took.last_s) if not tail else content(tail, took.last_s)
            return msgspec.structs.replace(answer, chunks=(*chunks, last))
        case "timeout" | "cancelled" | "client_closed" | None:
            return msgspec.structs.replace(answer, chunks=tuple(chunks), end="silent")
        case _ if kind_of(attempt) in ("cut", "connection"):
            return _broken(answer, tuple(chunks), attempt)
        case _:
            wrong = _said_inside(dialect, renderer.fail, attempt)
            return msgspec.structs.replace(answer, chunks=(*chunks, content(wrong, took.end_s)))


def _broken(answer: Recorded, chunks: tuple[Content, ...], attempt: Attempt) -> Recorded:
    said = message_of(attempt) if is_own(attempt) else ""
    return msgspec.structs.replace(answer, chunks=chunks, end="broken", message=said or None, code=attempt.code)


def _said_inside(dialect: Dialect, fail: object, attempt: Attempt) -> bytes:
    """An error inside a stream, or bytes that are none of the dialect's."""
    if attempt.code == "bad_answer" or not callable(fail):
        return b"event: broken\ndata: {broken\n\n"
    kind = cast(ErrorKind, kind_of(attempt) or "server")
    error = GatewayError("It failed.", kind=kind, code=attempt.code, status=attempt.status, remedy="")
    said = fail(error)
    return said if isinstance(said, bytes) else b""


def _moments(first_s: float, last_s: float, gap_s: float) -> list[float]:
    """When the pieces of a stream come: so close together that none of them is late; one that trickled has two in
    each slice that its speed was looked at."""
    if last_s <= first_s:
        return [first_s]
    count = min(max(int((last_s - first_s) / gap_s), 1), _PIECES)
    return [round(first_s + (last_s - first_s) * i / count, 6) for i in range(count + 1)]


def _whole(plain: Recorded, record: Record, attempt: Attempt, dialect: Dialect, took: _Times) -> Recorded:
    answer = msgspec.structs.replace(plain, response_headers=dict(_JSON))
    match attempt.outcome:
        case "timeout" | "cancelled" | "client_closed" | None if took.first_s is None:
            return msgspec.structs.replace(answer, end="silent")
        case _ if kind_of(attempt) in ("cut", "connection"):
            return _broken(answer, (), attempt)
        case "error" | "rate_limit":
            if attempt.code == "bad_answer":
                body = b"this is no answer"
            else:
                kind = cast(ErrorKind, kind_of(attempt) or "server")
                wanted = ProviderError(kind, "", attempt.status or 200, attempt.code)
                body, _ = error_body(dialect, _JSON, wanted)
        case _:
            text = numbered(1, _words_of(attempt)) if attempt.outcome != "empty" else ""
            said: list[Event] = [TextDelta(text)] if text else []
            events = [Started("answer-1", attempt.target.partition("/")[2]), *said, *_ending(record, attempt)]
            body = dialect.render_answer(fold(events), _head(attempt), None)[0]
    return _at_once(plain, body, took)


def _at_once(plain: Recorded, body: bytes, took: _Times) -> Recorded:
    """A whole answer, when it was read."""
    at_s = took.first_s if took.first_s is not None else took.end_s
    return msgspec.structs.replace(plain, response_headers=dict(_JSON), chunks=(content(body, at_s),), end_at_s=at_s)
