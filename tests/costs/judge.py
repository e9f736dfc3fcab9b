"""Each recorded exchange judged: whether what it cost, as the gateway reads and counts it, is what it cost."""

from __future__ import annotations

import base64
import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import genai_prices
from genai_prices.types import Usage as ListedUsage

from acceptance.recorded import SHARED
from afterbay.config.catalog import catalog
from afterbay.config.prices import price_of
from afterbay.core.decision import Target
from afterbay.core.event import UsageSeen
from afterbay.core.usage import Price, Usage, picousd
from afterbay.wire.aws_stream import FrameSplitter
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS
from afterbay.wire.sse import decode
from costs.by_hand import Counts, read

DAY = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""Recordings have no date: all are priced as of this one, by both calculations."""

UNREAD = "passed on raw and not read: its cost is unknown, and a budget of money refuses it"

_DIALECTS = {
    "chat": "openai.chat",
    "responses": "openai.responses",
    "messages": "anthropic.messages",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "converse": "bedrock.converse",
    "converseStream": "bedrock.converse",
    "embeddings": "openai.embeddings",
    "embedContent": "gemini.embeddings",
    "embed": "cohere.embeddings",
}
_COUNTERS = ("count_tokens", "countTokens", "responses_input_tokens", "models", "moderations")
_ROWS = {"gemini": "google", "vertex": "vertex", "xai": "xai"}
_USUAL = ("", "default", "auto", "standard", "on_demand", "ON_DEMAND")


@dataclass(frozen=True)
class Verdict:
    """`how` is `told` (equal to the provider's cost field), `counted` (equal to the second calculation), or `listed`
    with its reason; `wrong` says what should not be."""

    provider: str
    id: str
    how: str
    reason: str = ""
    wrong: str = ""
    matches_list: bool | None = None


def rows() -> list[dict[str, Any]]:
    """Every recorded exchange."""
    files = sorted(Path(SHARED).glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def judge(row: dict[str, Any]) -> Verdict:
    """The verdict on one exchange."""
    provider, name, api = row["provider"], row["id"], row["api"].partition(".")[2]
    if row["response"]["status"] != 200:
        return Verdict(provider, name, "listed", "an error, which nobody bills")
    if api in _COUNTERS:
        return Verdict(provider, name, "listed", "lists, counts and moderations cost nothing")
    dialect = "anthropic.messages" if _is_claudes(row) else _dialect(provider, api)
    if dialect is None:
        return Verdict(
            provider,
            name,
            "listed",
            f"`{api}` is {UNREAD}",
        )
    try:
        usage = _usage(dialect, row)
    except ValueError:
        return Verdict(
            provider,
            name,
            "listed",
            f"an older protocol, {UNREAD}",
        )
    counts = read(dialect, row)
    if counts is None or usage is None:
        wrong = "" if usage is None and counts is None else f"read as {usage}, by hand {counts}"
        return Verdict(provider, name, "listed", "it tells no usage: estimated, and marked", wrong)
    return _compare(row, dialect, usage, counts)


def _compare(row: dict[str, Any], dialect: str, usage: Usage, counts: Counts) -> Verdict:
    provider, name = row["provider"], row["id"]
    target = _target(provider, row["request"]["host"], row["model"] or "", dialect)
    cost = target.cost_picousd(usage, DAY.timestamp())
    told = None if counts.told is None else picousd(counts.told)
    wrong = _sums(usage, counts, dialect)
    if usage.told_picousd != told:
        wrong = wrong or f"told {usage.told_picousd}, by hand {told}"
    by_list = _second(provider, row, counts)
    matches = None if by_list is None or told is None else abs(by_list - told) <= usage.total
    if told is not None and (target.tells_cost or target.price is None):
        wrong = wrong or ("" if cost == told else f"cost {cost}, told {told}")
        return Verdict(provider, name, "told", wrong=wrong, matches_list=matches)
    marked = target.marked(usage)
    if usage.stray:
        if marked is None or not marked.estimated:
            wrong = wrong or "it contradicts itself and has no mark"
        return Verdict(
            provider, name, "listed", "its counts contradict each other: the dearer is charged, and marked", wrong
        )
    if target.price is None:
        reason = "no list has its price: refused under a budget of money, unless `price` is configured"
        return Verdict(
            provider, name, "listed", reason, wrong or ("" if cost is None else f"cost {cost} without a price")
        )
    if not target.price.serves(usage.service):
        return Verdict(
            provider, name, "listed", "a tier of service without a listed price: charged as usual, and marked", wrong
        )
    if by_list is None:
        return Verdict(provider, name, "listed", "the second calculation has no price", wrong)
    off = (
        "" if cost is not None and abs(cost - by_list) <= usage.total else f"cost {cost}, second calculation {by_list}"
    )
    return Verdict(provider, name, "counted", wrong=wrong or off, matches_list=matches)


def _sums(usage: Usage, counts: Counts, dialect: str) -> str:
    """The buckets are disjoint and their sum is the provider's; empty: they are."""
    if min(usage.buckets) < 0:
        return f"a negative bucket: {usage}"
    free = sum(count for kind, count in usage.parts if kind.startswith("unbilled"))
    billed = usage.total - free
    if not usage.stray and billed != counts.read + counts.made:
        return f"sum {billed}, by hand {counts.read + counts.made}"
    if dialect != "cohere.chat" and not usage.stray and counts.total and billed != counts.total:
        return f"sum {billed}, the provider's own {counts.total}"
    if usage.stray and counts.agrees:
        return f"a stray of {usage.stray} where the counts agree"
    return ""


def _second(provider: str, row: dict[str, Any], counts: Counts) -> int | None:
    """The price by genai-prices' own arithmetic, from counts read by hand, in picodollars; None: it knows no price."""
    listed = ListedUsage(
        input_tokens=counts.read,
        output_tokens=counts.made,
        **({"cache_read_tokens": counts.cached} if counts.cached else {}),
        **({"cache_write_tokens": counts.written} if counts.written else {}),
        **({"cache_write_1h_tokens": counts.written_1h} if counts.written_1h else {}),
        **counts.parts,
    )
    where = _list_of(provider)
    at: dict[str, Any] = (
        {"provider_id": where} if where else {"provider_api_url": f"https://{row['request']['host']}/v1"}
    )
    service = "" if counts.service in _USUAL else counts.service.lower().removeprefix("on_demand_")
    context = dict.fromkeys(("service_tier", "processing", "speed"), service) if service else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = genai_prices.calc_price(
                listed, row["model"] or "", genai_request_timestamp=DAY, price_context=context, **at
            )
        except (LookupError, ValueError):
            return None
    return picousd(Decimal(found.total_price))


def _list_of(provider: str) -> str | None:
    row = catalog().named(_ROWS.get(provider, provider))
    return row.prices if row is not None else None


@cache
def _price(where: str, model: str) -> Price | None:
    return price_of(where, model, DAY)


def _target(provider: str, host: str, model: str, dialect: str) -> Target:
    row = catalog().named(_ROWS.get(provider, provider))
    price = _price(_list_of(provider) or f"https://{host}/v1", model) if model else None
    tells = row is not None and row.tells_cost
    return Target("p/m", "m", provider, model, dialect, price=price, tells_cost=tells)


def _is_claudes(row: dict[str, Any]) -> bool:
    return bool(row["request"]["path"].partition("?")[0].endswith("/v1/messages"))


def _dialect(provider: str, api: str) -> str | None:
    if provider == "cohere" and api == "chat":
        return "cohere.chat"
    return _DIALECTS.get(api)


def _usage(dialect: str, row: dict[str, Any]) -> Usage | None:
    """What the gateway reads of the answer."""
    response = row["response"]
    raw = base64.b64decode(response["body"]) if response.get("body_encoding") == "base64" else response["body"].encode()
    if dialect in EMBED_DIALECTS:
        return EMBED_DIALECTS[dialect].parse_answer(raw)[1]
    found: list[Any] = []
    if "events" in response:
        parser = DIALECTS[dialect].stream_parser("s")
        for name, data in FrameSplitter().feed(raw)[1]:
            parser.push(name, data, found)
    elif raw.lstrip()[:1] in (b"{", b"["):
        found = DIALECTS[dialect].parse_answer(raw, "s")
    else:
        parser = DIALECTS[dialect].stream_parser("s")
        for name, data in decode(raw):
            if data != b"[DONE]":
                parser.push(name, data, found)
    seen = [one.usage for one in found if isinstance(one, UsageSeen)]
    return seen[-1] if seen else None
