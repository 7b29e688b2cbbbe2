"""A plain folder of pictures without a word to any of them, and whatever folders it holds."""

from __future__ import annotations

from pathlib import Path

from converter.data.listing import Listed, Listing, Skipped
from edge.errors import UsageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})


def list_folder(folder: Path) -> Listing:
    """Every picture below the folder, sorted; other files are skipped. Raises UsageError when there is no picture."""
    try:
        files = sorted(file for file in folder.rglob("*") if file.is_file())
    except OSError as error:
        raise UsageError(f"{folder} cannot be looked at: {error.strerror}") from None
    names = {file: str(file.relative_to(folder)) for file in files}
    items = tuple(Listed(name=name, source=file) for file, name in names.items() if file.suffix.lower() in SUFFIXES)
    if not items:
        raise UsageError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    others = [name for file, name in names.items() if file.suffix.lower() not in SUFFIXES]
    return Listing(items, tuple(Skipped(name, "not named like a picture") for name in others))
