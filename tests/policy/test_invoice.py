"""An invoice against the log: every export is read, what agrees agrees, and what does not has a reason."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.policy.invoice import Line, Logged, Tokens, canonical, compare, days_of, parse_invoice, summary

CENT = 10_000_000_000
USD = 100 * CENT


def test_openais_costs_are_read_and_their_empty_days_are_not() -> None:
    text = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item\n"
        "1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,,,\n"
        '1790553600,1790640000,2026-09-28T00:00:00+00:00,,0.25,usd,1000,tokens,"gpt-5-nano-2025-08-07, input"\n'
        '1790553600,1790640000,2026-09-28T00:00:00+00:00,,0.5,usd,100,tokens,"gpt-5-nano-2025-08-07, output"\n'
    )
    [line] = parse_invoice(text)
    assert (line.day, line.model, line.picousd, line.tokens) == ("2026-09-28", "gpt-5-nano-2025-08-07", 75 * CENT, None)


def test_openais_usage_is_read_with_its_days_in_seconds_and_its_cached_tokens_apart() -> None:
    text = (
        "start_time,end_time,project_id,num_model_requests,model,input_tokens,input_cached_tokens,output_tokens\n"
        "1790553600,1790640000,,3,gpt-5,1000,400,50\n1790553600,1790640000,,0,,,,\n"
    )
    assert parse_invoice(text) == [Line("2026-09-28", "gpt-5", None, Tokens(600, 400, 0, 50))]


def test_anthropics_costs_are_read_with_the_cent_that_each_row_is_rounded_to() -> None:
    text = (
        "\ufeffusage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type\n"
        "2026-08-04,Claude Haiku 4.5,Default,k,message,≤ 200k,input_no_cache,0.05,token\n"
        "2026-08-04,Claude Haiku 4.5,Default,k,message,≤ 200k,output,1.10,token\n"
    )
    assert parse_invoice(text) == [Line("2026-08-04", "Claude Haiku 4.5", 115 * CENT, None, CENT)]


def test_anthropics_usage_is_read_with_both_kinds_of_writes() -> None:
    text = (
        "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
        "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
        '2026-08-05,claude-opus-5,"1,000",20,30,400,7\n'
    )
    assert parse_invoice(text) == [Line("2026-08-05", "claude-opus-5", None, Tokens(1000, 400, 50, 7))]


def test_the_plain_form_is_read_with_tokens_or_without() -> None:
    assert parse_invoice("day,model,usd\n2026-08-05,m,$1.5\n")[0].picousd == 150 * CENT
    [line] = parse_invoice("day,model,usd,input,output\n2026-08-05,m,2,10,3\n")
    assert (line.tokens, line.rounding_picousd) == (Tokens(10, 0, 0, 3), 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No known export: its columns are none"),
        ("a,b\n1,2\n", "No known export: its columns are a, b"),
        ("day,model,usd\nyesterday,m,1\n", "Row 2 cannot be read: `yesterday` is no day such as 2026-11-25"),
        ("day,model,usd\n2026-08-05,m,1,23\n", "Row 2 has more cells than there are columns"),
        ('day,model,usd\n2026-08-05,m,"1,23"\n', "`1,23` is no amount of money"),
        ('day,model,usd\n2026-08-05,m,"1.234,56"\n', "`1.234,56` is no amount of money"),
        ("day,model,usd\n2026-08-05,m\n", "it has no cell for the column 'usd'"),
        ("day,model,usd,input\n2026-08-05,m,1,x\n", "`x` is no count of input"),
        ("day,model,usd\n2026-08-05,m,1\n2026-08-05,m,much\n", "Row 3 cannot be read"),
        ("day,model,usd\n2026-08-05,m,NaN\n", "no amount of money"),
        ("day,model,usd\n2026-08-05,m,1e99\n", "no amount of money"),
        ("start_time,amount_value,amount_currency,line_item\n1790553600,1,eur,x\n", "an amount in eur"),
        ("start_time,amount_value,amount_currency,line_item\n99999999999999999,1,usd,x\n", "Row 2 cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_row(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_invoice(text)


def test_commas_before_three_digits_are_read() -> None:
    (line,) = parse_invoice('day,model,usd,input\n2026-08-05,m,"$1,234,567.50","12,000"\n')
    assert (line.picousd, line.tokens) == (1_234_567_500_000_000_000, Tokens(input=12_000))


@given(st.text(max_size=200))
def test_no_file_makes_anything_but_lines_or_one_error(text: str) -> None:
    for head in ("", "day,model,usd\n", "usage_date_utc,usage_output_tokens\n", "start_time,amount_value,line_item\n"):
        with suppress(ValueError):
            assert all(line.day and line.rounding_picousd >= 0 for line in parse_invoice(head + text))


@pytest.mark.parametrize(
    "spelling",
    [
        "Claude Haiku 4.5",
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
        "anthropic/claude-haiku-4.5",
        "claude-haiku-4-5-latest",
    ],
)
def test_all_spellings_of_a_model_are_one(spelling: str) -> None:
    assert canonical(spelling) == "claude-haiku-4-5"


def test_a_dated_name_of_openais_is_the_plain_one() -> None:
    assert canonical("gpt-5-nano-2025-08-07") == "gpt-5-nano"
    assert canonical("gpt-4.1") != canonical("gpt-4")


DAY = "2026-08-05"


def reasons(billed: Line | None, logged: Logged | None) -> tuple[str, ...]:
    found = compare([billed] if billed else [], [logged] if logged else [])
    return found.lines[0].reasons


def test_what_is_the_same_agrees_also_within_rounding_and_half_a_percent() -> None:
    for told, rounding in ((USD, 0), (USD + CENT // 4, 0), (USD + CENT, CENT)):
        found = compare([Line(DAY, "M 1", told, None, rounding)], [Logged(DAY, "m-1", USD, attempts=3)])
        assert found.agrees
        assert found.lines[0].reasons == ()
    assert not compare([Line(DAY, "m", USD + CENT)], [Logged(DAY, "m", USD)]).agrees


def test_several_spellings_of_a_day_are_summed_on_both_sides() -> None:
    log = [Logged(DAY, "m-2025-01-01", USD, Tokens(1), 1), Logged(DAY, "m", USD, Tokens(2), 1)]
    found = compare([Line(DAY, "m", USD), Line(DAY, "M", USD)], log)
    assert found.agrees
    assert (found.invoiced_picousd, found.logged_picousd, len(found.lines)) == (2 * USD, 2 * USD, 1)


@pytest.mark.parametrize(
    ("billed", "logged", "says"),
    [
        (Line(DAY, "m", USD), None, "not in the log"),
        (Line(DAY, "m", 2 * USD), Logged(DAY, "m", USD, attempts=2, unpriced=1), "1 of 2 attempts have no known price"),
        (Line(DAY, "m", 2 * USD), Logged(DAY, "m", USD, attempts=2, estimated=2), "2 of 2 attempts are estimates"),
        (Line(DAY, "m", 2 * USD), Logged(DAY, "m", USD, attempts=2), "more is billed than is known"),
        (Line(DAY, "m", USD), Logged(DAY, "m", 2 * USD, attempts=2), "less is billed than is known"),
        (Line(DAY, "m", USD, Tokens(9)), Logged(DAY, "m", 2 * USD, Tokens(9)), "same tokens at another price (-50.0%)"),
        (Line(DAY, "m", USD, Tokens(9)), Logged(DAY, "m", 0, Tokens(9)), "a price of nothing"),
        (Line(DAY, "m", USD, Tokens(900)), Logged(DAY, "m", USD, Tokens(800)), "input 900 billed, 800 logged"),
        (Line(DAY, "m", None, Tokens(0, 9)), Logged(DAY, "m", USD, Tokens(9)), "cached_input 9 billed, 0 logged"),
    ],
)
def test_each_difference_has_its_likeliest_reason(billed: Line, logged: Logged | None, says: str) -> None:
    assert says in reasons(billed, logged)[0]


def test_what_only_the_log_has_is_told_and_days_outside_the_invoice_are_not_looked_at() -> None:
    log = [Logged(DAY, "other", USD, attempts=1), Logged("2026-08-09", "m", USD, attempts=1), Logged(DAY, "free")]
    found = compare([Line(DAY, "m", USD)], [*log, Logged(DAY, "m", USD)])
    assert [(line.model, line.agrees) for line in found.lines] == [("free", True), ("m", True), ("other", False)]
    assert "not on the invoice" in found.lines[2].reasons[0]
    assert found.logged_picousd == 2 * USD


def test_an_export_of_tokens_alone_says_nothing_of_money() -> None:
    found = compare([Line(DAY, "m", None, Tokens(9))], [Logged(DAY, "m", USD, Tokens(9))])
    assert found.agrees
    assert found.lines[0].invoiced_picousd is None


def test_a_line_of_nothing_that_the_log_has_not_agrees() -> None:
    assert compare([Line(DAY, "m", 0)], []).agrees


def test_what_moves_over_midnight_is_seen_as_that() -> None:
    billed = [Line("2026-08-05", "m", 3 * USD), Line("2026-08-06", "m", USD)]
    log = [Logged("2026-08-05", "m", 2 * USD, attempts=1), Logged("2026-08-06", "m", 2 * USD, attempts=1)]
    found = compare(billed, log)
    assert all("ends its days at another hour" in line.reasons[0] for line in found.lines)


def test_the_summary_says_both_sums_and_how_many_lines_differ() -> None:
    assert (
        summary(compare([Line(DAY, "m", USD)], [Logged(DAY, "m", USD)])) == "invoice $1.00, log $1.00; all lines agree"
    )
    assert summary(compare([Line(DAY, "m", USD)], [])).endswith("1 of 1 lines differ")
    assert days_of([]) is None
    assert days_of([Line("2026-08-06", "m"), Line("2026-08-05", "m")]) == ("2026-08-05", "2026-08-06")
