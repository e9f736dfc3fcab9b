"""What every store must do, as tests to inherit: subclass a contract, say how to open the store, and let pytest run it.

    class TestMine(RequestLogContract):
        @contextmanager
        def opened(self) -> Iterator[OpenedLog]:
            log = MyLog()
            yield OpenedLog(log, log, flush=log.flush)

The cases need nothing but this package; a violation is an `AssertionError` that says which promise was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from afterbay.core.decision import Attempt, Record, Rejected
from afterbay.core.usage import Usage
from afterbay.ports import KeptResponse, RequestLog, Responses
from afterbay.store.answers import Columns, Filter, Logged, ModelSummary

T0 = 1_770_000_000.0
"""A time of day to start from, UTC seconds: 2026-02-02."""


class Reading(Protocol):
    """How a request log is asked."""

    def last_cursor(self) -> int:
        """The cursor after which only future rows come."""

    def after(self, cursor: int, only: Filter | None = None, limit: int = 100) -> list[Logged]:
        """At most `limit` rows written after a cursor."""

    def last(self, count: int, only: Filter | None = None) -> list[Logged]:
        """The last `count` rows, oldest first."""

    def one(self, request_id: str) -> Record | None:
        """A request by its id."""

    def by_model(self, since_utc_s: float, until_utc_s: float | None = None) -> list[ModelSummary]:
        """A table by model."""


class OpenedLog(msgspec.Struct, frozen=True):
    """A request log under test. `flush` waits until what was put can be read; whether that came about."""

    log: RequestLog
    reading: Reading
    flush: Callable[[], bool] = lambda: True


def a_record(number: int = 1, **changes: object) -> Record:
    """A whole record, different for each number: one attempt that failed, one that answered."""
    usage = Usage(input_tokens=1000 + number, cached_input_tokens=200, output_tokens=50, reasoning_tokens=7)
    record = Record(
        id=f"req_{number:026d}",
        received_at=T0 + number,
        operation="chat",
        protocol="openai_chat",
        requested_model="gpt-4o",
        route="auto",
        rule="task:code",
        model="gpt_4o",
        provider="openai",
        upstream_model="gpt-4o-2024-11-20",
        key_id="key_1",
        key_name="ci",
        stream=True,
        status=200,
        outcome="ok",
        attempts=[
            Attempt(
                1, "groq/llama", "primary", 0.001, ended_s=0.2, outcome="rate_limit", status=429, error="slow down"
            ),
            Attempt(
                2,
                "openai/gpt-4o",
                "fallback",
                0.2,
                0.3,
                0.4,
                1.5,
                "ok",
                200,
                None,
                usage,
                5_000_000_000,
                2,
                model="gpt",
            ),
        ],
        rejected=[Rejected("google/gemini", "residency")],
        warnings=["dropped metadata"],
        usage=usage,
        cost_picousd=5_000_000_000,
        ttft_s=0.4,
        duration_s=1.5,
        stages_s={"route": 0.0001, "prepare": 0.00002},
        finish="stop",
        request_bytes=4096,
        response_bytes=2048,
        tags={"team": "搜索", "run": str(number)},
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        config_hash="c0ffee",
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


class RequestLogContract:
    """What holds for any request log and its reading."""

    def opened(self) -> AbstractContextManager[OpenedLog]:
        """An empty log, closed when the block ends. To be written by the subclass."""
        raise NotImplementedError

    def test_what_is_put_is_read_back_equal(self) -> None:
        with self.opened() as store:
            _put(store, a_record())
            _expect(store.reading.one(a_record().id) == a_record(), "a record comes back equal")

    def test_a_bare_record_stays_bare(self) -> None:
        bare = Record(id="req_bare", received_at=T0, operation="chat", protocol="gemini")
        with self.opened() as store:
            _put(store, bare)
            _expect(store.reading.one("req_bare") == bare, "unknown stays unknown: no zero, no empty usage")

    def test_an_unknown_price_is_not_zero(self) -> None:
        with self.opened() as store:
            _put(store, a_record(1, cost_picousd=None), a_record(2, cost_picousd=0))
            costs = [row.record.cost_picousd for row in store.reading.after(0)]
            _expect(costs == [None, 0], f"None and 0 are told apart, not {costs}")

    def test_the_same_id_is_kept_once(self) -> None:
        with self.opened() as store:
            _put(store, a_record(1), a_record(1))
            _expect(len(store.reading.after(0)) == 1, "putting twice is putting once")

    def test_an_unknown_id_is_none(self) -> None:
        with self.opened() as store:
            _expect(store.reading.one("req_none") is None, "an unknown id is None")

    def test_a_cursor_goes_on_where_it_stopped(self) -> None:
        with self.opened() as store:
            _put(store, *(a_record(number) for number in range(10)))
            first = store.reading.after(0, limit=4)
            rest = store.reading.after(first[-1].cursor)
            ids = [row.record.id for row in first + rest]
            _expect(ids == [a_record(number).id for number in range(10)], "nothing twice, nothing left out, in order")
            _expect(store.reading.last_cursor() == rest[-1].cursor, "the last cursor is the last row's")
            _expect(store.reading.after(store.reading.last_cursor()) == [], "nothing comes after the last")

    def test_the_last_rows_come_oldest_first(self) -> None:
        with self.opened() as store:
            _put(store, *(a_record(number) for number in range(5)))
            ids = [row.record.id for row in store.reading.last(2)]
            _expect(ids == [a_record(3).id, a_record(4).id], "the two written last, in order")

    def test_filters_hold_together(self) -> None:
        with self.opened() as store:
            _put(store, a_record(1), a_record(2, model="b"), a_record(3, model="b", outcome="timeout"))
            failed = store.reading.after(0, Filter(Columns(model="b"), failed=True))
            well = store.reading.last(9, Filter(failed=False))
            _expect([row.record.id for row in failed] == [a_record(3).id], "model and failure")
            _expect([row.record.id for row in well] == [a_record(1).id, a_record(2).id], "only what ended well")

    def test_the_table_by_model_adds_up(self) -> None:
        records = [a_record(number, model="a", ttft_s=number / 100) for number in range(1, 21)]
        records += [a_record(30, model="b", outcome="error", cost_picousd=None, ttft_s=None)]
        records += [a_record(31, model="b", outcome="error", usage=None, cost_picousd=None, ttft_s=None)]
        with self.opened() as store:
            _put(store, *records)
            a, b = store.reading.by_model(T0)
        total_in, total_out = sum(1200 + number for number in range(1, 21)), 20 * 57
        _expect(a == ModelSummary("a", 20, 0, total_in, total_out, 100_000_000_000, 0, 0.1, 0.19), f"sums of a: {a}")
        _expect(b == ModelSummary("b", 2, 2, 1230, 57, 0, 1), f"sums of b, cost unknown, no TTFT: {b}")

    def test_the_table_by_model_keeps_to_its_times(self) -> None:
        with self.opened() as store:
            _put(store, *(a_record(number) for number in range(10)))
            (line,) = store.reading.by_model(T0 + 2, T0 + 5)
            _expect(line.requests == 3, "from inclusive, until exclusive")
            _expect(store.reading.by_model(T0 + 100) == [], "no requests, no lines")


class OpenedResponses(msgspec.Struct, frozen=True):
    """A store of responses under test. `advance` moves its clock, which begins at `T0`, by so many seconds."""

    responses: Responses
    advance: Callable[[float], None]


RETENTION_S = 1000.0


class ResponsesContract:
    """What holds for any store of responses; its retention is `RETENTION_S`."""

    def opened_responses(self) -> AbstractContextManager[OpenedResponses]:
        """An empty store, closed when the block ends. To be written by the subclass."""
        raise NotImplementedError

    async def test_what_is_put_is_there_at_once_and_equal(self) -> None:
        kept = KeptResponse("resp_1", "key_1", T0, "", "m", "resp_0", '[{"a":"世"}]'.encode(), b'{"id":"resp_1"}')
        bare = KeptResponse("resp_2", None, T0, "openai", "m")
        with self.opened_responses() as store:
            await store.responses.put(kept)
            await store.responses.put(bare)
            _expect(await store.responses.get("resp_1") == kept, "a response comes back equal")
            _expect(await store.responses.get("resp_2") == bare, "and one without content stays without")
            _expect(await store.responses.get("resp_3") is None, "an unknown one is None")

    async def test_an_id_is_given_once(self) -> None:
        first, second = (KeptResponse("resp_1", None, T0, "", model) for model in "ab")
        with self.opened_responses() as store:
            await store.responses.put(first)
            await store.responses.put(second)
            _expect(await store.responses.get("resp_1") == first, "what is kept is not overwritten")

    async def test_what_is_deleted_is_gone(self) -> None:
        with self.opened_responses() as store:
            await store.responses.put(KeptResponse("resp_1", None, T0, "", "m"))
            _expect(await store.responses.delete("resp_1"), "there was one")
            _expect(not await store.responses.delete("resp_1"), "there is none any more")
            _expect(await store.responses.get("resp_1") is None, "and it is not found")

    async def test_what_is_older_than_the_retention_is_not_found(self) -> None:
        with self.opened_responses() as store:
            await store.responses.put(KeptResponse("resp_1", None, T0, "", "m"))
            store.advance(RETENTION_S + 1)
            _expect(await store.responses.get("resp_1") is None, "too old")
            await store.responses.put(KeptResponse("resp_2", None, T0 + RETENTION_S, "", "m"))
            _expect(await store.responses.get("resp_2") is not None, "the new one is there")


def _put(store: OpenedLog, *records: Record) -> None:
    for record in records:
        store.log.put(record)
    _expect(store.flush(), "what was put can be read in time")


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"broken promise: {promise}")
