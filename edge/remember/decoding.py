"""From an item's raw content to what rides up the tower, or to why it never will."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass

from edge.errors import StoreError, UnreadableItemError
from edge.items import Item
from edge.memory import Memory
from edge.remember.notes import Notes
from edge.runtime import Activation, TowerRunner, exif_time

_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # of the process or the system, not of one file


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """An item before the first segment, one in the batch.

    ms:       what decoding took
    taken_at: see Embedded
    """

    item: Item
    activation: Activation
    ms: float
    taken_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that can never be embedded; is_lost: its bytes are gone, and welcome if they come again."""

    item: Item
    reason: str
    is_lost: bool = False


def start(tower: TowerRunner, notes: Notes | None, memory: Memory, item: Item) -> Start | Refusal:
    """Read and decode. Raises StoreError where it may work later; MemoryError.

    notes: takes the items that are notes; None: no item is one
    """
    began = time.monotonic()
    try:
        content = memory.content(item)
        if content is None:
            return Refusal(item, "its content is gone from the state folder", is_lost=True)
        if notes and item.modality == "text":
            return Start(item, notes.start(content), (time.monotonic() - began) * 1e3)
        activation = tower.start_images([content])
        taken_at = None if item.taken_from == "message" else exif_time(content)
    except UnreadableItemError as error:
        return Refusal(item, str(error))
    except StoreError as error:
        if _errno(error) != errno.EIO:
            raise
        # A bad sector, which stays bad.
        return Refusal(item, "its content cannot be read from the disk any more", is_lost=True)
    return Start(item, activation, (time.monotonic() - began) * 1e3, taken_at)


def is_of_the_file(error: StoreError) -> bool:
    """Whether one file cannot be read for now, perhaps for lack of rights; else the store or the system is in need."""
    number = _errno(error)
    return number is not None and number not in _PASSING


def _errno(error: StoreError) -> int | None:
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None
