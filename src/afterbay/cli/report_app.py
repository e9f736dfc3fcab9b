"""The commands below `afterbay report`, with their options. What they do is in `report.py`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from afterbay.cli.options import AsJson, Config, examples

app = typer.Typer(
    help="Report on the request log: cost, usage, latency, errors, satisfaction, routing, savings, why a bill changed.",
    epilog=examples(
        "afterbay report cost --by team --since 30d",
        "afterbay report cost --by tag:project,user --since 2026-11 --until 2026-12 --csv > chargeback.csv",
        "afterbay report explain --since 7d",
    ),
    no_args_is_help=True,
)

By = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="What lines are told apart by, with commas: organisation, team, user, key, agent, task, route, model,"
        " provider, deployment, operation, tag, tag:NAME, hour, day, month.",
    ),
]
Since = Annotated[
    str, typer.Option(metavar="TIME", help="From when: 12h, 7d, 4w ago, or 2026-11, 2026-11-01, 2026-11-01T13 (UTC).")
]
Until = Annotated[str, typer.Option(metavar="TIME", help="Up to when, in the same forms.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Only these: team=search, tag:project=ranking; may be given again."),
]
Top = Annotated[int | None, typer.Option(metavar="N", help="Only the first lines; the total stays.", min=1)]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")]


def _run(
    name: str,
    config: Config,
    by: str,
    since: str,
    until: str,
    only: list[str] | None,
    top: int | None,
    forms: tuple[bool, bool],
) -> None:
    from afterbay.cli.report import Wanted, run_report

    run_report(name, config, Wanted(by, since, until, tuple(only or ()), top, *forms))


@app.command("cost", epilog=examples("afterbay report cost --by team,user", "afterbay report cost --by day --csv"))
def cost(
    by: By = "model",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was spent. All attempts count, those beside the answers too."""
    _run("cost", config, by, since, until, only, top, (as_csv, as_json))


@app.command("usage", epilog=examples("afterbay report usage --by key", "afterbay report usage --by tag:project"))
def usage(
    by: By = "model",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show the tokens that were used. In buckets that do not overlap."""
    _run("usage", config, by, since, until, only, top, (as_csv, as_json))


@app.command(
    "latency",
    epilog=examples("afterbay report latency --by deployment", "afterbay report latency --by hour --since 1d"),
)
def latency(
    by: By = "model",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show how long it took. Percentiles to the first output and to the end of whole answers, right within 1 %."""
    _run("latency", config, by, since, until, only, top, (as_csv, as_json))


@app.command(
    "errors", epilog=examples("afterbay report errors", "afterbay report errors --by route --only team=search")
)
def errors(
    by: By = "provider",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what failed, and how. Requests as clients were told, attempts as providers failed."""
    _run("errors", config, by, since, until, only, top, (as_csv, as_json))


@app.command(
    "satisfaction",
    epilog=examples(
        "afterbay report satisfaction --by model", "afterbay report satisfaction --by route,day --since 4w"
    ),
)
def satisfaction(
    by: By = "model",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was said of answers. Feedback of clients, questions asked again at once, and what compared answers."""
    _run("satisfaction", config, by, since, until, only, top, (as_csv, as_json))


@app.command("routing", epilog=examples("afterbay report routing", "afterbay report routing --since 30d --json"))
def routing(since: Since = "7d", config: Config = None, as_json: AsJson = False) -> None:
    """Show what is certified of each route that learns, what it saved, and why where nothing is."""
    from afterbay.cli.routing import run_routing

    run_routing(config, since, as_json)


@app.command(
    "savings",
    epilog=examples("afterbay report savings", "afterbay report savings --best strong --by route --since 30d"),
)
def savings(
    best: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="Alias or provider/name; the strongest of the route `auto` if none is given."
        ),
    ] = "",
    by: By = "model",
    since: Since = "7d",
    until: Until = "now",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what was saved against always asking the best model. At today's price of that model."""
    from afterbay.cli.report import Wanted, run_savings

    run_savings(config, Wanted(by, since, until, tuple(only or ()), top, as_csv, as_json), best)


@app.command(
    "explain",
    epilog=examples(
        "afterbay report explain",
        "afterbay report explain --by team --since 30d",
        "afterbay report explain --since 2026-11 --until 2026-12 --against 2026-10",
    ),
)
def explain(
    by: By = "",
    since: Since = "7d",
    until: Until = "now",
    against: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Where the period to compare with begins, as long as the other; else just before it."
        ),
    ] = "",
    only: Only = None,
    top: Top = None,
    config: Config = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show why the bill changed. Volume, mix, prompt length, cache, answer length, price and retries add up to it.

    Only whole hours are compared, so the one that runs now is left out.
    """
    from afterbay.cli.report import Wanted, run_explain

    run_explain(config, Wanted(by, since, until, tuple(only or ()), top, as_csv, as_json), against)


@app.command(
    "invoice",
    epilog=examples(
        "afterbay report invoice openai-2026-11.csv --provider openai",
        "afterbay report invoice anthropic.csv --provider anthropic --json",
    ),
)
def invoice(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A provider's export of cost or usage, as CSV.")],
    provider: Annotated[str, typer.Option(metavar="NAME", help="Whose it is: a provider's name in the configuration.")],
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compare a provider's invoice with the log, by day and model. Exit code 1 where they differ.

    Known are OpenAI's and Anthropic's exports of cost and usage, and any file with the columns day, model, usd.
    """
    import sys

    from afterbay.cli.invoice import run_invoice
    from afterbay.cli.speech import Speech

    raise typer.Exit(run_invoice(file, provider, config, as_json, Speech(sys.stderr)))
