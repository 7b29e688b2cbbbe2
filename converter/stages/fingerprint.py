"""Whether a folder still holds what it held: by content, so that a copy counts as the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from edge.errors import UsageError


def fingerprint(path: Path, tick: Callable[[int], object] = lambda _bytes: None) -> str:
    """SHA-256 in hex over names and contents of a file, or of all files below a folder but hidden ones.

    tick: is told how many bytes more were read. Raises UsageError that names what cannot be read.
    """
    whole = hashlib.sha256()
    try:
        for file in files_of(path):
            one = hashlib.sha256()
            with file.open("rb") as content:
                while chunk := content.read(1 << 20):
                    one.update(chunk)
                    tick(len(chunk))
            name = file.relative_to(path).as_posix() if file != path else file.name
            whole.update(f"{one.hexdigest()} {name}\n".encode(errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"{error.filename or path} cannot be read: {error.strerror}") from None
    return whole.hexdigest()


def files_of(path: Path) -> list[Path]:
    """A file itself; of a folder all files below that are not hidden, sorted."""
    if not path.is_dir():
        return [path]
    found = (file for file in path.rglob("*") if not any(part[0] == "." for part in file.relative_to(path).parts))
    return sorted(file for file in found if file.is_file())
