"""Secrets are cut out of raw answers wherever the reads fall, and lengths stay."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from afterbay.providers.raw import Cutter, clean_headers, cut, cut_text, mask

KEY = b"sk-up-canary-0123456789"
SECRETS = (KEY, b"pass word/+=!")


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(one % (len(data) + 1) for one in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(at)]


@given(
    st.lists(st.sampled_from([KEY, SECRETS[1], KEY[:9], b"s", b"sk-", b"text", b"\n\n", b"p"]), max_size=12),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_any_chunking_gives_the_same_bytes_without_secrets(pieces: list[bytes], cuts: list[int]) -> None:
    data, cutter = b"".join(pieces), Cutter(SECRETS)
    got = b"".join(cutter.feed(one) for one in chunked(data, cuts)) + cutter.rest()
    assert got == cut(data, SECRETS)
    assert len(got) == len(data)
    assert not any(secret in got for secret in SECRETS)


def test_an_event_is_not_held_back() -> None:
    cutter = Cutter(SECRETS)
    assert cutter.feed(b"data: sk-up\n\n") == b"data: sk-up\n\n"
    assert cutter.feed(b"data: sk-up") == b"data: "
    assert cutter.feed(b"stair") == b"sk-upstair"
    assert cutter.rest() == b""


def test_without_secrets_everything_passes_at_once() -> None:
    assert Cutter(()).feed(KEY) == KEY


def test_a_mask_is_as_long_as_what_it_hides() -> None:
    assert [len(mask(b"x" * size)) for size in (8, 10, 11, 40)] == [8, 10, 11, 40]


def test_headers_are_cleaned_and_joined() -> None:
    headers = {"X-Echo": f"Bearer {KEY.decode()}", "Vary": "a", "vary": "b"}
    assert clean_headers(headers, SECRETS) == {"x-echo": f"Bearer {mask(KEY).decode()}", "vary": "a, b"}


def test_text_is_cleaned_as_text() -> None:
    assert cut_text(f"中 {KEY.decode()}", SECRETS) == f"中 {mask(KEY).decode()}"
    assert cut_text("中", SECRETS) == "中"
