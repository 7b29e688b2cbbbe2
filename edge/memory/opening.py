"""Before a state folder is used: nobody else uses it, and its parts belong together."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from edge.errors import StoreError
from edge.memory.content import ContentStore


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """No other process uses the folder in between. Raises StoreError when one does."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{folder} is in use by another process: stop it, or choose another state folder"
            ) from None
        yield


def check_database_is_there(folder: Path, content: ContentStore) -> None:
    """Raises StoreError on content without rows: the sweep deletes what no row speaks of, which would be all of it."""
    database = folder / "memory.db"
    if content.holds_any() and not (database.exists() and database.stat().st_size):
        raise StoreError(
            f"{folder} has content but no {database.name}: restore it from a backup, or move the folder away"
        )
