"""INT4 rows: their bytes, how far a round trip errs, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge.items import Floats
from edge.runtime.int4 import LARGEST, LEVELS, pack, row_bytes, unpack

# The worst rounding of a float16 relative to its value.
HALF_ULP = 2.0**-11


def normal(rows: int, width: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


def round_trip(rows: Floats, group: int) -> Floats:
    return unpack(pack(rows, group), rows.shape[1], group)


def steps(rows: Floats, group: int) -> Floats:
    """The distance of two codes at each value, read from the packed bytes."""
    groups = rows.shape[1] // group
    stored = np.ascontiguousarray(pack(rows, group)[:, 2 * groups : 4 * groups]).view("<f2").astype(np.float32)
    return np.repeat(stored, group, axis=1)


def test_row_has_the_bytes_that_the_format_says() -> None:
    first = [0, 15, 3, 7]  # low 0, step 1: every value is its own code
    second = [-1, 6.5, 0, 1]  # low -1, step 0.5: codes 0, 15, 2, 4
    packed = pack(np.array([first + second], dtype=np.float32), group=4)
    lows, distances, codes = "0000 00bc", "003c 0038", "f0 73 f0 42"  # float16, little-endian; the even value low
    assert packed.tobytes() == bytes.fromhex(lows + distances + codes)
    np.testing.assert_array_equal(unpack(packed, 8, 4), [first + second])


def test_row_bytes_counts_two_float16_a_group_and_half_a_byte_a_value() -> None:
    assert row_bytes(384, 64) == 2 * 2 * 6 + 192
    assert pack(normal(3, 384), 64).shape == (3, row_bytes(384, 64))


@pytest.mark.parametrize("group", [16, 64, 384])
def test_round_trip_errs_by_half_a_step_at_most(group: int) -> None:
    rows = normal(50, 384)
    error = np.abs(round_trip(rows, group) - rows)
    assert (error <= steps(rows, group) / 2 * (1 + 1e-5)).all()
    assert error.max() > steps(rows, group).max() / 4  # it is four bits, not a copy


def test_outlier_coarsens_its_own_group_only() -> None:
    rows = normal(1, 128)
    spoilt = rows.copy()
    spoilt[0, 3] = 100
    np.testing.assert_array_equal(round_trip(spoilt, 64)[0, 64:], round_trip(rows, 64)[0, 64:])
    assert np.abs(round_trip(spoilt, 64) - spoilt)[0, :64].max() > 1


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 0.1, float(LARGEST), -float(LARGEST)])
def test_constant_group_comes_back_as_its_value_in_float16(value: float) -> None:
    rows = np.full((2, 64), value, dtype=np.float32)
    back = round_trip(rows, 64)
    assert len(np.unique(back)) == 1
    assert np.abs(back - rows).max() <= abs(value) * HALF_ULP


def test_group_far_from_zero_errs_by_no_more_than_float16_does() -> None:
    rows = np.float32(1000) + normal(20, 64) / np.float32(100)  # float16 has steps of 0.5 there
    assert np.abs(round_trip(rows, 64) - rows).max() <= rows.max() * HALF_ULP


def test_widest_range_of_float16_survives() -> None:
    rows = np.tile(np.array([-LARGEST, LARGEST], dtype=np.float32), (1, 32))
    assert np.abs(round_trip(rows, 64) - rows).max() <= 2 * LARGEST * HALF_ULP


def test_rows_do_not_depend_on_their_batch() -> None:
    rows = normal(5, 128)
    together = pack(rows, 64)
    np.testing.assert_array_equal(np.concatenate([pack(row[None], 64) for row in rows]), together)
    np.testing.assert_array_equal(pack(rows[::-1], 64), together[::-1])
    np.testing.assert_array_equal(unpack(together[[4, 0, 4]], 128, 64), unpack(together, 128, 64)[[4, 0, 4]])


def test_rows_of_a_mapped_file_unpack_as_those_in_memory(tmp_path: Path) -> None:
    packed = pack(normal(9, 128), 64)
    (tmp_path / "table").write_bytes(packed.tobytes())
    mapped = np.memmap(tmp_path / "table", dtype=np.uint8, mode="r").reshape(9, -1)
    np.testing.assert_array_equal(unpack(mapped, 128, 64), unpack(packed, 128, 64))
    np.testing.assert_array_equal(unpack(mapped[np.array([7, 2])], 128, 64), unpack(packed[[7, 2]], 128, 64))
    assert unpack(mapped, 128, 64).flags.writeable  # a copy: nobody writes into the bundle


@pytest.mark.parametrize(("width", "group"), [(100, 64), (63, 64), (65, 64), (3, 3), (9, 3)])
def test_width_that_does_not_fit_is_refused(width: int, group: int) -> None:
    said = f"INT4 rows of {width} values cannot be split into groups of {group}"
    with pytest.raises(ValueError, match=f"^{said}$"):
        row_bytes(width, group)
    with pytest.raises(ValueError, match=f"^{said}$"):
        pack(normal(2, width), group)


# Above float16's largest, the offset would become infinite, and the whole group with it.
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65_505.0, -1e6])
def test_value_that_float16_cannot_hold_is_refused(value: float) -> None:
    rows = normal(2, 64)
    rows[1, 5] = value
    with pytest.raises(ValueError, match=re.escape("INT4 rows must be finite and within 65504 of zero")):
        pack(rows, 64)


def test_packing_what_was_unpacked_changes_nothing() -> None:
    once = round_trip(normal(20, 384), 64)
    again = round_trip(once, 64)
    assert np.abs(again - once).max() <= LEVELS * steps(once, 64).max() * 2 * HALF_ULP  # the step is rounded again
