"""What a full cache keeps once it has learnt what is asked for: in a memory, as questions and arrivals teach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clocks import Board
from edge.items import Arrival, Embedded
from edge.memory import Halfway, Memory
from edge.memory.disk.clock import SETTLED_S

HASHES = (b"0" * 16, b"1" * 16)
TENSOR = np.random.default_rng(3).standard_normal((1, 4, 64)).astype(np.float32)
FILE = 216  # bytes of it
SOURCES = tuple(f"/cameras/{name}/" for name in ("door", "yard", "hall", "roof", "cellar"))
Arriving = Callable[[str], Arrival]


def remember(memory: Memory, halfway: Halfway, arrived: Arrival) -> int:
    """One that left early: embedded, and its activation offered to the cache."""
    memory.accept([arrived])
    (item,) = memory.waiting(9)
    memory.index([Embedded(item=item.id, depth=8, embedding=np.eye(8, dtype=np.float32)[0])])
    halfway.keep(item, 1, TENSOR, ms=5.0)
    return item.id


def cached(halfway: Halfway, *items: int) -> list[int]:
    found: list[int] = halfway.only(np.array(items, dtype=np.int64)).tolist()
    return found


def test_file_has_the_size_that_the_limits_here_are_made_of(memory: Memory, arriving: Arriving) -> None:
    cache = memory.open_activations(10**6)
    remember(memory, Halfway(cache, HASHES, 0), arriving("door"))
    assert cache.size_bytes == FILE


def test_what_is_asked_for_by_source_stays_where_equal_others_go(memory: Memory, arriving: Arriving) -> None:
    halfway = Halfway(memory.open_activations(4 * FILE), HASHES, 0)
    door, yard, *_ = (remember(memory, halfway, arriving(f"{source}1.jpg")) for source in SOURCES[:4])
    for _ in range(20):
        memory.demand.answered([f"{SOURCES[0]}another.jpg"])
    new = [remember(memory, halfway, arriving(f"{SOURCES[2]}{number}.jpg")) for number in range(3)]
    assert cached(halfway, door, yard, *new) == [door, *new]


def test_what_came_again_lasts_longer_than_its_twin(state: Path, arriving: Arriving, board: Board) -> None:
    with Memory(state, "bundle one") as memory:
        board.rest(SETTLED_S)
        halfway = Halfway(memory.open_activations(3 * FILE), HASHES, 0)
        ways = {"accept": arriving("a"), "sighted": arriving("b"), "twin": arriving("c")}
        items = {way: remember(memory, halfway, arrived) for way, arrived in ways.items()}
        memory.accept([ways["accept"]])
        memory.sighted([ways["sighted"].digest])
        board.rest(60)
        new = [remember(memory, halfway, arriving("d")) for _ in range(2)]
        assert cached(halfway, *items.values(), *new) == [items["accept"], items["sighted"], new[1]]
    with Memory(state, "bundle one") as memory:
        halfway = Halfway(memory.open_activations(3 * FILE), HASHES, 0)
        new = [remember(memory, halfway, arriving("d")) for _ in range(2)]
        assert cached(halfway, *items.values(), *new) == [items["accept"], items["sighted"], new[1]]


def hit_rate(state: Path, arriving: Arriving, *, learns: bool) -> float:
    """Share of what questions find that is cached, of a cache for a quarter of 400 items of five sources.

    Of the questions 80 % are about the first source and the others about one of the rest; each finds 5 items. Half of
    the items are there before the first question, the others come between questions.
    """
    random = np.random.default_rng(7)
    with Memory(state, "bundle one") as memory:
        halfway = Halfway(memory.open_activations(100 * FILE), HASHES, 0)
        by_source: dict[str, list[int]] = {source: [] for source in SOURCES}
        found = asked = 0
        for turn in range(400):
            source = SOURCES[turn % 5]
            by_source[source].append(remember(memory, halfway, arriving(f"{source}{turn}.jpg")))
            if turn >= 200:
                meant = SOURCES[0] if random.random() < 0.8 else SOURCES[1 + int(random.integers(4))]
                pool = random.choice(by_source[meant], 5, replace=False).tolist()
                found += len(cached(halfway, *pool))
                asked += len(pool)
                if learns:
                    memory.demand.answered([memory.item(item).source for item in pool])
    return found / asked


def test_questions_that_prefer_a_source_find_more_in_a_cache_that_learns(
    tmp_path: Path, arriving: Arriving, record_property: Callable[[str, object], None]
) -> None:
    without = hit_rate(tmp_path / "without", arriving, learns=False)
    learnt = hit_rate(tmp_path / "learnt", arriving, learns=True)
    print(f"found in the cache: {without:.2f} without the source, {learnt:.2f} with it")
    record_property("hit rates", (without, learnt))
    assert learnt > without + 0.1


def test_source_of_the_new_item_counts_when_it_is_compared(memory: Memory, arriving: Arriving) -> None:
    halfway = Halfway(memory.open_activations(2 * FILE), HASHES, 0)
    door = [remember(memory, halfway, arriving("door")) for _ in range(2)]
    for _ in range(20):
        memory.demand.answered(["door"])
    for _ in range(20):
        memory.accept([arriving("yard")])
    memory.index([Embedded(item=one.id, depth=8, embedding=np.eye(8, dtype=np.float32)[0]) for one in memory.waiting(99)])
    yard = remember(memory, halfway, arriving("yard"))
    assert cached(halfway, *door, yard) == door


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_read_of_sources_before_something_must_go(memory: Memory, arriving: Arriving, count: int) -> None:
    halfway = Halfway(memory.open_activations(3 * FILE), HASHES, 0)
    memory.demand.answered(["door"])
    for _ in range(count):
        remember(memory, halfway, arriving("door"))
    assert len(memory.demand._ids) == 0
