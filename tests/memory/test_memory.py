"""What can be searched: embeddings by exit, of this bundle alone, and the same after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DiskFullError
from edge.items import Arrival, Embedded, Verdict
from edge.memory import Memory

Named = Callable[[str], Arrival]
Build = Callable[..., Embedded]
Keep = Callable[..., list[Verdict]]
Found = Callable[[Memory], dict[int, list[str]]]
Files = Callable[[Path], list[Path]]
MANY = [f"picture {number}" for number in range(64)]


def test_embedded_item_can_be_searched_and_read(memory: Memory, keep: Keep) -> None:
    keep(memory, "cat", depth=8, axis=3)
    (part,) = memory.partitions()
    item = memory.item(int(part.ids[0]))
    assert item.source == "/pictures/cat.jpg"
    assert memory.content(item) == b"cat"
    assert part.depth == 8
    assert part.embeddings.dtype == np.float32
    np.testing.assert_array_equal(part.embeddings, np.eye(8)[[3]])


def test_embedding_is_kept_to_half_precision(memory: Memory, named: Named) -> None:
    embedding = (np.linspace(-1, 1, 8) / np.linalg.norm(np.linspace(-1, 1, 8))).astype(np.float32)
    memory.accept([named("cat")])
    memory.index([Embedded(item=1, depth=11, embedding=embedding)])
    np.testing.assert_allclose(memory.partitions()[0].embeddings[0], embedding, atol=2.0**-11)


def test_a_group_is_one_commit(memory: Memory, named: Named, embedded: Build, statements: list[str]) -> None:
    memory.accept([named(text) for text in MANY])
    statements.clear()
    memory.index([embedded(item.id) for item in memory.waiting(64)])
    assert statements.count("COMMIT") == 1


def test_only_what_a_search_can_see_changes_the_version(memory: Memory, named: Named, embedded: Build) -> None:
    memory.accept([named("cat"), named("dog")])
    assert memory.version == 0
    memory.index([embedded(1)])
    assert memory.version == 1
    memory.reject(memory.item(2), "damaged")
    memory.accept([named("cat")])
    assert memory.version == 1


def test_failed_group_changes_neither_version_nor_tally_and_waits_on(
    memory: Memory,
    named: Named,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    memory.accept([named(text) for text in MANY * 4])
    batch = [Embedded(item=item.id, depth=11, embedding=np.ones(512, np.float32)) for item in memory.waiting(1_000)]
    before = memory.tally
    with no_room_for_rows(memory), pytest.raises(DiskFullError):
        memory.index(batch)
    assert (memory.version, memory.tally, len(memory.waiting(1_000))) == (0, before, 64)
    memory.index(batch)
    assert (memory.version, memory.tally.waiting, memory.waiting(1)) == (1, 0, [])


def test_item_at_several_exits_counts_once_at_the_deepest(
    memory: Memory, keep: Keep, embedded: Build, found_in: Found
) -> None:
    keep(memory, "cat", depth=11, axis=1)
    keep(memory, "dog", depth=8)
    memory.index([embedded(1, depth=16, axis=2)])
    memory.index([embedded(1, depth=8, axis=3)])
    assert found_in(memory) == {8: ["dog"], 16: ["cat"]}
    assert dict(memory.tally.exits) == {8: 1, 16: 1}
    np.testing.assert_array_equal(memory.partitions()[1].embeddings, np.eye(8)[[2]])


def test_partitions_go_from_shallow_to_deep(memory: Memory, keep: Keep) -> None:
    for text, depth in (("c", 16), ("a", 3), ("b", 11)):
        keep(memory, text, depth=depth)
    assert [part.depth for part in memory.partitions()] == [3, 11, 16]
    assert list(memory.tally.exits.items()) == [(3, 1), (11, 1), (16, 1)]


def test_empty_memory_has_no_partitions(memory: Memory) -> None:
    assert memory.partitions() == ()


def test_item_that_is_not_there_is_a_key_error(memory: Memory) -> None:
    with pytest.raises(KeyError, match="7"):
        memory.item(7)


def test_content_whose_file_is_gone_is_none_and_the_item_stays(
    memory: Memory, keep: Keep, state: Path, content_files: Files, found_in: Found
) -> None:
    keep(memory, "cat")
    content_files(state)[0].unlink()
    assert found_in(memory) == {11: ["cat"]}
    assert memory.content(memory.item(1)) is None


def test_reopened_memory_finds_everything(state: Path, keep: Keep, found_in: Found) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, *MANY)
        keep(memory, "cat", depth=16)
        before, tally = found_in(memory), memory.tally
    with Memory(state, "bundle one") as memory:
        assert found_in(memory) == before
        assert memory.tally == tally
        assert all(memory.content(memory.item(number + 1)) is not None for number in range(65))


def test_embeddings_of_another_bundle_are_not_searched(state: Path, keep: Keep, found_in: Found) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat", axis=1)
        keep(memory, "dog")
    with Memory(state, "bundle two") as memory:
        assert memory.partitions() == ()
        assert dict(memory.tally.exits) == {}
        memory.index([Embedded(item=1, depth=11, embedding=np.eye(8, dtype=np.float32)[2])])
        assert found_in(memory) == {11: ["cat"]}
        np.testing.assert_array_equal(memory.partitions()[0].embeddings, np.eye(8)[[2]])
    with Memory(state, "bundle one") as memory:
        assert found_in(memory) == {11: ["dog"]}
        np.testing.assert_array_equal(memory.partitions()[0].embeddings, np.eye(8)[[0]])


def test_what_a_kill_left_is_swept_at_the_next_start(
    state: Path, keep: Keep, content_files: Files, found_in: Found
) -> None:
    with Memory(state, "bundle one") as memory:
        keep(memory, "cat")
    kept = content_files(state)
    orphan = hashlib.sha256(b"never committed").hexdigest()
    (state / "content" / orphan[:2]).mkdir(exist_ok=True)
    (state / "content" / orphan[:2] / orphan).write_bytes(b"never committed")
    kept[0].with_suffix(".tmp").write_bytes(b"ca")
    with Memory(state, "bundle one") as memory:
        assert content_files(state) == kept
        assert found_in(memory) == {11: ["cat"]}
