"""The OpenMP runtime for machines that lack it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from afterbay.local import runtime
from afterbay.local.catalog import LocalModel, ModelFile, Wheel
from afterbay.local.errors import InstallError


def test_nothing_is_added_where_the_system_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "is_there", lambda: True)
    assert runtime.worker_environment() == {}


def test_a_system_without_it_gets_the_file_of_a_package_in_front_of_its_own_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = b"a library"
    with zipfile.ZipFile(tmp_path / "carrier-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carrier.libs/libgomp-1.so", content)
        wheel.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        wheel.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("carrier-1.0.dist-info/RECORD", "")
    sha256 = hashlib.sha256(content).hexdigest()
    file = ModelFile(
        "libgomp.so.1",
        len(content),
        sha256,
        wheels=(Wheel("carrier", "1.0", "carrier.libs/libgomp-1.so", len(content)),),
    )
    model = LocalModel("openmp-runtime", "x", "library", (file,), 0, "x", "x")
    monkeypatch.setattr(runtime, "is_there", lambda: False)
    monkeypatch.setattr(runtime, "described", lambda: model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    environ = runtime.worker_environment(pip_args=("--no-index", "--find-links", str(tmp_path)))
    first, rest = environ["LD_LIBRARY_PATH"].split(os.pathsep)
    assert rest == "/opt/lib"
    assert (Path(first) / "libgomp.so.1").read_bytes() == content


def test_a_machine_for_which_no_package_has_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(InstallError) as caught:
        runtime.described()
    assert "libgomp1" in caught.value.remedy


def test_whether_the_loader_finds_it_is_asked_of_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not runtime.is_there()
    monkeypatch.setattr("sys.platform", "darwin")
    assert runtime.is_there()
