"""Files of what was learned: found beside the configuration, refused with a place in it, told of if they do not fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from afterbay.config.prices import Prices, Query
from afterbay.config.problem import ConfigError
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.policy.checks.judge import features_of
from afterbay.policy.learned.acceptor import fit_acceptor, stored
from afterbay.policy.learned.forest import Shape
from afterbay.policy.learned.quality import read_prompt, to_bytes, train

MODELS = """
providers: {a: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none-at-all}}
models:
  cheap: {provider: a, name: small}
  strong: {provider: a, name: big}
"""


def nothing(queries: Iterable[Query]) -> Prices:
    list(queries)
    return {}


def acceptor(**extra: float) -> bytes:
    """An acceptor of a few made-up answers."""
    rows = [features_of("How many?", f"It is {number}.") | extra for number in range(20)]
    targets = np.array([[float(number % 2)] for number in range(20)])
    return stored(fit_acceptor(rows, targets, shape=Shape(trees=2)))


def predictor(*models: str) -> bytes:
    """A predictor of a few made-up prompts."""
    prompts = [read_prompt(f"prompt {number} of some") for number in range(24)]
    outcomes = np.array([[float((number + at) % 2) for at in range(len(models))] for number in range(24)])
    return to_bytes(train(prompts, outcomes, models))


def load(folder: Path, routes: str) -> Loaded:
    path = folder / "f.yaml"
    path.write_text(MODELS + routes, "utf-8")
    return load_snapshot(path, {}, look_up=nothing)


def complaint(folder: Path, routes: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load(folder, routes)
    (problem,) = raised.value.problems
    return problem.text()


def test_a_file_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.bin").write_bytes(acceptor())
    made = load(tmp_path, "routes: {auto: {cascade: {acceptor: below/a.bin}}}")
    assert {name: accept for name, (_, accept) in made.trained.acceptors.items()} == {"auto": 0.8}
    whole = tmp_path / "below" / "a.bin"
    assert "auto" in load(tmp_path, f"routes: {{auto: {{cascade: {{acceptor: {whole}}}}}}}").trained.acceptors


def test_what_the_defaults_name_holds_for_each_route_that_names_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(acceptor())
    (tmp_path / "q.bin").write_bytes(predictor("cheap", "strong"))
    routes = (
        "defaults: {cascade: {acceptor: a.bin, accept: 0.7}, predictor: q.bin}\n"
        "routes: {own: {cascade: {acceptor: a.bin, accept: 0.9}}, none: {cascade: false}}"
    )
    trained = load(tmp_path, routes).trained
    assert {name: accept for name, (_, accept) in trained.acceptors.items()} == {"auto": 0.7, "own": 0.9}
    assert set(trained.predictors) == {"auto", "own", "none"}
    assert trained.acceptors["auto"][0] is trained.acceptors["own"][0], "it was read once"


def test_another_file_by_the_same_name_is_another_configuration(tmp_path: Path) -> None:
    hashes = []
    for extra in ({}, {}, {"hedges": 3.0}):
        (tmp_path / "a.bin").write_bytes(acceptor(**extra))
        hashes.append(load(tmp_path, "routes: {auto: {cascade: {acceptor: a.bin}}}").snapshot.hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_file_that_is_not_there_is_a_problem_with_a_place(tmp_path: Path) -> None:
    told = complaint(tmp_path, "routes:\n  auto:\n    cascade: {acceptor: a.bin}")
    assert "f.yaml:8:25: " in told
    assert "routes.auto.cascade.acceptor: `a.bin` cannot be read: No such file" in told
    assert "router train FILE --cascade -o OUT" in told
    assert "defaults.predictor: `q.bin` cannot be read" in complaint(tmp_path, "defaults: {predictor: q.bin}")


@pytest.mark.parametrize("data", [b"", b"\x00", acceptor()[:-3], acceptor()[:40], predictor("cheap", "strong")])
def test_a_file_of_something_else_is_no_acceptor(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    told = complaint(tmp_path, "routes: {auto: {cascade: {acceptor: a.bin}}}")
    assert "routes.auto.cascade.acceptor: `a.bin` is of no use here" in told


@pytest.mark.parametrize("data", [b"", predictor("cheap", "strong")[:60], acceptor()])
def test_a_file_of_something_else_is_no_predictor(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "q.bin").write_bytes(data)
    assert "`q.bin` is of no use here" in complaint(tmp_path, "routes: {auto: {predictor: q.bin}}")


def test_an_acceptor_of_features_that_are_no_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(acceptor(phase_of_the_moon=0.5))
    told = complaint(tmp_path, "routes: {auto: {cascade: {acceptor: a.bin}}}")
    assert "it looks at phase_of_the_moon, which this release does not: train it again" in told


def test_models_that_are_not_here_and_candidates_that_are_not_known_are_told(tmp_path: Path) -> None:
    (tmp_path / "q.bin").write_bytes(predictor("strong", "weak"))
    warnings = load(tmp_path, "routes: {auto: {predictor: q.bin}}").snapshot.warnings
    assert "routes.auto.predictor: `weak` is no model here: what `q.bin` says of them is ignored." in warnings
    assert "routes.auto.predictor: `q.bin` says nothing of `cheap`: they come after all that it knows." in warnings


def test_a_bar_without_anything_that_measures_is_told(tmp_path: Path) -> None:
    made = load(tmp_path, "routes: {auto: {cascade: {accept: 0.9}}, other: {cascade: {samples: 2}}}")
    found = [one for one in made.snapshot.warnings if "cascade" in one]
    assert found == ["routes.auto.cascade.accept: changes nothing without `acceptor`."]


def test_a_predictor_of_all_candidates_gives_no_warning(tmp_path: Path) -> None:
    (tmp_path / "q.bin").write_bytes(predictor("strong", "cheap"))
    warnings = load(tmp_path, "routes: {auto: {predictor: q.bin}}").snapshot.warnings
    assert not [one for one in warnings if "predictor" in one]


@pytest.mark.parametrize(("routes", "loads"), [("routes: {auto: {cascade: true}}", "False"), ("{q}", "True")])
def test_numpy_is_loaded_only_where_a_route_names_a_file(tmp_path: Path, routes: str, loads: str) -> None:
    (tmp_path / "q.bin").write_bytes(predictor("strong", "cheap"))
    (tmp_path / "f.yaml").write_text(MODELS + routes.replace("{q}", "routes: {auto: {predictor: q.bin}}"), "utf-8")
    script = (
        "import sys; from pathlib import Path; from afterbay.config.watch import load_snapshot;"
        "load_snapshot(Path('f.yaml'), {}, look_up=lambda queries: {}); print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loads
