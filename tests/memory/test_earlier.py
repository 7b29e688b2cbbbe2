"""What an earlier bundle embedded is read like what the present one has: errors of the database are ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.items import Verdict
from edge.memory import Memory
from edge.memory.rows.tower_rows import TowerRows


def broken() -> sqlite3.Connection:
    """A connection to a database without our tables."""
    return sqlite3.connect(":memory:")


def test_rows_of_an_earlier_bundle_are_what_it_embedded(state: Path, keep: Callable[..., list[Verdict]]) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee", depth=8)
    with Memory(state, "two") as memory:
        rows = memory.feed(origin=memory.origins[0])
        assert rows.counts() == {8: 2}
        assert [part.ids.tolist() for part in rows.rows(8)] == [[1, 2]]
        assert [part.ids.tolist() for part in rows.changes(0).added] == [[1, 2]]


@pytest.mark.parametrize("read", [TowerRows.counts, lambda rows: rows.changes(0), lambda rows: list(rows.rows(8))])
def test_database_that_cannot_be_read_is_an_error_of_the_store(
    read: Callable[[TowerRows], object], tmp_path: Path
) -> None:
    rows = TowerRows(1, "image", broken, lambda: 1, tmp_path)
    with pytest.raises(StoreError, match=r"cannot be used \(no such table"):
        read(rows)
