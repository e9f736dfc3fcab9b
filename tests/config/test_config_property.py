"""Whatever a file holds, it gives a configuration or an error that says where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.config import describe
from afterbay.config.load import parse
from afterbay.config.problem import ConfigError
from afterbay.config.resolve import resolve
from afterbay.config.watch import Loaded

TEXT = (Path(__file__).parent / "interface.yaml").read_text("utf-8")
LINES = TEXT.splitlines(keepends=True)
ENV = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_KEY_A", "GROQ_KEY_B"), "v")
WORDS = (
    "{ } [ ] : , *a & << !!str | > ' \" ${X} $${ ${ null ~ 0 -1 1e400 .inf yes 😀 % # auto error kind models: routes:"
)
PIECES = [
    *WORDS.split(),
    *["../x.gguf", "a/b", "http://[", "5s", "llamacpp", "http://h:x"],
    "9" * 50,
    ": ",
    "- ",
    "? ",
    "&a ",
]
PIECES += [": ", "- ", "? ", "&a ", "\n", "  ", "\t", "---\n", "\x00", "\u2028", "\r", "\ud7ff"]


def outcome(text: str) -> None:
    """Loads, resolves and describes; nothing but ConfigError may come of it, and its problems must be readable."""
    try:
        document = parse(text, "f.yaml", ENV)
        snapshot = resolve(document, ENV, lambda queries: {})
    except ConfigError as error:
        problems = error.problems
    else:
        made = Loaded(snapshot, document.config, document.origins)
        assert describe.rows(made)
        describe.never_matching(made)
        return
    assert problems
    for problem in problems:
        assert problem.text().startswith("f.yaml")
        assert problem.what


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=3)),
        min_size=1,
        max_size=4,
    )
)
def test_cutting_and_pasting_in_a_valid_file_breaks_nothing(edits: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    outcome(text)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=len(LINES)))
def test_lines_in_any_order_and_number_break_nothing(lines: list[str]) -> None:
    outcome("".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_value_at_any_key_breaks_nothing(data: st.DataObject) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(PIECES),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(PIECES), inner, max_size=2),
        max_leaves=4,
    )
    import yaml

    tree = yaml.safe_load(TEXT)
    node = tree
    for _ in range(data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if not isinstance(node[key], dict | list) or not node[key]:
            break
        node = node[key]
    key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
    node[key] = data.draw(values)
    outcome(yaml.safe_dump(tree, allow_unicode=True))


@pytest.mark.parametrize("end", range(0, len(TEXT), 97))
def test_a_file_cut_off_anywhere_breaks_nothing(end: int) -> None:
    outcome(TEXT[:end])
