"""An imprint comes back as it was, is small, and holds no word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake
from afterbay.policy.learned.imprint import imprint, packed, unpacked

TEXT = "How many ways are there to colour the vertices of a cube with three colours, up to rotation? " * 6


@settings(max_examples=30)
@given(st.text(max_size=300))
def test_an_imprint_comes_back_as_it_was(text: str) -> None:
    made = imprint(text)
    found = unpacked(packed(made))
    assert found.chars == len(text)
    assert np.array_equal(found.prompt.grams.ids, made.prompt.grams.ids)
    assert np.array_equal(found.prompt.grams.values, made.prompt.grams.values)
    assert np.array_equal(found.prompt.surface, made.prompt.surface)


def test_it_is_small_and_holds_no_word() -> None:
    data = packed(imprint(TEXT))
    assert len(data) < 2500
    assert b"colour" not in data
    assert b"cube" not in data


@pytest.mark.parametrize("data", [b"", b"x", packed(imprint("a"))[:-3], b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_bytes_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(ClientMistake, match="hold no imprint"):
        unpacked(data)
