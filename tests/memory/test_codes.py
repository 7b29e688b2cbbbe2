"""INT4 activations: their bytes, how far a round trip errs, what outlier channels are for, and what is refused."""

from __future__ import annotations

import platform
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.items import Floats
from edge.memory.cache.codes import GROUP, pack, packed_bytes, unpack

HALF_ULP = 2.0**-11  # the worst rounding of a float16 relative to its value
LARGEST = 65504


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_wide_channels(rows: Floats, *channels: int) -> Floats:
    wide = rows.copy()
    wide[..., list(channels)] *= 100
    return wide


def round_trip(activation: Floats, outliers: int = 0) -> Floats:
    return unpack(pack(activation, outliers), activation.shape, outliers)


def half_steps(left: Floats) -> Floats:
    """Half the distance of two codes at each value that is in no outlier channel: a fifteenth of its group's range."""
    rows = left.reshape(-1, left.shape[-1])
    groups = [rows[:, start : start + GROUP] for start in range(0, rows.shape[1], GROUP)]
    steps = [np.broadcast_to(np.ptp(group, axis=1, keepdims=True) / 30, group.shape) for group in groups]
    return np.concatenate(steps, axis=1).reshape(left.shape)


def test_activation_has_the_bytes_that_the_format_says() -> None:
    rows = np.array([[0, 100, 15, 3], [-1, -100, 6.5, 1]], dtype=np.float32)  # channel 1 is the widest
    numbers, values = "0100", "4056 40d6"
    lows, steps = "0000 00bc", "003c 0038"  # 0 and -1, 1 and 0.5
    codes = "f0 03 f0 04"  # 0, 15, 3 and 0, 15, 4; the even one low, and half a byte over
    assert pack(rows, 1) == bytes.fromhex(numbers + values + lows + steps + codes)
    np.testing.assert_array_equal(unpack(pack(rows, 1), (2, 4), 1), rows)


@pytest.mark.parametrize(
    "shape", [(50, 768), (197, 192), (14, 14, 112), (56, 56, 24), (1280,), (3, 9), (2, 65), (7, 127)]
)
@pytest.mark.parametrize("outliers", [0, 1, 4, 8])
def test_round_trip_keeps_the_shape_and_errs_by_half_a_step_at_most(shape: tuple[int, ...], outliers: int) -> None:
    activation = normal(*shape)
    packed = pack(activation, outliers)
    back = unpack(packed, shape, outliers)
    assert back.shape == shape
    assert back.dtype == np.float32
    assert len(packed) == packed_bytes(shape, outliers)
    assert (np.abs(back - activation) <= np.ptp(activation) / 30 * 1.01 + LARGEST * 2.0**-24).all()


@pytest.mark.parametrize("channels", [64, 65, 100, 127, 128, 192])
def test_each_group_has_its_own_step_the_short_last_one_too(channels: int) -> None:
    rows = normal(30, channels)
    rows[:, 64:] *= 50
    error = np.abs(round_trip(rows) - rows)
    assert (error <= half_steps(rows) * 1.01 + np.abs(rows) * HALF_ULP).all()
    assert error[:, :64].max() > half_steps(rows)[:, :64].max() / 2  # it is four bits, not a copy


def test_wide_channels_are_kept_in_float16_and_spoil_nobody() -> None:
    rows = with_wide_channels(normal(40, 192), 3, 70, 71, 191)
    alone, among = round_trip(rows, 4), round_trip(rows, 0)
    wide = [3, 70, 71, 191]
    np.testing.assert_array_equal(alone[:, wide], rows[:, wide].astype(np.float16).astype(np.float32))
    others = np.delete(np.arange(192), wide)
    error = {name: np.abs(back - rows)[:, others].mean() for name, back in (("alone", alone), ("among", among))}
    assert error["alone"] * 10 < error["among"]


def test_the_widest_channels_of_this_activation_are_taken_out_wherever_they_are() -> None:
    for wide in ([0, 1], [100, 150], [190, 191]):
        rows = with_wide_channels(normal(20, 192), *wide)
        assert np.frombuffer(pack(rows, 2)[:4], "<u2").tolist() == wide


def test_channel_is_wide_by_its_range_and_not_by_its_level() -> None:
    rows = normal(20, 192)
    rows[:, 5] = 1000  # constant: one low and one step hold it, if it lies apart from others
    rows[:, 9] *= 50
    assert np.frombuffer(pack(rows, 1)[:2], "<u2").tolist() == [9]


def test_packing_does_not_depend_on_how_the_activation_lies_in_memory() -> None:
    rows = normal(20, 192)
    assert pack(np.asfortranarray(rows), 4) == pack(rows, 4)
    assert pack(np.repeat(rows, 2, axis=0)[::2], 4) == pack(rows, 4)


def test_packing_leaves_the_activation_as_it_was() -> None:
    rows = normal(20, 192)
    kept = rows.copy()
    pack(rows, 4)
    np.testing.assert_array_equal(rows, kept)


def test_what_comes_back_is_free_to_be_written() -> None:
    assert round_trip(normal(3, 8), 1).flags.writeable


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 0.1, float(LARGEST), -float(LARGEST)])
def test_constant_activation_comes_back_as_its_value_in_float16(value: float) -> None:
    rows = np.full((4, 70), value, dtype=np.float32)
    back = round_trip(rows, 2)
    assert np.abs(back - rows).max() <= abs(value) * HALF_ULP


def test_widest_range_of_float16_survives() -> None:
    rows = np.tile(np.array([-LARGEST, LARGEST], dtype=np.float32), (3, 32))
    assert np.abs(round_trip(rows) - rows).max() <= 2 * LARGEST * HALF_ULP


@given(
    rows=st.integers(1, 9),
    channels=st.integers(1, 200),
    outliers=st.integers(0, 8),
    level=st.floats(-1e3, 1e3, width=32),
    spread=st.floats(0, 1e3, width=32),
    seed=st.integers(0, 1 << 16),
)
@settings(max_examples=200, deadline=None)
def test_any_activation_comes_back_within_its_range(
    rows: int, channels: int, outliers: int, level: float, spread: float, seed: int
) -> None:
    activation = np.float32(level) + normal(rows, channels + outliers, seed=seed) * np.float32(spread)
    error = np.abs(round_trip(activation, outliers) - activation)
    assert error.max() <= np.ptp(activation) / 30 * 1.02 + 2 * np.abs(activation).max() * HALF_ULP + 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65_505.0, -1e6])
@pytest.mark.parametrize("outliers", [0, 4])
def test_value_that_float16_cannot_hold_is_refused(value: float, outliers: int) -> None:
    rows = normal(5, 192)
    rows[2, 77] = value
    with pytest.raises(ValueError, match=re.escape("an activation must be finite and within 65504 of zero")):
        pack(rows, outliers)


@pytest.mark.parametrize(
    ("shape", "outliers"), [((3, 4), 4), ((3, 4), 8), ((0, 4), 0), ((3, 0), 0), ((2, 65_537), 0), ((), 0)]
)
def test_shape_that_cannot_be_packed_is_refused(shape: tuple[int, ...], outliers: int) -> None:
    said = re.escape(f"an activation of shape {shape} cannot be packed with {outliers} outlier channels")
    with pytest.raises(ValueError, match=said):
        pack(np.zeros(shape, dtype=np.float32), outliers)
    with pytest.raises(ValueError, match=said):
        unpack(b"", shape, outliers)


@pytest.mark.parametrize("change", [-1, 1])
def test_bytes_of_another_number_are_refused(change: int) -> None:
    packed = pack(normal(3, 70), 2)
    wrong = packed[:change] if change < 0 else packed + b"\0"
    with pytest.raises(ValueError, match=r"bytes are no activation of shape \(3, 70\) with 2 outlier channels"):
        unpack(wrong, (3, 70), 2)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bound is for one x86 core")
def test_encoding_and_decoding_of_50_by_768_take_half_a_millisecond_at_most() -> None:
    activation = with_wide_channels(normal(50, 768), 5, 300, 301, 767)
    packed = pack(activation, 8)
    taken_ms = []
    for _ in range(300):
        began = time.perf_counter()
        pack(activation, 8)
        unpack(packed, activation.shape, 8)
        taken_ms.append(1e3 * (time.perf_counter() - began))
    assert min(taken_ms) <= 0.5
