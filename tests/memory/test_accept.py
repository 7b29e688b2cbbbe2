"""Accepting: what is durable once it is said, what is said of bytes that came before, and a batch as a whole."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from edge.errors import DiskFullError, StoreError
from edge.items import Arrival, Verdict
from edge.memory import Memory

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
Files = Callable[[Path], list[Path]]


def states(verdicts: list[Verdict]) -> list[str]:
    return [verdict.state for verdict in verdicts]


def waiting(memory: Memory) -> list[str]:
    return [Path(item.source).stem for item in memory.waiting(1_000)]


def many(named: Named, count: int = 64) -> list[Arrival]:
    return [named(f"picture {number}") for number in range(count)]


def test_accepted_item_is_there_with_its_content_and_waits(memory: Memory, named: Named) -> None:
    before = time.time()
    assert memory.accept([named("cat")]) == [Verdict("accepted", named("cat").digest)]
    (item,) = memory.waiting(10)
    assert (item.source, item.modality, item.bytes) == ("/pictures/cat.jpg", "image", 3)
    assert item.taken_at == 1_700_000_000.5
    assert before <= item.added_at <= time.time()
    assert memory.content(item) == b"cat"
    assert memory.item(item.id) == item
    assert memory.partitions() == ()  # nothing can be found so far


def test_what_was_said_to_be_accepted_is_on_disk(memory: Memory, named: Named, state: Path) -> None:
    memory.accept([named("cat")])
    with contextlib.closing(sqlite3.connect(f"file:{state / 'memory.db'}?mode=ro", uri=True)) as other:
        assert other.execute("SELECT digest FROM items JOIN waiting ON item = id").fetchall() == [
            (named("cat").digest,)
        ]


def test_content_is_on_disk_before_the_row_that_speaks_of_it(
    memory: Memory, named: Named, state: Path, content_files: Files
) -> None:
    seen: list[tuple[str, int]] = []
    memory._rows.set_trace_callback(lambda said: seen.append((said.split()[0], len(content_files(state)))))
    memory.accept([named("cat"), named("dog")])
    memory._rows.set_trace_callback(None)
    rows = [files for verb, files in seen if verb == "INSERT"]
    assert (rows[0], rows[-1]) == (1, 2)
    assert (seen[0][0], seen[-1]) == ("BEGIN", ("COMMIT", 2))


def test_a_batch_is_one_commit(memory: Memory, named: Named, statements: list[str]) -> None:
    memory.accept(many(named))
    assert statements.count("COMMIT") == 1


def test_empty_batch_is_no_error(memory: Memory) -> None:
    assert memory.accept([]) == []


def test_the_same_bytes_are_one_item_in_a_batch_and_across(
    memory: Memory, named: Named, state: Path, content_files: Files
) -> None:
    assert states(memory.accept([named("cat"), named("dog"), named("cat")])) == ["accepted", "accepted", "duplicate"]
    assert states(memory.accept([named("cow"), named("cat")])) == ["accepted", "duplicate"]
    assert waiting(memory) == ["cat", "dog", "cow"]
    assert len(content_files(state)) == 3


def test_item_is_known_by_its_content(memory: Memory, named: Named, keep: Keep) -> None:
    digest = named("cat").digest
    assert memory.known(digest) is None
    memory.accept([named("cat")])
    assert memory.known(digest) == Verdict("duplicate", digest)
    keep(memory)
    assert memory.known(digest) == Verdict("duplicate", digest)
    assert memory.known(named("dog").digest) is None


def test_bytes_that_were_accepted_and_not_embedded_are_a_duplicate_after_a_restart(state: Path, named: Named) -> None:
    for expected in ("accepted", "duplicate"):
        with Memory(state, "bundle one") as memory:
            assert states(memory.accept([named("cat")])) == [expected]


def test_batch_without_room_for_its_rows_is_kept_in_no_part(
    memory: Memory,
    named: Named,
    state: Path,
    content_files: Files,
    no_room_for_rows: Callable[[Memory], AbstractContextManager[None]],
) -> None:
    memory.accept([named("cat")])
    before = memory.tally
    full = re.escape(f"the disk of {state} is full: free some space and run this again; what was reported")
    with no_room_for_rows(memory), pytest.raises(DiskFullError, match=full):
        memory.accept([named("cat"), *many(named)])
    assert waiting(memory) == ["cat"]
    assert memory.tally == before
    assert [path.name for path in content_files(state)] == [named("cat").digest.hex()]
    assert states(memory.accept(many(named))) == ["accepted"] * 64
    assert len(content_files(state)) == 65


def test_batch_whose_last_content_cannot_be_written_is_kept_in_no_part(
    memory: Memory,
    named: Named,
    state: Path,
    content_files: Files,
    file_size_limit: Callable[[int], AbstractContextManager[None]],
) -> None:
    batch = [named("cat"), named("dog"), named("elephant " * 50_000)]
    with file_size_limit(300_000), pytest.raises(StoreError, match="File too large"):
        memory.accept(batch)
    assert (memory.waiting(10), memory.tally.items, content_files(state)) == ([], 0, [])
    assert states(memory.accept(batch)) == ["accepted"] * 3


def test_failed_batch_does_not_take_content_away_that_was_there(
    state: Path, named: Named, no_room_for_rows: Callable[[Memory], AbstractContextManager[None]]
) -> None:
    with Memory(state, "bundle one") as memory:
        memory.accept([named("picture 0")])
    with Memory(state, "bundle two") as memory:
        with no_room_for_rows(memory), pytest.raises(DiskFullError):
            memory.accept(many(named))
        assert memory.content(memory.item(1)) == b"picture 0"


def test_interrupt_during_the_commit_does_not_take_the_content_away(state: Path, named: Named) -> None:
    def interrupt_at_the_commit(statement: str) -> None:
        if statement == "COMMIT":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with Memory(state, "bundle one") as memory:
        memory._rows.set_trace_callback(interrupt_at_the_commit)
        with pytest.raises(KeyboardInterrupt):
            memory.accept([named("cat")])
    with Memory(state, "bundle one") as memory:
        assert memory.known(named("cat").digest) == Verdict("duplicate", named("cat").digest)
        assert memory.content(memory.item(1)) == b"cat"


@pytest.mark.parametrize("fate", ["waiting", "indexed", "rejected"])
def test_content_that_was_lost_and_comes_again_is_accepted_and_embedded_anew_and_counted_once(
    fate: str, memory: Memory, state: Path, named: Named, keep: Keep, content_files: Files
) -> None:
    keep(memory, "dog")
    memory.accept([named("cat")])
    if fate == "indexed":
        keep(memory)
    if fate == "rejected":
        memory.reject(memory.item(2), "its content is gone", is_lost=True)
    version = memory.version
    for lost in [path for path in content_files(state) if path.read_bytes() == b"cat"]:
        lost.unlink()
    assert memory.known(named("cat").digest) is None
    assert states(memory.accept([named("cat"), named("cat")])) == ["accepted", "duplicate"]
    assert waiting(memory) == ["cat"]
    assert (memory.version > version) is (fate == "indexed")  # an index that still finds it is stale
    assert [part.ids.tolist() for part in memory.partitions()] == [[1]]
    tally = memory.tally
    assert (tally.items, tally.waiting, tally.rejected, dict(tally.exits)) == (2, 1, 0, {11: 1})
    assert memory.content(memory.item(2)) == b"cat"
    keep(memory)
    assert [part.ids.tolist() for part in memory.partitions()] == [[1, 2]]
    assert (memory.tally.items, dict(memory.tally.exits)) == (2, {11: 2})


def test_several_threads_accept_the_same_items_once(memory: Memory, named: Named) -> None:
    batches = [[named(f"{number % 40}") for number in range(start, start + 8)] for start in range(0, 320, 4)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = [verdict for batch in pool.map(memory.accept, batches) for verdict in batch]
    accepted = [verdict.digest for verdict in verdicts if verdict.state == "accepted"]
    assert len(accepted) == len(set(accepted)) == 40
    assert {verdict.state for verdict in verdicts} == {"accepted", "duplicate"}
    assert (memory.tally.items, memory.tally.waiting, len(memory.waiting(100))) == (40, 40, 40)


def test_failure_of_one_thread_is_its_own(
    memory: Memory, named: Named, file_size_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    batches = [[named(f"small {number}"), named("x" * (400_000 if number % 3 == 0 else 9))] for number in range(12)]
    with file_size_limit(300_000), ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(memory.accept, batch) for batch in batches]
        failed = [number for number, future in enumerate(futures) if future.exception() is not None]
    assert failed == [0, 3, 6, 9]
    kept = {"x" * 9, *(f"small {number}" for number in range(12) if number % 3)}
    assert set(waiting(memory)) == kept
