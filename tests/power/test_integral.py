"""From readings to joules."""

from __future__ import annotations

import pytest

from edge.power import Joules, Watts
from edge.power.integral import LONGEST_S, Integral, Interval, Window


def test_a_value_stands_for_the_time_since_the_one_before() -> None:
    integral = Integral()
    assert integral.add(Watts(100.0), 10.0) is None
    assert integral.add(Watts(4.0), 10.5) == Interval(0.5, 2.0)
    assert integral.add(Watts(6.0), 11.5) == Interval(1.0, 6.0)


def test_a_counter_is_read_by_its_differences() -> None:
    integral = Integral()
    assert integral.add(Joules(1_000.0), 10.0) is None
    assert integral.add(Joules(1_003.0), 10.5) == Interval(0.5, 3.0)
    assert integral.add(Joules(1_003.0), 11.0) == Interval(0.5, 0.0)


def test_readings_at_uneven_times_lose_nothing() -> None:
    integral, total, now = Integral(), 0.0, 0.0
    integral.add(Watts(5.0), now)
    for pause in (0.1, 0.7, 0.05, 1.9, 0.25):
        now += pause
        interval = integral.add(Watts(5.0), now)
        assert interval is not None
        total += interval.joules
    assert total == pytest.approx(5.0 * now)


def test_what_happened_in_a_long_gap_is_not_made_up() -> None:
    integral = Integral()
    integral.add(Watts(5.0), 10.0)
    assert integral.add(Watts(5.0), 10.0 + LONGEST_S + 0.1) is None
    after = integral.add(Watts(5.0), 13.0)
    assert after is not None
    assert (after.seconds, after.joules) == pytest.approx((0.9, 4.5))


@pytest.mark.parametrize("total", [0.0, 1e9])
def test_a_counter_that_was_reset_or_jumps_is_begun_anew(total: float) -> None:
    integral = Integral()
    integral.add(Joules(1_000.0), 10.0)
    assert integral.add(Joules(total), 10.1) is None
    after = integral.add(Joules(total + 1), 10.2)
    assert after is not None
    assert after.joules == 1.0


def test_two_readings_at_one_moment_are_no_interval() -> None:
    integral = Integral()
    integral.add(Watts(5.0), 10.0)
    assert integral.add(Watts(5.0), 10.0) is None


def test_mean_is_weighed_by_time_and_the_median_is_not_moved_by_a_peak() -> None:
    window = Window(10.0)
    for seconds, watts in ((1.0, 2.0), (3.0, 4.0), (0.1, 90.0)):
        window.add(Interval(seconds, watts * seconds))
    assert window.mean_w() == pytest.approx((2.0 + 12.0 + 9.0) / 4.1)
    assert window.median_w() == pytest.approx(4.0)


def test_window_keeps_what_it_needs_and_no_more() -> None:
    window = Window(1.0)
    assert window.mean_w() is None
    for watts in range(100):
        window.add(Interval(0.25, watts * 0.25))
        assert window.is_full == (watts >= 3)
    assert window.mean_w() == pytest.approx((96 + 97 + 98 + 99) / 4)
    window.clear()
    assert window.mean_w() is None
    assert not window.is_full
