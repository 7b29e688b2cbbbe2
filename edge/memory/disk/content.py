"""Raw items as files named by their SHA-256: `content/ab/abcdef...`. The same bytes are kept once."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.memory.disk.sync import sync_folder, synced_disk

_UNFINISHED = ".tmp"
_OURS = re.compile(r"[0-9a-f]{64}(\.tmp)?")  # another file in the folder is not ours to delete


class ContentStore:
    """Content-addressed files. A file is whole or absent, also after a power cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, digest: bytes, content: bytes) -> bool:
        """Make `content` durable under its digest; False if it was there. Raises OSError and leaves nothing behind."""
        path = self._path(digest)
        if path.exists():
            sync_folder(path.parent)  # an earlier put may have failed between the rename and this
            return False
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
            sync_folder(self._folder)
        unfinished = path.with_suffix(_UNFINISHED)
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            # Without this a power cut can lose the name itself, on ext4 too.
            sync_folder(path.parent)
        except OSError:
            for leftover in (unfinished, path):
                leftover.unlink(missing_ok=True)
            raise
        return True

    def adopt(self, other: Path) -> None:
        """Take all files over from another store on this disk, where they are durable. Raises OSError."""
        with synced_disk(self._folder):
            for place in other.glob("??"):
                ours = self._folder / place.name
                ours.mkdir(mode=0o700, exist_ok=True)
                for path in place.iterdir():
                    path.replace(ours / path.name)

    def get(self, digest: bytes) -> bytes | None:
        """The content, or None when its file is gone."""
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return None

    def holds(self, digest: bytes) -> bool:
        """Whether the content is there."""
        return self._path(digest).exists()

    def remove(self, digests: Iterable[bytes]) -> None:
        """Delete files, as far as the disk lets us: what stays is swept at the next start."""
        for digest in digests:
            with contextlib.suppress(OSError):
                self._path(digest).unlink(missing_ok=True)

    def erase(self, digests: Iterable[bytes]) -> None:
        """Delete files for good: on return no power cut brings them back. Raises OSError."""
        folders = set()
        for digest in digests:
            path = self._path(digest)
            for each in (path, path.with_suffix(_UNFINISHED)):
                with contextlib.suppress(FileNotFoundError):
                    each.unlink()
                    folders.add(path.parent)
        for folder in folders:
            sync_folder(folder)

    def sweep(self, kept: set[bytes]) -> int:
        """Delete what a kill left: unfinished files, and whole ones that no row speaks of. Returns how many."""
        swept = 0
        for folder in self._folders():
            for name in os.listdir(folder):  # noqa: PTH208 - with a Path for each name, twice the time
                found = _OURS.fullmatch(name)
                if found and (found[1] or bytes.fromhex(name) not in kept):
                    (folder / name).unlink()
                    swept += 1
        return swept

    def holds_any(self) -> bool:
        """Whether there is a file, whole or unfinished."""
        return any(_OURS.fullmatch(path.name) for folder in self._folders() for path in folder.iterdir())

    def _folders(self) -> Iterator[Path]:
        return (path for path in self._folder.glob("??") if path.is_dir())

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._folder / name[:2] / name
