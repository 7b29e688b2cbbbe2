"""What a full cache keeps once it has learnt what is asked for: in a memory, as questions and arrivals teach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clocks import Board
from edge.items import Arrival, Embedded
from edge.memory import Halfway, Memory
from edge.memory.disk.clock import SETTLED_S

HASHES = (b"0" * 16, b"1" * 16)
TENSOR = np.random.default_rng(3).standard_normal((1, 4, 64)).astype(np.float32)
FILE = 200  # bytes of it
SOURCES = tuple(f"/cameras/{name}/" for name in ("door", "yard", "hall", "roof", "cellar"))
Arriving = Callable[[str], Arrival]


def room(count: int) -> int:
    """Bytes of a cache that has room for so many, and for the hundredth that is evicted on top."""
    return count * FILE + FILE // 2


def remember(memory: Memory, halfway: Halfway, *arrived: Arrival) -> list[int]:
    """What left early: embedded in one commit, and each activation offered to the cache."""
    memory.accept(arrived)
    items = memory.waiting(99)
    memory.index([Embedded(item=item.id, depth=8, embedding=np.eye(8, dtype=np.float32)[0]) for item in items])
    for item in items:
        halfway.keep(item, 1, TENSOR, ms=5.0)
    return [item.id for item in items]


def cached(halfway: Halfway, *items: int) -> list[int]:
    found: list[int] = halfway.only(np.array(items, dtype=np.int64)).tolist()
    return found


@pytest.fixture
def settled(state: Path, board: Board) -> Iterator[Memory]:
    """A memory whose clock goes on as the board rests, and not otherwise."""
    with Memory(state, "bundle one") as memory:
        board.rest(SETTLED_S)
        yield memory


def test_file_has_the_size_that_the_limits_here_are_made_of(memory: Memory, arriving: Arriving) -> None:
    cache = memory.open_activations(10**6)
    remember(memory, Halfway(cache, HASHES, 0), arriving("door"))
    assert cache.size_bytes == FILE


def test_what_is_asked_for_by_source_stays_where_equal_others_go(
    settled: Memory, arriving: Arriving, board: Board
) -> None:
    halfway = Halfway(settled.open_activations(room(4)), HASHES, 0)
    door, *others = remember(settled, halfway, *(arriving(f"{source}1.jpg") for source in SOURCES[:4]))
    for _ in range(20):
        settled.demand.answered([f"{SOURCES[0]}another.jpg"])
    new: list[int] = []
    for number in range(3):
        board.rest(60)
        new += remember(settled, halfway, arriving(f"new {number}"))
    assert cached(halfway, door, *others, *new) == [door, *new]


def test_what_came_again_lasts_longer_than_its_twin(state: Path, arriving: Arriving, board: Board) -> None:
    ways = {"accept": arriving("a"), "sighted": arriving("b"), "twin": arriving("c")}
    for session in range(2):
        with Memory(state, "bundle one") as memory:
            board.rest(SETTLED_S)
            halfway = Halfway(memory.open_activations(room(3)), HASHES, 0)
            if session == 0:
                again, sighted, twin = remember(memory, halfway, *ways.values())
                memory.accept([ways["accept"]])
                memory.sighted([ways["sighted"].digest])
            new: list[int] = []
            for _ in range(2):
                board.rest(60)
                new += remember(memory, halfway, arriving("d"))
            assert cached(halfway, again, sighted, twin, *new) == [again, sighted, new[1]]


def hit_rate(state: Path, arriving: Arriving, board: Board, *, learns: bool) -> float:
    """Share of what questions find that is cached, of a cache for a quarter of 400 items of five sources.

    Ten items come each hour. From the 20th hour on, five questions an hour find five items each: 80 % of the first
    source, the others of one of the rest.
    """
    random = np.random.default_rng(7)
    found = asked = 0
    by_source: dict[str, list[int]] = {source: [] for source in SOURCES}
    with Memory(state, "bundle one") as memory:
        halfway = Halfway(memory.open_activations(room(100)), HASHES, 0)
        for hour in range(40):
            board.rest(3_600)
            sources = SOURCES * 2
            items = remember(memory, halfway, *(arriving(f"{source}{hour}.jpg") for source in sources))
            for source, item in zip(sources, items, strict=True):
                by_source[source].append(item)
            for _ in range(5 if hour >= 20 else 0):
                meant = SOURCES[0] if random.random() < 0.8 else SOURCES[1 + int(random.integers(4))]
                pool = random.choice(by_source[meant], 5, replace=False).tolist()
                found += len(cached(halfway, *pool))
                asked += len(pool)
                if learns:
                    memory.demand.answered([memory.item(item).source for item in pool])
    return found / asked


def test_questions_that_prefer_a_source_find_more_in_a_cache_that_learns(
    tmp_path: Path, arriving: Arriving, board: Board
) -> None:
    without = hit_rate(tmp_path / "without", arriving, board, learns=False)
    learnt = hit_rate(tmp_path / "learnt", arriving, board, learns=True)
    assert learnt > without + 0.1, f"found in the cache: {without:.2f} without the source, {learnt:.2f} with it"


def test_source_of_what_comes_counts_when_it_is_compared(memory: Memory, arriving: Arriving) -> None:
    halfway = Halfway(memory.open_activations(room(2)), HASHES, 0)
    door = remember(memory, halfway, arriving("door"), arriving("door"))
    for _ in range(20):
        memory.demand.answered(["door"])
    yard = remember(memory, halfway, *(arriving("yard") for _ in range(20)))
    assert cached(halfway, *door, *yard) == door


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_read_of_sources_before_something_must_go(memory: Memory, arriving: Arriving, count: int) -> None:
    halfway = Halfway(memory.open_activations(room(3)), HASHES, 0)
    memory.demand.answered(["door"])
    remember(memory, halfway, *(arriving("door") for _ in range(count)))
    assert len(memory.demand._ids) == 0
