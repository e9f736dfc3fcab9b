"""The commands below `afterbay router`, with their options. What they do is in modules imported when one runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from afterbay.cli.options import AsJson, Config, examples
from afterbay.cli.speech import Misuse

app = typer.Typer(
    help="The learned router: train it, score it, and certify what it saves, on rows of your own.",
    epilog=examples(
        "afterbay router train labelled.jsonl -o router.bin",
        "afterbay router eval labelled.jsonl --labels 500",
        "afterbay router certify pairs.jsonl --keep 0.95 --confidence 0.9",
        "afterbay router tasks prompts.jsonl",
    ),
    no_args_is_help=True,
)


@app.callback()
def prepare() -> None:
    """Before a command: numpy, not loaded yet, gets one thread. Matrices are small here, and on a busy machine threads
    that wait for each other take ten times as long."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


_OUTCOMES = "JSONL: prompt, with strong_correct and weak_correct (true, false, or 0 to 1), or with outcomes by model."

Outcomes = Annotated[Path, typer.Argument(metavar="FILE", help=_OUTCOMES)]
MaybeOutcomes = Annotated[Path | None, typer.Argument(metavar="[FILE]", help=_OUTCOMES)]
Pairs = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="JSONL with prompt, strong_correct, weak_correct: true, false, or 0 to 1."),
]
TaskRows = Annotated[Path, typer.Argument(metavar="FILE", help="JSONL with prompt (or text) and maybe label.")]
StrongCost = Annotated[float, typer.Option(help="What a request costs on the strong model, in any unit.")]
WeakCost = Annotated[float, typer.Option(help="And on the cheap one.")]
Seed = Annotated[int, typer.Option(help="For the splits.", min=0)]


@app.command(
    "eval",
    epilog=examples(
        "afterbay router eval pairs.jsonl",
        "afterbay router eval pairs.jsonl --labels 1500 --json",
        "afterbay router eval new.jsonl --train old.jsonl --strong-cost 10",
        "afterbay router eval answers.jsonl --cascade",
        "afterbay router eval pool.jsonl --protocol pool",
    ),
)
def evaluate(
    file: Outcomes,
    protocol: Annotated[
        str,
        typer.Option(
            help="routellm: two models, the share of a gap kept for its price; pool: any number of models, rows of "
            "question and models with score and inference_cost."
        ),
    ] = "routellm",
    train: Annotated[
        Path | None, typer.Option(metavar="FILE2", help="Rows to learn from, in place of a part of FILE.")
    ] = None,
    labels: Annotated[
        int | None, typer.Option(metavar="N", help="Learn from N random rows and test on the others, five times.")
    ] = None,
    folds: Annotated[int, typer.Option(metavar="K", help="Else: parts that are tested in turn.")] = 5,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Look at the cheap model's answer, too: rows have weak_response.")
    ] = False,
    strong_cost: StrongCost = 100.0,
    weak_cost: WeakCost = 1.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Score the learned router on rows that it did not see, beside chance, prompt length and a subject oracle."""
    if protocol == "pool":
        from afterbay.cli.router_pool import run_pool

        if cascade:
            raise Misuse("--cascade is about two models.", remedy="Leave it out, or use --protocol routellm.")
        run_pool(file, folds, seed, as_json, has_more=train is not None or labels is not None)
    elif cascade and protocol == "routellm":
        from afterbay.cli.router_cascade import run_cascade

        costs = {"strong_cost": strong_cost, "weak_cost": weak_cost}
        run_cascade(file, train, labels=labels, folds=folds, seed=seed, as_json=as_json, **costs)
    else:
        from afterbay.cli.router_eval import Wanted, run_eval

        run_eval(file, train, Wanted(protocol, labels, folds, strong_cost, weak_cost, seed), as_json)


@app.command(
    "train",
    epilog=examples(
        "afterbay router train labelled.jsonl -o router.bin",
        "afterbay router train answers.jsonl --cascade -o acceptor.bin",
        "afterbay router train --route auto",
    ),
)
def train(
    file: MaybeOutcomes = None,
    route: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="In place of FILE: a route that keeps quality, from its own shadows."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Where what was learned goes; default: nowhere."),
    ] = None,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade",
            help="Learn which of the cheap model's answers to accept: rows have prompt, weak_response, weak_correct, "
            "strong_correct.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --route: take it into use though it is no better than length.")
    ] = False,
    config: Config = None,
    seed: Annotated[int, typer.Option(help="For the folds.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn how good each model's answers are, and say how well on prompts that were held back.

    From labelled prompts (a route takes the file by its key `predictor`), with --cascade from answers of a cheap model
    (by `cascade: {acceptor: FILE}`), or with --route from the pairs of answers in the log, of which every second one
    is kept from it to certify it; a running gateway takes what that learned into use within a minute.
    """
    if (file is None) == (route is None):
        raise Misuse("Give a file of labelled prompts, or --route NAME.", remedy="afterbay router train --help")
    if route is not None:
        if cascade:
            raise Misuse("--cascade is for a file.", remedy="Name a file of answers in place of --route.")
        from afterbay.cli.routing import run_train as run_route

        if output is not None:
            raise Misuse("-o is for a file.", remedy="What is learned of a route is kept in the database.")
        run_route(config, route, force, as_json)
    elif file is not None and cascade:
        from afterbay.cli.router_train import run_train_acceptor

        run_train_acceptor(file, output, seed, as_json)
    elif file is not None:
        from afterbay.cli.router_train import run_train

        run_train(file, output, seed, as_json)


@app.command(
    "certify",
    epilog=examples(
        "afterbay router certify pairs.jsonl --keep 0.95 --confidence 0.9",
        "afterbay router certify new.jsonl --train old.jsonl --labels 300 --json",
        "afterbay router certify pairs.jsonl --strong-cost 10 --weak-cost 1 --resamples 0",
    ),
)
def certify(
    file: Pairs,
    keep: Annotated[float, typer.Option(help="The share of the strong model's quality that must be kept.")] = 0.95,
    confidence: Annotated[float, typer.Option(help="The probability, at least, that it is.")] = 0.9,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE2", help="Rows that the scorer learns from; default: a third of FILE, at random."),
    ] = None,
    labels: Annotated[
        int | None, typer.Option(metavar="N", help="Rows that certify, at most; default: all that do not train.", min=1)
    ] = None,
    resamples: Annotated[
        int, typer.Option(metavar="R", help="Random splits on which the promise is checked.", min=0, max=10_000)
    ] = 200,
    strong_cost: StrongCost = 100.0,
    weak_cost: WeakCost = 1.0,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Certify how far requests may go to a cheap model at a promised quality, and test the promise on random splits."""
    from afterbay.cli.router_certify import Wanted, run_certify

    run_certify(file, train, Wanted(keep, confidence, labels, resamples, strong_cost, weak_cost, seed), as_json)


@app.command(
    "tasks", epilog=examples("afterbay router tasks prompts.jsonl", "afterbay router tasks prompts.jsonl --json")
)
def tasks(file: TaskRows, as_json: AsJson = False) -> None:
    """Say what each prompt asks for, where the classifier abstains, how often it is right, and its CPU time."""
    from afterbay.cli.router_tasks import run_tasks

    run_tasks(file, as_json)
