"""What the words of an answer give away: refusals, hedges, another language than the question's, text that repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am)? (?:really |very |so )?(?:sorry|afraid)\b[^.\n]{0,60}\b"
    r"(?:can(?:no|')?t|unable|not able|won't|don't)"
    r"|i (?:can(?:no|')?t|won't|will not|am unable to|am not able to|must decline|refuse to) (?:\w+ ){0,2}"
    r"(?:help|assist|comply|provide|answer|do|fulfil+|create|write|generate|access|browse|continue|discuss|engage)"
    r"|as an ai(?: language)?(?: model| assistant)?,? i (?:can(?:no|')?t|don't|do not|am not)"
    r"|(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies|programming))"
    r"|(?:很?抱歉|对不起|不好意思)[^。\n]{0,20}(?:不能|无法|没法|不可以)"
    r"|我(?:不能|无法|没有办法|没法)(?:提供|回答|帮助|协助|满足|完成|访问)"
    r"|作为(?:一个|一名)?(?:ai|人工智能|语言模型)"
    r"[^。\n]{0,30}(?:不能|无法|没有)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:i(?:'m| am) not (?:entirely |completely |quite |really |100% )?(?:sure|certain|familiar)"
    r"|i (?:don't|do not) (?:know|have (?:enough|sufficient|that|access|any information))"
    r"|i have no (?:information|idea)"
    r"|(?:it is|it's) (?:not (?:clear|possible to (?:say|tell|determine))|unclear|impossible to (?:say|tell|determine))"
    r"|(?:cannot|can't|could not|unable to) (?:be )?(?:determined?|find|verify|confirm|say for)"
    r"|(?:not|isn't|insufficient) (?:enough )?information"
    r"|without (?:more|further|additional) (?:information|context|details)"
    r"|could you (?:please )?(?:clarify|provide|specify)|please (?:provide|clarify|specify))"
    r"|不(?:太)?(?:确定|清楚|知道)|无法(?:确定|判断|确认|得知)|信息不足|没有足够|缺乏(?:足够|相关)|请(?:您)?(?:提供|说明|补充)",
    re.IGNORECASE,
)
_SCRIPTS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
        "han": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
        "kana": re.compile(r"[\u3040-\u30ff]"),
        "hangul": re.compile(r"[\uac00-\ud7af]"),
        "cyrillic": re.compile(r"[\u0400-\u04ff]"),
        "arabic": re.compile(r"[\u0600-\u06ff]"),
        "hebrew": re.compile(r"[\u0590-\u05ff]"),
        "devanagari": re.compile(r"[\u0900-\u097f]"),
        "thai": re.compile(r"[\u0e00-\u0e7f]"),
        "greek": re.compile(r"[\u0370-\u03ff]"),
    }
)
_OTHER_LANGUAGE = re.compile(
    r"\b(?:translat\w*|in (?:english|chinese|japanese|korean|french|german|spanish|russian|arabic|mandarin)"
    r"|(?:english|chinese|japanese|korean|french|german|spanish|russian|arabic|mandarin|hindi|greek|thai|hebrew)"
    r"|language|pinyin|roman(?:iz|is)\w+)\b"
    r"|翻译|译成|英文|英语|中文|汉语|日语|日文|韩语|法语|德语|俄语|西班牙语|拼音|代码|程序|函数|编程",
    re.IGNORECASE,
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\\\(.*?\\\)|\$[^$\n]{1,200}\$", re.DOTALL)
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")

OPENING_CHARS = 300
"""A refusal comes at the beginning of an answer."""

SAMPLE_CHARS = 4000
"""So much of a text tells its language."""

SURE_LETTERS = 20
"""So few letters tell no language."""

REPEATED_WORDS = 8
"""A run of so many words that comes again is a repetition."""

LEAST_WORDS = 60
"""A shorter text is not looked through for repetitions."""

MOST_WORDS = 20_000


def refuses(text: str) -> bool:
    """Whether an answer begins with a refusal, in English or Chinese."""
    return _REFUSAL.search(text[:OPENING_CHARS].replace("’", "'")) is not None


def hedges(text: str) -> int:
    """How often an answer says that it does not know, or asks back."""
    return len(_HEDGE.findall(text[:8000].replace("’", "'")))


def script_of(text: str) -> str | None:
    """The script that most letters of a text are of; None: too few letters tell. Japanese counts as `kana`.

    A Han or Hangul character stands for two letters: it says as much.
    """
    sample = _CODE.sub(" ", text[:SAMPLE_CHARS])
    counts = {name: len(pattern.findall(sample)) for name, pattern in _SCRIPTS.items()}
    counts["han"] *= 2
    counts["hangul"] *= 2
    if counts["kana"] * 10 > counts["han"]:
        counts["kana"] += counts["han"]
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= SURE_LETTERS else None


def is_other_language(question: str, answer: str) -> bool:
    """Whether the answer is in another script than the question, which asks for no other language."""
    if _OTHER_LANGUAGE.search(question[:SAMPLE_CHARS]) or _OTHER_LANGUAGE.search(question[-SAMPLE_CHARS:]):
        return False
    asked = script_of(question[-SAMPLE_CHARS:])
    said = script_of(answer)
    return asked is not None and said is not None and asked != said


def repetition(text: str) -> float:
    """The share of a text's runs of words that stood in it before, 0 to 1; 0 for a short one.

    Source of the measure: "rep-n" of Welleck et al., "Neural text generation with unlikelihood training" (2020).
    """
    words = _WORD.findall(text.lower())[:MOST_WORDS]
    if len(words) < LEAST_WORDS:
        return 0.0
    runs = Counter(tuple(words[at : at + REPEATED_WORDS]) for at in range(len(words) - REPEATED_WORDS + 1))
    total = sum(runs.values())
    return (total - len(runs)) / total
