"""Any thread may read: each through a connection of its own that cannot write, never held up by the one that writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.items import Arrival, Embedded, Verdict
from edge.memory import Memory

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
READERS = 4


def test_other_threads_see_what_was_committed(memory: Memory, named: Named, keep: Keep) -> None:
    def look() -> tuple[int, int, bytes | None, Verdict | None]:
        found = sum(len(part.ids) for part in memory.partitions())
        return found, len(memory.waiting(9)), memory.content(memory.item(1)), memory.known(named("cat").digest)

    with ThreadPoolExecutor(READERS) as pool:
        duplicate = Verdict("duplicate", named("cat").digest)
        memory.accept([named("cat")])
        assert {pool.submit(look).result() for _ in range(20)} == {(0, 1, b"cat", duplicate)}
        keep(memory, "dog")
        assert {pool.submit(look).result() for _ in range(20)} == {(2, 0, b"cat", duplicate)}


def test_each_thread_reads_through_one_connection_of_its_own(memory: Memory) -> None:
    meet = threading.Barrier(READERS, timeout=10)

    def connection() -> int:
        meet.wait()
        assert memory._reader() is memory._reader()
        return id(memory._reader())

    with ThreadPoolExecutor(READERS) as pool:
        connections = {future.result() for future in [pool.submit(connection) for _ in range(READERS)]}
    assert len(connections) == READERS
    assert id(memory._rows) not in connections


def test_reading_thread_cannot_write(memory: Memory, keep: Keep) -> None:
    keep(memory, "cat")
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(lambda: memory._reader().execute("DELETE FROM items"))
        with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
            deletion.result()
    assert memory.tally.items == len(memory.partitions()[0].ids) == 1


def test_reading_goes_on_while_a_commit_takes_its_time(memory: Memory, named: Named, keep: Keep) -> None:
    keep(memory, "cat")
    reached, go_on = threading.Event(), threading.Event()

    def hold_the_commit(statement: str) -> None:
        if statement == "COMMIT":
            reached.set()
            assert go_on.wait(10)

    memory._rows.set_trace_callback(hold_the_commit)
    with ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(memory.accept, [named("dog")])
        assert reached.wait(10)
        assert memory.waiting(9) == []
        assert memory.known(named("dog").digest) is None
        assert memory.tally.items == 1
        assert not accepting.done()
        go_on.set()
        assert [verdict.state for verdict in accepting.result()] == ["accepted"]
    assert memory.known(named("dog").digest) is not None
    assert memory.tally.items == 2


def test_readers_never_see_half_of_a_batch(memory: Memory, named: Named, embedded: Callable[..., Embedded]) -> None:
    done = threading.Event()

    def watch() -> set[int]:
        seen = set()
        while not done.is_set():
            seen.add(sum(len(part.ids) for part in memory.partitions()))
        return seen

    with ThreadPoolExecutor(2) as pool:
        watching = [pool.submit(watch) for _ in range(2)]
        for group in range(20):
            memory.accept([named(f"{group} {number}") for number in range(16)])
            memory.index([embedded(item.id) for item in memory.waiting(16)])
        done.set()
        seen = set().union(*(future.result() for future in watching))
    assert seen <= {16 * groups for groups in range(21)}


def test_closing_leaves_nothing_open_and_one_file(
    state: Path, keep: Keep, open_below: Callable[[Path], list[str]]
) -> None:
    with Memory(state, "bundle one") as memory, ThreadPoolExecutor(READERS) as pool:
        keep(memory, "cat")
        list(pool.map(lambda _: memory.waiting(1), range(20)))
        assert len(open_below(state)) > 2
    assert open_below(state) == []
    assert "memory-writer_0" not in {thread.name for thread in threading.enumerate()}
    assert sorted(path.name for path in state.iterdir()) == ["content", "lock", "memory.db"]
