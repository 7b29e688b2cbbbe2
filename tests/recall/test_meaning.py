"""What a question asks for: its words, a picture, or what a note says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import RefusedError
from edge.items import Arrival, Question
from edge.memory import Memory
from edge.recall.example import Picture
from edge.recall.meaning import Meaning, meaning_of
from edge.runtime import TowerRunner

SAID = b"The spare key is under the third flower pot."
Mean = Callable[..., Meaning]


@pytest.fixture
def mean(memory: Memory, image: TowerRunner) -> Mean:
    """What is meant: `mean(text="a dog", like=digest)`."""
    return lambda **asked: meaning_of(Question(limit=1, **asked), memory, image)


def note(content: bytes) -> Arrival:
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="text", source="note", taken_at=None)


def fields(one: Picture | None) -> tuple[bytes, bytes, int | None] | None:
    return (one.content, one.digest, one.item) if one else None


def test_question_in_words_means_them_and_looks_for_no_item(mean: Mean) -> None:
    meant = mean(text="a dog")
    assert (meant.words, meant.picture, meant.itself, meant.by_picture) == ("a dog", None, None, False)


def test_remembered_picture_is_the_same_example_by_its_id_and_by_its_bytes(
    mean: Mean, memory: Memory, pictures: list[Path], arrival: Callable[[Path], Arrival]
) -> None:
    one = arrival(pictures[0])
    memory.accept([arrival(pictures[1]), one])
    item = memory.find(one.digest)
    assert item is not None
    for meant in (mean(text="in snow", like=one.digest), mean(text="in snow", image=pictures[0].read_bytes())):
        assert fields(meant.picture) == (pictures[0].read_bytes(), one.digest, item.id)
        assert (meant.words, meant.itself, meant.by_picture) == ("in snow", item.id, True)


def test_picture_that_is_not_remembered_is_no_item(mean: Mean, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    meant = mean(image=content)
    assert fields(meant.picture) == (content, hashlib.sha256(content).digest(), None)
    assert (meant.words, meant.itself) == ("", None)


def test_note_as_the_example_asks_in_words_behind_those_of_the_question(mean: Mean, memory: Memory) -> None:
    memory.accept([note(b"Buy milk."), note(SAID)])
    item = memory.find(note(SAID).digest)
    assert item is not None
    alone, both = mean(like=note(SAID).digest), mean(text="in the garden", like=note(SAID).digest)
    assert alone.words == SAID.decode()
    assert both.words == f"in the garden\n{SAID.decode()}"
    assert {(one.picture, one.itself, one.by_picture) for one in (alone, both)} == {(None, item.id, False)}


def test_example_without_bytes_is_refused_with_what_to_ask_with_instead(mean: Mean, memory: Memory) -> None:
    memory.accept([note(SAID)])
    memory._content.remove([note(SAID).digest])
    with pytest.raises(RefusedError, match="its bytes are not kept: ask with its text") as kept_not:
        mean(like=note(SAID).digest)
    with pytest.raises(RefusedError, match="nothing with this id is remembered: send the picture as `image`") as never:
        mean(like=bytes(32))
    assert (kept_not.value.code, never.value.code) == ("not_found", "not_found")


def test_bytes_that_are_no_picture_are_refused_before_any_tower_runs(mean: Mean) -> None:
    with pytest.raises(RefusedError, match="the example is ") as no:
        mean(image=b"no picture")
    assert no.value.code == "unreadable"
