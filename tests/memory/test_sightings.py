"""The same bytes twice are one item that was seen twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.items import Arrival, Verdict
from edge.memory import Memory

Named = Callable[[str], Arrival]


def test_first_sighting_has_no_last_one(memory: Memory, named: Named) -> None:
    memory.accept([named("cat")])
    item = memory.item(1)
    assert (item.sightings, item.seen_at) == (1, None)


def test_each_time_that_it_comes_again_counts_and_the_last_time_is_kept(memory: Memory, named: Named) -> None:
    memory.accept([named("cat"), named("cat")])
    first = memory.item(1)
    memory.sighted([named("cat").digest])
    second = memory.item(1)
    assert (first.sightings, second.sightings) == (2, 3)
    assert first.seen_at is not None
    assert second.seen_at is not None
    assert first.added_at <= first.seen_at <= second.seen_at <= time.time()


def test_sightings_outlast_a_restart_and_change_nothing_else(state: Path, named: Named) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named("cat")])
        tally, version = memory.tally, memory.version
        memory.sighted([named("cat").digest] * 3)
        assert (memory.tally, memory.version) == (tally, version)
    with Memory(state, "bundle one") as memory:
        assert memory.item(1).sightings == 4


def test_many_sightings_are_one_commit(memory: Memory, named: Named, statements: list[str]) -> None:
    memory.accept([named(str(number)) for number in range(10)])
    statements.clear()
    memory.sighted([named(str(number)).digest for number in range(10)])
    assert statements.count("COMMIT") == 1


def test_bytes_that_nobody_knows_were_not_seen(memory: Memory, named: Named) -> None:
    memory.sighted([named("cat").digest])
    with pytest.raises(KeyError):
        memory.item(1)


def test_rejected_content_that_comes_again_is_not_kept(
    state: Path, named: Named, content_files: Callable[[Path], list[Path]]
) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named("cat")])
        memory.reject(memory.item(1), "damaged")
        assert content_files(state) == []
        assert memory.accept([named("cat")]) == [Verdict("rejected", named("cat").digest, "damaged")]
        assert content_files(state) == []


def test_content_of_a_rejected_item_that_a_power_cut_left_is_swept(
    state: Path, named: Named, content_files: Callable[[Path], list[Path]]
) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named("cat"), named("dog")])
        memory._rows.execute("UPDATE items SET rejected = 'damaged' WHERE id = 1")  # and no more: the file is there
    with Memory(state, "bundle one"):
        assert [path.read_bytes() for path in content_files(state)] == [b"dog"]
