"""What database and index take of the disk."""

from __future__ import annotations

from pathlib import Path

from edge.memory import database_bytes


def test_database_its_log_and_the_index_count_and_nothing_else(tmp_path: Path) -> None:
    for name, size in {"memory.db": 5, "memory.db-wal": 70, "index/image-3.ann": 900, "content/ab/abc": 10_000}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert database_bytes(tmp_path) == 975


def test_file_that_is_replaced_while_it_is_looked_at_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory.db").symlink_to(tmp_path / "gone")
    assert database_bytes(tmp_path) == 0
