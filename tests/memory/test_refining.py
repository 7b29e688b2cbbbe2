"""Refined items stay refined: the finer embedding takes the place of the coarse one, whatever comes in between."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DiskFullError
from edge.items import Embedded, Selection, Verdict
from edge.memory import Limits, Memory
from edge.memory.index import Limits as IndexLimits
from edge.memory.index import MemoryIndex
from feeds import remember
from indexes import by_hand, index_over, settle, unit_rows

Keep = Callable[..., list[Verdict]]
Build = Callable[..., Embedded]
ROOT = Path(__file__).parents[2]
LAST = 16


def stored(state: Path) -> list[tuple[int, int]]:
    """Item and depth of every row."""
    with closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as rows:
        return rows.execute("SELECT item, depth FROM embeddings ORDER BY item, depth").fetchall()


def test_finer_embedding_takes_the_place_of_the_coarse_one(memory: Memory, keep: Keep, embedded: Build) -> None:
    keep(memory, "ape", "bee", "cat", depth=8, axis=1)
    before = memory.version
    memory.refine([embedded(1, depth=LAST, axis=5), embedded(3, depth=LAST, axis=6)])
    assert stored(memory.folder) == [(1, LAST), (2, 8), (3, LAST)]
    assert memory.tally.exits == {8: 1, LAST: 2}
    assert memory.version == before + 1
    changes = memory.changes(before)
    assert [(part.depth, part.ids.tolist()) for part in changes.added] == [(LAST, [1, 3])]
    np.testing.assert_array_equal(changes.added[0].embeddings, np.eye(8)[[5, 6]])


def test_exit_that_nothing_is_left_at_is_not_counted(memory: Memory, keep: Keep, embedded: Build) -> None:
    keep(memory, "ape", depth=8)
    memory.refine([embedded(1, depth=LAST)])
    assert memory.tally.exits == {LAST: 1}


def test_what_is_as_fine_already_stays_and_is_no_change(memory: Memory, keep: Keep, embedded: Build) -> None:
    keep(memory, "ape", depth=LAST, axis=1)
    before = memory.version
    memory.refine([embedded(1, depth=LAST, axis=2), embedded(1, depth=8, axis=3)])
    assert (memory.version, memory.tally.exits) == (before, {LAST: 1})
    np.testing.assert_array_equal(memory.partitions()[0].embeddings, np.eye(8)[[1]])


def test_item_that_is_gone_meanwhile_does_not_come_back(memory: Memory, keep: Keep, embedded: Build) -> None:
    keep(memory, "ape", "bee", depth=8)
    memory.forget(Selection(digests=(memory.item(1).digest,)))
    memory.refine([embedded(1, depth=LAST), embedded(2, depth=LAST), embedded(77, depth=LAST)])
    assert stored(memory.folder) == [(2, LAST)]
    assert memory.tally.items == 1


def test_item_that_a_question_finished_cannot_be_rejected_by_the_migration_that_finds_it_evicted(
    state: Path, keep: Keep, embedded: Build
) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee", depth=8)
    with Memory(state, "two") as memory:
        in_flight = memory.item(1)
        memory.refine([embedded(1, depth=LAST)])
        memory.evict(Limits(max_bytes=0))
        assert memory.content(in_flight) is None
        counted = memory.tally
        assert not memory.reject(in_flight, "its content is gone", is_lost=True)
        assert memory.tally == counted
        assert (1, LAST) in stored(state)
    with Memory(state, "two") as memory:
        assert memory.tally == counted


def test_coarse_embedding_that_comes_behind_the_fine_one_is_no_second_row(
    state: Path, keep: Keep, embedded: Build
) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee", depth=8)
    with Memory(state, "two") as memory:
        memory.refine([embedded(1, depth=LAST)])
        assert memory.index([embedded(1, depth=3), embedded(2, depth=3)]) == {1, 2}
        assert stored(state) == [(1, LAST), (2, 3)]
        tally = memory.tally
        assert (dict(tally.exits), tally.earlier, tally.migrating) == ({3: 1, LAST: 1}, 0, 0)
    with Memory(state, "two") as memory:
        assert memory.tally == tally


def test_what_a_question_finished_of_another_bundle_takes_the_place_of_its_embedding(
    state: Path, keep: Keep, embedded: Build
) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee", depth=8)
    with Memory(state, "two") as memory:
        memory.refine([embedded(1, depth=LAST)])
        assert memory.tally.exits == {LAST: 1}
        assert (memory.tally.earlier, memory.tally.migrating, memory.waiting(9)) == (1, 1, [memory.item(2)])
        counted = memory.tally
    with Memory(state, "two") as memory:
        assert memory.tally == counted
    with Memory(state, "one") as memory:
        assert memory.tally.exits == {8: 1}


def test_full_disk_changes_nothing(
    memory: Memory, keep: Keep, no_room_for_rows: Callable[[Memory], AbstractContextManager[None]]
) -> None:
    keep(memory, *map(str, range(40)), depth=8)
    wide = np.ones(4_000, dtype=np.float32)
    finer = [Embedded(item=item, depth=LAST, embedding=wide) for item in range(1, 41)]
    tally, version = memory.tally, memory.version
    with no_room_for_rows(memory), pytest.raises(DiskFullError):
        memory.refine(finer)
    assert (memory.tally, memory.version) == (tally, version)
    assert stored(memory.folder) == [(item, 8) for item in range(1, 41)]
    memory.refine(finer)
    assert memory.tally.exits == {LAST: 40}


# Refines four items a commit, and tells when each commit has come back.
CHILD = """
import sys
from pathlib import Path
import numpy as np
from edge.items import Embedded
from edge.memory import Memory
with Memory(Path(sys.argv[1]), "bundle one") as memory:
    print("ready", flush=True)
    for first in range(1, 401, 4):
        some = range(first, first + 4)
        memory.refine([Embedded(item=item, depth=16, embedding=np.eye(8, dtype=np.float32)[0]) for item in some])
        print(first + 3, flush=True)
"""


def test_kill_leaves_each_item_at_one_exit_and_what_was_told_at_the_last(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, *map(str, range(400)), depth=8)
    between = 0
    for delay_s in (0.0, 0.005, 0.02, 0.04):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(state)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        told = [int(line) for line in child.communicate(timeout=20)[0].split("\n")[:-1]]
        rows = stored(state)
        assert [item for item, _ in rows] == list(range(1, 401))  # each once
        assert {depth for item, depth in rows if item <= max(told, default=0)} <= {LAST}
        done = sum(depth == LAST for _, depth in rows)
        assert done % 4 == 0
        between += 0 < done < 400
        with Memory(state, "bundle one") as memory:
            assert sum(memory.tally.exits.values()) == 400
            assert memory.tally.exits.get(LAST, 0) == done
    assert between


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_index_follows_and_finds_each_item_once_also_after_a_restart(state: Path, share: float) -> None:
    count = 600
    fine = unit_rows(count, seed=7)
    limits = IndexLimits(forest_from=1_000_000, shortest_tail=50)
    refined = list(range(1, 1 + int(share * count)))

    def check(memory: Memory, index: MemoryIndex) -> None:
        assert len(index) == count
        found = [index.search(depth, fine[0], count).ids.tolist() for depth in (3, 12)]
        assert sorted(found[0] + found[1]) == list(range(1, count + 1))
        assert sorted(found[1]) == refined
        np.testing.assert_array_equal(
            index.search(12, fine[0], 10).ids,
            by_hand(memory, 12, fine[0], 10),
        )

    with Memory(state, "a") as memory:
        ids = remember(memory, unit_rows(count), 3)
        with index_over(memory, limits=limits) as index:
            settle(index)
            memory.refine([Embedded(item=item, depth=12, embedding=fine[item - 1]) for item in refined])
            assert ids == list(range(1, count + 1))
            index.refresh()
            check(memory, index)
            assert index.search(6, fine[0], 10).ids.tolist() == []  # an exit that nothing was ever at
        with index_over(memory, limits=limits) as index:  # what is on disk knows nothing of it
            check(memory, index)
            settle(index)
            check(memory, index)
    with Memory(state, "a") as memory, index_over(memory, limits=limits) as index:
        check(memory, index)
