"""The feed that an index follows: what came and went since it looked last, also across a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.items import Arrival, Embedded, Item, Verdict
from edge.memory import Changes, Memory

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
Found = dict[int, list[int]]


def added(changes: Changes) -> Found:
    return {part.depth: part.ids.tolist() for part in changes.added}


def test_nothing_happened_is_nothing_to_tell(memory: Memory) -> None:
    changes = memory.changes(0)
    assert (changes.sequence, changes.added, changes.removed.tolist()) == (0, (), [])


def test_only_what_came_since_is_told(memory: Memory, keep: Keep) -> None:
    keep(memory, "ape", "bee")
    first = memory.changes(0)
    assert added(first) == {11: [1, 2]}
    keep(memory, "cat", depth=8, axis=3)
    keep(memory, "dog")
    second = memory.changes(first.sequence)
    assert added(second) == {8: [3], 11: [4]}
    np.testing.assert_array_equal(second.added[0].embeddings, np.eye(8)[[3]])
    assert memory.changes(second.sequence).added == ()


def test_offset_comes_with_the_embedding(memory: Memory, named: Named) -> None:
    memory.accept([named("ape"), named("bee")])
    vector = np.eye(8, dtype=np.float32)[0]
    memory.index(
        [Embedded(item=1, depth=8, embedding=vector, offset=-2.5), Embedded(item=2, depth=8, embedding=vector)]
    )
    (part,) = memory.changes(0).added
    assert part.offsets.dtype == np.float32
    assert part.offsets.tolist() == [-2.5, 0.0]


def test_sequence_is_the_version_and_goes_on_after_a_restart(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "ape")
        seen = memory.changes(0).sequence
        assert seen == memory.version
    with Memory(state, "bundle one") as memory:
        assert memory.version == seen
        assert added(memory.changes(seen)) == {}
        keep(memory, "bee")
        assert added(memory.changes(seen)) == {11: [2]}
        assert memory.version > seen


@pytest.fixture
def lose(state: Path, content_file: Callable[[Path, Item], Path]) -> Callable[[Item], None]:
    return lambda item: content_file(state, item).unlink()


def test_item_that_goes_is_removed_and_one_that_comes_back_is_removed_and_added(
    memory: Memory, keep: Keep, named: Named, lose: Callable[[Item], None]
) -> None:
    keep(memory, "ape", "bee")
    seen = memory.changes(0).sequence
    lose(memory.item(1))
    memory.accept([named("ape")])
    gone = memory.changes(seen)
    assert (added(gone), gone.removed.tolist()) == ({}, [1])
    keep(memory, depth=8)
    back = memory.changes(seen)
    assert (added(back), back.removed.tolist()) == ({8: [1]}, [1])
    assert memory.changes(gone.sequence).removed.tolist() == []


def test_item_that_another_bundle_embeds_is_removed_from_what_this_one_had(
    state: Path, keep: Keep, embedded: Callable[..., Embedded]
) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "ape", "bee")
        seen = memory.changes(0).sequence
    with Memory(state, "bundle two") as memory:
        assert memory.changes(0).removed.tolist() == []
        memory.index([embedded(1)])
        assert memory.changes(0).removed.tolist() == []  # it was never there
    with Memory(state, "bundle one") as memory:
        assert memory.changes(seen).removed.tolist() == [1]
        assert added(memory.changes(0)) == {11: [2]}


def test_item_at_several_exits_is_told_at_the_deepest(memory: Memory, keep: Keep) -> None:
    keep(memory, "ape", depth=16, axis=2)
    seen = memory.changes(0).sequence
    memory._rows.execute(  # as an earlier version left it
        "INSERT INTO embeddings SELECT item, model, 8, vector, offset, sequence + 1 FROM embeddings"
    )
    assert added(memory.changes(seen)) == {16: [1]}


def test_changes_of_another_bundle_are_not_told(state: Path, keep: Keep) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "ape")
    with Memory(state, "bundle two") as memory:
        assert added(memory.changes(0)) == {}
        keep(memory)
        seen = memory.version
    with Memory(state, "bundle one") as memory:
        assert added(memory.changes(0)) == {}
        assert memory.version == seen
        assert added(memory.changes(seen)) == {}
