"""Whether a cheap answer may be given: every check that has something to say, and the sum of it.

The checks cost no call and nothing but the time to read the answer. A check is silent where it does not apply: a poem
has no arithmetic. One that fails rejects the answer; a learned acceptor, where an operator has trained one from labels,
has the last word over what the checks let pass. What a check says quotes nothing of question or answer: it is logged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from afterbay.policy.agreement import Said, agreement, is_json, plain
from afterbay.policy.checks.form import call_problem, code_problem, json_problem
from afterbay.policy.checks.numbers import endings, figures, final_of, value_of, word_numbers
from afterbay.policy.checks.verdict import Acceptor, Asked, Check, Checked, Given
from afterbay.policy.checks.words import hedges, is_other_language, refuses, repetition
from afterbay.policy.checks.working import Working, counts_things, is_unfinished, read_working, working_features

TEXT_CHARS = 50_000
"""Of a longer answer only the form is checked."""

QUESTION_CHARS = 20_000
"""So much of a question's end is read: what is asked stands there, a document stands before it."""

SHORT_TOKENS = 256
"""A client that allows no more than so many tokens wants the answer cut: that is not held against it."""

REPEATS = 0.5
"""An answer of which more is repetition goes round in circles."""

LEAST_LOGPROB = -1.0
"""Mean log-probability of the tokens below which a model had no idea: each had a third of the probability."""

HEDGED_CHARS = 600
"""In an answer of at most so many characters one hedge counts; in a longer one `HEDGES` do."""

HEDGES = 3

LONG_WORDS = 12
"""Two good answers of more words than that seldom have the same ones."""

NO_ENDING_WORDS = 200
"""In an answer of more words the last number may be any."""

_ASSIGNED = re.compile(r"=[\s*$€£¥]*(\d[\d,]*(?:\.\d+)?)")

_WANTS_NUMBER = re.compile(
    r"\b(?:how (?:many|much)|calculate|compute|what (?:is|was) the (?:total|sum|average|cost|price|number|value|area|"
    r"probability|percentage|difference|product|ratio|volume))\b|多少|几(?:个|只|本|天|元|岁|人|次)|求(?:出|解)?|计算",
    re.IGNORECASE,
)


def judge(asked: Asked, given: Given, acceptor: Acceptor | None = None, threshold: float = 0.5) -> Checked:
    """Runs all checks. `acceptor`: asked if none fails; what it finds less likely than `threshold` is rejected."""
    text = given.text if len(given.text) <= TEXT_CHARS else ""
    question = asked.question[-QUESTION_CHARS:]
    prose = "" if asked.wants_json or given.calls else text
    working = read_working(question, prose)
    checks = (
        _present(given),
        _cut(asked, given),
        _json(asked, given),
        _calls(asked, given),
        _code(prose),
        *_sums(question, prose, working),
        *_said(question, prose),
        _logprob(given),
        _agreement(given),
    )
    failed = [check for check in checks if check.state == "failed"]
    features: Mapping[str, float] = {}
    if not failed and acceptor is not None:
        features = features_of(question, text, None if prose != text else working, checks)
        sure = acceptor.accepts(features)
        last = Check(
            "acceptor", "passed" if sure >= threshold else "failed", sure, "it was seldom right where it looked so"
        )
        checks = (*checks, last)
        failed = [last] if last.state == "failed" else []
    why = "; ".join(f"{check.name}: {check.why}" for check in failed)
    return Checked(checks, not failed, why[:300], features)


def features_of(
    question: str, answer: str, working: Working | None = None, checks: tuple[Check, ...] = ()
) -> dict[str, float]:
    """Everything that a learned acceptor may look at, by name."""
    features = working_features(question, answer, working if working is not None else read_working(question, answer))
    features["refuses"] = float(refuses(answer))
    features["hedges"] = float(min(5, hedges(answer)))
    features["repetition"] = repetition(answer)
    features.update({f"check_{check.name}": check.score for check in checks if check.state != "silent"})
    return features


def _verdict(name: str, problem: str | None, *, applies: bool = True) -> Check:
    if not applies:
        return Check(name, "silent")
    return Check(name, "passed") if problem is None else Check(name, "failed", 0.0, problem)


def _present(given: Given) -> Check:
    return _verdict("empty", None if given.text.strip() or given.calls else "it has no text and no call")


def _cut(asked: Asked, given: Given) -> Check:
    wants_short = asked.most_tokens is not None and asked.most_tokens <= SHORT_TOKENS
    is_cut = given.finish == "length" and not wants_short
    return _verdict("truncation", "it was cut at its length" if is_cut else None, applies=given.finish is not None)


def _json(asked: Asked, given: Given) -> Check:
    applies = asked.wants_json and not given.calls
    return _verdict("json", json_problem(given.text, asked.schema) if applies else None, applies=applies)


def _calls(asked: Asked, given: Given) -> Check:
    problems = [call_problem(asked.tools.get(name), arguments) for name, arguments in given.calls]
    problem = next((one for one in problems if one is not None), None)
    if asked.must_call and not given.calls:
        problem = "it calls no tool"
    return _verdict("tools", problem, applies=bool(given.calls) or asked.must_call)


def _code(text: str) -> Check:
    return _verdict("code", code_problem(text), applies="```" in text or "~~~" in text)


def _sums(question: str, text: str, working: Working) -> tuple[Check, ...]:
    """Sums that are wrong; and where a number was asked for: none given, one that comes from nowhere, numbers of the
    question that play no part, a broken thing where whole ones are counted."""
    steps, final = working.steps, working.final
    wrong = sum(not step.fits for step in steps)
    arithmetic = _verdict(
        "arithmetic", f"{wrong} of {len(steps)} equations are wrong" if wrong else None, applies=bool(steps)
    )
    wants = bool(text) and bool(working.given) and _WANTS_NUMBER.search(question) is not None
    if not wants or (final is None and not steps):
        lacks = wants and not _spells(text)
        return (
            arithmetic,
            _verdict("final", "it gives no number" if lacks else None, applies=wants),
            Check("numbers", "silent"),
        )
    problem = None
    if is_unfinished(text):
        problem = "it breaks off before its final number"
    elif final is not None and steps and final.value not in _results(text, working):
        problem = "its final number is the result of none of its equations"
    elif final is not None and final.value.denominator != 1 and counts_things(question):
        problem = "its final number is no whole one, of things that are"
    ends = _verdict("final", problem)
    if not steps:
        return arithmetic, ends, Check("numbers", "silent")
    used = {value for step in steps for value in (*step.operands, step.said)} | set(figures(text))
    used |= {value * 100 for value in used} | {1 / value for value in used if value}
    given = set(working.given)
    share = len(given & used) / len(given)
    unused = "some numbers of the question play no part in it"
    return arithmetic, ends, Check("numbers", "passed" if share == 1 else "failed", share, unused if share < 1 else "")


def _results(text: str, working: Working) -> set[Fraction]:
    """What an answer's equations come to, and what stands behind an equals sign without one."""
    found = {value for step in working.steps for value in (step.said, step.value)}
    values = (value_of(match[1]) for match in _ASSIGNED.finditer(text))
    return found | {value for value in values if value is not None}


def _spells(text: str) -> bool:
    """Whether an answer may give its number as a word, or in other figures."""
    return bool(word_numbers(text)) or any(char.isnumeric() for char in text)


def _said(question: str, text: str) -> tuple[Check, ...]:
    applies = bool(text.strip())
    hedged = hedges(text)
    share = repetition(text)
    limit = 1 if len(text) <= HEDGED_CHARS else HEDGES
    hedge = Check("hedging", "failed", 0.0, "it says that it does not know") if hedged >= limit else None
    return (
        _verdict("refusal", "it refuses" if refuses(text) else None, applies=applies),
        hedge or Check("hedging", "passed" if applies else "silent", 1 / (1 + hedged)),
        _verdict(
            "language", "it is in another language" if is_other_language(question, text) else None, applies=applies
        ),
        Check("repetition", "failed", 1 - share, "it repeats itself")
        if share > REPEATS
        else Check("repetition", "passed" if applies else "silent", 1 - share),
    )


def _logprob(given: Given) -> Check:
    if given.logprob is None:
        return Check("logprob", "silent")
    score = max(0.0, min(1.0, 1 + given.logprob / 2))
    unsure = given.logprob < LEAST_LOGPROB
    return Check("logprob", "failed" if unsure else "passed", score, "the model was unsure of its words")


def _agreement(given: Given) -> Check:
    if not given.others:
        return Check("agreement", "silent")
    same = sum(agree(given.text, other) for other in given.others) / len(given.others)
    return Check("agreement", "passed" if same == 1 else "failed", same, "two answers of the same model differ")


def agree(one: str, other: str) -> bool:
    """Whether two answers come to the same (`policy.agreement`), or are so long that nobody can tell.

    Long texts without a final number are never found to differ: two good ones seldom have the same words.
    """
    first, second = Said(one), Said(other)
    if agreement(first, second) is not None or agreement(first, second, wants_json=True) is not None:
        return True
    value, against = final_of(one), final_of(other)
    if value is not None and against is not None and "last" not in (value.how, against.how):
        said = _last_words(one)
        return said is not None and said == _last_words(other)
    least = min(len(re.findall(r"\w+", text)) for text in (one, other))
    if least <= LONG_WORDS or is_json(one) or is_json(other):
        return False
    return value is None or against is None or value.value == against.value or least > NO_ENDING_WORDS


def _last_words(text: str) -> list[str] | None:
    """All that an answer marks as its last word, else the last that it says to be; None: more belongs to it."""
    found = endings(text)
    wanted = [end for end in found if end.how == "marked"] or found[-1:]
    return [plain(end.text) for end in wanted] if all(end.is_whole for end in wanted) else None
