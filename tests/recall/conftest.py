"""The shipped towers, a memory, and what remembers into it at any exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Exit
from edge.items import Arrival, Outcome
from edge.memory import Memory
from edge.recall import Granularities
from edge.remember import Elevator, Fixed, Intake
from edge.runtime import TowerRunner

Query = Callable[[str], Granularities]


@pytest.fixture
def remember(
    image: TowerRunner, banks: Banks, memory: Memory, arrival: Callable[[Path], Arrival]
) -> Callable[..., None]:
    """Remembers files at an exit: `remember(paths, place)`; the first exit if none is given."""

    def keep(files: Sequence[Path], place: Exit | None = None) -> None:
        outcomes: list[Outcome] = []
        elevator = Elevator(image, Fixed(image.spec.exits.index(place) if place else 0), banks)
        intake = Intake(image, elevator, memory, batch=8, on_outcome=outcomes.append, failed=lambda _: None)
        memory.accept([arrival(file) for file in files])
        while intake.remember_group():
            pass
        assert {outcome.state for outcome in outcomes} == {"indexed"}
        assert memory.tally.waiting == 0

    return keep


@pytest.fixture(scope="session")
def query(text: TowerRunner, image: TowerRunner) -> Query:
    """A sentence as the exits see it."""
    return lambda sentence: Granularities(text, image.spec, sentence)


@pytest.fixture(scope="session")
def score(image: TowerRunner, text: TowerRunner) -> Callable[[str, Path, Exit], float]:
    """The cosine of a sentence and a picture file at an exit, with nothing between the towers and the caller."""
    own = text.spec.exits[-1]

    def cosine(sentence: str, file: Path, place: Exit) -> float:
        start = image.start_images([file.read_bytes()])
        features = text.advance(text.start_texts([sentence]), own.segment)
        asked = text.embed(features, replace(own, head=place.query or own.head))[0]
        return float(image.embed(image.advance(start, place.segment), place)[0] @ asked)

    return cosine


@pytest.fixture(scope="session")
def logit(
    image: TowerRunner, banks: Banks, score: Callable[[str, Path, Exit], float]
) -> Callable[[str, Path, Exit], float]:
    """The logit of a picture file's relevance for a sentence at an exit."""

    def calibrated(sentence: str, file: Path, place: Exit) -> float:
        map_ = place.calibration
        assert map_ is not None
        embedding = image.embed(image.advance(image.start_images([file.read_bytes()]), place.segment), place)
        offset = float(banks.offsets(embedding, place)[0])
        return map_.cosine * score(sentence, file, place) + offset

    return calibrated
