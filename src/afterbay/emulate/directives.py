"""Orders in double square brackets in the last user message, so that a test or a demo can choose what happens.

    [[status 429]]  [[status 429 retry-after 2]]   an error at once (2: seconds, any number, to try absurd ones)
    [[refuse]]                                     the connection is reset without an answer
    [[hang]]  [[hang 5s]]                          no headers, for ten minutes or as long as said
    [[headers 2s]]                                 headers come late
    [[ttft 1s]]                                    the first output comes late
    [[slow 300ms]]                                 so long between two pieces of output
    [[status 401 key]]  quota, slow-down, too-long an error for that reason, in the provider's words
    [[retry-after TEXT]]                           what the error says in that header, whatever it is
    [[html]]  [[blank]]  [[empty]]                 a web page; no body; a proper answer with no output
    [[redirect]]  [[no-content]]                   302 to elsewhere; 204
    [[filter]]                                     no output, for the content filter forbids it
    [[model NAME]]                                 says that it was answered by that model
    [[type TEXT]]  [[type]]                        another content type, or none
    [[cut 5]]  [[cut 5 reset|close|eof|half]]      breaks off after 5 pieces
    [[stall 3]]  [[stall 3 2s]]  [[stall 3 2s pings]]   silent after 3 pieces, for ten minutes or as long as said
    [[malformed 2]]                                piece number 2 is not JSON
    [[error 3]]                                    an error event after 3 pieces
    [[tokens 50]]                                  a text of 50 words
    [[no-usage]]  [[usage negative|huge]]          the answer does not say its usage, or says an absurd one
    [[lines crlf|cr|bom|tight]]                    other line ends, a byte order mark, no blank after the colon
    [[twice 3]]                                    piece 3 comes twice
    [[unknown 3]]  [[comment 3]]                   an event of no known type, or comments, before piece 3
    [[huge 3 2000000]]                             piece 3 is longer by so many bytes
    [[interleave]]                                 pieces of several tool calls come by turns
    [[after-end]]  [[no-terminal]]                 output after the finish reason; the protocol's last event is missing
    [[call NAME]]                                  calls that tool (read by `answer`)
    [[say TEXT]]                                   answers with that text (read by `answer`)

A scope before a colon, `[[openai: cut 5]]` or `[[emu-a: status 503]]`, keeps an order to the provider or the model of
that name: in a chain of fallbacks one target fails and the next does not. Anything else in brackets is plain text; a
known word with wrong arguments is a 400 that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.emulate.delay import seconds
from afterbay.emulate.plan import Plan

_ORDER = re.compile(r"\[\[\s*(?:([\w./-]+):\s+)?([a-z-]+)([^\[\]]*)\]\]")
_LIMIT = 64
_FOREVER_S = 600.0
_HUGE_BYTES = 64 << 20
_REASONS = ("quota", "slow-down", "too-long", "key")
_Words = list[str]


class Orders(msgspec.Struct, frozen=True):
    """What a prompt orders: changes of the plan, tools to call, a text to say."""

    plan: Plan
    calls: tuple[str, ...] = ()
    say: str | None = None


def obey(text: str, plan: Plan, names: tuple[str, ...]) -> Orders:
    """The plan as the orders in `text` change it; `names` are the scopes that this request is in.

    Raises:
        ClientMistake: an order has wrong arguments.
    """
    changes: dict[str, Any] = {}
    calls: list[str] = []
    say: str | None = None
    for match in list(_ORDER.finditer(text))[:_LIMIT]:
        scope, word, rest = match[1], match[2], match[3].strip()
        if scope is not None and scope not in names:
            continue
        if word == "call" and rest:
            calls.append(rest)
        elif word == "say":
            say = rest
        elif word in _READERS:
            changes |= _read(word, rest)
    return Orders(msgspec.structs.replace(plan, **changes), tuple(calls), say)


def without_orders(text: str) -> str:
    """The text without what looks like an order, for echoing."""
    return _ORDER.sub(lambda match: "" if match[2] in _WORDS else match[0], text).strip()


def _read(word: str, rest: str) -> dict[str, Any]:
    try:
        return _READERS[word](rest.split())
    except (ValueError, IndexError):
        raise ClientMistake(
            f"The directive '[[{word} {rest}]]' cannot be read.",
            code="bad_directive",
            remedy=f"Write it as {_FORMS[word]}.",
        ) from None


def _status(words: _Words) -> dict[str, Any]:
    status = int(words[0])
    if not 400 <= status <= 599:
        raise ValueError(status)
    wait_s: float | None = None
    reason = ""
    if len(words) > 1 and words[1] in _REASONS:
        reason = words.pop(1)
    if len(words) > 1:
        _expect(len(words) == 3 and words[1] == "retry-after")
        wait_s = float(words[2])
    return {"status": status, "retry_after_s": wait_s} | ({"reason": reason} if reason else {})


def _cut(words: _Words) -> dict[str, Any]:
    how = words[1] if len(words) > 1 else "reset"
    _expect(len(words) <= 2 and how in ("reset", "close", "eof", "half"))
    return {"cut_at": _count(words), "cut_how": how}


def _stall(words: _Words) -> dict[str, Any]:
    pings = len(words) > 1 and words[-1] == "pings"
    times = words[1:-1] if pings else words[1:]
    _expect(len(times) <= 1)
    stall_s = seconds(times[0]) if times else _FOREVER_S
    return {"stall_at": _count(words), "stall_s": stall_s, "stall_pings": pings}


def _huge(words: _Words) -> dict[str, Any]:
    _expect(len(words) == 2)
    return {"huge_at": _count(words), "huge_bytes": min(int(words[1]), _HUGE_BYTES)}


def _text(field: str) -> Callable[[_Words], dict[str, Any]]:
    return lambda words: {field: " ".join(words)}


def _one_of(field: str, *allowed: str) -> Callable[[_Words], dict[str, Any]]:
    def read(words: _Words) -> dict[str, Any]:
        _expect(len(words) == 1 and words[0] in allowed)
        return {field: words[0]}

    return read


def _count(words: _Words) -> int:
    number = int(words[0])
    _expect(0 <= number <= 1_000_000)
    return number


def _expect(is_right: bool) -> None:
    if not is_right:
        raise ValueError


def _only_count(field: str) -> Callable[[_Words], dict[str, Any]]:
    def read(words: _Words) -> dict[str, Any]:
        _expect(len(words) == 1)
        return {field: _count(words)}

    return read


def _only_time(field: str, default_s: float | None = None) -> Callable[[_Words], dict[str, Any]]:
    def read(words: _Words) -> dict[str, Any]:
        if not words and default_s is not None:
            return {field: default_s}
        _expect(len(words) == 1)
        return {field: seconds(words[0])}

    return read


def _flag(field: str, value: object = True) -> Callable[[_Words], dict[str, Any]]:
    def read(words: _Words) -> dict[str, Any]:
        _expect(not words)
        return {field: value}

    return read


_READERS: Mapping[str, Callable[[_Words], dict[str, Any]]] = MappingProxyType(
    {
        "status": _status,
        "refuse": _flag("refuse"),
        "hang": _only_time("hang_s", _FOREVER_S),
        "headers": _only_time("headers_s"),
        "ttft": _only_time("ttft_s"),
        "slow": _only_time("gap_s"),
        "html": _flag("body", "html"),
        "blank": _flag("body", "blank"),
        "empty": _flag("empty"),
        "cut": _cut,
        "stall": _stall,
        "malformed": _only_count("malformed_at"),
        "error": _only_count("error_at"),
        "tokens": _only_count("output_tokens"),
        "no-usage": _flag("no_usage"),
        "retry-after": _text("wait_text"),
        "redirect": _flag("body", "redirect"),
        "no-content": _flag("body", "no_content"),
        "filter": _flag("filtered"),
        "model": _text("model"),
        "type": _text("content_type"),
        "usage": _one_of("usage_as", "negative", "huge"),
        "lines": _one_of("lines", "crlf", "cr", "bom", "tight"),
        "twice": _only_count("twice_at"),
        "unknown": _only_count("unknown_at"),
        "comment": _only_count("comment_at"),
        "huge": _huge,
        "interleave": _flag("interleave"),
        "after-end": _flag("after_end"),
        "no-terminal": _flag("no_terminal"),
    }
)
_WORDS = frozenset({*_READERS, "call", "say"})
_FORMS: Mapping[str, str] = MappingProxyType(
    {word: f"[[{word}]]" for word in _READERS}
    | {
        "status": "[[status 429]] or [[status 429 retry-after 2]], with a status from 400 to 599; "
        "a reason may follow it: quota, slow-down, too-long or key",
        "hang": "[[hang]] or [[hang 5s]]",
        "headers": "[[headers 2s]]",
        "ttft": "[[ttft 1s]]",
        "slow": "[[slow 300ms]]",
        "cut": "[[cut 5]] or [[cut 5 reset]], close, eof or half",
        "usage": "[[usage negative]] or [[usage huge]]",
        "lines": "[[lines crlf]], cr, bom or tight",
        "twice": "[[twice 3]]",
        "unknown": "[[unknown 3]]",
        "comment": "[[comment 3]]",
        "huge": "[[huge 3 2000000]]",
        "stall": "[[stall 3]], [[stall 3 2s]] or [[stall 3 2s pings]]",
        "malformed": "[[malformed 2]]",
        "error": "[[error 3]]",
        "tokens": "[[tokens 50]]",
    }
)
