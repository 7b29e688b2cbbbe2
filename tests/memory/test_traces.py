"""Copies of deleted rows that SQLite leaves in its file are seen, and a file without any is known as such."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.memory.rows.database import connect
from edge.memory.rows.traces import Traces

COUNT = 3_000
RANDOM = np.random.default_rng(3)
DIGESTS = [RANDOM.bytes(32) for _ in range(COUNT)]
SOURCES = [f"/pictures/{RANDOM.bytes(9).hex()}.jpg" for _ in range(COUNT)]
ROWS = [(DIGESTS[number], "image", SOURCES[number], 1, 1.5) for number in range(COUNT)]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "memory.db")) as rows:
        rows.execute("BEGIN")
        rows.executemany("INSERT INTO items (digest, modality, source, bytes, added_at) VALUES (?, ?, ?, ?, ?)", ROWS)
        rows.execute("COMMIT")
        yield rows


def grow(rows: sqlite3.Connection) -> None:
    """A third of the items came again, in any order: their rows no longer fit into their pages."""
    for item in RANDOM.permutation(COUNT)[::3].tolist():
        rows.execute(
            "UPDATE items SET sightings = 2, seen_at = 1.5, rejected = 'for a reason' WHERE id = ?", (item + 1,)
        )


def forget_most(rows: sqlite3.Connection) -> Traces:
    """All but every fifth."""
    traces = Traces()
    for number in range(COUNT):
        if number % 5:
            traces.add(DIGESTS[number], "image", SOURCES[number], [])
    rows.execute("DELETE FROM items WHERE (id - 1) % 5")
    assert rows.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    return traces


def left(file: Path) -> int:
    """Sources and digests of deleted rows that are in the file."""
    content = file.read_bytes()
    gone = [number for number in range(COUNT) if number % 5]
    return sum(SOURCES[number].encode() in content for number in gone) + sum(DIGESTS[n] in content for n in gone)


def test_copies_are_seen_and_a_new_file_has_none(rows: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    grow(rows)
    traces = forget_most(rows)
    assert left(file) > 0
    assert traces.are_in(file)
    rows.execute("VACUUM")
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert left(file) == 0
    assert not traces.are_in(file)


def test_file_whose_rows_never_moved_need_not_be_written_anew(rows: sqlite3.Connection, tmp_path: Path) -> None:
    traces = Traces()
    traces.add(DIGESTS[-1], "image", SOURCES[-1], [b"12345678" * 8])
    rows.execute("DELETE FROM items WHERE id = ?", (COUNT,))
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not traces.are_in(tmp_path / "memory.db")
    assert DIGESTS[-1] not in (tmp_path / "memory.db").read_bytes()


def test_rows_that_nobody_knows_may_be_anywhere(rows: sqlite3.Connection, tmp_path: Path) -> None:
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    traces = Traces()
    assert not traces.are_in(tmp_path / "memory.db")
    traces.add_unknown()
    assert traces.are_in(tmp_path / "memory.db")


@pytest.mark.parametrize("source", ["a", "cat.jpg", "/pictures/of/a/cat.jpg"])
def test_each_form_alone_is_seen_in_an_unused_part(source: str, rows: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    vector = np.random.default_rng(7).bytes(48)
    page = rows.execute("SELECT rootpage FROM sqlite_master WHERE name = 'embeddings'").fetchone()[0]
    empty = file.read_bytes()
    traces = Traces()
    traces.add(bytes(range(32)), "image", source, [vector])
    assert not traces.are_in(file)
    for form in (bytes(range(8, 24)), b"image" + source.encode(), vector[11:40]):
        content = bytearray(empty)
        at = page * 4_096 - 500  # nothing is in that table: most of its page is unused
        content[at : at + len(form)] = form
        file.write_bytes(content)
        assert traces.are_in(file)
    file.write_bytes(empty)


def test_text_whose_end_alone_is_there_is_not_taken_for_it(rows: sqlite3.Connection, tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = rows.execute("SELECT rootpage FROM sqlite_master WHERE name = 'embeddings'").fetchone()[0]
    content = bytearray(file.read_bytes())
    at = page * 4_096 - 500
    content[at : at + 20] = b"another/holiday.jpg."
    file.write_bytes(content)
    traces = Traces()
    traces.add(bytes(range(32)), "image", "/pictures/holiday.jpg", [])
    assert not traces.are_in(file)
