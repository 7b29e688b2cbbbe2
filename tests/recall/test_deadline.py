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
from rankings import hits_of

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
    assert [(hit.item.id, hit.depth, hit.score) for hit in hits_of(ranking, memory)] == coarse(pool)


@pytest.mark.parametrize(("batch", "refined"), [(1, 4), (2, 8)])
def test_deadline_on_the_way_finishes_the_best_of_the_pool_and_ranks_all_of_it_by_what_is_known(
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
    assert (ranking.refined, ranking.cut, len(ranking.ranked)) == (refined, True, len(pool))
    in_time = {one.item for one in pool[:refined]}
    assert {one.coarse.item for one in ranking.ranked if one.fine} == in_time
    assert [one for one in ranking.ranked if one.fine] == [one for one in whole.ranked if one.coarse.item in in_time]
    assert [one.coarse for one in ranking.ranked if not one.fine] == pool[refined:]
    relevance = [hit.relevance for hit in hits_of(ranking, memory) if hit.relevance is not None]
    assert len(relevance) == len(pool)
    assert relevance == sorted(relevance, reverse=True)


def test_deadline_inside_a_ride_ends_it_after_the_call_at_hand(
    banks: Banks,
    bundle: Bundle,
    image: TowerRunner,
    invoke: Invoke,
    memory: Memory,
    pool: list[Candidate],
    query: Callable[[str], Granularities],
) -> None:
    asked = query(QUESTION)
    ran: list[Model] = []
    deadline = time.monotonic() + 2.0

    def slow(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        ran.append(model)
        if model == image.spec.segments[2].model:
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.001)
        return invoke(model, inputs)

    slow_tower = TowerRunner(bundle.folder, image.spec, slow)
    ranking = Corrector(slow_tower, memory, banks, BATCH).rank(asked, pool, deadline)
    assert (ranking.refined, ranking.cut) == (0, True)
    assert ran == [segment.model for segment in image.spec.segments[:3]]
    assert [one.best for one in ranking.ranked] == pool


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
