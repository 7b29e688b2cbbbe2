"""How much is begun before a deadline, by what calls took so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.memory import Memory
from edge.recall import Corrector, Filter, Granularities, Haste
from edge.runtime import Invoke, Pace, TowerRunner

CALL_MS = 10.0
QUESTION = "a person outdoors"


@pytest.fixture
def pace(image: TowerRunner) -> Pace:
    """Every file of the tower takes CALL_MS an item."""
    pace = Pace({})
    for model in (*(segment.model for segment in image.spec.segments), image.spec.exits[-1].head):
        pace.learn(model, 1, CALL_MS)
    return pace


def test_as_many_are_begun_as_can_be_finished(image: TowerRunner, pace: Pace) -> None:
    haste = Haste(image.spec, pace)
    whole_ms = CALL_MS * (len(image.spec.segments) + 1)
    for rides, count in ((100, 4), (4, 4), (3.9, 3), (1, 1), (0.9, 0), (0, 0)):
        assert haste.affordable([0, 0, 0, 0], rides * whole_ms) == count


def test_what_goes_on_from_the_middle_costs_what_is_left_of_it(image: TowerRunner, pace: Pace) -> None:
    last = len(image.spec.segments) - 1
    assert Haste(image.spec, pace).affordable([last, last, 0, last], 5 * CALL_MS) == 2


def test_batch_is_no_larger_than_one_call_of_each_segment(image: TowerRunner, pace: Pace) -> None:
    assert Haste(image.spec, pace).affordable([0] * 50, 1e9) == 8  # of CALL_MS in a call of 80
    for _ in range(60):
        pace.learn(image.spec.segments[3].model, 1, 200.0)
    assert Haste(image.spec, pace).affordable([0] * 50, 1e9) == 1


def test_of_what_was_never_run_one_is_begun(image: TowerRunner) -> None:
    assert Haste(image.spec, Pace({})).affordable([0, 0], 1.0) == 1


def test_item_that_cannot_be_finished_in_time_is_not_begun_and_the_answer_is_early(
    banks: Banks,
    bundle: Bundle,
    image: TowerRunner,
    invoke: Invoke,
    memory: Memory,
    pace: Pace,
    pictures: list[Path],
    remember: Callable[..., None],
    query: Callable[[str], Granularities],
) -> None:
    remember(pictures[:6])
    asked = query(QUESTION)
    pool = Filter(memory, image.spec, 1_000).best(asked, 6)
    for model in (segment.model for segment in image.spec.segments):
        for _ in range(60):
            pace.learn(model, 1, 1_000.0)
    ran: list[Model] = []

    def counted(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        ran.append(model)
        return invoke(model, inputs)

    tower = TowerRunner(bundle.folder, image.spec, counted)
    deadline = time.monotonic() + 3.0
    ranking = Corrector(tower, memory, banks, 4, haste=Haste(image.spec, pace)).rank(asked, pool, deadline)
    assert time.monotonic() < deadline
    assert (ranking.refined, ranking.cut, ran) == (0, True, [])
    assert [one.best for one in ranking.ranked] == pool
