"""A memory that the index can follow, filled by hand: real SQLite, no towers, no content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.items import Embedded, Floats
from edge.memory import Memory
from edge.memory.changes import Changes, Partition
from edge.memory.database import connect_reader
from edge.memory.transaction import atomic

_INSERT = """
INSERT INTO items (digest, modality, source, bytes, added_at) VALUES (?, 'image', '', 0, 0) RETURNING id
"""
_DEEPEST = "SELECT item, max(depth) AS at, vector, offset FROM embeddings WHERE model = ? GROUP BY item"
_GROUP = 5_000  # items a commit
_BLOCK = 1_000


class MemoryFeed:
    """What the index asks of a memory."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.read = 0  # rows that it told of

    @property
    def version(self) -> int:
        return self.memory.version

    def changes(self, since: int) -> Changes:
        found = self.memory.changes(since)
        self.read += sum(len(part.ids) for part in found.added)
        return found

    def counts(self) -> Mapping[int, int]:
        query = f"SELECT at, count(*) FROM ({_DEEPEST}) GROUP BY at ORDER BY at"  # noqa: S608 - no input
        return dict(self.memory._select(query, self.memory._model))

    def rows(self, depth: int) -> Iterator[Partition]:
        reader = connect_reader(self.memory.folder / "memory.db")
        try:
            found = reader.execute(f"{_DEEPEST} HAVING at = ? ORDER BY item", (self.memory._model, depth))
            while block := found.fetchmany(_BLOCK):
                self.read += len(block)
                yield Partition(
                    depth,
                    np.array([row[0] for row in block], np.int64),
                    np.stack([np.frombuffer(row[2], "<f2") for row in block]).astype(np.float32),
                    np.array([row[3] for row in block], np.float32),
                )
        finally:
            reader.close()


def remember(
    memory: Memory,
    embeddings: Floats,
    depth: int = 3,
    offsets: npt.NDArray[np.floating[Any]] | None = None,
    items: Sequence[int] = (),
) -> list[int]:
    """Embeddings of new items, or of the items named, made durable; returns their ids, which rise."""
    ids = list(items) or _insert(memory, len(embeddings))
    added = np.zeros(len(ids)) if offsets is None else offsets
    batch = [
        Embedded(item=item, depth=depth, embedding=one, offset=float(offset))
        for item, one, offset in zip(ids, embeddings, added, strict=True)
    ]
    for start in range(0, len(batch), _GROUP):
        memory.index(batch[start : start + _GROUP])
    return ids


def forget(memory: Memory, items: Sequence[int]) -> None:
    """Items that cannot be found any more."""
    for item in items:
        memory.reject(memory.item(item), "unreadable after all")


def _insert(memory: Memory, count: int) -> list[int]:
    rows = memory._rows
    (first,) = rows.execute("SELECT coalesce(max(id), 0) + 1 FROM items").fetchone()
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(first, first + count)]
    with atomic(rows):
        return [rows.execute(_INSERT, (digest,)).fetchone()[0] for digest in digests]
