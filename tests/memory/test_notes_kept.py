"""Notes in the queue and on the disk: they are few bytes, their words are all there is of them, and they go first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.items import Arrival, Embedded, Verdict
from edge.memory import Memory

Named = Callable[[str], Arrival]
Keep = Callable[..., list[Verdict]]
Files = Callable[[Path], list[Path]]


@pytest.fixture
def note(named: Named) -> Named:
    """A builder: `note("milk")` is what arrives when a note says this."""
    return lambda text: dataclasses.replace(named(text), modality="text")


def embed(memory: Memory, built: Callable[..., Embedded]) -> None:
    memory.index([dataclasses.replace(built(one.id), modality=one.modality) for one in memory.waiting(1_000)])


def waiting(memory: Memory) -> list[str]:
    return [Path(item.source).stem for item in memory.waiting(100)]


def test_note_that_comes_again_goes_before_all_pictures_that_are_embedded_anew(
    state: Path, named: Named, note: Named, embedded: Callable[..., Embedded], content_files: Files
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
