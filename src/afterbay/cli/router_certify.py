"""`afterbay router certify`: a certificate from rows, and whether such certificates keep their promise."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import msgspec

from afterbay.cli.progress import Progress
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.core.errors import ClientMistake
from afterbay.evals.certificates import Outcome, Protocol, certified, resampled
from afterbay.evals.gain import gain_learner
from afterbay.evals.pairs import Pairs, read_pairs
from afterbay.policy.certify import Certificate, Costs


class Wanted(msgspec.Struct, frozen=True):
    """The options, as they were typed."""

    keep: float
    confidence: float
    labels: int | None
    resamples: int
    strong_cost: float
    weak_cost: float
    seed: int

    def protocol(self, trained_on: int | None) -> Protocol:
        """Misuse: an option is out of its range."""
        if not 0.0 < self.keep <= 1.0:
            raise Misuse(f"--keep {self.keep:g} is no share.", remedy="Say a number above 0, up to 1: 0.95.")
        if not 0.0 < self.confidence < 1.0:
            raise Misuse(f"--confidence {self.confidence:g} is no probability.", remedy="Say one below 1: 0.9.")
        if not (0.0 <= self.weak_cost < self.strong_cost < math.inf):
            raise Misuse(
                "The cheap model must cost less than the strong one.", remedy="Set --strong-cost, --weak-cost."
            )
        costs = Costs(self.strong_cost, self.weak_cost)
        return Protocol(self.keep, self.confidence, costs, self.resamples, self.labels, trained_on, self.seed)


def run_certify(file: Path, train: Path | None, wanted: Wanted, as_json: bool) -> None:
    """Prints the certificate and, with resamples, how often its like broke the promise."""
    pairs, trained_on = _rows(file, train)
    protocol = wanted.protocol(trained_on)
    learner = gain_learner(pairs)
    certificate = certified(pairs, learner, protocol)
    outcome = None
    if protocol.resamples:
        with Progress("resamples", sys.stderr) as progress:
            outcome = resampled(pairs, learner, protocol, progress)
    if as_json:
        print_json(_object(certificate, outcome, len(pairs), protocol))
    else:
        _show(certificate, outcome)


def _rows(file: Path, train: Path | None) -> tuple[Pairs, int | None]:
    """All rows, those to train with first if there is a file of them, and how many these are."""
    speech = Speech(sys.stderr)
    try:
        rows = read_pairs(file)
        if train is None:
            return rows, None
        first = read_pairs(train)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None
    others = rows.without(frozenset(first.prompts))
    if len(others) < len(rows):
        speech.say(
            f"{len(rows) - len(others)} rows of {file} are in {train} too; they cannot certify and are left out."
        )
    if len(others) < 2:
        raise Misuse(f"All rows of {file} are in {train}.", remedy="Certify with rows that did not train.")
    return first.and_others(others), len(first)


def _object(certificate: Certificate, outcome: Outcome | None, count: int, protocol: Protocol) -> dict[str, Any]:
    found: dict[str, Any] = {
        "threshold": certificate.threshold if math.isfinite(certificate.threshold) else None,
        "certified_floor": certificate.floor,
        "saved": certificate.saved,
        "routed": certificate.routed,
        "labels_used": certificate.labels,
        "labels_needed": certificate.needed,
        "reason": certificate.reason,
        "keep": protocol.keep,
        "confidence": protocol.confidence,
        "n": count,
        "violations": None,
        "resamples": 0,
    }
    if outcome is not None:
        own = outcome.rules["certificate"]
        found |= {
            "violations": own.violations.value,
            "violations_interval": [own.violations.low, own.violations.high],
            "violations_population": own.violations_population.value,
            "saved_mean": own.saved,
            "kept_of_uncertified": own.kept_of_tuned,
            "resamples": outcome.resamples,
            "rows": {"train": outcome.train, "labels": outcome.labels, "looked_at": outcome.looked_at},
            "rules": outcome.rules,
        }
    return found


def _show(certificate: Certificate, outcome: Outcome | None) -> None:
    print(f"{certificate.reason}.")
    if math.isfinite(certificate.threshold):
        print(
            f"threshold {certificate.threshold:.4f}, certified floor {certificate.floor:.4f}, "
            f"saved {certificate.saved:.1%} of the strong model's cost, labels {certificate.labels}."
        )
    if outcome is None:
        return
    print(
        f"\n{outcome.resamples} random splits: {outcome.train} rows train, {outcome.labels} certify, "
        f"{outcome.looked_at} are looked at.\n"
    )
    headings = ("rule", "promise broken", "interval", "on all unseen", "saved", "of tuned", "quality kept")
    print_table(headings, [_line(rule, outcome) for rule in outcome.rules])


def _line(rule: str, outcome: Outcome) -> tuple[str, ...]:
    one = outcome.rules[rule]
    return (
        rule,
        f"{one.violations.value:.1%}",
        f"{one.violations.low:.1%}-{one.violations.high:.1%}",
        f"{one.violations_population.value:.1%}",
        f"{one.saved:.1%} ± {one.saved_deviation:.1%}",
        f"{one.kept_of_tuned:.0%}" if math.isfinite(one.kept_of_tuned) else "-",
        f"{one.quality:.3f}",
    )
