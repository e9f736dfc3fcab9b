"""`make costs`: judges every recorded exchange and writes the tables in docs/costs.md. 1: one is wrong."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from costs.judge import Verdict, judge, rows

PAGE = Path(__file__).parents[2] / "docs" / "costs.md"
BEGIN, END = "<!-- made by `make costs` -->\n", "<!-- until here -->\n"


def table(verdicts: list[Verdict]) -> str:
    """The tables of the page: by provider, and by reason."""
    lines = [
        "| provider | exchanges | as told | as counted | listed | told costs that the list would give too |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    providers = Counter(one.provider for one in verdicts)
    for provider in sorted(providers, key=lambda name: (-providers[name], name)):
        lines.append(_line(provider, [one for one in verdicts if one.provider == provider]))
    lines.append(_line("all", verdicts))
    lines += ["", "| exchanges | listed, since |", "|--:|---|"]
    reasons = Counter(one.reason for one in verdicts if one.how == "listed")
    for reason, count in reasons.most_common():
        where = Counter(one.provider for one in verdicts if one.reason == reason)
        lines.append(f"| {count} | {reason} ({', '.join(f'{name} {n}' for name, n in sorted(where.items()))}) |")
    return "\n".join(lines) + "\n"


def _line(name: str, found: list[Verdict]) -> str:
    hows = Counter(one.how for one in found)
    compared = [one.matches_list for one in found if one.how == "told" and one.matches_list is not None]
    both = f"{sum(compared)} of {len(compared)}" if compared else ""
    return (
        f"| {name} | {len(found)} | {hows['told'] or ''} | {hows['counted'] or ''} | {hows['listed'] or ''} | {both} |"
    )


def page(text: str, verdicts: list[Verdict]) -> str:
    """The page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(verdicts) + END + after


def main() -> int:
    """Writes the tables; says what is wrong."""
    verdicts = [judge(row) for row in rows()]
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), verdicts), encoding="utf-8")
    wrong = [one for one in verdicts if one.wrong]
    for one in wrong:
        print(f"{one.provider} {one.id}: {one.wrong}", file=sys.stderr)
    print(f"{len(verdicts)} exchanges, {sum(one.how != 'listed' for one in verdicts)} exact, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
