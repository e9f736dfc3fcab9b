"""A file from the model hub by HTTPS, resumed with a Range request where it stopped (RFC 9110, section 14)."""

from __future__ import annotations

import http.client
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from afterbay.local.catalog import ModelFile
from afterbay.local.fetching import BLOCK_BYTES, Job, NoAnswerError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def fetch(file: ModelFile, hub: str, part: Path, job: Job) -> None:
    """Downloads the file to `part`, going on where an earlier try stopped.

    Raises NoAnswerError if the hub has it not, does not answer within `answer_s`, or breaks off `tries` times. The
    caller checks the hash.
    """
    if file.hub is None:
        raise NoAnswerError("the hub does not have it")
    url = file.hub.url(hub)
    _check_scheme(url)
    last = ""
    for _ in range(job.limits.tries):
        done = part.stat().st_size if part.exists() else 0
        if done == file.size_bytes:
            return
        if done > file.size_bytes:
            part.unlink()
            done = 0
        try:
            with _open(url, done, job) as answer:
                _copy(answer, part, done, file, job)
            return
        except (OSError, http.client.HTTPException) as error:
            moved = part.exists() and part.stat().st_size > done
            last = f"broke off after {part.stat().st_size if part.exists() else 0} bytes ({error})"
            if not moved:
                break
    raise NoAnswerError(last)


def _check_scheme(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise NoAnswerError(f"refused: {parts.scheme or 'no scheme'} is not https")


def _open(url: str, start: int, job: Job) -> http.client.HTTPResponse:
    """The answer's head, or NoAnswerError within `answer_s`.

    In a thread of its own, because looking a name up obeys no socket timeout: the thread is left behind then.
    """
    results: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue(1)
    request = urllib.request.Request(url, headers={"user-agent": "afterbay", "accept-encoding": "identity"})  # noqa: S310  # scheme checked by the caller
    if start:
        request.add_header("range", f"bytes={start}-")

    def work() -> None:
        try:
            results.put(urllib.request.urlopen(request, timeout=job.limits.answer_s))  # noqa: S310  # as above
        except Exception as error:  # handed to the caller, whatever it is
            results.put(error)

    threading.Thread(target=work, daemon=True, name="afterbay-hub").start()
    result = _await(results, job)
    if isinstance(result, urllib.error.HTTPError):
        result.close()
        if result.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise NoAnswerError("has a shorter file than the pinned one (HTTP 416)")
        raise NoAnswerError(f"HTTP {result.code}")
    if isinstance(result, Exception):
        raise NoAnswerError(str(getattr(result, "reason", None) or result) or type(result).__name__)
    return result


def _await(
    results: queue.Queue[http.client.HTTPResponse | Exception], job: Job
) -> http.client.HTTPResponse | Exception:
    """Waits for the thread in short steps, so that the wish to stop is noticed. What comes too late is closed unread
    by the collector."""
    deadline = time.monotonic() + job.limits.answer_s
    while True:
        try:
            return results.get(timeout=0.1)
        except queue.Empty:
            job.check()
            if time.monotonic() >= deadline:
                raise NoAnswerError(f"no answer within {job.limits.answer_s:g} s") from None


def _copy(answer: http.client.HTTPResponse, part: Path, start: int, file: ModelFile, job: Job) -> None:
    """Writes the answer to the file, never more than the pinned size."""
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        said = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
        if not said or int(said[1]) != start:
            raise NoAnswerError("answered another range than the one asked for")
        mode = "ab"
    else:  # the server knows no ranges: from the beginning
        start, mode = 0, "wb"
    length = answer.headers.get("content-length")
    if length is not None and start + int(length) != file.size_bytes:
        raise NoAnswerError(f"offers {start + int(length)} bytes, pinned are {file.size_bytes}")
    _set_stall(answer, job.limits.stall_s)
    done = start
    with part.open(mode) as target:
        while done < file.size_bytes:
            job.check()
            block = answer.read1(min(BLOCK_BYTES, file.size_bytes - done))
            if not block:
                raise http.client.IncompleteRead(b"", file.size_bytes - done)
            target.write(block)
            done += len(block)
            job.report(done)


def _set_stall(answer: http.client.HTTPResponse, seconds: float) -> None:
    """After the head has come, a pause may be longer than the wait for the head."""
    sock = getattr(getattr(answer.fp, "raw", None), "_sock", None)  # http.client offers no public way to its socket
    if sock is not None:
        sock.settimeout(seconds)
