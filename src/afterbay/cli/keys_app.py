"""The commands below `afterbay keys`. What they do is in `afterbay.cli.keys`, imported when one runs."""

from __future__ import annotations

from typing import Annotated

import typer

from afterbay.cli.options import AsJson, Config, examples

app = typer.Typer(
    help="Virtual keys: who may use the gateway, and for what.",
    epilog=examples(
        "KEY=$(afterbay keys create me)",
        "afterbay keys create app --team search --models gpt,auto --budget 10/month --expires 30d",
        "afterbay keys change team:search --budget 100/month",
        "afterbay keys list",
        "afterbay keys revoke me",
    ),
    no_args_is_help=True,
)

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="The key's id or name.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="WHOM",
        help="A key's id or name, or an owner: organisation:NAME, team:[ORGANISATION/]NAME, "
        "user:[[ORGANISATION/]TEAM/]NAME.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--models", "--model", "-m", metavar="NAMES", help="Models, routes or targets; `a,b`, or repeat."),
]
Routes = Annotated[list[str] | None, typer.Option("--routes", metavar="NAMES", help="Routes that may be named.")]
Providers = Annotated[
    list[str] | None, typer.Option("--providers", metavar="NAMES", help="Providers that may be asked.")
]
Addresses = Annotated[
    list[str] | None, typer.Option("--ip", metavar="NETWORKS", help="Where clients may be: 10.0.0.0/8, 2001:db8::1.")
]
Compliance = Annotated[
    list[str] | None, typer.Option("--compliance", metavar="NAMES", help="Compliance sets that targets must meet.")
]
Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="USD/PERIOD", help="Dollars: 10/month, 2.5/day; repeat for both."),
]
Rpm = Annotated[str | None, typer.Option("--rpm", metavar="NUMBER", help="Requests in any 60 seconds.")]
Tpm = Annotated[str | None, typer.Option("--tpm", metavar="NUMBER", help="Tokens in any 60 seconds.")]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="UNIT/PERIOD=NUMBER", help="Any other limit: requests/day=1000, tokens/month=5e6."),
]
Expires = Annotated[
    str | None, typer.Option("--expires", metavar="WHEN", help="A time from now (30d, 12h) or a date (2027-01-31).")
]
Role = Annotated[
    str | None,
    typer.Option("--role", metavar="ROLE", help="viewer: reads; manager: makes keys; admin: changes owners too."),
]
Prefer = Annotated[
    str | None, typer.Option("--prefer-provider", metavar="NAME", help="The provider that is tried first.")
]
Allow = Annotated[
    list[str] | None, typer.Option("--allow-providers", metavar="NAMES", help="A wish: only these providers.")
]
Bind = Annotated[
    str | None,
    typer.Option("--bind-model", metavar="NAME", help="One model for every conversation, whatever is asked."),
]
Agent = Annotated[
    str | None, typer.Option("--agent", metavar="NAME", help="What is preferred holds for requests of this agent only.")
]


@app.command(
    "create",
    epilog=examples(
        "KEY=$(afterbay keys create me)",
        "afterbay keys create app -m gpt -m auto --ip 10.0.0.0/8",
        "afterbay keys create ci --organisation acme --team search --user ann --budget 10/month --rpm 60",
        "afterbay keys create boss --team search --role manager --expires 90d",
    ),
)
def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    organisation: Annotated[
        str | None, typer.Option("--organisation", metavar="NAME", help="Whom it belongs to; made if it is not there.")
    ] = None,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="The same.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="The same.")] = None,
    models: Models = None,
    routes: Routes = None,
    providers: Providers = None,
    budget: Budgets = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    limit: Limits = None,
    ip: Addresses = None,
    expires: Expires = None,
    compliance: Compliance = None,
    prefer_provider: Prefer = None,
    allow_providers: Allow = None,
    bind_model: Bind = None,
    agent: Agent = None,
    role: Role = None,
    admin: Annotated[bool, typer.Option("--admin", help="The same as --role admin.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown once, alone on standard output."""
    from afterbay.cli import keys
    from afterbay.cli.rights import Wanted
    from afterbay.cli.speech import Misuse

    if admin and role not in (None, "admin"):
        raise Misuse(f"--admin and --role {role[:40]} are two roles.", remedy="Choose one.")
    wanted = Wanted(models, routes, providers, ip, compliance, budget, limit, rpm, tpm, expires)
    wish = keys.Preferred(prefer_provider, allow_providers, bind_model, agent)
    keys.create(config, name, (organisation, team, user), wanted, wish, "admin" if admin else role, as_json)


@app.command(
    "change",
    epilog=examples(
        "afterbay keys change app --models gpt,auto",
        "afterbay keys change team:acme/search --budget 100/month --rpm off",
        "afterbay keys change user:ann --prefer-provider groq",
        "afterbay keys change app --models any --expires never",
    ),
)
def change(
    whom: Target,
    models: Models = None,
    routes: Routes = None,
    providers: Providers = None,
    budget: Budgets = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    limit: Limits = None,
    ip: Addresses = None,
    expires: Expires = None,
    compliance: Compliance = None,
    prefer_provider: Prefer = None,
    allow_providers: Allow = None,
    bind_model: Bind = None,
    agent: Agent = None,
    role: Role = None,
    config: Config = None,
) -> None:
    """Change what a key or an owner may use. What is not named stays; `any`, `never`, `off`, `none` take it away.

    What is taken from an owner is taken from every key below it, within two seconds.
    """
    from afterbay.cli import keys
    from afterbay.cli.rights import Wanted

    wanted = Wanted(models, routes, providers, ip, compliance, budget, limit, rpm, tpm, expires)
    wish = keys.Preferred(prefer_provider, allow_providers, bind_model, agent)
    keys.change(config, whom, wanted, wish, role)


@app.command("list", epilog=examples("afterbay keys list", "afterbay keys list --revoked --json"))
def list_keys(
    config: Config = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Revoked ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the keys. The secrets are not stored, so they are not shown."""
    from afterbay.cli.keys import show_all

    show_all(config, revoked, as_json)


@app.command("show", epilog=examples("afterbay keys show app", "afterbay keys show team:acme/search --json"))
def show(whom: Target, config: Config = None, as_json: AsJson = False) -> None:
    """Show one key, or one owner. What it has of its own, and what is left of that below its owners."""
    from afterbay.cli.keys import show

    show(config, whom, as_json)


@app.command("tenants", epilog=examples("afterbay keys tenants", "afterbay keys tenants --json"))
def tenants(config: Config = None, as_json: AsJson = False) -> None:
    """List the organisations, teams and users that keys belong to."""
    from afterbay.cli.keys import show_tenants

    show_tenants(config, as_json)


@app.command("revoke", epilog=examples("afterbay keys revoke me", "afterbay keys revoke user:acme/ann"))
def revoke(whom: Target, config: Config = None) -> None:
    """Revoke a key, or end an owner with all keys below it. Running gateways refuse them within two seconds."""
    from afterbay.cli.keys import revoke

    revoke(config, whom)


@app.command("rotate", epilog=examples("KEY=$(afterbay keys rotate me)", "afterbay keys rotate app --overlap 24h"))
def rotate(
    key: KeyName,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old secret lives on: 24h; at most 90d.")
    ] = "0s",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Give a key a new secret. It is shown once, alone on standard output; the old one ends at once, or later."""
    from afterbay.cli.keys import rotate

    rotate(config, key, overlap, as_json)


@app.command(
    "audit",
    epilog=examples(
        "afterbay keys audit", "afterbay keys audit --verify", "afterbay keys audit --verify --anchor 7:3f…"
    ),
)
def audit(
    lines: Annotated[int, typer.Option("-n", "--lines", help="How many of the last changes.", min=1)] = 20,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole log; exit code 1 and the first broken entry if it is not.")
    ] = False,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", metavar="NUMBER:HASH", help="What --verify said before: the log must still hold it."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed keys and owners, or check that nobody changed this log."""
    from afterbay.cli import keys

    if verify or anchor is not None:
        keys.verify_audit(config, anchor)
    else:
        keys.show_audit(config, lines, as_json)
