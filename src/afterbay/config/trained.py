"""What routes have learned from files of labels: the files that they name, read when the configuration is.

Paths are relative to the configuration's file. What is learned changes what a route does, so its digest stands in the
snapshot: a file that was trained anew is taken into use by the next reload. numpy is imported where a route names a
file, and only there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from afterbay.config.load import Document
from afterbay.config.problem import Problem, child
from afterbay.config.schema_route import CascadeConfig, RouteConfig
from afterbay.core.errors import ClientMistake
from afterbay.policy.checks.verdict import Acceptor
from afterbay.policy.filters import Expects

if TYPE_CHECKING:
    from afterbay.policy.learned.acceptor import LearnedAcceptor
    from afterbay.policy.learned.quality import Quality

Kind = TypeVar("Kind")

LARGEST_BYTES = 64 * 1024 * 1024
"""A file that holds more is none of these: a predictor of a dozen models has 2 MB."""


class Trained(msgspec.Struct, frozen=True):
    """By route: `acceptors` with the least probability that each must give, and `predictors`. `digests`: of each file
    by the path that the configuration says. `knows`: the models of each predictor, by the same."""

    acceptors: Mapping[str, tuple[Acceptor, float]] = {}
    predictors: Mapping[str, Expects] = {}
    digests: Mapping[str, str] = {}
    knows: Mapping[str, tuple[str, ...]] = {}
    problems: tuple[Problem, ...] = ()


NOTHING = Trained()


def read_trained(document: Document) -> Trained:
    """Reads each file that a route names, once; what is wrong with one is told in `problems`."""
    files = _Files(document)
    acceptors: dict[str, tuple[Acceptor, float]] = {}
    predictors: dict[str, Expects] = {}
    defaults = document.config.defaults
    # `auto` is there without being written; what holds for requests by alias has nothing to choose from.
    for name, route in ({"auto": RouteConfig()} | dict(document.config.routes)).items():
        where = child("routes", name)
        inherits = route.cascade is None
        cascade = defaults.cascade if inherits else route.cascade
        if isinstance(cascade, CascadeConfig) and cascade.acceptor is not None:
            path = f"{'defaults' if inherits else where}.cascade.acceptor"
            acceptor = files.read(cascade.acceptor, path, _acceptor)
            if acceptor is not None:
                acceptors[name] = (acceptor, cascade.accept)
        predictor = defaults.predictor if route.predictor is None else route.predictor
        if predictor is not None:
            path = f"{'defaults' if route.predictor is None else where}.predictor"
            quality = files.read(predictor, path, _predictor)
            if quality is not None:
                predictors[name] = _expects(quality)
                files.knows[predictor] = quality.models
    return Trained(acceptors, predictors, files.digests, files.knows, tuple(files.problems))


class _Files:
    """The files that a configuration names; each is read once for each kind."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._folder = Path(document.file).parent
        self._found: dict[tuple[str, Callable[[bytes], Any]], Any] = {}
        self.digests: dict[str, str] = {}
        self.knows: dict[str, tuple[str, ...]] = {}
        self.problems: list[Problem] = []

    def read(self, name: str, path: str, made: Callable[[bytes], Kind]) -> Kind | None:
        """What a file holds; None, and a problem, where that is something else."""
        known = (name, made)
        if known not in self._found:
            self._found[known] = self._read(name, path, made)
        found: Kind | None = self._found[known]
        return found

    def _read(self, name: str, path: str, made: Callable[[bytes], Kind]) -> Kind | None:
        wanted = "a file of afterbay router train FILE"
        wanted += " --cascade -o OUT" if path.endswith(".acceptor") else " -o OUT"
        try:
            with (self._folder / name).open("rb") as file:
                data = file.read(LARGEST_BYTES + 1)
            if len(data) > LARGEST_BYTES:
                raise ValueError(f"it holds more than {LARGEST_BYTES // 2**20} MiB")
            found = made(data)
        except OSError as error:
            what = f"`{name}` cannot be read: {error.strerror}"
        except ClientMistake as error:
            what = f"`{name}` is of no use here: {error.message.rstrip('.')}"
        except (ValueError, ImportError) as error:
            what = f"`{name}` is of no use here: {error}"
        else:
            self.digests[name] = hashlib.sha256(data).hexdigest()[:16]
            return found
        self.problems.append(self._document.problem(path, what, wanted))
        return None


def _acceptor(data: bytes) -> LearnedAcceptor:
    from afterbay.policy.checks.judge import features_of
    from afterbay.policy.learned.acceptor import restored

    acceptor = restored(data)
    if unseen := set(acceptor.names) - set(features_of("", "")):
        raise ValueError(f"it looks at {sorted(unseen)[0][:40]}, which this release does not: train it again")
    return acceptor


def _predictor(data: bytes) -> Quality:
    from afterbay.policy.learned.quality import from_bytes

    return from_bytes(data)


def _expects(quality: Quality) -> Expects:
    from afterbay.policy.learned.quality import read_prompt

    return lambda text: quality.predict(read_prompt(text, quality.heads.spec))
