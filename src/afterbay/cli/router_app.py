"""The commands below `afterbay router`, with their options. What they do is in modules imported when one runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from afterbay.cli.options import AsJson, Config, examples

app = typer.Typer(
    help="The learned router: train it, score it, and certify what it saves, on rows of your own.",
    epilog=examples(
        "afterbay router train labelled.jsonl -o router.bin",
        "afterbay router eval labelled.jsonl --labels 500",
    ),
    no_args_is_help=True,
)


@app.callback()
def prepare() -> None:
    """Before a command: numpy, not loaded yet, gets one thread. Matrices are small here, and on a busy machine threads
    that wait for each other take ten times as long."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


Outcomes = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="JSONL: prompt, with strong_correct and weak_correct (true, false, or 0 to 1), or with outcomes by model.",
    ),
]


@app.command(
    "eval",
    epilog=examples(
        "afterbay router eval pairs.jsonl",
        "afterbay router eval pairs.jsonl --labels 1500 --json",
        "afterbay router eval new.jsonl --train old.jsonl --strong-cost 10",
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
    strong_cost: Annotated[float, typer.Option(help="What a request costs on the strong model, in any unit.")] = 100.0,
    weak_cost: Annotated[float, typer.Option(help="And on the cheap one.")] = 1.0,
    seed: Annotated[int, typer.Option(help="For the splits.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Score the learned router on rows that it did not see, beside chance, prompt length and a subject oracle."""
    if protocol == "pool":
        from afterbay.cli.router_pool import run_pool

        run_pool(file, folds, seed, as_json, has_more=train is not None or labels is not None)
        return
    from afterbay.cli.router_eval import Wanted, run_eval

    run_eval(file, train, Wanted(protocol, labels, folds, strong_cost, weak_cost, seed), as_json)


@app.command(
    "train",
    epilog=examples(
        "afterbay router train labelled.jsonl -o router.bin",
        "afterbay router train labelled.jsonl --json",
    ),
)
def train(
    file: Outcomes,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT", help="Where the predictor goes; default: nowhere.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the folds.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn how good each model's answers are from labelled prompts, and say how well on prompts that were held
    back."""
    from afterbay.cli.router_train import run_train

    run_train(file, output, seed, as_json)
