"""The memory: content and rows behind one door. What `keep` returned from is durable."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge.errors import StoreError
from edge.items import Encoded, Floats, Item
from edge.memory.content import ContentStore
from edge.memory.database import atomic, connect, translated
from edge.memory.index import Rows


@dataclass(frozen=True, slots=True)
class Partition:
    """The items that left at one exit: (N,) item ids and (N, D) float32 embeddings."""

    depth: int
    ids: Rows
    embeddings: Floats


class Memory:
    """One state folder, for one bundle, used by one process. A context manager: closes the database and the lock.

    version: counts the changes of this process, so that a reader knows when its index is stale
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Open or create. Raises StoreError (in use, foreign, newer) or DiskFullError; leaves nothing open then."""
        self.version = 0
        self._folder = folder
        self._closing = ExitStack()
        with ExitStack() as undo, translated(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = undo.enter_context((folder / "lock").open("w"))
            _lock(folder, lock.fileno())
            self._content = ContentStore(folder / "content")
            _check_database_is_there(folder, self._content)
            self._rows = connect(folder / "memory.db")
            undo.callback(self._rows.close)
            self._content.sweep({digest for (digest,) in self._rows.execute("SELECT digest FROM items")})
            self._model = _model_id(self._rows, fingerprint)
            self._closing = undo.pop_all()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def knows(self, digest: bytes) -> bool:
        """Whether this content was remembered with this bundle, and is still there."""
        query = "SELECT 1 FROM items JOIN embeddings ON item = items.id WHERE digest = ? AND model = ?"
        return bool(self._select(query, digest, self._model)) and self._content.holds(digest)

    def keep(self, batch: Sequence[Encoded]) -> None:
        """Make a batch durable, all or nothing: content first, then the rows that speak of it, in one commit.

        Raises DiskFullError or StoreError; then none of the batch is kept.
        """
        written: list[bytes] = []
        with translated(self._folder):
            try:
                for item in batch:
                    written += [item.digest] if self._content.put(item.digest, item.content) else []
                with atomic(self._rows):
                    for item in batch:
                        self._insert(item)
            except Exception:  # not KeyboardInterrupt: it may come after the commit, when the rows need their content
                self._content.remove(written)
                raise
        self.version += 1

    def partitions(self) -> tuple[Partition, ...]:
        """All embeddings of this bundle by exit, shallow to deep; an item at several exits counts at the deepest."""
        query = "SELECT item, max(depth), vector FROM embeddings WHERE model = ? GROUP BY item"
        rows = self._select(query, self._model)
        by_depth: dict[int, list[tuple[int, bytes]]] = {}
        for item, depth, vector in rows:
            by_depth.setdefault(depth, []).append((item, vector))
        return tuple(_partition(depth, entries) for depth, entries in sorted(by_depth.items()))

    def item(self, number: int) -> Item:
        """The item with this id. Raises KeyError."""
        query = "SELECT id, digest, modality, source, bytes, added_at FROM items WHERE id = ?"
        found = self._select(query, number)
        if not found:
            raise KeyError(number)
        return Item(**dict(zip(("id", "digest", "modality", "source", "bytes", "added_at"), found[0], strict=True)))

    def content(self, item: Item) -> bytes | None:
        """The item's raw content, or None when its file is gone."""
        with translated(self._folder):
            return self._content.get(item.digest)

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with translated(self._folder):
            return self._rows.execute(query, values).fetchall()

    def _insert(self, item: Encoded) -> None:
        self._rows.execute(
            "INSERT OR IGNORE INTO items (digest, modality, source, bytes, added_at) VALUES (?, ?, ?, ?, ?)",
            (item.digest, item.modality, item.source, len(item.content), time.time()),
        )
        (number,) = self._rows.execute("SELECT id FROM items WHERE digest = ?", (item.digest,)).fetchone()
        self._rows.execute(
            "INSERT OR REPLACE INTO embeddings (item, model, depth, vector) VALUES (?, ?, ?, ?)",
            (number, self._model, item.depth, item.embedding.astype("<f2").tobytes()),
        )


def _partition(depth: int, entries: list[tuple[int, bytes]]) -> Partition:
    ids = np.array([item for item, _ in entries], dtype=np.int64)
    vectors = np.frombuffer(b"".join(vector for _, vector in entries), dtype="<f2")
    return Partition(depth, ids, vectors.reshape(len(ids), -1).astype(np.float32))


def _lock(folder: Path, handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{folder} is in use by another process: stop it, or choose another state folder") from None


def _check_database_is_there(folder: Path, content: ContentStore) -> None:
    # The sweep deletes content that no row speaks of: with the rows lost, that would be all of it.
    database = folder / "memory.db"
    if content.holds_any() and not (database.exists() and database.stat().st_size):
        raise StoreError(
            f"{folder} has content but no {database.name}: restore it from a backup, or move the folder away"
        )


def _model_id(rows: sqlite3.Connection, fingerprint: str) -> int:
    with atomic(rows):
        rows.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (fingerprint,))
    (number,) = rows.execute("SELECT id FROM models WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return int(number)
