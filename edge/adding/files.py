"""Which files a path on the command line stands for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edge.errors import UsageError
from edge.items import Modality

NOTES = frozenset({".txt", ".md"})
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})


def find_pictures(paths: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """Files as they are named, folders as the picture files below them, sorted; each file once.

    A note must be named: what lies beside pictures as text (licences, lists) is seldom meant to be remembered.

    Also how many files of other kinds were left out, by suffix. Raises UsageError when nothing is left to add.
    """
    found: dict[Path, None] = {}
    others: Counter[str] = Counter()
    for path in paths:
        try:
            files = _files(path)
        except OSError as error:
            raise UsageError(f"{printable(path)} cannot be looked at: {error.strerror}") from None
        named = not path.is_dir()
        found.update(dict.fromkeys(file for file in files if named or file.suffix.lower() in SUFFIXES))
        left_out = [] if named else [file for file in files if file.suffix.lower() not in SUFFIXES]
        others.update(file.suffix.lower() or file.name for file in left_out)
    if not found:
        raise UsageError(f"{', '.join(map(str, paths))} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return list(found), others


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    if path.exists():
        return [path]
    raise UsageError(f"{path} is not there: name a picture or a folder of pictures")


def modality_of(file: Path) -> Modality:
    """A note by its suffix, or else a picture."""
    return "text" if file.suffix.lower() in NOTES else "image"


def printable(file: Path) -> str:
    """The name for people: one that is not UTF-8, or holds a line end, can be opened, but neither sent nor printed.

    A broker closes the connection on control characters.
    """
    name = os.fsencode(file).decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
