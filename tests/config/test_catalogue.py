"""The catalogue: what it says is sourced, agrees with the price list, and what its older names mean holds together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from afterbay.config.catalog import catalog, embeds
from afterbay.config.listing import about
from afterbay.config.models_page import page
from afterbay.config.prices import Prices, Query, price_of
from afterbay.config.retirement import notices, retiring
from afterbay.config.snapshot import Snapshot
from afterbay.config.watch import load_snapshot
from afterbay.core.errors import ClientMistake
from afterbay.policy.names import Found, look_up
from afterbay.policy.plan import Former

KEYS = {row.key_variables[0]: "k" for row in catalog().provider if row.key_variables}
TAGS = {"fast", "cheap", "reasoning", "code", "long_context", "vision", "translation", "extract", "chat"}
READ = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)


def no_prices(queries: Iterable[Query]) -> Prices:
    """A price list with nothing on it."""
    list(queries)
    return {}


def bare(*variables: str) -> Snapshot:
    """What these keys alone bring; all of them, if none is named."""
    environ = KEYS if not variables else dict.fromkeys(variables, "k")
    return load_snapshot(None, environ, Path("/nonexistent"), no_prices).snapshot


def asked(plan: Snapshot, model: str) -> Found:
    return look_up(plan, model, lambda *_: None)


def test_keys_bring_at_least_sixteen_chat_models_over_eight_providers() -> None:
    targets = [one.targets[0] for one in bare().aliases.values() if not one.targets[0].embeds]
    assert len(targets) >= 16
    wanted = {"openai", "anthropic", "gemini", "groq", "xai", "mistral", "deepseek", "local"}
    assert wanted <= {one.provider for one in targets}
    assert all(one.tags and one.context_tokens for one in targets)


def test_every_row_has_a_source_and_every_score_a_day() -> None:
    for row in catalog().model:
        assert row.source
        assert set(row.tags) <= TAGS, row.name
        assert ("long_context" in row.tags) <= ((row.context or 0) >= 250_000), row.name
        for name in ("vision", "reasoning"):
            assert (name in row.tags) <= bool(getattr(row, name)), (row.name, name)
        assert len(row.reached) == len(row.scores), f"{row.name}: one figure a benchmark"
        for score in row.scores:
            assert date.fromisoformat(score.date) <= date(2026, 11, 25)
            assert score.source
    assert all(one.source for one in catalog().former)


def test_the_prices_that_the_fleet_is_ordered_by_are_the_lists() -> None:
    lists = {row.name: row.prices for row in catalog().provider}
    rows = [row for row in catalog().model if row.usd is not None]
    assert len(rows) >= 30
    for row in rows:
        price = price_of(lists[row.provider] or "", row.name, READ)
        assert price is not None, row.name
        assert (price.input / 1e6, price.output / 1e6) == row.usd, row.name


def test_an_older_name_means_a_model_that_a_key_brings_and_stands_there_once() -> None:
    fleet = {(row.name, name) for row in catalog().provider for name in row.models}
    names = [name for one in catalog().former for name in one.names]
    assert len(names) == len(set(names))
    assert not set(names) & {name for _, name in fleet}, "what is there itself needs no other"
    for one in catalog().former:
        assert (one.provider, one.instead) in fleet, one.names
        assert one.ended is None or (
            date.fromisoformat(one.ended) <= date.fromisoformat(catalog().as_of) and not one.gone
        )
    for row in catalog().model:
        assert row.ends is None or date.fromisoformat(row.ends)
        assert row.successor is None or (row.provider, row.successor) in fleet, row.name


def test_what_has_ended_is_brought_by_no_key() -> None:
    for row in catalog().provider:
        for name in row.models:
            known = catalog().model_at(row.name, name)
            assert embeds(name) or known is not None, name
            assert known is None or known.ends is None or known.ends > catalog().as_of, name


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-6.1-sol"),
        ("gpt-4", "gpt-6.1-sol"),
        ("gpt-4-1106-preview", "gpt-6.1-sol"),
        ("gpt-3.5-turbo", "gpt-6.1-terra"),
        ("gpt-3.5-turbo-16k", "gpt-6.1-terra"),
        ("o1-mini", "gpt-6.1-terra"),
        ("o3", "gpt-6.1-sol"),
        ("claude-3-opus-20240229", "claude-opus-5-5"),
        ("claude-3-5-sonnet-20241022", "claude-sonnet-5-5"),
        ("claude-2.1", "claude-sonnet-5-5"),
        ("claude-instant-1.2", "claude-haiku-5-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-5-5"),
        ("gemini-1.5-pro", "gemini-3.8-flash"),
        ("gemini-1.5-flash", "gemini-2.5-flash-lite"),
        ("gemini-pro", "gemini-3.8-flash"),
        ("llama3-8b-8192", "openai/gpt-oss-20b"),
        ("llama-3.3-70b-versatile", "openai/gpt-oss-120b"),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "openai/gpt-oss-120b"),
        ("mixtral-8x7b-32768", "openai/gpt-oss-20b"),
        ("open-mixtral-8x7b", "mistral-small-2603"),
        ("open-mistral-7b", "ministral-8b-2512"),
        ("mistral-large-latest", "mistral-medium-2604"),
        ("grok-1", "grok-4.3"),
        ("grok-beta", "grok-4.3"),
        ("grok-2-1212", "grok-4.3"),
        ("deepseek-coder", "deepseek-flash"),
        ("deepseek-chat", "deepseek-flash"),
    ],
)
def test_without_a_configuration_an_older_name_is_answered_by_what_replaced_it_and_says_so(name: str, now: str) -> None:
    found = asked(bare(), name)
    assert found.alias is not None
    assert found.alias.name == now
    assert (found.warning is None) == (name == now)
    assert found.warning is None or (f"'{name}'" in found.warning and f"'{now}'" in found.warning)


def test_an_older_name_whose_provider_has_no_key_goes_to_auto_and_says_what_replaced_it() -> None:
    found = asked(bare("GROQ_API_KEY"), "claude-3-opus-20240229")
    assert found.route is not None
    assert found.route.name == "auto"
    assert found.warning == (
        "the model 'claude-3-opus-20240229' ended on 2026-01-05; 'claude-opus-5-5' of anthropic took its place; "
        "neither is configured; 'auto' answers instead"
    )


def test_with_a_configuration_an_older_name_is_an_error_that_says_what_replaced_it(
    snapshot_of: Callable[..., Snapshot],
) -> None:
    text = "providers: {openai: {kind: openai, api_key: k}}\nmodels: {strong: {provider: openai, name: gpt-6.1-sol}}"
    with pytest.raises(ClientMistake) as caught:
        asked(snapshot_of(text), "gpt-4-0613")
    assert caught.value.status == 404
    assert caught.value.message == (
        "There is no model called 'gpt-4-0613': it ended on 2026-10-23; 'gpt-6.1-sol' of openai took its place."
    )
    assert caught.value.remedy.startswith("The nearest names are: strong, ")
    other = snapshot_of(
        "providers: {groq: {kind: groq, api_key: k}}\nmodels: {fast: {provider: groq, name: openai/gpt-oss-20b}}"
    )
    with pytest.raises(ClientMistake, match=r"'gpt-6\.1-sol' of openai took its place"):
        asked(other, "gpt-4")


def test_a_model_that_has_not_ended_yet_has_no_successor_in_its_place_yet(
    snapshot_of: Callable[..., Snapshot],
) -> None:
    row = next(one for one in catalog().model if one.ends is not None and one.ends > catalog().as_of and one.successor)
    made = snapshot_of("providers: {groq: {kind: groq, api_key: k}}\nmodels: {m: {provider: groq, name: x}}")
    with pytest.raises(ClientMistake) as caught:
        asked(made, row.name)
    assert f"ends on {row.ends}; " in caught.value.message
    assert caught.value.message.endswith("takes its place then.")
    former = Former("ends on 2099-01-01; 'new' of x takes its place then", "new", "m")
    plan = msgspec.structs.replace(made, former={"old": former, "older": msgspec.structs.replace(former, instead="m")})
    assert asked(plan, "old").warning == (
        "the model 'old' ends on 2099-01-01; 'new' of x takes its place then; 'm' answers instead"
    )
    assert asked(plan, "older").warning == (
        "the model 'older' ends on 2099-01-01; 'new' of x takes its place then, and answers already"
    )


def test_a_configured_name_is_never_taken_for_an_older_one(snapshot_of: Callable[..., Snapshot]) -> None:
    made = snapshot_of(
        "providers: {openai: {kind: openai, api_key: k}}\nmodels: {gpt-4: {provider: openai, name: gpt-6-luna}}"
    )
    found = asked(made, "gpt-4")
    assert found.alias is made.aliases["gpt-4"]
    assert found.warning is None
    assert "gpt-4" not in made.former


def test_what_the_operator_wants_of_unknown_names_holds_for_older_ones(snapshot_of: Callable[..., Snapshot]) -> None:
    made = snapshot_of(
        "unknown_model: cheap\nproviders: {openai: {kind: openai, api_key: k}}\n"
        "models: {cheap: {provider: openai, name: gpt-6-luna}, strong: {provider: openai, name: gpt-6.1-sol}}"
    )
    found = asked(made, "gpt-4")
    assert found.alias is made.aliases["cheap"]
    assert found.warning is not None
    assert "'gpt-6.1-sol' of openai took its place" in found.warning


def test_auto_takes_the_cheap_model_of_the_first_provider_for_little_and_its_first_one_for_the_rest() -> None:
    auto = bare().routes["auto"]
    assert auto.complexity == {"low": "gpt-6-luna", "high": "gpt-6.1-sol"}
    assert auto.tasks == {"code": "gpt-6.1-sol", "reasoning": "gpt-6.1-sol", "extract": "gpt-6-luna"}
    assert auto.candidates[0] == "gpt-6.1-sol", "what nothing else decides is what it was"
    assert bare("ANTHROPIC_API_KEY").routes["auto"].complexity["low"] == "claude-haiku-5-5"
    assert bare("XAI_API_KEY").routes["auto"].complexity == {}, "nothing there is cheap"


def test_auto_picks_nothing_dearer_than_the_first_model_and_no_local_one_beside_hosted_ones() -> None:
    for variable in KEYS:
        made = bare(variable)
        auto = made.routes["auto"]
        first = made.aliases[auto.candidates[0]].targets[0]
        for name in {*auto.tasks.values(), *auto.complexity.values()}:
            target = made.aliases[name].targets[0]
            assert target.provider == first.provider, "no other company sees a prompt because its key is set"
            usual, here = (catalog().model_at(one.provider, one.name) for one in (first, target))
            assert usual is not None
            assert here is not None
            assert usual.usd is not None
            assert here.usd is not None
            assert here.usd[0] <= usual.usd[0]
            assert here.usd[1] <= usual.usd[1]
        assert [name for name in auto.candidates if name.startswith("local")][:2] == ["local", "local-small"]
        assert auto.candidates.index("local") > 0


def test_a_model_whose_end_is_announced_falls_back_to_its_successor() -> None:
    assert bare().aliases["gpt-4o"].fallback == ("gpt-6-luna",)


CONFIGURED = """
providers:
  openai: {kind: openai, api_key: k}
  mine: {kind: openai, base_url: "http://10.0.0.1/v1"}
models:
  old: {provider: openai, name: gpt-4o}
  dated: {provider: openai, name: gpt-4o-2024-11-20}
  elsewhere: {provider: mine, name: gpt-4o}
  new: {provider: openai, name: gpt-6-luna}
"""


def test_a_model_that_ends_is_told_of_sixty_days_ahead_and_after_it(snapshot_of: Callable[..., Snapshot]) -> None:
    made = snapshot_of(CONFIGURED)
    assert retiring(made, date(2026, 11, 14)) == []
    first = retiring(made, date(2026, 11, 15))
    assert [(one.alias, one.days, one.successor) for one in first] == [
        ("old", 60, "gpt-6-luna"),
        ("dated", 60, "gpt-6-luna"),
    ]
    assert notices(first, chosen_here=False)[0] == (
        "models: openai/gpt-4o ends on 2027-01-14, in 60 days: `gpt-6-luna` takes its place; change `old` before."
    )
    assert notices(first, chosen_here=True) == [], "nobody has to do anything yet"
    over = retiring(made, date(2027, 2, 1))
    assert notices(over, chosen_here=True)[0] == (
        "models: openai/gpt-4o ended on 2027-01-14: `gpt-6-luna` takes its place; change or remove `old`."
    )


def test_a_model_at_another_address_ends_when_whoever_is_there_ends_it(snapshot_of: Callable[..., Snapshot]) -> None:
    assert "elsewhere" not in {one.alias for one in retiring(snapshot_of(CONFIGURED), date(2027, 2, 1))}


def test_scores_come_from_the_catalogue_and_the_configuration_knows_better(
    snapshot_of: Callable[..., Snapshot],
) -> None:
    made = snapshot_of(
        "providers: {openai: {kind: openai, api_key: k}}\n"
        "models: {a: {provider: openai, name: gpt-4o, scores: {mmlu: 0.5, ours: 1.0}}, b: {provider: openai, name: x}}"
    )
    scores = made.aliases["a"].targets[0].scores
    assert (scores["mmlu"], scores["ours"], scores["humaneval"]) == (0.5, 1.0, 0.902)
    assert made.aliases["b"].targets[0].scores == {}


def test_what_is_known_of_a_name_is_listed_and_what_is_not_is_absent(snapshot_of: Callable[..., Snapshot]) -> None:
    made = snapshot_of(CONFIGURED + "routes: {auto: {fallback: [new, old]}}\n")
    old = about(made, "old")
    assert (old.kind, old.chat, old.provider, old.model) == ("alias", True, "openai", "gpt-4o")
    assert (old.context, old.max_output) == (128000, 16384)
    assert (old.ends, old.successor) == ("2027-01-14", "gpt-6-luna")
    assert about(made, "elsewhere").ends is None
    assert about(made, "auto").candidates == ("new", "old")


def test_the_page_of_models_is_up_to_date() -> None:
    """Else: `python -m afterbay.config.models_page > docs/models.md`."""
    written = (Path(__file__).parent.parent.parent / "docs/models.md").read_text("utf-8")
    assert written == page().rstrip("\n") + "\n"
