"""What makes written files and their names durable."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Names that were made or deleted in it are so on disk. Raises OSError."""
    with _opened(folder) as handle:
        os.fsync(handle)


@contextlib.contextmanager
def synced_disk(folder: Path) -> Iterator[None]:
    """All that was written to the disk of `folder` in between is on it afterwards, names included. Raises OSError.

    For many files: one by one, each would have an SD card write its journal. See syncfs(2), which tells of errors since
    the folder was opened.
    """
    with _opened(folder) as handle:
        yield
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
