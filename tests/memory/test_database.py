from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import DiskFullError, StoreError
from edge.memory.rows.database import SCHEMA, connect, connect_reader, translated
from edge.memory.rows.migrations import MIGRATIONS
from edge.memory.rows.transaction import atomic

ITEM = "INSERT INTO items (digest, modality, source, bytes, added_at) VALUES (?, 'image', ?, 1, 0.0)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


@pytest.fixture
def rows(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(path)) as connection:
        yield connection


def refusal_of(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        connect(path)
    return str(caught.value)


def run(path: Path, script: str) -> None:
    """Do something to the file as another program would."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def count(rows: sqlite3.Connection, table: str) -> int:
    (number,) = rows.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own table names
    return int(number)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1), ("user_version", SCHEMA)],
)
def test_connection_is_set_to_lose_nothing_and_to_forget_for_good(
    rows: sqlite3.Connection, pragma: str, value: object
) -> None:
    assert rows.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_settings_hold_for_a_file_that_was_there(path: Path) -> None:
    connect(path).close()
    with contextlib.closing(connect(path)) as rows:
        settings = [rows.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "secure_delete")]
    assert settings == [2, 1]


def test_file_is_closed_to_others_also_in_a_folder_that_is_open_to_them(path: Path) -> None:
    path.parent.chmod(0o755)
    with contextlib.closing(connect(path)) as rows:
        rows.execute(ITEM, (b"1", "a"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"memory.db": 0o600, "memory.db-wal": 0o600, "memory.db-shm": 0o600}


def test_rows_are_there_after_closing_and_opening(path: Path) -> None:
    with contextlib.closing(connect(path)) as rows:
        rows.execute(ITEM, (b"1", "a"))
    with contextlib.closing(connect(path)) as rows:
        assert rows.execute("SELECT source FROM items").fetchall() == [("a",)]


def test_empty_file_is_a_new_memory(path: Path) -> None:
    path.touch()
    connect(path).close()
    connect(path).close()


def test_digest_is_unique(rows: sqlite3.Connection) -> None:
    rows.execute(ITEM, (b"1", "a"))
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: items\.digest"):
        rows.execute(ITEM, (b"1", "b"))


def test_deleted_item_takes_its_embeddings_and_its_place_among_the_waiting_along(rows: sqlite3.Connection) -> None:
    rows.execute(ITEM, (b"1", "a"))
    rows.execute("INSERT INTO models (fingerprint) VALUES ('f')")
    rows.execute("INSERT INTO embeddings VALUES (1, 1, 11, x'00', 0.0, 1)")
    rows.execute("INSERT INTO waiting (item) VALUES (1)")
    rows.execute("DELETE FROM items")
    assert (count(rows, "embeddings"), count(rows, "waiting")) == (0, 0)


def test_embedding_of_an_item_that_is_not_there_is_refused(rows: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        rows.execute("INSERT INTO embeddings VALUES (1, 1, 11, x'00', 0.0, 1)")


def test_item_that_is_not_there_cannot_wait(rows: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        rows.execute("INSERT INTO waiting (item) VALUES (1)")


def test_reader_sees_what_is_committed_and_cannot_write(path: Path, rows: sqlite3.Connection) -> None:
    rows.execute(ITEM, (b"1", "a"))
    with contextlib.closing(connect_reader(path)) as reader:
        assert count(reader, "items") == 1
        rows.execute(ITEM, (b"2", "b"))
        assert count(reader, "items") == 2
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            reader.execute("DELETE FROM items")


def test_reader_of_a_folder_with_odd_characters_opens_that_folder(tmp_path: Path) -> None:
    odd = tmp_path / "a?mode=rwc#%41 ü"
    odd.mkdir()
    with (
        contextlib.closing(connect(odd / "memory.db")),
        contextlib.closing(connect_reader(odd / "memory.db")) as reader,
    ):
        assert count(reader, "items") == 0
    assert [file.name for file in odd.iterdir()] == ["memory.db"]


def test_deleted_row_is_gone_from_the_bytes_of_the_file(path: Path) -> None:
    with contextlib.closing(connect(path)) as rows:
        rows.execute(ITEM, (b"1", "the holiday that nobody may see"))
    assert b"nobody may see" in path.read_bytes()
    with contextlib.closing(connect(path)) as rows:
        rows.execute("DELETE FROM items")
    assert b"nobody may see" not in path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["memory.db"]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE recipes (name TEXT)",
        "PRAGMA application_id = 7",
        "PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE items (id INTEGER)",
        "PRAGMA user_version = 1; CREATE TABLE items (id INTEGER)",
    ],
    ids=["tables only", "application only", "our version", "our table"],
)
def test_database_of_another_program_is_refused_and_left_as_it_is(path: Path, script: str) -> None:
    run(path, script)
    before = path.read_bytes()
    assert refusal_of(path) == f"{path} is not a memory of reminisce: choose another state folder"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["memory.db"]


@pytest.mark.parametrize("schema", [min(MIGRATIONS) - 1, SCHEMA + 1], ids=["older", "newer"])
def test_other_schema_is_refused_with_both_and_left_as_it_is(path: Path, schema: int) -> None:
    connect(path).close()
    run(path, f"PRAGMA user_version = {schema}")
    before = path.read_bytes()
    advice = {
        SCHEMA + 1: "a later version wrote it, and there is no way back. Install that one again; or keep a backup,"
        f" `tar -czf reminisce-backup.tar.gz -C {path.parent} .`, and choose another state folder",
        min(MIGRATIONS) - 1: "use the version that wrote it, or choose another state folder",
    }
    assert refusal_of(path) == f"{path} has schema {schema}, this version reads {SCHEMA}: {advice[schema]}"
    assert path.read_bytes() == before


def test_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"a shopping list, and a long one" * 200)
    expected = f"{path.parent} cannot be used (file is not a database): restore it from a backup, or move it away"
    assert refusal_of(path) == expected


def test_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    expected = f"{path.parent} cannot be used (unable to open database file): "
    assert refusal_of(path).startswith(expected)


def test_refused_file_is_closed_again(path: Path, open_below: Callable[[Path], list[str]]) -> None:
    run(path, "CREATE TABLE recipes (name TEXT)")
    refusal_of(path)
    assert open_below(path) == []


def test_atomic_block_commits_at_its_end(path: Path, rows: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        with atomic(rows):
            rows.execute(ITEM, (b"1", "a"))
            assert count(other, "items") == 0
        assert count(other, "items") == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_block_that_raises_keeps_nothing_and_passes_the_error_on(
    rows: sqlite3.Connection, error: type[BaseException]
) -> None:
    def write_and_fail() -> None:
        with atomic(rows):
            rows.execute(ITEM, (b"1", "a"))
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert count(rows, "items") == 0
    assert not rows.in_transaction


def test_full_database_is_a_full_disk_with_what_to_do_now(path: Path, rows: sqlite3.Connection) -> None:
    (pages,) = rows.execute("PRAGMA page_count").fetchone()
    rows.execute(f"PRAGMA max_page_count = {pages}")
    expected = (
        f"the disk of {path.parent} is full: free some space and run this again; what was reported as accepted is safe"
    )
    with pytest.raises(DiskFullError, match=f"^{re.escape(expected)}$"), translated(path.parent), atomic(rows):
        rows.executemany(ITEM, ((number.to_bytes(2, "big"), "a") for number in range(1000)))
    assert count(rows, "items") == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_and_full_quota_are_a_full_disk(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFullError, match="is full: free some space") as caught, translated(tmp_path):
        raise OSError(number, os.strerror(number), "content/ab")
    assert caught.value.exit_code == 1


def test_other_error_of_the_system_names_folder_reason_and_file(tmp_path: Path) -> None:
    expected = (
        f"{tmp_path} cannot be used (Permission denied: content/ab): correct this, or choose another state folder"
    )
    with pytest.raises(StoreError, match=re.escape(expected)) as caught, translated(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "content/ab")
    assert not isinstance(caught.value, DiskFullError)


def test_io_error_with_room_on_the_disk_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="disk I/O error") as caught, translated(tmp_path):
        raise sqlite3.OperationalError("disk I/O error")
    assert not isinstance(caught.value, DiskFullError)


def test_our_own_errors_pass_as_they_are(tmp_path: Path) -> None:
    error = StoreError("in use")
    with pytest.raises(StoreError) as caught, translated(tmp_path):
        raise error
    assert caught.value is error
