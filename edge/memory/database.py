"""The SQLite file: its tables, its settings, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edge.errors import DiskFullError, StoreError

SCHEMA = 2
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
    taken_at REAL,                   -- the same, of what it shows, if the sender said so
    rejected TEXT                    -- why its content cannot be used: it is never tried again
) STRICT;
CREATE TABLE waiting (
    item     INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE -- accepted, and not embedded so far
) STRICT;
CREATE TABLE models (
    id          INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE -- of the bundle: embeddings of two bundles are never compared
) STRICT;
CREATE TABLE embeddings (
    item   INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model  INTEGER NOT NULL REFERENCES models,
    depth  INTEGER NOT NULL,         -- layers done where the item left its tower
    vector BLOB NOT NULL,            -- float16, little-endian, unit L2 norm
    PRIMARY KEY (item, model, depth)
) STRICT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the database. Raises StoreError on a foreign or newer file, DiskFullError without room."""
    with translated(path.parent):
        path.touch(mode=0o600)  # the folder may have been there, and open to others
        # The writer's thread uses it, another opens and closes it.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            is_new = _check(connection, path)  # before the first write: a foreign file stays as it is
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # NORMAL forgets acknowledged rows on a power cut
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # forgotten means gone from the file
            if is_new:
                _create(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread; the database must be open for writing elsewhere."""
    with translated(path.parent):
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)


@contextlib.contextmanager
def atomic(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: one transaction, durable when the block ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself on a full disk
            connection.execute("ROLLBACK")
        raise


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


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is new. Raises StoreError when it is not ours, or newer."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version == 0 and application == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return True
    if application != _APPLICATION:
        raise StoreError(f"{path} is not a memory of reminisce: choose another state folder")
    if version != SCHEMA:
        raise StoreError(
            f"{path} has schema {version}, this version reads {SCHEMA}:"
            " use the version that wrote it, or choose another state folder"
        )
    return False


def _create(connection: sqlite3.Connection) -> None:
    with atomic(connection):
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
