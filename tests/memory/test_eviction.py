"""Raw content beyond its limits goes, the oldest first; what it leaves is found, and says that it is gone."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from clocks import Board
from edge.items import Arrival, Verdict
from edge.memory import Limits, Memory
from edge.memory.disk.clock import SETTLED_S
from edge.memory.disk.eviction import AT_ONCE

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
Files = Callable[[Path], list[Path]]
NONE = Limits(max_bytes=0)
ROOT = Path(__file__).parents[2]


def kept(memory: Memory, files: Files) -> list[str]:
    """The texts whose files are there."""
    return sorted(path.read_text() for path in files(memory.folder))


def test_the_oldest_content_goes_first_and_no_more_than_must(memory: Memory, keep: Keep, content_files: Files) -> None:
    keep(memory, "ape", "bee", "cat", "dog")
    assert memory.evict(Limits(max_bytes=8)) == 2
    assert kept(memory, content_files) == ["cat", "dog"]
    assert [memory.item(number).evicted for number in (1, 2, 3, 4)] == [True, True, False, False]
    assert memory.evict(Limits(max_bytes=8)) == 0


def test_at_a_large_limit_a_hundredth_more_goes_so_that_not_every_item_costs_a_commit(
    memory: Memory, keep: Keep
) -> None:
    keep(memory, *(f"{number:020}" for number in range(51)))
    assert memory.evict(Limits(max_bytes=1_000)) == 2
    keep(memory, "x" * 15)
    assert memory.evict(Limits(max_bytes=1_000)) == 0


def test_what_is_evicted_is_found_as_before_and_has_no_content(
    memory: Memory, keep: Keep, content_files: Files
) -> None:
    keep(memory, "ape", depth=8)
    version = memory.version
    assert memory.evict(NONE) == 1
    assert kept(memory, content_files) == []
    assert memory.content(memory.item(1)) is None
    assert [part.ids.tolist() for part in memory.partitions()] == [[1]]
    assert memory.version == version  # nothing for an index to follow


def test_item_that_waits_keeps_its_content_until_it_is_embedded(
    memory: Memory, named: Named, keep: Keep, content_files: Files
) -> None:
    memory.accept([named("ape"), named("bee")])
    assert memory.evict(NONE) == 0
    keep(memory)
    assert memory.evict(NONE) == 2
    assert kept(memory, content_files) == []


def test_tally_says_what_is_kept_also_after_a_restart(state: Path, keep: Keep) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee", "mouse")
        memory.evict(Limits(max_bytes=5))
        tally = memory.tally
        assert (tally.items, tally.content_bytes) == (3, 5)
    with Memory(state, "one") as memory:
        assert memory.tally == tally


def test_more_than_a_few_go_in_several_commits(memory: Memory, keep: Keep, content_files: Files) -> None:
    keep(memory, *(f"{number}" for number in range(AT_ONCE + 3)))
    assert [memory.evict(NONE) for _ in range(3)] == [AT_ONCE, 3, 0]
    assert kept(memory, content_files) == []


def test_without_limits_everything_stays(memory: Memory, keep: Keep, content_files: Files) -> None:
    keep(memory, "ape")
    assert memory.evict(Limits()) == 0
    assert kept(memory, content_files) == ["ape"]


def test_both_limits_hold_and_the_old_go_where_there_is_room_for_them(state: Path, keep: Keep, board: Board) -> None:
    with Memory(state, "one") as memory:
        board.rest(SETTLED_S)
        keep(memory, "ape", "bee")
        board.rest(60)
        keep(memory, "cat")
        assert memory.evict(Limits(max_bytes=100, max_age_s=60)) == 0
        board.rest(1)
        assert memory.evict(Limits(max_bytes=100, max_age_s=60)) == 2
        assert memory.evict(Limits(max_bytes=0, max_age_s=60)) == 1


def test_opening_takes_what_was_evicted_for_no_damage(state: Path, keep: Keep, content_files: Files) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", "bee")
        memory.evict(Limits(max_bytes=3))
    for bundle in ("two", "one"):
        with Memory(state, bundle) as memory:
            assert memory.tally.rejected == 0
            assert [item.source for item in memory.waiting(9)] == (["/pictures/bee.jpg"] if bundle == "two" else [])
    with Memory(state, "one") as memory:
        assert sum(len(part.ids) for part in memory.partitions()) == 2
        assert kept(memory, content_files) == ["bee"]


def test_the_same_bytes_are_a_duplicate_and_are_not_stored_again(
    memory: Memory, named: Named, keep: Keep, content_files: Files
) -> None:
    keep(memory, "ape")
    memory.evict(NONE)
    assert memory.known(named("ape").digest) == Verdict("duplicate", named("ape").digest)
    assert [verdict.state for verdict in memory.accept([named("ape")])] == ["duplicate"]
    assert memory.item(1).sightings == 2
    assert kept(memory, content_files) == []


def test_the_same_bytes_are_stored_again_where_only_another_bundle_knows_them(
    state: Path, named: Named, keep: Keep, content_files: Files, found_in: Callable[[Memory], dict[int, list[str]]]
) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape", depth=8)
        memory.evict(NONE)
    with Memory(state, "two") as memory:
        assert memory.known(named("ape").digest) is None
        assert [verdict.state for verdict in keep(memory, "ape", depth=3)] == ["accepted"]
        assert kept(memory, content_files) == ["ape"]
        assert not memory.item(1).evicted
        assert found_in(memory) == {3: ["ape"]}
        assert memory.tally.content_bytes == 3
    with Memory(state, "one") as memory:
        assert found_in(memory) == {}
        assert [item.id for item in memory.waiting(9)] == [1]


def test_file_that_a_kill_left_behind_its_row_is_swept(
    state: Path, keep: Keep, content_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory(state, "one") as memory:
        keep(memory, "ape")
        monkeypatch.setattr(memory._content, "remove", lambda _: None)
        memory.evict(NONE)
        assert kept(memory, content_files) == ["ape"]
    with Memory(state, "one") as memory:
        assert kept(memory, content_files) == []
        assert memory.item(1).evicted


def test_commit_that_fails_deletes_no_file(memory: Memory, keep: Keep, content_files: Files) -> None:
    keep(memory, "ape")
    tally = memory.tally
    memory._rows.execute("CREATE TEMP TRIGGER no BEFORE UPDATE ON items BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(OSError, match=r"cannot be used \(no\)"):
        memory.evict(NONE)
    assert (kept(memory, content_files), memory.tally) == (["ape"], tally)


def test_looking_for_the_oldest_does_not_go_through_what_is_gone(memory: Memory, keep: Keep) -> None:
    keep(memory, "ape")
    memory.evict(NONE)
    plan = str(
        memory._rows.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM items WHERE NOT evicted AND rejected IS NULL"
            " AND modality != 'text' AND id NOT IN (SELECT item FROM waiting) ORDER BY added_at, id LIMIT 9"
        ).fetchall()
    )
    assert "pictures_with_content" in plan
    assert "TEMP B-TREE" not in plan


# Accepts, embeds and evicts without end; says the number of each item that it was told is accepted.
WORKER = """
import hashlib, itertools, sys
from pathlib import Path
import numpy as np
from edge.items import Arrival, Embedded
from edge.memory import Limits, Memory
with Memory(Path(sys.argv[1]), "one") as memory:
    first = memory.tally.items
    for number in itertools.count(first, 4):
        texts = [str(number + offset).encode() * 500 for offset in range(4)]
        memory.accept([
            Arrival(content=text, digest=hashlib.sha256(text).digest(), modality="image", source="", taken_at=None)
            for text in texts
        ])
        print(number + 4, flush=True)
        embedding = np.eye(8, dtype=np.float32)[0]
        memory.index([Embedded(item=item.id, depth=3, embedding=embedding) for item in memory.waiting(2)])
        memory.evict(Limits(max_bytes=4_000))
"""


def test_whenever_it_is_killed_the_file_is_there_or_the_row_says_that_it_is_gone(state: Path) -> None:
    evicted = accepted = 0
    for _ in range(6):
        command = [sys.executable, "-c", WORKER, str(state)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(random.uniform(0.0, 0.15))  # noqa: S311 - any moment will do
            worker.kill()
            accepted = max([accepted, *map(int, worker.stdout.read().split())])
        with closing(sqlite3.connect(state / "memory.db")) as rows:
            found = rows.execute("SELECT hex(digest), evicted, bytes FROM items").fetchall()
        assert len(found) >= accepted
        for digest, is_evicted, size in found:
            name = digest.lower()
            path = state / "content" / name[:2] / name
            assert is_evicted or path.stat().st_size == size
        evicted = sum(is_evicted for _, is_evicted, _ in found)
        with Memory(state, "one") as memory:
            files = sum(1 for path in (state / "content").rglob("*") if path.is_file())
            assert files == len(found) - evicted
            assert memory.tally.rejected == 0
    assert evicted
