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

    The file is opened before it is judged, and its real place is asked of the open file: a link that changes in
    between cannot lead out of the folder.
    """
    if not roots:
        raise UnreadableItemError("no path is accepted here: send the content, or set remember.roots")
    try:
        # Without O_NONBLOCK opening a pipe would wait for ever.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableItemError(f"the file cannot be read: {reason}") from None
    with open(handle, "rb") as file:  # noqa: PTH123 - by its handle
        found = os.fstat(handle)
        real = Path(os.path.realpath(f"/proc/self/fd/{handle}"))
        if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            raise UnreadableItemError("the path lies outside of remember.roots")
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableItemError("the path is not a file")
        if found.st_size > LARGEST_FILE:
            raise UnreadableItemError(f"the file has {found.st_size} bytes, {LARGEST_FILE} at most: scale it down")
        return file.read(LARGEST_FILE)
