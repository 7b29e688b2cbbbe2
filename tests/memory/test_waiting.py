"""What waits for its embedding: in which order, for how long, and what never waits again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.items import Arrival, Embedded, Verdict
from edge.memory import Memory
from edge.memory.rows.changes import read_changes

Named = Callable[[str], Arrival]
Build = Callable[..., Embedded]
Keep = Callable[..., list[Verdict]]


def waiting(memory: Memory, count: int = 100) -> list[str]:
    return [Path(item.source).stem for item in memory.waiting(count)]


def test_items_wait_in_the_order_in_which_they_were_accepted(memory: Memory, named: Named, embedded: Build) -> None:
    memory.accept([named("zebra"), named("ape")])
    memory.accept([named("moose")])
    assert waiting(memory) == ["zebra", "ape", "moose"]
    assert waiting(memory, 2) == ["zebra", "ape"]
    memory.index([embedded(2)])
    assert waiting(memory) == ["zebra", "moose"]


def test_what_waited_waits_after_a_restart_in_the_same_order(state: Path, named: Named, embedded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named(text) for text in ("zebra", "ape", "moose", "cat")])
        memory.index([embedded(2)])
        tally = memory.tally
    with Memory(state, "bundle one") as memory:
        assert waiting(memory) == ["zebra", "moose", "cat"]
        assert memory.tally == tally
        assert (tally.items, tally.waiting, tally.waiting_bytes, tally.content_bytes) == (4, 3, 13, 16)


def test_rejected_item_is_remembered_with_its_reason_and_never_waits_again(state: Path, named: Named) -> None:
    digest = named("cat").digest
    refusal = Verdict("rejected", digest, "not a picture that can be read")
    with Memory(state, "bundle one") as memory:
        memory.accept([named("cat"), named("dog")])
        memory.reject(memory.item(1), refusal.reason)
        assert waiting(memory) == ["dog"]
    for bundle in ("bundle one", "bundle two"):
        with Memory(state, bundle) as memory:
            assert waiting(memory) == ["dog"]
            assert memory.known(digest) == refusal
            assert memory.accept([named("cat"), named("dog")])[0] == refusal
            assert waiting(memory) == ["dog"]
            assert memory.tally.rejected == 1
            assert memory.partitions() == ()


def test_item_that_one_bundle_embedded_and_another_cannot_read_stays_with_the_first(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat", "dog")
    for _ in range(2):
        with Memory(state, "bundle two") as memory:
            assert not memory.is_again(1) or not memory.reject(memory.item(1), "damaged since")
            assert waiting(memory) == ["dog"]
            assert (memory.tally.items, memory.tally.earlier, memory.tally.migrating) == (2, 2, 1)
            assert memory.content(memory.item(1)) == b"cat"
    with Memory(state, "bundle one") as memory:
        assert [part.ids.tolist() for part in memory.partitions()] == [[1, 2]]
        tally = memory.tally
        assert (tally.items, tally.waiting, tally.rejected, dict(tally.exits)) == (2, 0, 0, {11: 2})


def test_rejecting_counts_the_item_out(memory: Memory, named: Named) -> None:
    memory.accept([named("cat"), named("horse")])
    memory.reject(memory.item(1), "damaged")
    tally = memory.tally
    assert (tally.items, tally.waiting, tally.waiting_bytes, tally.rejected, tally.content_bytes) == (1, 1, 5, 1, 5)


@pytest.mark.parametrize("again", ["bundle two", "bundle one"])
def test_another_bundle_makes_everything_wait_and_the_first_one_back_nothing_that_it_embedded(
    state: Path, named: Named, keep: Keep, again: str
) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat", "dog")
        memory.accept([named("cow")])
    with Memory(state, "bundle two") as memory:
        assert waiting(memory) == ["cow", "dog", "cat"]
        assert (memory.tally.items, memory.tally.waiting, memory.tally.migrating) == (3, 1, 2)
    with Memory(state, again) as memory:
        assert waiting(memory) == (["cow"] if again == "bundle one" else ["cow", "dog", "cat"])
        keep(memory)
        assert waiting(memory) == []
        assert dict(memory.tally.exits) == {11: 3}
    with Memory(state, again) as memory:
        assert waiting(memory) == []
        assert dict(memory.tally.exits) == {11: 3}


def test_what_earlier_versions_left_of_two_bundles_is_this_ones_alone(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat", "dog")
    with Memory(state, "bundle two") as memory:
        keep(memory)
        memory._rows.execute("INSERT INTO embeddings SELECT item, 1, depth, vector, offset, 1 FROM embeddings")
    with Memory(state, "bundle two") as memory:
        assert memory._rows.execute("SELECT item, model FROM embeddings ORDER BY item").fetchall() == [(1, 2), (2, 2)]
        assert (memory.tally.earlier, memory.tally.migrating, memory.origins) == (0, 0, ())


def test_what_is_this_ones_alone_from_now_on_is_a_change_for_an_index_over_the_others(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat", "dog")
    with Memory(state, "bundle two") as memory:
        keep(memory)
        memory._rows.execute("INSERT INTO embeddings SELECT item, 1, depth, vector, offset, 1 FROM embeddings")
        before = memory.version
    with Memory(state, "bundle two") as memory:
        assert memory.version == before + 1
        assert read_changes(memory._rows, 1, before).removed.tolist() == [1, 2]
