"""Forgetting: an item leaves in every form that it has on disk, also when the process ends on the way.

First a commit notes which items it is about. Their rows go next, some at a time, each with its content; then their
activations, and the index files that hold them. At last the database's log is written into its file and emptied, the
file written anew where it still shows what was deleted, and the note goes. What a process left noted is finished when
the memory is opened the next time.

    content, its digest, source and times    file and row
    metadata                                 rows
    embedding: float16, float32, int8        row, index files
    activation: INT4                         file
    questions that its source answered       row, when nothing else is of that source
    copies in SQLite's log and unused parts  see `_settle`, traces.py

A card keeps for a while what a deleted file held, where only its maker can read it: encryption is the answer to that.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from edge.errors import RefusedError, StoreError
from edge.items import Forgotten, Selection
from edge.memory.cache.activations import Activations, erase
from edge.memory.cache.demand import Demand, source_of
from edge.memory.cache.worth import Seen
from edge.memory.disk.content import ContentStore
from edge.memory.earlier import sweep_closed
from edge.memory.index import MemoryIndex
from edge.memory.rows.changes import last_sequence
from edge.memory.rows.database import translated
from edge.memory.rows.demand_rows import drop_empty
from edge.memory.rows.removals import prune
from edge.memory.rows.selecting import ids_of, pin, pinned_ids
from edge.memory.rows.traces import Traces
from edge.memory.rows.transaction import atomic

T = TypeVar("T")
AT_ONCE = 256  # items a commit; more, and what arrives waits for long
_ATTEMPTS = 3  # at emptying the log, each as long as SQLite waits for a reader, 5 s
_NOTE = "INSERT OR IGNORE INTO forgetting SELECT id, digest FROM items WHERE id = ?"
_SOME = "SELECT id, items.digest, modality, source, sightings FROM forgetting JOIN items ON id = item"
_META = "SELECT key, value FROM meta WHERE item = ?"
_VECTORS = "SELECT vector FROM embeddings WHERE item = ?"
_REMOVE = "INSERT OR IGNORE INTO removals SELECT ?, model, item FROM embeddings WHERE item = ?"
_WITHOUT_ROW = "SELECT digest FROM forgetting WHERE digest NOT IN (SELECT digest FROM items)"
_log = logging.getLogger(__name__)


class Write(Protocol):
    """Runs a function in the thread that writes, and returns what it returns."""

    def __call__(self, change: Callable[[], T]) -> T: ...


class Forgetting:
    """Of one memory. Any thread may call `forget`; the rest is for the thread that writes.

    indexes: those that are open; pinned: ids of items that nothing but their name makes go
    running: held while it forgets, prunes, or an index opens, which would miss what goes meanwhile
    """

    def __init__(
        self,
        folder: Path,
        rows: sqlite3.Connection,
        content: ContentStore,
        demand: Demand,
        on_removed: Callable[[], None],
    ) -> None:
        """`on_removed` is called in the thread that writes, after each commit that removed rows."""
        self._demand, self._on_removed = demand, on_removed
        self._caches: list[Activations] = []
        self.indexes: list[MemoryIndex] = []
        self._folder, self._rows, self._content = folder, rows, content
        self._traces = Traces()
        self._are_noted = False
        self.pinned = pinned_ids(rows)
        self.running = threading.Lock()

    def forget(
        self,
        selection: Selection,
        write: Write,
        changed: Callable[[], None],
        *,
        force: bool,
        is_stopping: Callable[[], bool],
    ) -> Forgotten:
        """Forget what is meant, and what is noted from before; on return it is gone for good.

        changed:     called in the thread that writes, when all rows are gone, or those that could be removed
        is_stopping: once true, the rest is left to the next start
        force:       pinned items, too
        Raises RefusedError ("stopping"), StoreError, DiskFullError: what is noted goes later then.
        """
        with self.running:
            found = write(lambda: self._note(selection, force=force))
            try:
                while not is_stopping() and write(self._remove_some):
                    pass
            finally:
                if self._are_noted:
                    write(changed)
            if is_stopping():
                raise RefusedError("stopping", "the daemon is stopping: it forgets the rest when it starts again")
            if ids := write(self._noted):
                for cache in self._caches:
                    cache.remove(ids)
                erase(self._folder / "activations", ids)
                for index in self.indexes:
                    index.purge(np.array(ids, dtype=np.int64))
                sweep_closed(self._folder / "index", self.indexes)
                write(self._settle)
        return found

    def pin(self, selection: Selection, *, is_pinned: bool) -> int:
        """Returns how many items it is."""
        with atomic(self._rows):
            count = pin(self._rows, selection, is_pinned=is_pinned)
        self.pinned = pinned_ids(self._rows)
        return count

    def open_activations(
        self, max_bytes: int, now: Callable[[], float], is_known: Callable[[int], bool]
    ) -> Activations:
        """The memory's cache, which keeps nothing of what is forgotten, and all that is pinned. Raises OSError."""
        folder = self._folder / "activations"
        cache = Activations(
            folder, max_bytes, now, is_known=is_known, pinned=lambda: self.pinned, source=self._demand.factors
        )
        self._caches.append(cache)
        return cache

    def revalue(self, seen: Sequence[Seen]) -> None:
        """Items came again: what is cached of them is worth more."""
        for cache in self._caches:
            cache.revalue(seen)

    def hurry(self, digests: Iterable[bytes]) -> None:
        """These bytes come again: if they are about to be forgotten, that happens now, and they come as new ones."""
        for digest in digests if self._are_noted else ():
            while self._remove_some(f"{_SOME} WHERE forgetting.digest = ?", digest):
                pass

    def sweep(self, write: Write) -> None:
        """Delete index files and removals that no open index reads. What fails is done the next time."""
        with self.running:
            with contextlib.suppress(OSError):
                sweep_closed(self._folder / "index", self.indexes)
            with contextlib.suppress(StoreError), translated(self._folder):
                write(self._prune)

    def finish(self) -> None:
        """What an earlier process left, with cache and index closed. Raises OSError, sqlite3.Error."""
        ids = self._noted()
        if not ids:
            log = self._folder / "memory.db-wal"
            if (
                log.exists() and log.stat().st_size
            ):  # a crash may have come just before the end of a note reached the file
                with contextlib.suppress(sqlite3.OperationalError):  # a full disk must not keep it from starting
                    self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        self._are_noted = True
        _log.warning("going on to forget %d items, where the last process ended over it", len(ids))
        while self._remove_some():
            pass
        erase(self._folder / "activations", ids)
        shutil.rmtree(self._folder / "index", ignore_errors=True)  # it is made anew from the rows
        self._traces.add_unknown()
        try:
            with translated(self._folder):
                self._settle()
        except StoreError as error:  # a full disk, or a reader: the note stays, and the next start goes on
            _log.error("what was forgotten may still be read in the unused parts of the database: %s", error)

    def _note(self, selection: Selection, *, force: bool) -> Forgotten:
        with atomic(self._rows):
            meant = ids_of(self._rows, selection)
            pinned = set(meant) & pinned_ids(self._rows) if not force else set()
            self._rows.executemany(_NOTE, [(item,) for item in meant if item not in pinned])
        self._are_noted = self._are_noted or len(meant) > len(pinned)
        return Forgotten(len(meant) - len(pinned), len(pinned))

    def _noted(self) -> list[int]:
        return [item for (item,) in self._rows.execute("SELECT item FROM forgetting ORDER BY item")]

    def _remove_some(self, query: str = _SOME, *values: object) -> bool:
        """Remove rows and content of some that are noted; False when there are none."""
        some = self._rows.execute(f"{query} LIMIT {AT_ONCE}", values).fetchall()
        if not some:
            return False
        for item, digest, modality, source, sightings in some:
            meta = self._rows.execute(_META, (item,)).fetchall()
            self._traces.add_meta(item, meta, is_changed=sightings > 1)
            self._traces.add(digest, modality, source, [vector for (vector,) in self._rows.execute(_VECTORS, (item,))])
        with atomic(self._rows):
            sequence = last_sequence(self._rows) + 1
            self._rows.executemany(_REMOVE, [(sequence, item) for item, *_ in some])
            # What waits, metadata and embeddings go with it.
            self._rows.executemany("DELETE FROM items WHERE id = ?", [(item,) for item, *_ in some])
            self._rows.execute("UPDATE forgotten SET last = max(last, ?)", (max(item for item, *_ in some),))
            empty = drop_empty(self._rows, {source_of(source) for _, _, _, source, _ in some})
        self._traces.add_texts(empty)
        self._demand.forget(empty)
        self.pinned = pinned_ids(self._rows)
        self._on_removed()
        self._content.erase(digest for _, digest, *_ in some)
        return True

    def _settle(self) -> None:
        """Nothing is left but what SQLite keeps of it, and the note: they go."""
        self._content.erase(digest for (digest,) in self._rows.execute(_WITHOUT_ROW).fetchall())
        self._empty_log()
        if self._traces.are_in(self._folder / "memory.db"):
            self._rows.execute("VACUUM")
            self._empty_log()
        with atomic(self._rows):
            self._rows.execute("DELETE FROM forgetting")
            prune(self._rows, self.indexes)
        self._empty_log()
        self._traces, self._are_noted = Traces(), False

    def _prune(self) -> None:
        with atomic(self._rows):
            prune(self._rows, self.indexes)

    def _empty_log(self) -> None:
        for _ in range(_ATTEMPTS):
            (is_busy, *_) = self._rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return
        raise StoreError(
            f"something reads {self._folder / 'memory.db'} and holds on to its old state: what is to be forgotten is"
            " gone for good once that has ended, and you forget it again"
        )
