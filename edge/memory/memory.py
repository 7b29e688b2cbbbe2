"""The memory: content and rows behind one door. What `accept` and `index` returned from is durable."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from edge.errors import DiskFullError
from edge.items import Arrival, Embedded, Forgotten, Item, Meta, Modality, Selection, Tally, Verdict
from edge.memory.cache.activations import Activations
from edge.memory.cache.demand import Demand
from edge.memory.cache.likeliest import likeliest_unfinished
from edge.memory.disk.attempts import CRASHED, Attempts
from edge.memory.disk.clock import Clock
from edge.memory.disk.content import ContentStore
from edge.memory.disk.eviction import Limits, evict
from edge.memory.disk.folder import check_database_is_there, clear_importing, lock_for_us
from edge.memory.disk.reserve import Reserve
from edge.memory.earlier import Origin, index_folder, items_of, note_folder, origins
from edge.memory.forgetting import Forgetting
from edge.memory.index import Limits as IndexLimits
from edge.memory.index import MemoryIndex, Rows
from edge.memory.merging import Merged, attached, merge
from edge.memory.rows.accepting import accept, come_again
from edge.memory.rows.changes import Changes, Partition, last_sequence
from edge.memory.rows.counts import Counts
from edge.memory.rows.database import connect, model_id, translated
from edge.memory.rows.demand_rows import SOURCES, along, counted, keep
from edge.memory.rows.embedding import embed, there
from edge.memory.rows.item_rows import HAS_ROW, ITEM, item_of
from edge.memory.rows.known import look_up
from edge.memory.rows.readers import Readers
from edge.memory.rows.refining import refine
from edge.memory.rows.rejecting import blame, reject
from edge.memory.rows.selecting import admitted_ids
from edge.memory.rows.tower_rows import TowerRows
from edge.memory.rows.transaction import atomic
from edge.memory.rows.turns import IS_KEPT_BACK, WAITS, ask, line_up, next_rows

T = TypeVar("T")
_SUSPECTS = "SELECT item FROM waiting WHERE blame > 0"
_KEPT = "SELECT digest FROM items WHERE rejected IS NULL AND NOT evicted"


class Memory:
    """One state folder, for one bundle, used by one process. A context manager: closes the database and the lock.

    One thread of its own writes; any thread may call any method, each reads through a connection of its own.

    version:  number of the last change that a search can see, so that a reader knows when its index is stale
    tally:    what it holds; replaced after each commit
    suspects: waiting items that the process was working on when it ended last, by id; each should be worked on alone
    accused:  items that were rejected on opening, because the process ended too often while it worked on them
    origins:  other bundles by which items were embedded when it was opened, the newest first
    demand:   which sources are asked for: whoever answers tells it
    """

    version: int
    tally: Tally
    suspects: frozenset[int]
    accused: tuple[Item, ...]
    origins: tuple[Origin, ...]

    def __init__(
        self, folder: Path, fingerprint: str, reserve_bytes: int = 0, bundle: Path | None = None, *, notes: bool = True
    ) -> None:
        """Open or create for the bundle of this fingerprint, which lies in `bundle` and takes `notes` or not.

        `reserve_bytes` of the disk are held for when it is full, see reserve.py.
        Raises StoreError (in use, foreign, newer) or DiskFullError; leaves nothing open then.
        """
        self.folder, self._fingerprint, self._takes_notes = folder, fingerprint, notes
        with ExitStack() as undo, translated(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = undo.enter_context((folder / "lock").open("w"))
            lock_for_us(folder, lock.fileno())
            clear_importing(folder)
            self._reserve = Reserve(folder, reserve_bytes)
            self._content = ContentStore(folder / "content")
            check_database_is_there(folder, self._content)
            self._rows = connect(folder / "memory.db")
            undo.callback(self._rows.close)
            self.demand = Demand(counted(self._rows), lambda last: self._select(SOURCES, last))
            undo.callback(keep, self._rows, self.demand)
            self._attempts = Attempts(folder)
            undo.callback(self._attempts.close)
            self._forgetting = Forgetting(folder, self._rows, self._content, self.demand, self._follow_blame)
            self._forgetting.finish()
            self._model, self.version = model_id(self._rows, fingerprint), last_sequence(self._rows)
            self._clock = Clock()
            with atomic(self._rows):
                self._clock.follow(self._rows)
                note_folder(self._rows, self._model, bundle)
                line_up(self._rows, self._model, self.version + 1, takes_notes=notes)
                self.accused = blame(self._rows, self._model, self._attempts.left, self.version + 1)
            self._attempts.begin()
            self._count_again()
            self._content.sweep({digest for (digest,) in self._rows.execute(_KEPT)})
            with contextlib.suppress(OSError):  # no room for it: nothing is accepted before there is
                self._reserve.restore()
            self.origins = origins(self._rows, besides=self._model)
            self._reader = undo.enter_context(Readers(folder / "memory.db"))
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
        with translated(self.folder):
            return self._writer.submit(self._accept, batch).result()

    def index(self, batch: Sequence[Embedded]) -> frozenset[int]:
        """Make the embeddings of waiting items durable, in one commit. Raises DiskFullError or StoreError.

        Returns of which items: the others were forgotten meanwhile.
        """
        return self._write(lambda: self._index(batch))

    def forget(
        self, selection: Selection, *, force: bool = False, is_stopping: Callable[[], bool] = lambda: False
    ) -> Forgotten:
        """See `Forgetting.forget`: on return they are gone from the disk."""
        with translated(self.folder):
            return self._forgetting.forget(
                selection, self._write, self._count_again, force=force, is_stopping=is_stopping
            )

    def pin(self, selection: Selection, *, is_pinned: bool) -> int:
        """Pin what is meant, or let it go; returns how many items it is. Raises DiskFullError or StoreError."""
        return self._write(lambda: self._forgetting.pin(selection, is_pinned=is_pinned))

    def merge(self, unpacked: Path) -> Merged:
        """Add what an import unpacked, in one commit. Raises ArchiveError, DiskFullError or StoreError."""
        return self._write(lambda: self._merge(unpacked))

    def refine(self, batch: Sequence[Embedded]) -> None:
        """Finer embeddings take the place of what their items have, all or nothing, in one commit.

        What is not embedded any more, or as fine already, stays as it is. Raises DiskFullError or StoreError.
        """
        self._write(lambda: self._refine(batch))

    def reject(self, item: Item, reason: str, *, is_lost: bool = False) -> bool:
        """Note for good that a waiting item cannot be used, and delete its content, which nobody will read any more.

        is_lost: not its bytes are to blame, only that they are gone: the same may come again.
        False when it waits no more, forgotten or finished by a question, or stays with the bundle that has embedded it.
        Raises DiskFullError or StoreError.
        """
        return self._write(lambda: self._reject(item, reason, is_lost=is_lost))

    def sighted(self, digests: Iterable[bytes]) -> None:
        """The same bytes as known items' came again, in one commit. Raises DiskFullError or StoreError."""
        self._write(lambda: self._sighted(list(digests)))

    def describe(self, digest: bytes, meta: Meta) -> None:
        """A known item came again, and more is said of it, see meta_rows.py. Raises DiskFullError or StoreError."""
        self._write(lambda: self._sighted([digest], meta))

    def evict(self, limits: Limits) -> int:
        """Delete raw content beyond the limits, of at most AT_ONCE items; returns of how many.

        Raises DiskFullError or StoreError.
        """
        return self._write(lambda: self._evict(limits))

    def accuse(self, item: Item) -> bool:
        """A waiting item took more memory than there is, as bad as a crash; whether it is rejected for that now.

        Raises DiskFullError or StoreError.
        """
        return self._write(lambda: self._accuse(item))

    def attempt(self, items: Iterable[int]) -> None:
        """These waiting items are worked on from now on, and no others: known should the process end over one."""
        self._attempts.note(items)

    def waiting(self, count: int) -> list[Item]:
        """The `count` items whose turn is next to be embedded, see turns.py."""
        with translated(self.folder):
            return [item_of(row) for row in next_rows(self._reader(), ITEM, count)]

    def is_again(self, item: int) -> bool:
        """Whether an item that waits can be found already, as another bundle has embedded it."""
        return self._counts.is_again(item)

    def asked(self, times: Mapping[int, int]) -> None:
        """These items were answers so many times, for whoever embeds them anew. Raises DiskFullError or StoreError."""
        self._write(lambda: ask(self._rows, times))

    def partitions(self, modality: str = "image") -> tuple[Partition, ...]:
        """All embeddings of this bundle by exit, shallow to deep; an item at several exits counts at the deepest."""
        return self.feed(modality).changes(0).added

    def changes(self, since: int) -> Changes:
        """Of pictures, what a search can see and could not after change number `since`; 0 tells all there is."""
        return self.feed().changes(since)

    def feed(self, modality: str = "image", origin: Origin | None = None) -> TowerRows:
        """What a search can see of what this bundle embedded, or that of `origin`."""
        model = self._model if origin is None else origin.number
        return TowerRows(model, modality, self._reader, lambda: self.version, self.folder)

    def item(self, number: int) -> Item:
        """The item with this id. Raises KeyError."""
        found = self._select(f"{ITEM} WHERE id = ?", number)
        if not found:
            raise KeyError(number)
        return item_of(found[0])

    def find(self, digest: bytes) -> Item | None:
        """The item with these bytes, unless it was rejected."""
        found = self._select(f"{ITEM} WHERE digest = ? AND rejected IS NULL", digest)
        return item_of(found[0]) if found else None

    def admitted(self, narrowing: Selection) -> Rows:
        """(A,) ids of the items that it admits, rising; some of them may have no embedding so far."""
        with translated(self.folder):
            return np.array(admitted_ids(self._reader(), narrowing), dtype=np.int64)

    def unfinished(self, depth: int) -> Rows:
        """(N,) ids of items that can be found, but not at `depth` or deeper, most likely asked for first."""
        with translated(self.folder):
            return likeliest_unfinished(self._reader(), self._model, depth, self._clock.now(), self.demand.factors)

    def known(self, digest: bytes) -> Verdict | None:
        """What the same bytes would be answered with; None when they would be accepted."""
        with translated(self.folder):
            return look_up(self._reader(), self._content, self._model, digest)[1]

    def content(self, item: Item) -> bytes | None:
        """The item's raw content, or None when it is not kept, or its file is gone."""
        with translated(self.folder):
            return self._content.get(item.digest)

    def is_kept_back(self, item: int) -> bool:
        """Whether this bundle has failed on its content, so that it stays with the one that has embedded it."""
        return bool(self._select(IS_KEPT_BACK, item, self._model))

    def open_activations(self, max_bytes: int) -> Activations:
        """The cache of half-finished items in this folder, under `max_bytes`. Raises StoreError."""
        with translated(self.folder):
            return self._forgetting.open_activations(
                max_bytes, self._clock.now, lambda item: bool(self._select(HAS_ROW, item))
            )

    def open_index(self, tower: str, scales: Mapping[int, float], forest_from: int) -> MemoryIndex:
        """The index over what left the tower of a modality, in files of this folder; closed together with the memory.

        scales:      by depth, what a cosine is worth beside the offsets there
        forest_from: items from which it is approximate
        Raises StoreError.
        """
        return self._open_index(self.feed(tower), self.folder / "index", self._fingerprint, tower, scales, forest_from)

    def open_earlier_index(
        self, origin: Origin, tower: str, scales: Mapping[int, float], forest_from: int
    ) -> MemoryIndex:
        """The same over what another bundle embedded."""
        folder, mark = index_folder(self.folder / "index", origin), origin.fingerprint
        return self._open_index(self.feed(tower, origin), folder, mark, tower, scales, forest_from)

    def sweep_indexes(self) -> None:
        """Delete what no open index reads, as far as the disk lets us: once all indexes are open."""
        self._forgetting.sweep(lambda change: self._writer.submit(change).result())

    def left(self, origin: Origin, modality: Modality | None = None) -> Rows:
        """(N,) ids of the items that are still of another bundle, rising; of one modality, if given."""
        with translated(self.folder):
            return np.array(items_of(self._reader(), origin.number, modality), dtype=np.int64)

    def _open_index(
        self, feed: TowerRows, folder: Path, mark: str, tower: str, scales: Mapping[int, float], forest_from: int
    ) -> MemoryIndex:
        limits = IndexLimits(forest_from=forest_from)
        with self._forgetting.running, translated(self.folder):
            index = MemoryIndex(folder, tower, feed, fingerprint=mark, scales=scales, limits=limits)
            self._forgetting.indexes.append(index)
        return self._closing.enter_context(index)

    def _write(self, change: Callable[[], T]) -> T:
        """Run in the thread that writes; on a full disk once more, in the room that was held for this."""
        try:
            with translated(self.folder):
                return self._writer.submit(change).result()
        except DiskFullError:
            if not self._reserve.give_up():
                raise
        with translated(self.folder):
            return self._writer.submit(change).result()

    def _select(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with translated(self.folder):
            return self._reader().execute(query, values).fetchall()

    def _accept(self, batch: Sequence[Arrival]) -> list[Verdict]:
        self._reserve.restore()
        self._forgetting.hurry(one.digest for one in batch)
        accepted = accept(self._rows, self._content, self._model, batch, self._clock, self.version + 1)
        self._counts.accepted(accepted.waiting)
        if accepted.renewed:
            self._count_again()
        self.tally = self._counts.tally()
        self._forgetting.revalue(accepted.seen)
        return accepted.verdicts

    def _sighted(self, digests: Sequence[bytes], meta: Meta = ()) -> None:
        with along(self._rows, self.demand):
            seen = come_again(self._rows, digests, meta, self._clock)
        self._forgetting.revalue(seen)

    def _count_again(self) -> None:
        self._counts = Counts(self._rows, self._model)
        self.tally = self._counts.tally()
        self._follow_blame()

    def _index(self, arrived: Sequence[Embedded]) -> frozenset[int]:
        batch = there(self._rows, arrived)
        with along(self._rows, self.demand):
            written = embed(self._rows, self._model, batch, self.version + 1)
        if not self._counts.indexed(written):
            self._counts = Counts(self._rows, self._model)
        self.tally = self._counts.tally()
        self.version = last_sequence(self._rows)
        return frozenset(one.item for one in batch)

    def _merge(self, unpacked: Path) -> Merged:
        with attached(self._rows, unpacked / "memory.db"), atomic(self._rows):
            merged = merge(self._rows)
            self._content.adopt(unpacked / "content")  # what has no rows in the end is swept at the next start
            line_up(self._rows, self._model, self.version + 1, takes_notes=self._takes_notes)
        self._count_again()
        return merged

    def _refine(self, batch: Sequence[Embedded]) -> None:
        with along(self._rows, self.demand):
            refined = refine(self._rows, self._model, batch, self.version + 1)
        self._counts.refined(refined.moves)
        if not self._counts.indexed(refined.switched):  # one of them did not wait: it has no content any more
            self._counts = Counts(self._rows, self._model)
        self.tally = self._counts.tally()
        self.version = last_sequence(self._rows)

    def _reject(self, item: Item, reason: str, *, is_lost: bool) -> bool:
        if not self._rows.execute(WAITS, (item.id,)).fetchone():
            return False
        with atomic(self._rows):
            is_rejected = reject(self._rows, self._model, item.id, reason, self.version + 1, is_lost=is_lost)
        if is_rejected:
            self._content.remove([item.digest])  # what stays is swept at the next start
            self._counts.rejected(item.id, item.bytes)
        self._counts.kept_back(item)
        self.tally = self._counts.tally()
        self.version = last_sequence(self._rows)
        return is_rejected

    def _evict(self, limits: Limits) -> int:
        with atomic(self._rows):
            now = self._clock.follow(self._rows)
            gone = evict(self._rows, limits, self._counts.settled_bytes(), now if self._clock.is_settled else None)
        self._content.remove(digest for digest, _ in gone)  # what stays is swept at the next start
        self._counts.evicted(sum(size for _, size in gone))
        self.tally = self._counts.tally()
        return len(gone)

    def _accuse(self, item: Item) -> bool:
        with atomic(self._rows):
            accused = blame(self._rows, self._model, {item.id: CRASHED}, self.version + 1)
        self._follow_blame()
        if accused:
            self._content.remove([item.digest])
            self._counts.rejected(item.id, item.bytes)
        elif item.id not in self.suspects:  # it waits no more: it stays with another bundle
            self._counts.kept_back(item)
        self.tally = self._counts.tally()
        return bool(accused)

    def _follow_blame(self) -> None:
        self.version = last_sequence(self._rows)
        self.suspects = frozenset(item for (item,) in self._rows.execute(_SUSPECTS))
