"""The list of what was removed stays short, and no index misses what goes from it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from edge.memory import Memory
from edge.memory.rows.database import SCHEMA
from edge.memory.rows.tower_rows import TowerRows
from feeds import forget, remember
from indexes import settle, unit_rows
from removals import LONGEST_TAIL, erase, found, inodes, listed, open_index

COUNT = 40
WHOLE = list(range(1, COUNT + 1))


@pytest.fixture
def filled(state: Path) -> Path:
    """A state folder: items 1 to 40 at depth 3, with sealed index files."""
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(COUNT))
        open_index(memory)
    assert list(inodes(state / "index")) == ["image-03.1"]
    return state


def test_what_is_forgotten_is_on_no_list_and_the_files_serve_after_a_restart(filled: Path) -> None:
    with Memory(filled, "a") as memory:
        open_index(memory)
        erase(memory, 1, 2)
        assert listed(memory) == 0
        before = inodes(filled / "index")
    with Memory(filled, "a") as memory:
        index = open_index(memory)
        assert (found(index), index.damaged) == (WHOLE[2:], 0)
        assert inodes(filled / "index") == before


def test_files_that_lack_it_keep_it_on_the_list_until_they_are_made_anew(filled: Path) -> None:
    with Memory(filled, "a") as memory:
        open_index(memory)
        forget(memory, WHOLE[:3])
        memory.sweep_indexes()
        assert listed(memory) == 3
    with Memory(filled, "a") as memory:
        index = open_index(memory)
        memory.sweep_indexes()
        assert (listed(memory), found(index)) == (3, WHOLE[3:])
        remember(memory, unit_rows(20, seed=2))
        settle(index)
        memory.sweep_indexes()
        assert (listed(memory), found(index)) == (0, [*WHOLE[3:], *range(41, 61)])


@pytest.mark.parametrize("slow", ["image", "text"])
def test_an_index_that_has_not_looked_for_a_while_still_learns_what_was_removed(state: Path, slow: str) -> None:
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(9))  # too few for files
        indexes = {tower: open_index(memory, tower=tower) for tower in ("image", "text")}
        forget(memory, [1])
        for tower, index in indexes.items():
            if tower != slow:
                index.refresh()
        memory.sweep_indexes()
        assert listed(memory) == 1
        indexes[slow].refresh()
        assert found(indexes["image"]) == list(range(2, 10))
        memory.sweep_indexes()
        assert listed(memory) == 0


def test_an_index_that_opens_while_something_is_forgotten_does_not_hold_it(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = TowerRows.counts
    with Memory(filled, "a") as memory:
        forgetting = threading.Thread(target=erase, args=(memory, 1), name="forgetting")

        def late(rows: TowerRows) -> object:  # its files are open, and what came since is not read so far
            if not forgetting.ident:
                forgetting.start()
                forgetting.join(0.5)
            return counts(rows)

        monkeypatch.setattr(TowerRows, "counts", late)
        index = open_index(memory)
        forgetting.join()
        assert (found(index), index.damaged) == (WHOLE[1:], 0)


def test_list_and_database_stay_as_small_through_many_rounds(state: Path) -> None:
    rounds, each = 8, 30
    pages = []
    with Memory(state, "a") as memory:
        quiet = remember(memory, unit_rows(20), depth=6)  # whose files have no reason of their own to be made anew
        index = open_index(memory)
        last = remember(memory, unit_rows(each), depth=3)
        for number in range(rounds):
            new = remember(memory, unit_rows(each, seed=number), depth=3)
            settle(index)
            erase(memory, *last)
            assert listed(memory) <= LONGEST_TAIL + 2 * each
            last = new
            pages.append(memory._rows.execute("PRAGMA page_count").fetchone())
    assert pages[-1] <= pages[rounds // 2]
    with Memory(state, "a") as memory:
        index = open_index(memory)
        assert (found(index), index.damaged) == ([*quiet, *last], 0)


def test_files_without_a_row_hold_up_nothing(filled: Path) -> None:
    with Memory(filled, "a") as memory:
        index = open_index(memory)
        remember(memory, unit_rows(COUNT, seed=2), depth=6, items=WHOLE)  # all go deeper
        settle(index)
        assert {name.partition(".")[0] for name in inodes(filled / "index")} == {"image-03", "image-06"}
        erase(memory, 1)
        assert (listed(memory), found(index)) == (0, WHOLE[1:])
    with Memory(filled, "a") as memory:
        index = open_index(memory)
        assert (found(index), index.damaged) == (WHOLE[1:], 0)


def test_files_of_an_earlier_bundle_that_nothing_changes_hold_up_no_list_but_their_own(filled: Path) -> None:
    with Memory(filled, "b") as memory:
        ids = remember(memory, unit_rows(20, seed=2))
        earlier, index = open_index(memory, memory.origins[0]), open_index(memory)
        assert len(inodes(filled / "index")) == 2
        for item in ids[:3]:
            remember(memory, unit_rows(1))
            erase(memory, item)
            assert listed(memory, model=2) == 0
        assert (found(earlier), len(found(index))) == (WHOLE, 20)


def test_numbers_go_on_where_nothing_is_left(filled: Path) -> None:
    with Memory(filled, "a") as memory:
        erase(memory, *WHOLE)
        version = memory.version
        assert (listed(memory), memory.tally.items) == (0, 0)
    with Memory(filled, "a") as memory:
        assert memory.version == version
        remember(memory, unit_rows(1))
        assert memory.version == version + 1


def test_start_on_a_full_disk_goes_on_and_leaves_the_list_for_later(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory(filled, "a") as memory:
        forget(memory, [1])
        with monkeypatch.context() as patched:
            patched.setattr("edge.memory.forgetting.prune", full)
            memory.sweep_indexes()
        assert listed(memory) == 1
        memory.sweep_indexes()
        assert listed(memory) == 0


def full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_schema_before_had_a_whole_list_and_its_files_serve_on(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Memory(filled, "a") as memory:
        forget(memory, [1])
    with contextlib.closing(sqlite3.connect(filled / "memory.db")) as rows, rows:
        rows.execute("ALTER TABLE models DROP COLUMN pruned")
        rows.execute("PRAGMA user_version = 7")
    before = inodes(filled / "index")
    caplog.set_level(logging.INFO)
    with Memory(filled, "a") as memory:
        index = open_index(memory)
        assert memory._rows.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
        assert (found(index), listed(memory)) == (WHOLE[1:], 1)
    assert inodes(filled / "index") == before
    assert not caplog.records
