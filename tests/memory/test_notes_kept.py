"""Notes in the queue and on the disk: they are few bytes, their words are all there is of them, and they go first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from clocks import Board
from edge.items import Arrival, Embedded, Verdict
from edge.memory import Limits, Memory
from edge.memory.disk.clock import SETTLED_S

Named = Callable[[str], Arrival]
Build = Callable[..., Embedded]
Files = Callable[[Path], list[Path]]


@pytest.fixture
def note(named: Named) -> Named:
    """A builder: `note("milk")` is what arrives when a note says this."""
    return lambda text: dataclasses.replace(named(text), modality="text")


def embed(memory: Memory, built: Build) -> None:
    memory.index([dataclasses.replace(built(one.id), modality=one.modality) for one in memory.waiting(1_000)])


def waiting(memory: Memory) -> list[str]:
    return [Path(item.source).stem for item in memory.waiting(100)]


def test_note_that_comes_again_goes_before_all_pictures_that_are_embedded_anew(
    state: Path, named: Named, note: Named, embedded: Build, content_files: Files
) -> None:
    with Memory(state, "one") as memory:
        memory.accept([note("milk"), named("cat"), named("dog")])
        embed(memory, embedded)
    with Memory(state, "two") as memory:
        memory.reject(memory.item(1), "its content is gone", is_lost=True)
        for path in content_files(state):
            if path.read_text() == "milk":
                path.unlink()
        memory.asked({2: 3})
        assert waiting(memory) == ["cat", "dog"]
        assert [verdict.state for verdict in memory.accept([note("milk")])] == ["accepted"]
        assert waiting(memory) == ["milk", "cat", "dog"]


def test_notes_stay_where_nothing_is_kept(
    memory: Memory, named: Named, note: Named, embedded: Build, content_files: Files
) -> None:
    memory.accept([note("milk"), named("cat"), note("bread"), named("dog")])
    embed(memory, embedded)
    assert memory.evict(Limits(max_bytes=0)) == 2
    assert sorted(path.read_text() for path in content_files(memory.folder)) == ["bread", "milk"]
    assert [memory.item(number).evicted for number in (1, 2, 3, 4)] == [False, True, False, True]
    assert (memory.evict(Limits(max_bytes=0)), memory.tally.content_bytes) == (0, len("milkbread"))


def test_note_without_its_bytes_is_welcome_again_and_a_photo_is_not(
    memory: Memory, named: Named, note: Named, embedded: Build, content_files: Files
) -> None:
    memory.accept([note("milk"), named("cat")])
    embed(memory, embedded)
    memory.evict(Limits(max_bytes=0))
    memory._rows.execute("UPDATE items SET evicted = 1")  # as an import does where the file had no bytes of it
    for path in content_files(memory.folder):
        path.unlink()
    assert [verdict.state for verdict in memory.accept([note("milk"), named("cat")])] == ["accepted", "duplicate"]
    assert [memory.item(number).evicted for number in (1, 2)] == [False, True]
    assert memory.content(memory.item(1)) == b"milk"


@pytest.mark.parametrize("settled", ["embedded anew", "kept back", "opened again"])
def test_pictures_do_not_pay_for_notes(state: Path, named: Named, note: Named, embedded: Build, settled: str) -> None:
    with Memory(state, "one") as memory:
        memory.accept([note("milk" * 99), named("cat"), named("dog")])
        embed(memory, embedded)
        assert memory.evict(Limits(max_bytes=6)) == 0
    with Memory(state, "one" if settled == "opened again" else "two") as memory:
        if settled == "kept back":
            assert not memory.reject(memory.item(1), "not for this bundle")
        embed(memory, embedded)
        assert memory.evict(Limits(max_bytes=6)) == 0
        assert memory.evict(Limits(max_bytes=5)) == 1
        assert not memory.item(1).evicted


def test_notes_are_never_too_old(state: Path, named: Named, note: Named, embedded: Build, board: Board) -> None:
    with Memory(state, "one") as memory:
        board.rest(SETTLED_S)
        memory.accept([note("milk"), named("cat")])
        embed(memory, embedded)
        board.rest(61)
        assert memory.evict(Limits(max_age_s=60)) == 1
        assert [memory.item(number).evicted for number in (1, 2)] == [False, True]


def test_looking_for_the_oldest_picture_does_not_go_through_the_notes_also_where_an_earlier_version_did(
    memory: Memory, note: Named, embedded: Build
) -> None:
    memory._rows.execute("CREATE INDEX items_with_content ON items (added_at) WHERE NOT evicted AND rejected IS NULL")
    memory.accept([note("milk")])
    embed(memory, embedded)
    memory.evict(Limits(max_bytes=0))
    indexes = memory._rows.execute("SELECT name FROM sqlite_master WHERE name LIKE '%with_content'").fetchall()
    assert indexes == [("pictures_with_content",)]


def test_notes_do_not_wait_for_a_bundle_that_takes_none_and_do_for_the_next(
    state: Path, named: Named, note: Named, embedded: Build
) -> None:
    with Memory(state, "one") as memory:
        memory.accept([note("milk"), named("cat")])
        embed(memory, embedded)
        memory.accept([note("bread"), named("dog")])
    with Memory(state, "two", notes=False) as memory:
        tally = memory.tally
        assert waiting(memory) == ["dog", "cat"]
        assert (tally.waiting, tally.waiting_bytes, tally.migrating, tally.earlier) == (1, 3, 1, 2)
        assert [memory.known(note(text).digest) for text in ("milk", "bread")] == [
            Verdict("duplicate", note(text).digest) for text in ("milk", "bread")
        ]
        embed(memory, embedded)
        assert memory.evict(Limits(max_bytes=6)) == 0
        assert memory.evict(Limits(max_bytes=0)) == 2
    with Memory(state, "three") as memory:
        assert waiting(memory) == ["bread", "milk"]
        assert [memory.content(item) for item in memory.waiting(9)] == [b"bread", b"milk"]
