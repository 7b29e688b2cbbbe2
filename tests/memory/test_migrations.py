"""A memory of an earlier schema is brought to the present one, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import DiskFullError, StoreError
from edge.items import Arrival, Verdict
from edge.memory import Memory
from edge.memory.rows.database import SCHEMA, connect
from edge.memory.rows.migrations import MIGRATIONS

# As the version before wrote it.
SCHEMA_2 = """
CREATE TABLE items (
    id       INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,
    modality TEXT NOT NULL,
    source   TEXT NOT NULL,
    bytes    INTEGER NOT NULL,
    added_at REAL NOT NULL,
    taken_at REAL,
    rejected TEXT
) STRICT;
CREATE TABLE waiting (item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE) STRICT;
CREATE TABLE models (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE embeddings (
    item   INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    model  INTEGER NOT NULL REFERENCES models,
    depth  INTEGER NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (item, model, depth)
) STRICT;
PRAGMA application_id = 0x524D4E53;
PRAGMA user_version = 2;
"""
ITEM = "INSERT INTO items VALUES (?, ?, 'image', ?, 3, 1.5, NULL, ?)"
TEXTS = ("ape", "bee", "cat", "dog")


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@pytest.fixture
def older(state: Path) -> Path:
    """A state folder of schema 2: embedded, waiting, damaged, and rejected because its file was gone."""
    state.mkdir()
    for text in TEXTS[:3]:
        file = state / "content" / digest(text).hex()[:2] / digest(text).hex()
        file.parent.mkdir(parents=True)
        file.write_text(text)
    with contextlib.closing(sqlite3.connect(state / "memory.db")) as rows, rows:
        rows.executescript(SCHEMA_2)
        reasons = (None, None, "not a picture", "its content is gone from the state folder")
        rows.executemany(ITEM, [(n + 1, digest(text), text, reasons[n]) for n, text in enumerate(TEXTS)])
        rows.execute("INSERT INTO models VALUES (1, 'bundle one')")
        rows.execute("INSERT INTO embeddings VALUES (1, 1, 11, x'003c0000')")
        rows.execute("INSERT INTO waiting VALUES (2)")
    return state


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table's columns, and the indexes."""
    with contextlib.closing(sqlite3.connect(path)) as rows:
        names = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")]
        columns = {name: rows.execute(f"SELECT * FROM pragma_table_xinfo('{name}')").fetchall() for name in names}  # noqa: S608 - our own names
        return {**columns, "version": rows.execute("PRAGMA user_version").fetchall()}


def test_items_stay_and_what_has_no_offset_waits_to_be_embedded_again(older: Path) -> None:
    with Memory(older, "bundle one") as memory:
        assert [item.source for item in memory.waiting(9)] == ["ape", "bee"]
        assert memory.partitions() == ()
        assert (memory.tally.items, memory.tally.rejected) == (2, 2)
        item = memory.item(1)
        assert (item.sightings, item.seen_at, item.added_at, memory.content(item)) == (1, None, 1.5, b"ape")


def test_damaged_item_stays_rejected_without_its_content_and_a_lost_one_may_come_again(
    older: Path, named: Callable[[str], Arrival], content_files: Callable[[Path], list[Path]]
) -> None:
    with Memory(older, "bundle one") as memory:
        assert sorted(path.read_text() for path in content_files(older)) == ["ape", "bee"]
        assert memory.known(digest("cat")) == Verdict("rejected", digest("cat"), "not a picture")
        assert memory.known(digest("dog")) is None
        assert [verdict.state for verdict in memory.accept([named("dog")])] == ["accepted"]


def test_migrated_database_has_the_shape_of_a_new_one(older: Path, tmp_path: Path) -> None:
    connect(older / "memory.db").close()
    connect(tmp_path / "new.db").close()
    made, new = shape(older / "memory.db"), shape(tmp_path / "new.db")
    assert made == new
    assert new["version"] == [(SCHEMA,)]


def test_time_that_is_there_was_said_by_the_sender(older: Path) -> None:
    with contextlib.closing(sqlite3.connect(older / "memory.db")) as rows, rows:
        rows.execute("UPDATE items SET taken_at = 7.5 WHERE id = 2")
    with Memory(older, "bundle one") as memory:
        assert [(one.taken_at, one.taken_from) for one in memory.waiting(9)] == [(None, None), (7.5, "message")]


def test_second_opening_migrates_nothing(older: Path, embedded: Callable[..., object]) -> None:
    with Memory(older, "bundle one") as memory:
        memory.index([embedded(1)])  # type: ignore[list-item]
    with Memory(older, "bundle one") as memory:
        assert [part.ids.tolist() for part in memory.partitions()] == [[1]]


STATEMENTS = [(version, number) for version, step in MIGRATIONS.items() for number in range(len(step.split(";\n")))]


@pytest.mark.parametrize(("version", "statement"), STATEMENTS)
def test_migration_that_fails_anywhere_changes_nothing_and_can_be_done_later(
    version: int, statement: int, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for later in range(version, SCHEMA):
            patch.delitem(MIGRATIONS, later)
        if version > min(STATEMENTS)[0]:
            connect(older / "memory.db").close()
    before = shape(older / "memory.db")
    steps = MIGRATIONS[version].split(";\n")
    with monkeypatch.context() as patch:
        patch.setitem(MIGRATIONS, version, ";\n".join([*steps[:statement], "nonsense", *steps[statement:]]))
        with pytest.raises(StoreError, match="syntax error"):
            Memory(older, "bundle one")
    assert shape(older / "memory.db") == before
    with Memory(older, "bundle one") as memory:
        assert len(memory.waiting(9)) == 2


def test_migration_without_room_is_a_full_disk_and_changes_nothing(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shape(older / "memory.db")
    with monkeypatch.context() as patch:
        patch.setitem(MIGRATIONS, 2, f"PRAGMA max_page_count = 1;\n{MIGRATIONS[2]}")
        with pytest.raises(DiskFullError, match="is full: free some space"):
            Memory(older, "bundle one")
    assert shape(older / "memory.db") == before
