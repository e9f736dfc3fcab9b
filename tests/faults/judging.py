"""Holds what a client saw against what it may see: the row's own terms, and what holds for every row."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from afterbay.core.decision import Record
from faults.catalogue import Case, Expect
from faults.reading import Seen, is_enveloped, message_of

FIRST, SECOND = "prime", "spare"
"""The models of the first and of the second provider."""
SECRET = "sk-canary-7f3a9c21"
ADDRESSES = ("127.0.0.1", "localhost:", "/openai-", "/anthropic-", "/gemini-", "elsewhere.invalid", "nowhere.invalid")
WORDS = " ".join(f"w{number:03d}" for number in range(1, 41))
SOCKET_S = 3.0
LONGEST_S = 20.0
FILTERED = ("content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT")


class Evidence(msgspec.Struct):
    """A case that was run: what the client saw, the requests' records, what providers saw, what was left over."""

    seen: Seen
    records: list[Record]
    requests: int
    left: Sequence[str] = ()
    text: str = WORDS


def judge(case: Case, expect: Expect, evidence: Evidence) -> list[str]:
    """All that is wrong; nothing: the expectation holds."""
    return [*_always(case, evidence), *_answer(case, expect, evidence), *_terms(case, expect, evidence)]


def _always(case: Case, evidence: Evidence) -> list[str]:
    """What holds whatever goes wrong."""
    seen, wrong = evidence.seen, list(evidence.left)
    shown = seen.body.decode("utf-8", "replace") + json.dumps(seen.headers)
    wrong += [f"the client is shown {text!r}" for text in (SECRET, *ADDRESSES) if text in shown]
    if seen.unreadable:
        wrong.append(f"the client cannot read its answer: {seen.unreadable}: {seen.body[-300:]!r}")
    if seen.elapsed_s > LONGEST_S:
        wrong.append(f"it took {seen.elapsed_s:.1f} s")
    for record in evidence.records:
        wrong += [f"attempt {one.number} has no outcome" for one in record.attempts if one.outcome is None]
        if not record.outcome:
            wrong.append("the record has no outcome")
        if record.outcome == "ok" and len(record.attempts) == 1 and evidence.seen.text and record.usage is None:
            wrong.append("what an answer used is not known")
    if seen.errors and seen.has_end and seen.status == 200:
        wrong.append("an error and a proper end in one stream")
    return wrong


def _answer(case: Case, expect: Expect, evidence: Evidence) -> list[str]:
    seen, text = evidence.seen, evidence.text
    if expect.answer == "nothing":
        return []
    if expect.answer == "error":
        return _error(case, seen)
    if expect.answer == "error_event":
        return _error_event(case, seen, text)
    if seen.status != 200 or seen.errors or seen.has_end == (expect.answer == "bare") or seen.broke:
        said = message_of(seen.errors[0]) if seen.errors else ""
        ended = "a proper end" if seen.has_end else "no proper end"
        return [f"no answer: status {seen.status}, {ended}, {seen.broke or said}"]
    wrong = {
        "whole": seen.text != text,
        "doubled": seen.text.replace(" w003 w003", " w003", 1) != text or "w003 w003" not in seen.text,
        "more": not seen.text.startswith(text) or seen.text == text,
        "bare": seen.text != text,
        "empty": bool(seen.text),
        "refusal": seen.finish not in FILTERED or bool(seen.text),
        "tools": not _are_whole(seen.tools),
    }[expect.answer]
    return [f"not {expect.answer}: {seen.finish}, {seen.text!r}, {seen.tools}"] if wrong else []


def _are_whole(tools: list[str]) -> bool:
    try:
        return len(tools) == 2 and all(isinstance(json.loads(one), dict) for one in tools)
    except ValueError:
        return False


def _error(case: Case, seen: Seen) -> list[str]:
    if seen.status < 400 or not seen.errors:
        return [f"no error: status {seen.status}, {seen.broke} {seen.body[:200]!r}"]
    kind = seen.headers.get("content-type", "")
    wrong = [] if "application/json" in kind else [f"an error of content type {kind!r}"]
    if not is_enveloped(seen.errors[0], case.protocol) or not message_of(seen.errors[0]):
        wrong.append(f"an error that SDKs do not read: {seen.errors[0]}")
    return wrong


def _error_event(case: Case, seen: Seen, text: str) -> list[str]:
    wrong = []
    if seen.status != 200 or seen.broke:
        wrong.append(f"no stream: status {seen.status} {seen.broke}")
    if not seen.text or not text.startswith(seen.text):
        wrong.append(f"what was shown before the error is not the beginning of the answer: {seen.text!r}")
    if len(seen.errors) != 1 or not is_enveloped(seen.errors[0], case.protocol):
        wrong.append(f"{len(seen.errors)} error events in the stream: {seen.errors}")
    if seen.has_end:
        wrong.append("a broken answer has a proper end")
    return wrong


def _terms(case: Case, expect: Expect, evidence: Evidence) -> list[str]:
    seen = evidence.seen
    found: list[str] = []

    def check(holds: bool, told: str) -> None:
        if not holds:
            found.append(told)

    if expect.status is not None:
        check(seen.status in expect.status, f"status {seen.status}, not {expect.status}")
    if expect.retry is not None:
        told = seen.headers.get("x-should-retry")
        check(told == expect.retry, f"x-should-retry is {told}, not {expect.retry}")
    if expect.wait_s is not None:
        least, most = expect.wait_s
        told = seen.headers.get("retry-after")
        check(told is not None and least <= float(told) <= most, f"retry-after is {told}, not {expect.wait_s}")
    if expect.within_s is not None:
        most = expect.within_s + (SOCKET_S if case.mode == "sockets" else 0.0)
        check(seen.elapsed_s <= most, f"it took {seen.elapsed_s:.2f} s, not {most:g}")
    if expect.says is not None:
        said = " ".join(message_of(one) for one in seen.errors)
        check(expect.says in said, f"the error does not say {expect.says!r}: {said!r}")
    if expect.hides is not None:
        check(expect.hides not in seen.body.decode("utf-8", "replace"), f"{expect.hides!r} is shown")
    if expect.seen is not None:
        check(evidence.requests <= expect.seen, f"providers saw {evidence.requests} requests, not {expect.seen}")
    return found + _recorded(expect, evidence)


def _recorded(expect: Expect, evidence: Evidence) -> list[str]:
    """What the record of the last request must say."""
    wanted = (
        expect.by,
        expect.attempts,
        expect.exactly,
        expect.outcomes,
        expect.record,
        expect.warns,
        expect.estimated,
    )
    if all(one is None for one in wanted):
        return []
    if not evidence.records:
        return ["there is no record"]
    record = evidence.records[-1]
    outcomes = tuple(one.outcome for one in record.attempts)
    told = f"{[(one.target, one.why, one.outcome, one.error) for one in record.attempts]}"
    found = []
    if expect.by is not None:
        name = FIRST if expect.by == "first" else SECOND
        if not record.attempts or record.attempts[-1].target.rpartition("/")[2] != name:
            found.append(f"not answered by the {expect.by}: {told}")
    if expect.attempts is not None and len(outcomes) > expect.attempts:
        found.append(f"more than {expect.attempts} attempts: {told}")
    if expect.exactly is not None and len(outcomes) != expect.exactly:
        found.append(f"not {expect.exactly} attempts: {told}")
    if expect.outcomes is not None and outcomes != expect.outcomes:
        found.append(f"attempts ended in {outcomes}, not {expect.outcomes}: {told}")
    if expect.record is not None and record.outcome != expect.record:
        found.append(f"the record says {record.outcome}, not {expect.record}: {told}")
    if expect.warns is not None and not any(expect.warns in one for one in record.warnings):
        found.append(f"no warning has {expect.warns!r}: {record.warnings}")
    if expect.estimated is not None and (record.usage is None or record.usage.estimated != expect.estimated):
        found.append(f"the usage is {record.usage}")
    return found
