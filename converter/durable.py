"""Files that survive a power cut once they have their name, and disks with room for them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from edge.errors import DiskFullError

_FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_BYTES = 1_000_000  # a disk with less is full, whatever a library made of the system's error


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """`path` holds all that `write` wrote, or what it held before."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """A file or folder survives a power cut as it is now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_room(folder: Path, needed: int) -> None:
    """Raises DiskFullError unless the disks of `folder` and of temporary files have `needed` bytes free."""
    # Before the work: the export tools map the files they write, and on a full disk that ends the process.
    for place in (folder, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise DiskFullError(
                f"the disk of {place} has {free / 1e6:.0f} MB free, a build needs {needed / 1e6:.0f}: free some space"
            )


def full_disk(error: BaseException, folder: Path) -> Path | None:
    """The disk whose end `error` met, among those of `folder` and of temporary files; None if it is another error."""
    places = (folder, Path(tempfile.gettempdir()))
    free = {place: shutil.disk_usage(place).free for place in places}
    fullest = min(places, key=lambda place: free[place])
    return fullest if _ran_out(error) or free[fullest] < FULL_BYTES else None


def _ran_out(error: BaseException) -> bool:
    if isinstance(error, shutil.Error):  # of a copied tree: the errors of all its files, as text
        return any(os.strerror(number) in str(error) for number in _FULL)
    return isinstance(error, OSError) and error.errno in _FULL
