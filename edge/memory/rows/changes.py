"""What a search can see, by exit, and how it changed since an index last looked.

Every commit that changes it has the next number of one sequence, which goes on after a restart; an index that keeps its
number on disk reads only what came after it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from edge.items import Floats
from edge.memory.index import Rows

# By model, which is one step down the index each: a maximum over all rows would read all of them.
_LAST = """
SELECT max((SELECT coalesce(max(sequence), 0) FROM embeddings WHERE model = id),
           (SELECT coalesce(max(sequence), 0) FROM removals WHERE model = id), pruned) FROM models
"""
# Of an item at several exits the deepest counts, whichever of them was written last. The modality is looked up by row:
# `IN` would first gather all items of it, also where one has changed.
_ADDED = """
SELECT item, max(depth), vector, offset FROM embeddings WHERE model = :model
AND item IN (SELECT item FROM embeddings WHERE model = :model AND sequence > :since)
AND (SELECT modality FROM items WHERE id = item) = :modality GROUP BY item
"""
_ALL = """
SELECT item, max(depth), vector, offset FROM embeddings
WHERE model = :model AND (SELECT modality FROM items WHERE id = item) = :modality GROUP BY item
"""
# In pieces, each behind the last item of the one before: no reader holds back the log while an index is made. The plus
# keeps SQLite from the index by sequence, in which it would look at all rows for every piece.
_OF_EXIT = """
SELECT item, max(depth) AS deepest, vector, offset FROM embeddings WHERE +model = ? AND item > ?
AND (SELECT modality FROM items WHERE id = item) = ? GROUP BY item HAVING deepest = ? ORDER BY item LIMIT ?
"""
_AT_A_TIME = 2_000
_REMOVED = "SELECT DISTINCT item FROM removals WHERE model = :model AND sequence > :since ORDER BY item"


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Items that left at one exit: (N,) ids, (N, D) float32 embeddings, (N,) float32 offsets of their scores there."""

    depth: int
    ids: Rows
    embeddings: Floats
    offsets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What changed after a number of the sequence. `removed` goes first: an item may be removed and added again.

    Of one modality, but for `removed`: of what is gone nobody knows which it was.

    sequence: the number to ask with the next time
    added:    by exit, shallow to deep; each replaces whatever there was of its item, at any exit
    removed:  (M,) ids of items that were there at some time; of each nothing is left but what `added` says
    """

    sequence: int
    added: tuple[Partition, ...]
    removed: Rows


def read_changes(rows: sqlite3.Connection, model: int, since: int, modality: str = "image") -> Changes:
    """Those that are committed; of what was removed what is still listed, see removals.py.

    `rows` must be in a transaction: the parts must be of one moment.
    """
    given = {"model": model, "since": since}
    removed = [item for (item,) in rows.execute(_REMOVED, given)]
    added = rows.execute(_ADDED if since else _ALL, {**given, "modality": modality})
    return Changes(last_sequence(rows), _partitions(added), np.array(removed, dtype=np.int64))


def read_exit(rows: sqlite3.Connection, model: int, depth: int, modality: str = "image") -> Iterator[Partition]:
    """All that a search can see at one exit, ids rising, some thousand at a time."""
    last = 0
    while found := rows.execute(_OF_EXIT, (model, last, modality, depth, _AT_A_TIME)).fetchall():
        last = found[-1][0]
        yield from _partitions(found)


def last_sequence(rows: sqlite3.Connection) -> int:
    """The number of the last commit that a search can see, with whatever bundle; 0 where there was none."""
    return max((last for (last,) in rows.execute(_LAST)), default=0)


def _partitions(found: Iterable[tuple[int, int, bytes, float]]) -> tuple[Partition, ...]:
    by_depth: dict[int, list[tuple[int, bytes, float]]] = {}
    for item, depth, vector, offset in found:
        by_depth.setdefault(depth, []).append((item, vector, offset))
    return tuple(_partition(depth, entries) for depth, entries in sorted(by_depth.items()))


def _partition(depth: int, entries: list[tuple[int, bytes, float]]) -> Partition:
    ids = np.array([item for item, _, _ in entries], dtype=np.int64)
    vectors = np.frombuffer(b"".join(vector for _, vector, _ in entries), dtype="<f2")
    offsets = np.array([offset for _, _, offset in entries], dtype=np.float32)
    return Partition(depth, ids, vectors.reshape(len(ids), -1).astype(np.float32), offsets)
