"""Names that were probably meant: for error messages that help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def closest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` known words closest to `word`, however far, best first.

    The case of letters and `-` for `_` do not count.
    """
    folded = _fold(word)
    best: list[tuple[int, str]] = []
    for candidate in dict.fromkeys(known):
        reach = best[-1][0] if len(best) == count else 64
        distance = edit_distance(folded, _fold(candidate), reach)
        if len(best) < count or distance < reach:
            best = sorted([*best, (distance, candidate)])[:count]
    return [candidate for _, candidate in best]


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known words that `word` was probably meant to be, best first; empty if none is near.

    Near means an edit distance of at most a third of the length, at least 2.
    """
    folded = _fold(word)
    reach = max(2, len(folded) // 3)
    found: list[tuple[int, str]] = []
    for candidate in dict.fromkeys(known):
        other = _fold(candidate)
        distance = edit_distance(folded, other, reach)
        if distance <= reach and distance < max(len(folded), len(other)):
            found.append((distance, candidate))
    return [candidate for _, candidate in sorted(found)[:count]]


def edit_distance(left: str, right: str, reach: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between the first 64 letters of two words.

    Gives up with `reach + 1` when no alignment can be within it. Source: optimal string alignment, the restricted
    Damerau-Levenshtein distance.
    """
    left, right = left[:64], right[:64]
    if abs(len(left) - len(right)) > reach:
        return reach + 1
    before: Sequence[int] = []
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > reach:
            return reach + 1
        before, above = above, row
    return above[-1]


def _fold(word: str) -> str:
    return word.casefold().replace("-", "_")
