"""The memory: content and rows behind one door. What `accept` and `index` returned from is durable."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edge.errors import StoreError
from edge.items import Arrival, Embedded, Floats, Item, Tally, Verdict
from edge.memory.content import ContentStore
from edge.memory.counts import Counts
from edge.memory.database import atomic, connect, connect_reader, translated
from edge.memory.index import Rows

T = TypeVar("T")
_COLUMNS = ("id", "digest", "modality", "source", "bytes", "added_at", "taken_at")
_ITEM = "SELECT id, digest, modality, source, bytes, added_at, taken_at FROM items"
_INSERT = """
INSERT INTO items (digest, modality, source, bytes, added_at, taken_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id
"""
# What another bundle embedded is embedded anew; what this one did already is not, whatever came in between.
_WAIT = """
INSERT OR IGNORE INTO waiting SELECT id FROM items
WHERE rejected IS NULL AND NOT EXISTS (SELECT 1 FROM embeddings WHERE item = items.id AND model = ?)
"""
_WAIT_NO_MORE = "DELETE FROM waiting WHERE item IN (SELECT item FROM embeddings WHERE model = ?)"


@dataclass(frozen=True, slots=True)
class Partition:
    """The items that left at one exit: (N,) item ids and (N, D) float32 embeddings."""

    depth: int
    ids: Rows
    embeddings: Floats


class Memory:
    """One state folder, for one bundle, used by one process. A context manager: closes the database and the lock.

    One thread of its own writes; any thread may call any method, each reads through a connection of its own.

    version: counts the changes that a search can see, so that a reader knows when its index is stale
    tally:   what it holds; replaced after each commit
    """

    version: int
    tally: Tally

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Open or create. Raises StoreError (in use, foreign, newer) or DiskFullError; leaves nothing open then."""
        self.version = 0
        self.folder = folder
        self._reading = threading.local()
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
            with atomic(self._rows):
                self._rows.execute(_WAIT, (self._model,))
                self._rows.execute(_WAIT_NO_MORE, (self._model,))
            self._counts = Counts(self._rows, self._model)
            self.tally = self._counts.tally()
            self._readers = undo.enter_context(ExitStack())
            self._writer = undo.enter_context(ThreadPoolExecutor(1, "memory-writer"))
            self._closing = undo.pop_all()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def accept(self, batch: Sequence[Arrival]) -> list[Verdict]:
        """Make what arrived durable, all or nothing, in one commit; it waits for its embedding then.

        Raises DiskFullError or StoreError; then none of the batch is kept.
        """
        return self._write(lambda: self._accept(batch))

    def index(self, batch: Sequence[Embedded]) -> None:
        """Make the embeddings of waiting items durable, in one commit. Raises DiskFullError or StoreError."""
        self._write(lambda: self._index(batch))

    def reject(self, item: Item, reason: str) -> None:
        """Note for good that a waiting item's content cannot be used. Raises DiskFullError or StoreError."""
        self._write(lambda: self._reject(item, reason))

    def waiting(self, count: int) -> list[Item]:
        """The `count` items that have waited longest for their embedding."""
        return [_item(row) for row in self._select(f"{_ITEM} JOIN waiting ON item = id ORDER BY id LIMIT ?", count)]

    def partitions(self) -> tuple[Partition, ...]:
        """All embeddings of this bundle by exit, shallow to deep; an item at several exits counts at the deepest."""
        query = "SELECT item, max(depth), vector FROM embeddings WHERE model = ? GROUP BY item"
        by_depth: dict[int, list[tuple[int, bytes]]] = {}
        for item, depth, vector in self._select(query, self._model):
            by_depth.setdefault(depth, []).append((item, vector))
        return tuple(_partition(depth, entries) for depth, entries in sorted(by_depth.items()))

    def item(self, number: int) -> Item:
        """The item with this id. Raises KeyError."""
        found = self._select(f"{_ITEM} WHERE id = ?", number)
        if not found:
            raise KeyError(number)
        return _item(found[0])

    def known(self, digest: bytes) -> Verdict | None:
        """What the same bytes would be answered with; None when they would be accepted."""
        found = self._select("SELECT rejected FROM items WHERE digest = ?", digest)
        return self._verdict(digest, found[0][0]) if found else None

    def content(self, item: Item) -> bytes | None:
        """The item's raw content, or None when its file is gone."""
        with translated(self.folder):
            return self._content.get(item.digest)

    def _write(self, change: Callable[[], T]) -> T:
        """Run in the thread that writes."""
        with translated(self.folder):
            return self._writer.submit(change).result()

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with translated(self.folder):
            return self._reader().execute(query, values).fetchall()

    def _reader(self) -> sqlite3.Connection:
        if not hasattr(self._reading, "rows"):
            self._reading.rows = connect_reader(self.folder / "memory.db")
            self._readers.callback(self._reading.rows.close)
        rows: sqlite3.Connection = self._reading.rows
        return rows

    def _accept(self, batch: Sequence[Arrival]) -> list[Verdict]:
        written: list[bytes] = []
        accepted: list[tuple[int, int]] = []
        verdicts: list[Verdict] = []
        renewed = False
        try:
            with atomic(self._rows):
                for one in batch:
                    found = self._rows.execute(
                        "SELECT id, rejected FROM items WHERE digest = ?", (one.digest,)
                    ).fetchone()
                    verdict = self._verdict(one.digest, found[1]) if found else None
                    verdicts.append(verdict or Verdict("accepted", one.digest))
                    if verdict is None:
                        written += [one.digest] if self._content.put(one.digest, one.content) else []
                        item = self._renew(found[0]) if found else self._insert(one)
                        self._rows.execute("INSERT OR IGNORE INTO waiting (item) VALUES (?)", (item,))
                        accepted.append((item, len(one.content)))
                        renewed = renewed or bool(found)
        except BaseException:
            self._content.remove(written)
            raise
        self._counts.accepted(accepted)
        if renewed:
            self._counts = Counts(self._rows, self._model)
            self.version += 1
        self.tally = self._counts.tally()
        return verdicts

    def _verdict(self, digest: bytes, rejected: str | None) -> Verdict | None:
        """For content that has a row; None when its file is gone, so that it is welcome again."""
        if not self._content.holds(digest):
            return None
        return Verdict("duplicate", digest) if rejected is None else Verdict("rejected", digest, rejected)

    def _insert(self, one: Arrival) -> int:
        values = (one.digest, one.modality, one.source, len(one.content), time.time(), one.taken_at)
        (number,) = self._rows.execute(_INSERT, values).fetchone()
        return int(number)

    def _renew(self, item: int) -> int:
        """An item whose file was lost and came again is embedded anew."""
        self._rows.execute("UPDATE items SET rejected = NULL WHERE id = ?", (item,))
        self._rows.execute("DELETE FROM embeddings WHERE item = ? AND model = ?", (item, self._model))
        return item

    def _index(self, batch: Sequence[Embedded]) -> None:
        rows = [(one.item, self._model, one.depth, one.embedding.astype("<f2").tobytes()) for one in batch]
        with atomic(self._rows):
            self._rows.executemany(
                "INSERT OR REPLACE INTO embeddings (item, model, depth, vector) VALUES (?, ?, ?, ?)", rows
            )
            self._rows.executemany("DELETE FROM waiting WHERE item = ?", [(one.item,) for one in batch])
        if not self._counts.indexed(batch):
            self._counts = Counts(self._rows, self._model)
        self.tally = self._counts.tally()
        self.version += 1

    def _reject(self, item: Item, reason: str) -> None:
        with atomic(self._rows):
            self._rows.execute("UPDATE items SET rejected = ? WHERE id = ?", (reason, item.id))
            self._rows.execute("DELETE FROM waiting WHERE item = ?", (item.id,))
            # Another bundle may have read it before it was damaged: what does not count cannot be found either.
            self._rows.execute("DELETE FROM embeddings WHERE item = ?", (item.id,))
        self._counts.rejected(item.id, item.bytes)
        self.tally = self._counts.tally()


def _item(row: tuple[Any, ...]) -> Item:
    return Item(**dict(zip(_COLUMNS, row, strict=True)))


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
