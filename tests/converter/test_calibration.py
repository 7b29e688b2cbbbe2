"""Maps to probabilities: known ones come back, hubs are damped; reliability by cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.calibration import BINS, Gallery, calibrated, fit_calibration, item_numbers, note_gallery, reliability
from converter.labels import Rows, Scored, rank_of_own
from edge.bundle import Calibration
from edge.items import Floats
from edge.relevance import NUMBERS, probability
from galleries import gallery, stock, unit

MEAN, SPREAD, TOP = 4, 5, 10


def drawn_from(known: Calibration, seed: int, queries: int = 4000, items: int = 400) -> Gallery:
    """Each query's own item is drawn from the odds that the map gives; one wrong item more would change nothing."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, (items, NUMBERS)).astype(np.float32)
    cosines = random.normal(0.2, 0.1, (queries, items)).astype(np.float32)
    logits = calibrated(cosines, numbers, known)
    owners = (logits + random.gumbel(size=logits.shape)).argmax(1)
    return Gallery(cosines, numbers, owners)


def logits_of(*chances: list[float]) -> Floats:
    chance = np.array(chances)
    made: Floats = np.log(chance / (1 - chance))
    return made


def test_fit_recovers_the_map_that_the_data_were_drawn_from() -> None:
    known = Calibration(cosine=20.0, mean=-0.5, spread=0.25, top=-1.0, bias=0.0)
    fitted = fit_calibration([drawn_from(known, seed) for seed in (0, 1)], 20, seed=3)
    assert fitted.cosine == pytest.approx(known.cosine, rel=0.07)
    found = (fitted.mean, fitted.spread, fitted.top)
    np.testing.assert_allclose(found, (known.mean, known.spread, known.top), atol=0.07)


def test_probabilities_of_a_fit_add_up_to_one_right_item_in_a_gallery_of_1000() -> None:
    known = Calibration(cosine=15.0, mean=0.0, spread=0.0, top=-0.5, bias=0.0)
    drawn = drawn_from(known, 5, queries=2000, items=1000)
    fitted = fit_calibration([drawn], 20, seed=0)
    chances = 1 / (1 + np.exp(-calibrated(drawn.cosines, drawn.numbers, fitted)))
    assert chances.sum(1).mean() == pytest.approx(1.0, abs=0.03)


def test_rate_is_that_of_a_gallery_of_1000_whatever_the_size_of_the_fold() -> None:
    scored, bank = gallery(seed=4, items=200), stock(4)
    numbers = item_numbers(scored.items[1], bank)
    fitted = fit_calibration([Gallery(scored.cosines(1), numbers, scored.owners)], 20, seed=0)
    chances = 1 / (1 + np.exp(-calibrated(scored.cosines(1), numbers, fitted)))
    own = chances[np.arange(len(chances)), scored.owners]
    assert own.mean() + (chances.sum(1) - own).mean() * 999 / 199 == pytest.approx(1.0, abs=0.05)


def test_same_seed_gives_the_same_map() -> None:
    drawn = drawn_from(Calibration(cosine=10.0, mean=0.0, spread=0.0, top=0.0, bias=0.0), 2, queries=300)
    assert fit_calibration([drawn], 10, seed=1) == fit_calibration([drawn], 10, seed=1)
    assert fit_calibration([drawn], 10, seed=1) != fit_calibration([drawn], 10, seed=2)


def test_hubs_are_damped_and_more_queries_find_their_item() -> None:
    scored, bank = gallery(seed=6, items=300), stock(6, rows=100)
    # A third of the items lies near what all queries have in common: everything finds them a little.
    common = unit(np.ones((1, 16), dtype=np.float32))
    queries = unit(scored.asked(1) + 0.7 * common)
    items, bank = scored.items[1].copy(), unit(bank + 0.7 * common)
    items[::3] = unit(items[::3] + 0.8 * common)
    cosines, numbers = queries @ items.T, item_numbers(items, bank)
    half = len(queries) // 2
    fitted = fit_calibration([Gallery(cosines[:half], numbers, scored.owners[:half])], 20, seed=0)
    raw, better = (
        (rank_of_own(scores[half:], scored.owners[half:]) < 10).mean()
        for scores in (cosines, calibrated(cosines, numbers, fitted))
    )
    assert better > raw + 0.05


def test_cosines_that_say_nothing_get_next_to_no_weight() -> None:
    random = np.random.default_rng(8)
    cosines = random.normal(0, 0.1, (300, 100)).astype(np.float32)
    owners = random.integers(0, 100, 300)
    cosines[np.arange(300), owners] -= 0.2  # worse than nothing
    numbers = random.normal(size=(100, NUMBERS)).astype(np.float32)
    fitted = fit_calibration([Gallery(cosines, numbers, owners)], 20, seed=0)
    assert fitted.cosine == pytest.approx(1e-3)
    chances = 1 / (1 + np.exp(-calibrated(cosines, numbers, fitted)))
    assert chances.mean() == pytest.approx(1 / 1000, rel=0.1)


@pytest.mark.parametrize("distance", [0.5, 5.0])
def test_items_that_are_always_right_get_a_finite_map(distance: float) -> None:
    owners = np.arange(100)
    cosines = np.random.default_rng(9).normal(0, 0.01, (100, 100)).astype(np.float32)
    cosines[owners, owners] += distance
    fitted = fit_calibration([Gallery(cosines, np.zeros((100, NUMBERS), dtype=np.float32), owners)], 20, seed=0)
    logits = calibrated(cosines, np.zeros((100, NUMBERS), dtype=np.float32), fitted)
    assert logits[owners, owners].min() > 0 > np.where(np.eye(100), -1, logits).max()


def test_numbers_that_are_the_same_for_all_items_change_nothing() -> None:
    drawn = drawn_from(Calibration(cosine=12.0, mean=0.0, spread=0.0, top=0.0, bias=0.0), 7, queries=500)
    flat = Gallery(drawn.cosines, np.full_like(drawn.numbers, 0.1), drawn.owners)
    fitted = fit_calibration([flat], 20, seed=0)
    assert max(abs(value) for value in (fitted.mean, fitted.spread, fitted.top)) < 1e-3
    assert fitted.cosine == pytest.approx(12.0, rel=0.15)


def test_host_and_device_give_the_same_probability() -> None:
    known = Calibration(cosine=9.0, mean=-2.0, spread=3.0, top=-4.0, bias=-5.0)
    numbers = item_numbers(gallery(seed=1, items=5).items[0], stock(1))
    cosines = np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5)
    offsets = -2.0 * numbers[:, MEAN] + 3.0 * numbers[:, SPREAD] - 4.0 * numbers[:, TOP] - 5.0
    by_hand = 1 / (1 + np.exp(-(9.0 * cosines + offsets)))
    np.testing.assert_allclose(1 / (1 + np.exp(-calibrated(cosines, numbers, known))), by_hand, rtol=1e-5)
    np.testing.assert_allclose(probability(cosines, offsets, known), by_hand, atol=1e-6)


def test_reliability_of_four_pairs_worked_out_by_hand() -> None:
    found = reliability(logits_of([0.9, 0.2], [0.6, 0.3]), np.array([0, 1]), best=2)
    # Right: .9 and .3. One pair a bin: |.2 - 0| + |.3 - 1| + |.6 - 0| + |.9 - 1| = 1.6; squares .04 + .49 + .36 + .01.
    assert [(round(said, 6), came, count) for said, came, count in found.bins] == [
        (0.2, 0.0, 1),
        (0.3, 1.0, 1),
        (0.6, 0.0, 1),
        (0.9, 1.0, 1),
    ]
    assert found.ece == pytest.approx(0.4)
    assert found.brier == pytest.approx(0.225)
    assert found.base_rate == 0.5
    assert found.skill == pytest.approx(1 - 0.225 / 0.25)


def test_only_the_best_items_of_a_query_are_judged() -> None:
    found = reliability(logits_of([0.9, 0.2, 0.1], [0.1, 0.5, 0.4]), np.array([0, 2]), best=1)
    assert [(round(said, 6), came) for said, came, _ in found.bins] == [(0.5, 0.0), (0.9, 1.0)]


def test_constant_that_is_the_base_rate_has_no_skill_and_another_has_less() -> None:
    owners: Rows = np.arange(50)
    assert reliability(logits_of(*[[0.02] * 50] * 50), owners, 50).skill == pytest.approx(0, abs=1e-9)
    assert reliability(logits_of(*[[0.3] * 50] * 50), owners, 50).skill < -1


def test_certain_and_right_has_all_skill() -> None:
    logits = np.where(np.eye(30), 50.0, -50.0)
    found = reliability(logits, np.arange(30), 30)
    np.testing.assert_allclose((found.skill, found.ece), (1, 0), atol=1e-9)


def test_where_nothing_is_right_there_is_no_skill() -> None:
    found = reliability(logits_of([0.9, 0.1], [0.9, 0.1]), np.array([1, 1]), best=1)
    assert (found.base_rate, found.skill) == (0.0, 0.0)


def test_fit_on_other_queries_says_what_comes() -> None:
    known = Calibration(cosine=25.0, mean=0.5, spread=0.0, top=-1.0, bias=0.0)
    fitted = fit_calibration([drawn_from(known, 0, items=1000, queries=2000)], 20, seed=0)
    fresh = drawn_from(known, 1, items=1000, queries=2000)
    found = reliability(calibrated(fresh.cosines, fresh.numbers, fitted), fresh.owners, best=50)
    assert found.ece < 0.01
    assert found.skill > 0.02


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_bins_have_equal_mass_rise_and_hold_every_pair(queries: int, items: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (queries, items)).astype(np.float32)
    found = reliability(logits, random.integers(0, items, queries), best=5)
    counts = [count for _, _, count in found.bins]
    pairs = queries * min(5, items)
    assert sum(counts) == pairs
    assert len(counts) == min(BINS, pairs)
    assert max(counts) - min(counts) <= 1
    said = [mean for mean, _, _ in found.bins]
    assert said == sorted(said)


def test_gallery_of_notes_has_one_note_an_item_and_its_other_texts_ask_for_it() -> None:
    texts = unit(np.random.default_rng(2).standard_normal((2, 4, 3, 8)).astype(np.float32))
    known = np.array([[True, True, True], [True, False, False], [False, True, True], [False, False, False]])
    bank = stock(8, width=8)
    made = note_gallery(Scored(texts[:, :, 0], texts, known, np.arange(4)), bank)
    notes = np.stack([texts[-1, 0, 0], texts[-1, 2, 1]])  # of the two that have another text, the first known one
    asked = np.stack([texts[-1, 0, 1], texts[-1, 0, 2], texts[-1, 2, 2]])
    np.testing.assert_allclose(made.cosines, asked @ notes.T, atol=1e-6)
    assert made.owners.tolist() == [0, 0, 1]
    np.testing.assert_allclose(made.numbers, item_numbers(notes, bank), rtol=1e-5)
