"""Errors of the local models.

    LocalError                  a local model cannot serve
    ├── InstallError            its files cannot be had
    │   ├── NoSourceError            no source had the file
    │   ├── WrongFileError           a source had another file than the pinned one
    │   ├── NoSpaceError             the disk is too full for it
    │   └── InstallCancelledError    the caller asked to stop
    └── EngineError             its process does not start or does not stay

Each message says what was tried and what each source answered; `remedy` says what to do next.
"""

from __future__ import annotations

from afterbay.core.errors import ErrorKind, GatewayError


class LocalError(GatewayError):
    """A local model cannot serve."""

    kind: ErrorKind = "overloaded"
    status = 503


class InstallError(LocalError):
    """The files of a model cannot be had."""

    remedy = (
        "Set AFTERBAY_MODELS to a folder that holds the file, or make the model hub or a package registry reachable."
    )


class NoSourceError(InstallError):
    """No source had the file."""

    retryable = True


class WrongFileError(InstallError):
    """A source had a file whose size or sha256 is not the pinned one."""

    remedy = "Remove that file, or name a folder that holds the pinned one in AFTERBAY_MODELS."


class NoSpaceError(InstallError):
    """Too little room on the disk of the cache."""

    remedy = "Free some room, or move the cache by setting XDG_CACHE_HOME."


class InstallCancelledError(InstallError):
    """The caller asked to stop; what was fetched stays and is resumed next time."""

    remedy = "Start the installation again: it goes on where it stopped."


class EngineError(LocalError):
    """The process of a model does not start or does not stay."""

    retryable = True
    remedy = "Look at the last lines of the worker in the message; a smaller context or fewer slots need less memory."
