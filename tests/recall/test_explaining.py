"""Why a hit stands where it does, where the question asks for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Exit
from edge.items import Explanation, Hit, Item, Question
from edge.memory import Memory
from edge.recall import Corrector, Filter, Retriever
from edge.runtime import TowerRunner

QUESTION = Question(text="a dog", limit=12, explain=True)


@pytest.fixture
def retriever(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory) -> Retriever:
    filtering, corrector = Filter(memory, image.spec, 1_000_000), Corrector(image, memory, banks, batch=4)
    return Retriever(text, image.spec, filtering, corrector, memory, pool=6)


@pytest.fixture
def nine(pictures: list[Path], image: TowerRunner, remember: Callable[..., None]) -> dict[str, Exit]:
    """Where nine pictures left, by source."""
    first, *_, last = image.spec.exits
    for file, place in zip(pictures[:9], [first, first, last] * 3, strict=True):
        remember([file], place)
    return {str(file): place for file, place in zip(pictures[:9], [first, first, last] * 3, strict=True)}


def whys(hits: tuple[Hit, ...]) -> list[tuple[Hit, Explanation]]:
    found = [(hit, hit.why) for hit in hits if hit.why is not None]
    assert len(found) == len(hits)
    return found


def test_explanation_tells_of_every_round(
    retriever: Retriever, nine: dict[str, Exit], score: Callable[[str, Path, Exit], float], image: TowerRunner
) -> None:
    found = whys(tuple(retriever.ask(QUESTION).hits))
    last = image.spec.exits[-1]
    assert sorted(why.rank for _, why in found) == list(range(1, 10))
    for hit, why in found:
        place, file = nine[hit.item.source], Path(hit.item.source)
        assert why.exit_depth == place.depth
        assert why.coarse == pytest.approx(score("a dog", file, place), abs=1e-3)
        assert why.round == ("correcting" if why.rank <= 6 else "verifying")
        if why.rank > 6:
            assert (why.fine, why.fine_relevance, why.start, why.ms) == (None, None, None, 0)
            continue
        assert why.fine == hit.score == pytest.approx(score("a dog", file, last), abs=1e-3)
        assert why.fine_relevance == hit.relevance
        assert (why.start, why.ms > 0) == ((None, False) if place == last else ("content", True))
    by_rank = sorted(found, key=lambda one: one[1].rank)
    coarse = [why.coarse_relevance for _, why in by_rank if why.coarse_relevance is not None]
    assert len(coarse) == 9
    assert coarse == sorted(coarse, reverse=True)


def test_question_that_does_not_ask_for_it_gets_none(retriever: Retriever, nine: dict[str, Exit]) -> None:
    hits = retriever.ask(Question(text="a dog", limit=12)).hits
    assert len(hits) == len(nine)
    assert all(hit.why is None for hit in hits)


def test_item_that_could_not_be_finished_says_so(
    retriever: Retriever,
    nine: dict[str, Exit],
    content_file: Callable[[Path, Item], Path],
    state: Path,
    memory: Memory,
) -> None:
    (best,) = [hit.item for hit, why in whys(tuple(retriever.ask(QUESTION).hits)) if why.rank == 1]
    content_file(state, memory.item(best.id)).unlink()
    place = nine[best.source]
    (why,) = [why for hit, why in whys(tuple(retriever.ask(QUESTION).hits)) if hit.item.id == best.id]
    is_last = place.depth == max(one.depth for one in nine.values())
    assert why.round == ("correcting" if is_last else "verifying")
    assert (why.fine is None) == (not is_last)
