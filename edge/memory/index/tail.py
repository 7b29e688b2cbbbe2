"""Rows that are in no file so far: what came since the last one was sealed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge.items import Floats
from edge.memory.index.blocks import Block, Flags, Rows

_SMALLEST = 256


class Tail:
    """Rows in the order in which they came, in arrays that double; a row that is gone stays as a dead one."""

    def __init__(self, centre: Floats) -> None:
        """`centre`: (D,), see Block."""
        self._rows = _empty(_SMALLEST, centre)
        self._dead = np.zeros(_SMALLEST, dtype=bool)
        self._used = 0
        self._places: dict[int, int] = {}  # of the rows that are alive, by id

    def __len__(self) -> int:
        """Rows, dead ones among them."""
        return self._used

    @property
    def alive(self) -> int:
        return len(self._places)

    @property
    def block(self) -> Block:
        """All rows, as they are now: what is appended later does not show, and changes nothing."""
        return self._rows.first(self._used)

    @property
    def dead(self) -> Flags:
        """(N,) of the rows of `block`; a view, which follows."""
        return self._dead[: self._used]

    def places(self, ids: Rows) -> Rows:
        """(N,) ids -> row numbers in `block`, -1 where none is alive."""
        return np.array([self._places.get(number, -1) for number in ids.tolist()], dtype=np.int64)

    def append(self, rows: Block) -> None:
        """Add rows whose ids are not alive here, with this tail's centre."""
        end = self._used + len(rows)
        if end > len(self._dead):
            self._grow(max(end, 2 * len(self._dead)))
        for mine, theirs in zip(_columns(self._rows), _columns(rows), strict=True):
            mine[self._used : end] = theirs
        self._places.update(zip(rows.ids.tolist(), range(self._used, end), strict=True))
        self._used = end

    def remove(self, ids: Rows) -> list[int]:
        """Mark rows dead; returns the ids that were alive here."""
        gone = [number for number in ids.tolist() if number in self._places]
        self._dead[[self._places.pop(number) for number in gone]] = True
        return gone

    def since(self, start: int) -> Block:
        """The rows from number `start` on that are alive."""
        return self._rows.take(start + np.flatnonzero(~self._dead[start : self._used]))

    def _grow(self, size: int) -> None:
        grown = _empty(size, self._rows.centre)
        for new, old in zip(_columns(grown), _columns(self._rows), strict=True):
            new[: self._used] = old[: self._used]
        dead = np.zeros(size, dtype=bool)
        dead[: self._used] = self._dead[: self._used]
        self._rows, self._dead = grown, dead


def _columns(rows: Block) -> tuple[npt.NDArray[Any], ...]:
    return rows.ids, rows.halves, rows.codes, rows.steps, rows.offsets


def _empty(size: int, centre: Floats) -> Block:
    wide = (size, len(centre))
    return Block(
        ids=np.empty(size, np.int64),
        halves=np.empty(wide, "<f2"),
        codes=np.empty(wide, np.int8),
        steps=np.empty(size, np.float32),
        offsets=np.empty(size, np.float32),
        centre=centre,
    )
