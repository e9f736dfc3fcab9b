"""Texts that mean the same have one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.policy.normal import folded, normalized


@pytest.mark.parametrize(
    ("typed", "form"),
    [
        ("Ｈｅｌｌｏ，　ＷＯＲＬＤ！", "hello, world!"),
        ("“Quoted”—and ‘more’", "\"quoted\"-and 'more'"),
        ("a\u200bb\ufeff", "ab"),
        ("  two \n\t lines ", "two lines"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("请总结。谢谢、再见", "请总结.谢谢,再见"),
        ("ﬁne", "fine"),
        ("", ""),
    ],
)
def test_what_is_typed_alike_has_one_form(typed: str, form: str) -> None:
    assert normalized(typed) == form


def test_what_differs_stays_different() -> None:
    assert len({normalized(text) for text in ("3.5", "35", "-35", "not 35", "35?")}) == 5


@given(st.text(max_size=60))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(st.text(max_size=60))
def test_folding_does_not_depend_on_case_of_ascii(text: str) -> None:
    assert folded(text.upper()) == folded(text.upper().lower()) or not text.isascii()
