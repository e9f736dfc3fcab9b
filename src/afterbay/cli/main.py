"""The program `afterbay`. Each command imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from afterbay import __version__
from afterbay.cli.keys_app import app as keys
from afterbay.cli.options import AsJson, Config, examples
from afterbay.cli.report_app import app as report
from afterbay.cli.router_app import app as router
from afterbay.cli.speech import Misuse, Speech
from afterbay.core.errors import GatewayError

app = typer.Typer(
    name="afterbay",
    help="One endpoint in front of many language models.",
    epilog=examples("afterbay serve", "afterbay ask 'What is an afterbay?'", "afterbay check -c afterbay.yaml"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys, name="keys")
app.add_typer(report, name="report")
app.add_typer(router, name="router")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"afterbay {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One endpoint in front of many language models."""


@app.command(
    epilog=examples(
        "afterbay serve", "afterbay serve -c afterbay.yaml --port 9000", "afterbay serve --record recordings/"
    )
)
def serve(
    config: Config = None,
    host: Host = "127.0.0.1",
    port: Port = 8400,
    workers: Annotated[int, typer.Option(help="Processes that share the work.", min=1, max=256)] = 1,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Store all upstream traffic in this folder.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Answer from such a folder, without any provider.")
    ] = None,
) -> None:
    """Run the gateway. Without a configuration: the embedded models, and the providers whose keys are set."""
    from afterbay.cli.serve import run_server

    run_server(config, host, port, workers, record, replay)


@app.command(
    name="run",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "afterbay run claude",
        "afterbay run --cap 2.50 -m gpt codex exec 'Why does the test fail?'",
        "afterbay run --models claude,gpt --json -- claude -p 'Name three rivers' | tail -n 1",
        "afterbay run -m '' claude --model claude-opus-4-6",
    ),
)
def run_command(
    command: Annotated[
        list[str],
        typer.Argument(metavar="PROGRAM ...", help="claude, codex, gemini or any other program, and its arguments."),
    ],
    config: Config = None,
    cap: Annotated[
        float, typer.Option(metavar="USD", help="The most that it may spend.", min=0.000001, max=1_000_000)
    ] = 5.0,
    model: Annotated[
        str,
        typer.Option("-m", "--model", help="What it asks for: alias, route or provider/model; '': its own names."),
    ] = "auto",
    small_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The same for small work, where it tells that apart.")
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="The only models and routes that may serve it.")
    ] = None,
    routes: Annotated[list[str] | None, typer.Option(metavar="NAMES", help="The only routes that it may name.")] = None,
    providers: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="The only providers that may be asked.")
    ] = None,
    compliance: Annotated[
        list[str] | None, typer.Option(metavar="SETS", help="Compliance sets that every target must meet.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the receipt as one line of JSON, the last of standard output.")
    ] = False,
) -> None:
    """Run a coding agent, or any program, with a key of its own. With a cap, and a receipt by sub-agent at the end.

    It asks the gateway that runs on this configuration's database, at AFTERBAY_URL or port 8400, or one that is started
    for it. The key is revoked at its end. The exit code is the program's.
    """
    from afterbay.cli.rights import Wanted
    from afterbay.cli.run import Options, run_program

    bounds = Wanted(models=models, routes=routes, providers=providers, compliance=compliance)
    options = Options(cap, model, small_model, bounds, as_json)
    raise typer.Exit(run_program(config, tuple(command), options))


@app.command(
    epilog=examples(
        "afterbay ask 'What is an afterbay?'",
        "afterbay ask -m local-small --explain 'Name three rivers'",
        "git diff | afterbay ask -",
        "AFTERBAY_URL=http://127.0.0.1:8400 AFTERBAY_KEY=ab-... afterbay ask 'Hello'",
    )
)
def ask(
    prompt: Annotated[str, typer.Argument(help="The question; `-` reads it from standard input.")],
    model: Annotated[str, typer.Option("-m", "--model", help="Alias, route or provider/model.")] = "auto",
    config: Config = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show decision, attempts, tokens, cost and times, on standard error.")
    ] = False,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: the answer and its record.")] = False,
) -> None:
    """Ask one question. Through the gateway at AFTERBAY_URL (key: AFTERBAY_KEY) if it is set, else in this process.

    The answer alone goes to standard output. With -c it is asked in this process, whatever AFTERBAY_URL says.
    """
    from afterbay.cli.ask import run_ask

    run_ask(sys.stdin.read() if prompt == "-" else prompt, model, config, explain, stream, as_json)


@app.command(
    epilog=examples("afterbay check", "afterbay check --production", "afterbay check --schema > afterbay.schema.json")
)
def check(
    config: Config = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the configuration.")] = False,
    production: Annotated[
        bool, typer.Option("--production", help="Check what production needs; exit code 1 if anything fails.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Validate the configuration. Prints every effective value with where it came from, and what can never match."""
    from afterbay.cli.check import run_check

    run_check(config, schema, production, as_json)


@app.command(
    epilog=examples(
        "afterbay route 'Write a function that sorts a list'",
        "afterbay route --file contract.txt --task summarize --json",
        "afterbay route 'Hello' --key ada -m auto -c afterbay.yaml",
        "afterbay route --file book.txt --all",
    )
)
def route(
    prompt: Annotated[str, typer.Argument(help="The question; `-` reads it from standard input.")] = "",
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A text that goes with it, such as a long document.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="ID", help="As this key, by id or name: with its rights and preference.")
    ] = None,
    model: Annotated[str, typer.Option("-m", "--model", help="Alias, route or provider/model.")] = "auto",
    config: Config = None,
    task: Annotated[str | None, typer.Option(help="The task, as by x-afterbay-task.")] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="As for this user, with what is preferred for them.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="As for this agent, with what is preferred for it.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every model of the catalogue beside, with its price for this text.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a question would be routed, and ask nobody. Facts, every candidate, its cost, what removed it, the pick.

    Targets count as well, and budgets as full. Exit code 1: nothing may serve it.
    """
    from afterbay.cli.route import Stated, run_route

    text = sys.stdin.read() if prompt == "-" else prompt
    run_route(text, file, key, model, config, Stated(task, user, agent), everything, as_json)


@app.command(epilog=examples("afterbay models", "afterbay models --json"))
def models(config: Config = None, as_json: AsJson = False) -> None:
    """List what a client may ask for. With capabilities, window, prices, compliance and how it did lately."""
    from afterbay.cli.models import run_models

    run_models(config, as_json)


@app.command(epilog=examples("afterbay tail", "afterbay tail -n 100 --no-follow --json"))
def tail(
    config: Config = None,
    lines: Annotated[int, typer.Option("-n", "--lines", help="Requests to begin with.", min=0)] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on as new ones come.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show the request log, live."""
    from afterbay.cli.tail import run_tail

    run_tail(config, lines, follow, as_json)


@app.command(
    epilog=examples(
        "afterbay incident req_01m87qxj",
        "afterbay incident 7xk2m9qa -o failed.json",
        "afterbay incident --replay failed.json",
        "afterbay incident --replay failed.json -c new.yaml",
    )
)
def incident(
    request_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The request: its id, or a beginning or end of it.")
    ] = None,
    config: Config = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; default incident-ID.json here; `-` prints it."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Replay such a file; with -c under another configuration.")
    ] = None,
    with_content: Annotated[
        bool, typer.Option("--with-content", help="With prompts, answers and providers' words, where they were kept.")
    ] = False,
    recordings: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of `serve --record`, for --with-content.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON; with --replay.")] = False,
) -> None:
    """Write a request of the log as one file without secrets, or replay such a file offline.

    Exit code of a replay: 0, it went as recorded; 1, it did not, and the first difference is printed.
    """
    if (request_id is None) == (replay is None):
        raise Misuse("Give the id of a request, or --replay FILE.", remedy="afterbay tail shows ids.")
    from afterbay.cli.incident import run_incident, run_replay

    if replay is not None:
        if output is not None or with_content or recordings is not None:
            raise Misuse("-o, --with-content and --recordings are for writing a file.", remedy="Leave them out.")
        run_replay(replay, config, as_json)
    elif request_id is not None:
        run_incident(request_id, config, output, recordings, with_content)


@app.command(epilog=examples("afterbay emulate", "afterbay emulate --profile flaky --port 0"))
def emulate(
    profile: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="A profile file (YAML or JSON), or the name of a preset.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="Timing from a simulated engine; not in this release.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8401,
) -> None:
    """Play the providers on loopback. In the OpenAI, Anthropic and Gemini formats, with faults on demand."""
    if engine is not None:
        raise Misuse("--engine is not in this release.", remedy="Set the pace in a profile: ttft, between_tokens.")
    from afterbay.cli.emulate import run_emulate

    run_emulate(profile, host, port)


@app.command(
    epilog=examples(
        "afterbay drill outage",
        "afterbay drill key-revoked -c afterbay.yaml --model gpt --provider openai",
        "afterbay drill provider-rotation --real --json",
        "afterbay drill region-loss --allow 0.001 && echo 'fit for it'",
    )
)
def drill(
    scenario: Annotated[
        str,
        typer.Argument(
            help="outage, brown-out, rate-limit-storm, region-loss, key-revoked, provider-rotation or slow-drip."
        ),
    ],
    config: Config = None,
    model: Annotated[str, typer.Option("-m", "--model", help="Alias, route or provider/model.")] = "auto",
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who is hit; the one that most requests go to first.")
    ] = None,
    requests: Annotated[int | None, typer.Option(help="How many clients come: 36000, with --real 300.", min=1)] = None,
    rate: Annotated[
        float | None, typer.Option(help="How many of them a second: 5, with --real 20.", min=0.001, max=10_000)
    ] = None,
    seed: Annotated[int, typer.Option(help="Changes every draw.")] = 1,
    allow: Annotated[
        float, typer.Option(help="Share of requests that may fail; more, and the exit code is 1.", min=0, max=1)
    ] = 0.0,
    real: Annotated[
        bool, typer.Option("--real", help="Over real sockets, with emulated providers, in under a minute.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Drill a failure against the configured policies. In simulated time; no provider is asked, no key is needed."""
    from afterbay.cli.drill import run_drill

    run_drill(scenario, config, model, provider, requests, rate, seed, allow, real, as_json)


@app.command(epilog=examples("afterbay erase --user ada --dry-run", "afterbay erase --key key_0123456789abcdef"))
def erase(
    config: Config = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="All that is kept of this user, by id or name.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="All that is kept of this key, by id or name.")] = None,
    organisation: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the user of this name in this organisation.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a user or a key from the store. Kept answers are deleted, requests made nobody's; sums stay as they are."""
    from afterbay.cli.erase import run_erase

    run_erase(config, user, key, organisation, dry_run, as_json)


def run() -> None:
    """Entry point. Every error that is ours ends in a sentence and exit code 1 or 2, never in a traceback."""
    from afterbay.config.problem import ConfigError
    from afterbay.store.errors import StoreError, UnsupportedDatabase

    speech = Speech(sys.stderr)
    try:
        app(prog_name="afterbay")
    except ConfigError as error:
        for problem in error.problems:
            speech.error(problem.text())
        raise SystemExit(2) from None
    except Misuse as error:
        speech.error(error.text())
        raise SystemExit(2) from None
    except StoreError as error:
        speech.error(str(error))
        raise SystemExit(2 if isinstance(error, UnsupportedDatabase) else 1) from None
    except GatewayError as error:
        speech.error(error.text())
        raise SystemExit(1) from None
    except BrokenPipeError:  # `afterbay tail | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
