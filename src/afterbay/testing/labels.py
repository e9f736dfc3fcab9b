"""What every store of labels and of routers must do."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from afterbay.label_ports import Label, Labels, Pair, Router, Routers
from afterbay.testing.stores import RETENTION_S, T0


class OpenedLabels(msgspec.Struct):
    """A store of labels, one of routers, and how to let time pass."""

    labels: Labels
    routers: Routers
    advance: Callable[[float], None]


def label(request_id: str, at: float = T0, **fields: Any) -> Label:
    """A good word of a user."""
    plain: dict[str, Any] = {"route": "auto", "judge": "feedback", "alias": "small", "score": 1.0, "kind": "up"}
    return Label(request_id=request_id, at=at, **plain | fields)


def pair(request_id: str, at: float = T0, **fields: Any) -> Pair:
    """Two answers that are as good as each other."""
    plain: dict[str, Any] = {
        "route": "auto",
        "cheap": "small",
        "strong": "large",
        "gain": 0.5,
        "predictor": "length-1",
        "cheap_quality": 1.0,
        "strong_quality": 1.0,
        "judged": "same text",
        "propensity": 0.02,
    }
    return Pair(request_id=request_id, at=at, **plain | fields)


class LabelsContract(ABC):
    """Derive a test class, and say how a store is opened: the clock stands at `T0`, rows last `RETENTION_S`."""

    @abstractmethod
    def opened_labels(self) -> AbstractContextManager[OpenedLabels]:
        """An empty one."""

    def test_a_label_is_found_as_it_was_put(self) -> None:
        """Every field comes back, and only for its route."""
        with self.opened_labels() as opened:
            said = label("req_1", comment="it knew it at once")
            asyncio.run(opened.labels.put(said))
            assert asyncio.run(opened.labels.labels("auto")) == [said]  # noqa: S101
            assert asyncio.run(opened.labels.labels("other")) == []  # noqa: S101

    def test_the_last_word_of_a_judge_counts(self) -> None:
        """Another judge's word stays."""
        with self.opened_labels() as opened:
            last = label("req_1", T0 + 5, score=0.0, kind="down")
            other = label("req_1", judge="judge", score=0.5)
            for one in (label("req_1", comment="wrong word"), other, last):
                asyncio.run(opened.labels.put(one))
            assert asyncio.run(opened.labels.labels("auto")) == [other, last]  # noqa: S101

    def test_pairs_come_in_the_order_of_time(self) -> None:
        """Of the same moment by their ids, so that all who read them get the same; of many the newest."""
        with self.opened_labels() as opened:
            late = pair("req_a", T0 + 1, cheap_picousd=5, strong_picousd=70, cost_picousd=80, digest="of these")
            for one in (late, pair("req_c"), pair("req_b"), pair("req_x", route="other")):
                asyncio.run(opened.labels.put_pair(one))
            assert asyncio.run(opened.labels.pairs("auto")) == [pair("req_b"), pair("req_c"), late]  # noqa: S101
            assert asyncio.run(opened.labels.pairs("auto", most=2)) == [pair("req_c"), late]  # noqa: S101
            assert asyncio.run(opened.labels.pairs("auto", since=T0 + 0.5)) == [late]  # noqa: S101

    def test_a_pair_stays_as_it_was(self) -> None:
        """A certificate that was made of it holds."""
        with self.opened_labels() as opened:
            for quality in (0.0, 1.0):
                asyncio.run(opened.labels.put_pair(pair("req_a", cheap_quality=quality)))
            assert [one.cheap_quality for one in asyncio.run(opened.labels.pairs("auto"))] == [0.0]  # noqa: S101

    def test_imprints_are_found_by_request(self) -> None:
        """Bytes as they were."""
        with self.opened_labels() as opened:
            asyncio.run(opened.labels.put_imprint("req_a", "auto", T0, b"\x00\xff"))
            asyncio.run(opened.labels.put_imprint("req_b", "auto", T0 + 1, b""))
            assert asyncio.run(opened.labels.imprints("auto")) == {"req_a": b"\x00\xff", "req_b": b""}  # noqa: S101
            assert asyncio.run(opened.labels.imprints("auto", most=1)) == {"req_b": b""}  # noqa: S101

    def test_what_is_older_than_the_retention_is_not_found(self) -> None:
        """Whether or not it was removed yet."""
        with self.opened_labels() as opened:
            asyncio.run(opened.labels.put(label("req_1")))
            asyncio.run(opened.labels.put_pair(pair("req_1")))
            opened.advance(RETENTION_S + 1)
            assert not asyncio.run(opened.labels.labels("auto"))  # noqa: S101
            assert not asyncio.run(opened.labels.pairs("auto"))  # noqa: S101

    def test_the_newest_router_of_a_kind_counts(self) -> None:
        """Whoever makes the same one again changes nothing."""
        with self.opened_labels() as opened:
            assert asyncio.run(opened.routers.get("auto", "predictor")) is None  # noqa: S101
            new = Router("auto", "predictor", T0 + 1, b"new", 900, "trained")
            for one in (
                new,
                Router("auto", "predictor", T0, b"old", 500),
                Router("auto", "certificate", T0 + 2, b"{}", 9),
            ):
                asyncio.run(opened.routers.put(one))
            asyncio.run(opened.routers.put(msgspec.structs.replace(new, blob=b"other")))
            assert asyncio.run(opened.routers.get("auto", "predictor")) == new  # noqa: S101
            assert asyncio.run(opened.routers.get("other", "predictor")) is None  # noqa: S101

    def test_nothing_explored_has_cost_nothing(self) -> None:
        """Not unknown: nothing."""
        with self.opened_labels() as opened:
            assert asyncio.run(opened.labels.explored_picousd("auto", T0)) == 0  # noqa: S101
