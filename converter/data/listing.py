"""What a reader finds in a folder, before anything is decoded; the same for every layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edge.errors import UsageError
from edge.items import Floats

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One item as its data set lists it.

    name:    for people; within its data set no other item has it
    source:  the file, or the (T, C) float32 values of a window of motion
    texts:   what should find the item; none in a folder of unlabelled items
    classes: whether `texts` are names of classes, which items on all sides share
    split:   the official side
    group:   items of one name stay together, because they overlap or come from one person; "" is a group of its own
    """

    name: str
    source: Path | Floats
    texts: tuple[str, ...] = ()
    classes: bool = False
    split: Split | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item, or a row of a table, that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All items of a data set in its own order, and the rows that name none."""

    items: tuple[Listed, ...]
    skipped: tuple[Skipped, ...] = ()


def list_files(
    folder: Path, texts: Mapping[str, Sequence[str]], split: Split | None = None, *, classes: bool = False
) -> Listing:
    """The files in `folder` that `texts` has something to say of; one without its file or without a text is skipped.

    Raises UsageError when none of the files is there.
    """
    items, skipped = [], []
    for name, told in texts.items():
        kept = tuple(text.strip() for text in told if text.strip())
        if not _is_there(folder / name):
            skipped.append(Skipped(name, f"not in {folder}"))
        elif not kept:
            skipped.append(Skipped(name, "without a text"))
        else:
            items.append(Listed(name=name, source=folder / name, texts=kept, classes=classes, split=split))
    if texts and len(skipped) == len(texts) and not any(item.reason == "without a text" for item in skipped):
        raise UsageError(f"{folder} has none of the {len(texts)} files that its table names: unpack them there")
    return Listing(tuple(items), tuple(skipped))


def join(parts: Iterable[Listing]) -> Listing:
    """The parts of a data set as one. If nothing could be on the test side, official sides do not count."""
    whole = list(parts)
    items = [item for part in whole for item in part.items]
    if all(item.split in {"train", "validation"} for item in items):
        items = [replace(item, split=None) for item in items]
    return Listing(tuple(items), tuple(skip for part in whole for skip in part.skipped))


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):  # a table of another kind: a whole paragraph in place of a name
        return False
