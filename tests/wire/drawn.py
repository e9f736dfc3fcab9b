"""What properties of answers are drawn from."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

few = settings(max_examples=150, deadline=None)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
counts = st.integers(0, 10**6)
objects = st.dictionaries(
    names, st.one_of(words, st.integers(-9, 9), st.none(), st.lists(words, max_size=2)), max_size=3
)
json_objects = objects.map(lambda value: msgspec.json.encode(value).decode())


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in one piece or two."""
    cut = draw(st.integers(0, len(text)))
    return [part for part in (text[:cut], text[cut:]) if part]
