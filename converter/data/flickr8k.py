"""Flickr8k in its official layout (`edge/pairs/flickr8k.py`): its dev photos are the test side.

The official test photos are left alone: who has them can judge a finished bundle by photos that no choice has seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from converter.data.listing import Listed, Listing, Skipped, Split, join
from edge.pairs import read_flickr8k

SIDES: dict[Literal["train", "dev"], Split] = {"train": "train", "dev": "test"}


def list_flickr8k(folder: Path) -> Listing:
    """Train and dev photos. Raises UsageError."""
    return join(_side(folder, official, split) for official, split in SIDES.items())


def _side(folder: Path, official: Literal["train", "dev"], split: Split) -> Listing:
    pairs = read_flickr8k(folder, official)
    items = tuple(Listed(name=pair.photo.name, source=pair.photo, texts=pair.captions, split=split) for pair in pairs)
    names = (folder / f"Flickr_8k.{official}Images.txt").read_text(encoding="utf-8").splitlines()
    lost = sorted({name for name in names if name} - {item.name for item in items})
    return Listing(items, tuple(Skipped(name, "without its photo or its captions") for name in lost))
