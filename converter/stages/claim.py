"""One build at a time in a folder, and only in a folder that is ours to write in."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge.errors import UsageError

MARK = ".reminisce-convert"  # says that the folder is ours; holds the process that works there


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Make `out`, or take it if it is empty or an earlier build's; others are refused until the block ends.

    Raises UsageError for a folder of somebody else's, or one in use.
    """
    check_ours(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / MARK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from None
    try:
        _lock(handle, out)
        yield
    finally:
        os.close(handle)


def check_ours(out: Path) -> None:
    """Raises UsageError unless `out` is new, empty, or an earlier build's."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder: choose another with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UsageError(
            f"{out} holds files that reminisce-convert did not make: choose a new or empty folder with --out"
        )


def _lock(handle: int, out: Path) -> None:
    # The system's lock, not the file's existence: it ends with the process, however that ends.
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = os.read(handle, 20).decode(errors="replace").strip() or "another"
        raise UsageError(
            f"{out} is in use by process {process}: wait until it ends, or choose another folder with --out"
        ) from None
    os.truncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
