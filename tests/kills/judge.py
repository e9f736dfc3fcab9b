"""What clients saw of a gateway that was killed again and again, held against its database: the judge, pure.

By numbers and tokens that the client itself read:

- an answer that reached its client whole has one row, `ok`, with the tokens that the answer told;
- a request of which the client saw as much as a status has one row, under the id that it saw;
- no request has two;
- the providers saw no more requests than there are rows: nothing that cost anything is missing;
- each model's account is charged once for every row that was sent, or may have been: with its cost, or where nobody
  knows that with what was set aside; and no lease is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

MAX_TOKENS = 500
"""Of each answer's output."""
MOST_TOKENS = 5_000
"""What one that nobody knows the end of is charged at most: a token a byte of its body, and its longest answer."""
PICOUSD_A_TOKEN = 1_000_000
"""A dollar for a million, of input and of output."""


class Kind(NamedTuple):
    """A way to ask: path, model, whether as a stream."""

    path: str
    model: str
    streams: bool

    @property
    def is_raw(self) -> bool:
        """Whether nobody is charged for it."""
        return self.path.startswith("/passthrough")


class Seen(msgspec.Struct):
    """What a client saw of one request. `tokens`: of the output, as the answer told them."""

    number: int
    kind: Kind
    request_id: str | None = None
    status: int = 0
    is_whole: bool = False
    tokens: int | None = None


class Row(NamedTuple):
    """What the log says of one. `picousd`: what it cost; None: nobody knows. `estimated`: the gateway counted it, the
    provider told nothing."""

    id: str
    outcome: str
    tokens: int | None = None
    picousd: int | None = None
    attempts: int = 1
    estimated: int | None = 0


class Report(msgspec.Struct):
    """What came of some kills. `slowest_s`: from a restart to the moment from which on nothing was missing."""

    kills: int = 0
    asked: int = 0
    begun: int = 0
    whole: int = 0
    rows: int = 0
    unknown: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = []


def missing(seen: Sequence[Seen], rows: Mapping[int, Sequence[Row]]) -> list[int]:
    """Requests that a client saw anything of and the log does not know."""
    return [one.number for one in seen if one.status and one.number not in rows]


def judge(seen: Sequence[Seen], rows: Mapping[int, Sequence[Row]]) -> list[str]:
    """What is wrong with the rows, a line each."""
    wrong: list[str] = []
    for one in seen:
        own = rows.get(one.number, [])
        what = f"{one.number} {one.kind.path} {one.kind.model} {'stream' if one.kind.streams else 'whole'}"
        if len(own) > 1:
            wrong.append(f"{what}: {len(own)} rows")
        elif not own:
            if one.status:
                wrong.append(f"{what}: its client saw status {one.status} (whole: {one.is_whole}), and there is no row")
        elif one.request_id is not None and own[0].id != one.request_id:
            wrong.append(f"{what}: its client knows it as {one.request_id}, the log as {own[0].id}")
        elif one.is_whole and one.status == 200:
            if own[0].outcome != "ok":
                wrong.append(f"{what}: its client has the whole answer, the log says '{own[0].outcome}'")
            elif one.tokens is not None and one.kind.path != "/v1/embeddings" and one.tokens != own[0].tokens:
                wrong.append(f"{what}: its client was told {one.tokens} tokens, the log says {own[0].tokens}")
    return wrong


def judge_charges(
    seen: Sequence[Seen], rows: Mapping[int, Sequence[Row]], spent: Mapping[str, tuple[int, int]]
) -> list[str]:
    """What is wrong with the accounts of the models. `spent`: picodollars and requests by account."""
    wrong: list[str] = []
    charged = [one for one in seen if not one.kind.is_raw]
    for model in sorted({one.kind.model for one in charged}):
        mine = [row for one in charged if one.kind.model == model for row in rows.get(one.number, ())]
        sent = [row for row in mine if row.attempts or row.outcome == "unknown"]
        picousd, requests = spent.get(f"model:{model}", (0, 0))
        if requests != len(sent):
            wrong.append(f"model:{model} was charged {requests} requests, {len(sent)} were sent")
        known = sum(row.picousd or 0 for row in sent)
        unsure = sum(row.picousd is None for row in sent)
        least, most = (MAX_TOKENS, MOST_TOKENS) if model != "vectors" else (1, MOST_TOKENS)
        if not unsure * least <= (picousd - known) / PICOUSD_A_TOKEN <= unsure * most:
            wrong.append(f"model:{model} was charged {picousd}, its rows cost {known} and {unsure} set something aside")
    return wrong
