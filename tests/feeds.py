"""A memory that the index can follow, filled by hand: real SQLite, no towers, no content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.items import Embedded, Floats
from edge.memory import Changes, Memory, Partition
from edge.memory.rows.item_rows import reject
from edge.memory.rows.transaction import atomic

_INSERT = """
INSERT INTO items (digest, modality, source, bytes, added_at) VALUES (?, 'image', '', 0, 0) RETURNING id
"""
_GROUP = 5_000  # items a commit


class CountingFeed:
    """A memory that counts the rows which it tells its index of."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.read = 0

    @property
    def version(self) -> int:
        return self.memory.version

    @property
    def pruned(self) -> int:
        return self.memory.feed().pruned

    def changes(self, since: int) -> Changes:
        found = self.memory.changes(since)
        self.read += sum(len(part.ids) for part in found.added)
        return found

    def counts(self) -> Mapping[int, int]:
        return self.memory.feed().counts()

    def rows(self, depth: int) -> Iterator[Partition]:
        for part in self.memory.feed().rows(depth):
            self.read += len(part.ids)
            yield part


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

    def reject_all() -> None:  # the memory itself rejects only what waits
        with atomic(memory._rows):
            for item in items:
                reject(memory._rows, item, "unreadable after all", memory.version + 1, is_lost=False)
        memory._count_again()

    memory._write(reject_all)


def _insert(memory: Memory, count: int) -> list[int]:
    rows = memory._rows
    (first,) = rows.execute("SELECT coalesce(max(id), 0) + 1 FROM items").fetchone()
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(first, first + count)]
    with atomic(rows):
        return [rows.execute(_INSERT, (digest,)).fetchone()[0] for digest in digests]
