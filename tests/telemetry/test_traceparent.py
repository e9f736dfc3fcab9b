"""W3C Trace Context's header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.telemetry.traceparent import Traceparent, parse, render

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_rendered_is_parsed_back(trace_id: int, span_id: int, sampled: bool) -> None:
    parent = Traceparent(trace_id, span_id, sampled)
    assert parse(render(parent)) == parent


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_the_standard_says_to_ignore_is_ignored(header: str | None) -> None:
    assert parse(header) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse(f"01-{TRACE}-{SPAN}-03-what-comes-later") == Traceparent(int(TRACE, 16), int(SPAN, 16), True)
