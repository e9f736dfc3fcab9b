"""`afterbay report invoice`: a provider's export against the log, by day and model."""

from __future__ import annotations

from pathlib import Path

from afterbay.cli.figures import dollars, printable
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import existing_database, load_quickly
from afterbay.policy.invoice import Comparison, Difference, Line, compare, days_of, parse_invoice, summary
from afterbay.store.day_sums import day_sums

MOST_BYTES = 256 << 20


def run_invoice(file: Path, provider: str, config: Path | None, as_json: bool, speech: Speech) -> int:
    """Compares the file with what the log says of the provider over the file's days; gives the exit code: 0 they
    agree, 1 they do not.

    Raises:
        Misuse: no such provider, or the file is not an export that is known.
        StoreError: there is no log.
    """
    loaded = load_quickly(config)
    if provider not in loaded.snapshot.providers:
        names = ", ".join(loaded.snapshot.providers) or "none"
        raise Misuse(f"No provider {printable(provider)} is configured. There are: {names}.")
    lines = _read(file)
    days = days_of(lines)
    if days is None:
        raise Misuse(f"{file} has no row with an amount: export days on which something was used.")
    found = compare(lines, day_sums(existing_database(loaded), provider, *days))
    if as_json:
        print_json(_object(found))
    else:
        print_table(("day", "model", "invoice", "log", "why they may differ"), map(_cells, found.lines))
    speech.say(f"{provider}, {days[0]} to {days[1]}: {summary(found)}")
    return 0 if found.agrees else 1


def _read(file: Path) -> list[Line]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Misuse(f"{file} is larger than {MOST_BYTES >> 20} MB: export fewer days at a time.")
        return parse_invoice(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise Misuse(f"{file}: {printable(str(error))}") from None


def _cells(line: Difference) -> tuple[str, ...]:
    told = "-" if line.invoiced_picousd is None else dollars(line.invoiced_picousd)
    known = "-" if line.logged_picousd is None else dollars(line.logged_picousd)
    return line.day, printable(line.model), told, known, "; ".join(line.reasons) or "agrees"


def _object(found: Comparison) -> dict[str, object]:
    lines = [
        {
            "day": line.day,
            "model": line.model,
            "invoice_picousd": line.invoiced_picousd,
            "log_picousd": line.logged_picousd,
            "agrees": line.agrees,
            "reasons": line.reasons,
        }
        for line in found.lines
    ]
    return {
        "agrees": found.agrees,
        "invoice_picousd": found.invoiced_picousd,
        "log_picousd": found.logged_picousd,
        "lines": lines,
    }
