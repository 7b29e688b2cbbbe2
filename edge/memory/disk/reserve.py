"""A file that holds room on the disk, and is given up when there is none left.

SQLite cannot even delete on a full disk: its log needs room. With what the reserve leaves, embeddings of accepted items
are written, content is evicted, a stopped daemon opens its memory again. Nothing new is accepted without it.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

RESERVE_BYTES = 16 << 20  # the log of 1,000 pages that SQLite writes back, a group of embeddings, and an index's tail
_NEEDED_BYTES = 4 << 20  # to open a memory


class Reserve:
    """The file `reserve` in a state folder. One thread."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """Gives it up at once where there is no room to open a memory; `size_bytes` 0: there is none."""
        self._folder, self._path, self._size_bytes = folder, folder / "reserve", size_bytes
        if size_bytes and shutil.disk_usage(folder).free < _NEEDED_BYTES:
            self.give_up()

    @property
    def is_whole(self) -> bool:
        try:
            return self._path.stat().st_size >= self._size_bytes
        except FileNotFoundError:
            return self._size_bytes == 0

    def restore(self) -> None:
        """Make it whole, if it is not, out of twice its room. Raises OSError where there is less."""
        if self.is_whole:
            return
        if shutil.disk_usage(self._folder).free < 2 * self._size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size_bytes)
        except OSError:
            self.give_up()
            raise
        finally:
            os.close(handle)

    def give_up(self) -> bool:
        """Leave its room to others; False when there was none."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True
