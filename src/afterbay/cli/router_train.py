"""`afterbay router train`: a predictor of answer quality from labelled prompts, or an acceptor of cheap answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from afterbay.cli.figures import printable
from afterbay.cli.progress import Progress
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake
from afterbay.evals.acceptance import Accepted, trained_acceptor
from afterbay.evals.cascade import read_rows
from afterbay.evals.outcomes import read_outcomes
from afterbay.evals.trained import ModelFit, trained
from afterbay.policy.learned.acceptor import stored
from afterbay.policy.learned.quality import to_bytes


def run_train(file: Path, output: Path | None, seed: int, as_json: bool) -> None:
    """Trains, writes the predictor where one was named, and prints how it did on rows that were held back.

    Raises:
        Misuse: the file is none of labelled rows, or the predictor cannot be written.
    """
    try:
        rows = read_outcomes(file)
        with Progress("predictors trained", sys.stderr) as progress:
            quality, fits = trained(rows, seed, progress)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None
    data = to_bytes(quality)
    if output is not None:
        _write(output, data)
    if as_json:
        models = msgspec.to_builtins(fits)
        print_json({"n": len(rows), "models": models, "bytes": len(data), "output": str(output) if output else None})
        return
    print_table(("model", "labels", "mean", "AUC", "squared error", "of the mean"), map(_cells, fits))
    speech = Speech(sys.stderr)
    speech.say(f"Figures are of rows held back in five folds. The predictor has {len(data) / 1000:.0f} kB.")
    if output is None:
        speech.say("It was not kept: name a file with -o.")


def run_train_acceptor(file: Path, output: Path | None, seed: int, as_json: bool) -> None:
    """Trains, writes the acceptor where a file was named, and prints how it did on rows that were held back.

    Raises:
        Misuse: the file is none of rows with answers, or the acceptor cannot be written.
    """
    try:
        rows = read_rows(file)
        with Progress("acceptors trained", sys.stderr) as progress:
            acceptor, fit = trained_acceptor(rows, seed, progress)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None
    data = stored(acceptor)
    if output is not None:
        _write(output, data)
    if as_json:
        told = msgspec.to_builtins(fit)
        print_json({"n": fit.rows, **told, "bytes": len(data), "output": str(output) if output else None})
        return
    print_table(("accept", "given", "as good of these", "quality kept"), map(_shares, fit.leasts))
    speech = Speech(sys.stderr)
    ranked = "all are alike" if fit.auc is None else f"AUC {fit.auc:.3f}"
    speech.say(
        f"Figures are of {fit.rows} rows held back in five folds; at 0 the checks decide alone. They let {fit.passed} "
        f"pass, of which {fit.as_good:.1%} are as good as the strong model's: {ranked}, squared error {fit.error:.4f}, "
        f"of the mean {fit.error_of_mean:.4f}."
    )
    speech.say(f"The acceptor has {len(data) / 1000:.0f} kB. A route takes it by `cascade: {{acceptor: FILE}}`.")
    if output is None:
        speech.say("It was not kept: name a file with -o.")


def _shares(one: Accepted) -> tuple[str, ...]:
    as_good, kept = ("-" if share is None else f"{share:.1%}" for share in (one.as_good, one.kept))
    return (f"{one.accept:g}", f"{one.accepted:.1%}", as_good, kept)


def _cells(fit: ModelFit) -> tuple[str, ...]:
    auc = "-" if fit.auc is None else f"{fit.auc:.3f}"
    return (fit.model, str(fit.labels), f"{fit.mean:.3f}", auc, f"{fit.error:.4f}", f"{fit.error_of_mean:.4f}")


def _write(output: Path, data: bytes) -> None:
    """All of the file or nothing of it."""
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(output)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise Misuse(
            f"{printable(str(output))} cannot be written: {error.strerror}.", remedy="Name another place with -o."
        ) from None
