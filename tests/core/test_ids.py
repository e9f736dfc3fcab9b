"""Ids of requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.ids import WORKERS, request_id, worker_of

bits = st.integers(0, (1 << 80) - 1)
times = st.integers(0, (1 << 48) - 1)


@given(times, bits, st.integers(0, WORKERS - 1))
def test_an_id_says_which_worker_gave_it(now_ms: int, random: int, worker: int) -> None:
    assert worker_of(request_id(now_ms, random, worker)) == worker


@given(times, bits, bits, st.integers(0, WORKERS - 1), st.integers(0, WORKERS - 1))
def test_workers_never_give_the_same_id_and_one_only_by_the_same_chance(
    now_ms: int, first: int, second: int, one: int, other: int
) -> None:
    same = request_id(now_ms, first, one) == request_id(now_ms, second, other)
    assert same == (one == other and first % (1 << 70) == second % (1 << 70))


@given(st.tuples(times, bits), st.tuples(times, bits), st.integers(0, WORKERS - 1))
def test_ids_sort_by_time_whoever_gave_them(one: tuple[int, int], other: tuple[int, int], worker: int) -> None:
    if one[0] < other[0]:
        assert request_id(*one, worker) < request_id(*other)


@given(st.text(max_size=40))
def test_what_is_no_id_names_no_worker(text: str) -> None:
    found = worker_of(text)
    assert found is None or (text.startswith("req_") and len(text) == 30)
