"""The state folder: used by one process, and with its database where there is content."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from edge.errors import StoreError
from edge.memory.disk.content import ContentStore

_log = logging.getLogger(__name__)


def lock_for_us(folder: Path, handle: int) -> None:
    """Of the lock file, kept as long as it is open. Raises StoreError when another process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{folder} is in use by another process: stop it, or choose another state folder") from None


def check_database_is_there(folder: Path, content: ContentStore) -> None:
    """Raises StoreError for content without rows."""
    # The sweep deletes content that no row speaks of: with the rows lost, that would be all of it.
    database = folder / "memory.db"
    if content.holds_any() and not (database.exists() and database.stat().st_size):
        raise StoreError(
            f"{folder} has content but no {database.name}: restore it from a backup, or move the folder away"
        )


def importing(folder: Path) -> Path:
    """Where an import unpacks; what one left there that was ended is of no use to anybody."""
    return folder / "importing"


def clear_importing(folder: Path) -> None:
    """Delete that. Where the system does not let us, the log says what to delete: pictures may be in it."""
    place = importing(folder)
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        pass
    except OSError as error:
        _log.error("%s, which an import left, cannot be deleted (%s): delete it as root", place, error.strerror)


def give_to_owner(folder: Path, paths: Iterable[Path]) -> None:
    """What root makes in the folder belongs to whom that does: the daemon is another user. Raises OSError."""
    if os.geteuid():
        return
    owner = folder.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
