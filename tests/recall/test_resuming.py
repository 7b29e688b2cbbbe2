"""A question goes on from what remembering left in the cache: with fewer segments run, to the same answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.items import Arrival, Floats, Item
from edge.memory import Activations, Halfway, Memory
from edge.recall import Candidate, Corrector, Filter, Granularities
from edge.remember import Elevator, Fixed, Intake
from edge.runtime import Invoke, TowerRunner
from rankings import hits_of

QUESTION = "a person outdoors"
PACKED = 0.03  # what four bits may change of a cosine at the last exit
MB = 1_000_000


class Counting:
    """Runs the shipped files, and notes for how many items."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self.calls: list[tuple[Model, int]] = []

    def __call__(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        self.calls.append((model, len(inputs["x"])))
        return self._invoke(model, inputs)

    def segments(self, tower: TowerRunner) -> list[list[int]]:
        return [[count for model, count in self.calls if model == one.model] for one in tower.spec.segments]


@pytest.fixture
def activations(memory: Memory) -> Activations:
    return memory.open_activations(10 * MB)


@pytest.fixture
def halfway(bundle: Bundle, image: TowerRunner, activations: Activations) -> Halfway:
    return Halfway(activations, bundle.manifest.segment_hashes(image.spec), image.spec.outliers)


@pytest.fixture
def remember_at(
    image: TowerRunner, banks: Banks, memory: Memory, halfway: Halfway, arrival: Callable[[Path], Arrival]
) -> Callable[[Sequence[Path], int], None]:
    """Remembers files at the exit of that number, with their activations."""

    def keep(files: Sequence[Path], exit_: int) -> None:
        elevator = Elevator(image, Fixed(exit_), banks)
        intake = Intake(image, elevator, memory, 8, halfway=halfway, on_outcome=lambda _: None, failed=lambda _: None)
        memory.accept([arrival(path) for path in files])
        while intake.remember_group():
            pass

    return keep


@pytest.fixture
def counting(invoke: Invoke) -> Counting:
    return Counting(invoke)


@pytest.fixture
def tower(bundle: Bundle, image: TowerRunner, counting: Counting) -> TowerRunner:
    return TowerRunner(bundle.folder, image.spec, counting)


Query = Callable[[str], Granularities]


def pool_of(memory: Memory, image: TowerRunner, query: Query, count: int) -> list[Candidate]:
    return Filter(memory, image.spec, 1_000).best(query(QUESTION), count)


def test_only_what_is_missing_is_run_and_scores_are_those_of_a_whole_ride(
    image: TowerRunner,
    tower: TowerRunner,
    counting: Counting,
    banks: Banks,
    memory: Memory,
    halfway: Halfway,
    pictures: list[Path],
    remember_at: Callable[..., None],
    query: Query,
) -> None:
    remember_at(pictures[:8], 0)
    pool = pool_of(memory, image, query, 8)
    whole = Corrector(image, memory, banks, 8).rank(query(QUESTION), pool)
    ranking = Corrector(tower, memory, banks, 8, halfway).rank(query(QUESTION), pool)
    assert counting.segments(tower) == [[], [], [], [8], [8], [8]]
    assert (ranking.refined, ranking.cut) == (8, False)
    expected = {hit.item.id: hit.score for hit in hits_of(whole, memory)}
    for hit in hits_of(ranking, memory):
        assert hit.score == pytest.approx(expected[hit.item.id], abs=PACKED)
        assert hit.depth == image.spec.exits[-1].depth


def test_items_of_every_exit_and_without_activation_are_one_batch_that_grows(
    image: TowerRunner,
    tower: TowerRunner,
    counting: Counting,
    banks: Banks,
    memory: Memory,
    activations: Activations,
    halfway: Halfway,
    pictures: list[Path],
    remember_at: Callable[..., None],
    query: Query,
) -> None:
    for exit_, count in enumerate((4, 3, 2, 1)):
        start = 2 + sum((4, 3, 2, 1)[:exit_])
        remember_at(pictures[start : start + count], exit_)
    assert activations.count == 9  # the last exit has nothing to go on with
    activations.remove([1])
    pool = pool_of(memory, image, query, 10)
    whole = Corrector(image, memory, banks, 16).rank(query(QUESTION), pool)
    ranking = Corrector(tower, memory, banks, 16, halfway).rank(query(QUESTION), pool)
    assert counting.segments(tower) == [[1], [1], [1], [4], [7], [9]]
    assert ranking.refined == 10
    expected = {hit.item.id: hit.score for hit in hits_of(whole, memory)}
    found = {hit.item.id: hit.score for hit in hits_of(ranking, memory)}
    assert found == pytest.approx(expected, abs=PACKED)
    assert found[1] == pytest.approx(expected[1], abs=1e-3)  # encoded again, without any loss


def test_item_whose_raw_content_is_gone_is_finished_from_its_activation(
    image: TowerRunner,
    banks: Banks,
    memory: Memory,
    activations: Activations,
    halfway: Halfway,
    pictures: list[Path],
    remember_at: Callable[..., None],
    query: Query,
    content_file: Callable[[Path, Item], Path],
) -> None:
    remember_at(pictures[:4], 1)
    for number in (1, 2):
        content_file(memory.folder, memory.item(number)).unlink()
    activations.remove([2])
    ranking = Corrector(image, memory, banks, 8, halfway).rank(query(QUESTION), pool_of(memory, image, query, 4))
    assert ranking.refined == 3
    (coarse,) = [one for one in ranking.ranked if one.fine is None]
    assert coarse.best.item == 2  # neither content nor activation: still found, with its coarse score
    assert coarse.best.depth == image.spec.exits[1].depth
    starts = {one.best.item: one.start for one in ranking.ranked}
    assert starts == {1: "activation", 2: None, 3: "activation", 4: "activation"}


def test_damaged_activation_is_encoded_again(
    image: TowerRunner,
    tower: TowerRunner,
    counting: Counting,
    banks: Banks,
    memory: Memory,
    halfway: Halfway,
    pictures: list[Path],
    remember_at: Callable[..., None],
    query: Query,
) -> None:
    remember_at(pictures[:2], 0)
    (file, *_) = sorted(path for path in (memory.folder / "activations").rglob("*") if path.is_file())
    file.write_bytes(file.read_bytes()[:-9] + bytes(9))
    ranking = Corrector(tower, memory, banks, 8, halfway).rank(query(QUESTION), pool_of(memory, image, query, 2))
    assert ranking.refined == 2
    assert counting.segments(tower) == [[1], [1], [1], [2], [2], [2]]


def test_fine_embeddings_from_the_cache_are_those_of_a_whole_ride(
    image: TowerRunner, halfway: Halfway, memory: Memory, pictures: list[Path], remember_at: Callable[..., None]
) -> None:
    remember_at(pictures, 0)
    last = image.spec.exits[-1]
    cosines = []
    for item in (memory.item(number) for number in range(1, len(pictures) + 1)):
        found = halfway.find(item.id)
        assert found is not None
        tensor = found[1]
        for segment in image.spec.segments[found[0] :]:
            tensor = image._invoke(segment.model, {"x": tensor})
        whole = image.advance(image.start_images([Path(item.source).read_bytes()]), last.segment)
        cosines.append(float((image.embed(whole, last) @ image._invoke(last.head, {"x": tensor}).T)[0, 0]))
    assert float(np.percentile(cosines, 1)) >= 0.985


def test_cache_without_room_costs_nothing_but_time(
    bundle: Bundle,
    image: TowerRunner,
    banks: Banks,
    memory: Memory,
    pictures: list[Path],
    arrival: Callable[[Path], Arrival],
    query: Query,
) -> None:
    tiny = memory.open_activations(1)
    halfway = Halfway(tiny, bundle.manifest.segment_hashes(image.spec), 0)
    elevator = Elevator(image, Fixed(0), banks)
    intake = Intake(image, elevator, memory, 8, halfway=halfway, on_outcome=lambda _: None, failed=lambda _: None)
    memory.accept([arrival(path) for path in pictures[:3]])
    assert intake.remember_group() == 3
    assert (tiny.count, memory.tally.waiting) == (0, 0)
    ranking = Corrector(image, memory, banks, 8, halfway).rank(query(QUESTION), pool_of(memory, image, query, 3))
    assert ranking.refined == 3
