"""The INT4 cache: one file an item, packed, that a question resumes from in place of running the tower again.

A file is written beside its place and renamed, without fsync: nothing here is missed that cannot be computed again. A
file that a power cut lost or tore, that a bad block changed or that another bundle made is a miss, and is deleted.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.items import Floats
from edge.memory.cache.activation_file import decode, encode, renumbered
from edge.memory.cache.catalogue import (
    FOLDERS,
    UNFINISHED,
    Catalogue,
    Factors,
    Kept,
    dearest_first,
    no_difference,
    value_per_byte,
)
from edge.memory.cache.worth import Seen, Whole, Worth
from edge.memory.disk.sync import sync_folder

_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # of the process or the system: the file may be good
_AT_ONCE = 100  # a hundredth of the limit is evicted at a time: looking for the least worth goes through all there is
_NOTABLE = 1.25  # less, and what is added anew each day would be renamed each day: a card wears by that
_log = logging.getLogger(__name__)


class Activations:
    """A folder of cached activations under `max_bytes`. One thread puts, any other may get and remove meanwhile.

    hits, misses: what `get` found and did not find, since it was opened
    damaged:      of the misses, those whose file was there and was not what had been written
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        now: Callable[[], float] = time.time,
        *,
        is_known: Callable[[int], bool] = lambda _: True,
        pinned: Callable[[], Collection[int]] = tuple,
        source: Factors = no_difference,
    ) -> None:
        """Open or create, in one pass over the names. Deletes unfinished files, and what is above `max_bytes`.

        now:      gives seconds of Unix time
        is_known: whether there is such an item; nothing is kept of one that was forgotten
        pinned:   items whose activations are never evicted
        source:   what the sources of items are worth; asked for when something must go, so that no file is touched
                  when it changes
        Raises OSError when the folder cannot be made.
        """
        self._is_known, self._pinned, self._source = is_known, pinned, source
        self.hits = self.misses = self.damaged = 0
        self._folder, self._max_bytes, self._now = folder, max_bytes, now
        self._lock = threading.Lock()  # over the catalogue and the names that it stands for
        self._catalogue = Catalogue()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(FOLDERS):
            self._catalogue.add(_scan(folder / f"{number:02x}"))
        self._evict(self.size_bytes - max_bytes, None)

    @property
    def size_bytes(self) -> int:
        """Of all files, their headers included."""
        return self._catalogue.size_bytes

    @property
    def count(self) -> int:
        return self._catalogue.count

    def put(self, item: int, segment: int, made_by: bytes, activation: Floats, outliers: int, worth: Worth) -> bool:
        """Pack and keep one activation (..., C) from the end of a segment, in place of the item's earlier one.

        made_by:  the segment's entry of `Manifest.segment_hashes`
        outliers: channels kept in float16, the tower's number

        False when it is not kept: it cannot be packed (not finite), the disk is full, or all that would have to go for
        it is worth more.
        """
        try:
            content = encode(item, segment, made_by, activation, outliers)
        except ValueError:
            return False
        kept = Kept.of(item, segment, made_by, len(content), worth)
        if not self._make_room(kept):
            return False
        unfinished = self._path(kept).with_name(kept.name + UNFINISHED)
        try:
            with self._lock:  # who forgets the item removes its row first, and waits here: there is no file after that
                if not self._is_known(item):
                    return False
                unfinished.parent.mkdir(mode=0o700, exist_ok=True)
                unfinished.write_bytes(content)
                earlier = self._name(unfinished, kept)
        except OSError:
            _delete(unfinished)
            return False
        self._drop_earlier(earlier, kept)
        return True

    def adopt(self, other: Path, hashes: Sequence[bytes], here: Callable[[int], int | None]) -> int:
        """Take files over from a cache in another folder on this disk, the dearest first; returns how many.

        hashes: `Manifest.segment_hashes` of the items' tower: what other segments made does not come
        here:   the item there -> its id here; None where nothing is kept of it
        Of an item that has an activation the deeper one stays. What is damaged, and what there is no room for, does not
        come; nor does the rest once the disk lets us no more.
        """
        found = [kept for number in range(FOLDERS) for kept in _scan(other / f"{number:02x}") if kept.is_of(hashes)]
        adopted = 0
        with contextlib.suppress(OSError):
            for theirs in dearest_first(found, self._now()):
                item = here(theirs.item)
                ours = None if item is None else self.segment(item)
                if item is None or (ours is not None and ours >= theirs.segment):
                    continue
                kept = theirs._replace(item=item)
                if not self._make_room(kept):
                    break
                adopted += self._adopt(other / theirs.folder / theirs.name, kept)
        return adopted

    def get(self, item: int, hashes: Sequence[bytes]) -> tuple[int, Floats] | None:
        """The number of the segment whose end it is, and the activation (..., C) float32; None is a miss.

        hashes: `Manifest.segment_hashes` of the item's tower
        """
        kept = self._catalogue.find(item)
        found = self._read(kept, hashes) if kept else None
        if found:
            self.hits += 1
        else:
            self.misses += 1
        return found

    def segment(self, item: int) -> int | None:
        """The number of the segment whose end is cached, as the file's name says; it is not read."""
        kept = self._catalogue.find(item)
        return kept.segment if kept else None

    def holds(self, items: Whole) -> npt.NDArray[np.bool_]:
        """(N,) ids -> of which an activation is cached, by the names of the files."""
        return self._catalogue.holds(items)

    def revalue(self, seen: Iterable[Seen]) -> None:
        """Items came again: where that makes a notable difference, the file's name says it from now on."""
        now = self._now()
        for one in seen:
            if kept := self._catalogue.find(one.item):
                again = kept.seen_again(one)
                if value_per_byte(again, now) >= _NOTABLE * value_per_byte(kept, now):
                    with contextlib.suppress(OSError):  # it keeps its value then
                        self._rename(self._path(kept), again)

    def remove(self, items: Iterable[int]) -> None:
        """Delete the activations of items that are refined, or deleted."""
        for item in items:
            if kept := self._catalogue.find(item):
                self._discard(kept)

    def keep_only(self, hashes: Collection[bytes]) -> int:
        """Delete what none of these segments made: what another bundle left. Returns how many files."""
        strangers = self._catalogue.not_made_by(hashes)
        for kept in strangers:
            self._discard(kept)
        return len(strangers)

    def _adopt(self, path: Path, kept: Kept) -> bool:
        """Whether the file is whole, and was taken over. Raises OSError."""
        try:
            content = path.read_bytes()
            header = renumbered(content, kept.item)
        except ValueError:
            return False
        if len(content) != kept.size_bytes:
            return False
        with path.open("r+b") as file:  # the values behind stay: most are on the disk by now
            file.write(header)
        self._path(kept).parent.mkdir(mode=0o700, exist_ok=True)
        self._rename(path, kept)
        return True

    def _read(self, kept: Kept, hashes: Sequence[bytes]) -> tuple[int, Floats] | None:
        try:
            made_by = hashes[kept.segment]
            content = self._path(kept).read_bytes()
            return kept.segment, decode(content, kept.item, kept.segment, made_by)
        except (IndexError, ValueError, OSError) as error:  # IndexError: of a bundle with more segments
            if isinstance(error, OSError) and error.errno in _PASSING:
                return None
            self._discard(kept)
            if not isinstance(error, IndexError | FileNotFoundError):  # what is gone may have been evicted just now
                self._tell_damage(kept.item, error)
            return None

    def _tell_damage(self, item: int, error: Exception) -> None:
        """Aloud only once: what damaged one file has often damaged many."""
        self.damaged += 1
        _log.log(
            logging.WARNING if self.damaged == 1 else logging.DEBUG,
            "the cached activation of item %d is damaged (%s): it is computed anew from the raw item; `state` counts"
            " the others",
            item,
            error.strerror if isinstance(error, OSError) else error,
        )

    def _rename(self, path: Path, kept: Kept) -> None:
        """Give a file its name, in place of the item's earlier one. Raises OSError and changes nothing then."""
        with self._lock:
            earlier = self._name(path, kept)
        self._drop_earlier(earlier, kept)

    def _name(self, path: Path, kept: Kept) -> Kept | None:
        """Under the lock. Returns what the item had before."""
        path.replace(self._path(kept))
        if earlier := self._catalogue.find(kept.item):
            self._catalogue.drop(earlier)
        self._catalogue.add([kept])
        return earlier

    def _drop_earlier(self, earlier: Kept | None, kept: Kept) -> None:
        if earlier and earlier != kept:
            _delete(self._path(earlier))

    def _make_room(self, kept: Kept) -> bool:
        """For one more file, at the cost of what is worth less; False when that is too little."""
        return self._evict(self.size_bytes + kept.size_bytes - self._max_bytes, kept)

    def _evict(self, excess_bytes: int, coming: Kept | None) -> bool:
        """Delete what is worth least; nothing, and False, when too little is worth less a byte than what comes."""
        if excess_bytes <= 0:
            return True
        now, wanted_bytes = self._now(), excess_bytes + self._max_bytes // _AT_ONCE
        below = value_per_byte(coming, now, self._source) if coming else math.inf
        least = self._catalogue.least_worth(wanted_bytes, now, below, pinned=self._pinned(), source=self._source)
        if sum(kept.size_bytes for kept in least) < excess_bytes:
            return False
        for kept in least:
            self._discard(kept)
        return True

    def _discard(self, kept: Kept) -> None:
        with self._lock:  # in between, the writer could put a good file under the name of a torn one
            if self._catalogue.drop(kept):
                _delete(self._path(kept))

    def _path(self, kept: Kept) -> Path:
        return self._folder / kept.folder / kept.name


def _scan(folder: Path) -> list[Kept]:
    """The files in one folder, one an item. A kill between two steps left the others: they are deleted."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a Path for each of 100,000 names takes as long as all the rest
    except OSError:  # not made so far; or it cannot be read any more, and all in it is a miss
        return []
    files: dict[int, Kept] = {}
    for name in names:
        if kept := Kept.named(folder.name, name):
            other = files.setdefault(kept.item, kept)
            if other != kept:
                files[kept.item], shallower = (kept, other) if kept.segment > other.segment else (other, kept)
                _delete(folder / shallower.name)
        elif Kept.named(folder.name, name.removesuffix(UNFINISHED)):
            _delete(folder / name)
    return list(files.values())


def erase(folder: Path, items: Collection[int]) -> None:
    """Delete what there is of these items for good: no power cut brings it back. Raises OSError."""
    wanted = set(items)
    for number in {item % FOLDERS for item in wanted}:
        place = folder / f"{number:02x}"
        if place.is_dir():
            for path in place.iterdir():
                kept = Kept.named(place.name, path.name.removesuffix(UNFINISHED))
                if kept and kept.item in wanted:
                    path.unlink(missing_ok=True)
            sync_folder(place)


def _delete(path: Path) -> None:
    """As far as the disk lets us: what stays is found when the cache is opened again."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
