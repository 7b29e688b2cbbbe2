"""Which items are not finished so far, and which of them somebody most likely asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge.items import Arrival, Embedded, Selection
from edge.memory import Activations, Halfway, Memory
from edge.memory.cache.catalogue import Kept, value_per_byte
from edge.memory.cache.worth import HALF_LIFE_S, Worth, likelihood

LAST = 16
HOUR_S = 3_600.0


@pytest.fixture
def fill(memory: Memory, named: Callable[[str], Arrival]) -> Callable[..., None]:
    """`fill(8, 8, 16)`: three more items that left at these depths."""

    def embed(*depths: int) -> None:
        for depth in depths:
            number = memory.tally.items + 1
            memory.accept([named(str(number))])
            memory.index([Embedded(item=number, depth=depth, embedding=np.ones(4, np.float32))])

    return embed


def unfinished(memory: Memory) -> list[int]:
    return [int(item) for item in memory.unfinished(LAST)]


def set_times(memory: Memory, hours_ago: dict[int, float]) -> None:
    now = memory._clock.now()
    for item, hours in hours_ago.items():
        memory._rows.execute("UPDATE items SET added_at = ? WHERE id = ?", (now - hours * HOUR_S, item))


def test_only_what_is_not_at_the_last_exit_counts(memory: Memory, fill: Callable[..., None]) -> None:
    fill(8, 16, 11, 16, 8)
    assert sorted(unfinished(memory)) == [1, 3, 5]
    memory.refine([Embedded(item=3, depth=LAST, embedding=np.ones(4, np.float32))])
    assert sorted(unfinished(memory)) == [1, 5]
    assert sorted(int(item) for item in memory.unfinished(11)) == [1, 5]


def test_nothing_counts_that_waits_or_is_gone(
    memory: Memory, fill: Callable[..., None], named: Callable[[str], Arrival]
) -> None:
    assert unfinished(memory) == []
    fill(8, 8)
    memory.accept([named("waits")])
    memory.forget(Selection(digests=(memory.item(1).digest,)))
    assert unfinished(memory) == [2]


def test_what_came_last_goes_first_and_of_one_moment_the_newest(memory: Memory, fill: Callable[..., None]) -> None:
    fill(8, 8, 8, 8)
    set_times(memory, {1: 2.0, 2: 1.0, 3: 5.0, 4: 2.0})
    assert unfinished(memory) == [2, 4, 1, 3]


def test_what_came_again_goes_before_what_came_a_little_later(memory: Memory, fill: Callable[..., None]) -> None:
    fill(8, 8, 8)
    memory.sighted([memory.item(2).digest] * 3)
    set_times(memory, {1: 10.0, 2: 10.0, 3: 1.0})
    assert unfinished(memory) == [2, 3, 1]


def test_likelihood_is_what_the_worth_of_a_cached_activation_counts() -> None:
    now, ages, sightings = 1.76e9, np.array([0.0, 1.0, 3.0, 50.0, -2.0]) * HALF_LIFE_S, np.array([1, 2, 9, 1, 4])
    seen_at = now - ages
    worths = [
        Worth(recompute_ms=50.0, seen_at=float(at), sightings=int(often))
        for at, often in zip(seen_at, sightings, strict=True)
    ]
    value = np.array([value_per_byte(Kept.of(1, 0, b"a" * 16, 1_000, worth), now) for worth in worths])
    np.testing.assert_allclose(likelihood(sightings, seen_at, now), value / 50.0, rtol=1e-3)


def test_source_that_is_asked_for_goes_before_what_came_a_little_later(
    memory: Memory, arriving: Callable[[str], Arrival]
) -> None:
    for source in ("door", "yard", "door"):
        memory.accept([arriving(source)])
    memory.index([Embedded(item=number, depth=8, embedding=np.ones(4, np.float32)) for number in (1, 2, 3)])
    set_times(memory, {1: 3.0, 2: 2.0, 3: 1.0})
    assert unfinished(memory) == [3, 2, 1]
    for _ in range(20):
        memory.demand.answered(["yard"])
    assert unfinished(memory) == [2, 3, 1]


def test_only_what_is_cached_can_be_gone_on_with(
    memory: Memory, fill: Callable[..., None], activations: Activations
) -> None:
    fill(*[8] * 600)  # several in each of the cache's folders
    halfway, tensor = Halfway(activations, (b"0" * 16, b"1" * 16), 0), np.ones((1, 4, 32), np.float32)
    cached = [600, 3, 257, 344, 1]
    for item in cached:
        assert halfway.keep(memory.item(item), 1, tensor, ms=5.0)
    assert halfway.count == 5
    assert sorted(halfway.only(memory.unfinished(LAST)).tolist()) == sorted(cached)
    assert halfway.only(np.array([2, 257, 9, 1], dtype=np.int64)).tolist() == [257, 1]
    halfway.free([257])
    assert halfway.only(np.array([257, 1], dtype=np.int64)).tolist() == [1]


@pytest.fixture
def activations(memory: Memory) -> Activations:
    return memory.open_activations(10_000_000)
