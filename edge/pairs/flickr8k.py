"""Flickr8k: photos with five captions each, official layout and splits (Hodosh, Young, Hockenmaier 2013).

Flicker8k_Dataset/*.jpg          the photos
Flickr8k.token.txt               "NAME.jpg#0<tab>caption", five lines a photo
Flickr_8k.trainImages.txt        the names of a split, one a line; also .devImages.txt and .testImages.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.errors import UsageError

PHOTOS = "Flicker8k_Dataset"
CAPTIONS = "Flickr8k.token.txt"


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo and what people said of it."""

    photo: Path
    captions: tuple[str, ...]


def read_flickr8k(folder: Path, split: Literal["train", "dev", "test"]) -> tuple[Pair, ...]:
    """The photos of one split in the order of its list; names without a file are left out: some copies have them.

    Raises UsageError when the folder has not the official layout.
    """
    captions: dict[str, list[str]] = {}
    for line in _lines(folder, CAPTIONS):
        name, tab, caption = line.partition("\t")
        if not tab or "#" not in name:
            raise UsageError(f"{folder / CAPTIONS}: {line!r} is not NAME#NUMBER<tab>CAPTION")
        captions.setdefault(name.partition("#")[0], []).append(caption.strip())
    names = _lines(folder, f"Flickr_8k.{split}Images.txt")
    found = [name for name in names if name in captions and (folder / PHOTOS / name).is_file()]
    if not found:
        raise UsageError(f"{folder / PHOTOS} has none of the {len(names)} photos of the {split} split")
    return tuple(Pair(folder / PHOTOS / name, tuple(captions[name])) for name in found)


def _lines(folder: Path, name: str) -> list[str]:
    try:
        return (folder / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{folder / name} cannot be read ({error.strerror if isinstance(error, OSError) else error}):"
            " give the folder of Flickr8k in its official layout"
        ) from None
