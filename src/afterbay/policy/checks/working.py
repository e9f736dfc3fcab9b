"""How an answer works its way from the question's numbers to its final one: what a wrong derivation looks like from
outside.

Features, no verdicts: a learned acceptor weighs them. Each is a number of ordinary size, named, and 0 where there is
nothing to see. The idea: in a sound derivation the numbers of the question go in, every result is used again, and the
last one is the answer; what the question says ("each", "half", "left") shows in the operations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import log1p
from types import MappingProxyType

import msgspec

from afterbay.policy.checks.arithmetic import Equation, equations
from afterbay.policy.checks.numbers import Final, figures, final_of, word_numbers

_CONSTANTS = frozenset(Fraction(one) for one in (1, 2, 3, 4, 7, 10, 12, 24, 30, 31, 52, 60, 100, 365, 1000))
"""Numbers that a derivation may take from nowhere: days of a week, minutes of an hour, per cent."""

_CUES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "each": (r"\b(?:each|every|per|apiece)\b|每", "*/"),
        "share": (r"\b(?:half|third|quarter|fourth|fifth|divide[ds]?|split|equally|shares?)\b|\d/\d|平均|一半", "/"),
        "left": (r"\b(?:left|remain\w*|rest|remaining|fewer|less|difference)\b|剩|少|差", "-"),
        "more": (r"\b(?:more|older|longer|taller|additional|extra|another)\b|多|再", "+-"),
        "total": (r"\b(?:total|altogether|all|combined|together|sum|both)\b|一共|总共|合计", "+"),
        "times": (r"\b(?:times|twice|double[ds]?|triple[ds]?|thrice)\b|倍", "*/"),
        "percent": (r"%|\bpercent\w*\b|\bdiscount\b|百分", "*/"),
        "average": (r"\b(?:average|mean)\b|平均", "/"),
    }
)
"""What a question's words lead one to expect among the operations of its answer."""

_CUE = {name: (re.compile(pattern, re.IGNORECASE), operators) for name, (pattern, operators) in _CUES.items()}

_UNITS: Mapping[str, tuple[str, tuple[int, ...]]] = MappingProxyType(
    {
        "week": (r"\bweek", (7, 4, 52, 5, 2)),
        "month": (r"\bmonth", (30, 12, 31, 28, 4)),
        "year": (r"\byear", (12, 365, 52)),
        "hour": (r"\bhour", (60, 24)),
        "dozen": (r"\bdozen", (12,)),
        "minute": (r"\bminute", (60,)),
    }
)
_UNIT = {name: (re.compile(pattern, re.IGNORECASE), values) for name, (pattern, values) in _UNITS.items()}

_TALK: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "however": re.compile(r"\b(?:however|but|although|actually|wait)\b|但|不过", re.IGNORECASE),
        "rounds": re.compile(r"\b(?:round\w*|approximate\w*|about|nearest|roughly)\b|约|四舍五入", re.IGNORECASE),
        "assumes": re.compile(
            r"\b(?:assum\w+|suppose|if we|let's say|probably|likely|not (?:given|specified|clear))\b", re.I
        ),
        "unknown": re.compile(r"\b(?:let|denote|equation|variable|solve|unknown)\b|\b\d*[xyn]\s*[=+*-]", re.IGNORECASE),
        "so": re.compile(r"\b(?:so|therefore|thus|hence)\b|所以|因此", re.IGNORECASE),
        "first": re.compile(r"\b(?:first|next|then|finally)\b", re.IGNORECASE),
        "cannot": re.compile(r"\b(?:can(?:no|')?t|impossible|not possible|unable|no way)\b", re.IGNORECASE),
        "since": re.compile(r"\b(?:since|because)\b", re.IGNORECASE),
        "conditional": re.compile(r"\bif\b", re.IGNORECASE),
    }
)

_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_WORD = re.compile(r"[a-z]{3,}")
_STOP = frozenset(
    (
        *("the", "and", "for", "how", "many", "much", "does", "did", "are", "was", "were", "has", "have", "had", "his"),
        *("her", "its", "their", "they", "she", "him", "them", "what", "when", "who", "which", "that", "this", "there"),
        *("than", "then", "with", "from", "into", "per", "each", "will", "would", "can", "could", "all", "total"),
        *("not", "you", "your"),
    )
)
_WHOLE = re.compile(r"\bhow many\b", re.IGNORECASE)
_MONEY = re.compile(r"[$€£¥]|\bdollars?\b|\bcents?\b|\bcost|\bprice|\bpay|\bmoney|\bearn|\bspen[dt]", re.IGNORECASE)
_MEASURED = re.compile(
    r"\bhow many (?:\w+ )?(?:hours|minutes|miles|pounds|ounces|gallons|liters|litres|kilograms|kg|meters|metres|feet|"
    r"inches|cups|dollars|percent|weeks|years|days|centimeters|kilometers)\b",
    re.IGNORECASE,
)


class Working(msgspec.Struct, frozen=True):
    """A derivation: its equations, its final number, and the numbers that the question gives."""

    steps: tuple[Equation, ...]
    final: Final | None
    given: tuple[Fraction, ...]
    told: tuple[Fraction, ...]


def read_working(question: str, answer: str) -> Working:
    """The derivation in an answer. An equation that repeats the one before it (a calculator mark) counts once."""
    steps: list[Equation] = []
    for one in equations(answer):
        if not (steps and (steps[-1].operators, steps[-1].operands) == (one.operators, one.operands)):
            steps.append(one)
    return Working(tuple(steps), final_of(answer), tuple(figures(question)), tuple(word_numbers(question)))


def working_features(question: str, answer: str, working: Working) -> dict[str, float]:
    """What is to be seen of the derivation, by name."""
    return {
        **_reckoning(working),
        **_flow(working),
        **_ending(question, answer, working),
        **_expected(question, working),
        **_telling(question, answer),
    }


_BROKEN_OFF = re.compile(r"(?:[-+*/=,(<×÷$]|\d,\d{0,2})\s*\Z")


def is_unfinished(answer: str) -> bool:
    """Whether a worked answer stops in the middle of an equation or a number."""
    return answer.count("<<") > answer.count(">>") or _BROKEN_OFF.search(answer[-40:]) is not None


def counts_things(question: str) -> bool:
    """Whether a question asks how many there are of something that has no half: people, eggs, but not hours."""
    return _WHOLE.search(question) is not None and _MEASURED.search(question) is None


def _reckoning(working: Working) -> dict[str, float]:
    """Whether the sums are right, and of what kind they are."""
    steps = working.steps
    wrong = [one for one in steps if not one.fits]
    used = Counter("".join(one.operators for one in steps))
    return {
        "steps": log1p(len(steps)),
        "wrong_sums": float(min(3, len(wrong))),
        "wrong_marks": float(sum(one.is_mark for one in wrong) > 0),
        "wrong_last": float(bool(steps) and not steps[-1].fits),
        "inexact": float(sum(not one.is_exact for one in steps) > 0),
        "marks": float(sum(one.is_mark for one in steps)) / max(1, len(steps)),
        "fractions": float(sum(one.value.denominator != 1 for one in steps)) / max(1, len(steps)),
        "negative": float(any(one.value < 0 for one in steps)),
        "plus": log1p(used["+"]),
        "minus": log1p(used["-"]),
        "times": log1p(used["*"]),
        "over": log1p(used["/"]),
        "long_sums": float(max((len(one.operators) for one in steps), default=0)),
        "largest": log1p(float(min(max((abs(one.said) for one in steps), default=Fraction(0)), Fraction(10**12)))),
    }


def _flow(working: Working) -> dict[str, float]:
    """Whether the question's numbers go in, and every result is used again."""
    given, told = set(working.given), set(working.told)
    known = given | told
    operands = [value for one in working.steps for value in one.operands]
    used = set(operands)
    percents = {value / 100 for value in given}
    inverse = {1 / value for value in known if value}
    results: list[Fraction] = []
    foreign = chained = 0
    for one in working.steps:
        for value in one.operands:
            if value in results:
                chained += 1
            elif value not in known and value not in percents and value not in _CONSTANTS and value not in inverse:
                foreign += 1
        results += (one.said, one.value)
    said = [one.said for one in working.steps]
    final = working.final.value if working.final is not None else None
    loose = sum(value not in used and value != final and value not in said[at + 1 :] for at, value in enumerate(said))
    seen = {value for value in given if value in used or value / 100 in used or value in said}
    repeats = Counter(value for value in operands if value in given)
    asked = Counter(working.given)
    return {
        "given": log1p(len(working.given)),
        "told": log1p(len(working.told)),
        "unused": float(len(given - seen)),
        "unused_share": len(given - seen) / max(1, len(given)),
        "told_unused": float(len({v for v in told if v not in used and v != 1 and (not v or 1 / v not in used)})),
        "used_twice": float(sum(count > asked[value] for value, count in repeats.items())),
        "foreign": float(min(5, foreign)),
        "chained": float(chained) / max(1, len(operands)),
        "loose": float(min(5, loose)),
        "loose_share": loose / max(1, len(said)),
        "repeated": float(len(said) - len(set(said))),
        "steps_per_number": len(working.steps) / max(1, len(given) + len(told)),
        "steps_less_numbers": float(max(-6, min(6, len(working.steps) - len(working.given) - len(working.told) + 1))),
    }


def _ending(question: str, answer: str, working: Working) -> dict[str, float]:
    """What the final number is, and where it comes from."""
    final, steps = working.final, working.steps
    value = final.value if final is not None else Fraction(0)
    said = [one.said for one in steps]
    before = answer.rpartition("####")[0] or answer
    numbers = figures(before[-600:])
    asks_whole = counts_things(question)
    top = max([abs(one) for one in working.given], default=Fraction(1)) or Fraction(1)
    ratio = float(min(max(abs(value) / top, Fraction(1, 10**6)), Fraction(10**6)))
    place = next((at for at, one in enumerate(reversed(said)) if one == value), -1)
    return {
        "no_final": float(final is None),
        "unmarked": float(final is None or final.how != "marked"),
        "final_is_last": float(bool(said) and said[-1] == value),
        "final_is_result": float(value in said),
        "final_place": float(min(place, 5)),
        "final_is_given": float(value in working.given),
        "final_is_last_number": float(bool(numbers) and numbers[-1] == abs(value)),
        "final_negative": float(value < 0),
        "final_fraction": float(value.denominator != 1),
        "final_fraction_of_things": float(value.denominator != 1 and asks_whole),
        "final_cents": float(value.denominator != 1 and (value * 100).denominator == 1),
        "final_odd": float((value * 100).denominator != 1),
        "final_size": log1p(float(min(abs(value), Fraction(10**12)))),
        "final_ratio": log1p(ratio),
        "final_small": float(abs(value) < 1),
        "final_round": float(value != 0 and value.denominator == 1 and value.numerator % 10 == 0),
        "final_even": float(value.denominator == 1 and value.numerator % 2 == 0),
        "final_below_given": float(sum(one > abs(value) for one in working.given)) / max(1, len(working.given)),
    }


def _expected(question: str, working: Working) -> dict[str, float]:
    """Operations that the question's words announce, and whether they come."""
    used = set("".join(one.operators for one in working.steps))
    operands = {value for one in working.steps for value in one.operands}
    found: dict[str, float] = {}
    missing = 0
    for name, (pattern, operators) in _CUE.items():
        cues = len(pattern.findall(question))
        lacks = bool(cues) and not used.intersection(operators)
        missing += lacks
        found[f"cue_{name}"] = float(min(3, cues))
        found[f"lacks_{name}"] = float(lacks)
    for name, (pattern, values) in _UNIT.items():
        hits = bool(pattern.search(question))
        found[f"unit_{name}"] = float(hits)
        found[f"converts_{name}"] = float(hits and any(Fraction(value) in operands for value in values))
    found["lacks"] = float(missing)
    found["money"] = float(bool(_MONEY.search(question)))
    return found


def _telling(question: str, answer: str) -> dict[str, float]:
    """Its words: hedges, length, and whether it speaks of what was asked."""
    sentences = [one for one in _SENTENCE.split(question.strip()) if one]
    asked = sentences[-1] if sentences else ""
    body = answer.rpartition("####")[0] or answer
    ends = [one for one in _SENTENCE.split(body.strip()) if one]
    wanted = set(_WORD.findall(asked.lower())) - _STOP
    said = set(_WORD.findall(ends[-1].lower())) if ends else set()
    words = set(_WORD.findall(question.lower())) - _STOP
    spoken = set(_WORD.findall(answer.lower())) - _STOP
    found = {f"says_{name}": float(min(3, len(pattern.findall(answer)))) for name, pattern in _TALK.items()}
    return {
        **found,
        "answer_length": log1p(len(answer)),
        "answer_lines": log1p(answer.count("\n")),
        "question_length": log1p(len(question)),
        "question_sentences": float(len(sentences)),
        "sentence_length": len(question) / max(1, len(sentences)) / 100,
        "length_ratio": min(6.0, len(answer) / max(1, len(question))),
        "asked_in_end": len(wanted & said) / max(1, len(wanted)),
        "asked_in_answer": len(wanted & spoken) / max(1, len(wanted)),
        "covered": len(words & spoken) / max(1, len(words)),
        "new_words": len(spoken - words) / max(1, len(spoken)),
        "asked_length": len(asked) / 100,
        "question_if": float(min(3, len(re.findall(r"\bif\b", question, re.IGNORECASE)))),
        "question_commas": log1p(question.count(",")),
        "question_than": float(min(3, len(re.findall(r"\bthan\b", question, re.IGNORECASE)))),
        "question_before": float(
            bool(re.search(r"\b(?:before|after|start|begin|began|original\w*|initial\w*|ago)\b", question, re.I))
        ),
        "question_fractions": float(min(3, len(re.findall(r"\d/\d", question)))),
        "question_marks": float(min(3, question.count("?"))),
        "cut": float("####" not in answer and not answer.rstrip().endswith((".", "!", "?", "。"))),
        "unfinished": float(is_unfinished(answer)),
    }
