"""What tells who somebody is, made unreadable in text that nobody meant to keep: errors, warnings, lines of the log.

Providers quote prompts in their errors, and libraries quote both. So mail addresses, phone numbers, payment cards,
IBANs and US social security numbers are taken out of what is written down; nothing that is sent to a provider or to a
client is changed. Numbers count only where their check digits are right. A net, not the rule: names and addresses have
no shape. The rule is that prompts and answers are not kept unless a client asks for it.

Each pattern reads a text in linear time: what may repeat is bounded, and begins only where a word does. The first
character stands before the look at what is before it, since the search for a first character is quick.
"""

from __future__ import annotations

import re
from typing import Final

_MAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])"
)
_ABROAD: Final = re.compile(r"\+(?<![\w.+-]\+)[1-9](?:[ ().\/-]{0,2}\d){7,14}(?![\w-])")
"""E.164, with whatever people put between."""
_AMERICAN: Final = re.compile(
    r"[(2-9](?<![\w.+-][(2-9])(?:(?<=\()[2-9]\d{2}|(?<!\()\d{2})\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])"
)
_CARD: Final = re.compile(r"[2-6](?<![\w.+-][2-6])(?:[ -]?\d){12,18}(?![\w-])")
_IBAN: Final = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_SOCIAL: Final = re.compile(r"[0-8](?<![\w-][0-8])(?<!0(?=00)|6(?=66))\d{2}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_DIGIT: Final = re.compile(r"\d[\d ().\/A-Z-]{7,}")


def anonymise(text: str) -> str:
    """The text with `[email]`, `[phone]`, `[card]`, `[iban]` and `[ssn]` where such were."""
    if "@" in text:
        text = _MAIL.sub("[email]", text)
    if _DIGIT.search(text):
        text = _IBAN.sub(lambda found: "[iban]" if _is_iban(found[0]) else found[0], text)
        text = _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)
        text = _SOCIAL.sub("[ssn]", text)
        text = _ABROAD.sub("[phone]", _AMERICAN.sub("[phone]", text))
    return text


def _is_card(found: str) -> bool:
    """Luhn's sum (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed([int(one) for one in found if one.isdigit()])):
        doubled = digit * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _is_iban(found: str) -> bool:
    """The remainder of ISO 13616: letters count from 10, the country and its check digits come last."""
    plain = found.replace(" ", "")
    digits = "".join(str(int(one, 36)) for one in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(digits) % 97 == 1
