"""Finishing with a deadline: what was done by then, in the order of the pool, before what was not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.memory import Memory
from edge.recall import Candidate, Corrector, Filter, Granularities
from edge.runtime import Invoke, TowerRunner

QUESTION = "a person outdoors"
BATCH = 4


@pytest.fixture
def pool(
    image: TowerRunner,
    memory: Memory,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> list[Candidate]:
    """Ten items at the first exit, in coarse order."""
    remember(pictures[:10])
    return Filter(memory, image.spec, annoy_from=1_000).best(query(QUESTION), 10)


@pytest.fixture
def slow_corrector(
    banks: Banks, bundle: Bundle, image: TowerRunner, invoke: Invoke, memory: Memory
) -> Callable[..., Corrector]:
    """A builder: `slow_corrector(2, until)` ends its second batch only when that time has come."""

    def build(batch: int, end: float) -> Corrector:
        head, done = image.spec.exits[-1].head, 0

        def slow(model: Model, inputs: Mapping[str, Floats]) -> Floats:
            nonlocal done
            done += model == head
            if model == head and done == batch:
                time.sleep(max(0.0, end - time.monotonic()) + 0.001)
            return invoke(model, inputs)

        return Corrector(TowerRunner(bundle.folder, image.spec, slow), memory, banks, BATCH)

    return build


def coarse(pool: list[Candidate]) -> list[tuple[int, int, float]]:
    return [(one.item, one.depth, one.score) for one in pool]


def test_deadline_that_has_passed_finishes_nothing_and_keeps_the_coarse_order(
    banks: Banks, image: TowerRunner, memory: Memory, pool: list[Candidate], query: Callable[[str], Granularities]
) -> None:
    ranking = Corrector(image, memory, banks, BATCH).rank(query(QUESTION), pool, time.monotonic())
    assert (ranking.refined, ranking.cut) == (0, True)
    assert [(hit.item.id, hit.depth, hit.score) for hit in ranking.hits] == coarse(pool)


@pytest.mark.parametrize(("batch", "refined"), [(1, 4), (2, 8)])
def test_deadline_on_the_way_finishes_the_best_of_the_pool_and_never_half_a_batch(
    banks: Banks,
    batch: int,
    refined: int,
    slow_corrector: Callable[..., Corrector],
    image: TowerRunner,
    memory: Memory,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
) -> None:
    whole = Corrector(image, memory, banks, BATCH).rank(query(QUESTION), pool)
    deadline = time.monotonic() + 2.0
    ranking = slow_corrector(batch, deadline).rank(query(QUESTION), pool, deadline)
    assert (ranking.refined, ranking.cut, len(ranking.hits)) == (refined, True, len(pool))
    in_time = {one.item for one in pool[:refined]}
    assert [hit.item.id for hit in ranking.hits[:refined]] == [
        hit.item.id for hit in whole.hits if hit.item.id in in_time
    ]
    assert {hit.depth for hit in ranking.hits[:refined]} == {image.spec.exits[-1].depth}
    assert [(hit.item.id, hit.depth, hit.score) for hit in ranking.hits[refined:]] == coarse(pool[refined:])


def test_deadline_that_passes_during_the_last_batch_cuts_nothing(
    slow_corrector: Callable[..., Corrector], pool: list[Candidate], query: Callable[[str], Granularities]
) -> None:
    deadline = time.monotonic() + 2.0
    ranking = slow_corrector(3, deadline).rank(query(QUESTION), pool, deadline)
    assert time.monotonic() > deadline
    assert (ranking.refined, ranking.cut) == (10, False)


def test_deadline_far_away_changes_nothing(
    banks: Banks, image: TowerRunner, memory: Memory, pool: list[Candidate], query: Callable[[str], Granularities]
) -> None:
    corrector = Corrector(image, memory, banks, BATCH)
    assert corrector.rank(query(QUESTION), pool, time.monotonic() + 600) == corrector.rank(query(QUESTION), pool)


def test_empty_pool_is_not_cut(
    banks: Banks, image: TowerRunner, memory: Memory, query: Callable[[str], Granularities]
) -> None:
    assert not Corrector(image, memory, banks, BATCH).rank(query(QUESTION), [], time.monotonic() - 1).cut
