"""The index over a memory: one partition for each exit that items left at, brought up to date from the memory's feed.

Its files are a cache: all of the folder can be deleted at any time. What is missing, damaged, or of another bundle is
made anew from the rows in SQLite.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from edge.items import Floats
from edge.memory.index.blocks import Flags, Rows
from edge.memory.index.builder import Builder, Job
from edge.memory.index.exact import Found
from edge.memory.index.feed import Changes, ExitRows, Feed
from edge.memory.index.forest import annoy_is_installed
from edge.memory.index.partition import Limits, Moment, Partition
from edge.memory.index.sealed import Sealed
from edge.memory.index.shelf import Shelf, remove

_RETRY_S = 600  # after a build that failed: a full disk stays full for a while
_log = logging.getLogger(__name__)


class MemoryIndex:
    """A context manager: on leaving, no process of it runs. Any thread may call any method.

    Whoever searches sees what the last `refresh` or `follow` saw; files are made anew by `follow` alone.
    """

    def __init__(
        self, folder: Path, tower: str, feed: Feed, *, fingerprint: str, scales: Mapping[int, float], limits: Limits
    ) -> None:
        """Open the files that are good, and read the rest from the feed.

        fingerprint: of the bundle that made the embeddings
        scales:      by depth, what a cosine is worth beside the offsets there: score = scale * cosine + offset
        """
        self.folder, self.fingerprint, self._feed, self._scales = folder, fingerprint, feed, scales
        self._limits = limits if annoy_is_installed() else replace(limits, forest_from=sys.maxsize)
        self._misses_annoy_from = limits.forest_from
        self._shelf = Shelf(folder, tower, fingerprint)
        self._partitions: dict[int, Partition] = {}
        self._building: tuple[Builder, int, Moment] | None = None
        self._not_before = 0.0
        # Taken in this order. The first is held while files are checked: that must not hold up questions.
        self._keeping = threading.Lock()
        self._refreshing = threading.Lock()
        self._using = threading.Lock()  # for milliseconds: while rows are added, or searched
        self._sequence = self._open()

    def __enter__(self) -> MemoryIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._keeping:
            if self._building:
                self._building[0].stop()
                self._building = None

    def __len__(self) -> int:
        """Items that can be found."""
        with self._using:
            return sum(len(partition) for partition in self._partitions.values())

    @property
    def depths(self) -> tuple[int, ...]:
        """The exits at which there are items, shallow to deep."""
        with self._using:
            return tuple(depth for depth, partition in sorted(self._partitions.items()) if len(partition))

    @property
    def settled(self) -> int:
        """The number of the last change that it needs from its feed no more, now or with its files after a restart."""
        with self._using:
            sealed = [one.sequence for one in self._partitions.values() if one.sequence is not None]
        return min([self._sequence, *sealed])

    @property
    def damaged(self) -> int:
        """How often files were found damaged, gone or wrong since it was opened; they were made anew."""
        return self._shelf.damaged

    @property
    def builder_pid(self) -> int | None:
        """Of the process that makes new files, while it runs."""
        building = self._building
        return building[0].pid if building else None

    def search(
        self, depth: int, query: Floats, count: int, admitted: Rows | None = None, *, by_cosine: bool = False
    ) -> Found:
        """(D,) -> the `count` best items at one exit, best first, equal ones by id.

        admitted:  (A,) rising ids among which they are looked for; None: all
        by_cosine: the score is the cosine alone
        """
        with self._using:
            partition = self._partitions.get(depth)
            return partition.search(query, count, admitted, by_cosine=by_cosine) if partition else Found.none()

    def held(self, admitted: Rows) -> int:
        """How many of these ids can be found."""
        with self._using:
            return sum(partition.held(admitted) for partition in self._partitions.values())

    def embeddings(self, depth: int, ids: Rows) -> tuple[Flags, Floats]:
        """(N,) distinct ids -> which of them can be found at one exit, and (F, D) float32 embeddings of those."""
        with self._using:
            partition = self._partitions.get(depth)
            if partition is None:
                return np.zeros(len(ids), dtype=bool), np.zeros((0, 0), dtype=np.float32)
            return partition.embeddings(ids)

    def refresh(self) -> None:
        """Take in what changed. Raises what the feed raises."""
        with self._refreshing:
            if self._feed.version != self._sequence:
                self._sequence = self._apply(self._feed.changes(self._sequence))
            if len(self) >= self._misses_annoy_from and not annoy_is_installed():
                self._misses_annoy_from = sys.maxsize
                _log.warning(
                    "annoy is not installed: searching %d items exactly, which is slower but finds the same;"
                    " `pip install reminisce-edge[annoy]`",
                    len(self),
                )

    def follow(self) -> None:
        """Refresh, and see to the files: to be called every second or so. Raises what the feed raises."""
        self.refresh()
        with self._keeping:
            if self._building and not self._finish(*self._building):
                return
            if time.monotonic() < self._not_before:
                return
            with self._using:
                due = [depth for depth, partition in self._partitions.items() if partition.is_due(self._limits)]
            if due:
                self._start(due[0])

    def purge(self, gone: Rows) -> None:
        """Make anew, without a forest for now, what files hold of items that the feed has removed: gone for good.

        Raises what the feed raises, OSError.
        """
        with self._keeping:
            if self._building:  # what it makes may hold them
                builder, depth, _ = self._building
                self._building = None
                builder.stop()
                remove(builder.job.target)
                with self._using:
                    self._partitions[depth].forget_moment()
            self.refresh()
            with self._using:
                holding = [depth for depth, partition in self._partitions.items() if partition.holds(gone)]
            for depth in holding:
                with self._refreshing:
                    self._read_memory(depth, self._sequence)
            self._shelf.sync()

    def owns(self, path: Path) -> bool:
        """Whether this is its folder, or one of its own in it, being made or finished."""
        return path == self.folder or self._shelf.owns(path)

    def _open(self) -> int:
        """Returns the number of the last change that was taken in."""
        now = self._feed.version
        found = self._shelf.open(self._feed.pruned, now)
        for depth, sealed in found.items():
            self._partitions[depth] = self._partition(depth, sealed.seal.dimension, sealed)
        for depth in self._feed.counts().keys() - found.keys():
            self._read_memory(depth, now)
        taken_in = self._apply(self._feed.changes(min((one.seal.sequence for one in found.values()), default=now)))
        for depth, count in self._feed.counts().items():
            if self._feed.version == taken_in and len(self._partitions[depth]) != count:
                self._shelf.tell(depth, f"{count} items should be found, {len(self._partitions[depth])} are")
                self._read_memory(depth, taken_in)
        return taken_in

    def _read_memory(self, depth: int, sequence: int) -> None:
        """Replace what there is of an exit by its rows in the memory: in files, or where they are few, without."""
        sealed = None
        if self._feed.counts().get(depth, 0) >= self._limits.shortest_tail:
            seal = self._shelf.seal(sequence, self._scales[depth])
            sealed = self._shelf.write(depth, seal, self._feed.rows(depth))
        read = self._partition(depth, sealed.seal.dimension, sealed) if sealed else None
        for rows in () if sealed else self._feed.rows(depth):
            read = read or self._partition(depth, rows.embeddings.shape[1])
            read.add(rows.ids, rows.embeddings, rows.offsets)
        with self._using:
            old = self._partitions.pop(depth, None)
            if read is not None:
                self._partitions[depth] = read
        if old is not None and old.folder:  # not "if old": it may hold no rows that count
            remove(old.folder)

    def _apply(self, changes: Changes) -> int:
        """Returns the number of the last of them."""
        passed = len(changes.removed) + sum(len(rows.ids) for rows in changes.added)
        with self._using:
            for partition in self._partitions.values():
                partition.remove(changes.removed)
                partition.passed += passed
            for rows in changes.added:
                for depth, partition in self._partitions.items():
                    if depth != rows.depth:
                        partition.remove(rows.ids)
                self._add(rows)
        return changes.sequence

    def _add(self, rows: ExitRows) -> None:
        if rows.depth not in self._partitions:
            self._partitions[rows.depth] = self._partition(rows.depth, rows.embeddings.shape[1])
        self._partitions[rows.depth].add(rows.ids, rows.embeddings, rows.offsets)

    def _partition(self, depth: int, dimension: int, sealed: Sealed | None = None) -> Partition:
        return Partition(self._scales[depth], dimension, sealed)

    def _start(self, depth: int) -> None:
        partition = self._partitions[depth]
        if partition.folder and not partition.folder.is_dir():
            self._rebuild(depth, f"{partition.folder.name} is gone")
            return
        with self._refreshing, self._using:
            moment, sequence = partition.moment(), self._sequence
        job = Job(
            came=moment.came,
            old=partition.folder,
            gone=moment.gone,
            seal=self._shelf.seal(sequence, self._scales[depth]),
            target=self._shelf.target(depth),
            with_forest=len(partition) >= self._limits.forest_from,
        )
        try:
            self._building = Builder(job), depth, moment
        except OSError as error:
            self._failed(depth, partition, str(error))

    def _rebuild(self, depth: int, problem: str) -> None:
        self._shelf.tell(depth, problem)
        with self._refreshing:  # what is taken in meanwhile would be lost with the old rows
            self._read_memory(depth, self._sequence)

    def _finish(self, builder: Builder, depth: int, moment: Moment) -> bool:
        """Go over to the new files; False while they are being made."""
        finished = builder.finished()
        if finished is None:
            return False
        self._building = None
        partition, target = self._partitions[depth], builder.job.target
        sealed = None if finished.problem else self._shelf.read(depth, target)
        if finished.is_damage:
            self._rebuild(depth, finished.problem)
        elif sealed is None:
            self._failed(depth, partition, finished.problem or "what was written is damaged")
        else:
            with self._using:
                partition.adopt(sealed, moment)
            if builder.job.old:
                remove(builder.job.old)
        return True

    def _failed(self, depth: int, partition: Partition, problem: str) -> None:
        with self._using:
            partition.forget_moment()
        self._not_before = time.monotonic() + _RETRY_S
        _log.warning(
            "the index of the exit at depth %d could not be made anew (%s): tried again in %d minutes",
            depth,
            problem,
            _RETRY_S // 60,
        )
