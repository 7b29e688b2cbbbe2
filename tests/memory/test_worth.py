"""What an activation is worth: each of cost, size, age, source and sightings moves it the way that it should."""

from __future__ import annotations

import numpy as np
import pytest

from edge.memory.cache.catalogue import Kept, value_per_byte
from edge.memory.cache.worth import HALF_LIFE_S, Worth

NOW = 1_760_000_000.0
DAY_S = 86_400
YEAR_S = 365 * DAY_S


def value(
    *, ms: float = 40, bytes_: int = 20_000, age_s: float = 0, sightings: int = 1, source: float = 1, now: float = NOW
) -> float:
    worth = Worth(recompute_ms=ms, seen_at=NOW - age_s, sightings=sightings)
    return value_per_byte(Kept.of(1, 0, b"a" * 16, bytes_, worth), now, lambda items: np.full(len(items), source))


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (value(ms=41), value(ms=40)),
        (value(bytes_=19_000), value(bytes_=20_000)),
        (value(age_s=DAY_S), value(age_s=2 * DAY_S)),
        (value(sightings=2), value(sightings=1)),
        (value(sightings=1000), value(sightings=999)),
        (value(source=1.5), value(source=1.0)),
    ],
    ids=["dearer", "smaller", "newer", "seen again", "seen once more", "of a source that is asked for"],
)
def test_more_is_worth_more(more: float, less: float) -> None:
    assert more > less > 0


def test_fresh_value_is_microseconds_a_byte() -> None:
    assert value(ms=40, bytes_=20_000) == pytest.approx(2.0)


def test_half_life_halves() -> None:
    assert value(age_s=HALF_LIFE_S) == pytest.approx(value() / 2)
    assert value(age_s=3 * HALF_LIFE_S) == pytest.approx(value() / 8)


def test_second_sighting_doubles_and_a_thousand_do_not_drown_everything_else() -> None:
    assert value(sightings=2) == pytest.approx(2 * value())
    assert value(sightings=1024) == pytest.approx(11 * value())


def test_the_oldest_is_worth_a_thousandth_and_then_stays_in_its_order_of_cost() -> None:
    assert value(age_s=10 * YEAR_S) == pytest.approx(value() / 1024)
    assert value(age_s=10 * YEAR_S, ms=41) > value(age_s=9 * YEAR_S, ms=40) > 0


def test_sighting_ahead_of_the_clock_counts_like_one_as_long_ago() -> None:
    assert value(age_s=-3 * DAY_S) == pytest.approx(value(age_s=3 * DAY_S))
    assert value(age_s=-70 * YEAR_S) == pytest.approx(value(age_s=70 * YEAR_S))


@pytest.mark.parametrize("now", [0.0, NOW - 50 * YEAR_S, NOW + 70 * YEAR_S])
def test_clock_that_jumped_far_makes_all_equally_old_and_none_worthless(now: float) -> None:
    values = [value(age_s=age_s, now=now) for age_s in (0, DAY_S, 30 * DAY_S)]
    assert values == [pytest.approx(value() / 1024)] * 3
