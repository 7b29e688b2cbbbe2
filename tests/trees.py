"""Boards of a test's own: folders that look like the root of a board's file system, and any user may look into them.

They lie on a tmpfs where there is one, as the kernel's own trees do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.power import Kind, Meter

SHM = Path("/dev/shm")  # noqa: S108 - the tmpfs that every Linux has
FAILS_TO_READ = Path("/proc/self/mem")  # EIO: nothing is at address 0
NOBODY = 65534


@contextmanager
def new_tree() -> Iterator[Path]:
    """The root of an empty board."""
    folder = Path(tempfile.mkdtemp(prefix="board-", dir=SHM if os.access(SHM, os.W_OK) else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def put(path: Path, value: object) -> None:
    """What the kernel would show there; a file is replaced, as a driver's values change at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    beside.write_text(f"{value}\n", encoding="utf-8")
    beside.replace(path)


@contextmanager
def no_rights() -> Iterator[None]:
    """Inside, this process is not root: nothing opens that is closed to everybody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class Sensor:
    """One sensor on a board, and the files of which it consists.

    name: of its meter in the config; kind: of its figures; key: the file that has the value
    """

    name: str
    kind: Kind
    key: Path

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> Meter:
        """Its meter, as the device makes it."""
        raise NotImplementedError

    def show(self, watts: float) -> None:
        """What it shows at this power."""
        raise NotImplementedError

    def play(self, watts: float, seconds: float) -> None:  # noqa: ARG002 - for those that count
        """What it shows once the board has taken `watts` for `seconds`."""
        self.show(watts)

    def vanish(self) -> None:
        self.key.rename(self.key.with_name("gone"))

    def come_back(self) -> None:
        self.key.with_name("gone").rename(self.key)

    def fail(self) -> None:
        """Reading ends with EIO from now on."""
        self.key.unlink()
        self.key.symlink_to(FAILS_TO_READ)

    def forbid(self) -> None:
        self.key.chmod(0)

    def say(self, text: str) -> None:
        """Anything in the place of its value."""
        put(self.key, text)
