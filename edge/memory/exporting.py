"""A memory into one file, whether or not a daemon uses it: see archive.py.

The database is copied at one moment, by SQLite, into a file that has none of what was deleted before. Content and
activations are copied one after another behind it, what waits for its embedding first. What the daemon evicts meanwhile
is left out, and the manifest, which is written last, does not name it. When it forgets something meanwhile, all begins
anew: an export that is complete holds nothing that was forgotten before.

All is written in a folder beside the target, which no failure leaves behind but `kill -9`, and that until the next try.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.errors import StoreError, UsageError
from edge.memory.archive import BLOCK, DATABASE, FORMAT, MANIFEST, Manifest, Member, encode, end, header, padding
from edge.memory.cache.catalogue import FOLDERS, Kept
from edge.memory.disk.sync import sync_folder
from edge.memory.rows.database import SCHEMA, connect, connect_reader, translated
from edge.memory.rows.removals import prune
from edge.memory.rows.transaction import atomic
from edge.signals import signals_held

Progress = Callable[[int, int], None]
_ATTEMPTS = 3
_AT_ONCE = 1 << 20
_UNKNOWN = "0" * 64
_ITEMS = """
SELECT id, digest, bytes, id IN (SELECT item FROM waiting) AS waits, rejected IS NULL AND NOT evicted FROM items
ORDER BY waits DESC, id
"""
_BUNDLES = "SELECT fingerprint, count(DISTINCT item) FROM models LEFT JOIN embeddings ON model = id GROUP BY id"
# What is noted to be forgotten, and what is of this device alone: what it was asked for, where its bundles lie, and
# when it booted.
_STRIP = (
    "DELETE FROM items WHERE id IN (SELECT item FROM forgetting)",
    "DELETE FROM forgetting",
    "DELETE FROM demand",
    "UPDATE models SET folder = NULL",
    "DELETE FROM clock",
    "VACUUM",
    "PRAGMA journal_mode = DELETE",  # all of it in one file
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What is in the file: items, raw content and activations of some of them, and the bytes of all.

    missing: items whose raw content should be kept, and is gone or damaged
    """

    items: int
    content: int
    activations: int
    missing: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The copied database: its file as a member, items by digest in hex with their bytes, and which of them wait.

    ids: of all items; content: those of which it is kept, in the order in which they are copied
    """

    database: Member
    ids: frozenset[int]
    content: dict[str, int]
    waiting: dict[str, int]
    bundles: dict[str, int]


def export(
    folder: Path,
    target: Path,
    model: str,
    *,
    with_activations: bool = True,
    on_progress: Progress = lambda _done, _all: None,
) -> Exported:
    """Write the memory in `folder` to the new file `target`, which appears whole or not at all. In the main thread.

    model:       the name of what it is used with, for people
    on_progress: called with the bytes written so far and in all
    Raises UsageError, StoreError, DiskFullError.
    """
    if not (folder / DATABASE).is_file():
        raise UsageError(f"{folder} has no memory to export: --state names another folder")
    if target.exists():
        raise UsageError(f"{target} is there already: choose another name, or move it away")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder: make it, or choose another place")
    with translated(target.parent), _workshop(target) as place:
        for _ in range(_ATTEMPTS):
            done = _write(folder, place, model, on_progress, with_activations=with_activations)
            if done:
                (place / "tar").replace(target)
                sync_folder(target.parent)
                return done
    raise StoreError(f"something was forgotten each time that {folder} was copied: export it when that has ended")


@contextlib.contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, which is gone afterwards."""
    place = target.with_name(f".{target.name}.unfinished")
    handle = None
    try:
        with signals_held():  # a folder that was just made has no owner yet
            place.mkdir(mode=0o700, exist_ok=True)
            handle = _locked(place, target)
        for left in place.iterdir():
            left.unlink()
        yield place
    finally:
        if handle is not None:
            with signals_held():
                try:
                    shutil.rmtree(place)
                finally:
                    os.close(handle)


def _locked(place: Path, target: Path) -> int:
    """The folder, opened; no other process can lock it until it is closed. Raises StoreError where one has."""
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(f"{target} is being exported by another process: wait for it") from None
    return handle


def _write(folder: Path, place: Path, model: str, on_progress: Progress, *, with_activations: bool) -> Exported | None:
    """The file `tar` in `place`; None when something was forgotten on the way."""
    snapshot = _copy(folder, place / DATABASE)
    content = [Member(f"content/{name[:2]}/{name}", size, name) for name, size in snapshot.content.items()]
    planned = [snapshot.database, *content, *(_activations(folder, snapshot.ids) if with_activations else ())]
    total_bytes = sum(member.size for member in planned)

    def manifest(members: list[Member]) -> Manifest:
        kinds = Counter(member.name.partition("/")[0] for member in members)
        return Manifest(
            format=FORMAT, schema=SCHEMA, model=model, bundles=snapshot.bundles, items=len(snapshot.ids),
            content=kinds["content"], activations=kinds["activations"], members=tuple(one.line for one in members),
        )  # fmt: skip

    size = len(encode(manifest(planned)))
    written: list[Member] = []
    done_bytes = 0
    with open(place / "tar", "wb", opener=_for_us) as file:
        file.write(header(MANIFEST, size) + bytes(size) + padding(size))
        for member in planned:
            where = place if member.name == DATABASE else folder
            if found := _append(file, where / member.name, member):
                written.append(found)
            done_bytes += member.size
            on_progress(done_bytes, total_bytes)
        file.write(end(file.tell()))
        size_bytes = file.tell()
        file.seek(BLOCK)
        file.write(encode(manifest(written), size))
        file.flush()
        os.fsync(file.fileno())
    names = {member.sha256 for member in written}
    missing = _missing(folder, snapshot, snapshot.content.keys() - names)
    said = manifest(written)
    return missing if missing is None else Exported(
        items=said.items, content=said.content, activations=said.activations, missing=missing, size_bytes=size_bytes
    )  # fmt: skip


def _for_us(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _copy(folder: Path, path: Path) -> _Snapshot:
    """The database as it is now, brought to the present schema, in a file without a trace of what was deleted."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    with _reading(folder), contextlib.closing(connect_reader(folder / DATABASE)) as rows:
        rows.execute("VACUUM INTO ?", (str(path),))
    with contextlib.closing(connect(path)) as rows:
        with atomic(rows):
            prune(rows, ())  # only an index here asks what was removed
        for statement in _STRIP:
            rows.execute(statement)
        found = rows.execute(_ITEMS).fetchall()
        bundles = dict(rows.execute(_BUNDLES))
    with path.open("rb") as file:
        checksum = hashlib.sha256()
        while piece := file.read(_AT_ONCE):
            checksum.update(piece)
    return _Snapshot(
        Member(DATABASE, path.stat().st_size, checksum.hexdigest()),
        frozenset(item for item, *_ in found),
        {digest.hex(): size for _, digest, size, _, is_kept in found if is_kept},
        {digest.hex(): item for item, digest, _, waits, _ in found if waits},
        bundles,
    )


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What is wrong with the memory is told of its folder. The disk, which SQLite may mean, is that of the target."""
    try:
        yield
    except sqlite3.OperationalError:
        raise
    except (sqlite3.DatabaseError, OSError):
        with translated(folder):
            raise


def _activations(folder: Path, items: Collection[int]) -> list[Member]:
    """Of these items, by id; their checksums are not known so far."""
    found: list[tuple[Kept, Member]] = []
    for number in range(FOLDERS):
        place = folder / "activations" / f"{number:02x}"
        with _reading(folder):
            names = os.listdir(place) if place.is_dir() else ()  # noqa: PTH208 - 400 names at 100,000 items
        for name in names:
            kept = Kept.named(place.name, name)
            if kept and kept.item in items:
                found.append((kept, Member(f"activations/{kept.folder}/{kept.name}", kept.size_bytes, _UNKNOWN)))
    return [member for _, member in sorted(found)]


def _append(file: BinaryIO, path: Path, member: Member) -> Member | None:
    """Write one member with its checksum; None, and nothing is written, when the file is not what it should be."""
    start, size, checksum = file.tell(), 0, hashlib.sha256()
    file.write(header(member.name, member.size))
    for piece in _pieces(path):
        size += len(piece)
        checksum.update(piece)
        file.write(piece)
    if size != member.size or member.sha256 not in {checksum.hexdigest(), _UNKNOWN}:
        file.seek(start)
        file.truncate()
        return None
    file.write(padding(size))
    return dataclasses.replace(member, sha256=checksum.hexdigest())


def _pieces(path: Path) -> Iterator[bytes]:
    """Of a file, up to where it cannot be read any more."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        while piece := file.read(_AT_ONCE):
            yield piece


def _missing(folder: Path, snapshot: _Snapshot, lacking: Collection[str]) -> int | None:
    """How much content is gone against the memory's will; None when an item was forgotten since the snapshot.

    None, too, when the content of one that waited is gone because it was embedded and evicted meanwhile: the snapshot
    has neither.
    """
    with _reading(folder), contextlib.closing(connect_reader(folder / DATABASE)) as rows:
        if snapshot.ids - {item for (item,) in rows.execute("SELECT id FROM items")}:
            return None
        waiting = {item for (item,) in rows.execute("SELECT item FROM waiting")}
        if any(snapshot.waiting[name] not in waiting for name in lacking if name in snapshot.waiting):
            return None
        return sum(_should_be_there(rows, bytes.fromhex(name)) for name in lacking)


def _should_be_there(rows: sqlite3.Connection, digest: bytes) -> bool:
    found = rows.execute("SELECT 1 FROM items WHERE digest = ? AND rejected IS NULL AND NOT evicted", (digest,))
    return found.fetchone() is not None
