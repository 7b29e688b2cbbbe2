"""An exported file back into a memory: see archive.py. Nothing of it can be seen before all of it was checked.

It is unpacked into the folder `importing` of the memory, whose lock is held, and each file compared with the manifest:
name, size, checksum. Then the database is checked, content moves to where rows look for it, durably, and one
transaction adds the rows: that is the moment of the import. What ends the process before leaves the memory as it was,
and half an `importing` or content without rows, which the next start deletes. Activations follow, under the ids that
their items got: they are a cache, so that what fails or is stopped there fails no import.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.errors import StoreError, UsageError
from edge.memory.archive import DATABASE, ArchiveError, Member, read_end, read_manifest, read_member
from edge.memory.disk.folder import clear_importing, give_to_owner, importing
from edge.memory.disk.sync import synced_disk
from edge.memory.memory import Memory
from edge.memory.merging import InUse, Merged, check, check_kinds
from edge.memory.rows.database import SCHEMA, connect, connect_reader, translated
from edge.signals import signals_held

Progress = Callable[[int, int], None]
_KEPT = "SELECT digest, bytes FROM items WHERE rejected IS NULL AND NOT evicted"
# Its content should be in the file and is not: it was gone, or was evicted while the file was written.
_WITHOUT = "UPDATE items SET evicted = 1 WHERE digest = ? AND EXISTS (SELECT 1 FROM embeddings WHERE item = items.id)"
# What another bundle has embedded, too: the segments may be the same.
_UNFINISHED = """
SELECT id FROM items WHERE modality = 'image' AND rejected IS NULL AND NOT EXISTS (
    SELECT 1 FROM embeddings JOIN models ON models.id = model
    WHERE item = items.id AND fingerprint = ? AND depth >= ?)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of the items of a file, and of the memory that they are in now.

    new:     items that were not there before; known: those that were
    waiting: items of the memory that the bundle in use embeds next, from their content
    unread:  items of the memory that it cannot find: only another bundle has embedded them, and their content is gone
    is_stopped: all items came, and then it was interrupted: of the activations only a part came
    """

    new: int
    known: int
    waiting: int
    unread: int
    is_stopped: bool = False


def import_memory(
    source: Path,
    folder: Path,
    bundle: InUse,
    *,
    cache_bytes: int = 0,
    on_progress: Progress = lambda _done, _all: None,
) -> Imported:
    """Add what is in the file `source` to the memory in `folder`, which is made if need be: all or nothing.

    bundle:      that it is used with; what only another one embedded waits to be embedded anew
    cache_bytes: that activations may take there, those of before included; 0: none are kept
    on_progress: called with the bytes unpacked so far and in all
    Raises UsageError, ArchiveError, StoreError (in use, damaged, newer), DiskFullError; KeyboardInterrupt only before
    the items are there.
    """
    try:
        file = source.open("rb")
    except OSError as error:
        raise UsageError(f"{source} cannot be read ({error.strerror})") from None
    with file, _named(source):
        manifest, members = read_manifest(file)
        if manifest.schema > SCHEMA:
            raise ArchiveError(
                f"it has schema {manifest.schema}, this version reads {SCHEMA}: use the version that wrote it"
            )
        with Memory(folder, bundle.fingerprint) as memory:
            place = importing(folder)
            merged: Merged | None = None
            is_stopped = cache_bytes > 0
            try:
                with _cleared(folder):
                    with translated(folder):
                        _make_folders(folder, place, members)
                        _unpack(file, members, place, on_progress)
                        _check_database(place / DATABASE, members, bundle)
                    with signals_held():  # or nobody would know whether they are there
                        merged = memory.merge(place)
                    if cache_bytes:
                        _adopt(memory, place / "activations", merged, cache_bytes, bundle)
                    is_stopped = False
            except KeyboardInterrupt:
                if merged is None:
                    raise
            tally = memory.tally
    waiting, unread = tally.waiting + tally.migrating, tally.earlier - tally.migrating
    return Imported(new=merged.new, known=len(merged.known), waiting=waiting, unread=unread, is_stopped=is_stopped)


@contextlib.contextmanager
def _named(source: Path) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise ArchiveError(f"{source} cannot be imported, and nothing was changed: {error}") from None


@contextlib.contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Whatever ends it, nothing stays of `importing`, and all else belongs to the folder's owner."""
    try:
        yield
    finally:
        with signals_held():
            clear_importing(folder)
            with translated(folder):  # of what failed, too: content may be there that the daemon will delete
                give_to_owner(folder, folder.rglob("*"))


def _make_folders(folder: Path, place: Path, members: list[Member]) -> None:
    """Each belongs to the folder's owner before there is a file in it: who deletes it after a kill is the daemon."""
    parents = {parent for member in members for parent in (place / member.name).parents if place in parent.parents}
    for path in (place, *sorted(parents)):
        path.mkdir(mode=0o700)
        give_to_owner(folder, [path])


def _unpack(file: BinaryIO, members: list[Member], place: Path, on_progress: Progress) -> None:
    """All files, durable."""
    total_bytes = sum(member.size for member in members)
    done_bytes = 0
    with synced_disk(place):
        for member in members:
            path = place / member.name
            with open(path, "xb", opener=_for_us) as unpacked:
                read_member(file, member, unpacked.write)
            done_bytes += member.size
            on_progress(done_bytes, total_bytes)
        read_end(file)


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _check_database(path: Path, members: list[Member], bundle: InUse) -> None:
    """Bring it to the present schema, and to what there is of content. Raises ArchiveError."""
    check_kinds(path)
    sizes = {bytes.fromhex(one.sha256): one.size for one in members if one.name.startswith("content/")}
    with contextlib.closing(connect(path)) as rows:
        try:
            check(rows, bundle)
            kept = dict(rows.execute(_KEPT))
            rows.executemany(_WITHOUT, [(digest,) for digest in kept.keys() - sizes.keys()])
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):  # of the disk
                raise
            raise ArchiveError(f"its database is not what its schema says ({error})") from None
    for digest, size in sizes.items():
        if kept.get(digest) != size:
            raise ArchiveError(f"its database does not have the item {digest.hex()} as it is in the file")


def _adopt(memory: Memory, place: Path, merged: Merged, cache_bytes: int, bundle: InUse) -> None:
    """Activations of pictures that this bundle has not finished, as far as the disk lets us: they are a cache."""
    with contextlib.suppress(StoreError):
        with translated(memory.folder), contextlib.closing(connect_reader(memory.folder / DATABASE)) as rows:
            last = max(bundle.exits["image"])
            unfinished = {item for (item,) in rows.execute(_UNFINISHED, (bundle.fingerprint, last))}

        def here(other: int) -> int | None:
            item = merged.item(other)
            return item if item in unfinished else None

        memory.open_activations(cache_bytes).adopt(place, bundle.hashes, here)
