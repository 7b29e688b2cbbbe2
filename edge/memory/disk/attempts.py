"""Which items are worked on right now, in a file that an end of the process leaves behind.

An item whose content crashes the process must not crash it at every start. The file is never synced: what a process
has written outlives its end, and the card is spared; after a power cut, for which no item is to blame, the file's boot
is another one and it says nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
from collections.abc import Iterable
from pathlib import Path

from edge.memory.disk.boot import boot_id

# Of an item that was worked on when the process ended. A crash leaves a trace; without one it may have been anyone's
# `kill -9` as well as the system's for lack of memory, and it takes six of these in a row to blame the item.
CRASHED, KILLED = 3, 1
MOST_BLAME = 6


class Attempts:
    """The files `attempts` and `crash` of a state folder. One process at a time; any thread."""

    def __init__(self, folder: Path) -> None:
        """Reads what the last process left, see `left`; it stays until `begin`. Raises OSError."""
        self.left = _left(folder)
        self._folder, self._boot = folder, _boot()
        self._file = os.open(folder / "attempts", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._crash: int | None = None
        if not faulthandler.is_enabled():  # one for a process: whoever enabled it before wants to read it elsewhere
            self._crash = os.open(folder / "crash", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            faulthandler.enable(self._crash)

    def begin(self) -> None:
        """What the last process left has been taken down."""
        self.note(())

    def note(self, items: Iterable[int]) -> None:
        """From now on these are worked on, and no others."""
        line = f"{self._boot} {' '.join(map(str, items))}\n".encode()
        with contextlib.suppress(OSError):  # a full disk: what is not noted is tried once more than it should be
            os.ftruncate(self._file, os.pwrite(self._file, line, 0))

    def close(self) -> None:
        """A process that ends in order blames nobody."""
        os.close(self._file)
        if self._crash is not None:
            faulthandler.disable()
            os.close(self._crash)
        for name in ("attempts", "crash"):
            (self._folder / name).unlink(missing_ok=True)


def _left(folder: Path) -> dict[int, int]:
    """Blame by item."""
    try:
        boot, *items = (folder / "attempts").read_text(encoding="ascii").split()
        if boot != _boot():
            return {}
        blame = CRASHED if (folder / "crash").is_file() and (folder / "crash").stat().st_size else KILLED
        return {int(item): blame for item in items}
    except (FileNotFoundError, ValueError):  # ValueError: it was being written when the process ended
        return {}


def _boot() -> str:
    return boot_id() or "unknown"
