"""Recomputes what an answer reckons: chains like `16 - 3 = 13`, and the calculator marks `<<48/2=24>>`.

An evaluator of its own for + - * / and brackets, in exact fractions. Units between the operands (`9 eggs * $2 = $18`)
are passed over; a side with a letter for an unknown is nobody's to recompute and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from afterbay.policy.checks.numbers import value_of

MOST_EQUATIONS = 500
"""So many equations of one answer are recomputed."""

MOST_TOKENS = 60
"""A side with more parts is left out."""

_UNITS = 5
"""So many words may stand between an operand and what follows it."""

_BITS = 256
"""A value whose numerator or denominator takes more is no everyday arithmetic, and is left out."""

_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<percent>\s?\\?%)?"
    r"|(?P<equals>=)"
    r"|(?P<times>\\times|\\cdot|\\?\*|×|·|⋅|(?<=[\d)\s%])[xX](?=[\s$(\d]))"
    r"|(?P<over>\\div|÷|/(?=\s*[\d($]))"
    r"|(?P<plus>\+)|(?P<minus>[-−–](?=[\s$(\d.]))"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<word>/?[A-Za-z][A-Za-z'’./-]*[A-Za-z]|/?[A-Za-z](?![A-Za-z]))"
    r"|(?P<skip>[ \t]+|[$€£¥])"
    r"|(?P<other>.|\n)"
)
_MARK = re.compile(r"<<([^<>\n]{1,300})>>")

_UNIT_LETTERS = frozenset("ghlL")
"""Letters that are rather units than unknowns."""

_BINDING = frozenset(":^_!~@#&|\\?")
"""A number that one of these stands before is part of a time, a power, a name."""

_LAYOUT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"```.*?(?:```|\Z)|https?://\S+", re.DOTALL), " "),
    (re.compile(r"\\d?frac\{([^{}\n]{1,40})\}\{([^{}\n]{1,40})\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:text|mathrm|mathbf|boxed)\{([^{}\n]{0,60})\}"), r" \1 "),
    (re.compile(r"\\(?:left|right|quad|qquad|[()\[\],;!$ ])|(?<!\d)\*\*|\*\*(?!\d)"), " "),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), ","),
    (re.compile(r"\([A-Za-z][A-Za-z'’][^()=+*/×÷\n]{0,80}\)"), " "),
)
"""What stands between the parts of an equation and is none of them: code, LaTeX, bold type, remarks in brackets."""


class Equation(msgspec.Struct, frozen=True):
    """One recomputed equation.

    `at`: where its `=` stands; `operands`, `operators` of its left side; `value`: what that comes to; `said`: what the
    text says it does. `fits`: they are the same, or `said` is `value` rounded to the digits it has.
    """

    at: int
    operands: tuple[Fraction, ...]
    operators: str
    value: Fraction
    said: Fraction
    fits: bool
    is_exact: bool = True
    is_mark: bool = False


class _Token(msgspec.Struct, frozen=True):
    kind: str
    at: int
    value: Fraction = Fraction(0)
    text: str = ""


def equations(text: str) -> list[Equation]:
    """The equations of a text that can be recomputed, in their order. Places are those in the text without layout."""
    for pattern, instead in _LAYOUT:
        text = pattern.sub(instead, text)
    found: list[Equation] = []
    for mark in _MARK.finditer(text):
        found += _chains(mark[1], mark.start(), is_mark=True)
        if len(found) >= MOST_EQUATIONS:
            break
    bare = _MARK.sub(lambda mark: " " * len(mark[0]), text)  # the places stay as they are
    for line in re.finditer(r"[^\n]{3,}", bare):
        if "=" in line[0] and len(line[0]) <= 20_000:
            found += _chains(line[0], line.start(), is_mark=False)
        if len(found) >= 2 * MOST_EQUATIONS:
            break
    found.sort(key=lambda one: one.at)
    return found


def evaluate(text: str) -> Fraction | None:
    """What an expression comes to; None: it is none, or divides by zero, or grows beyond everyday numbers."""
    tokens = [token for token in _tokens(text[:2000], 0) if token.kind != "skip"]
    return _value(tokens)


def _tokens(text: str, start: int) -> list[_Token]:
    found: list[_Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "skip":
            continue
        at = start + match.start()
        if kind in ("minus", "equals"):
            found.append(_Token(kind, at, text="tight" if _is_tight(text, match.start(), match.end()) else ""))
        elif match["number"] is not None:
            value = value_of(match["number"])
            if value is None:
                found.append(_Token("other", at))
                continue
            kind = "number" if match["percent"] is None else "percent"
            found.append(_Token(kind, at, value if match["percent"] is None else value / 100, match["number"]))
        else:
            found.append(_Token(kind, at, text=match[0]))
    return found


def _is_tight(text: str, start: int, end: int) -> bool:
    """Whether a sign stands between two others without a space."""
    return not text[start - 1 : start].isspace() and not text[end : end + 1].isspace()


_OPERATORS = {"times": "*", "over": "/", "plus": "+", "minus": "-"}
_OPERANDS = frozenset({"number", "percent"})


def _chains(text: str, start: int, *, is_mark: bool) -> list[Equation]:
    tokens = _tokens(text, start)
    found: list[Equation] = []
    for at, token in enumerate(tokens):
        if token.kind == "equals" and len(found) < MOST_EQUATIONS:
            left, right = _before(tokens, at), _after(tokens, at)
            equation = _equation(token, left, right, is_mark)
            if equation is not None:
                found.append(equation)
    return found


def _before(tokens: Sequence[_Token], at: int) -> list[_Token]:
    """The expression that ends before the token at `at`, without its units."""
    out: list[_Token] = []
    index, depth, words, wants = at - 1, 0, 0, True
    while index >= 0 and len(out) < MOST_TOKENS:
        token = tokens[index]
        if wants and token.kind == "word" and words < _UNITS:
            if _is_unknown(token):
                return []
            words += 1
        elif wants and (token.kind in _OPERANDS or token.kind == "close"):
            out.append(token)
            depth += token.kind == "close"
            wants, words = token.kind == "close", 0
        elif not wants and token.kind in _OPERATORS:
            out.append(token)
            wants = True
        elif not wants and token.kind == "open" and depth > 0:
            out.append(token)
            depth -= 1
        elif not wants and out[-1].kind == "open" and token.at + len(token.text) == out[-1].at:
            if token.kind not in _OPERANDS:
                return []  # a function's brackets
            out.append(token)
        else:
            break
        index -= 1
    if index >= 0 and _spoils(tokens[index], out, wants=wants):
        return []
    while out and out[-1].kind in _OPERATORS and out[-1].kind != "minus":
        out.pop()
    out.reverse()
    return out if depth == 0 else []


def _is_unknown(token: _Token) -> bool:
    return len(token.text) == 1 and token.text not in _UNIT_LETTERS


def _spoils(before: _Token, out: Sequence[_Token], *, wants: bool) -> bool:
    """Whether what stands before an expression shows that it is not all of it, or none."""
    if not out:
        return False
    if wants:
        return before.kind in _OPERATORS  # two signs, or an unknown between them
    if before.kind == "word":
        return _is_unknown(before)
    return before.kind == "other" and before.text in _BINDING and before.at + 1 == out[-1].at


def _after(tokens: Sequence[_Token], at: int) -> list[_Token]:
    """The expression that begins behind the token at `at`, without its units."""
    out: list[_Token] = []
    index, depth, words, wants = at + 1, 0, 0, True
    while index < len(tokens) and len(out) < MOST_TOKENS:
        token = tokens[index]
        if wants and (token.kind in _OPERANDS or token.kind == "open" or (token.kind == "minus" and not out)):
            out.append(token)
            depth += token.kind == "open"
            wants, words = token.kind not in _OPERANDS, 0
        elif not wants and token.kind == "word" and words < _UNITS:
            if _is_unknown(token) and words == 0:
                return []
            words += 1
        elif not wants and token.kind in _OPERATORS:
            out.append(token)
            wants, words = True, 0
        elif not wants and token.kind == "close" and depth > 0:
            out.append(token)
            depth -= 1
        else:
            break
        index += 1
    while out and out[-1].kind in _OPERATORS:
        out.pop()
    return out if depth == 0 else []


def _equation(equals: _Token, left: list[_Token], right: list[_Token], is_mark: bool) -> Equation | None:
    operands = tuple(token.value for token in left if token.kind in _OPERANDS)
    operators = "".join(_OPERATORS[token.kind] for token in left if token.kind in _OPERATORS)
    if not operators or not right:
        return None
    value, said = _value(left), _value(right)
    if value is None or said is None:
        return None
    digits = max((_decimals(token.text) for token in right if token.kind in _OPERANDS), default=0)
    fits, is_exact = _fit(value, said, digits, right)
    signs = [token for token in left if token.kind in _OPERATORS]
    if not fits and not equals.text and all(token.kind == "minus" and token.text for token in signs):
        return None  # a range, or a date
    return Equation(equals.at, operands, operators, value, said, fits, is_exact, is_mark)


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _fit(value: Fraction, said: Fraction, digits: int, right: list[_Token]) -> tuple[bool, bool]:
    """Whether `said` is `value`, and whether exactly so. `0.25 = 25` where a percentage is meant counts as the same."""
    if value == said:
        return True, True
    if any(token.kind == "percent" for token in right):
        if value == said * 100:
            return True, True
        value, said = (value * 100, said * 100) if abs(value) < 1 or said < 1 else (value, said * 100)
    unit = Fraction(1, 10**digits)
    near = abs(value - said)
    if near <= abs(value) / 10**9:  # what a computer makes of a fraction
        return True, True
    return near <= unit * Fraction(51, 100) or (digits >= 1 and near < unit), False


def _value(tokens: Sequence[_Token]) -> Fraction | None:
    """Shunting yard: multiplication before addition, from the left."""
    numbers: list[Fraction] = []
    waiting: list[str] = []
    before = "open"
    for token in tokens:
        if token.kind in _OPERANDS:
            if before in _OPERANDS or before == "close":
                return None
            numbers.append(token.value)
        elif token.kind == "open":
            if before in _OPERANDS or before == "close":
                waiting.append("*")
            waiting.append("(")
        elif token.kind == "close":
            while waiting and waiting[-1] != "(":
                if not _apply(numbers, waiting.pop()):
                    return None
            if not waiting:
                return None
            waiting.pop()
        elif token.kind in _OPERATORS:
            if before == "open" or before in _OPERATORS:
                if token.kind != "minus" or before in _OPERATORS:
                    return None
                numbers.append(Fraction(0))
            operator = _OPERATORS[token.kind]
            while waiting and waiting[-1] != "(" and not (operator in "*/" and waiting[-1] in "+-"):
                if not _apply(numbers, waiting.pop()):
                    return None
            waiting.append(operator)
        else:
            return None
        before = token.kind
    while waiting:
        operator = waiting.pop()
        if operator == "(" or not _apply(numbers, operator):
            return None
    return numbers[0] if len(numbers) == 1 else None


def _apply(numbers: list[Fraction], operator: str) -> bool:
    if len(numbers) < 2:
        return False
    right, left = numbers.pop(), numbers.pop()
    if operator == "/" and right == 0:
        return False
    result = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}[operator](right)
    numbers.append(result)
    return max(result.numerator.bit_length(), result.denominator.bit_length()) <= _BITS
