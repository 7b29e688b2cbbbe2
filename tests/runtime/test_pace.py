"""How many items a segment call may take, from what the calls before it took. No clock: times are given."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from edge.bundle import Model, Variant
from edge.runtime import Pace
from edge.runtime.pace import CALL_MS, WORK_BYTES


def model(name: str) -> Model:
    return Model(variants=(Variant(path=PurePosixPath(name), format="float32", runtimes=("ai-edge-litert",)),))


FIRST, SECOND = model("seg-00.tflite"), model("seg-01.tflite")


def parts(pace: Pace, items: int) -> list[int]:
    """The calls that a batch becomes."""
    sizes: list[int] = []
    while items > sum(sizes):
        sizes.append(pace.share(FIRST, items - sum(sizes)))
    return sizes


def pace_at(item_ms: float, item_bytes: int = 1) -> Pace:
    pace = Pace({FIRST: item_bytes})
    pace.learn(FIRST, 1, item_ms)
    return pace


def test_first_call_of_a_segment_is_of_one_item() -> None:
    pace = Pace({})
    assert not pace.knows(FIRST)
    assert [pace.share(FIRST, items) for items in (1, 2, 32)] == [1, 1, 1]


def test_batch_that_is_quick_enough_is_one_call() -> None:
    assert parts(pace_at(CALL_MS / 32), 32) == [32]


@pytest.mark.parametrize(
    ("most", "items", "sizes"),
    [
        (16, 32, [16, 16]),
        (31, 32, [16, 16]),
        (12, 32, [11, 11, 10]),
        (8, 32, [8, 8, 8, 8]),
        (5, 7, [4, 3]),
        (3, 1, [1]),
        (1, 3, [1, 1, 1]),
    ],
)
def test_batch_is_split_into_equal_parts(most: int, items: int, sizes: list[int]) -> None:
    assert parts(pace_at(CALL_MS / most * 0.999), items) == sizes


@pytest.mark.parametrize("item_ms", [0.01, 0.7, 3.0, 11.0, 39.9, 79.0])
def test_no_part_is_expected_to_take_longer_than_a_call_may(item_ms: float) -> None:
    for items in range(1, 100):
        sizes = parts(pace_at(item_ms), items)
        assert sum(sizes) == items
        assert max(sizes) * item_ms <= CALL_MS
        assert max(sizes) - min(sizes) <= 1


def test_item_that_takes_longer_than_a_call_may_goes_alone() -> None:
    assert parts(pace_at(3 * CALL_MS), 3) == [1, 1, 1]


def test_time_is_counted_for_each_item_of_a_call() -> None:
    pace = Pace({})
    pace.learn(FIRST, 8, CALL_MS)
    assert parts(pace, 32) == [8, 8, 8, 8]


def test_each_segment_has_its_own_pace() -> None:
    pace = pace_at(CALL_MS / 4)
    pace.learn(SECOND, 1, CALL_MS / 100)
    assert (pace.share(FIRST, 32), pace.share(SECOND, 32)) == (4, 32)


def test_call_that_was_disturbed_is_forgotten() -> None:
    pace = pace_at(CALL_MS / 16)
    pace.learn(FIRST, 16, 20 * CALL_MS)
    assert pace.share(FIRST, 16) < 4
    for _ in range(24):
        pace.learn(FIRST, 1, CALL_MS / 16.5)
    assert pace.share(FIRST, 16) == 16


def test_board_that_became_four_times_slower_is_followed_within_ten_calls() -> None:
    pace = pace_at(CALL_MS / 32)
    for _ in range(10):
        pace.learn(FIRST, 8, 8 * CALL_MS / 8.5)
    assert pace.share(FIRST, 32) == 8


def test_time_too_short_for_the_clock_is_no_error() -> None:
    assert pace_at(0.0).share(FIRST, 256) == 256


def test_tensors_of_a_call_are_limited_as_well() -> None:
    assert parts(pace_at(0.01, WORK_BYTES // 4), 16) == [4, 4, 4, 4]
    assert parts(pace_at(0.01, 10 * WORK_BYTES), 2) == [1, 1]
    assert parts(pace_at(CALL_MS / 2, WORK_BYTES // 4), 4) == [2, 2]
