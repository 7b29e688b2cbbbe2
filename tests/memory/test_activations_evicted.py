"""The cache's limit: what is worth least a byte goes first, whatever the clock says, and never more than must."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.memory.cache.activations import Activations
from edge.memory.cache.worth import HALF_LIFE_S, Seen, Worth

HASHES = tuple(bytes([number]) * 16 for number in range(1, 5))
HASH_2 = 0x02020202  # as names say it
NOW = 1_760_000_000
DAY_S = 86_400
TOKENS = np.random.default_rng(0).standard_normal((20, 192)).astype(np.float32)
FILE = 2_344  # bytes of it
ROOM = 5 * FILE + FILE // 2  # for five, and for the hundredth that is evicted on top


class Clock:
    """Seconds of Unix time, as a board without a battery has them."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def worth(*, ms: float = 40, age_s: float = 0, sightings: int = 1, at: float = NOW) -> Worth:
    return Worth(recompute_ms=ms, seen_at=at - age_s, sightings=sightings)


def put(cache: Activations, item: int, value: Worth, rows: int = 20) -> bool:
    return cache.put(item, 1, HASHES[1], TOKENS[:rows], 4, value)


def there(cache: Activations, items: Sequence[int]) -> list[int]:
    return [item for item in items if cache.get(item, HASHES)]


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "activations"


@pytest.fixture
def five(folder: Path, clock: Clock) -> Activations:
    """Room for five."""
    return Activations(folder, ROOM, clock)


def test_file_of_these_tokens_has_the_size_that_the_limits_here_are_made_of(five: Activations) -> None:
    put(five, 1, worth())
    assert five.size_bytes == FILE


@pytest.mark.parametrize(
    "least",
    [worth(ms=20), worth(age_s=5 * DAY_S), worth(ms=35, age_s=DAY_S)],
    ids=["cheap", "old", "a little of both"],
)
def test_the_least_worth_goes_for_what_is_worth_more(five: Activations, least: Worth) -> None:
    for item in range(1, 6):
        put(five, item, least if item == 3 else worth())
    assert put(five, 6, worth())
    assert there(five, range(1, 7)) == [1, 2, 4, 5, 6]


def test_what_came_again_outlives_what_came_once(five: Activations) -> None:
    for item in range(1, 6):
        put(five, item, worth(age_s=DAY_S, sightings=2 if item == 1 else 1))
    for item in range(6, 10):
        put(five, item, worth())
    assert there(five, range(1, 10)) == [1, 6, 7, 8, 9]


def test_large_one_goes_before_small_ones_of_the_same_cost(folder: Path, clock: Clock) -> None:
    cache = Activations(folder, 4 * FILE, clock)
    put(cache, 1, worth(), rows=20)
    for item in range(2, 8):
        put(cache, item, worth(), rows=10)
    assert there(cache, range(1, 8)) == [2, 3, 4, 5, 6, 7]


def test_what_is_worth_less_than_all_that_is_there_is_not_kept(five: Activations) -> None:
    for item in range(1, 6):
        put(five, item, worth())
    assert put(five, 6, worth(ms=10)) is False
    assert there(five, range(1, 7)) == [1, 2, 3, 4, 5]


def test_nothing_is_evicted_for_what_would_not_fit_even_so(five: Activations) -> None:
    for item in range(1, 6):
        put(five, item, worth(ms=10 if item == 1 else 80))
    five.put(6, 1, HASHES[1], np.concatenate([TOKENS] * 2), 4, worth(ms=100))  # one would go, two would have to
    assert there(five, range(1, 7)) == [1, 2, 3, 4, 5]


def test_activation_above_the_whole_limit_is_not_kept_and_costs_nobody_their_place(five: Activations) -> None:
    put(five, 1, worth())
    assert five.put(2, 1, HASHES[1], np.concatenate([TOKENS] * 6), 4, worth(ms=10_000)) is False
    assert there(five, [1, 2]) == [1]


def test_seen_again_an_activation_is_worth_more_also_after_the_cache_is_opened_again(
    five: Activations, folder: Path, clock: Clock
) -> None:
    for item in range(1, 6):
        put(five, item, worth(age_s=(10 - item) * DAY_S))
    five.revalue([Seen(1, 2, NOW), Seen(99, 2, NOW)])  # the second is not cached
    again = Activations(folder, ROOM, clock)
    assert (again.count, again.size_bytes) == (5, 5 * FILE)
    put(again, 6, worth())
    assert there(again, range(1, 7)) == [1, 3, 4, 5, 6]


def test_what_makes_no_notable_difference_renames_no_file(five: Activations, folder: Path, clock: Clock) -> None:
    put(five, 1, worth(sightings=8))
    before = {path.name for path in folder.rglob("*.int4")}
    clock.now += DAY_S
    five.revalue([Seen(1, 9, clock.now)])
    assert {path.name for path in folder.rglob("*.int4")} == before
    clock.now += 2 * DAY_S
    five.revalue([Seen(1, 10, clock.now)])
    assert {path.name for path in folder.rglob("*.int4")} == {f"1-1-{HASH_2}-{FILE}-40000-{NOW + 3 * DAY_S}-10.int4"}


def test_source_that_is_seldom_asked_for_makes_room_and_gets_none(folder: Path, clock: Clock) -> None:
    cache = Activations(folder, ROOM, clock, source=lambda items: np.where(items % 2, 0.5, 2.0))
    for item in (2, 4, 5, 6, 8):
        put(cache, item, worth())
    assert put(cache, 10, worth())
    assert there(cache, range(1, 11)) == [2, 4, 6, 8, 10]
    assert not put(cache, 7, worth())
    assert there(cache, range(1, 11)) == [2, 4, 6, 8, 10]


def test_lower_limit_evicts_on_opening_and_keeps_the_best(five: Activations, folder: Path, clock: Clock) -> None:
    for item in range(1, 6):
        put(five, item, worth(ms=10 * item))
    again = Activations(folder, 2 * FILE + 100, clock)
    assert there(again, range(1, 6)) == [4, 5]
    assert again.size_bytes == on_disk(folder) == 2 * FILE


def test_limit_of_nothing_keeps_nothing_and_deletes_what_there_was(five: Activations, folder: Path) -> None:
    put(five, 1, worth())
    none = Activations(folder, 0)
    assert (none.count, none.size_bytes, on_disk(folder)) == (0, 0, 0)
    assert put(none, 2, worth(ms=1e6)) is False
    assert none.get(2, HASHES) is None


def test_a_hundredth_of_the_limit_goes_at_once_and_not_more(folder: Path, clock: Clock) -> None:
    cache = Activations(folder, 300 * FILE, clock)
    for item in range(300):
        put(cache, item, worth(age_s=(300 - item) * 60))
    assert put(cache, 300, worth())
    assert cache.count == 297  # one for room, three of three hundred besides
    assert there(cache, range(6)) == [4, 5]


@pytest.mark.parametrize(
    "jumped_to", [0, NOW - 40 * DAY_S, NOW + 40 * DAY_S, NOW + 70 * 365 * DAY_S], ids=["1970", "back", "ahead", "2095"]
)
def test_clock_that_jumps_evicts_what_must_go_for_room_and_new_items_are_kept(
    five: Activations, clock: Clock, jumped_to: float
) -> None:
    for item in range(1, 6):
        put(five, item, worth(ms=40 + item, age_s=60 * item))
    clock.now = jumped_to
    assert put(five, 6, worth(at=jumped_to))
    assert there(five, range(1, 7)) == [2, 3, 4, 5, 6]  # of equally old ones the cheapest goes


def test_items_that_a_clock_ahead_stamped_do_not_keep_the_place_for_ever(five: Activations) -> None:
    for item in range(1, 6):
        put(five, item, worth(at=NOW + 70 * 365 * DAY_S))
    assert put(five, 6, worth())
    assert there(five, [6]) == [6]


def test_items_that_a_clock_behind_stamped_do_not_cost_newer_ones_their_place(five: Activations, clock: Clock) -> None:
    for item in range(1, 5):
        put(five, item, worth(age_s=HALF_LIFE_S))
    clock.now = 1_000
    put(five, 5, worth(at=1_000))
    clock.now = NOW
    put(five, 6, worth())
    assert there(five, range(1, 7)) == [1, 2, 3, 4, 6]


def test_under_any_traffic_the_folder_stays_below_the_limit_and_is_counted_right(folder: Path, clock: Clock) -> None:
    random = np.random.default_rng(1)
    cache = Activations(folder, 12 * FILE, clock)
    for step in range(400):
        clock.now += float(random.integers(0, 3 * DAY_S))
        value = worth(ms=float(random.integers(5, 90)), sightings=int(random.integers(1, 5)), at=clock.now)
        match random.integers(5):
            case 0:
                cache.remove([int(random.integers(40))])
            case 1:
                cache.revalue([Seen(int(random.integers(40)), value.sightings, value.seen_at)])
            case _:
                put(cache, int(random.integers(40)), value, rows=int(random.integers(1, 21)))
        if step % 100 == 99:
            cache = Activations(folder, 12 * FILE, clock)
        assert on_disk(folder) == cache.size_bytes <= 12 * FILE
    kept = there(cache, range(40))
    assert len(kept) == cache.count > 5
