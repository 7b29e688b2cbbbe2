"""Which activations are cached, and what each is worth, in 56 bytes of memory an item."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.memory.cache.worth import Real, Seen, Whole, Worth, likelihood

FOLDERS = 256
UNFINISHED = ".tmp"  # behind the name of a file that is being written
_AGAIN = r"(?:-([2-9]|[1-9]\d{1,8}))?"
_NAME = re.compile(
    rf"(\d{{1,18}})-(\d{{1,5}})-(\d{{1,10}})-([1-9]\d{{0,17}})-(\d{{1,18}})-(\d{{1,18}}){_AGAIN}\.int4", re.ASCII
)
_ITEM, _SEGMENT, _MADE_BY, _BYTES, _SPARED_US, _SEEN_AT, _SIGHTINGS = range(7)
_EMPTY: Whole = np.empty((0, 7), dtype=np.int64)
_MOST_SIGHTINGS = 10**9 - 1  # that a name says

Factors = Callable[[Whole], Real]  # (N,) ids of items -> (N,) what their sources are worth, 1 for nothing special


def no_difference(items: Whole) -> Real:
    """Of sources that nobody has asked for so far."""
    return np.ones(len(items))


class Kept(NamedTuple):
    """One file: a row of the catalogue. Its name says all of it, so that opening the cache reads no file.

    made_by:   the first four bytes of what made it, as a number
    sightings: a name says nothing of the first one
    """

    item: int
    segment: int
    made_by: int
    size_bytes: int
    spared_us: int
    seen_at: int
    sightings: int = 1

    @classmethod
    def of(cls, item: int, segment: int, made_by: bytes, size_bytes: int, worth: Worth) -> Kept:
        """What a file of `size_bytes` is to be called."""
        return cls(item, segment, _short(made_by), size_bytes, worth.spared_us, *_sighted(worth))

    @classmethod
    def named(cls, folder: str, name: str) -> Kept | None:
        """Reads a name back; None for a file that is not ours."""
        found = _NAME.fullmatch(name)
        kept = cls._make(map(int, found.groups(default="1"))) if found else None
        return kept if kept and kept.folder == folder else None

    @property
    def folder(self) -> str:
        """Items are numbered as they come, so that each folder gets every 256th: 400 files at 100,000 items."""
        return f"{self.item % FOLDERS:02x}"

    @property
    def name(self) -> str:
        said = self if self.sightings > 1 else self[:_SIGHTINGS]
        return "-".join(map(str, said)) + ".int4"

    def is_of(self, hashes: Sequence[bytes]) -> bool:
        """Whether one of these segments made it, by what its name says."""
        return self.segment < len(hashes) and self.made_by == _short(hashes[self.segment])

    def seen_again(self, seen: Seen) -> Kept:
        """The same file, of an item that came again."""
        seen_at, sightings = _sighted(seen)
        return self._replace(seen_at=seen_at, sightings=sightings)


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

    def least_worth(
        self,
        wanted_bytes: int,
        now: float,
        below: float,
        *,
        pinned: Collection[int] = (),
        source: Factors = no_difference,
    ) -> list[Kept]:
        """As few files as take `wanted_bytes`, the least value per byte first, all of them worth less than `below`.

        None of items that are `pinned`.
        """
        table = np.concatenate(self._tables)
        value = _value(table, now) * source(table[:, _ITEM])
        candidates = np.flatnonzero((value < below) & ~np.isin(table[:, _ITEM], list(pinned)))
        order = candidates[np.argsort(value[candidates], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(table[order, _BYTES]), wanted_bytes)) + 1
        return _kept(table[order[:enough]])


def value_per_byte(kept: Kept, now: float, source: Factors = no_difference) -> float:
    """What one file is worth at `now`, seconds of Unix time: microseconds a byte, while it is new."""
    return float(_value(np.array([kept], dtype=np.int64), now)[0] * source(np.array([kept.item]))[0])


def dearest_first(files: Sequence[Kept], now: float) -> list[Kept]:
    """By value per byte at `now`, whatever their sources."""
    table = np.array(files, dtype=np.int64).reshape(-1, len(Kept._fields))
    return _kept(table[np.argsort(-_value(table, now), kind="stable")])


def _value(table: Whole, now: float) -> Real:
    value: Real = table[:, _SPARED_US] / table[:, _BYTES] * likelihood(table[:, _SIGHTINGS], table[:, _SEEN_AT], now)
    return value


def _kept(table: Whole) -> list[Kept]:
    return [Kept._make(row) for row in table.tolist()]


def _sighted(of: Worth | Seen) -> tuple[int, int]:
    return max(0, int(of.seen_at)), min(of.sightings, _MOST_SIGHTINGS)


def _short(made_by: bytes) -> int:
    return int.from_bytes(made_by[:4], "little")
