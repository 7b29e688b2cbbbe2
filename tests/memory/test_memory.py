from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import DiskFullError
from edge.items import Encoded
from edge.memory import Memory

Build = Callable[..., Encoded]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def memory(state: Path) -> Iterator[Memory]:
    with Memory(state, "bundle one") as memory:
        yield memory


def content_files(state: Path) -> list[Path]:
    return sorted(path for path in (state / "content").rglob("*") if path.is_file())


def found_in(memory: Memory) -> dict[int, list[str]]:
    """The sources of all items that can be searched, by depth."""
    return {
        part.depth: [Path(memory.item(number).source).stem for number in part.ids.tolist()]
        for part in memory.partitions()
    }


@contextlib.contextmanager
def no_room_for_rows(memory: Memory) -> Iterator[None]:
    """SQLite's own limit: the database cannot grow by one page."""
    (pages,) = memory._rows.execute("PRAGMA page_count").fetchone()
    memory._rows.execute(f"PRAGMA max_page_count = {pages}")
    yield
    memory._rows.execute("PRAGMA max_page_count = 1000000")


@contextlib.contextmanager
def interrupted_after_commit(memory: Memory) -> Iterator[None]:
    """Ctrl-C at the worst moment: SQLite has committed, `keep` has not returned."""
    in_transaction = False

    def interrupt(_frame: object, event: str, function: Any) -> None:
        nonlocal in_transaction
        if event == "c_return" and function.__name__ == "execute":
            if in_transaction and not memory._rows.in_transaction:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)
            in_transaction = memory._rows.in_transaction

    sys.setprofile(interrupt)
    try:
        yield
    finally:
        sys.setprofile(None)


def many(encoded: Build, count: int = 64) -> list[Encoded]:
    return [encoded(f"picture {number}") for number in range(count)]


def test_kept_item_can_be_searched_and_read(memory: Memory, encoded: Build) -> None:
    before = time.time()
    memory.keep([encoded("cat", depth=8, axis=3)])
    (part,) = memory.partitions()
    item = memory.item(int(part.ids[0]))
    assert (item.source, item.modality, item.bytes) == ("/pictures/cat.jpg", "image", 3)
    assert before <= item.added_at <= time.time()
    assert memory.content(item) == b"cat"
    assert part.depth == 8
    assert part.embeddings.dtype == np.float32
    np.testing.assert_array_equal(part.embeddings, np.eye(8)[[3]])


def test_embedding_is_kept_to_half_precision(memory: Memory, encoded: Build) -> None:
    item = encoded("cat")
    item.embedding[:] = np.linspace(-1, 1, 8) / np.linalg.norm(np.linspace(-1, 1, 8))
    memory.keep([item])
    np.testing.assert_allclose(memory.partitions()[0].embeddings[0], item.embedding, atol=2.0**-11)


def test_content_is_on_disk_before_the_row_that_speaks_of_it(memory: Memory, encoded: Build, state: Path) -> None:
    batch = [encoded("cat"), encoded("dog")]
    seen: dict[str, list[str]] = {}
    memory._rows.set_trace_callback(
        lambda statement: seen.setdefault(statement, [p.name for p in content_files(state)])
    )
    memory.keep(batch)
    memory._rows.set_trace_callback(None)
    first, *_, last = seen
    assert (first, last) == ("BEGIN IMMEDIATE", "COMMIT")
    assert seen["BEGIN IMMEDIATE"] == sorted(item.digest.hex() for item in batch)


def test_a_group_is_one_commit(memory: Memory, encoded: Build) -> None:
    statements: list[str] = []
    memory._rows.set_trace_callback(statements.append)
    memory.keep(many(encoded))
    memory._rows.set_trace_callback(None)
    assert statements.count("COMMIT") == 1


def test_each_group_changes_the_version_and_a_failed_one_does_not(memory: Memory, encoded: Build) -> None:
    memory.keep([encoded("cat")])
    assert memory.version == 1
    with no_room_for_rows(memory), pytest.raises(DiskFullError):
        memory.keep(many(encoded))
    assert memory.version == 1


def test_the_same_bytes_are_one_item_also_in_one_group(memory: Memory, encoded: Build, state: Path) -> None:
    memory.keep([encoded("cat"), encoded("cat")])
    memory.keep([encoded("cat")])
    assert found_in(memory) == {11: ["cat"]}
    assert len(content_files(state)) == 1


def test_item_is_known_by_its_content(memory: Memory, encoded: Build) -> None:
    assert not memory.knows(encoded("cat").digest)
    memory.keep([encoded("cat")])
    assert memory.knows(encoded("cat").digest)
    assert not memory.knows(encoded("dog").digest)


def test_item_at_several_exits_counts_once_at_the_deepest(memory: Memory, encoded: Build) -> None:
    memory.keep([encoded("cat", depth=11, axis=1), encoded("dog", depth=8)])
    memory.keep([encoded("cat", depth=16, axis=2)])
    memory.keep([encoded("cat", depth=8, axis=3)])
    assert found_in(memory) == {8: ["dog"], 16: ["cat"]}
    np.testing.assert_array_equal(memory.partitions()[1].embeddings, np.eye(8)[[2]])


def test_partitions_go_from_shallow_to_deep(memory: Memory, encoded: Build) -> None:
    memory.keep([encoded("c", depth=16), encoded("a", depth=3), encoded("b", depth=11)])
    assert [part.depth for part in memory.partitions()] == [3, 11, 16]


def test_empty_memory_has_no_partitions(memory: Memory) -> None:
    assert memory.partitions() == ()


def test_item_that_is_not_there_is_a_key_error(memory: Memory) -> None:
    with pytest.raises(KeyError, match="7"):
        memory.item(7)


def test_content_whose_file_is_gone_is_none_and_the_item_stays(memory: Memory, encoded: Build, state: Path) -> None:
    memory.keep([encoded("cat")])
    content_files(state)[0].unlink()
    assert found_in(memory) == {11: ["cat"]}
    assert memory.content(memory.item(1)) is None


def test_reopened_memory_finds_everything(state: Path, encoded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        memory.keep(many(encoded))
        memory.keep([encoded("cat", depth=16)])
        before = found_in(memory)
    with Memory(state, "bundle one") as memory:
        assert found_in(memory) == before
        assert all(memory.content(memory.item(number + 1)) is not None for number in range(65))


def test_embeddings_of_another_bundle_are_not_searched(state: Path, encoded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        memory.keep([encoded("cat", axis=1), encoded("dog")])
    with Memory(state, "bundle two") as memory:
        assert memory.partitions() == ()
        assert not memory.knows(encoded("cat").digest)
        memory.keep([encoded("cat", axis=2)])
        assert found_in(memory) == {11: ["cat"]}
        np.testing.assert_array_equal(memory.partitions()[0].embeddings, np.eye(8)[[2]])
    with Memory(state, "bundle one") as memory:
        assert found_in(memory) == {11: ["cat", "dog"]}
        np.testing.assert_array_equal(memory.partitions()[0].embeddings[0], np.eye(8)[1])


def test_group_without_room_is_kept_in_no_part(memory: Memory, encoded: Build, state: Path) -> None:
    memory.keep([encoded("cat")])
    with no_room_for_rows(memory), pytest.raises(DiskFullError, match=re.escape(f"the disk of {state} is full")):
        memory.keep(many(encoded))
    assert found_in(memory) == {11: ["cat"]}
    assert [path.name for path in content_files(state)] == [encoded("cat").digest.hex()]
    memory.keep(many(encoded))
    assert len(content_files(state)) == 65


def test_failed_group_does_not_take_content_that_another_bundle_kept(state: Path, encoded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        memory.keep([encoded("picture 0")])
    with Memory(state, "bundle two") as memory:
        with no_room_for_rows(memory), pytest.raises(DiskFullError):
            memory.keep(many(encoded))
        assert memory.content(memory.item(1)) == b"picture 0"


def test_interrupt_after_the_commit_does_not_take_the_content_away(state: Path, encoded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        with interrupted_after_commit(memory), pytest.raises(KeyboardInterrupt):
            memory.keep([encoded("cat")])
        assert memory.knows(encoded("cat").digest)
        assert memory.content(memory.item(1)) == b"cat"
    with Memory(state, "bundle one") as memory:
        assert memory.content(memory.item(1)) == b"cat"


def test_what_a_kill_left_is_swept_at_the_next_start(state: Path, encoded: Build) -> None:
    with Memory(state, "bundle one") as memory:
        memory.keep([encoded("cat")])
    kept = content_files(state)
    orphan = hashlib.sha256(b"never committed").hexdigest()
    (state / "content" / orphan[:2]).mkdir(exist_ok=True)
    (state / "content" / orphan[:2] / orphan).write_bytes(b"never committed")
    kept[0].with_suffix(".tmp").write_bytes(b"ca")
    with Memory(state, "bundle one") as memory:
        assert content_files(state) == kept
        assert found_in(memory) == {11: ["cat"]}


def test_item_whose_content_was_lost_is_known_no_more_and_can_be_remembered_again(
    memory: Memory, state: Path, encoded: Callable[..., Encoded]
) -> None:
    cat = encoded("a cat")
    memory.keep([cat])
    assert memory.knows(cat.digest)
    for path in content_files(state):
        path.unlink()
    assert not memory.knows(cat.digest)
    memory.keep([cat])
    assert memory.knows(cat.digest)
    (partition,) = memory.partitions()
    assert memory.content(memory.item(int(partition.ids[0]))) == b"a cat"
