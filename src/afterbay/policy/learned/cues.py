"""Words that hint at how hard a prompt is, by kind, in English and Chinese; and what kind of word a prompt opens with.

The lists are ours, written for prompts in general. A word has one kind. Data only.
"""

from __future__ import annotations

from typing import Final

_BY_KIND: Final = {
    "negation": (
        "not no never none neither nor cannot cant dont doesnt didnt isnt arent wasnt wont without unless except "
        "false incorrect wrong untrue least 不 没 无 非 除了 错误 不是"
    ),
    "question": "what which who whom whose where when 什么 哪 谁 何时 哪里 多少 几",
    "explanation": (
        "why how explain because reason reasons cause causes describe discuss justify 为什么 怎么 如何 解释 原因 "
        "说明 分析"
    ),
    "calculation": (
        "calculate compute find determine evaluate solve estimate approximate simplify multiply divide add "
        "subtract sum product integral derivative equation 计算 求 解 方程 等于"
    ),
    "proof": (
        "prove show derive proof theorem lemma let suppose assume assuming given define denote such therefore "
        "hence thus implies 证明 设 假设 已知 若 定理"
    ),
    "condition": "if then when whenever otherwise else whether provided 如果 否则 那么 是否",
    "comparison": (
        "more less fewer greater higher lower larger smaller better worse than most best worst longer shorter "
        "older younger increase increases decrease decreases difference compare compared 更 最 比较 区别"
    ),
    "quantity": (
        "each every per total altogether remaining left many much amount number average mean all both half twice "
        "double triple times third quarter percent percentage ratio rate dozen 每 总共 一共 剩 平均 一半 倍 比例"
    ),
    "number": (
        "zero one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred "
        "thousand million billion first second 一 二 三 四 五 六 七 八 九 十 百 千 万"
    ),
    "time": (
        "second seconds minute minutes hour hours day days week weeks month months year years age old today "
        "tomorrow yesterday morning afternoon evening night century 年 月 天 小时 分钟 岁 今天 明天"
    ),
    "measure": (
        "dollar dollars cent cents cost costs price pay pays paid buy buys sell sells spend spends earn earns km "
        "miles mile meter meters feet foot inches inch gallons pounds kg grams liters degrees speed distance area "
        "volume 元 米 公斤 克 价格 卖 买"
    ),
    "quantifier": (
        "only always any some several few usually often sometimes generally typically primarily mainly likely "
        "probably possible may might could would should must 只 总是 可能 应该 必须 通常"
    ),
    "choice": (
        "following statement statements above below option options choose select answer true correct best "
        "describes except blank 以下 下列 选项 选择 正确 哪个"
    ),
    "instruction": (
        "write create generate make give list provide draft compose design suggest summarize summarise translate "
        "rewrite edit fix improve convert extract classify identify name tell 写 列出 生成 翻译 总结 改写 提取 "
        "分类 给出"
    ),
    "code": (
        "function code python java javascript sql html class method array string algorithm program script error "
        "bug import return loop variable api database query 代码 函数 程序 编程 算法 数据库"
    ),
    "story": (
        "he she his her him they their them man woman boy girl mother father friend friends brother sister mr mrs "
        "他 她 他们 妈妈 爸爸 朋友"
    ),
    "speaker": "i me my mine we us our you your yours please thanks thank hello hi 我 你 我们 请 谢谢 您",
    "connection": (
        "and or but also however although while since so as with by from into between among through during after "
        "before until 和 或 但是 虽然 然后 之后 之前"
    ),
    "article": "the a an this that these those it its 这 那 它",
}

KINDS: Final = tuple(_BY_KIND)
"""Kinds of cues."""


def _cues() -> dict[str, int]:
    found: dict[str, int] = {}
    for number, kind in enumerate(KINDS):
        for word in _BY_KIND[kind].split():
            found.setdefault(word, number)
    return found


CUES: Final = _cues()
"""Number of the kind, by lower-case word or Chinese cue."""

_OPENED: Final = {
    "what": "what 什",
    "which": "which 哪",
    "a question": (
        "who whom whose where when why how is are was were do does did can could should would 谁 怎 如 为 何"
    ),
    "a": "a an",
    "the": "the",
    "this": "this these those that 这 那",
    "a condition": "if suppose let assume given consider 若 设 假 已",
    "a place": "in on at for to from as by of according during after under with 在 根 关",
    "a person": "he she they i we you john mr mrs 我 你 他 她",
    "an instruction": (
        "write create give list find calculate compute determine explain describe solve evaluate prove show "
        "please translate summarize choose select identify name tell make generate 请 写 列 求 计 翻 总 给 生"
    ),
    "a statement": "statement statements there all some most one two each every",
}

OPENINGS: Final = tuple(_OPENED)
"""Kinds of first words."""
OPENERS: Final = {word: number for number, words in enumerate(_OPENED.values()) for word in words.split()}
"""Number of the kind, by lower-case first word or first character of a text that opens in Chinese."""
