"""What the engine needs of whoever keeps labels and what is learned from them. See `afterbay.ports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

Judge: TypeAlias = Literal["check", "judge", "feedback", "regenerate"]
"""Who says how good an answer was: a program, a model, the client's user, or that user by asking for another one."""


class Label(msgspec.Struct, frozen=True):
    """How good the answer to a request was: `score` from 0 to 1, said at a moment (UTC seconds).

    `alias` gave it. `kind` is how it was said (`up`, `score`, ...); `comment`: a person's words.
    """

    request_id: str
    route: str
    at: float
    judge: Judge
    alias: str
    score: float
    kind: str = ""
    comment: str | None = None


class Pair(msgspec.Struct, frozen=True):
    """A request that two models answered, and how good either answer was, from 0 to 1.

    `gain`: how much better the `predictor` of that moment expected the strong one to be. `propensity`: how likely such
    a request was to be drawn. Costs are picodollars; None: not known. `cost_picousd`: of the second answer and of
    judging. `judged`: by what. `digest`: which models the two names, and that of the judge, stood for
    (`policy.kept_quality.Duel`).
    """

    request_id: str
    route: str
    at: float
    cheap: str
    strong: str
    gain: float
    predictor: str
    cheap_quality: float
    strong_quality: float
    judged: str
    propensity: float
    cheap_picousd: int | None = None
    strong_picousd: int | None = None
    cost_picousd: int | None = None
    digest: str = ""


class Labels(Protocol):
    """Where labels, pairs and imprints of prompts are kept, for as long as the retention says.

    What is read comes in the order of time (and then of ids): everybody who reads gets the same. Of more than `most`,
    the newest. All of it may raise the database's own error where that does not answer.
    """

    async def put(self, label: Label) -> None:
        """Keeps a label; of the same judge on the same request the last word counts."""

    async def put_pair(self, pair: Pair) -> None:
        """Keeps a pair; one of the same request stays as it is."""

    async def put_imprint(self, request_id: str, route: str, at: float, imprint: bytes) -> None:
        """Keeps the imprint of a prompt; one of the same request stays as it is."""

    async def labels(self, route: str, since: float = 0.0, most: int = 20_000) -> Sequence[Label]:
        """Labels of a route since a moment (UTC seconds)."""

    async def pairs(self, route: str, since: float = 0.0, most: int = 20_000) -> Sequence[Pair]:
        """Pairs of a route since a moment."""

    async def imprints(self, route: str, since: float = 0.0, most: int = 20_000) -> Mapping[str, bytes]:
        """Imprints of a route since a moment, by request."""

    async def explored_picousd(self, route: str, since: float) -> int:
        """What exploring cost a route since a moment, more than it would have cost without."""


RouterKind: TypeAlias = Literal["predictor", "certificate"]


class Router(msgspec.Struct, frozen=True):
    """What was learned of a route, from so many `labels`, by what they were at a moment (UTC seconds)."""

    route: str
    kind: RouterKind
    made_at: float
    blob: bytes
    labels: int
    reason: str = ""


class Routers(Protocol):
    """Where what was learned is kept. Both may raise the database's own error."""

    async def get(self, route: str, kind: RouterKind) -> Router | None:
        """The newest of a kind; None: there is none."""

    async def put(self, router: Router) -> None:
        """Keeps it beside the last ones; one of the same moment stays as it is."""
