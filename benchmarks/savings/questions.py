"""Questions of a company's day with answers that a program can check: most are easy, some are not.

Every question is drawn from a seed. What is easy is so for a model of half a billion parameters: to find something in
a line of text, to tell praise from blame, to know a capital. What is hard is arithmetic over several steps.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final, NamedTuple

HARD_SHARE: Final = 0.3

_FIRST = (
    "Ada",
    "Boris",
    "Chen",
    "Dalia",
    "Emil",
    "Farah",
    "Goran",
    "Hana",
    "Ivo",
    "Jana",
    "Kofi",
    "Lena",
    "Marco",
    "Nadia",
    "Omar",
    "Petra",
    "Quentin",
    "Rosa",
    "Sven",
    "Tara",
)
_LAST = [
    "Abbott",
    "Brandt",
    "Costa",
    "Dufour",
    "Eriksen",
    "Fontana",
    "Garcia",
    "Horvat",
    "Ito",
    "Jensen",
    "Keller",
    "Lindqvist",
    "Moreau",
    "Novak",
    "Okafor",
]
_HOSTS = (
    "acme.com",
    "example.org",
    "northwind.net",
    "contoso.com",
    "riverside.io",
    "lakehouse.dev",
    "bluepeak.co",
)
_ITEMS = (
    "kettle",
    "lamp",
    "backpack",
    "headset",
    "printer",
    "blanket",
    "bicycle",
    "drill",
    "tent",
    "router",
    "keyboard",
    "monitor",
)
_CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Germany": "Berlin",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Russia": "Moscow",
    "Portugal": "Lisbon",
    "Greece": "Athens",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Ireland": "Dublin",
    "Cuba": "Havana",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Thailand": "Bangkok",
    "Iraq": "Baghdad",
    "Iran": "Tehran",
    "Denmark": "Copenhagen",
}
_PRAISE = (
    "Arrived a day early and works perfectly.",
    "I love it, best purchase of the year!",
    "Great quality, my children use it every day.",
    "Friendly support, they solved my problem in minutes.",
    "Exactly as described, very happy with it.",
    "Fantastic value, I would buy it again.",
)
_BLAME = (
    "Broke after two days, very disappointed.",
    "Terrible quality, I want my money back.",
    "The worst service I have ever had.",
    "It never arrived and nobody answers my mails.",
    "Cheap plastic, stopped working at once. Avoid.",
    "Awful smell and the colour is wrong. I hate it.",
)


class Question(NamedTuple):
    """What is asked, what is right, what kind it is, and whether it is meant to be easy."""

    prompt: str
    answer: str
    kind: str
    easy: bool


def questions(count: int, seed: int) -> list[Question]:
    """So many questions, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    return [
        (chance.choice(_HARD) if chance.random() < HARD_SHARE else chance.choice(_EASY))(chance) for _ in range(count)
    ]


def is_right(question: Question, said: str) -> bool:
    """Whether the answer is in what was said: as a number, the last one that stands there; else as a word."""
    if question.answer.lstrip("-").isdigit():
        found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", said)
        return bool(found) and float(found[-1].replace(",", "")) == float(question.answer)
    return re.search(rf"(?<!\w){re.escape(question.answer)}(?!\w)", said, re.IGNORECASE) is not None


def _mail(chance: random.Random) -> Question:
    first, last, host = chance.choice(_FIRST), chance.choice(_LAST), chance.choice(_HOSTS)
    address = f"{first}.{last}@{host}".lower()
    text = chance.choice(
        (
            f"Dear team, please send the invoice to {address} before Friday. Regards, {first}",
            f"{first} {last} asked us to confirm the order. E-mail: {address}",
            f"For questions about the {chance.choice(_ITEMS)} write to {address} or call the office.",
        )
    )
    return Question(
        f"Extract the e-mail address from this text. Answer with it alone.\n\n{text}", address, "mail", True
    )


def _order_number(chance: random.Random) -> Question:
    number = f"{chance.choice('ABKX')}{chance.choice('RTZ')}-{chance.randint(10000, 99999)}"
    item = chance.choice(_ITEMS)
    text = chance.choice(
        (
            f"Hello, my {item} from order {number} has not arrived yet. Can you look?",
            f"I would like to return the {item} (order {number}) because it is too small.",
            f"Order {number}: the {item} is damaged. What now?",
        )
    )
    return Question(f"Which order number is in this message? Answer with it alone.\n\n{text}", number, "order", True)


def _mood(chance: random.Random) -> Question:
    good = chance.random() < 0.5
    text = chance.choice(_PRAISE if good else _BLAME)
    wanted = "positive" if good else "negative"
    ask = "Is this review positive or negative? Answer with one word."
    return Question(f"{ask}\n\nReview of a {chance.choice(_ITEMS)}: {text}", wanted, "mood", True)


def _capital(chance: random.Random) -> Question:
    country = chance.choice(sorted(_CAPITALS))
    form = chance.choice(("What is the capital of {}?", "Which city is the capital of {}? Answer in one sentence."))
    return Question(form.format(country), _CAPITALS[country], "capital", True)


def _shop(chance: random.Random) -> Question:
    name, item = chance.choice(_FIRST), chance.choice(_ITEMS)
    boxes, each, sold, price = (
        chance.randint(6, 19),
        chance.randint(12, 38),
        chance.randint(30, 70),
        chance.randint(3, 17),
    )
    text = (
        f"{name} has {boxes} boxes with {each} {item}s each. {sold} are sold for {price} dollars apiece, and a third "
        f"of what was earned is spent on shipping. After that, {name} buys {each // 2} more {item}s. "
        f"How many {item}s does {name} have now? Answer with the number alone."
    )
    return Question(text, str(boxes * each - sold + each // 2), "shop", False)


def _product(chance: random.Random) -> Question:
    a, b, c = chance.randint(123, 987), chance.randint(23, 97), chance.randint(100, 999)
    return Question(f"Calculate {a} * {b} - {c}. Answer with the number alone.", str(a * b - c), "product", False)


def _ages(chance: random.Random) -> Question:
    first, second = chance.sample(_FIRST, 2)
    now, factor, years = chance.randint(7, 19), chance.randint(2, 4), chance.randint(3, 11)
    text = (
        f"{first} is {now} years old. {second} is {factor} times as old as {first} was {years // 2} years ago. How old "
        f"will they be together in {years} years? Answer with the number alone."
    )
    return Question(text, str(now + factor * (now - years // 2) + 2 * years), "ages", False)


_EASY: Final[tuple[Callable[[random.Random], Question], ...]] = (_mail, _order_number, _mood, _capital)
_HARD: Final[tuple[Callable[[random.Random], Question], ...]] = (_shop, _product, _ages)
