"""What similarities to the bank say, against values worked out by hand and in float64."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.bundle import SCALE, Bank, Bundle, Calibration, Exit
from edge.errors import BundleError
from edge.items import Floats
from edge.relevance import (
    NUMBERS,
    Norm,
    Profile,
    bank_numbers,
    bank_similarities,
    gate_inputs,
    offset,
    pack_bank,
    pooled,
    predictor_inputs,
    probability,
    read_bank,
    scale_of,
    sigmoid,
)

CALIBRATION = Calibration(cosine=10.0, mean=-2.0, spread=3.0, top=-4.0, bias=-1.0)
COSINES = st.floats(-1, 1, width=32)


def floats(*values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def noise(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def similarities(rows: int = 30) -> st.SearchStrategy[Floats]:
    return arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(rows)), elements=COSINES)


def stored(tmp_path: Path, features: Floats) -> Floats:
    """The bank as it comes back from its file."""
    (tmp_path / "bank.int8").write_bytes(pack_bank(features))
    rows, width = features.shape
    spec = Bank(path=PurePosixPath("bank.int8"), rows=rows, width=width)
    assert (tmp_path / "bank.int8").stat().st_size == spec.bytes
    return read_bank(tmp_path, spec)


def test_row_of_the_bank_is_its_scale_and_its_codes() -> None:
    packed = pack_bank(floats([254.0, -254.0, 1.0, 0.0]))
    assert packed == np.float16(2).tobytes() + np.array([127, -127, 0, 0], np.int8).tobytes()


def test_bank_comes_back_within_half_a_step_of_each_row(tmp_path: Path) -> None:
    features = noise(25, 48) * np.geomspace(1e-2, 1e2, 25, dtype=np.float32)[:, None]
    back = stored(tmp_path, features)
    assert back.dtype == np.float32
    assert back.shape == features.shape
    steps = np.abs(features).max(1, keepdims=True) / 127
    assert (np.abs(back - features) <= 0.51 * steps + 0.06 * steps).all()  # the scale is rounded, too: 127 codes of it


def test_bank_keeps_the_direction_of_its_rows(tmp_path: Path) -> None:
    features = noise(40, 384)
    back = stored(tmp_path, features)
    cosines = (features * back).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(back, axis=1)
    assert cosines.min() > 0.9999


def test_row_of_zeros_stays_zero(tmp_path: Path) -> None:
    features = noise(20, 8)
    features[3] = 0
    back = stored(tmp_path, features)
    assert not back[3].any()
    assert np.isfinite(back).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_bank_that_float16_cannot_scale_is_refused(value: float) -> None:
    features = noise(20, 8)
    features[4, 2] = value
    with pytest.raises(ValueError, match=r"^bank rows must be finite and within 8319008 of zero$"):
        pack_bank(features)


def test_similarities_are_those_of_each_item_with_each_row() -> None:
    items, bank = floats([1, 0], [0.6, 0.8]), floats([1, 0], [0, 1], [-1, 0])
    np.testing.assert_allclose(bank_similarities(items, bank), floats([1, 0, -1], [0.6, 0.8, -0.6]), atol=1e-6)


def test_numbers_of_similarities_that_one_can_add_up_by_hand() -> None:
    # 20 rows: 0.9, 0.7, then 18 of 0.1.
    sims = np.full((1, 20), 0.1, np.float32)
    sims[0, 4], sims[0, 11] = 0.9, 0.7
    mean = (0.9 + 0.7 + 1.8) / 20
    variance = ((0.9 - mean) ** 2 + (0.7 - mean) ** 2 + 18 * (0.1 - mean) ** 2) / 20
    third = ((0.9 - mean) ** 3 + (0.7 - mean) ** 3 + 18 * (0.1 - mean) ** 3) / 20
    weights = [math.exp(10 * value) for value in (0.9, 0.7, *[0.1] * 18)]
    shares = [weight / sum(weights) for weight in weights]
    expected: list[float] = [
        0.9,
        (0.9 + 0.7 + 0.3) / 5,
        mean,
        0.2,
        mean,
        math.sqrt(variance),
        third / variance**1.5,
        -sum(share * math.log(share) for share in shares),
        shares[0],
        math.log(sum(weights)) / 10,
        (0.9 + 0.7 + 0.8) / 10,
    ]
    found = bank_numbers(sims, scale=10.0)
    assert found.shape == (1, NUMBERS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_numbers_of_equal_similarities_are_those_of_a_bank_that_says_nothing() -> None:
    (found,) = bank_numbers(np.full((1, 40), 0.25, np.float32), SCALE)
    expected = [0.25, 0.25, 0.25, 0, 0.25, 0, 0, math.log(40), 1 / 40, 0.25 + math.log(40) / 20, 0.25]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_large_scale_overflows_nothing() -> None:
    (found,) = bank_numbers(np.linspace(-1, 1, 30, dtype=np.float32)[None], scale=1e4)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[7:10], [0, 1, 1], atol=1e-5)


@given(similarities())
def test_numbers_keep_the_order_that_their_meaning_gives_them(sims: Floats) -> None:
    numbers = bank_numbers(sims, SCALE)
    assert np.isfinite(numbers).all()
    largest, five, twenty, margin, mean, spread, _, entropy, share, smooth, ten = numbers.T
    slack = 1e-5
    for one, following in ((largest, five), (five, ten), (ten, twenty), (twenty, mean), (smooth, largest)):
        assert (one >= following - slack).all()
    assert (margin >= 0).all()
    assert (spread >= 0).all()
    assert ((share >= 1 / 30 - slack) & (share <= 1 + slack)).all()
    assert ((entropy >= -slack) & (entropy <= math.log(30) + 1e-4)).all()


@given(similarities(), st.randoms(use_true_random=False))
def test_numbers_do_not_depend_on_the_order_of_the_bank(sims: Floats, random: Random) -> None:
    order = list(range(sims.shape[1]))
    random.shuffle(order)
    difference = np.abs(bank_numbers(sims[:, order], SCALE) - bank_numbers(sims, SCALE)).max(0)
    assert np.delete(difference, 6).max() <= 1e-4
    assert difference[6] <= 0.05  # skewness of what is nearly flat


def test_numbers_of_an_item_do_not_depend_on_the_others() -> None:
    sims = np.tanh(0.3 * noise(6, 200))
    together = bank_numbers(sims, SCALE)
    alone = np.concatenate([bank_numbers(sims[row : row + 1], SCALE) for row in range(6)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_offset_is_made_of_mean_spread_and_the_10_largest() -> None:
    sims = np.tanh(0.3 * noise(3, 100))
    exact = sims.astype(np.float64)
    ten = np.sort(exact, axis=1)[:, -10:].mean(1)
    found = offset(bank_numbers(sims, SCALE), CALIBRATION)
    np.testing.assert_allclose(found, -2 * exact.mean(1) + 3 * exact.std(1) - 4 * ten - 1, rtol=1e-4)
    assert found.shape == (3,)
    assert found.dtype == np.float32


def test_probability_is_the_sigmoid_of_cosine_and_offset() -> None:
    found = probability(floats(0.1, 0.3), floats(-1.0, -3.0), CALIBRATION)
    np.testing.assert_allclose(found, [0.5, 0.5], atol=1e-6)
    (higher,) = probability(floats(0.4), floats(-1.0), CALIBRATION)
    assert higher == pytest.approx(1 / (1 + math.exp(-3)))


def test_probabilities_of_many_questions_are_made_at_once() -> None:
    found = probability(0.2 * noise(4, 3), floats(-1.0, -2.0, 0.5), CALIBRATION)
    assert found.shape == (4, 3)
    assert found.dtype == np.float32


@given(st.lists(COSINES, min_size=2, max_size=10, unique=True), st.floats(-5, 5, width=32))
def test_probability_keeps_the_order_of_the_cosines_of_one_item(cosines: list[float], one: float) -> None:
    rising = floats(*sorted(cosines))
    found = probability(rising, floats(one), CALIBRATION)
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_sigmoid_of_large_numbers_overflows_nothing() -> None:
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(floats(-1000, -1, 0, 1, 1000)), [0, 0.2689414, 0.5, 0.7310586, 1], atol=1e-6)


def test_scale_is_that_of_the_exits_calibration_or_the_usual_one(bundle: Bundle) -> None:
    place = bundle.manifest.tower("image").exits[0]
    bare = Exit(depth=place.depth, segment=place.segment, head=place.head)
    assert scale_of(bare) == SCALE
    own = Calibration(cosine=1.0, mean=0.0, spread=0.0, top=0.0, bias=0.0, scale=35.0)
    assert scale_of(Exit(depth=place.depth, segment=place.segment, head=place.head, calibration=own)) == 35


def test_gate_at_the_first_exit_reads_the_numbers_there() -> None:
    here = Profile.of(noise(3, 8), noise(50, 8, seed=1), SCALE)
    np.testing.assert_array_equal(gate_inputs(here, None), here.numbers)
    np.testing.assert_array_equal(here.numbers, bank_numbers(here.sims, SCALE))


def test_gate_further_on_reads_both_exits_and_how_they_agree() -> None:
    rising = np.linspace(-1, 1, 40, dtype=np.float32)
    shifted = np.roll(rising, 5)  # the best 20 and the five behind them change places
    sims = np.stack([rising, rising, rising, np.zeros(40, np.float32)])
    earlier = np.stack([0.5 * rising + 0.1, -rising, shifted, rising])
    here, before = (Profile(one, bank_numbers(one, SCALE)) for one in (sims, earlier))
    found = gate_inputs(here, before)
    assert found.shape == (4, 2 * NUMBERS + 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, :NUMBERS], here.numbers)
    np.testing.assert_array_equal(found[:, NUMBERS : 2 * NUMBERS], before.numbers)
    expected = np.corrcoef(rising.astype(np.float64), shifted.astype(np.float64))[0, 1]
    np.testing.assert_allclose(found[:, -2], [1, -1, expected, 0], atol=1e-5)
    np.testing.assert_allclose(found[:3, -1], [1, 0, 15 / 20], atol=1e-6)


@given(similarities(), similarities())
def test_agreement_of_two_exits_is_the_same_from_both_sides_and_in_its_bounds(one: Floats, other: Floats) -> None:
    one, other = one[: len(other)], other[: len(one)]
    profiles = Profile(one, bank_numbers(one, SCALE)), Profile(other, bank_numbers(other, SCALE))
    there, back = gate_inputs(*profiles)[:, -2:], gate_inputs(*reversed(profiles))[:, -2:]
    np.testing.assert_allclose(there, back, atol=1e-5)
    assert (np.abs(there[:, 0]) <= 1 + 1e-4).all()
    assert ((there[:, 1] >= 10 / 20 - 1e-6) & (there[:, 1] <= 1 + 1e-6)).all()  # 20 of 30 each: 10 at least


def test_tokens_are_pooled_to_the_first_and_the_mean_of_the_others() -> None:
    tokens = floats([[1, 2], [3, 4], [5, 8]])
    np.testing.assert_allclose(pooled(tokens), [[1, 2, 4, 6]])


def test_positions_are_pooled_to_their_mean() -> None:
    picture = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    np.testing.assert_allclose(pooled(picture), [[4.5, 5.5, 6.5]])


@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 3, 4, 5)])
def test_activation_without_tokens_or_positions_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"has no tokens or positions to pool$"):
        pooled(np.zeros((2, *shape), np.float32))


def test_predictor_reads_numbers_and_pooled_activation_standardised() -> None:
    numbers, tokens = noise(2, NUMBERS), noise(2, 5, 3, seed=1)
    mean, scale = noise(NUMBERS + 6, seed=2), np.abs(noise(NUMBERS + 6, seed=3)) + np.float32(0.5)
    found = predictor_inputs(numbers, tokens, Norm(mean, scale))
    raw = np.concatenate([numbers, tokens[:, 0], tokens[:, 1:].mean(1)], axis=1)
    np.testing.assert_allclose(found, (raw - mean) / scale, rtol=1e-5)
    assert found.dtype == np.float32


def test_predictor_with_the_norm_of_another_tower_is_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        predictor_inputs(noise(2, NUMBERS), noise(2, 5, 3), Norm(noise(9), noise(9)))


def test_norm_comes_back_from_its_file(tmp_path: Path) -> None:
    made = Norm(noise(17), np.abs(noise(17, seed=1)) + np.float32(0.1))
    made.write(tmp_path / "predictor.f32")
    assert (tmp_path / "predictor.f32").stat().st_size == 2 * 17 * 4
    back = Norm.read(tmp_path / "predictor.f32")
    np.testing.assert_array_equal(back.mean, made.mean)
    np.testing.assert_array_equal(back.scale, made.scale)


@pytest.mark.parametrize("size", [0, 4, 12, 15])
def test_norm_that_is_not_two_rows_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "predictor.f32"
    path.write_bytes(bytes(size))
    with pytest.raises(BundleError, match=rf"predictor\.f32 has {size} bytes, not two rows of float32: convert again$"):
        Norm.read(path)


@pytest.mark.parametrize(("row", "value"), [(0, np.nan), (0, np.inf), (1, np.nan), (1, 0.0), (1, -1.0), (1, np.inf)])
def test_norm_that_would_make_inputs_infinite_is_refused(tmp_path: Path, row: int, value: float) -> None:
    path = tmp_path / "predictor.f32"
    rows = np.ones((2, 5), np.float32)
    rows[row, 3] = value
    Norm(*rows).write(path)
    with pytest.raises(BundleError, match=r"must hold finite means and scales above 0: convert again$"):
        Norm.read(path)
