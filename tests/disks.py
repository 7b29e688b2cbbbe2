"""A disk that is really full: a tmpfs of a chosen size. Mounting one needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SIZE = 64 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own at `folder`."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def free(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True)  # noqa: S607 - mount of the system

    def fill_up_to(self, free: int) -> None:
        """Leave `free` bytes, which another program's file does not take."""
        room = self.free - free
        with (self.folder / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, room)

    def make_room(self) -> None:
        """The other program's file is gone."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk of our own to fill: {done.stderr.strip()}")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - umount of the system
