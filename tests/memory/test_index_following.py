"""The index follows a real memory: commits, moves, removals, restarts, other bundles, lost files."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.memory import Memory
from edge.memory.index import Limits
from feeds import CountingFeed, forget, remember
from indexes import by_hand, folders, index_over, settle, unit_rows

QUERIES = unit_rows(10, seed=2)


@pytest.fixture
def filled(state: Path) -> Memory:
    """A closed memory: 1,000 items at depth 3."""
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(1_000))
    return memory


def test_answers_are_those_of_brute_force_with_the_offsets_of_every_exit(state: Path) -> None:
    random = np.random.default_rng(4)
    with Memory(state, "a") as memory, index_over(memory) as index:
        for depth in (3, 6, 12):
            remember(memory, unit_rows(400, seed=depth), depth, random.normal(size=400))
        settle(index)
        assert (len(index), index.depths) == (1_200, (3, 6, 12))
        for depth in (3, 6, 12):
            for query in QUERIES:
                found = index.search(depth, query, 10)
                np.testing.assert_array_equal(found.ids, by_hand(memory, depth, query, 10))
                assert (np.diff(found.scores) <= 0).all()


def test_a_commit_is_found_after_a_refresh_and_only_it_is_read(state: Path) -> None:
    with Memory(state, "a") as memory:
        remember(memory, unit_rows(1_000))
        feed = CountingFeed(memory)
        with index_over(memory, feed=feed) as index:
            settle(index)
            feed.read = 0
            (new,) = remember(memory, QUERIES[:1])
            assert new not in index.search(3, QUERIES[0], 5).ids
            index.follow()
            assert index.search(3, QUERIES[0], 5).ids[0] == new
            assert feed.read == 1


def test_an_item_that_moves_deeper_leaves_the_shallower_exit(state: Path) -> None:
    with Memory(state, "a") as memory, index_over(memory) as index:
        ids = remember(memory, unit_rows(500))
        settle(index)
        remember(memory, QUERIES[:1], depth=12, items=ids[:1])
        index.follow()
        assert index.search(12, QUERIES[0], 5).ids.tolist() == ids[:1]
        assert ids[0] not in index.search(3, unit_rows(500)[0], 500).ids
        assert len(index) == 500


def test_a_removed_item_is_not_found(state: Path) -> None:
    with Memory(state, "a") as memory, index_over(memory) as index:
        ids = remember(memory, unit_rows(500))
        settle(index)
        forget(memory, ids[:3])
        index.follow()
        assert len(index) == 497
        assert not set(index.search(3, unit_rows(500)[1], 500).ids.tolist()) & set(ids[:3])


def test_a_reopened_index_answers_the_same_and_reads_only_what_came_since(filled: Memory) -> None:
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        settle(index)
        remember(memory, unit_rows(20, seed=9))
        index.follow()
        before = [index.search(3, query, 20) for query in QUERIES]
    with Memory(filled.folder, "a") as memory:
        feed = CountingFeed(memory)
        with index_over(memory, feed=feed) as index:
            assert feed.read == 20
            for query, found in zip(QUERIES, before, strict=True):
                again = index.search(3, query, 20)
                np.testing.assert_array_equal(again.ids, found.ids)
                np.testing.assert_array_equal(again.scores, found.scores)


def test_what_a_restart_reads_again_takes_no_room(state: Path) -> None:
    """Two exits are sealed at different times; the older one's number makes the newer one's rows be told again."""
    with Memory(state, "a") as memory, index_over(memory) as index:
        remember(memory, unit_rows(400), depth=3)
        settle(index)
        remember(memory, unit_rows(400), depth=6)
        settle(index)
    with Memory(state, "a") as memory:
        feed = CountingFeed(memory)
        with index_over(memory, feed=feed) as index:
            assert feed.read == 400
            assert len(index._partitions[6]._tail) == 0


def test_the_whole_folder_may_vanish_and_comes_back(filled: Memory) -> None:
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        settle(index)
        shutil.rmtree(memory.folder / "index")
        np.testing.assert_array_equal(index.search(3, QUERIES[0], 10).ids, by_hand(memory, 3, QUERIES[0], 10))
        remember(memory, unit_rows(400, seed=8))
        settle(index)
        assert len(folders(memory)) == 1
        np.testing.assert_array_equal(index.search(3, QUERIES[0], 10).ids, by_hand(memory, 3, QUERIES[0], 10))
    shutil.rmtree(filled.folder / "index")
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        assert len(index) == 1_400
        assert len(folders(memory)) == 1


def test_few_items_make_no_files(state: Path) -> None:
    with Memory(state, "a") as memory, index_over(memory) as index:
        remember(memory, unit_rows(299))
        settle(index)
        assert folders(memory) == []
    with Memory(state, "a") as memory, index_over(memory) as index:
        assert (len(index), folders(memory)) == (299, [])


def test_files_of_another_bundle_are_replaced_without_a_word(filled: Memory, caplog: pytest.LogCaptureFixture) -> None:
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        settle(index)
    with Memory(filled.folder, "b") as memory, index_over(memory, fingerprint="b") as index:
        assert (len(index), folders(memory)) == (0, [])
        remember(memory, QUERIES, items=range(1, 11))
        index.follow()
        assert index.search(3, QUERIES[4], 1).ids.tolist() == [5]
    assert not caplog.records


def test_files_newer_than_the_database_are_replaced_without_a_word(
    filled: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    """As after the database was put back from a backup."""
    backup = filled.folder.with_name("backup")
    shutil.copytree(filled.folder, backup)
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        remember(memory, unit_rows(700, seed=5))
        settle(index)
    shutil.copytree(filled.folder / "index", backup / "index")
    with Memory(backup, "a") as memory, index_over(memory) as index:
        assert len(index) == 1_000
        np.testing.assert_array_equal(index.search(3, QUERIES[0], 10).ids, by_hand(memory, 3, QUERIES[0], 10))
    assert not caplog.records


def test_files_that_do_not_add_up_with_the_database_are_made_anew(
    filled: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        settle(index)
    with Memory(filled.folder, "a") as memory:
        memory._rows.execute("DELETE FROM embeddings WHERE item <= 10")  # by another program: in no list of changes
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        assert len(index) == 990
        assert min(index.search(3, QUERIES[0], 990).ids) == 11
    assert [record.message for record in caplog.records] == [
        "the index of image-03 is rebuilt from the memory: 990 items should be found, 1000 are"
    ]


def test_without_room_for_files_the_index_is_kept_in_memory(filled: Memory, caplog: pytest.LogCaptureFixture) -> None:
    (filled.folder / "index").write_text("a file where the folder should be")
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        assert len(index) == 1_000
        np.testing.assert_array_equal(index.search(3, QUERIES[0], 10).ids, by_hand(memory, 3, QUERIES[0], 10))
    assert "cannot be written" in caplog.text


def test_files_of_another_tower_are_left_alone(filled: Memory) -> None:
    other = filled.folder / "index" / "audio-03.1"
    other.mkdir(parents=True)
    with Memory(filled.folder, "a") as memory, index_over(memory) as index:
        settle(index)
    assert other.is_dir()


def test_without_annoy_search_is_exact_and_says_so_once(
    filled: Memory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.memory.index.following.annoy_is_installed", lambda: False)
    caplog.set_level(logging.INFO)
    limits = Limits(forest_from=500, shortest_tail=300, longest_tail=2_000)
    with Memory(filled.folder, "a") as memory, index_over(memory, limits=limits) as index:
        settle(index)
        remember(memory, unit_rows(400, seed=8))
        settle(index)
        index.follow()
        np.testing.assert_array_equal(index.search(3, QUERIES[0], 10).ids, by_hand(memory, 3, QUERIES[0], 10))
        assert [path.name for path in (memory.folder / "index").glob("*/forest")] == []
    (told,) = caplog.records
    assert told.message == (
        "annoy is not installed: searching 1000 items exactly, which is slower but finds the same;"
        " `pip install reminisce-edge[annoy]`"
    )
