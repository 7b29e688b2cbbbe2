"""Files that a message names by path: only below the folders that the config allows."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from edge.config import PAYLOAD_BYTES
from edge.errors import UnreadableItemError

LARGEST_FILE = 8 * PAYLOAD_BYTES  # a file is not held in memory while it waits, so it may be larger than a message


def read_below(roots: Sequence[str], path: str) -> bytes:
    """The content of a regular file below one of `roots`. Raises UnreadableItemError.

    The path is judged first: of what lies outside nothing is opened, nor told whether it is there. Then the open file
    is asked for its real place: a link that changes in between cannot lead out of the folder.
    """
    if not roots:
        raise UnreadableItemError("no path is accepted here: send the content, or set remember.roots")
    try:
        _check_below(roots, path)
        # Without O_NONBLOCK opening a pipe would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            _check_below(roots, f"/proc/self/fd/{handle}")
            return _read(handle)
        finally:
            os.close(handle)
    except UnreadableItemError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableItemError(f"the file cannot be read: {reason}") from None


def _check_below(roots: Sequence[str], path: str) -> None:
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        raise UnreadableItemError("the path lies outside of remember.roots")


def _read(handle: int) -> bytes:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableItemError("the path is not a file")
    if found.st_size > LARGEST_FILE:
        raise UnreadableItemError(f"the file has {found.st_size} bytes, {LARGEST_FILE} at most: scale it down")
    with open(handle, "rb", closefd=False) as file:
        return file.read(LARGEST_FILE)
