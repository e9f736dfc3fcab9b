"""Signs in a prompt: kinds of things it names, its topic, code and formulas, and how hard it looks.

Only the beginning and the end of a long prompt are looked at. Counts and names leave this module, never words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

ENDS: Final = 2000
"""Characters of the beginning and of the end that are looked at."""

_ENTITIES: Final = re.compile(
    r"(?P<email>[\w.+-]+@[\w-]+\.[\w.-]+)|(?P<url>https?://[^\s<>\"']+)"
    r"|(?P<date>\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}[/.]\d{1,2}[/.]\d{2,4}\b|\d{1,4}年(?:\d{1,2}月)?|\d{1,2}月\d{1,2}日)"
    r"|(?P<money>[$€£¥]\s?\d[\d,.]*|\d[\d,.]*\s?(?:usd|eur|dollars|euros|元|美元|万元|亿元)\b)"
    r"|(?P<code>\b[a-z]+(?:_[a-z0-9]+)+\b|\b[a-z]+[A-Z]\w*\b|\b\w+\(\))|(?P<number>\d[\d,.]*)"
)
_CODE: Final = re.compile(
    r"```|[;{}]\s*\n|\bdef \w+\(|#include|</\w+>|^\s*(?:import|from) \w+|\bfunction\b.*\(|=>|\bSELECT\b.+\bFROM\b",
    re.MULTILINE,
)
_MATH: Final = re.compile(
    r"\\(?:frac|int|sum|sqrt|begin)|\$[^$\n]+\$|\d\s*[-+*/^×÷=]\s*[\dxyz]|[√∫∑≤≥π]|\b[xyz]\s*[=^+-]\s*\d"
)
_TOPICS: Final = {
    "software": "code python javascript java sql api server database function docker git 代码 函数 数据库 服务器 编程",
    "law": "law court contract legal tenant liability plaintiff statute 法律 合同 法院 条款 诉讼 违约",
    "medicine": "patient doctor disease symptoms treatment drug clinical blood 患者 医生 症状 疾病 治疗 药",
    "finance": "stock revenue profit invest bank loan tax market budget price 股票 利润 投资 银行 贷款 税 营收 房价",
    "science": "physics chemistry biology energy molecule cell planet theory 物理 化学 生物 能量 细胞 行星",
    "mathematics": "equation integral probability triangle prove theorem 方程 概率 证明 三角形 函数",
    "travel": "flight hotel trip travel visa airport itinerary 航班 酒店 旅游 旅行 机票 签证",
    "food": "recipe cook food restaurant flavor ingredients 菜 食谱 餐厅 做饭 食材",
    "education": "student teacher school exam essay course lesson 学生 老师 学校 考试 作文 课程",
}
_TOPIC_OF: Final[dict[str, tuple[str, ...]]] = {
    word: tuple(name for name, words in _TOPICS.items() if word in words.split())
    for word in {word for words in _TOPICS.values() for word in words.split()}
}
_HAN_TOPICS: Final = tuple(word for word in _TOPIC_OF if not word.isascii())
_TOKEN: Final = re.compile(r"[a-z]{3,}")

_HARD: Final = {"reasoning": 0.75, "code": 0.65, "creative": 0.4, "summarize": 0.35, "qa": 0.35, "extract": 0.3}
"""How hard a task is for a small model, about; others 0.15. An order, not a measurement."""
_STEPS: Final = (
    *("prove", "derive", "design", "architect", "optimiz", "optimis", "trade-off", "tradeoff", "step by step"),
    *("explain why", "analyz", "analys", "compare", "implement", "debug", "refactor", "constraint"),
    *("证明", "推导", "设计", "优化", "权衡", "逐步", "分析", "比较", "实现", "重构", "约束"),
)
"""Beginnings of words for work of several steps."""


def _ends(text: str) -> str:
    return text if len(text) <= 2 * ENDS else f"{text[:ENDS]}\n{text[-ENDS:]}"


def entities_of(text: str) -> Mapping[str, int]:
    """How many there are of each kind: email, url, date, money, number, code (names as programs write them)."""
    found: dict[str, int] = {}
    for match in _ENTITIES.finditer(_ends(text)):
        kind = match.lastgroup or ""
        found[kind] = found.get(kind, 0) + 1
    return found


def topic_of(text: str) -> str:
    """The topic that most words point to; empty where fewer than two do, or two topics tie."""
    ends = _ends(text).lower()
    votes: dict[str, int] = {}
    for token in _TOKEN.findall(ends):
        for name in _TOPIC_OF.get(token, ()):
            votes[name] = votes.get(name, 0) + 1
    if not ends.isascii():
        for word in _HAN_TOPICS:
            if word in ends:
                for name in _TOPIC_OF[word]:
                    votes[name] = votes.get(name, 0) + 1
    ranked = sorted(votes.items(), key=lambda one: -one[1])
    if not ranked or ranked[0][1] < 2 or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return ""
    return ranked[0][0]


def holds_code(text: str) -> bool:
    """Whether there is code."""
    return _CODE.search(_ends(text)) is not None


def holds_math(text: str) -> bool:
    """Whether there are formulas."""
    return _MATH.search(_ends(text)) is not None


def complexity_of(text: str, words: float, tasks: Mapping[str, float], turns: int, has_tools: bool) -> float:
    """How hard a request looks, 0 to 1: what it asks for (a mean over tasks by their probability), how long it is, what
    words of many steps it has, and what surrounds it.

    A rule of thumb for levels, not a prediction of any model's failure: what a model cannot do is learned from its
    outcomes (`policy.learned.quality`).
    """
    ends = text if len(text) <= 1200 else f"{text[:600]}\n{text[-600:]}"
    kind = sum(p * _HARD.get(task, 0.15) for task, p in tasks.items()) if tasks else 0.35
    length = min(math.log1p(words) / math.log(2000), 1.0)
    lower = ends.lower()
    steps = min(sum(word in lower for word in _STEPS), 4) / 4
    around = min(max(turns - 1, 0), 6) / 60 + (0.05 if has_tools else 0.0)
    return max(0.0, min(0.6 * kind + 0.3 * length + 0.25 * steps + around - 0.05, 1.0))
