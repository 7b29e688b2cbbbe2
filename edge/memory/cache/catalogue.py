"""Which activations are cached, and what each is worth, in 48 bytes of memory an item."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.memory.cache.worth import Whole, Worth, per_byte

FOLDERS = 256
UNFINISHED = ".tmp"  # behind the name of a file that is being written
_NAME = re.compile(r"(\d{1,18})-(\d{1,5})-(\d{1,10})-([1-9]\d{0,17})-(\d{1,18})-(\d{1,18})\.int4", re.ASCII)
_ITEM, _SEGMENT, _MADE_BY, _BYTES, _SPARED_US, _SEEN_AT = range(6)
_EMPTY: Whole = np.empty((0, 6), dtype=np.int64)


class Kept(NamedTuple):
    """One file: a row of the catalogue. Its name says all of it, so that opening the cache reads no file.

    made_by: the first four bytes of what made it, as a number
    """

    item: int
    segment: int
    made_by: int
    size_bytes: int
    spared_us: int
    seen_at: int

    @classmethod
    def of(cls, item: int, segment: int, made_by: bytes, size_bytes: int, worth: Worth) -> Kept:
        """What a file of `size_bytes` is to be called."""
        return cls(item, segment, _short(made_by), size_bytes, worth.spared_us, _seconds(worth))

    @classmethod
    def named(cls, folder: str, name: str) -> Kept | None:
        """Reads a name back; None for a file that is not ours."""
        found = _NAME.fullmatch(name)
        kept = cls._make(map(int, found.groups())) if found else None
        return kept if kept and kept.folder == folder else None

    @property
    def folder(self) -> str:
        """Items are numbered as they come, so that each folder gets every 256th: 400 files at 100,000 items."""
        return f"{self.item % FOLDERS:02x}"

    @property
    def name(self) -> str:
        return "-".join(map(str, self)) + ".int4"

    def revalued(self, worth: Worth) -> Kept:
        """The same file, worth more or less by now."""
        return self._replace(spared_us=worth.spared_us, seen_at=_seconds(worth))


class Catalogue:
    """All files by item. Readers may come from any thread; changes one at a time.

    count, size_bytes: of the files in it
    """

    def __init__(self) -> None:
        self.count = self.size_bytes = 0
        # One table a folder, and each is replaced, never changed: a reader sees it before or after.
        self._tables = [_EMPTY] * FOLDERS

    def find(self, item: int) -> Kept | None:
        """The item's file."""
        table = self._tables[item % FOLDERS]
        rows = table[table[:, _ITEM] == item]
        return Kept(*rows[0].tolist()) if len(rows) else None

    def add(self, files: Iterable[Kept]) -> None:
        """Files of items that have none so far."""
        by_folder: dict[int, list[Kept]] = {}
        for kept in files:
            by_folder.setdefault(kept.item % FOLDERS, []).append(kept)
            self.count += 1
            self.size_bytes += kept.size_bytes
        for number, rows in by_folder.items():
            self._tables[number] = np.concatenate([self._tables[number], np.array(rows, dtype=np.int64)])

    def drop(self, kept: Kept) -> bool:
        """Forget this very file; False when the item has another one by now, or none."""
        if self.find(kept.item) != kept:
            return False
        table = self._tables[kept.item % FOLDERS]
        self._tables[kept.item % FOLDERS] = table[table[:, _ITEM] != kept.item]
        self.count -= 1
        self.size_bytes -= kept.size_bytes
        return True

    def holds(self, items: Whole) -> npt.NDArray[np.bool_]:
        """(N,) ids -> which of them have a file."""
        return np.isin(items, np.concatenate(self._tables)[:, _ITEM])

    def not_made_by(self, hashes: Collection[bytes]) -> list[Kept]:
        """The files of other segments than these."""
        table = np.concatenate(self._tables)
        return _kept(table[~np.isin(table[:, _MADE_BY], [_short(made_by) for made_by in hashes])])

    def least_worth(self, wanted_bytes: int, now: float, below: float, pinned: Collection[int] = ()) -> list[Kept]:
        """As few files as take `wanted_bytes`, the least value per byte first, all of them worth less than `below`.

        None of items that are `pinned`.
        """
        table = np.concatenate(self._tables)
        value = _value(table, now)
        candidates = np.flatnonzero((value < below) & ~np.isin(table[:, _ITEM], list(pinned)))
        order = candidates[np.argsort(value[candidates], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(table[order, _BYTES]), wanted_bytes)) + 1
        return _kept(table[order[:enough]])


def value_per_byte(kept: Kept, now: float) -> float:
    """What one file is worth at `now`, seconds of Unix time."""
    return float(_value(np.array([kept], dtype=np.int64), now)[0])


def dearest_first(files: Sequence[Kept], now: float) -> list[Kept]:
    """By value per byte at `now`."""
    table = np.array(files, dtype=np.int64).reshape(-1, len(Kept._fields))
    return _kept(table[np.argsort(-_value(table, now), kind="stable")])


def _value(table: Whole, now: float) -> npt.NDArray[np.float64]:
    return per_byte(table[:, _SPARED_US], table[:, _SEEN_AT], table[:, _BYTES], now)


def _kept(table: Whole) -> list[Kept]:
    return [Kept._make(row) for row in table.tolist()]


def _seconds(worth: Worth) -> int:
    return max(0, int(worth.seen_at))


def _short(made_by: bytes) -> int:
    return int.from_bytes(made_by[:4], "little")
