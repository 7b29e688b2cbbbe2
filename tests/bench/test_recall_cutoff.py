"""The cut-off of `bench recall`: what it is chosen on, what it is judged on, and who is a near neighbour."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge.bench.recall import cutoff
from edge.bench.recall.cutoff import CHOSEN, NEAREST, QUANTILES, WITHIN, auroc, cutoffs, neighbours, threshold
from edge.bench.recall.judging import Judge, Stored
from edge.bundle import Bundle, Calibration
from edge.items import Floats
from edge.relevance import sigmoid

SHALLOW, DEEP = 8, 16  # depths of the shipped bundle's first and last exit
PHOTOS = 40
STEEP = Calibration(cosine=8.0, mean=0, spread=0, top=0, bias=0)


def turned(*degrees: float) -> Floats:
    """(N, 2) of unit norm."""
    radians = np.radians(np.array(degrees))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def kept(depth: int, coarse: Floats, fine: Floats) -> Stored:
    """All photos at one exit, with nothing to add to their scores."""
    nothing = np.zeros(len(coarse), dtype=np.float32)
    return Stored(np.full(len(coarse), depth), coarse, nothing, fine, nothing)


def judge(bundle: Bundle, queries: Floats, owners: list[int], calibration: Calibration | None = STEEP) -> Judge:
    """Every exit sees the questions alike, and maps a cosine to its relevance in the same way."""
    shipped = bundle.manifest.tower("image")
    items = replace(shipped, exits=tuple(replace(place, calibration=calibration) for place in shipped.exits))
    return Judge(items, {place.depth: queries for place in items.exits}, np.array(owners))


@pytest.fixture(scope="module")
def circle() -> Floats:
    """Photos around a circle: those next to each other are alike."""
    return turned(*np.linspace(0, 360, PHOTOS, endpoint=False))


def test_the_threshold_is_the_largest_that_keeps_enough_hits() -> None:
    hits = np.arange(100, dtype=np.float32)[::-1]
    least = threshold(hits)
    assert (hits >= least).mean() >= CHOSEN
    assert (hits >= least + 1).mean() < CHOSEN
    assert threshold(np.array([0.3], dtype=np.float32)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [([2, 3], [0, 1], 1.0), ([0, 1], [2, 3], 0.0), ([1, 1], [1], 0.5), ([0, 2], [1, -math.inf], 0.75)],
)
def test_auroc_counts_pairs_and_half_of_those_that_are_equal(
    high: list[float], low: list[float], expected: float
) -> None:
    assert auroc(np.array(high), np.array(low)) == pytest.approx(expected)


def test_a_photo_is_near_itself_and_at_least_ten_others(circle: Floats) -> None:
    near, _ = neighbours(circle, 0.9999)
    assert near.diagonal().all()
    assert set(near.sum(1)) == {NEAREST + 1}
    assert set(np.flatnonzero(near[20])) == set(range(15, 26))


def test_all_above_the_quantile_are_near_however_many_they_are(circle: Floats) -> None:
    near, limit = neighbours(circle, 0.5)
    assert near.sum(1).min() > NEAREST + 1
    cosines = circle @ circle.T
    assert near[0].tolist() == (cosines[0] > limit).tolist()
    assert (cosines[~np.eye(PHOTOS, dtype=bool)] > limit).mean() == pytest.approx(0.5, abs=0.05)


def test_what_is_not_there_is_in_no_answer_finished_or_not(bundle: Bundle, circle: Floats) -> None:
    one = judge(bundle, circle[:1], [0])
    for depth in (SHALLOW, DEEP):
        stored = kept(depth, circle, circle)
        without = np.zeros((1, PHOTOS), dtype=bool)
        without[0, [0, 1, PHOTOS - 1]] = True
        pools = one.pools(stored, "calibrated", without)
        assert one.best(stored, pools, 5)[0] == pytest.approx(8 * math.cos(math.radians(18)), abs=1e-4)
        assert math.isnan(one.own(stored, pools, 5, 10)[0])
        assert one.best(stored, one.pools(stored, "calibrated", np.ones((1, PHOTOS), bool)), 5)[0] == -math.inf


def test_the_best_of_an_answer_may_stand_behind_its_pool(bundle: Bundle) -> None:
    stored = kept(SHALLOW, turned(0, 1, 60, 70), turned(90, 90, 0, 0))
    one = judge(bundle, turned(0), [0])
    pools = one.pools(stored, "calibrated")
    assert one.best(stored, pools, 2)[0] == pytest.approx(8 * 0.5, abs=1e-4)
    assert one.best(stored, pools, 4)[0] == pytest.approx(8.0, abs=1e-4)


def test_a_true_hit_has_the_score_of_its_own_photo_and_its_rank(bundle: Bundle) -> None:
    stored = kept(DEEP, turned(0, 60), turned(0, 60))
    one = judge(bundle, turned(0), [1])
    pools = one.pools(stored, "calibrated")
    assert math.isnan(one.own(stored, pools, 2, 1)[0])
    assert one.own(stored, pools, 2, 2)[0] == pytest.approx(4.0, abs=1e-4)


def test_questions_that_name_their_photo_are_told_from_those_whose_photo_is_not_there(
    bundle: Bundle, circle: Floats
) -> None:
    found = cutoffs(judge(bundle, circle, list(range(PHOTOS))), kept(DEEP, circle, circle), "full", 0)
    assert [one.within for one in found] == list(WITHIN)
    for one in found:
        assert one.least == pytest.approx(float(sigmoid(np.array(8.0))), abs=1e-4)
        assert [gone.quantile for gone in one.absences] == list(QUANTILES)
        assert [gone.cosine for gone in one.absences] == sorted((gone.cosine for gone in one.absences), reverse=True)
        for gone in one.absences:
            assert (gone.removed, gone.false, gone.auroc) == (NEAREST, 0.0, 1.0)


def test_the_cut_off_is_chosen_on_every_second_photo_and_judged_on_the_others(bundle: Bundle, circle: Floats) -> None:
    own = np.linspace(0, 360, PHOTOS, endpoint=False)
    vague = turned(*(angle + (0 if number % 2 else 4) for number, angle in enumerate(own)))
    sharp = turned(*(angle + (4 if number % 2 else 0) for number, angle in enumerate(own)))
    stored = kept(DEEP, circle, circle)
    for queries, kept_of_others in ((vague, 1.0), (sharp, 0.0)):
        found = cutoffs(judge(bundle, queries, list(range(PHOTOS))), stored, "full", 0)
        assert [(one.first, one.ten) for one in found] == [(kept_of_others, kept_of_others)] * len(WITHIN)
        assert [one.answered for one in found] == [kept_of_others] * len(WITHIN)


def test_what_is_counted_as_near_decides_what_is_false(
    bundle: Bundle, circle: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutoff, "NEAREST", 0)
    monkeypatch.setattr(cutoff, "QUANTILES", (0.99, 0.5))
    off = turned(*(np.linspace(0, 360, PHOTOS, endpoint=False) + 4.0))  # in the middle of two photos, all but
    few, many = cutoffs(judge(bundle, off, list(range(PHOTOS))), kept(DEEP, circle, circle), "full", 0)[-1].absences
    assert few.removed < many.removed
    assert few.auroc <= many.auroc == 1.0
    assert many.false == 0.0


def test_a_cut_off_for_first_hits_loses_those_that_stand_further_down(bundle: Bundle, circle: Floats) -> None:
    each = [*range(PHOTOS), *range(PHOTOS)]
    # Twice a question for each photo: one looks straight at it, one at its neighbour.
    queries = np.concatenate([circle, np.roll(circle, -1, axis=0)])
    strict, mild = cutoffs(judge(bundle, queries, each), kept(DEEP, circle, circle), "full", 0)
    assert (strict.first, strict.ten, strict.answered) == (1.0, 0.5, 1.0)
    assert (mild.first, mild.ten) == (1.0, 1.0)
    assert mild.least < strict.least


def test_without_calibration_there_is_no_cut_off(bundle: Bundle, circle: Floats) -> None:
    plain = judge(bundle, circle, list(range(PHOTOS)), calibration=None)
    assert cutoffs(plain, kept(DEEP, circle, circle), "full", 0) == []


def test_where_nothing_is_found_there_is_nothing_to_choose(bundle: Bundle, circle: Floats) -> None:
    opposite = judge(bundle, -circle, list(range(PHOTOS)))
    assert cutoffs(opposite, kept(DEEP, circle, circle), "full", 0) == []
