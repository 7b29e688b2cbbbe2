"""What the recalls of `bench recall` are counted from, on rows made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.bench.recall.baselines import Way
from edge.bench.recall.judging import Judge, Recall, Stored
from edge.bundle import Bundle, Calibration, Tower
from edge.items import Floats

SHALLOW, DEEP = 8, 16  # depths of the shipped bundle's first and last exit
PLAIN = Calibration(cosine=1.0, mean=0, spread=0, top=0, bias=0)


def tower(bundle: Bundle, calibration: Calibration | None = PLAIN) -> Tower:
    shipped = bundle.manifest.tower("image")
    return replace(shipped, exits=tuple(replace(place, calibration=calibration) for place in shipped.exits))


def rows(*values: float) -> Floats:
    """Embeddings whose cosine with (1, 0) is the value."""
    return np.array([[value, (1 - value**2) ** 0.5] for value in values], dtype=np.float32)


def stored(depths: list[int], coarse: Floats, fine: Floats, offsets: list[float] | None = None) -> Stored:
    of = np.array(offsets or [0.0] * len(depths), dtype=np.float32)
    return Stored(np.array(depths), coarse, of, fine, of)


def judge(items: Tower, owner: int, shallow: float = 1.0, deep: float = 1.0) -> Judge:
    """One question, which the exits see as (1, 0) or turned from that."""
    queries = {place.depth: rows(deep if place.depth == DEEP else shallow) for place in items.exits}
    return Judge(items, queries, np.array([owner]))


def first(one: Judge, kept: Stored, way: Way) -> int:
    return int(one.pools(kept, way).photos[0, 0])


def test_one_full_depth_query_misses_what_each_exits_own_query_finds(bundle: Bundle) -> None:
    kept = stored([SHALLOW, SHALLOW], rows(1.0, 0.0), rows(1.0, 0.0))
    turned = judge(tower(bundle), owner=0, deep=0.0)
    assert first(turned, kept, "single") == 1
    assert first(turned, kept, "naive") == 0


def test_calibrated_merge_counts_what_an_item_adds_and_what_its_exit_multiplies(bundle: Bundle) -> None:
    steep = Calibration(cosine=10.0, mean=0, spread=0, top=0, bias=0)
    shipped = tower(bundle)
    items = replace(shipped, exits=(replace(shipped.exits[0], calibration=steep), *shipped.exits[1:]))
    kept = stored([SHALLOW, DEEP, DEEP], rows(0.5, 0.9, 0.8), rows(0.5, 0.9, 0.8), offsets=[0.0, 0.0, 9.0])
    one = judge(items, owner=0)
    assert one.pools(kept, "naive").photos[0].tolist() == [1, 2, 0]
    assert one.pools(kept, "calibrated").photos[0].tolist() == [2, 0, 1]


def test_finishing_the_pool_puts_the_right_photo_first(bundle: Bundle) -> None:
    kept = stored([SHALLOW, SHALLOW], rows(0.9, 0.8), rows(0.1, 0.7))
    one = judge(tower(bundle), owner=1)
    pools = one.pools(kept, "calibrated")
    assert one.recall(kept, pools, 0) == Recall(0.0, 1.0, 1.0)
    assert one.recall(kept, pools, 2) == Recall(1.0, 1.0, 1.0)
    assert one.best_photos(kept, pools, 2, 0, 2) == [1, 0]


def test_what_is_behind_the_pool_keeps_its_place(bundle: Bundle) -> None:
    kept = stored([SHALLOW] * 7, rows(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3), rows(*[0.1] * 6, 1.0))
    one = judge(tower(bundle), owner=6)
    pools = one.pools(kept, "calibrated")
    assert one.recall(kept, pools, 6) == Recall(0.0, 0.0, 1.0)
    assert one.recall(kept, pools, 7) == Recall(1.0, 1.0, 1.0)
    assert one.best_photos(kept, pools, 6, 0, 7)[-1] == 6


def test_only_the_first_that_are_not_finished_yet_are_finished_before_a_deadline(bundle: Bundle) -> None:
    kept = stored([SHALLOW, DEEP, SHALLOW], rows(0.9, 0.8, 0.7), rows(0.1, 0.8, 0.95))
    one = judge(tower(bundle), owner=2)
    pools = one.pools(kept, "calibrated")
    assert pools.done[0].tolist() == [False, True, False]
    assert [one.recall(kept, pools, 3, finished).at_1 for finished in (0, 1, 2)] == [0.0, 0.0, 1.0]


def test_without_calibration_the_finished_ones_stand_first(bundle: Bundle) -> None:
    kept = stored([SHALLOW, SHALLOW], rows(0.9, 0.8), rows(0.1, 0.1))
    for calibration, found in ((None, 1.0), (PLAIN, 0.0)):
        one = judge(tower(bundle, calibration), owner=0)
        pools = one.pools(kept, "calibrated")
        assert one.recall(kept, pools, 2, 1).at_1 == found


@pytest.mark.parametrize("pool", [0, 3])
def test_equal_scores_count_against_the_own_photo_once_it_is_finished(bundle: Bundle, pool: int) -> None:
    kept = stored([DEEP] * 3, rows(0.5, 0.5, 0.5), rows(0.5, 0.5, 0.5))
    one = judge(tower(bundle), owner=0)
    assert one.recall(kept, one.pools(kept, "calibrated"), pool).at_1 == (0.0 if pool else 1.0)


def test_a_photo_that_no_pool_can_hold_is_missed(bundle: Bundle) -> None:
    many = 150
    kept = stored([SHALLOW] * many, rows(*np.linspace(0.9, 0.1, many)), rows(*[1.0] * many))
    one = judge(tower(bundle), owner=many - 1)
    assert one.recall(kept, one.pools(kept, "calibrated"), 100) == Recall(0.0, 0.0, 0.0)
