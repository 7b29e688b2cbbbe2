"""The SQLite file: its tables, its settings, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edge.errors import DiskFullError, StoreError
from edge.memory.rows.migrations import MIGRATIONS, migrate
from edge.memory.rows.transaction import atomic

SCHEMA = 8
_APPLICATION = 0x524D4E53  # "RMNS"
_SHARED_MEMORY_BYTES = 32 << 10  # what SQLite writes beside the file when it opens it
_TABLES = """
CREATE TABLE items (
    id       INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,   -- SHA-256 of the content
    modality TEXT NOT NULL,
    source   TEXT NOT NULL,          -- where it came from, for people
    bytes    INTEGER NOT NULL,
    added_at REAL NOT NULL,          -- seconds of Unix time
    taken_at REAL,                   -- the same, of what it shows, where that is known
    rejected TEXT,                   -- why it cannot be used: it is never tried again, and its content is deleted
    lost     INTEGER NOT NULL DEFAULT 0, -- whether it was rejected because its file was gone: it may come again
    sightings INTEGER NOT NULL DEFAULT 1, -- how often these bytes came
    seen_at  REAL,                   -- seconds of Unix time at which they last came again
    evicted  INTEGER NOT NULL DEFAULT 0, -- whether its content was deleted to keep within the limits, see eviction.py
    pinned   INTEGER NOT NULL DEFAULT 0, -- whether nothing but its name makes it go
    taken_from TEXT                  -- where taken_at is from: message, exif or file
) STRICT;
CREATE INDEX items_by_source ON items (source);
CREATE INDEX items_by_time ON items (coalesce(taken_at, added_at));
CREATE TABLE meta (
    item  INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,             -- what a sender said of the item
    PRIMARY KEY (item, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX meta_by_value ON meta (key, value);
CREATE TABLE waiting (
    item     INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE, -- accepted, and not embedded so far
    blame    INTEGER NOT NULL DEFAULT 0, -- for ends of the process while it was worked on, see attempts.py
    asked    INTEGER                  -- how often another bundle's item was an answer meanwhile; NULL: it is a new item
) STRICT;
CREATE TABLE models (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE, -- of the bundle: embeddings of two bundles are never compared
    folder TEXT,                     -- where it was when the memory was last opened with it
    pruned INTEGER NOT NULL DEFAULT 0 -- its removals up to this number are not listed any more, see removals.py
) STRICT;
CREATE TABLE embeddings (
    item   INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model  INTEGER NOT NULL REFERENCES models,
    depth  INTEGER NOT NULL,         -- layers done where the item left its tower
    vector BLOB NOT NULL,            -- float16, little-endian, unit L2 norm
    offset REAL NOT NULL,            -- what it adds to every calibrated score there; 0: not calibrated
    sequence INTEGER NOT NULL,       -- of the commit that wrote it, see changes.py
    PRIMARY KEY (item, model, depth)
) STRICT;
CREATE INDEX embeddings_by_sequence ON embeddings (model, sequence);
CREATE TABLE removals (              -- 15 bytes an item: index files that are older must learn of it
    sequence INTEGER NOT NULL,       -- of the commit that took it away
    model    INTEGER NOT NULL,
    item     INTEGER NOT NULL,       -- it had embeddings of that model before and had none then
    PRIMARY KEY (model, sequence, item)
) STRICT, WITHOUT ROWID;
CREATE TABLE kept_back (
    item  INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model INTEGER NOT NULL REFERENCES models, -- cannot read the item, which stays with the bundle that embedded it
    PRIMARY KEY (item, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_new ON waiting (item) WHERE asked IS NULL;
CREATE INDEX waiting_again ON waiting (blame > 0, asked DESC, item DESC) WHERE asked IS NOT NULL;
CREATE TABLE clock (
    boot    TEXT NOT NULL,           -- one row, see clock.py
    lead    REAL NOT NULL,
    base    REAL NOT NULL,
    since_s REAL NOT NULL,
    first   INTEGER NOT NULL
) STRICT;
CREATE TABLE forgetting (
    item   INTEGER PRIMARY KEY,      -- to be forgotten, or forgotten with files that are still to be deleted
    digest BLOB NOT NULL
) STRICT;
CREATE TABLE forgotten (
    last   INTEGER NOT NULL          -- one row: the highest id of a forgotten item; no other item gets it
) STRICT;
INSERT INTO forgotten VALUES (0);
CREATE TABLE demand (
    source    TEXT PRIMARY KEY,      -- a folder with its slash, or any other text, see demand.py
    questions REAL NOT NULL          -- that its items answered, halved now and then
) STRICT, WITHOUT ROWID
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database, or bring it to the present schema.

    Raises StoreError on a file that is foreign, newer, or older than any migration, DiskFullError without room.
    """
    with translated(path.parent):
        path.touch(mode=0o600)  # the folder may have been there, and open to others
        # The writer's thread uses it, another opens and closes it.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            found = _check(connection, path)  # before the first write: a foreign file stays as it is
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # NORMAL forgets acknowledged rows on a power cut
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # forgotten means gone from the file
            if found == 0:
                _create(connection)
            migrate(connection, found)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread; the database must be open for writing elsewhere."""
    with translated(path.parent):
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)


def model_id(rows: sqlite3.Connection, fingerprint: str) -> int:
    """The number of a bundle, which it gets when it is new."""
    with atomic(rows):
        rows.execute("INSERT OR IGNORE INTO models (fingerprint) VALUES (?)", (fingerprint,))
    (number,) = rows.execute("SELECT id FROM models WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return int(number)


@contextlib.contextmanager
def translated(where: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours, with the folder and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        if _means_full(error, where):
            raise _full(where) from error
        raise StoreError(f"{where} cannot be used ({error}): restore it from a backup, or move it away") from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full(where) from error
        raise StoreError(
            f"{where} cannot be used ({error.strerror}: {error.filename}): correct this, or choose another state folder"
        ) from error


def _means_full(error: sqlite3.Error, where: Path) -> bool:
    if "disk I/O error" in str(error):  # what SQLite calls it when there is no room for its shared memory
        return shutil.disk_usage(where).free < _SHARED_MEMORY_BYTES
    return "disk is full" in str(error)


def _full(where: Path) -> DiskFullError:
    return DiskFullError(
        f"the disk of {where} is full: free some space and run this again; what was reported as accepted is safe"
    )


def _check(connection: sqlite3.Connection, path: Path) -> int:
    """Its schema, 0 of a new file. Raises StoreError when it is not ours, or cannot be brought to ours."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version == 0 and application == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return 0
    if application != _APPLICATION:
        raise StoreError(f"{path} is not a memory of reminisce: choose another state folder")
    if version > SCHEMA:
        raise StoreError(
            f"{path} has schema {version}, this version reads {SCHEMA}: a later version wrote it, and there is no way"
            f" back. Install that one again; or keep a backup, `tar -czf reminisce-backup.tar.gz -C {path.parent} .`,"
            " and choose another state folder"
        )
    if version != SCHEMA and version not in MIGRATIONS:
        raise StoreError(
            f"{path} has schema {version}, this version reads {SCHEMA}:"
            " use the version that wrote it, or choose another state folder"
        )
    return int(version)


def _create(connection: sqlite3.Connection) -> None:
    with atomic(connection):
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
