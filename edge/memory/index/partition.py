"""The items that left at one exit: a sealed block, a tail of what came since, and which rows no longer count.

LSM style: files are written once and never changed. When the tail is long or a quarter of the rows is dead, both are
merged into new files elsewhere, and searching goes on over the old ones until these are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Block, Flags, Rows
from edge.memory.index.exact import Found, nearest
from edge.memory.index.forest import Forest, is_worth_it
from edge.memory.index.sealed import Sealed
from edge.memory.index.tail import Tail

_DEAD_SHARE = 0.25
_FEW = 2_048  # admitted rows that are scored one by one: 5 ms; some 4,000 take as long as the int8 scan of 100,000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When files are made anew.

    forest_from:   rows from which there is a forest
    shortest_tail: rows below which a tail is not sealed: each time, all rows are written
    longest_tail:  rows at which it is in any case: they take memory, 1.2 kB each at 384 dimensions, and milliseconds

    In between it is an eighth of the sealed rows: then each row is written some nine times on the way to a million.
    Files are made anew, too, when a restart would have to read as many changes again as the longest tail has rows.
    """

    forest_from: int
    shortest_tail: int = 4_096
    longest_tail: int = 32_768

    def tail(self, sealed: int) -> int:
        """Rows at which a tail beside `sealed` rows is long."""
        return min(max(sealed // 8, self.shortest_tail), self.longest_tail)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a partition held when it was asked: to be sealed are the rows that came, and the old less those gone."""

    came: Block
    gone: Rows
    tail_rows: int
    passed: int


class Partition:
    """Searchable rows of one exit. One thread at a time.

    passed: changes, of all exits, that a restart would read again for this one's files
    """

    def __init__(self, scale: float, dimension: int, sealed: Sealed | None = None) -> None:
        """Scores are `scale` * cosine + offset."""
        self._scale = scale
        self.passed = 0
        self._since: list[int] | None = None  # ids that died since the last moment
        self._open(dimension, sealed)
        self._tail = Tail(self._block.centre)

    def __len__(self) -> int:
        """Rows that count."""
        return len(self._block) - self._dead_rows + self._tail.alive

    @property
    def folder(self) -> Path | None:
        """Where the sealed rows are."""
        return self._sealed.folder if self._sealed else None

    @property
    def sequence(self) -> int | None:
        """The number of the last change that its files hold; None where they hold no row, or there are none."""
        return self._sealed.seal.sequence if self._sealed and len(self._block) else None

    def holds(self, ids: Rows) -> bool:
        """Whether its files hold a row of one of these, alive or not."""
        return bool(np.isin(self._block.ids, ids).any())

    def is_due(self, limits: Limits) -> bool:
        """Whether new files should be made."""
        sealed, tail = len(self._block), len(self._tail)
        is_quarter_dead = sealed > 0 and sealed + tail - len(self) >= _DEAD_SHARE * (sealed + tail)
        lacks_forest = len(self) >= limits.forest_from and self._forest is None
        lags = sealed > 0 and self.passed >= limits.longest_tail
        return tail >= limits.tail(sealed) or is_quarter_dead or lacks_forest or lags

    def add(self, ids: Rows, embeddings: Floats, offsets: Floats) -> None:
        """(N,) distinct ids, (N, D) and (N,): each replaces the row of its id."""
        rows = Block.of(ids, embeddings, offsets, self._block.centre)
        new = ~self._are_sealed(rows)
        rows = rows.take(np.flatnonzero(new))
        self.remove(rows.ids)
        self._tail.append(rows)

    def remove(self, ids: Rows) -> None:
        """Rows that are not there are none to remove."""
        places, are_alive = self._find(ids)
        self._dead[places[are_alive]] = True
        self._dead_rows += int(are_alive.sum())
        gone = [*ids[are_alive].tolist(), *self._tail.remove(ids)]
        if self._since is not None:
            self._since += gone

    def search(self, query: Floats, count: int, admitted: Rows | None = None, *, by_cosine: bool = False) -> Found:
        """(D,) -> the `count` best, best first, equal ones by id; exact where there is no forest.

        admitted:  (A,) rising ids among which they are looked for, exactly; None: all
        by_cosine: the score is the cosine alone; always exact
        """
        tail, dead, block, scale = self._tail.block, self._tail.dead, self._block, self._scale
        if by_cosine:
            tail, block, scale = tail.by_cosine, block.by_cosine, 1.0
        if admitted is not None:
            dead = dead | ~np.isin(tail.ids, admitted)
        late = nearest(tail, dead, query, scale, count)
        if admitted is not None:
            rows = self._among(block, scale, query, count, admitted)
        elif by_cosine:
            rows = nearest(block, self._dead, query, scale, count)
        else:
            rows = self._candidates(query, count)
        return Found.of(block, rows, query, scale).beside(Found.of(tail, late, query, scale)).best(count)

    def held(self, admitted: Rows) -> int:
        """Rows that count and have one of these ids."""
        _, are_alive = self._find(admitted)
        tail = self._tail
        return int(are_alive.sum()) + int(np.isin(tail.block.ids[~tail.dead], admitted).sum())

    def embeddings(self, ids: Rows) -> tuple[Flags, Floats]:
        """(N,) distinct ids -> which of them have a row that counts, and (F, D) float32 embeddings of those."""
        places, are_sealed = self._find(ids)
        rows = np.zeros((len(ids), len(self._block.centre)), dtype=np.float32)
        rows[are_sealed] = self._block.embeddings(places[are_sealed])
        tail_places = self._tail.places(ids)
        are_late = tail_places >= 0
        rows[are_late] = self._tail.block.embeddings(tail_places[are_late])
        are_there = are_sealed | are_late
        return are_there, rows[are_there]

    def moment(self) -> Moment:
        """What it holds now, to be sealed; what changes from now on is noted until `adopt` or `forget_moment`."""
        self._since = []
        return Moment(self._tail.since(0), self._block.ids[self._dead], len(self._tail), self.passed)

    def adopt(self, sealed: Sealed, moment: Moment) -> None:
        """Go over to files that hold what it held at `moment`."""
        died = np.unique(np.array(self._since, dtype=np.int64))  # one that was replaced twice died twice
        later = self._tail.since(moment.tail_rows)
        self.passed -= moment.passed
        self.forget_moment()
        self._open(len(self._block.centre), sealed)
        self._tail = Tail(self._block.centre)
        self.remove(died)
        self.add(later.ids, later.embeddings(np.arange(len(later))), later.offsets)

    def forget_moment(self) -> None:
        """Nothing will be adopted."""
        self._since = None

    def _open(self, dimension: int, sealed: Sealed | None) -> None:
        self._sealed = sealed
        self._block = sealed.block if sealed else Block.empty(dimension)
        self._dead = np.zeros(len(self._block), dtype=bool)
        self._dead_rows = 0
        self._forest = Forest(sealed.folder, dimension) if sealed and sealed.has_forest else None

    def _find(self, ids: Rows) -> tuple[Rows, Flags]:
        """(N,) ids -> their places among the sealed rows, and whether there is such a row that is alive."""
        places = np.searchsorted(self._block.ids, ids)
        inside = places < len(self._block)
        places[~inside] = 0
        if not len(self._block):
            return places, inside
        return places, inside & (self._block.ids[places] == ids) & ~self._dead[places]

    def _are_sealed(self, rows: Block) -> Flags:
        """(N,) whether a row stands there already, bit for bit: after a restart, changes are read again."""
        places, same = self._find(rows.ids)
        at = np.flatnonzero(same)
        if len(at):
            there = self._block.take(places[at])
            same[at] = (there.halves == rows.halves[at]).all(axis=1) & (there.offsets == rows.offsets[at])
        return same

    def _among(self, block: Block, scale: float, query: Floats, count: int, admitted: Rows) -> Rows:
        """Sealed rows that are alive and admitted, the best `count` among them; `block` is theirs."""
        places, are_alive = self._find(admitted)
        rows = places[are_alive]
        if len(rows) <= _FEW:
            return rows
        others = np.ones(len(block), dtype=bool)
        others[rows] = False
        return nearest(block, others, query, scale, count)

    def _candidates(self, query: Floats, count: int) -> Rows:
        """Sealed rows that are alive, the best `count` among them; of a forest's, most of these."""
        if self._forest is not None and is_worth_it(len(self._block), count):
            rows = self._forest.candidates(query, count)
            rows = rows[~self._dead[rows]]
            if len(rows) >= count:
                return rows
        return nearest(self._block, self._dead, query, self._scale, count)
